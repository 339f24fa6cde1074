"""Sequential processes that move words through FIFOs at fixed steps: the terms of dataflow.py.

A process repeats a round of `steps` cycles: the loop over one vector, over one word where all words
are alike, or over the whole image where it has no smaller unit.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Access:
    """The words that a process moves through one FIFO in a round: the step of each, ascending."""

    fifo: str
    steps: Steps


@dataclass(frozen=True)
class Process:
    """A sequential process: `rounds` rounds of `steps` cycles per image.

    `layer` is the matrix product that it is a part of (a key of hls.plan.sizes.products); another
    process is a layer of its own. Either is the same in all blocks, while `name` says the block.

    In a step all reads come before all writes, each in the order of the tuples; what is written
    appears `latency` cycles after its step.
    """

    name: str
    layer: str
    steps: int
    rounds: int
    latency: int
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]

    @property
    def cycles(self) -> int:
        """Cycles per image if nothing holds the process up."""
        return self.steps * self.rounds


@dataclass(frozen=True)
class Fifo:
    """A FIFO from one process to one other; all of one `kind` get the same depth.

    Kinds: token_mixer_shortcut, mlp_shortcut, and link for all others. The two maps of a transpose
    are FIFOs of kind map: filled maps go one way, free ones (`initial` words) come back.
    """

    name: str
    kind: str
    word_bits: int
    initial: int = 0


@dataclass
class ProcessNetwork:
    """Processes and FIFOs of one design; the first process is the source, the last the sink."""

    processes: list[Process] = field(default_factory=list)
    fifos: dict[str, Fifo] = field(default_factory=dict)

    @property
    def longest_stage(self) -> int:
        """Cycles per image of the slowest process: no interval can be shorter."""
        return max(process.cycles for process in self.processes)

    @property
    def slowest(self) -> tuple[str, ...]:
        """The processes that take that long."""
        longest = self.longest_stage
        return tuple(process.name for process in self.processes if process.cycles == longest)
