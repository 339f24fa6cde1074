"""One case for each unit of hls/rtl: random data, what models/integer/fixed_point.py makes of it,
and the call of the C++ unit that does the same.

The sizes are arguments; `seed` chooses the data.
"""

import numpy as np

from hls.netlist.memories import (
    affine_constant_words,
    matrix_constant_words,
    table_words,
    weight_words,
)
from models.integer import fixed_point
from models.integer.params import IntLayer, IntTable
from tests.support.rtl_bench import Case, Cpp, Stream

PAUSE = (80, 80)


class Draw:
    """Random int8 data of one case."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def int8(self, *shape: int) -> np.ndarray:
        """Return int8 values, the extremes among them more often than by chance."""
        values = self.rng.integers(-128, 128, shape, dtype=np.int32)
        extremes = self.rng.choice(np.array([-128, 127], np.int32), shape)
        return np.where(self.rng.random(shape) < 0.1, extremes, values)

    def shifts(self, count: int, top: int) -> np.ndarray:
        return self.rng.integers(max(1, top - 4), top + 1, count, dtype=np.int32)

    def affine(self, channels: int) -> IntLayer:
        return IntLayer(self.int8(channels), self.int8(channels), self.shifts(channels, 9))

    def linear(self, outputs: int, inputs: int) -> IntLayer:
        top = 9 + int(np.ceil(np.log2(inputs)) / 2)
        w = self.int8(outputs, inputs)
        return IntLayer(w, self.int8(outputs), self.shifts(outputs, top))

    def table(self, channels: int) -> IntTable:
        return IntTable(self.int8(channels, fixed_point.TABLE_KNOTS))


def requantized(layer: IntLayer, acc: np.ndarray) -> np.ndarray:
    return fixed_point.requantize(acc, layer.s, layer.b)


def fifo(lanes: int, depth: int, *, seed: int = 0) -> Case:
    data = Stream(Draw(seed + depth).int8(300 * lanes), lanes)
    return Case("fifo", {"WIDTH": 8 * lanes, "DEPTH": depth}, {"in": data}, {"out": data})


def duplicate(channels: int, lanes: int, table: bool, vectors: int = 40, *, seed: int = 0) -> Case:
    draw = Draw(seed + channels)
    x = draw.int8(vectors, channels)
    if table:
        x[:, :] = np.resize(np.arange(-128, 128), x.shape)  # every value in some channel
        tables = draw.table(channels)
        y = fixed_point.table_lookup(tables.knots, np.arange(channels), x)
        roms = table_words(tables, lanes)
    else:
        y, roms = x, []
    parameters = {"CHANNELS": channels, "LANES": lanes, "HAS_TABLE": int(table)}
    outputs = {"branch": Stream(y, lanes), "shortcut": Stream(x, lanes)}
    activation = "Table" if table else "Identity"
    cpp = Cpp("duplicate", (activation, vectors, channels, lanes), [x], [x.shape, x.shape])
    return Case("duplicate", parameters, {"in": Stream(x, lanes)}, outputs, tables=roms, cpp=cpp)


def pack(few: int, many: int, words: int = 30, *, seed: int = 0) -> Case:
    x = Draw(seed + many).int8(words, many)
    cpp = Cpp("pack", (words, few, many, 0), [x], [x.shape, x.shape], takes=(0,))
    streams = {"in": Stream(x, few)}, {"out": Stream(x, many)}
    return Case("pack", {"FROM": few, "TO": many}, *streams, cpp=cpp)


def unpack(many: int, few: int, words: int = 30, *, seed: int = 0) -> Case:
    x = Draw(seed + many).int8(words, many)
    cpp = Cpp("pack", (words, few, many, 0), [x], [x.shape, x.shape], takes=(1,))
    streams = {"in": Stream(x, many)}, {"out": Stream(x, few)}
    return Case("unpack", {"FROM": many, "TO": few}, *streams, cpp=cpp)


def replay(
    inputs: int,
    lanes: int,
    simd: int,
    times: int,
    handover: int,
    pause: tuple[int, int] = PAUSE,
    *,
    seed: int = 0,
) -> Case:
    """Return a case; in C++ the vector that `pack` sends stays in registers, `times` times."""
    x = Draw(seed + inputs).int8(12, inputs)
    parameters = {"INPUTS": inputs, "LANES": lanes, "SIMD": simd, "TIMES": times}
    parameters["HANDOVER"] = handover
    streams = {"in": Stream(x, lanes)}, {"out": Stream(np.repeat(x, times, axis=0), simd)}
    shapes = [x.shape, x.shape]
    cpp = Cpp("pack", (12, lanes, inputs, handover), [x], shapes, takes=(0,), times=times)
    return Case("replay", parameters, *streams, pause=pause, cpp=cpp)


def transpose(
    rows: int, columns: int, lanes: int, pause: tuple[int, int] = PAUSE, *, seed: int = 0
) -> Case:
    x = Draw(seed + rows).int8(5, rows, columns)
    parameters = {"ROWS": rows, "COLUMNS": columns, "LANES": lanes}
    streams = {"in": Stream(x, lanes)}, {"out": Stream(x.swapaxes(1, 2), lanes)}
    cpp = Cpp("transpose", (rows, columns, lanes), [x], [(columns, rows)], images=5)
    return Case("transpose", parameters, *streams, pause=pause, cpp=cpp)


def affine(channels: int, lanes: int, vectors: int = 40, *, seed: int = 0) -> Case:
    draw = Draw(seed + channels)
    x, layer = draw.int8(vectors, channels), draw.affine(channels)
    out = Stream(requantized(layer, x * layer.w), lanes)
    roms = {"CONSTANTS": (affine_constant_words(layer, lanes), 20 * lanes)}
    parameters = {"CHANNELS": channels, "LANES": lanes}
    arrays = [x, layer.w, layer.b, layer.s]
    cpp = Cpp("affine", (vectors, channels, lanes), arrays, [x.shape])
    return Case("affine", parameters, {"in": Stream(x, lanes)}, {"out": out}, roms, cpp=cpp)


def residual(channels: int, lanes: int, vectors: int = 40, *, seed: int = 0) -> Case:
    draw = Draw(seed + channels + 1)
    x, branch = draw.int8(vectors, channels), draw.int8(vectors, channels)
    layer = draw.affine(channels)
    scaled = requantized(layer, x * layer.w)
    out = Stream(fixed_point.saturating_add(scaled, branch), lanes)
    roms = {"CONSTANTS": (affine_constant_words(layer, lanes), 20 * lanes)}
    inputs = {"branch": Stream(branch, lanes), "shortcut": Stream(x, lanes)}
    parameters = {"CHANNELS": channels, "LANES": lanes}
    arrays = [branch, x, layer.w, layer.b, layer.s]
    cpp = Cpp("residual", (vectors, channels, lanes), arrays, [x.shape])
    return Case("residual", parameters, inputs, {"out": out}, roms, cpp=cpp)


def mean(vectors: int, channels: int, lanes: int, *, seed: int = 0) -> Case:
    x = Draw(seed + vectors).int8(6, vectors, channels)
    x[0], x[1] = -128, 127
    y = fixed_point.rounding_shift(x.sum(axis=1), fixed_point.mean_shift(vectors))
    parameters = {"VECTORS": vectors, "CHANNELS": channels, "LANES": lanes}
    cpp = Cpp("mean", (vectors, channels, lanes), [x], [(channels,)], images=6)
    streams = {"in": Stream(x, lanes)}, {"out": Stream(y, lanes)}
    return Case("mean", parameters, *streams, cpp=cpp)


def matrix_vector(
    inputs: int,
    outputs: int,
    pe: int,
    simd: int,
    activation: str,
    pause: tuple[int, int] = PAUSE,
    *,
    seed: int = 0,
) -> Case:
    draw = Draw(seed + inputs * outputs)
    x, layer = draw.int8(9, inputs), draw.linear(outputs, inputs)
    x[0], x[1] = -128, 127
    y = requantized(layer, x @ layer.w.T)
    tables = draw.table(outputs)
    if activation == "relu":
        y = fixed_point.relu(y)
    elif activation == "table":
        y = fixed_point.table_lookup(tables.knots, np.arange(outputs), y)
    parts = {"INPUTS": inputs, "OUTPUTS": outputs, "PE": pe, "SIMD": simd}
    parts |= {"RELU": int(activation == "relu"), "HAS_TABLE": int(activation == "table")}
    roms = {
        "WEIGHTS": (weight_words(layer.w, pe, simd), 8 * pe * simd),
        "CONSTANTS": (matrix_constant_words(layer, pe), 12 * pe),
    }
    replayed = Stream(np.repeat(x, outputs // pe, axis=0), simd)
    words = table_words(tables, pe) if activation == "table" else []
    policy = {"none": "Identity", "relu": "Relu", "table": "Table"}[activation]
    sizes = (policy, 9, inputs, outputs, pe, simd, simd, pe, 0)
    cpp = Cpp("linear", sizes, [x, layer.w, layer.b, layer.s], [y.shape])
    streams = {"in": replayed}, {"out": Stream(y, pe)}
    return Case("matrix_vector", parts, *streams, roms, words, pause, cpp)
