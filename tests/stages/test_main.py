"""`python stages NAME` runs the code of its own checkout, whatever else Python could import."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline

OURS, THEIRS = "There is no {kind}", "This copy has no {kind}"
FOLDERS = [ROOT / "stages", ROOT / "stages/by_hand"]
NAMES = sorted(path.stem for folder in FOLDERS for path in folder.glob("[a-z]*.py"))


@pytest.fixture
def checkout(tmp_path):
    """Return a copy of our code that words one message in its own way."""
    copy = tmp_path / "checkout"
    for name in ("stages", "models", "hls"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    module = copy / "stages/pipeline/params.py"
    assert OURS in module.read_text()
    module.write_text(module.read_text().replace(OURS, THEIRS))
    return copy


@pytest.fixture
def folder(tmp_path):
    """Return a folder with params.yaml and with packages that have the names of ours."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(ROOT / "demo" / "params.yaml", folder)
    for name in ("stages", "models", "hls"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('the code of the folder')\n")
    return folder


def run(folder, *command, path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("others", [[], [ROOT], ["."]], ids=["none", "another clone", "folder"])
@pytest.mark.parametrize("named", ["absolute", "relative"])
def test_a_stage_runs_the_code_of_its_own_checkout(named, others, checkout, folder):
    stages = checkout / "stages" if named == "absolute" else "../checkout/stages"
    done = run(folder, stages, "generate_headers", "relu_h69", path=others)
    assert done.returncode == 1
    assert done.stderr.startswith("error: This copy has no variant 'relu_h69'")


def test_a_command_of_by_hand_runs_too(checkout, folder):
    done = run(folder, checkout / "stages", "readme_tables", path=[ROOT])
    assert done.returncode == 1
    assert done.stderr.startswith("error: data/report.md is missing")


@pytest.mark.parametrize("arguments", [[], ["distil"], ["pipeline"], ["__main__"]])
def test_an_unknown_name_is_told_with_all_names(arguments, folder):
    done = run(folder, ROOT / "stages", *arguments, path=[])
    assert done.returncode == 1 and done.stdout == ""
    usage, _, names = done.stderr.strip().partition("NAME is: ")
    assert usage.startswith("usage: python ")
    assert sorted(names.split(", ")) == NAMES
    assert {"distill", "code", "check", "deadlock"} <= set(NAMES)


def test_a_python_without_the_packages_is_told_how_to_get_them(checkout, folder):
    path = folder / "hidden"
    path.mkdir()
    (path / "numpy.py").write_text("raise ModuleNotFoundError('absent', name='numpy')\n")
    done = run(folder, checkout / "stages", "generate_headers", "relu_h96", path=[path])
    assert done.returncode == 1
    assert done.stderr == (
        f"{sys.executable} has no package numpy. Run `make setup` once, then"
        " `source .venv/bin/activate` in every new terminal.\n"
    )
