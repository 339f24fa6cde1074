"""Read a YAML file into plain values; report any fault in one sentence with its line."""

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from models.files.errors import PipelineError

_LARGEST_INT = 2**63 - 1
# Types of unquoted scalars by YAML 1.2, as ruamel.yaml and thus DVC read them; PyYAML follows 1.1.
_SCALARS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": ("[-+]?(0b[01_]+|0o[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)", "-+0123456789"),
    "float": (
        r"[-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


def read_yaml(path: Path | str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the plain values of a YAML 1.2 file in UTF-8; duplicate keys are errors.

    PipelineError names the absolute path of a missing file, and the line of a syntax error.
    """
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise PipelineError(
            f"{path} is not there (looked for {Path(path).absolute()}); stages run from the "
            "pipeline directory, the one that holds params.yaml."
        ) from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PipelineError(f"{path}, line {line}: not UTF-8 text; save it as UTF-8.") from None
    try:
        document = yaml.load(text, _StrictLoader)
    except RecursionError:
        raise PipelineError(f"{path} is nested too deeply to be a parameter file.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PipelineError(f"{path}, line {line}: {error.reason}; remove them.") from None
    except yaml.MarkedYAMLError as error:
        raise PipelineError(f"{path}, {_where_and_what(error)}.") from None
    if document is None:
        raise PipelineError(f"{path} is empty; restore it, for example with git checkout {path}.")
    return document


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, changed to YAML 1.2; refuses what PyYAML ignores or crashes on."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's name, and it adds to this mapping
        start: [(tag, pattern) for tag, pattern in known if tag.split(":")[-1] not in _SCALARS]
        for start, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - PyYAML's
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} is there twice in one mapping; keep one of them"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 - PyYAML's
        try:
            value = super().construct_object(node, deep)
        except (AttributeError, LookupError, TypeError, ValueError):  # 2023-02-31, !!bool maybe
            problem = f"{reprlib.repr(node.value)} is not a value"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None
        if isinstance(value, int) and abs(value) > _LARGEST_INT:
            problem = "a whole number that does not fit in 64 bits"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return value

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        return int(text, {"0b": 2, "0o": 8, "0x": 16}.get(text.lstrip("-+")[:2], 10))


for _name, (_pattern, _starts) in _SCALARS.items():
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_starts)
    )
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def _where_and_what(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{error.problem or error.context or 'not valid YAML'}"
