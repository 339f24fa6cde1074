"""Read integer arrays from C++ headers, the published ones or ours (`hls.headers.network`).

An array is `<type> name[n] = {…};` with one to three dimensions, any type name and all values
written out. The type may be `Segment` (hls/cpp/common/fixed_point.hpp); then each element is a pair
of values in braces. In our params.hpp sizes are constants of the design (`[Design::lanes]`): such
an array is read as one row of values. Comments and preprocessor lines are allowed anywhere. Other
C++ (structs, references, arrays without sizes) is skipped. Errors name the file, the line and the
array.
"""

import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError

HEADER_FILES = (
    "quant_params*.h",  # this and the next two are the authors'
    "lerp_psa_params*.h",
    "quant_samples*.h",
    "params.hpp",  # this and the next are ours
    "golden.hpp",
)
_MAX_BYTES = 1 << 27  # per file; the samples of the largest published network take 2**21 bytes
_MAX_DIMENSIONS = 3
_STRUCTS = {"Segment": 2}  # values per element; they become the last dimension

_TOKEN = re.compile(
    r"""(?P<skipped> //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:\\\r?\n|[^\n])* | \n | [^\S\n]+)
      | (?P<token> [A-Za-z_]\w* | [0-9][\w.]* | "(?:\\.|[^"\\\n])*" | . )""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_NUMBER = re.compile(r"[0-9]{1,10}")  # int32 needs no more digits
_SIZE = re.compile(r"[1-9][0-9]{0,6}")
_WORD = re.compile(r"[A-Za-z_]\w*")
_DESIGN_SIZE = "Design : : "  # as the tokens of a size that only the design knows
_INTEGER_TYPES = (  # types of known width; values of other types are checked by the reader only
    re.compile(r"\bap_(?P<unsigned>u?)int < (?P<bits>[0-9]{1,2}) >"),
    re.compile(r"\b(?P<unsigned>u?)int(?P<bits>8|16|32)_t\b"),
)


@dataclass(frozen=True)
class HeaderArray:
    """An array of a header: its values (int64, declared shape) and their line numbers.

    An array whose sizes are constants of the design has one dimension here (`flat`).
    """

    file: str
    name: str
    line: int
    values: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64] = field(repr=False)  # line number of each value, flat
    flat: bool = False

    def refuse(self, reason: str) -> NoReturn:
        """Raise PipelineError about the whole array."""
        raise _refusal(self.file, self.line, f"{self.name} {reason}")

    def check_range(self, low: int, high: int, what: str) -> None:
        """Raise PipelineError with the line number unless low <= value <= high for all values.

        `what` describes the range in the message.
        """
        flat = self.values.ravel()
        wrong = np.flatnonzero((flat < low) | (flat > high))
        if len(wrong):
            raise _refusal(
                self.file,
                int(self.lines[wrong[0]]),
                f"{self.name} holds {flat[wrong[0]]}, but {what} is {low} to {high}",
            )


def read_arrays(folder: Path) -> dict[str, HeaderArray]:
    """Read all arrays of the headers HEADER_FILES in a folder; return them by name.

    Raises PipelineError if there is no such header, a header is malformed or a name occurs twice.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder} is no folder; name the one that holds the C++ headers.")
    files = sorted({file for pattern in HEADER_FILES for file in folder.glob(pattern)})
    if not files:
        raise PipelineError(f"{folder} holds none of {', '.join(HEADER_FILES)}.")
    arrays: dict[str, HeaderArray] = {}
    for file in files:
        for name, array in parse_arrays(_text(file), str(file)).items():
            if name in arrays:
                array.refuse(f"stands in {arrays[name].file}, too; keep one of the two")
            arrays[name] = array
    return arrays


def parse_arrays(text: str, file: str) -> dict[str, HeaderArray]:
    """Return the arrays of a header's text by name; error messages call the header `file`."""
    arrays: dict[str, HeaderArray] = {}
    for array in _Parser(text, file).arrays():
        if array.name in arrays:
            array.refuse(f"stands on line {arrays[array.name].line}, too; keep one of the two")
        arrays[array.name] = array
    return arrays


def _refusal(file: str, line: int, reason: str) -> PipelineError:
    return PipelineError(f"{file}, line {line}: {reason}.")


def _text(file: Path) -> str:
    try:
        size = file.stat().st_size
        if size > _MAX_BYTES:
            raise PipelineError(f"{file} has {size} bytes, too many for a header of parameters.")
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise PipelineError(f"{file} cannot be read ({error.strerror}).") from error


