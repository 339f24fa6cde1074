"""Read integer arrays from C++ headers, the published ones or ours (`hls.headers.network`).

An array is `<type> name[n] = {…};` or `std::array<type, n> name = {…};` with one to three
dimensions, any type name and all values written out (hls/headers/numbers.py has their forms). The
type may be `Segment` (hls/cpp/common/fixed_point.hpp); then each element is a pair of values in
braces. Sizes may be constants of the design (`[Design::lanes]`); such an array is read as one row
of values. Comments and preprocessor lines are allowed anywhere. Other C++ (structs, references,
arrays without values) is skipped. Errors name the file, the line and the array.

The values are matched by one regular expression that is made from the sizes, in time and memory in
proportion to the text. Only an array that does not match
is read token by token, to say what is wrong (hls/headers/diagnosis.py).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hls.headers.diagnosis import find_flaw
from hls.headers.numbers import decimal_text, integer, range_of_type
from hls.headers.source_text import SourceError, code_of, read_source, unix_lines
from models.files.errors import PipelineError

HEADER_FILES = (
    "quant_params*.h",  # this and the next two are the authors'
    "lerp_psa_params*.h",
    "quant_samples*.h",
    "params.hpp",  # this and the next are ours
    "golden.hpp",
)
_MAX_DIMENSIONS = 3
_MAX_SIZE = 9_999_999
_STRUCTS = {"Segment": 2}  # values per element; they become the last dimension
_NO_NAMES = frozenset({b"return", b"new", b"delete", b"operator", b"else", b"case", b"throw"})
_DESIGN_SIZE = b"Design::"  # the start of a size that only the design knows
_NETWORK = re.compile(rb"(?:embed_linear|classifier_linear|blocks|samples)_\w+")

_SPACE = rb"\s*+"
_DECLARATION = re.compile(
    rb"(?<!\w)(?P<name>[A-Za-z_]\w*+)\s*+(?P<sizes>(?:\[[^\[\];{}]*+\]\s*+)++)"
    rb"(?:__attribute__\s*+\(\([^;{}=]{0,200}\)\)\s*+)?(?P<equals>=(?!=))?\s*+(?P<brace>\{)?"
    rb"|(?<!\w)(?P<array>array)\s*+<"
)
_NAME_OF_ARRAY = re.compile(rb"\s*+(?P<name>[A-Za-z_]\w*+)\s*+=?\s*+(?=\{)")
_NESTED = re.compile(rb"\s*+(?:std\s*+::\s*+)?array\s*+<")
_ELEMENT = re.compile(rb"(?:[^,;{}()<>]|<[^<>;{}()]{0,80}+>){1,200}+,")
_SIZE_OF_ARRAY = re.compile(rb"\s*+([^,;<>{}()]{1,40}+)>\s*+(,)?")
_PLAIN = rb"[+-]?+(?:0|[1-9][0-9]{0,9}+)(?![\w.'])\s*+"
_NUMBER = re.compile(_PLAIN)
_PLAIN_BYTES = b"0123456789,{}+- \t\n\v\f"
_UNPLAIN = re.compile(rb"0(?<![\w.]0)[0-9]|[+](?=\s)|-(?=\s)")
_LAST_COMMA = re.compile(rb",(\s*+\})")
_LONGEST_TYPE = 500  # characters before a name that are searched for its type


@dataclass(frozen=True)
class HeaderArray:
    """An array of a header: its values (int64, declared shape), and its text to find a line in.

    An array whose sizes are constants of the design has one dimension here (`flat`).
    """

    file: str
    name: str
    line: int
    values: npt.NDArray[np.int64]
    text: bytes = field(repr=False, default=b"")  # from the first brace on
    text_line: int = 0
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
                self._line_of(int(wrong[0])),
                f"{self.name} holds {flat[wrong[0]]}, but {what} is {low} to {high}",
            )

    def _line_of(self, index: int) -> int:
        match = next(islice(_NUMBER.finditer(self.text), index, None), None)
        return self.text_line + (0 if match is None else self.text.count(b"\n", 0, match.start()))


def read_arrays(folder: Path) -> dict[str, HeaderArray]:
    """Read all arrays of the headers HEADER_FILES in a folder; return them by name.

    Raises PipelineError if there is no such header, a header is malformed or a name occurs twice.
    """
    arrays: dict[str, HeaderArray] = {}
    for file in header_files_of(folder):
        for name, array in _parse(read_source(file), str(file)).items():
            if name in arrays:
                array.refuse(f"stands in {arrays[name].file}, too; keep one of the two")
            arrays[name] = array
    return arrays


def header_files_of(folder: Path) -> list[Path]:
    """Return the headers HEADER_FILES of a folder; PipelineError if there is none."""
    if not folder.is_dir():
        raise PipelineError(f"{folder} is not a folder; name the one that holds the C++ headers.")
    files = sorted({file for pattern in HEADER_FILES for file in folder.glob(pattern)})
    if not files:
        raise PipelineError(f"{folder} holds none of {', '.join(HEADER_FILES)}.")
    return files


def find_word(folder: Path, word: str) -> tuple[Path, int] | None:
    """Return the first file and line of the headers in which a name stands, in any form."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)".encode())
    for file in header_files_of(folder):
        source = read_source(file)
        if match := pattern.search(source):
            return file, source.count(b"\n", 0, match.start()) + 1
    return None


