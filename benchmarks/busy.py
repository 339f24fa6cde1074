"""Training beside other programs: how far a step is from its fair share of the processors.

    python -m benchmarks.busy [--loops 0 2 4] [--rounds 3] [--seconds 4] [--plain]

Starts busy loops, times steps of distillation (ReLU-96, stored logits) beside them, and ends them.
With n threads, l loops and p processors the fair share is p / (n + l) of a processor per thread, so
a step should take max(1, (n + l) / p) times as long as on a quiet machine. The last column is the
measured time over that. Rounds take turns, so that a drift of the machine affects all rows alike.
`--plain` times the plain modules, as `training.fused: false` does. To compare other settings of
OpenMP, set them in the environment: OMP_WAIT_POLICY=passive, GOMP_SPINCOUNT=300000 (its own).
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.epoch import BATCH, FULL, HIDDEN, steps_of, student
from stages.pipeline.params import Training
from stages.pipeline.threads import processors
from stages.training.memory import keep_freed_memory

_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# A loop ends with its parent, however that one ends.
_LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(10**6):
        pass
"""


@contextmanager
def busy_loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run so many busy loops, each a process, inside the `with` block; give the processes."""
    command = [sys.executable, "-c", _LOOP, str(os.getpid())]
    loops = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


def fair(threads: int, loops: int, available: int) -> float:
    """Return how many times as long as on a quiet machine a fair step takes beside `loops`."""
    return max(1.0, (threads + loops) / available)


def step_seconds(run: Callable[[], int], seconds: float) -> float:
    """Return the mean time of a step over about so many seconds, after one step."""
    run()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        steps += run()
    return (time.perf_counter() - began) / steps


def measure(run: Callable[[], int], loops: list[int], rounds: int, seconds: float) -> None:
    """Print a row per number of loops."""
    times: dict[int, list[float]] = {count: [] for count in loops}
    for _ in range(rounds):
        for count in loops:
            with busy_loops(count):
                times[count].append(step_seconds(run, seconds))
    quiet = statistics.median(times[min(loops)]) / fair(
        torch.get_num_threads(), min(loops), processors()
    )
    print("| loops | ms/step | fair, ms/step | ratio to the fair share |\n|---|---|---|---|")
    for count in loops:
        found = statistics.median(times[count])
        share = quiet * fair(torch.get_num_threads(), count, processors())
        print(f"| {count} | {1e3 * found:.1f} | {1e3 * share:.1f} | {found / share:.2f} |")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="per row and round")
    parser.add_argument("--plain", action="store_true", help="training.fused: false")
    arguments = parser.parse_args()
    keep_freed_memory()
    training = Training(BATCH, not arguments.plain, FULL)
    settings = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {' '.join(settings)}\n")
    run = steps_of(student("relu", HIDDEN), training, stored=True)
    measure(run, arguments.loops, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
