"""Prove the properties, and see that each proof finds the faults planted for it."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hls.processes import Children
from hls.prove.formulas import first_failure, question
from hls.prove.properties import Property
from hls.prove.yosys import Task, circuits, tool
from models.files.errors import PipelineError

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

    `folder` receives what the tools read and write. As many run at a time as there are processors.
    PipelineError if Yosys or z3 is absent, or does not decide a task.
    """
    solver, tasks = tool("z3"), tasks_of(properties)
    texts = circuits(tasks, folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool, Children() as children:

        def outcome(number: int) -> Outcome:
            task, file = tasks[number], folder / f"question_{number}.smt2"
            file.write_text(question(texts[number], task.property.cycles))
            start = time.monotonic()
            answer = _output(children, [solver, "-smt2", f"-T:{SECONDS}", str(file)])
            return Outcome(task, first_failure(answer), time.monotonic() - start)

        futures = [pool.submit(outcome, number) for number in range(len(tasks))]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _output(children: Children, command: Sequence[str]) -> str:
    """Run a command until it ends; return what it prints. PipelineError if it cannot start."""
    try:
        process = children.start(command, subprocess.PIPE)
    except OSError as error:
        raise PipelineError(f"{command[0]} cannot be started: {error.strerror}.") from None
    text = process.communicate()[0].decode(errors="replace")
    children.end(process)
    return text


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
    return f"{text:<91} {bound:>10} {outcome.seconds:6.1f} s  {verdict}"
