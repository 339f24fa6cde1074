"""The rule of tables in ONNX: knots interpolated in integers, as fixed_point.table_lookup does."""

import numpy as np
import numpy.typing as npt

from models.integer import fixed_point
from models.onnx.graph import Graph


def table_entries(graph: Graph, knots: npt.NDArray[np.integer], name: str) -> str:
    """Add the interpolation of knots int8 [F, 65]; return its value int32 [F, 256], by x + 128.

    The nodes depend on constants alone, so a runtime computes them once, when it loads the file.
    """
    segment, rest = fixed_point.table_index(np.arange(256) + fixed_point.INT8_MIN)
    wide = graph.cast(
        graph.constant(f"{name}_knots", knots, np.int8), np.int32, f"{name}_knots_wide"
    )
    ends = []
    for side, at in (("left", segment), ("right", segment + 1)):
        where = graph.constant(f"table_{side}", at, np.int64)
        ends.append(graph.node("Gather", [wide, where], f"{name}_{side}", axis=1))
    rise = graph.node("Sub", [ends[1], ends[0]], f"{name}_rise")
    remainder = graph.constant("table_remainder", rest, np.int32)
    part = graph.node("Mul", [rise, remainder], f"{name}_part")
    return graph.node("Add", [ends[0], _quarter(graph, part, name)], f"{name}_entries")


def _quarter(graph: Graph, part: str, name: str) -> str:
    """rounding_shift(part, 2): BitShift takes unsigned integers, so 2^10 is added before it.

    |part| <= 3 * 255 < 2^10.
    """
    bits = fixed_point.TABLE_BITS
    up = graph.constant("table_up", (1 << 10) + (1 << (bits - 1)), np.int32)
    part = graph.node("Add", [part, up], f"{name}_part_up")
    part = graph.cast(part, np.uint32, f"{name}_part_unsigned")
    shift = graph.constant("table_shift", bits, np.uint32)
    part = graph.node("BitShift", [part, shift], f"{name}_quarter_up", direction="RIGHT")
    part = graph.cast(part, np.int32, f"{name}_quarter_signed")
    down = graph.constant("table_down", (1 << 10) >> bits, np.int32)
    return graph.node("Sub", [part, down], f"{name}_quarter")
