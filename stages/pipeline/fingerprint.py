"""Hash the code that a stage computes with; comments, docstrings and layout do not count.

The unit is a top-level statement: a function, a class, a constant. The code of a stage consists of
all statements of its script, all statements of the project that those refer to, and so on, and of
statements that do more than define names when their module is imported (calls, registrations).
Each statement counts by its syntax tree without docstrings, so the hash is independent of comments,
line breaks and order.

References that appear in no source text cannot be found, e.g. a module imported by a name that is
built at run time. Such modules are passed as `entries`; tests/test_architecture.py limits the
places that do this.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGES = ("stages", "models", "hls")
# Decorators that affect only the decorated object; any other may register it somewhere.
_PURE = {
    "cache",
    "compiled",
    "contextmanager",
    "dataclass",
    "intrinsic",
    "njit",
    "no_grad",
    "once_differentiable",
}
_NOT_MEANING = {"ctx", "type_comment", "type_ignores", "kind"}
_CPP_COMMENT = re.compile(r'("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\')|//[^\n]*|/\*.*?\*/', re.DOTALL)
_CPP_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\w+|\S')

Binding = tuple[str, str, str]  # (local name, module as it is written, name in it or "")
Place = tuple[str, str | None]  # (module, name in it); None: the module as a whole
Uses = set[tuple[str, str | None]]  # (name, attribute); None: the name is used whole


@dataclass(frozen=True)
class Statement:
    """A top-level statement.

    `names` are the names it defines; `acts` is whether executing it may do more than define them;
    `text` is its syntax tree as text; `uses` are the (name, attribute) pairs it reads, with the
    attribute None if the name is also used without one.
    """

    names: frozenset[str]
    acts: bool
    text: str
    uses: frozenset[tuple[str, str | None]]


@dataclass(frozen=True)
class Linked:
    """A statement of a module of the project, and the places that it refers to."""

    statement: Statement
    places: frozenset[Place]


@dataclass(frozen=True)
class Module:
    """The statements of a file, and its imports.

    `bound` maps each imported name to the places it comes from. It is a set because two functions
    of a file may import different things under one name. `imports` are all modules of the project
    that the file imports.
    """

    statements: tuple[Linked, ...]
    bound: Mapping[str, set[Place]]
    imports: frozenset[str]


@dataclass(eq=False)
class Code:
    """The code under a root folder (`stages/`, `models/`, `hls/`), each file parsed once."""

    root: Path
    _modules: dict[str, Module] = field(default_factory=dict)
    _paths: dict[str, Path | None] = field(default_factory=dict)

    def statements(self, entries: Iterable[str], opaque: Iterable[str] = ()) -> set[str]:
        """Return the text of every statement that the modules `entries` compute with.

        All statements of the entries count. References into the modules `opaque` are not followed.
        """
        left_out = set(opaque)
        found: set[str] = set()
        seen: set[Place] = set()
        todo: list[Place] = [(entry, None) for entry in entries]
        todo += [(name, "") for entry in entries for name in self.modules(entry, left_out)]
        while todo:
            name, wanted = place = todo.pop()
            if place in seen or name in left_out:
                continue
            seen.add(place)
            module = self.module(name)
            if wanted is not None:
                todo += module.bound.get(wanted, ())
            for linked in module.statements:
                statement = linked.statement
                if wanted is None or statement.acts or wanted in statement.names:
                    found.add(f"{name}: {statement.text}")
                    todo += linked.places - seen
        return found

    def modules(self, entry: str, opaque: Iterable[str] = ()) -> set[str]:
        """Return the project modules that `entry` imports, directly or not, including itself."""
        seen: set[str] = set()
        todo = {entry} - set(opaque)
        while todo:
            seen |= todo
            found = {other for name in todo for other in self.module(name).imports}
            todo = found - seen - set(opaque)
        return seen

    def module(self, name: str) -> Module:
        """Return a module of the project by its dotted name."""
        if name not in self._modules:
            path = self._path(name)
            assert path is not None, name
            self._modules[name] = self._module(name, *_parsed(path.read_text(encoding="utf-8")))
        return self._modules[name]

    def _path(self, name: str) -> Path | None:
        if name.split(".")[0] not in PACKAGES:
            return None
        if name not in self._paths:
            stem = self.root / name.replace(".", "/")
            files = (stem.with_suffix(".py"), stem / "__init__.py")
            self._paths[name] = next((file for file in files if file.is_file()), None)
        return self._paths[name]

    def _module(
        self, name: str, statements: tuple[Statement, ...], bindings: tuple[Binding, ...]
    ) -> Module:
        bound: dict[str, set[Place]] = {}
        imports: set[str] = set()
        for local, written, attribute in bindings:
            module = self._absolute(name, written)
            inner = f"{module}.{attribute}" if attribute else module
            for dotted in (*_parents(module), module, inner):
                if self._path(dotted):
                    imports.add(dotted)
            if self._path(inner):
                bound.setdefault(local, set()).add((inner, None))
            elif self._path(module):
                bound.setdefault(local, set()).add((module, attribute))
        linked = (
            Linked(statement, frozenset(self._places(name, bound, statement)))
            for statement in statements
        )
        return Module(tuple(linked), bound, frozenset(imports))

    def _absolute(self, importer: str, written: str) -> str:
        """Return the full name of a module that `importer` may name relatively (`..spec`)."""
        module = written.lstrip(".")
        levels = len(written) - len(module)
        if not levels:
            return module
        path = self._path(importer)
        own = 0 if path is not None and path.name == "__init__.py" else 1
        parts = importer.split(".")
        parents = parts[: len(parts) - (levels - 1 + own)]
        return ".".join([*parents, *([module] if module else [])])

    def _places(
        self, name: str, bound: Mapping[str, set[Place]], statement: Statement
    ) -> Iterator[Place]:
        """Yield the places (module, name) that a statement of the module `name` refers to."""
        for used, attribute in statement.uses:
            if used not in bound:
                yield name, used
            for other, inner in bound.get(used, ()):
                submodule = f"{other}.{attribute}"
                if inner is not None or attribute is None:
                    yield other, inner
                elif self._path(submodule):
                    yield submodule, None
                else:
                    yield other, attribute


def fingerprint(texts: Iterable[str]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a set of texts, in any order."""
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:16]


