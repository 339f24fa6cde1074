"""A clone works wherever it is: its path may have blanks, quotes, umlauts and dollars."""

import os
import shutil
import site
import subprocess
import sys
import venv

import pytest

from tests.hls.simulate.test_gpp import PATH_OF_A_CLONE
from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline


@pytest.fixture
def clone(tmp_path):
    """Return a copy of the checkout in such a path, with an environment of our packages.

    Beside it are files whose names are what a shell would make of its path.
    """
    for neighbour in ("it's", "it", PATH_OF_A_CLONE.split("$")[0].strip()):
        (tmp_path / neighbour).mkdir()
        (tmp_path / neighbour / "precious.txt").write_text("kept")
    copy = tmp_path / PATH_OF_A_CLONE
    copy.mkdir()
    for name in ("stages", "models", "hls", "demo"):
        ignored = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, copy)
    venv.create(copy / ".venv", symlinks=True)
    place = next((copy / ".venv" / "lib").glob("python*/site-packages"))
    ours = [path for path in sys.path if path.endswith("-packages")] or site.getsitepackages()
    (place / "ours.pth").write_text("\n".join(ours))
    (copy / ".venv" / ".installed").touch()
    return copy


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(clone, *command):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_make_and_a_stage_work_in_a_path_of_any_characters(clone, tmp_path):
    outside = {path: text for path, text in files(tmp_path).items() if clone not in path.parents}
    assert len(outside) == 3
    assert "make setup" in run(clone, "make", "help")
    run(clone, "make", "setup")
    said = run(
        clone,
        "make",
        "--dry-run",
        "--no-print-directory",
        "demo",
        "current",
        "check",
        "repro",
        "lint",
        "quick",
    )
    assert str(clone) not in said  # nothing that a shell would have to take apart
    run(clone, ".venv/bin/python", "stages", "plan", "relu_h96_stream")
    assert (clone / "data/designs/relu_h96_stream/headers/design.hpp").is_file()
    for path, text in outside.items():
        assert path.read_bytes() == text


def test_a_colon_in_the_path_is_told(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    done = subprocess.run(["make", "setup"], cwd=folder, capture_output=True, text=True)
    assert done.returncode != 0 and "colon" in done.stderr
    assert not (folder / ".venv").exists()
