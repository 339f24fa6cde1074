"""End the children of a process that has ended (hls/processes.py starts this as a program).

Reads numbers from the standard input, one a line: the pid of a started process, the leader of its
session, or minus the pid of one that ended. At the end of the input it sends SIGTERM, then SIGKILL,
to all sessions that are left. On Linux it also finds, by a mark in their environment, the processes
that left their session, and those that were started and not yet told.
"""

import os
import signal
import sys
import time
from contextlib import suppress

MARK = "LERP_PSA_CHILD_OF"  # environment variable of all children
_GRACE_SECONDS = 2.0
_STEP_SECONDS = 0.05


def marked(mark: str) -> list[int]:
    """Return the pids of the processes with this mark; none where there is no /proc."""
    wanted, found = f"{MARK}={mark}".encode(), []
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        found.append(int(name))
    return found


def main(mark: str) -> None:
    """Wait for the end of the input, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    running: set[int] = set()
    for line in sys.stdin:
        pid = int(line)
        running.add(pid) if pid > 0 else running.discard(-pid)
    deadline = time.monotonic() + _GRACE_SECONDS
    _signal_all(running, mark, signal.SIGTERM)
    while time.monotonic() < deadline and _signal_all(running, mark, 0):
        time.sleep(_STEP_SECONDS)
    _signal_all(running, mark, signal.SIGKILL)


def _signal_all(sessions: set[int], mark: str, number: int) -> bool:
    """Send a signal to all that is left; return whether anything is."""
    found = False
    for send, pids in ((os.killpg, sessions), (os.kill, marked(mark))):
        for pid in pids:
            with suppress(OSError):
                send(pid, number)
                found = True
    return found


if __name__ == "__main__":
    main(sys.argv[1])
