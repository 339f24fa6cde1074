"""Who may import whom: rooms, their directions, and what must be visible to the fingerprints.

All is read off the source text (`ast`), imports inside functions included.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath

import pytest
import yaml

from tests.support.paths import ROOT

PACKAGES = ("hls", "models", "stages")
MODULES = sorted(
    path.relative_to(ROOT).as_posix() for name in PACKAGES for path in ROOT.glob(f"{name}/**/*.py")
)
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SCRIPTS = {
    PurePosixPath(path).stem for path in MODULES if re.fullmatch(r"stages/[a-z]\w*.py", path)
}
# Rooms that work where torch is not installed: the integers, the hardware, what reads parameters.
TORCH_FREE_ROOMS = ("models/files", "models/integer", "hls", "stages/pipeline", "stages/sources")
TORCH_FREE = [
    path
    for path in MODULES
    if path.startswith(tuple(f"{room}/" for room in TORCH_FREE_ROOMS))
    and path not in ("stages/pipeline/cost.py", "stages/sources/torchvision_import.py")
] + [
    f"stages/{name}.py" for name in ("code", "verify", "generate_headers", "plan", "csim", "report")
]
# The only places that import a module by a name that is put together at run time: stages/code.py
# gives the modules that the registry finds to the fingerprints itself, and the pipeline does not
# ask the room of activations for the names that it has for people who install it.
BY_NAME = {
    "models/float/activations/__init__.py",
    "models/float/activations/registry.py",
    "stages/__main__.py",
}
# The room that is installed under another name (pyproject.toml), so it names its files relatively.
INSTALLED = "models/float/activations/"


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """Yield the nodes below `node` in the order of the text."""
    for child in ast.iter_child_nodes(node):
        yield child
        if inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(child, inside_functions)


def absolute(path: str, node: ast.ImportFrom) -> str:
    """Return the full name of the module of an import, which is relative in one room only."""
    inside = path.startswith(INSTALLED)
    assert inside or node.level == 0, f"{path}:{node.lineno}: relative import"
    if node.level == 0:
        ours = node.module.split(".")[0] in PACKAGES
        assert not (inside and ours), f"{path}:{node.lineno}: is elsewhere when it is installed"
        return node.module
    folder = PurePosixPath(path).parent.parts
    parents = folder[: len(folder) - (node.level - 1)]
    return ".".join((*parents, *([node.module] if node.module else [])))


def imported_names(path: str, inside_functions: bool = True) -> set[str]:
    """Return all dotted names that `path` imports; `from a import b` gives a and a.b."""
    names = set()
    for node in statements(tree(path), inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@cache
def imports(path: str, inside_functions: bool = True) -> frozenset[str]:
    """Return the files of this repository that `path` imports itself, packages' files too."""
    found: set[str] = set()
    for name in imported_names(path, inside_functions):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            stem = "/".join(parts[:end])
            found |= {f"{stem}.py", f"{stem}/__init__.py"} & set(MODULES)
    return frozenset(found - {path})


def closure(path: str, inside_functions: bool = True) -> set[str]:
    """Return `path` and every file of this repository that importing it can lead to."""
    seen: set[str] = set()
    todo = {path}
    while todo:
        seen |= todo
        todo = {new for old in todo for new in imports(old, inside_functions)} - seen
    return seen


def room(path: str) -> str:
    """Return the folder of a module, at most two deep in hls/; a stage is a room of its own."""
    folder = PurePosixPath(path).parent
    if folder.parts[0] == "hls":
        return "/".join(folder.parts[:2])
    return path if str(folder) == "stages" else str(folder)


def arrows() -> dict[str, set[str]]:
    """Return which rooms each room imports."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        others = {room(other) for other in imports(path) if not other.endswith("__init__.py")}
        found.setdefault(room(path), set()).update(others - {room(path)})
    return found


def test_rooms_import_each_other_in_no_circle() -> None:
    rooms, done = arrows(), set()

    def visit(place: str, trail: tuple[str, ...]) -> None:
        assert place not in trail, " -> ".join((*trail[trail.index(place) :], place))
        if place not in done:
            for other in sorted(rooms.get(place, ())):
                visit(other, (*trail, place))
            done.add(place)

    for place in rooms:
        visit(place, ())


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_down(path: str) -> None:
    package, others = (
        path.split("/")[0],
        {o for o in imports(path) if not o.endswith("__init__.py")},
    )
    if package == "models":
        assert not [other for other in others if not other.startswith("models/")]
    if package == "hls":
        allowed = ("hls/", "models/files/", "models/integer/")
        assert not [other for other in others if not other.startswith(allowed)]
    if package == "stages":
        may_import_stages = path.startswith("stages/by_hand/")
        stages = [other for other in others if re.fullmatch(r"stages/\w+\.py", other)]
        assert may_import_stages or not stages, "stage of a stage"
    if path.startswith("models/integer/"):
        assert not [o for o in others if not o.startswith(("models/integer/", "models/files/"))]


def test_the_activations_can_be_lifted_out() -> None:
    for path in MODULES:
        if path.startswith(INSTALLED):
            others = [o for o in imports(path) if not o.startswith(INSTALLED)]
            assert all(other.endswith("__init__.py") for other in others), (path, others)


def test_the_stages_are_the_graph() -> None:
    run = set()
    for definition in GRAPH.values():
        command = definition.get("do", definition)["cmd"]
        run.add(re.match(r"python \$\{code_root\}/stages (\w+)", command)[1])
    assert run == SCRIPTS


def test_every_room_says_its_purpose_in_its_first_line() -> None:
    for path in MODULES:
        if path.endswith("__init__.py"):
            text = ast.get_docstring(tree(path))
            assert text and text.splitlines()[0].endswith("."), path


@pytest.mark.parametrize("path", MODULES)
def test_the_fingerprints_see_every_import(path: str) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            plain = [
                a.name for a in node.names if a.name.split(".")[0] in PACKAGES and not a.asname
            ]
            assert not plain, f"{path}:{node.lineno}: write `from ... import ...`"
        if isinstance(node, ast.Call) and path not in BY_NAME:
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            bare = isinstance(node.func, ast.Name) and name in ("__import__", "exec", "eval")
            if bare or name in ("import_module", "run_module"):
                constant = node.args and isinstance(node.args[0], ast.Constant)
                ours = constant and str(node.args[0].value).split(".")[0] in PACKAGES
                assert constant and not ours, f"{path}:{node.lineno}: {name} hides an import"


@pytest.mark.parametrize("path", TORCH_FREE)
def test_module_level_imports_are_torch_free(path: str) -> None:
    for module in closure(path, inside_functions=False):
        heavy = imported_names(module, inside_functions=False) & {"torch", "torchvision"}
        assert not heavy, f"{path} leads to {module}, which imports {heavy}"


@pytest.mark.pipeline
def test_torch_free_modules_run_without_torch() -> None:
    names = [path.removesuffix(".py").replace("/", ".") for path in TORCH_FREE]
    code = "import sys\nsys.modules['torch'] = sys.modules['torchvision'] = None\n"  # now an error
    code += "\n".join(f"import {name.removesuffix('.__init__')}" for name in names)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", MODULES)
def test_names_say_what_a_thing_is(path: str) -> None:
    assert not re.search(r"(_new|_old|_\d+)\.py$", path), "git remembers the other version"
    assert not re.search(r"/_[a-z]", path), "a room needs no underscored names"
    names = {path}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    assert not [name for name in names if re.search(r"util|helper|misc", name, re.I)]
