"""Cycle model of the SIMD accelerator: cycles per image, derived from the loops of its C++.

A call with one image consists of these parts, one after the other:

    call        CALL_CYCLES: start and end of the regions
    start       READ_CYCLES + start_cycles: wait for the first word, then read the image and the
                first tile of parameters in parallel, one word of each per cycle
    each kind   tiles * vectors, summed over its steps (hls/plan/simd/program.py): one vector per
                cycle. The next tile is read in the same cycles, one word per cycle
    reload      tiles * (tile_cycles - vectors), summed over all steps: all vectors are done and
                the array waits for words (in the published networks only for the classifier,
                which has one vector)
    pipeline    depth per step: the last value of a step is stored before the next step starts
    logits      logit_words + WRITE_CYCLES: write the logits and wait for the memory's response

All loops of the processor have II = 1. hls/cpp/simd has the same loops, and a test counts their
iterations (COUNT_CYCLES). Before synthesis, these figures are assumptions:

    depth       per step: CONTROL (read the step, enter and leave the loop), then the latency of a
                value: _STAGES, and log2(columns) levels of adders
    ports       after its latency, memory keeps up with the processor, which takes a word in fewer
                than half of all cycles; FIFOs of FIFO_WORDS words lie between the two

In a batch the ports work ahead, so `interval` (from one image to the next) excludes their cycles.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hls.plan.simd.program import KINDS, Program, Step
from hls.plan.sizes import Sizes

CALL_CYCLES = 10
READ_CYCLES = 72  # 64 cycles that Vitis HLS schedules for a memory read, plus the adapter
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
    """Cycles of a call with one image, by part; `interval`: cycles of each further image."""

    parts: Mapping[str, int]
    interval: int

    @property
    def total(self) -> int:
        """Cycles of all parts."""
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
    """Return the cycles from the last vector of a step to the first vector of the next step."""
    return CONTROL + sum(_STAGES.values()) + program.columns.bit_length() - 1


def _waiting(step: Step) -> int:
    return step.tile_cycles - step.vectors