class _Parser:
    """A recursive-descent parser over the tokens of one header."""

    def __init__(self, text: str, file: str) -> None:
        matches = [match for match in _TOKEN.finditer(text) if match.lastgroup == "token"]
        self._tokens = [match.group() for match in matches]
        self._starts = np.array([match.start() for match in matches], dtype=np.int64)
        self._newlines = np.array([m.start() for m in re.finditer("\n", text)], dtype=np.int64)
        self._file = file
        self._name = ""  # name of the current array
        self._at = 0  # index of the next token

    def arrays(self) -> Iterator[HeaderArray]:
        """Yield the arrays in the order of the text."""
        while self._at < len(self._tokens):
            start = self._at
            self._at += 1
            if self._tokens[start : start + 2] == ["/", "*"]:
                self._refuse("a comment is not closed")
            if self._next() == "[" and _WORD.fullmatch(self._tokens[start]):
                self._name = self._tokens[start]
                brackets = self._brackets()
                if self._next() == "=" and all(brackets):
                    yield self._array(start, brackets)

    def _array(self, start: int, brackets: list[str]) -> HeaderArray:
        if any(size.startswith(_DESIGN_SIZE) for size in brackets):
            return self._flat_array(start)
        if len(brackets) > _MAX_DIMENSIONS or not all(map(_SIZE.fullmatch, brackets)):
            self._refuse(
                f"{self._name} is declared with [{']['.join(brackets)}], but must have one to "
                f"{_MAX_DIMENSIONS} sizes that are whole numbers above 0"
            )
        self._at += 1
        element = [_STRUCTS[word] for word in self._declared(start) if word in _STRUCTS]
        sizes, places = [*map(int, brackets), *element], list[int]()
        self._braces(sizes, places)
        self._expect(";")
        return self._finished(start, places, sizes)

    def _flat_array(self, start: int) -> HeaderArray:
        """Read `{…}` of numbers, whose count only the design knows."""
        self._at += 1
        self._expect("{")
        places = list[int]()
        while self._next() != "}":
            self._number(places)
            if self._next() != "}":
                self._expect(",")
        self._at += 1
        self._expect(";")
        return self._finished(start, places, [len(places)], flat=True)

    def _finished(
        self, start: int, places: list[int], sizes: list[int], flat: bool = False
    ) -> HeaderArray:
        values = np.array([self._value(place) for place in places], dtype=np.int64)
        line, lines = int(self._lines([start])[0]), self._lines(places)
        array = HeaderArray(self._file, self._name, line, values.reshape(sizes), lines, flat)
        self._check_type(array, start)
        return array

    def _brackets(self) -> list[str]:
        """Read `[n][m]…` and return the text between each pair of brackets."""
        found = []
        while self._next() == "[":
            start = self._at + 1
            while self._next() not in ("]", ";", "{", "}", ""):
                self._at += 1
            found.append(" ".join(self._tokens[start : self._at]))
            self._at += 1
        return found

    def _braces(self, sizes: list[int], places: list[int]) -> None:
        """Read nested `{…}` of these sizes; append the token index of each value to `places`."""
        self._expect("{")
        count = 0
        while self._next() != "}":
            if len(sizes) > 1:
                self._braces(sizes[1:], places)
            else:
                self._number(places)
            count += 1
            if self._next() == ",":
                self._at += 1
            elif self._next() != "}":
                self._expect("}")
        if count != sizes[0]:
            what = "values" if len(sizes) == 1 else "rows"
            self._refuse(f"{self._name} has {count} {what} here, but {sizes[0]} are declared")
        self._at += 1

    def _number(self, places: list[int]) -> None:
        places.append(self._at)
        if self._next() in ("-", "+"):
            self._at += 1
        if not _NUMBER.fullmatch(self._next()):
            self._refuse(
                f"{self._name} holds {self._shown()} instead of a whole number that fits int32"
            )
        self._at += 1

    def _value(self, place: int) -> int:
        sign, *digits = self._tokens[place : place + 2]
        return int(sign + digits[0]) if sign in "+-" else int(sign)

    def _declared(self, start: int) -> list[str]:
        """Return the tokens of the declaration before an array's name: its type and qualifiers."""
        first = start
        while first > 0 and self._tokens[first - 1] not in (";", "{", "}"):
            first -= 1
        return self._tokens[first:start]

    def _check_type(self, array: HeaderArray, start: int) -> None:
        declared = " ".join(self._declared(start))
        for pattern in _INTEGER_TYPES:
            match = pattern.search(declared)
            if match:
                bits, unsigned = int(match["bits"]), match["unsigned"] == "u"
                low, high = (0, 2**bits - 1) if unsigned else (-(2**bits) // 2, 2**bits // 2 - 1)
                array.check_range(low, high, f"the range of its type {match[0].replace(' ', '')}")

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _expect(self, token: str) -> None:
        if self._next() != token:
            closing = "has no closing brace: it " if token == "}" else ""
            self._refuse(f"{self._name} {closing}has {self._shown()} instead of {token}")
        self._at += 1

    def _shown(self) -> str:
        return reprlib.repr(self._next()) if self._next() else "the end of the file"

    def _lines(self, places: list[int]) -> npt.NDArray[np.int64]:
        return np.searchsorted(self._newlines, self._starts[places]) + 1

    def _refuse(self, reason: str) -> NoReturn:
        line = self._lines([min(self._at, len(self._tokens) - 1)])[0]
        raise _refusal(self._file, int(line), reason)
