"""How deep the FIFOs of a streaming design must be: simulated high-water marks plus a margin.

A shortcut holds what waits for the branch beside it. Its mark is taken with unbounded shortcuts and
images that arrive at the pace of the slowest stage; a source in a hurry would only fill it with
words that come too early. A link (any other FIFO) starts at 2 words, enough to write and read in
the same cycle, and is deepened as long as the design is slower than its slowest stage.

The margin is for what only synthesis decides (UG1448, data FIFO sizing). A pipeline that does not
flush keeps a word per stage until new input pushes it on, so a branch can hold back as many words
as its pipelines are deep, and the shortcut must take as many more. Their depths are assumptions
(hls/plan/streaming/dataflow.py), so the margin of a shortcut is twice their sum, and a link gets
twice its words.
"""

from dataclasses import dataclass, replace

import numpy as np

from hls.plan.streaming.dataflow_simulation import Result, simulate
from hls.plan.streaming.process_network import Access, ProcessNetwork

LINK_WORDS = (2, 4, 8, 16, 32)
MARGIN_FACTOR = 2
SHORTCUTS = ("token_mixer_shortcut", "mlp_shortcut")


@dataclass(frozen=True)
class Sizing:
    """Depth, high-water mark (without margin) and word width of each kind of FIFO; a run with them.

    The mark of the links is the depth that the full speed needs.
    """

    depths: dict[str, int]
    high_water: dict[str, int]
    result: Result


def size_fifos(network: ProcessNetwork) -> Sizing:
    """Return depths, in words per kind, with which the slowest stage alone sets the interval."""
    paced = _paced(network)
    for link in LINK_WORDS:
        marks = _shortcut_marks(paced, link)
        depths = {kind: mark + _margin(network, kind) for kind, mark in marks.items()}
        depths["link"] = MARGIN_FACTOR * link
        result = simulate(network, {**depths, "link": link})
        if result.interval == network.longest_stage:
            break
    return Sizing(depths, {**marks, "link": link}, simulate(network, depths))


def _shortcut_marks(paced: ProcessNetwork, link: int) -> dict[str, int]:
    """Return the highest mark among all blocks, which share a depth."""
    marks = simulate(paced, {"link": link}).high_water
    return {
        kind: max(marks[fifo.name] for fifo in paced.fifos.values() if fifo.kind == kind)
        for kind in SHORTCUTS
    }


def _margin(network: ProcessNetwork, kind: str) -> int:
    """Return twice the pipeline stages of one branch, from its fork to its sum."""
    branch = f"blocks_0_{kind.removesuffix('_shortcut')}_"
    stages = sum(p.latency for p in network.processes if p.name.startswith(branch))
    return MARGIN_FACTOR * stages


def _paced(network: ProcessNetwork) -> ProcessNetwork:
    """Return the network with a source that spreads an image over the longest stage's cycles."""
    source, *others = network.processes
    [write] = source.writes
    cycles = network.longest_stage
    steps = np.arange(source.rounds) * cycles // source.rounds
    slow = replace(source, steps=cycles, rounds=1, writes=(Access(write.fifo, steps),))
    return ProcessNetwork([slow, *others], network.fifos)
