"""Plan a streaming design: cycles and FIFO depths (model), resources (estimate)."""

from collections.abc import Sequence

from hls.cpp.accelerators import STREAMING
from hls.plan.design import Design
from hls.plan.estimate import Usage, total
from hls.plan.figures import USAGE_TITLES, Plan, Table, figures_of, usage_cells
from hls.plan.sizes import Sizes, products
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import Sizing, size_fifos
from hls.plan.streaming.folding import Folding
from hls.plan.streaming.process_network import Process
from hls.plan.streaming.resources import usage


def plan_streaming(variant: str, sizes: Sizes, folding: Folding, clock_ns: float) -> Plan:
    """Plan a design with this folding; `clock_ns` is the clock period.

    Raises PipelineError if the folding cannot be built.
    """
    network = streaming_network(sizes, folding)
    sizing = size_fifos(network)
    rows = usage(sizes, folding, network, sizing.depths)
    result = sizing.result
    slowest = [process for process in network.processes if process.name in result.limiting]
    limiting = ", ".join(limiting_layers(slowest, sizes) or result.limiting)
    return Plan(
        Design(variant, STREAMING, sizes, folding, sizing.depths),
        figures_of(result.interval, result.latency, clock_ns, limiting, rows),
        (_layer_table(rows, folding), _fifo_table(sizing)),
    )


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
