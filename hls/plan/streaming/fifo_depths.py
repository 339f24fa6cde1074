"""Compute the FIFO depths of a streaming design: simulated high-water marks plus a margin.

A shortcut holds the words that wait for the parallel branch. Its high-water mark is simulated with
unbounded shortcuts and images that arrive at the pace of the slowest stage; a faster source would
fill the shortcut with words that arrive too early. A link (any other FIFO) starts at 2 words,
enough to write and read in the same cycle, and is made deeper while the design is slower than its
slowest stage.

The margin covers what only synthesis decides (UG1448, data FIFO sizing). A branch holds as many
words as its pipelines have stages, and the shortcut must hold as many more. The pipeline depths are
assumptions (hls/plan/streaming/dataflow.py). Therefore the margin of a shortcut is twice their sum,
and a link gets twice its words. Pipelines flush, so none keeps words for longer.
"""

from dataclasses import dataclass, replace

import numpy as np

from hls.plan.streaming.dataflow_simulation import Result, simulate
from hls.plan.streaming.process_network import Access, ProcessNetwork
from hls.plan.streaming.start_tokens import with_start_tokens

LINK_WORDS = (2, 4, 8, 16, 32)
MARGIN_FACTOR = 2
SIZING_IMAGES = 6  # enough to reach the steady state
SHORTCUTS = ("token_mixer_shortcut", "mlp_shortcut")


@dataclass(frozen=True)
class Sizing:
    """Depth and high-water mark (without margin) of each kind of FIFO, in words.

    The mark of the links is the depth that full speed needs. `result` is a simulation with `depths`
    and the start FIFOs of the tool flows.
    """

    depths: dict[str, int]
    high_water: dict[str, int]
    result: Result


def size_fifos(network: ProcessNetwork) -> Sizing:
    """Return depths at which the interval is that of the slowest stage (links: up to 32 words).

    The shortcuts suffice also for processes that start an image without a pause: they ask for more.
    """
    paced = _paced(_without_pauses(network))
    for link in LINK_WORDS:
        marks = _shortcut_marks(paced, link)
        depths = {kind: mark + _margin(network, kind) for kind, mark in marks.items()}
        depths["link"] = MARGIN_FACTOR * link
        result = simulate(network, {**depths, "link": link}, SIZING_IMAGES)
        if result.interval == network.longest_stage:
            break
    return Sizing(depths, {**marks, "link": link}, simulate(with_start_tokens(network), depths))


def _shortcut_marks(paced: ProcessNetwork, link: int) -> dict[str, int]:
    """Return the highest mark of each shortcut over all blocks, because the blocks share depths."""
    marks = simulate(paced, {"link": link}, SIZING_IMAGES).high_water
    return {
        kind: max(marks[fifo.name] for fifo in paced.fifos.values() if fifo.kind == kind)
        for kind in SHORTCUTS
    }


def _margin(network: ProcessNetwork, kind: str) -> int:
    """Return twice the number of pipeline stages of one branch, from its fork to its addition."""
    branch = f"blocks_0_{kind.removesuffix('_shortcut')}_"
    stages = sum(p.latency for p in network.processes if p.name.startswith(branch))
    return MARGIN_FACTOR * stages


def _paced(network: ProcessNetwork) -> ProcessNetwork:
    """Return the network with a source that spreads an image over `longest_stage` cycles."""
    source, *others = network.processes
    [write] = source.writes
    cycles = network.longest_stage
    steps = np.arange(source.rounds) * cycles // source.rounds
    slow = replace(source, steps=cycles, rounds=1, writes=(Access(write.fifo, steps),))
    return ProcessNetwork([slow, *others], network.fifos)


def _without_pauses(network: ProcessNetwork) -> ProcessNetwork:
    processes = [replace(process, pause=0) for process in network.processes]
    return ProcessNetwork(processes, network.fifos)
