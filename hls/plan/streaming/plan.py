"""Plan a streaming design: cycles and FIFO depths (model), resources (estimate)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from hls.cpp.accelerators import STREAMING
from hls.plan.design import Design
from hls.plan.estimate import Usage, total
from hls.plan.figures import USAGE_TITLES, Plan, Table, figures_of, usage_cells
from hls.plan.fit import shortages
from hls.plan.sizes import Sizes, products
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import Sizing, size_fifos
from hls.plan.streaming.folding import Folding
from hls.plan.streaming.process_network import Process
from hls.plan.streaming.resources import usage

# Depths of the deepest memory of LUTs to try on a part that is short of LUTs or of block RAM.
LUT_WORDS = (128, 64, 32, 16, 512, 1024, 2048, 4096)


def plan_streaming(
    variant: str,
    sizes: Sizes,
    folding: Folding,
    clock_ns: float,
    binding: Binding = Binding(),  # noqa: B008 - frozen
    part: str = "",
) -> Plan:
    """Plan a design with this folding; `clock_ns` is the clock period, `part` the FPGA.

    Raises PipelineError if the folding cannot be built.
    """
    network = streaming_network(sizes, folding)
    sizing = size_fifos(network)
    result = sizing.result
    slowest = [process for process in network.processes if process.name in result.limiting]
    limiting = ", ".join(limiting_layers(slowest, sizes) or result.limiting)

    def plan(binding: Binding) -> Plan:
        rows = usage(sizes, folding, network, sizing.depths, binding)
        return Plan(
            Design(variant, STREAMING, sizes, folding, sizing.depths, binding=binding),
            figures_of(result.interval, result.latency, clock_ns, limiting, rows),
            (_layer_table(rows, folding), _fifo_table(sizing)),
        )

    return _within_budget(plan, binding, part)


def _within_budget(plan: Callable[[Binding], Plan], binding: Binding, part: str) -> Plan:
    """Return the plan with the depth of LUT memories at which LUTs and block RAMs of `part` do.

    The depth of `binding` is tried first, and taken if none does.
    """
    first = plan(binding)
    for words in (binding.lut_words, *LUT_WORDS):
        found = plan(replace(binding, lut_words=words))
        if not {"lut", "bram_18k"} & set(shortages(found.figures, part)):
            return found
    return first


def limiting_layers(slowest: Sequence[Process], sizes: Sizes) -> list[str]:
    """Return the layers of the slowest processes, without duplicates.

    In a balanced design other processes take as long as the matrix products. Then only the products
    are returned, because they have the multipliers.
    """
    layers = list(dict.fromkeys(process.layer for process in slowest))
    return [layer for layer in layers if layer in products(sizes)] or layers


def _layer_table(rows: Sequence[Usage], folding: Folding) -> Table:
    table: Table = [("layer, estimate", "PE x SIMD", *USAGE_TITLES)]
    for row in (*rows, total(rows)):
        fold = getattr(folding, row.layer, None)
        factors = f"{fold.pe} x {fold.simd}" if fold else "-"
        table.append((row.layer, factors, *usage_cells(row)))
    return table


def _fifo_table(sizing: Sizing) -> Table:
    table: Table = [("FIFO, model", "high-water mark, words", "depth with margin, words")]
    for kind, depth in sizing.depths.items():
        table.append((kind, str(sizing.high_water[kind]), str(depth)))
    return table
