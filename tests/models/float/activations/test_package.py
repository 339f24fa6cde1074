"""The wheel `lerp_psa`: what is in it, and what a user does with it elsewhere."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from models.float import activations
from tests.support.paths import ROOT

ROOM = ROOT / "models" / "float" / "activations"
CHECKS = ["from_elsewhere", "gradients", "weights", "precisions", "compiled", "exported"]
CHECKS += ["data_parallel", "shapes"]

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(
        importlib.util.find_spec("setuptools") is None, reason="setuptools builds the wheel"
    ),
]


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run([*command, "--no-deps", "--no-index"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel, built from the files that it needs: building leaves traces beside them."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOM, source / ROOM.relative_to(ROOT), ignore=ignored)
    (source / "docs").mkdir()
    for name in ("pyproject.toml", "LICENSE", "docs/activation.md"):
        shutil.copy(ROOT / name, source / name)
    pip("wheel", str(source), "--no-build-isolation", "--wheel-dir", str(source / "wheels"))
    (path,) = (source / "wheels").iterdir()
    return path


def test_it_holds_the_room_of_activations_and_needs_torch_alone(wheel):
    room = {f"lerp_psa/{path.relative_to(ROOM).as_posix()}" for path in ROOM.rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    assert {name for name in names if ".dist-info/" not in name} == room
    needed = [line for line in lines if line.startswith("Requires-Dist: ")]
    hard = [line for line in needed if "extra ==" not in line]
    assert [line.split()[1].split(">")[0] for line in hard] == ["torch"]


def test_a_user_s_program_runs_with_it(wheel, tmp_path):
    site = tmp_path / "site"
    pip("install", "--target", str(site), str(wheel))
    # Compiling the kernels for a new place takes longer than all the rest; they have other tests.
    (site / "numba.py").write_text("raise ImportError('hidden')\n")
    program = shutil.copy(ROOT / "tests" / "support" / "installed_library.py", tmp_path)
    onnx = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
    done = subprocess.run(
        [sys.executable, program, *([] if onnx else ["--without-onnx"])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "SITE": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == CHECKS + (["onnx"] if onnx else [])
    assert not done.stderr, done.stderr


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "activation.md").read_text()
    first, kan, pykan = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    monkeypatch.setitem(sys.modules, "lerp_psa", activations)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(first, names)
    assert names["loss"].isfinite() and names["model"][2].value.grad is not None
    exec(kan, names)
    assert (tmp_path / "build" / "units" / "layer" / "layer.hpp").is_file()
    assert names["y"].shape == (2,)
    if importlib.util.find_spec("kan") is not None:
        exec(pykan, names)
        assert (tmp_path / "build" / "units" / "kan" / "kan.hpp").is_file()
