"""The start FIFOs of dataflow regions, which the HLS tool adds: what they cost.

Between two processes of a region that share a stream, the tool adds a FIFO of start tokens. The
first process writes a token when it starts an image, the second one takes it when it has finished
one. So the first process may be ahead of the second by as many images as the FIFO is deep (2 by
default). Processes that follow each other closely never notice. A region inside a region does: it
counts as one process, which starts with its first process and passes its token on at once, while
the region behind it is busy until an image has gone all through. Between two sublayers of this
network lie the maps of two transposes, that is two images.

hls/cpp/streaming therefore has one flat region, and the tool flows ask for START_FIFO_DEPTH
besides (hls/synthesize/project_texts.py).
"""

from dataclasses import dataclass, replace

import numpy as np

from hls.cpp.accelerators import START_FIFO_DEPTH
from hls.plan.streaming.process_network import Access, Fifo, Process, ProcessNetwork

# The tool deepens the start FIFO of a process with several producers by itself (HLS 200-1020): to
# 4 or 5 in the log of the published design, whose branches have as many processes.
_JOIN_DEPTH = 6


@dataclass(frozen=True)
class StartLink:
    """A start FIFO from one process to another; `joins`: the reader has several producers."""

    writer: str
    reader: str
    joins: bool


def start_links(network: ProcessNetwork) -> list[StartLink]:
    """Return the start FIFOs of a network: one per process or region that reads a stream.

    A region starts with its first process and is ready again when that one is. Of several producers
    the first in the order of the source starts the reader.
    """
    inner = network.processes[1:-1]  # without the ports
    writers = {access.fifo: process for process in inner for access in process.writes}
    producers: dict[str, set[int]] = {}
    order = {process.name: number for number, process in enumerate(inner)}
    for reader in inner:
        for access in reader.reads:
            writer = writers.get(access.fifo)
            if writer is not None and network.fifos[access.fifo].is_stream:
                ends = _siblings(writer, reader)
                first, second = (_first(inner, *end) for end in ends)
                producers.setdefault(second, set()).add(order[first])
    return [
        StartLink(inner[min(numbers)].name, reader, len(numbers) > 1)
        for reader, numbers in producers.items()
    ]


def with_start_tokens(network: ProcessNetwork, depth: int = START_FIFO_DEPTH) -> ProcessNetwork:
    """Return the network with its start FIFOs, `depth` tokens deep.

    In the model a start FIFO holds the free places of the real one: a process takes a place when it
    starts an image, and its reader returns it when it has finished that image.
    """
    processes = {process.name: process for process in network.processes}
    fifos = dict(network.fifos)
    for link in start_links(network):
        name = f"start of {link.reader}"
        places = max(depth, _JOIN_DEPTH) if link.joins else depth
        fifos[name] = Fifo(name, "start", 1, initial=places)
        writer = _per_image(processes[link.writer])
        start = Access(name, np.array([0]))
        processes[link.writer] = replace(writer, reads=(start, *writer.reads))
        reader = _per_image(processes[link.reader])
        end = Access(name, np.array([reader.steps - 1]))
        processes[link.reader] = replace(reader, writes=(*reader.writes, end))
    return ProcessNetwork(list(processes.values()), fifos)


def _siblings(writer: Process, reader: Process) -> tuple[tuple[Process, int], tuple[Process, int]]:
    """Return each process with the depth of the outermost region around it alone."""
    shared = 0
    for one, other in zip(writer.region, reader.region, strict=False):
        if one != other:
            break
        shared += 1
    return (writer, shared + 1), (reader, shared + 1)


def _first(processes: list[Process], process: Process, depth: int) -> str:
    """Return the first process of the region of `depth` around a process, or the process itself."""
    if len(process.region) < depth:
        return process.name
    path = process.region[:depth]
    return next(other.name for other in processes if other.region[:depth] == path)


def _per_image(process: Process) -> Process:
    """Return the process with one round per image."""
    starts = process.steps * np.arange(process.rounds)[:, None]

    def whole(access: Access) -> Access:
        return Access(access.fifo, (access.steps[None, :] + starts).ravel())

    reads, writes = (tuple(map(whole, side)) for side in (process.reads, process.writes))
    steps = process.steps * process.rounds
    return replace(process, steps=steps, rounds=1, reads=reads, writes=writes)
