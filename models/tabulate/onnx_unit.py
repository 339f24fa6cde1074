"""Tables as an ONNX file of integer operators, which onnxruntime computes exactly."""

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models.integer.fixed_point import INT8_MIN, TABLE_BITS, TABLE_KNOTS
from models.tabulate.function import Tabulated

_OPSET, _IR_VERSION = 17, 8  # onnxruntime 1.12 and newer read them
_LIFT = 256  # makes a dividend positive: ONNX's Div rounds towards zero, the rule rounds down


def onnx_unit(tabulated: Tabulated, name: str) -> bytes:
    """Return the ONNX file of the tables: input `x` int8 [n, F], output `y` int8 [n, F].

    y = t[i] + floor(((t[i+1] - t[i]) * r + 2) / 4), where i and r are the upper six and the lower
    two bits of x + 128: the rule of `models.integer.fixed_point.table_lookup`. The scales are in
    the file's metadata.
    """
    quarters = 1 << TABLE_BITS
    constants = {
        "knots": tabulated.table.knots.reshape(-1),
        "first_knot": TABLE_KNOTS * np.arange(tabulated.channels),
        "offset": -INT8_MIN,
        "quarters": quarters,
        "half_and_lift": quarters // 2 + quarters * _LIFT,
        "lift": _LIFT,
        "one": 1,
    }
    steps = [
        ("Cast", ["x"], "wide", {"to": TensorProto.INT32}),
        ("Add", ["wide", "offset"], "position", {}),
        ("Div", ["position", "quarters"], "segment", {}),
        ("Mul", ["segment", "quarters"], "segment_start", {}),
        ("Sub", ["position", "segment_start"], "remainder", {}),
        ("Add", ["segment", "first_knot"], "left_place", {}),
        ("Add", ["left_place", "one"], "right_place", {}),
        ("Gather", ["knots", "left_place"], "left", {}),
        ("Gather", ["knots", "right_place"], "right", {}),
        ("Sub", ["right", "left"], "slope", {}),
        ("Mul", ["slope", "remainder"], "product", {}),
        ("Add", ["product", "half_and_lift"], "dividend", {}),
        ("Div", ["dividend", "quarters"], "lifted", {}),
        ("Sub", ["lifted", "lift"], "rise", {}),
        ("Add", ["left", "rise"], "sum", {}),
        ("Cast", ["sum"], "y", {"to": TensorProto.INT8}),
    ]
    shape = ["n", tabulated.channels]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [out], out, **more) for op, inputs, out, more in steps],
        name,
        [helper.make_tensor_value_info("x", TensorProto.INT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT8, shape)],
        [numpy_helper.from_array(np.array(v, np.int32), key) for key, v in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    scales = {"in_scale": tabulated.in_scale, "out_scale": tabulated.out_scale}
    helper.set_model_props(model, {key: json.dumps(value) for key, value in scales.items()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content
