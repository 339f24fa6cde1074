"""Read the files of an HLS tool safely: bounded size, no XML entities, checked numbers.

A report may come from another machine, be cut off, or belong to another program. Every reader here
returns checked values or raises PipelineError with the name of the file.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from models.files.errors import PipelineError

MAX_BYTES = 64 * 2**20  # the largest project-wide csynth.xml seen has 2.7 MB
MAX_DEPTH = 64  # levels of elements; nested loops are the deepest, and ten levels would be many
UNKNOWN = {"", "undef", "?", "-", "NA", "N/A"}  # the tools' texts for unknown values

_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,9}(\.\d{1,9})?", re.ASCII)
_RANGE = re.compile(r"\s*([^~\s]*)\s*~\s*([^~\s]*)\s*")


def read_text(path: Path) -> str:
    """Return the text of a report or log of at most MAX_BYTES; invalid UTF-8 becomes U+FFFD."""
    return _read(path).decode("utf-8", errors="replace")


def read_profile(path: Path) -> Element:
    """Return the <profile> element of a report.

    Raises PipelineError if the file cannot be read, is cut off, is not XML, is not a report, or has
    a doctype, which could declare entities.
    """
    data = _read(path)
    builder, depth = TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise PipelineError(f"{path} nests more than {MAX_DEPTH} elements; it is not a report.")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def doctype(*_: object) -> None:
        raise PipelineError(f"{path} has a document type, which no report of the tool has.")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: bad encodings
        raise PipelineError(
            f"{path} is cut off or is not XML ({error}); copy the report again."
        ) from None
    root = builder.close()
    if root.tag != "profile":
        raise PipelineError(
            f"{path} is not a report of an HLS tool: its root element is <{root.tag}>, but must be "
            "<profile>."
        )
    return root


def find(element: Element, tags: str, path: Path) -> Element:
    """Return the element at `tags`; PipelineError names the file that lacks it."""
    found = element.find(tags)
    if found is None:
        raise PipelineError(f"{path} is an incomplete report: it has no element {tags}.")
    return found


def text_of(element: Element, tags: str) -> str | None:
    """Return the stripped text at `tags`, or None if it is missing or means unknown."""
    text = (element.findtext(tags) or "").strip()
    return None if text in UNKNOWN else text


def required_text(element: Element, tags: str, path: Path) -> str:
    """Return the text at `tags`; PipelineError if it is missing or means unknown."""
    text = text_of(element, tags)
    if text is None:
        raise PipelineError(f"{path} is an incomplete report: it has no {tags}.")
    return text


def count(text: str | None, where: str) -> int | None:
    """Return a whole number (of cycles or resources), None if it is unknown.

    PipelineError, which starts with `where`, for any other text.
    """
    text = (text or "").strip()
    if text in UNKNOWN:
        return None
    if not _COUNT.fullmatch(text):
        raise PipelineError(f"{where} is {text[:40]!r}, but must be a whole number or undef.")
    return int(text)


def number(text: str | None, where: str) -> float | None:
    """Return a decimal number (a period in ns), None if it is unknown.

    PipelineError, which starts with `where`, for any other text.
    """
    text = (text or "").strip()
    if text in UNKNOWN:
        return None
    if not _NUMBER.fullmatch(text):
        raise PipelineError(f"{where} is {text[:40]!r}, but must be a number or undef.")
    return float(text)


def bounds(element: Element | None, where: str) -> tuple[int | None, int | None]:
    """Return the minimum and maximum of `12`, `6 ~ 9`, undef, or <range> with <min> and <max>."""
    if element is None:
        return None, None
    if element.find("range") is not None:
        return (
            count(element.findtext("range/min"), where),
            count(element.findtext("range/max"), where),
        )
    text = element.text or ""
    match = _RANGE.fullmatch(text)
    if match:
        return count(match[1], where), count(match[2], where)
    value = count(text, where)
    return value, value


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise PipelineError(f"{path} has more than {MAX_BYTES >> 20} MB; it is not a report.")
    return data
