"""Data types of the dataflow model: sequential processes that move words through FIFOs.

A process repeats a round of `steps` cycles. A round handles one vector, one word if all words are
treated alike, or the whole image if there is no smaller unit. In each round, words are read and
written at fixed steps.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Access:
    """The words that a process reads from or writes to one FIFO per round: one step for each word.

    `steps` is ascending.
    """

    fifo: str
    steps: Steps


@dataclass(frozen=True)
class Process:
    """A sequential process: `rounds` rounds of `steps` cycles per image.

    `layer` is the matrix product to which the process belongs (a key of hls.plan.sizes.products); a
    process outside the products is a layer of its own. `layer` is the same in all blocks; `name`
    contains the block.

    Within a step, all reads come before all writes, each in the order of the tuples. A written word
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
        """Cycles per image if the process never waits."""
        return self.steps * self.rounds


@dataclass(frozen=True)
class Fifo:
    """A FIFO between two processes; all FIFOs of one `kind` have the same depth.

    Kinds are token_mixer_shortcut, mlp_shortcut, map, and link for all others. The ping-pong buffer
    of a transpose is a pair of FIFOs of kind map: one passes filled maps on, the other returns free
    ones. `initial` is the number of words at the start.
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
        """Cycles per image of the slowest process, a lower bound of the interval."""
        return max(process.cycles for process in self.processes)

    @property
    def slowest(self) -> tuple[str, ...]:
        """The names of the processes that take `longest_stage` cycles."""
        longest = self.longest_stage
        return tuple(process.name for process in self.processes if process.cycles == longest)
