"""Plan a SIMD design: cycles (model) and resources (estimate) of its array."""

from collections.abc import Sequence

from hls.cpp.accelerators import SIMD
from hls.plan.design import Design
from hls.plan.estimate import Usage, total
from hls.plan.figures import USAGE_TITLES, Plan, Table, figures_of, usage_cells
from hls.plan.simd.cycles import Cycles, cycles
from hls.plan.simd.resources import usage
from hls.plan.sizes import Sizes


def plan_simd(variant: str, sizes: Sizes, array: tuple[int, int], clock_ns: float) -> Plan:
    """Plan a design with one image per call; its interval is therefore its latency.

    `array` holds the rows and columns of multipliers, `clock_ns` the clock period. Raises
    PipelineError if the array or the network cannot be built.
    """
    model = cycles(sizes, array)
    rows = usage(sizes, array)
    slowest = max(model.parts, key=lambda name: model.parts[name])
    return Plan(
        Design(variant, SIMD, sizes, array=array),
        figures_of(model.total, model.total, clock_ns, slowest, rows),
        (_part_table(rows), _cycle_table(model)),
    )


def _part_table(rows: Sequence[Usage]) -> Table:
    table: Table = [("part, estimate", *USAGE_TITLES)]
    table += [(row.layer, *usage_cells(row)) for row in (*rows, total(rows))]
    return table


def _cycle_table(model: Cycles) -> Table:
    table: Table = [("part", "cycles of a call of one image, model")]
    table += [(name, str(count)) for name, count in model.parts.items()]
    table.append(("total", str(model.total)))
    table.append(("each further image of a call", str(model.interval)))
    return table
