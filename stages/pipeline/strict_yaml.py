"""Read a YAML file into plain values; report any fault in one sentence with its line.

DVC reads the same file by YAML 1.2 (ruamel.yaml), other programs by YAML 1.1. What they would read
differently is refused.
"""

import re
import reprlib
import stat
from pathlib import Path
from typing import Any

import yaml

from models.files.errors import PipelineError

_LARGEST_INT = 2**63 - 1
_LARGEST_FILE = 1 << 17  # bytes; ten times the file of this repository
_MOST_VALUES = 10_000  # keys and values, with every alias written out; bounds time and memory
# Types of unquoted scalars; `1e-3` is a number, as by YAML 1.2 and as `dvc exp run -S` writes it.
# What else looks like a number, a date or a flag is another value by YAML 1.1 (017 is 15, 1:30 is
# 90, no is false) or for ruamel.yaml, and is refused.
_SCALARS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": ("[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?[0-9]+(\.[0-9]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.[0-9]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
_LIKE_A_NUMBER = re.compile(r"[-+]?(\.*[0-9_][0-9_.]*([eE][-+]?[0-9]+)?|0o[0-7_]+)")
_YAML_1_1: Any = yaml.resolver.Resolver()
_TEXT = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
# Directives, and characters that are not allowed or that not all programs take for a line break.
_OTHER_FORMS = re.compile(
    "^%|[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
    re.MULTILINE,
)


def read_yaml(path: Path | str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the plain values of a YAML 1.2 file in UTF-8; duplicate keys are errors.

    PipelineError names the absolute path of a missing file, and the line of a syntax error.
    """
    text = _text(Path(path))
    try:
        document = yaml.load(text, _StrictLoader)
    except RecursionError:
        raise PipelineError(f"{path} is nested too deeply to be a parameter file.") from None
    except yaml.MarkedYAMLError as error:
        raise PipelineError(f"{path}, {_where_and_what(error)}.") from None
    if document is None:
        raise PipelineError(f"{path} is empty; restore it, for example with git checkout {path}.")
    return document


def _text(path: Path) -> str:
    """Return the content of a regular file of at most `_LARGEST_FILE` bytes in UTF-8."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PipelineError(f"{path} cannot be read: it is not a regular file.")
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise PipelineError(
            f"{path} is not there (looked for {path.absolute()}); stages run from the "
            "pipeline directory, the one that holds params.yaml."
        ) from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}.") from None
    if len(raw) > _LARGEST_FILE:
        raise PipelineError(
            f"{path} has more than {_LARGEST_FILE} bytes, too many for parameters; shorten it."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PipelineError(f"{path}, line {line}: not UTF-8 text; save it as UTF-8.") from None
    if other := _OTHER_FORMS.search(text):
        line = text.count("\n", 0, other.start()) + 1
        raise PipelineError(
            f"{path}, line {line}: {other[0]!a} is not allowed here, as a directive or a special "
            "character that not all programs read alike; remove it."
        )
    return text


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, changed to YAML 1.2; refuses what PyYAML ignores or crashes on."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = 0  # values so far, with every alias written out
        self._sizes: dict[int, int] = {}  # values in each finished node, by its id

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's name, and it adds to this mapping
        start: [rule for rule in rules if rule[0].split(":")[-1] not in (*_SCALARS, "timestamp")]
        for start, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:  # noqa: ANN401 - PyYAML's
        """Compose one value, counted."""
        before = self._count
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        node: Any = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            self._count += self._sizes.get(id(node), _MOST_VALUES)  # unknown: it holds itself
        else:
            self._count += 1
            self._sizes[id(node)] = self._count - before
        if self._count > _MOST_VALUES:
            raise _fault(f"more than {_MOST_VALUES} values, aliases written out", event)
        if getattr(event, "tag", None):
            raise _fault(
                f"the tag {reprlib.repr(event.tag)}, which not all programs read alike; remove it",
                event,
            )
        if node.tag == _TEXT and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            other = _YAML_1_1.resolve(yaml.ScalarNode, event.value, (True, False))
            if other != _TEXT or _LIKE_A_NUMBER.fullmatch(event.value):
                text = reprlib.repr(event.value)
                problem = f"not all programs read {text} alike; write a decimal number, true or"
                raise _fault(f"{problem} false, or put the text in quotes", event)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - PyYAML's
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                name = reprlib.repr(key.value)
                raise _fault(f"the key {name} is there twice in one mapping; keep one of them", key)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 - PyYAML's
        try:
            value = super().construct_object(node, deep)
        except ValueError:  # thousands of digits
            raise _fault(f"{reprlib.repr(node.value)} is not a value", node) from None
        if isinstance(value, int) and abs(value) > _LARGEST_INT:
            raise _fault("a whole number that does not fit in 64 bits", node)
        return value


for _name, (_pattern, _starts) in _SCALARS.items():
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_starts)
    )


def _fault(problem: str, at: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 - a node or event
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _where_and_what(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{error.problem or error.context or 'not valid YAML'}"
