"""A stage ends on SIGTERM as on Ctrl-C, and with the DVC that started it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline

STAGE = """
import pathlib, sys, time
from models.files.atomic import replace_on_success
from stages.pipeline.command import guarded

def work():
    with replace_on_success("metrics.json"):
        pathlib.Path("ready").touch()
        time.sleep(60)

guarded(work)
"""


def heed_signals():
    """Undo what a shell does to a command in the background: it ignores Ctrl-C and the hang-up."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(folder, *before, **variables):
    """Start the stage, after the words `before`; wait until it works."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = [*before, sys.executable, "-c", STAGE]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    deadline = time.monotonic() + 30
    while not (folder / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (folder / "ready").exists()
    return process


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_one_line_and_leaves_nothing_half_written(number, tmp_path):
    process = start(tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said.startswith(f"Interrupted by {number.name}.") and said.count("\n") == 1
    assert files(tmp_path) == ["ready"]


def test_nohup_keeps_a_stage_alive(tmp_path):
    process = start(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143


# Stands for DVC: it starts the stage directly, or through a shell, and waits.
STARTER = """
import subprocess, sys
subprocess.run(sys.argv[1:])
"""


@pytest.mark.parametrize("shell", [[], ["sh", "-c", '"$@"; :', "sh"]], ids=["direct", "shell"])
def test_a_stage_ends_with_a_killed_dvc(shell, tmp_path):
    process = start(tmp_path, sys.executable, "-c", STARTER, *shell, DVC_STAGE="distill@x")
    process.kill()
    _, said = process.communicate(timeout=20)  # until the stage has closed its stderr, too
    assert "Interrupted by SIGTERM." in said
    assert files(tmp_path) == ["ready"]


def test_without_dvc_a_stage_outlives_its_starter(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    process = start(tmp_path, "sh", "-c", '"$@" & echo $! > pid; wait', "sh")
    process.kill()
    process.wait()
    time.sleep(1.5)  # three times what a stage of DVC needs to notice it
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert "Interrupted by SIGTERM." in said