def parse_arrays(text: str, file: str) -> dict[str, HeaderArray]:
    """Return the arrays of a header's text by name; error messages call the header `file`."""
    return _parse(unix_lines(text.encode("utf-8", "replace")), file)


def _parse(source: bytes, file: str) -> dict[str, HeaderArray]:
    try:
        code = code_of(source)
    except SourceError as error:
        raise _refusal(file, error.line, error.reason) from None
    arrays: dict[str, HeaderArray] = {}
    for array in _Parser(code, file).arrays():
        if array.name in arrays:
            array.refuse(f"stands on line {arrays[array.name].line}, too; keep one of the two")
        arrays[array.name] = array
    return arrays


def _refusal(file: str, line: int, reason: str) -> PipelineError:
    return PipelineError(f"{file}, line {line}: {reason}.")


@dataclass(frozen=True)
class _Declared:
    """A declaration: its name and place, its sizes (0: to be counted) and where `{` is."""

    name: str
    start: int
    sizes: list[int]
    initializer: int
    is_std: bool = False
    is_flat: bool = False  # the sizes are constants of the design
    may_be_other: bool = False  # no array of numbers is no error


class _Parser:
    """Finds the arrays in the code of one header, and converts their values."""

    def __init__(self, code: bytes, file: str) -> None:
        self._code, self._file = code, file
        self._counted, self._line = 0, 1  # the line of a place is counted from the last one

    def arrays(self) -> Iterator[HeaderArray]:
        """Yield the arrays in the order of the text."""
        at = 0
        while match := _DECLARATION.search(self._code, at):
            declared = self._std_array(match) if match["array"] else self._array(match)
            if declared is None:
                at = match.end()
                continue
            end = self._code.find(b";", declared.initializer)
            at = len(self._code) if end < 0 else end
            found = self._values(declared, at)
            if found is not None:
                yield found

    def _array(self, match: re.Match[bytes]) -> _Declared | None:
        name, raw = match["name"], match["sizes"]
        if name in _NO_NAMES or (match["equals"] is None and match["brace"] is None):
            return None
        brackets = [b" ".join(part.split()) for part in raw.split(b"]")[:-1]]
        brackets = [part.strip().removeprefix(b"[").strip() for part in brackets]
        initializer = match.end() - (match["brace"] is not None)
        other = match["equals"] is None or not brackets[0]
        other = other and not _NETWORK.fullmatch(name)
        if match["brace"] is None and not self._declaration(match.start()):
            return None  # a statement
        if not all(brackets[1:]) or self._code.startswith(b'"', initializer):
            return None  # an expression, or a text
        if any(part.startswith(_DESIGN_SIZE) for part in brackets):
            return _Declared(name.decode(), match.start(), [0], initializer, is_flat=True)
        sizes = [integer(part) or 0 for part in brackets]
        unsized = not brackets[0]
        if len(sizes) > _MAX_DIMENSIONS or not all(0 < n <= _MAX_SIZE for n in sizes[unsized:]):
            if other:
                return None
            shown = "][".join(part.decode("latin1") for part in brackets)[:200]
            self._refuse(
                match.start(),
                f"{name.decode()} is declared with [{shown}], but must have one to "
                f"{_MAX_DIMENSIONS} sizes that are whole numbers above 0",
            )
        words = self._declaration(match.start()).split()
        sizes += [_STRUCTS[word] for word in words if word in _STRUCTS]
        return _Declared(name.decode(), match.start(), sizes, initializer, may_be_other=other)

    def _std_array(self, match: re.Match[bytes]) -> _Declared | None:
        """Read `array<type, n> name`, nested up to three times; None if it is anything else."""
        depth, at = 1, match.end()
        while depth <= _MAX_DIMENSIONS and (nested := _NESTED.match(self._code, at)):
            depth, at = depth + 1, nested.end()
        element = _ELEMENT.match(self._code, at)
        at = at if element is None else element.end()
        sizes: list[int] = []
        while size := _SIZE_OF_ARRAY.match(self._code, at):
            sizes.append(integer(size[1]) or 0)
            at = size.end()
            if size[2] is None:
                break
        name = _NAME_OF_ARRAY.match(self._code, at)
        if element is None or name is None:
            return None
        text = name["name"].decode()
        if len(sizes) != depth or depth > _MAX_DIMENSIONS or not 0 < min(sizes) <= _MAX_SIZE:
            self._refuse(
                match.start(),
                f"{text} must have one to {_MAX_DIMENSIONS} sizes that are whole numbers above 0",
            )
        words = element[0].decode("latin1").rstrip(",").split()
        sizes = [*reversed(sizes), *(_STRUCTS[word] for word in words if word in _STRUCTS)]
        return _Declared(text, match.start(), sizes, name.end(), is_std=True)

    def _values(self, declared: _Declared, end: int) -> HeaderArray | None:
        """Return the array of a declaration; None if it may be something else and is."""
        text = self._code[declared.initializer : end]
        line, text_line = (self._line_at(at) for at in (declared.start, declared.initializer))
        name, sizes = declared.name, declared.sizes
        if text.translate(None, _PLAIN_BYTES) or _UNPLAIN.search(text):
            text = decimal_text(text)
        if sizes[0] == 0:
            rest = int(np.prod(sizes[1:]))
            sizes = [max(1, sum(1 for _ in _NUMBER.finditer(text)) // rest), *sizes[1:]]
        if end == len(self._code) or not _fits(text, sizes, declared.is_std):
            if declared.may_be_other:
                return None
            flaw = find_flaw(text + self._code[end : end + 1], sizes, name)
            raise _refusal(self._file, text_line + text.count(b"\n", 0, flaw.at), flaw.reason)
        array = HeaderArray(
            self._file, name, line, _numbers(text, sizes), text, text_line, declared.is_flat
        )
        of_type = range_of_type(self._declaration(declared.start, declared.initializer))
        if of_type is not None:
            low, high, what = of_type
            array.check_range(low, high, f"the range of its type {what}")
        return array

    def _declaration(self, start: int, end: int | None = None) -> str:
        """Return the text of the declaration around an array's name: its type and qualifiers."""
        before = re.split(rb"[;{}]", self._code[max(0, start - _LONGEST_TYPE) : start])[-1]
        inside = b"" if end is None else self._code[start : min(end, start + _LONGEST_TYPE)]
        return " ".join((before + inside).decode("latin1").split())

    def _line_at(self, at: int) -> int:
        if at < self._counted:
            self._counted, self._line = 0, 1
        self._line += self._code.count(b"\n", self._counted, at)
        self._counted = at
        return self._line

    def _refuse(self, at: int, reason: str) -> NoReturn:
        raise _refusal(self._file, self._line_at(at), reason)


def _fits(text: bytes, sizes: list[int], is_std: bool) -> bool:
    """Return whether an initialiser holds values of these sizes: nested, or in one pair of braces.

    C++ allows one pair for all dimensions, and two pairs for each dimension of a std::array.
    """
    count = math.prod(sizes)
    if count > len(text):
        return False
    forms = [sizes, [count]] if len(sizes) > 1 else [sizes]
    return any(_pattern(tuple(form), is_std).fullmatch(text) for form in forms)


@lru_cache(maxsize=64)
def _pattern(sizes: tuple[int, ...], is_std: bool) -> re.Pattern[bytes]:
    item = _PLAIN
    for size in reversed(sizes):
        more = b"(?:%s,%s){%d}+" % (item, _SPACE, size - 1) if size > 1 else b""
        items = more + item + rb"(?:,\s*+)?+"
        item = rb"\{\s*+" + items + rb"\}\s*+"
        if is_std:
            item = rb"(?:\{\s*+" + item + rb"(?:,\s*+)?+\}\s*+|" + item + rb")"
    return re.compile(item)


def _numbers(text: bytes, sizes: list[int]) -> npt.NDArray[np.int64]:
    """Return the values of an initialiser that fits its sizes."""
    flat = _LAST_COMMA.sub(rb"\1", text).translate(None, b"{}")
    return np.fromstring(flat, dtype=np.int64, sep=",").reshape(sizes)
