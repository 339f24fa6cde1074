"""The text of a C++ header without what carries no arrays: comments, directives, strings.

Editors save headers as UTF-8 or UTF-16, with or without a byte order mark, with any line ends. What
is removed leaves its line breaks, so line numbers stay. Every function takes time in proportion to
the length of the file.
"""

import codecs
import re
from pathlib import Path

from models.files.errors import PipelineError

MAX_BYTES = 1 << 25  # per file; the samples of the largest published network take 2**21 bytes

# Each form begins with a fixed byte, so that `re` looks for these bytes alone. A quote after a
# digit or letter separates digits: 1'000.
_OPENER = re.compile(rb"""//|/\*|'(?<![0-9A-Za-z_]')|"|\#""")
_RAW_PREFIX = re.compile(rb"(?<![0-9A-Za-z_])(?:u8|[uUL])?R\Z")
_TAIL = 1000  # bytes before a # that may be blanks
_LINE_END = re.compile(rb"(?<!\\)\n|\Z")
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*+"', re.DOTALL)
_RAW = re.compile(rb'"([^\s()\\"]{0,16})\(')
_CHARACTER = re.compile(
    rb"'(?:([\x20-&(-\[\]-\x7e])|\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|([abfnrtv0\\'\"?])))'"
)
_OTHER_CHARACTER = re.compile(rb"'(?:[^'\\\n]|\\.)++'")
_ESCAPES = dict(zip(b"abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))
_DIRECTIVE = re.compile(rb'(?:"(?:[^"\\\n]|\\.)*+"|[^\n/\\]|\\\n|\\|/(?![*/]))*+')
_NO_BRANCH = re.compile(rb"[ \t]*\#[ \t]*if[ \t]+(?:0|false)[ \t\r]*+(?=$|/)", re.MULTILINE)
_BRANCH = re.compile(
    rb"^[ \t]*+\#[ \t]*+(if|endif|else|elif)\w*+[^\n]*+", re.MULTILINE
)  # `if` stands for ifdef and ifndef, too


class SourceError(Exception):
    """A header cannot be split into comments and code; `line` says where."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def read_source(file: Path) -> bytes:
    """Return a header as UTF-8 with `\\n` line ends; PipelineError if it is no text or large."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PipelineError(f"{file} cannot be read ({error.strerror}).") from error
    if len(data) > MAX_BYTES:
        raise PipelineError(
            f"{file} has more than {MAX_BYTES} bytes, too many for a header of parameters."
        )
    return unix_lines(_utf8(data, file))


def unix_lines(source: bytes) -> bytes:
    """Return the source with `\\n` for the line ends of Windows and old Macs."""
    return source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def code_of(source: bytes) -> bytes:
    """Return the source without comments, directives and `#if 0`; a string becomes `""`.

    A character becomes its number. Raises SourceError if a comment or a text is not closed.
    """
    kept = bytearray()
    at = 0
    while opener := _OPENER.search(source, at):
        start = opener.start()
        kept += source[at:start]
        at, text = _skipped(source, start, opener[0], bytes(kept[-_TAIL:]))
        kept += text + b"\n" * source.count(b"\n", start, at)
    kept += source[at:]
    return bytes(kept.replace(b"\\\n", b" \n"))


def _skipped(source: bytes, start: int, opener: bytes, before: bytes) -> tuple[int, bytes]:
    """Return the end of what begins at `start`, and what is kept of it besides line breaks."""
    if opener == b"//":
        return _end_of_line(source, start), b" "
    if opener == b"/*":
        return _after(source, b"*/", start + 2, start, "a comment"), b" "
    if opener == b"#":
        before = before.rstrip(b" \t")
        if before and not before.endswith(b"\n"):
            return start + 1, b"#"
        return _end_of_directive(source, start), b""
    if opener == b"'":
        character = _CHARACTER.match(source, start)
        if character is not None:
            return character.end(), _number(character)
        return _end_of_quotes(_OTHER_CHARACTER.match(source, start), source, start), b"'"
    if _RAW_PREFIX.search(before[-4:]) and (raw := _RAW.match(source, start)):
        closer = b")" + raw[1] + b'"'
        return _after(source, closer, raw.end(), start, "a raw string"), b'""'
    return _end_of_quotes(_STRING.match(source, start), source, start), b'""'


def _end_of_quotes(match: re.Match[bytes] | None, source: bytes, start: int) -> int:
    if match is None:
        raise SourceError(source.count(b"\n", 0, start) + 1, "a text in quotes is not closed")
    return match.end()


def _number(character: re.Match[bytes]) -> bytes:
    plain, octal, hexadecimal, escape = character.groups()
    if plain is not None:
        value = plain[0]
    elif octal is not None:
        value = int(octal, 8)
    else:
        value = int(hexadecimal, 16) if hexadecimal is not None else _ESCAPES[escape[0]]
    return b" %d " % (value - 256 if value > 127 else value)


def _end_of_line(source: bytes, start: int) -> int:
    end = _LINE_END.search(source, start)
    return len(source) if end is None else end.start()


def _after(source: bytes, closer: bytes, begin: int, start: int, what: str) -> int:
    end = source.find(closer, begin)
    if end < 0:
        raise SourceError(source.count(b"\n", 0, start) + 1, f"{what} is not closed")
    return end + len(closer)


def _end_of_directive(source: bytes, start: int) -> int:
    """Return the end of a directive, with its comments; of `#if 0` its #else, #elif or #endif."""
    if _NO_BRANCH.match(source, start):
        depth, at = 0, start
        for branch in _BRANCH.finditer(source, start):
            at = branch.end()
            depth += {b"if": 1, b"endif": -1}.get(branch[1], 0)
            if depth == 0 or (depth == 1 and branch[1] != b"if" and branch.start() > start):
                return at
        raise SourceError(source.count(b"\n", 0, start) + 1, "#if 0 has no #endif")
    at = start
    while True:
        plain = _DIRECTIVE.match(source, at)
        assert plain is not None  # it matches the empty text
        at = plain.end()
        if source.startswith(b"/*", at):
            at = _after(source, b"*/", at + 2, at, "a comment")
        else:
            return _end_of_line(source, at) if source.startswith(b"//", at) else at


def _utf8(data: bytes, file: Path) -> bytes:
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    encoding = _wide_encoding(data)
    if encoding is None:
        if b"\0" in data:
            raise PipelineError(f"{file} holds zero bytes: it is not text; save it as UTF-8.")
        return data
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode("utf-8", "replace")
    except UnicodeDecodeError:
        raise PipelineError(f"{file} is damaged {encoding}; save it as UTF-8.") from None


def _wide_encoding(data: bytes) -> str | None:
    """Return UTF-16 or UTF-32 by its byte order mark, or by the zeros of Latin letters."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF32_BE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
    ):
        if data.startswith(mark):
            return encoding
    start = data[:64]
    for zeros, others, encoding in (
        (start[1::2], start[::2], "UTF-16-LE"),
        (start[::2], start[1::2], "UTF-16-BE"),
    ):
        if len(start) >= 4 and not any(zeros) and all(others):
            return encoding
    return None
