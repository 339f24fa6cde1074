"""Run a process network word by word: when each word is written and read, or who waits for whom.

A process runs its steps in order, one per cycle at best. A step waits until each word it reads is
there, and until each FIFO it writes has room: a word can be read in the cycle after it was written,
and its place used again in the cycle after it was read. A blocked step holds up all later ones.
The times are unique (a Kahn network), so processes are advanced one after the other as far as the
known times allow, not cycle by cycle. If nobody can advance before the last image is through, the
design deadlocks.

What a pipeline keeps in flight does not add to the room in the FIFOs. So completion or deadlock is
that of the sequential C++ processes on bounded, blocking streams.
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
IMAGES = 4  # enough for the third to leave at the steady pace


@dataclass(frozen=True)
class Wait:
    """A process that stands still at a FIFO which `other`, at its far end, would have to serve."""

    process: str
    verb: str  # "read" (the FIFO is empty) or "write" (it is full)
    fifo: str
    other: str


class Deadlock(PipelineError):
    """Processes that wait for each other in a circle; `cycle` holds them in order."""

    def __init__(self, cycle: tuple[Wait, ...], depths: Mapping[str, int]) -> None:
        self.cycle = cycle
        waits = [f"{wait.process} waits to {wait.verb} {_state(wait, depths)}" for wait in cycle]
        super().__init__(
            f"The design deadlocks (model): {', '.join(waits)}; make the full FIFO deeper."
        )


@dataclass(frozen=True)
class Result:
    """What a run shows, in cycles; `high_water` in words per FIFO (maps of transposes left out).

    `interval` is the time between the last two images, `latency` that from the first input word to
    the last logit of the first image. `limiting` names the processes with the most cycles per
    image, or "FIFO depths" where the interval is longer than those.
    """

    interval: int
    latency: int
    limiting: tuple[str, ...]
    high_water: dict[str, int]


def simulate(network: ProcessNetwork, depths: Mapping[str, int], images: int = IMAGES) -> Result:
    """Send `images` images, at least 2, through the design without a pause.

    `depths` gives the words per FIFO by its name or, for all of them, by its kind; a link has 2 by
    default, a shortcut no bound. Raises Deadlock.
    """
    state = _State(network, depths, images)
    state.run()
    sink = network.processes[-1]
    ends = state.times(sink.reads[0].fifo, read=True).reshape(images, sink.cycles)[:, -1] + 1
    interval = int(ends[-1] - ends[-2])
    limiting = network.slowest if interval == network.longest_stage else ("FIFO depths",)
    return Result(interval, int(ends[0]), limiting, state.high_water())


def _state(wait: Wait, depths: Mapping[str, int]) -> str:
    if wait.verb == "read":
        return f"{wait.fifo} (empty)"
    return f"{wait.fifo} (full, {depths[wait.fifo]} words)"


def depths_by_name(network: ProcessNetwork, depths: Mapping[str, int]) -> dict[str, int]:
    """Return the depth of every FIFO of the network; PipelineError for a name that is none."""
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
    """The arrays of a run: flat lists of operations, and the times of all words."""

    def __init__(self, network: ProcessNetwork, depths: Mapping[str, int], images: int) -> None:
        self.network, self.images = network, images
        self.depths = depths_by_name(network, depths)
        self.index = {name: number for number, name in enumerate(network.fifos)}
        self.bounds = np.array(list(self.depths.values()), dtype=np.int64)
        programs = [_operations(process, self.index) for process in network.processes]
        self.starts = np.cumsum([0, *(len(program) for program in programs)])
        self.operations = np.concatenate(programs)
        self.rounds = np.array([process.rounds * images for process in network.processes])
        self.latencies = np.array([process.latency for process in network.processes])
        initial = np.array([fifo.initial for fifo in network.fifos.values()], dtype=np.int64)
        self.first = np.cumsum([0, *(initial + self._words())])
        self.written, self.read = initial.copy(), np.zeros_like(initial)
        self.write_times = np.full(self.first[-1], -1, dtype=np.int64)
        self.read_times = np.zeros_like(self.write_times)
        self.position = self.starts[:-1].copy()

    def run(self) -> None:
        """Fill in the times; raise Deadlock."""
        _advance(
            self.operations,
            self.starts,
            self.position,
            self.rounds,
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
        """Return the most words that were ever in each FIFO at once."""
        marks = {}
        for name, fifo in self.network.fifos.items():
            if fifo.kind != "map":
                written, read = self.times(name, read=False), self.times(name, read=True)
                held = np.arange(1, len(written) + 1) - np.searchsorted(read, written)
                marks[name] = int(held.max())
        return marks

    def _words(self) -> Numbers:
        """Return the words that pass through each FIFO in the whole run."""
        words = np.zeros(len(self.index), dtype=np.int64)
        for process in self.network.processes:
            for access in process.writes:
                words[self.index[access.fifo]] += len(access.steps) * process.rounds * self.images
        return words

    def _cycle(self) -> tuple[Wait, ...]:
        """Follow the graph of who waits for whom until it closes a cycle."""
        waits = {wait.process: wait for wait in map(self._wait, np.flatnonzero(self.rounds))}
        seen: list[str] = []
        name = next(iter(waits))
        while name not in seen:
            seen.append(name)
            name = waits[name].other
        return tuple(waits[process] for process in seen[seen.index(name) :])

    def _wait(self, number: np.int64) -> Wait:
        """Return what the process stands at."""
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
    """Return a round as rows (cycles after the operation before, is write, FIFO), in order."""
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
    latencies: Numbers,
    bounds: Numbers,
    first: Numbers,
    written: Numbers,
    read: Numbers,
    write_times: Numbers,
    read_times: Numbers,
) -> None:
    """Advance every process until nobody can; on return `rounds` holds the rounds left."""
    now = np.zeros_like(rounds)
    for p in range(len(rounds)):  # the first operation comes at its step, counted from cycle 0
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
                    reused = word - bounds[f]  # the word whose place this one takes
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
