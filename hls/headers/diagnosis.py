"""Say what is wrong with the values of an array that does not fit its declaration."""

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = rb"[+-]?\s*+(?:0|[1-9][0-9]{0,9}+)(?![\w.'])\s*+"
_RUN = re.compile(rb"\s*+(?:" + _NUMBER + rb",\s*+)++")
_ROWS = re.compile(rb"\s*+(?:\{\s*+(?:" + _NUMBER + rb",\s*+)*+" + _NUMBER + rb"\}\s*+,\s*+)++")
_TOKEN = re.compile(rb'\s*+([A-Za-z_]\w*+|[0-9][\w.\']*+|""|.|\Z)', re.DOTALL)
_DIGITS = re.compile(rb"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class Flaw:
    """What is wrong, and the place in the text."""

    at: int
    reason: str


class _Found(Exception):
    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw


def find_flaw(text: bytes, sizes: Sequence[int], name: str) -> Flaw:
    """Return the first flaw of an initialiser `{…};` that does not hold values of these sizes."""
    reader = _Reader(text, name)
    try:
        reader.braces(list(sizes))
        reader.expect(b";")
    except _Found as found:
        return found.flaw
    return Flaw(0, f"{name} is written in a form that is not read; write `type {name}[n] = {{…}};`")


class _Reader:
    """Reads an initialiser token by token until it finds a flaw."""

    def __init__(self, text: bytes, name: str) -> None:
        self._text, self._name, self._at = text, name, 0

    def braces(self, sizes: list[int]) -> None:
        self.expect(b"{")
        count = 0
        while self._next() != b"}":
            count += self._skip_run(sizes)
            if self._next() == b"}":
                break
            if len(sizes) > 1:
                self.braces(sizes[1:])
            else:
                self._number()
            count += 1
            if self._next() == b",":
                self._take()
            elif self._next() != b"}":
                self.expect(b"}")
        if count != sizes[0]:
            what = "values" if len(sizes) == 1 else "rows"
            self._refuse(f"has {count} {what} here, but {sizes[0]} are declared")
        self._take()

    def expect(self, token: bytes) -> None:
        if self._next() != token:
            closing = "has no closing brace: it " if token == b"}" else ""
            self._refuse(f"{closing}has {self._shown()} instead of {token.decode()}")
        self._take()

    def _skip_run(self, sizes: list[int]) -> int:
        """Skip values, or rows of as many values as declared, at once; return their number."""
        if len(sizes) > 2:
            return 0
        run = (_RUN if len(sizes) == 1 else _ROWS).match(self._text, self._at)
        if run is None:
            return 0
        if len(sizes) == 1:
            self._at = run.end()
            return run[0].count(b",")
        rows = run[0].count(b"}")
        if run[0].count(b",") != rows * sizes[1]:  # a row of another length: look at each
            return 0
        self._at = run.end()
        return rows

    def _number(self) -> None:
        if self._next() in (b"-", b"+"):
            self._take()
        if not _DIGITS.fullmatch(self._next()):
            self._refuse(f"holds {self._shown()} instead of a whole number that fits int32")
        self._take()

    def _next(self) -> bytes:
        match = _TOKEN.match(self._text, self._at)
        return b"" if match is None else match[1]

    def _take(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        self._at = len(self._text) if match is None else match.end()

    def _shown(self) -> str:
        token = self._next().decode("utf-8", "replace")
        return reprlib.repr(token) if token else "the end of the file"

    def _refuse(self, reason: str) -> None:
        match = _TOKEN.match(self._text, self._at)
        at = match.start(1) if match is not None and match[1] else len(self._text.rstrip())
        raise _Found(Flaw(at, f"{self._name} {reason}"))
