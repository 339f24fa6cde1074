"""Give a reader changed files, in a process with limits on time and memory."""

import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any

import torch

from models.files.errors import PipelineError
from tests.fuzz import readers
from tests.fuzz.mutations import changed_bytes

SECONDS = 5.0  # for one input
MEMORY = 1 << 30  # bytes that one input may need beyond what the process has


@dataclass(frozen=True)
class Reader:
    """A reader of the project, and what to give it.

    `seeds` returns valid contents (it is called in an empty working directory, where it may write
    what the reader needs beside its file). `read` reads the file, whose name is `file`. `mutate`
    changes a seed. A refusal is an error of one of `refusals`, one line that contains `names`.
    """

    file: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[Path], object]
    mutate: Callable[[bytes, Random], bytes] = changed_bytes
    refusals: tuple[type[Exception], ...] = (PipelineError,)
    names: str | None = None  # by default `file`


@dataclass
class Result:
    """Counts of inputs by outcome, and a text for every input that broke the rule."""

    read: int = 0
    refused: int = 0
    findings: dict[int, str] = field(default_factory=dict)


def all_readers() -> dict[str, Reader]:
    """Return the reader of every file in tests/fuzz/readers/, by the name of the file.

    A file has a READER, or the functions `mutate(random)`, which makes a file from nothing, and
    `read`; its FILE is then the name of the file that is read.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
    return {n: _reader(importlib.import_module(f"{readers.__name__}.{n}")) for n in names}


def _reader(module: Any) -> Reader:
    if hasattr(module, "READER"):
        return module.READER
    file = getattr(module, "FILE", module.NAME)
    return Reader(
        file, lambda: [b""], module.read, lambda _, random: module.mutate(random), names=""
    )


def input_of(reader: Reader, seeds: Sequence[bytes], seed: int, index: int) -> bytes:
    """Return one changed file; the same arguments give the same bytes."""
    random = Random(f"{seed} {index}")
    return reader.mutate(random.choice(seeds), random)


def fuzz(
    reader: Reader, inputs: Sequence[int], seed: int, seconds: float, keep: Path | None = None
) -> Result:
    """Try the inputs with these indices until the time is over; `keep` gets those that fail."""
    result, end, todo = Result(), time.monotonic() + seconds, list(inputs)
    while todo and time.monotonic() < end:
        for index, outcome, text in _outcomes(reader, todo, seed, end, keep):
            todo = todo[todo.index(index) + 1 :]
            if outcome == "found":
                result.findings[index] = text
            elif outcome == "read":
                result.read += 1
            else:
                result.refused += 1
    return result


def _outcomes(
    reader: Reader, todo: Sequence[int], seed: int, end: float, keep: Path | None
) -> Iterator[tuple[int, str, str]]:
    """Run a process on the inputs; yield (index, outcome, text) until it ends or is stopped."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(receiver)
                os.chdir(folder)
                torch.set_num_threads(1)  # the threads of a pool do not live on in a fork
                with os.fdopen(sender, "w", buffering=1) as pipe:
                    _work(reader, todo, seed, pipe, keep)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(sender)
        try:
            with os.fdopen(receiver) as pipe:
                yield from _heard(pipe, end)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _heard(pipe: IO[str], end: float) -> Iterator[tuple[int, str, str]]:
    """Yield what the process reports, and a finding if it dies or takes too long for an input."""
    current, waiting = -1, 60.0  # the seeds are made before the first input
    while time.monotonic() < end:
        ready, _, _ = select.select([pipe], [], [], waiting)
        line = pipe.readline() if ready else ""
        if not line:
            how = "ended the process" if ready else f"took more than {waiting:g} s"
            if current < 0:
                raise RuntimeError(f"making the seeds {how}")
            yield current, "found", how
            return
        current, outcome, text = json.loads(line)
        waiting = SECONDS
        if outcome == "end":
            return
        if outcome != "begin":
            yield current, outcome, text


def _work(reader: Reader, todo: Sequence[int], seed: int, pipe: IO[str], keep: Path | None) -> None:
    seeds = reader.seeds()
    _limit_memory()
    for index in todo:
        pipe.write(json.dumps([index, "begin", ""]) + "\n")
        content = input_of(reader, seeds, seed, index)
        outcome, text = outcome_of(reader, content)
        if outcome == "found" and keep is not None:
            (keep / f"{seed}-{index}-{Path(reader.file).name}").write_bytes(content)
        pipe.write(json.dumps([index, outcome, text]) + "\n")
    pipe.write(json.dumps([0, "end", ""]) + "\n")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def outcome_of(reader: Reader, content: bytes) -> tuple[str, str]:
    """Give a reader one content; return (read, refused or found, what was found)."""
    path = Path(reader.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        reader.read(path)
    except reader.refusals as error:
        message, name = str(error), reader.names or reader.file
        if "\n" in message or name not in message:
            return "found", f"the refusal is not one line with {name}: {message[:500]}"
        return "refused", ""
    except Exception:
        return "found", traceback.format_exc()[-3000:]
    return "read", ""
