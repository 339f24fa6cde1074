"""The units of hls/rtl compute what models/integer/fixed_point.py computes, at any pace."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hls.netlist.memories import (
    affine_constant_words,
    matrix_constant_words,
    table_words,
    weight_words,
)
from hls.simulate.verilator import unit_files, verilator_folder
from models.integer import fixed_point
from models.integer.params import IntLayer, IntTable
from tests.support.rtl_bench import Case, Stream, last_cycle, problems, run

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(verilator_folder() is None, reason="needs the Python package verilator"),
]


class Draw:
    """Random int8 data of one test."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def int8(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-128, 128, shape, dtype=np.int32)

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


def fifo(lanes: int, depth: int) -> Case:
    data = Stream(Draw(depth).int8(300 * lanes), lanes)
    return Case("fifo", {"WIDTH": 8 * lanes, "DEPTH": depth}, {"in": data}, {"out": data})


def duplicate(channels: int, lanes: int, table: bool, vectors: int = 40) -> Case:
    draw = Draw(channels)
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
    return Case("duplicate", parameters, {"in": Stream(x, lanes)}, outputs, tables=roms)


def pack(few: int, many: int, words: int = 30) -> Case:
    x = Draw(many).int8(words, many)
    return Case("pack", {"FROM": few, "TO": many}, {"in": Stream(x, few)}, {"out": Stream(x, many)})


def unpack(many: int, few: int, words: int = 30) -> Case:
    x = Draw(many).int8(words, many)
    parameters = {"FROM": many, "TO": few}
    return Case("unpack", parameters, {"in": Stream(x, many)}, {"out": Stream(x, few)})


def replay(inputs: int, lanes: int, simd: int, times: int, handover: int, pause: int = 80) -> Case:
    x = Draw(inputs).int8(12, inputs)
    parameters = {"INPUTS": inputs, "LANES": lanes, "SIMD": simd, "TIMES": times}
    parameters["HANDOVER"] = handover
    out = Stream(np.repeat(x, times, axis=0), simd)
    return Case("replay", parameters, {"in": Stream(x, lanes)}, {"out": out}, pause=pause)


def transpose(rows: int, columns: int, lanes: int, pause: int = 80) -> Case:
    x = Draw(rows).int8(5, rows, columns)
    parameters = {"ROWS": rows, "COLUMNS": columns, "LANES": lanes}
    out = Stream(x.swapaxes(1, 2), lanes)
    return Case("transpose", parameters, {"in": Stream(x, lanes)}, {"out": out}, pause=pause)


def affine(channels: int, lanes: int, vectors: int = 40) -> Case:
    draw = Draw(channels)
    x, layer = draw.int8(vectors, channels), draw.affine(channels)
    out = Stream(requantized(layer, x * layer.w), lanes)
    roms = {"CONSTANTS": (affine_constant_words(layer, lanes), 20 * lanes)}
    parameters = {"CHANNELS": channels, "LANES": lanes}
    return Case("affine", parameters, {"in": Stream(x, lanes)}, {"out": out}, roms)


def residual(channels: int, lanes: int, vectors: int = 40) -> Case:
    draw = Draw(channels + 1)
    x, branch, layer = draw.int8(vectors, channels), draw.int8(vectors, channels), None
    layer = draw.affine(channels)
    scaled = requantized(layer, x * layer.w)
    out = Stream(fixed_point.saturating_add(scaled, branch), lanes)
    roms = {"CONSTANTS": (affine_constant_words(layer, lanes), 20 * lanes)}
    inputs = {"branch": Stream(branch, lanes), "shortcut": Stream(x, lanes)}
    parameters = {"CHANNELS": channels, "LANES": lanes}
    return Case("residual", parameters, inputs, {"out": out}, roms)


def mean(vectors: int, channels: int, lanes: int) -> Case:
    x = Draw(vectors).int8(6, vectors, channels)
    x[0], x[1] = -128, 127
    y = fixed_point.rounding_shift(x.sum(axis=1), fixed_point.mean_shift(vectors))
    parameters = {"VECTORS": vectors, "CHANNELS": channels, "LANES": lanes}
    return Case("mean", parameters, {"in": Stream(x, lanes)}, {"out": Stream(y, lanes)})


