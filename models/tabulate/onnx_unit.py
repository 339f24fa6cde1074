"""Tables as an ONNX file of integer operators, which onnxruntime computes exactly."""

import json

import numpy as np

from models.integer.fixed_point import INT8_MIN
from models.onnx.graph import Graph
from models.onnx.tables import table_entries
from models.tabulate.function import Tabulated


def onnx_unit(tabulated: Tabulated, name: str) -> bytes:
    """Return the ONNX file of the tables: input `x` int8 [n, F], output `y` int8 [n, F].

    The rule is that of `models.integer.fixed_point.table_lookup`. The scales are in the file's
    metadata. PipelineError if the package onnx is not installed.
    """
    graph, shape = Graph(), ["n", tabulated.channels]
    x = graph.cast(graph.input("x", np.int8, shape), np.int32, "wide")
    position = graph.node("Add", [x, graph.constant("offset", -INT8_MIN, np.int32)], "position")
    rows = graph.node("Transpose", [position], "position_by_channel", perm=[1, 0])
    entries = table_entries(graph, tabulated.table.knots, "function")
    table = graph.cast(entries, np.int8, "function_lut")
    found = graph.node("GatherElements", [table, rows], "y_by_channel", axis=1)
    graph.output(graph.node("Transpose", [found], "y", perm=[1, 0]), np.int8, shape)
    scales = {"in_scale": tabulated.in_scale, "out_scale": tabulated.out_scale}
    metadata = {key: json.dumps(value) for key, value in scales.items()}
    return graph.model(name, f"The INT8 tables of {name}, one per channel.", metadata)
