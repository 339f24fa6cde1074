"""Simulate a process network: when each word is written and read, or which processes deadlock.

A process runs its steps in order, at most one per cycle. A step waits until every word that it
reads is available and every FIFO that it writes has room. A word can be read in the cycle after its
write; its place is free in the cycle after its read. A blocked step delays all later steps, and so
does the pause of a process after each image. The times are unique (a Kahn network). Therefore the
simulation does not go cycle by cycle: it advances one process after the other as far as the known
times allow. If no process can advance before the last image is through, the design deadlocks.

Words in flight in a pipeline do not count as room in the FIFOs. So the simulation deadlocks exactly
when the sequential C++ processes deadlock on bounded, blocking streams.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from hls.plan.streaming.process_network import Process, ProcessNetwork
from models.files.errors import PipelineError

Numbers = npt.NDArray[np.int64]

UNBOUNDED = 2**40  # words
WARM_UP = 4  # images until the steady state
IMAGES = WARM_UP + 24  # 24 intervals: whole bursts of 2, 3, 4, 6, 8 and 12 images


@dataclass(frozen=True)
class Wait:
    """A blocked process and its FIFO; `other` is the process at the other end of the FIFO."""

    process: str
    verb: str  # "read" (the FIFO is empty) or "write" (it is full)
    fifo: str
    other: str


class Deadlock(PipelineError):
    """Processes wait for each other in a cycle; `cycle` holds their waits in order."""

    def __init__(self, cycle: tuple[Wait, ...], depths: Mapping[str, int]) -> None:
        self.cycle = cycle
        waits = [f"{wait.process} waits to {wait.verb} {_state(wait, depths)}" for wait in cycle]
        super().__init__(
            f"The design deadlocks (model): {', '.join(waits)}; make the full FIFO deeper."
        )


@dataclass(frozen=True)
class Result:
    """The result of a simulation.

    `interval`: cycles per image in the steady state, a mean because a design may deliver images in
    bursts. `latency`: cycles from the first input word to the last logit of the first image.
    `limiting`: the processes with the most cycles per image, or "FIFO depths" if the interval is
    longer than that. `high_water`: words per FIFO, without the maps of the transposes.
    """

    interval: int
    latency: int
    limiting: tuple[str, ...]
    high_water: dict[str, int]


def simulate(network: ProcessNetwork, depths: Mapping[str, int], images: int = IMAGES) -> Result:
    """Simulate `images` images (at least 2) that follow each other without a pause.

    `depths` maps the name or the kind of a FIFO to its depth in words; a name takes precedence. By
    default a link has 2 words, and shortcuts and start tokens are unbounded. Raises Deadlock, and
    PipelineError for an unknown FIFO.
    """
    state = _State(network, depths, images)
    state.run()
    sink = network.processes[-1]
    ends = state.times(sink.reads[0].fifo, read=True).reshape(images, sink.cycles)[:, -1] + 1
    first = min(WARM_UP, images // 2) - 1
    interval = round((ends[-1] - ends[first]) / (images - 1 - first))
    limiting = network.slowest if interval == network.longest_stage else ("FIFO depths",)
    return Result(interval, int(ends[0]), limiting, state.high_water())


def _state(wait: Wait, depths: Mapping[str, int]) -> str:
    if wait.verb == "read":
        return f"{wait.fifo} (empty)"
    return f"{wait.fifo} (full, {depths[wait.fifo]} words)"


def depths_by_name(network: ProcessNetwork, depths: Mapping[str, int]) -> dict[str, int]:
    """Return the depth in words of every FIFO; PipelineError for an unknown name or kind."""
    kinds = {"link": 2, "map": 2}
    known = {*network.fifos, *(fifo.kind for fifo in network.fifos.values())}
    for name, depth in depths.items():
        if name not in known or depth < 1:
            raise PipelineError(f"FIFO {name!r} of depth {depth}: no such FIFO, or no such depth.")
    merged = {**kinds, **depths}
    return {
        fifo.name: merged.get(fifo.name, merged.get(fifo.kind, UNBOUNDED))
        for fifo in network.fifos.values()
    }


class _State:
    """The arrays of a simulation: flat lists of operations, and the times of all words.

    An operation is the read or the write of one word; `operations` [O, 3] holds one round of each
    process, one after the other, with the columns of `_operations`.
    Per process [P]: starts (first row in operations; [P + 1], the last is O), position (next row),
    rounds (left), per_image (rounds), pauses and latencies (cycles from a step to its write).
    Per FIFO [F]: bounds (depth), first (offset into the times; [F + 1]), written and read (words so
    far, where words that are there at the start count as written).
    Per word: write_times (-1 for words that are there at the start) and read_times.
    """

    def __init__(self, network: ProcessNetwork, depths: Mapping[str, int], images: int) -> None:
        self.network, self.images = network, images
        self.depths = depths_by_name(network, depths)
        self.index = {name: number for number, name in enumerate(network.fifos)}
        self.bounds = np.array(list(self.depths.values()), dtype=np.int64)
        programs = [_operations(process, self.index) for process in network.processes]
        self.starts = np.cumsum([0, *(len(program) for program in programs)])
        self.operations = np.concatenate(programs)
        self.per_image = np.array([process.rounds for process in network.processes])
        self.rounds = self.per_image * images
        self.pauses = np.array([process.pause for process in network.processes])
        self.latencies = np.array([process.latency for process in network.processes])
        initial = np.array([fifo.initial for fifo in network.fifos.values()], dtype=np.int64)
        self.first = np.cumsum([0, *(initial + self._words())])
        self.written, self.read = initial.copy(), np.zeros_like(initial)
        self.write_times = np.full(self.first[-1], -1, dtype=np.int64)
        self.read_times = np.zeros_like(self.write_times)
        self.position = self.starts[:-1].copy()

    def run(self) -> None:
        """Compute the times of all words; raise Deadlock if a process does not finish."""
        _advance(
            self.operations,
            self.starts,
            self.position,
            self.rounds,
            self.per_image,
            self.pauses,
            self.latencies,
            self.bounds,
            self.first,
            self.written,
            self.read,
            self.write_times,
            self.read_times,
        )
        if self.rounds.any():
            raise Deadlock(self._cycle(), self.depths)

    def times(self, fifo: str, read: bool) -> Numbers:
        """Return the cycles in which the words of a FIFO were written or read."""
        number = self.index[fifo]
        count = (self.read if read else self.written)[number]
        times = self.read_times if read else self.write_times
        return times[self.first[number] : self.first[number] + count]

    def high_water(self) -> dict[str, int]:
        """Return the most words that each FIFO held at once."""
        marks = {}
        for name, fifo in self.network.fifos.items():
            if fifo.is_stream:
                written, read = self.times(name, read=False), self.times(name, read=True)
                held = np.arange(1, len(written) + 1) - np.searchsorted(read, written)
                marks[name] = int(held.max())
        return marks

    def _words(self) -> Numbers:
        """Return the number of words that pass through each FIFO in the whole run."""
        words = np.zeros(len(self.index), dtype=np.int64)
        for process in self.network.processes:
            for access in process.writes:
                words[self.index[access.fifo]] += len(access.steps) * process.rounds * self.images
        return words

    def _cycle(self) -> tuple[Wait, ...]:
        """Follow the wait-for graph until it closes a cycle; return the waits of the cycle."""
        waits = {wait.process: wait for wait in map(self._wait, np.flatnonzero(self.rounds))}
        seen: list[str] = []
        name = next(iter(waits))
        while name not in seen:
            seen.append(name)
            name = waits[name].other
        return tuple(waits[process] for process in seen[seen.index(name) :])

    def _wait(self, number: np.int64) -> Wait:
        """Return the wait of a blocked process."""
        _, is_write, fifo = self.operations[self.position[number]]
        name = list(self.network.fifos)[fifo]
        side = "reads" if is_write else "writes"
        other = next(
            process.name
            for process in self.network.processes
            if any(access.fifo == name for access in getattr(process, side))
        )
        verb = "write" if is_write else "read"
        return Wait(self.network.processes[number].name, verb, name, other)


def _operations(process: Process, index: Mapping[str, int]) -> Numbers:
    """Return one round as rows (cycles since the previous operation, is write, FIFO), in order.

    In one step, all reads come before all writes. The first operation follows the last one of the
    round before.
    """
    rows = []
    for rank, access in enumerate((*process.reads, *process.writes)):
        is_write = rank >= len(process.reads)
        columns = (access.steps, rank, is_write, index[access.fifo])
        rows.append(np.stack(np.broadcast_arrays(*columns), axis=1))
    table = np.concatenate(rows).astype(np.int64)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    gaps = np.diff(table[:, 0], prepend=table[-1, 0] - process.steps)
    return np.column_stack((gaps, table[:, 2:]))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _advance(
    operations: Numbers,
    starts: Numbers,
    position: Numbers,
    rounds: Numbers,
    per_image: Numbers,
    pauses: Numbers,
    latencies: Numbers,
    bounds: Numbers,
    first: Numbers,
    written: Numbers,
    read: Numbers,
    write_times: Numbers,
    read_times: Numbers,
) -> None:
    """Advance the processes until none can advance; on return `rounds` holds the rounds left.

    The arguments are the arrays of `_State`, which has their shapes. Position, rounds, written,
    read and the times are changed.
    """
    now = np.zeros_like(rounds)  # per process: the cycle of its last operation
    for p in range(len(rounds)):  # so that the first operation runs at its step, from cycle 0
        now[p] = -operations[starts[p], 0]
    moved = True
    while moved:
        moved = False
        for p in range(len(rounds)):
            while rounds[p] > 0:
                gap, is_write, f = operations[position[p]]
                time = now[p] + gap
                if is_write:
                    word = written[f]
                    reused = word - bounds[f]  # the earlier word that leaves room for this one
                    if reused >= read[f]:
                        break
                    done = time + latencies[p]
                    if reused >= 0:
                        done = max(done, read_times[first[f] + reused] + 1)
                    write_times[first[f] + word] = done
                    written[f] += 1
                    now[p] = done - latencies[p]
                else:
                    word = read[f]
                    if word >= written[f]:
                        break
                    now[p] = max(time, write_times[first[f] + word] + 1)
                    read_times[first[f] + word] = now[p]
                    read[f] += 1
                moved = True
                position[p] += 1
                if position[p] == starts[p + 1]:
                    position[p] = starts[p]
                    rounds[p] -= 1
                    if rounds[p] % per_image[p] == 0:
                        now[p] += pauses[p]