@cache
def cpp_meaning(source: str) -> str:
    """Return C++ code without comments and layout.

    Tokens are separated by one space; each preprocessor directive is on its own line.
    """
    text = _CPP_COMMENT.sub(lambda match: match[1] or " ", source.replace("\\\n", " "))
    lines: list[str] = []
    for line in text.split("\n"):
        tokens = " ".join(_CPP_TOKEN.findall(line))
        if tokens.startswith("#"):
            lines.append(f"\n{tokens}\n")
        elif tokens:
            lines.append(tokens)
    return re.sub(r"\n+", "\n", " ".join(lines))


@cache
def _parsed(source: str) -> tuple[tuple[Statement, ...], tuple[Binding, ...]]:
    """Return the statements of a module and the bindings of its imports."""
    tree = ast.parse(source)
    bindings = tuple(binding for node in ast.walk(tree) for binding in _imported(node))
    counted = (node for node in tree.body if not _is_import(node) and not _is_text(node))
    return tuple(map(_statement, counted)), bindings


def _statement(node: ast.stmt) -> Statement:
    return Statement(frozenset(_defined(node)), _acts(node), _meaning(node), frozenset(_uses(node)))


def _meaning(node: object) -> str:
    """Return a syntax tree as text that is the same in every version of Python."""
    if isinstance(node, list):
        return "[" + ",".join(_meaning(item) for item in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = [item for item in value if not _is_text(item)]
        if name not in _NOT_MEANING and value is not None and value != []:
            parts.append(f"{name}={_meaning(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(node: object) -> bool:
    """Return whether a statement is only a string: a docstring, or a note without effect."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _imported(node: ast.AST) -> Iterator[Binding]:
    """Yield (local name, module, name in it or "") for what an import statement binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            local = alias.asname or alias.name.split(".")[0]
            yield local, alias.name if alias.asname else alias.name.split(".")[0], ""
            if not alias.asname and "." in alias.name:
                yield f" {alias.name}", alias.name, ""  # loaded, though bound by its first part
    elif isinstance(node, ast.ImportFrom):
        written = "." * node.level + (node.module or "")
        for alias in node.names:
            yield alias.asname or alias.name, written, alias.name


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    stored = (child for child in ast.walk(node) if isinstance(child, ast.Name))
    return {child.id for child in stored if isinstance(child.ctx, ast.Store)}


def _acts(node: ast.stmt) -> bool:
    """Return whether executing the statement may do more than bind names."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return any(_decorator(item) not in _PURE for item in node.decorator_list)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        plain = all(isinstance(target, ast.Name | ast.Tuple) for target in targets)
        return not plain or any(isinstance(child, ast.Call) for child in ast.walk(node))
    return not _is_text(node)


def _decorator(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _uses(node: ast.AST) -> Uses:
    """Return the names that a statement reads, each with its attribute if only that is read."""
    uses: Uses = set()
    inside: set[int] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
            uses.add((child.value.id, child.attr))
            inside.add(id(child.value))
        elif isinstance(child, ast.Name) and id(child) not in inside:
            uses.add((child.id, None))
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            uses |= _quoted(child.value)
    return uses


def _quoted(text: str) -> Uses:
    """Return the name in a quoted annotation."""
    return {(text, None)} if text.isidentifier() else set()
