"""How a stage ends early: signals become exceptions, and a stage of DVC ends with its DVC."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_POLL_SECONDS = 0.5
_SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh", "busybox")


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end: what cleans up after Ctrl-C does it after this, too.

    `number` is the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """Return the signal that caused an exception; Ctrl-C is SIGINT."""
    return signal.Signals(error.number) if isinstance(error, Stopped) else signal.SIGINT


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Stopped` while the body runs, except if they are ignored.

    Only the first of them does so; later ones must not interrupt the clean-up. Under DVC the death
    of DVC counts as SIGTERM. Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    for number in numbers:
        signal.signal(number, stop)
    ended = threading.Event()
    if "DVC_STAGE" in os.environ:  # DVC sets it; without DVC a stage may outlive its shell (nohup)
        threading.Thread(target=_follow, args=(_starters(), ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _follow(starters: list[int], ended: threading.Event) -> None:
    """Send SIGTERM to this process when one of its `starters` has ended."""
    while not ended.wait(_POLL_SECONDS):
        if _starters() != starters:
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _starters() -> list[int]:
    """Return the pid of the parent; if that is a shell, also its parent's (where /proc tells it).

    Both change when DVC, or the shell through which it started this process, ends.
    """
    parent = os.getppid()
    try:
        words = Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)
        name, above = words[0].partition("(")[2], int(words[1].split()[1])
    except (OSError, ValueError, IndexError):
        return [parent]
    return [parent, above] if name in _SHELLS else [parent]
