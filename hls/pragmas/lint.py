"""What is wrong with the pragmas of a file, in one sentence each."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from hls.pragmas import directives as known
from hls.pragmas.directives import DIRECTIVES, Directive, Option
from hls.pragmas.rules import RULES
from hls.pragmas.source import CLASS, FUNCTION, LOOP, NAMESPACE, Pragma, all_names, pragmas
from hls.pragmas.written import Written, Wrong, read

_OTHER_PRAGMAS = {"once", "GCC", "clang", "STDC"}


def lint(path: Path, text: str, names: Collection[str] = ()) -> list[str]:
    """Return a line `path:line: ...` for each wrong pragma of a C++ file.

    `names` are the words of the files that it includes: a value of a pragma may use them.
    """
    known_names = all_names(text) | set(names)
    found = []
    for pragma in pragmas(text):
        try:
            _check(pragma, known_names)
        except Wrong as wrong:
            found.append(f"{path}:{pragma.line}: {wrong}")
    return found


def lint_folder(folder: Path) -> tuple[int, list[str]]:
    """Return the number of HLS pragmas of all C++ files below a folder, and what is wrong."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".cpp", ".hpp", ".h"))
    texts = {path: path.read_text() for path in files}
    names = set().union(*(all_names(text) for text in texts.values()))
    count = sum(pragma.words[:1] == ("HLS",) for text in texts.values() for pragma in pragmas(text))
    return count, [line for path, text in texts.items() for line in lint(path, text, names)]


def _check(pragma: Pragma, names: Collection[str]) -> None:
    if not pragma.words or pragma.words[0] != "HLS":
        if pragma.words and pragma.words[0] in _OTHER_PRAGMAS:
            return
        raise Wrong(
            f"the pragma starts with {' '.join(pragma.words[:1])!r}, but must start with HLS."
        )
    written = read(pragma)
    directive = DIRECTIVES[written.name]
    _check_place(pragma, written, directive)
    _check_completeness(written, directive)
    for option, value in written.values.items():
        _check_value(pragma, written, option, value, directive.options[option], names)
    if written.name in RULES:
        RULES[written.name](pragma, written)
    _check_others(pragma, written)


def _check_place(pragma: Pragma, written: Written, directive: Directive) -> None:
    name, kind = written.name.upper(), pragma.scope.kind
    if kind in (NAMESPACE, CLASS):
        raise Wrong(f"{name} stands outside of a function.")
    allowed = {FUNCTION: known.FUNCTION, LOOP: known.LOOP}.get(kind)
    if known.ANYWHERE not in directive.places and allowed not in directive.places:
        raise Wrong(f"{name} must stand directly in {' or '.join(directive.places)}.")
    if directive.first and pragma.statements:
        raise Wrong(f"{name} must stand before the first statement of its block.")


def _check_completeness(written: Written, directive: Directive) -> None:
    for option in directive.required:
        if option not in written.values:
            raise Wrong(f"{written.name.upper()} needs the option {option!r}.")
    if directive.one_of and not any(option in written.values for option in directive.one_of):
        raise Wrong(f"{written.name.upper()} needs one of {', '.join(directive.one_of)}.")


def _check_value(
    pragma: Pragma, written: Written, name: str, value: str, option: Option, names: Collection[str]
) -> None:
    where = f"the option {name!r} of {written.name.upper()}"
    if option.values and value.lower() not in option.values:
        raise Wrong(f"{where} is {value!r}, but must be one of {', '.join(option.values)}.")
    if option.kind == known.INTEGER:
        _check_integer(where, value, option.least, names)
    if option.kind == known.VARIABLE:
        base, _, member = value.partition(".")
        if base not in pragma.declared:
            raise Wrong(f"{where} is {value!r}, which is not declared above it in its function.")
        if member and not set(member.split(".")) <= set(names):
            raise Wrong(f"{where} is {value!r}, but nothing has a member of this name.")
    if option.kind == known.ARGUMENT:
        function = pragma.function
        arguments = function.arguments if function else frozenset()
        if value not in arguments and not (name == "port" and value == "return"):
            raise Wrong(f"{where} is {value!r}, which is not an argument of the function.")
    if option.kind == known.NAME and not re.fullmatch(r"[\w.:<>]+", value):
        raise Wrong(f"{where} is {value!r}, but must be a name.")


def _check_integer(where: str, value: str, least: int, names: Collection[str]) -> None:
    number = re.fullmatch(r"-?\d+", value)
    if number and int(value) < least:
        raise Wrong(f"{where} is {value}, but must be at least {least}.")
    parts = re.findall(r"[A-Za-z_]\w*|\d\w*", value)
    if not parts or re.search(r"[^\w:+\-*/%()]", value):
        raise Wrong(f"{where} is {value!r}, but must be an integer.")
    for part in parts:
        if part[0].isdigit() and not re.fullmatch(r"\d+[uUlL]*", part):
            raise Wrong(f"{where} is {value!r}, but must be an integer.")
        if not part[0].isdigit() and part not in names:
            raise Wrong(f"{where} names {part!r}, which no C++ file declares.")


# Directives of one block that exclude each other, with the reason.
_EXCLUDE = {
    frozenset({"pipeline", "dataflow"}): "a block is pipelined or a dataflow region",
    frozenset({"pipeline", "unroll"}): "a loop that is unrolled has no iterations to pipeline",
    frozenset({"inline", "dataflow"}): "an inlined function is not a region of its own",
}


def _check_others(pragma: Pragma, written: Written) -> None:
    """Check a pragma against those above it in its block, and against the ports of its function."""
    for other in _above(pragma):
        pair = frozenset({other.name, written.name})
        in_part = "factor" in {**other.values, **written.values}  # a loop that is unrolled in part
        if pair in _EXCLUDE and not in_part:
            reason = _EXCLUDE[pair]
            raise Wrong(f"{written.name.upper()} stands beside {other.name.upper()}: {reason}.")
        if other == written or _overrides(other, written):
            raise Wrong(f"{written.name.upper()} repeats one above it.")
    variable = written.values.get("variable")
    arrays = ("array_partition", "array_reshape", "dependence")
    if written.name in arrays and variable in _memory_ports(pragma):
        raise Wrong(f"{written.name.upper()} cannot change {variable!r}, a port of m_axi.")


def _above(pragma: Pragma) -> Iterator[Written]:
    for other in pragma.scope.pragmas:
        if other.line >= pragma.line:
            return
        if other.words[:1] == ("HLS",):
            try:
                yield read(other)
            except Wrong:
                continue


def _overrides(other: Written, written: Written) -> bool:
    """Return whether two pragmas give the same thing twice: one would be without effect."""
    if other.name != written.name:
        return False
    if written.name in ("pipeline", "dataflow", "inline", "unroll", "loop_tripcount"):
        return True
    same = "variable" if "variable" in written.values else "port"
    if other.values.get(same) != written.values.get(same):
        return False
    if written.name in ("array_partition", "array_reshape"):
        return other.values.get("dim", "1") == written.values.get("dim", "1")
    return written.name in ("bind_storage", "stream", "aggregate", "disaggregate")


def _memory_ports(pragma: Pragma) -> set[str]:
    function = pragma.function
    ports = set()
    for other in function.pragmas if function else ():
        if other.words[:2] == ("HLS", "INTERFACE"):
            try:
                written = read(other)
            except Wrong:
                continue
            if written.value("mode") == "m_axi":
                ports.add(written.values.get("port", ""))
    return ports