def matrix_vector(
    inputs: int, outputs: int, pe: int, simd: int, activation: str, pause: int = 80
) -> Case:
    draw = Draw(inputs * outputs)
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
    return Case(
        "matrix_vector", parts, {"in": replayed}, {"out": Stream(y, pe)}, roms, words, pause
    )


CASES = [
    fifo(1, 1),
    fifo(2, 4),
    fifo(1, 7),
    fifo(3, 70),
    duplicate(6, 1, table=False),
    duplicate(6, 3, table=True),
    duplicate(5, 1, table=True),
    duplicate(4, 4, table=True),
    pack(1, 5),
    pack(4, 8),
    unpack(6, 2),
    unpack(5, 1),
    replay(6, 1, 6, 3, 0),
    replay(8, 2, 4, 2, 1),
    replay(12, 2, 2, 1, 0),
    replay(12, 4, 3, 5, 1),
    replay(4, 4, 4, 2, 0),
    transpose(4, 6, 1),
    transpose(4, 8, 4),
    transpose(6, 3, 3),
    affine(5, 1),
    affine(12, 4),
    residual(5, 1),
    residual(8, 8),
    mean(2, 3, 1),
    mean(16, 8, 4),
    mean(4, 2, 2),
    matrix_vector(7, 3, 1, 7, "none"),
    matrix_vector(12, 6, 2, 4, "relu"),
    matrix_vector(12, 6, 3, 12, "table"),
    matrix_vector(9, 4, 4, 3, "table"),
    matrix_vector(6, 5, 1, 1, "none"),
    matrix_vector(300, 2, 1, 100, "none"),
]
# At full pace, for the cycles that each unit promises.
TIMED = [
    replay(8, 1, 8, 16, 0, pause=0),
    replay(8, 1, 8, 16, 1, pause=0),
    transpose(8, 8, 2, pause=0),
    matrix_vector(16, 8, 2, 4, "none", pause=0),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, runtime: list[Path]) -> str:
    return run([*CASES, *TIMED], tmp_path_factory.mktemp("units"), unit_files(), runtime)


@pytest.mark.parametrize("number", range(len(CASES) + len(TIMED)), ids=lambda n: f"{n}")
def test_unit_equals_the_integer_arithmetic(report: str, number: int) -> None:
    assert not [line for line in problems(report) if f".u{number}_" in line or "stuck" in line]


def test_replay_and_matrix_vector_take_a_word_per_cycle(report: str) -> None:
    first = len(CASES)
    words = 12 * 16
    assert last_cycle(report, first, "out") == 8 + words - 1
    assert last_cycle(report, first + 1, "out") == 8 + words - 1 + 11
    assert last_cycle(report, first + 2, "out") == 5 * 32 + 32 + 3 - 1
    assert last_cycle(report, first + 3, "out") == 9 * 4 * 4 - 1 + 9


FAULTS: list[list[tuple[str, str, str, Callable[[], Case]]]] = [
    [
        ("fixed_point.sv", "{7{~sign}}", "{7{sign}}", lambda: affine(12, 4)),  # saturation
        ("fifo.sv", "count != COUNT_BITS'(WORDS)", "1'b1", lambda: fifo(2, 4)),  # ignores "full"
        (
            "read_table.sv",
            "in_data[8*i+:8] ^ 8'h80",
            "in_data[8*i+:8] ^ 8'h84",  # table index
            lambda: duplicate(6, 3, table=True),
        ),
    ],
    [("fixed_point.sv", "+ (BITS + 1)'(1);", "+ (BITS + 1)'(0);", lambda: mean(16, 8, 4))],
]


@pytest.mark.parametrize("faults", FAULTS, ids=["saturation, fifo, table", "rounding"])
def test_planted_faults_are_caught(
    tmp_path: Path, runtime: list[Path], faults: list[tuple[str, str, str, Callable[[], Case]]]
) -> None:
    sources = []
    for path in unit_files():
        text = path.read_text()
        for file, old, new, _ in faults:
            if path.name == file:
                assert old in text
                text = text.replace(old, new)
        (tmp_path / path.name).write_text(text)
        sources.append(tmp_path / path.name)
    found = problems(run([case() for *_, case in faults], tmp_path, sources, runtime, limit=3000))
    for number, (file, *_) in enumerate(faults):
        assert any(f".u{number}_" in line for line in found), file
