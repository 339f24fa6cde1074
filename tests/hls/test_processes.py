"""Child processes end with the process that started them, also when that one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hls import processes
from hls.processes import Children
from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline

# A command with a child of its own, and one that left the session; each writes its pid.
FAMILY = (
    "echo $$ > leader; (echo $BASHPID > child; exec sleep 600) & "
    "setsid bash -c 'echo $$ > stray; exec sleep 600' & sleep 600"
)
PARENT = """
import subprocess
from hls.processes import Children
with Children() as children:
    children.start(["bash", "-c", {family!r}], subprocess.DEVNULL).wait()
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def pids(folder):
    files = [folder / name for name in ("leader", "child", "stray")]
    wait_for(lambda: all(file.is_file() and file.read_text() for file in files))
    return [int(file.read_text()) for file in files]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_a_killed_parent(number, tmp_path):
    program = PARENT.format(family=FAMILY)
    path = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=path)
    family = pids(tmp_path)
    assert all(map(is_running, family))
    parent.send_signal(number)
    parent.wait()
    wait_for(lambda: not any(map(is_running, family)))


def test_children_end_with_an_exception(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    with pytest.raises(KeyboardInterrupt), Children() as children:
        children.start(["bash", "-c", FAMILY], subprocess.DEVNULL, tmp_path)
        family = pids(tmp_path)
        raise KeyboardInterrupt
    assert not any(map(is_running, family))


def test_none_is_started_after_the_end():
    with Children() as children:
        pass
    with pytest.raises(ProcessLookupError):
        children.start(["true"], subprocess.DEVNULL)


def test_without_a_watchdog_the_commands_run_all_the_same(monkeypatch):
    monkeypatch.setattr(processes, "_start_watchdog", lambda mark: None)
    with Children() as children:
        process = children.start(["bash", "-c", "exit 3"], subprocess.DEVNULL)
        assert process.wait() == 3
        children.end(process)
