"""Prove the properties, and see that each proof finds the faults planted for it."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hls.prove.formulas import first_failure, question
from hls.prove.properties import Property
from hls.prove.yosys import Task, circuits, tool
from hls.simulate.gpp import run

SECONDS = 300  # that z3 may take for one question


@dataclass(frozen=True)
class Outcome:
    """z3's answer to one task: the first cycle that breaks the check, None if none can."""

    task: Task
    failure: int | None
    seconds: float

    @property
    def as_it_should(self) -> bool:
        """Whether the units as they are pass, or the planted fault is found."""
        return (self.failure is None) == (self.task.fault is None)


def tasks_of(properties: Sequence[Property]) -> list[Task]:
    """Return a task for each property and, after it, one for each of its faults."""
    return [Task(item, fault) for item in properties for fault in (None, *item.faults)]


def prove(properties: Sequence[Property], folder: Path) -> Iterator[Outcome]:
    """Yield the outcome of each task of `tasks_of`, in that order, as soon as it is known.

    `folder` receives questions, answers and logs. As many run at a time as there are processors.
    PipelineError if Yosys or z3 is absent, or does not decide a task.
    """
    solver, tasks = tool("z3"), tasks_of(properties)
    texts = circuits(tasks, folder)

    def answer(number: int) -> Outcome:
        task, file = tasks[number], folder / f"question_{number}.smt2"
        file.write_text(question(texts[number], task.property.cycles))
        start = time.monotonic()
        done = run([solver, "-smt2", f"-T:{SECONDS}", str(file)], folder / f"answer_{number}")
        return Outcome(task, first_failure(done.stdout), time.monotonic() - start)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(answer, number) for number in range(len(tasks))]
        try:
            yield from (future.result() for future in futures)
        finally:
            for future in futures:
                future.cancel()


def line(outcome: Outcome) -> str:
    """Return one line of text about an outcome."""
    task, cycles = outcome.task, outcome.task.property.cycles
    bound = "all inputs" if cycles == 1 else f"{cycles} cycles"
    if task.fault is None:
        verdict = "proved" if outcome.failure is None else f"FAILS in cycle {outcome.failure}"
        text = f"{task.property.name}: {task.property.says}"
    else:
        found = outcome.failure is not None
        verdict = f"caught in cycle {outcome.failure}" if found else "NOT CAUGHT"
        text = f"  planted fault: {task.fault.name}"
    return f"{text:<88} {bound:>10} {outcome.seconds:6.1f} s  {verdict}"
