"""Data types of the dataflow model: sequential processes that move words through FIFOs.

A process repeats a round of `steps` cycles. A round handles one vector, one word if all words are
treated alike, or the whole image if there is no smaller unit. In each round, words are read and
written at fixed steps.

The same list is the netlist of the design: every process names its unit (a function of hls/cpp)
and the unit's parameters, every FIFO its word.
"""

from collections.abc import Mapping
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
class Unit:
    """The hardware of a process: the name of a unit and its parameters.

    Units and parameters are those of the C++ functions of the same name: source and sink (the
    ports: words, lanes), duplicate, affine, residual and mean (vectors, channels, lanes), fill and
    drain (rows, columns, lanes; those of the incoming map), pack (words, narrow, wide, handover),
    unpack (words, wide, narrow) and matrix_vector (vectors, inputs, outputs, pe, simd, handover).
    Counts are per image; `lanes`, `narrow` and `wide` are elements per word.

    `layer` is the prefix of the unit's arrays in params.hpp, such as blocks_0_mlp_linear_1 (_w, _b,
    _s), empty without arrays. `activation` is identity, relu or table; `table` is the prefix of the
    table's array, empty without one.
    """

    name: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    layer: str = ""
    activation: str = "identity"
    table: str = ""


@dataclass(frozen=True)
class Process:
    """A sequential process: `rounds` rounds of `steps` cycles per image, then a pause.

    `layer` is the matrix product to which the process belongs (a key of hls.plan.sizes.products); a
    process outside the products is a layer of its own. `layer` is the same in all blocks; `name`
    contains the block.

    Within a step, all reads come before all writes, each in the order of the tuples. A written
    word appears `latency` cycles after its step. `pause` is the number of cycles from the last step
    of an image to the first of the next. `region` is the path of the dataflow regions around the
    process, below that of the top function.
    """

    name: str
    layer: str
    steps: int
    rounds: int
    latency: int
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    pause: int = 0
    region: tuple[str, ...] = ()
    unit: Unit = Unit("")

    @property
    def cycles(self) -> int:
        """Cycles per image if the process never waits."""
        return self.steps * self.rounds + self.pause


@dataclass(frozen=True)
class Fifo:
    """A FIFO between two processes; all FIFOs of one `kind` have the same depth.

    Kinds are token_mixer_shortcut, mlp_shortcut, map, start, and link for all others. A ping-pong
    buffer of a transpose is a pair of FIFOs of kind map: one passes filled maps on, the other
    returns free ones. Kind start is that of hls/plan/streaming/start_tokens.py. `initial` is the
    number of words at the start. A word of a stream has word_bits / 8 elements.
    """

    name: str
    kind: str
    word_bits: int
    initial: int = 0

    @property
    def is_stream(self) -> bool:
        """Whether the FIFO is a stream of the design."""
        return self.kind not in ("map", "start")


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
