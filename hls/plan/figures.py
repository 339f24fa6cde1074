"""The result of planning a design, in the same form for both accelerators: design, figures, tables.

Figures named `model_...` come from a model of the cycles, figures named `estimate_...` from
counting resources. None of them was measured on an FPGA.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hls.plan.design import Design
from hls.plan.estimate import Usage, total

Table = list[tuple[str, ...]]  # rows of cells, the header first

USAGE_TITLES = (
    "copies",
    "multipliers",
    "DSP",
    "DSP, paired",
    "LUT of memories",
    "LUT of logic",
    "BRAM 18 kbit",
)


@dataclass(frozen=True)
class Plan:
    """A design, its figures by name, and the tables that explain the figures."""

    design: Design
    figures: dict[str, int | str]
    tables: tuple[Table, ...]


def figures_of(
    interval: int, latency: int, clock_ns: float, limiting: str, usage: Sequence[Usage]
) -> dict[str, int | str]:
    """Return the figures of a design by name.

    `interval` and `latency` are in cycles; `limiting` names the slowest part; `usage` has one row
    per layer.
    """
    sums = total(usage)
    return {
        "model_interval_cycles": interval,
        "model_latency_cycles": latency,
        "model_images_per_second": round(1e9 / clock_ns / interval),
        "model_limiting_stage": limiting,
        "estimate_multipliers": sums.multipliers,
        "estimate_dsp": sums.dsp,
        "estimate_dsp_paired": sums.dsp_paired,
        "estimate_lut_memory": sums.lut_memory,
        "estimate_lut_logic": sums.lut_logic,
        "estimate_lut": sums.lut_memory + sums.lut_logic,
        "estimate_bram_18k": sums.bram,
    }


def usage_cells(row: Usage) -> tuple[str, ...]:
    """Return the cells of a row of usage, in the order of USAGE_TITLES."""
    luts = (row.lut_memory, row.lut_logic)
    values = (row.copies, row.multipliers, row.dsp, row.dsp_paired, *luts, row.bram)
    return tuple(map(str, values))
