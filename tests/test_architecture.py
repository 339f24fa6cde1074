"""Who may import whom, and: each DVC stage lists exactly the code it imports.

All is read off the source text (`ast`), imports inside functions included.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

PACKAGES = ("hls", "models", "stages")
MODULES = sorted(
    path.relative_to(ROOT).as_posix() for name in PACKAGES for path in ROOT.glob(f"{name}/**/*.py")
)
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# What the integer side is made of: it runs and is checked where torch is not installed.
NUMERIC = [
    *("models/files/errors.py", "models/files/atomic.py", "models/files/restricted_pickle.py"),
    *("models/integer/fixed_point.py", "models/integer/params.py", "models/integer/resmlp.py"),
]
TORCH_FREE = [
    *(*NUMERIC, "models/activations/__init__.py"),
    *("stages/pipeline/params.py", "stages/pipeline/dataset.py", "stages/sources/registry.py"),
    *("stages/verify.py", "stages/generate_headers.py", "stages/csim.py", "stages/synthesize.py"),
    *("stages/report.py", "stages/by_hand/readme_tables.py"),
    *(path for path in MODULES if path.startswith("hls/")),
]
# Activations, and the fast paths behind them, are imported by names that are put together at run
# time. So whoever asks for one by name may come to need any file of the package.
BY_NAME = {
    "models.float.activations.registry.activation_class",
    "models.float.activations.registry.build_activation",
}
ACTIVATIONS = {path for path in MODULES if path.startswith("models/float/activations/")}


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """Yield the nodes below `node` in the order of the text."""
    for child in ast.iter_child_nodes(node):
        yield child
        if inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(child, inside_functions)


def imported_names(path: str, inside_functions: bool = True) -> set[str]:
    """Return all dotted names that `path` imports; `from a import b` gives a and a.b."""
    names = set()
    for node in statements(tree(path), inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def imports(path: str, inside_functions: bool = True) -> frozenset[str]:
    """Return the files of this repository that `path` imports itself, packages' files too."""
    names = imported_names(path, inside_functions)
    found = set(ACTIVATIONS) if inside_functions and names & BY_NAME else set()
    for name in names:
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


def is_docstring_only(path: str) -> bool:
    return all(isinstance(node, ast.Expr) for node in tree(path).body)


def needed(stage: str) -> set[str]:
    """Return the code whose change can change what the stage writes."""
    definition = GRAPH[stage].get("do", GRAPH[stage])
    script = re.match(r"python -m (\S+)", definition["cmd"])[1].replace(".", "/") + ".py"
    code = {path for path in closure(script) if not is_docstring_only(path)}
    if stage in ("csim", "synthesize"):
        folders = ("include/*.hpp", "streaming/*.hpp", "simd/*.?pp", "*.cpp")
        found = [path for pattern in folders for path in ROOT.glob(f"hls/{pattern}")]
        code |= {path.relative_to(ROOT).as_posix() for path in found}
    return code


def listed(stage: str) -> set[str]:
    """Return the code in the stage's `deps`; a folder stands for the files in it."""
    definition = GRAPH[stage].get("do", GRAPH[stage])
    code = {dep.removeprefix("${code_root}/") for dep in definition["deps"] if "code_root" in dep}
    for folder in {path for path in code if (ROOT / path).is_dir()}:
        files = [path for path in (ROOT / folder).iterdir() if path.is_file()]
        code = code - {folder} | {path.relative_to(ROOT).as_posix() for path in files}
    return code


@pytest.mark.parametrize("stage", GRAPH)
def test_deps_are_the_imported_code(stage: str) -> None:
    missing = [f"      - ${{code_root}}/{path}" for path in sorted(needed(stage) - listed(stage))]
    superfluous = sorted(listed(stage) - needed(stage))
    text = "\n".join(["", f"{stage}: missing", *missing, f"{stage}: superfluous", *superfluous])
    assert not missing and not superfluous, text


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_down(path: str) -> None:
    package = path.split("/")[0]
    if package == "models":
        assert not [other for other in imports(path) if not other.startswith("models/")]
    if package == "hls":
        allowed = {*NUMERIC, "models/__init__.py"}
        assert not [o for o in imports(path) if not o.startswith("hls/") and o not in allowed]
    if package == "stages" and not Path(path).name.startswith("_"):
        assert not [o for o in imports(path) if re.match(r"stages/[a-z]", o)], "stage of a stage"


def test_no_import_cycle() -> None:
    done: set[str] = set()

    def visit(path: str, trail: tuple[str, ...]) -> None:
        assert path not in trail, " -> ".join((*trail[trail.index(path) :], path))
        if path not in done:
            for other in imports(path, inside_functions=False):
                visit(other, (*trail, path))
            done.add(path)

    for path in MODULES:
        visit(path, ())


@pytest.mark.parametrize("path", TORCH_FREE)
def test_module_level_imports_are_torch_free(path: str) -> None:
    for module in closure(path, inside_functions=False):
        heavy = imported_names(module, inside_functions=False) & {"torch", "torchvision"}
        assert not heavy, f"{path} leads to {module}, which imports {heavy}"


def test_torch_free_modules_run_without_torch() -> None:
    names = [path.removesuffix(".py").replace("/", ".") for path in TORCH_FREE]
    code = "import sys\nsys.modules['torch'] = sys.modules['torchvision'] = None\n"  # now an error
    code += "\n".join(f"import {name.removesuffix('.__init__')}" for name in names)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", MODULES)
def test_names_say_what_a_thing_is(path: str) -> None:
    assert not re.search(r"(_new|_old|_\d+)\.py$", path), "git remembers the other version"
    names = {path}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        assert getattr(node, "id", "") != "print", f"{path}:{node.lineno}: use logging"
    assert not [name for name in names if re.search(r"util|helper|misc", name, re.I)]
