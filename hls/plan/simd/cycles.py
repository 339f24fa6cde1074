"""How many cycles the SIMD accelerator takes for one image: a model, from the loops of its C++.

A call of one image is, one after the other,

    call        CALL_CYCLES: start and end of the regions
    start       READ_CYCLES + start_cycles: the first word arrives, then the image and, beside it,
                the first tile of parameters are read, a word each per cycle
    each kind   tiles * vectors of its steps (hls/plan/simd/program.py): a vector per cycle. The
                next tile is read in the same cycles, a word in each
    reload      tiles * (tile_cycles - vectors) of all steps: the vectors are through and the array
                waits for words (in the published networks only the classifier, with one vector)
    pipeline    depth per step: the last value of a step is stored before the next step begins
    logits      logit_words + WRITE_CYCLES: until memory has answered

All loops of the processor have II = 1; hls/cpp/simd holds the same loops, and a test counts their
trips (COUNT_CYCLES). What is assumed of the C++ before synthesis is `depth` and the cycles of the
ports:

    depth       per step: CONTROL (reading the step, entering and leaving the loop), then a value
                on its way: _STAGES, and log2(columns) levels of adders
    ports       memory that, once it delivers, keeps up with the processor, which takes a word in
                fewer than half of all cycles; FIFOs of FIFO_WORDS lie between the two

In a batch the ports run ahead, so `interval` (an image to the next) has none of their cycles.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hls.plan.simd.program import KINDS, Program, Step
from hls.plan.sizes import Sizes

CALL_CYCLES = 10
READ_CYCLES = 72  # 64 that Vitis HLS schedules for a read of memory, and the adapter
WRITE_CYCLES = 72  # the same for a write and its response
CONTROL = 6
_STAGES = {
    "square from the store": 2,
    "row or column of it": 1,
    "affine_1 or act_in": 6,
    "product": 3,
    "sum": 2,
    "requantize": 3,
    "affine_2": 6,
    "residual or act_hidden": 7,
    "store": 1,
}


@dataclass(frozen=True)
class Cycles:
    """Cycles of a call of one image, by part, and of one more image in the same call."""

    parts: Mapping[str, int]
    interval: int

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self.parts.values())


def cycles(sizes: Sizes, array: tuple[int, int]) -> Cycles:
    """Return the cycles of a network on an array of (rows, columns) multipliers (model).

    PipelineError if the array or the network cannot be built.
    """
    program = Program(sizes, *array)
    steps = program.steps()
    inside = {kind: 0 for kind in KINDS}
    for step in steps:
        inside[step.kind] += step.tiles * min(step.vectors, step.tile_cycles)
    inside["reload"] = sum(step.tiles * _waiting(step) for step in steps)
    inside["pipeline"] = len(steps) * depth(program)
    parts = {
        "call": CALL_CYCLES,
        "start": READ_CYCLES + program.start_cycles,
        **inside,
        "logits": program.logit_words + WRITE_CYCLES,
    }
    interval = program.start_cycles + sum(inside.values()) + program.logit_words
    return Cycles(parts, interval)


def depth(program: Program) -> int:
    """Return the cycles from the last vector of a step to the first of the next."""
    return CONTROL + sum(_STAGES.values()) + program.columns.bit_length() - 1


def _waiting(step: Step) -> int:
    return step.tile_cycles - step.vectors
