"""Child processes that end with this process, however it ends: by itself, by a signal, by kill -9.

A watchdog (hls/watchdog.py) holds one end of a pipe. When the other end closes, because this
process has ended or is done, it ends what is left of the children and of their children.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO
from uuid import uuid4

from hls.watchdog import MARK

GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
_WATCHDOG = Path(__file__).with_name("watchdog.py")


class Children:
    """Starts processes; ends all that still run, with their own children, when the body ends.

    Threads may start processes, too; who waits for one calls `end` afterwards. Each gets a session
    of its own, so it has no terminal and Ctrl-C reaches only this process.
    """

    def __enter__(self) -> "Children":
        self._lock, self._open = threading.Lock(), True
        self._started: list[subprocess.Popen[bytes]] = []
        self._mark = uuid4().hex
        self._watchdog = _start_watchdog(self._mark)
        return self

    def start(
        self,
        command: Sequence[str],
        output: IO[bytes] | int,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in `folder`; both its output and its errors go to `output`.

        `variables` are added to the environment. OSError if it cannot be started.
        """
        with self._lock:
            if not self._open:
                raise ProcessLookupError("this process is ending; no other is started")
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(variables or {}), MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._started.append(process)
            self._tell(process.pid)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and its children: SIGTERM, wait, SIGKILL. Its status is then known."""
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        _signal_group(process, signal.SIGKILL)  # its children, even if it has ended by itself
        process.wait()
        self._tell(-process.pid)
        self._started.remove(process)  # from now on its pid may be another process's

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._open = False
        for process in self._started:
            _signal_group(process, signal.SIGTERM)  # all of them first: they share the grace
        for process in [*self._started]:
            self.end(process)
        if self._watchdog is not None:
            self._watchdog.communicate()  # closes the pipe

    def _tell(self, number: int) -> None:
        """Tell the watchdog the pid of a new process, or minus the pid of one that ended."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with suppress(OSError):  # somebody killed the watchdog: then it does not watch
                os.write(self._watchdog.stdin.fileno(), f"{number}\n".encode())


def _start_watchdog(mark: str) -> subprocess.Popen[bytes] | None:
    """Start the watchdog; None if there is no memory or no process left for it."""
    command = [sys.executable, "-I", "-S", str(_WATCHDOG), mark]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # no process of the group is left
        os.killpg(process.pid, number)
