"""Each unit of the streaming accelerator, at many sizes and foldings, equals numpy.

The sizes are compiled in, so hypothesis chooses among those drawn here, and all the values.
"""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.headers.text import flat_array_text
from hls.plan.streaming.folding import divisors
from hls.simulate import gpp
from models.integer import fixed_point
from tests.support.paths import ROOT

pytestmark = pytest.mark.compiler

CASES = 16  # per unit
TABLE_CHANNELS = 24
KNOTS = np.random.default_rng(0).integers(-128, 128, (TABLE_CHANNELS, fixed_point.TABLE_KNOTS))


def draw_cases(draw):
    """Return template arguments, no two alike."""
    rng = np.random.default_rng(1)
    cases = []
    while len(cases) < CASES:
        case = tuple(int(size) for size in draw(rng))
        if case not in cases:
            cases.append(case)
    return cases


def divisor(rng, number):
    return rng.choice(divisors(int(number)))


def draw_linear(rng):
    inputs, outputs = rng.choice([1, 7, 12, 18, 20]), rng.choice([5, 12, 18, TABLE_CHANNELS])
    factors = (divisor(rng, number) for number in (outputs, inputs, inputs, outputs))
    return rng.integers(1, 6), inputs, outputs, *factors, rng.integers(2)


def draw_map(rng):
    lanes = rng.integers(1, 5)
    vectors, words = rng.integers(1, 6, 2)
    return vectors, lanes * words, lanes


def draw_mean(rng):
    vectors, channels, lanes = draw_map(rng)
    return 2**vectors, channels, lanes


def draw_duplicate(rng):
    lanes = divisor(rng, TABLE_CHANNELS)
    return rng.integers(1, 9), TABLE_CHANNELS, lanes


def draw_transpose(rng):
    lanes = rng.integers(1, 5)
    return *(lanes * rng.integers(1, 6, 2)), lanes


def draw_pack(rng):
    narrow, parts = rng.integers(1, 6, 2)
    return rng.integers(1, 6), narrow, narrow * parts, rng.integers(2)


DRAW = {
    "linear": draw_linear,
    "affine": draw_map,
    "residual": draw_map,
    "mean": draw_mean,
    "duplicate": draw_duplicate,
    "transpose": draw_transpose,
    "pack": draw_pack,
}
SIZES = {unit: draw_cases(draw) for unit, draw in DRAW.items()}
ACTIVATIONS = ("Identity", "Relu", "Table")


def binding():
    """Return C++ with one function per unit and case: `linear_0`, ..."""
    words = (np.diff(KNOTS) & 0x1FF) << 8 | (KNOTS[:, :-1] & 0xFF)
    lines = ['#include "hls_units_binding.hpp"']
    for lanes in divisors(TABLE_CHANNELS):
        sizes = (str(TABLE_CHANNELS // lanes), str(lanes), "64")
        lines.append(flat_array_text(f"tables_{lanes}", words, "TableWord", sizes))
    for unit, cases in SIZES.items():
        for number, case in enumerate(cases):
            arguments = list(map(str, case))
            if unit in ("linear", "duplicate"):
                arguments.insert(0, activation_type(unit, number))
            call = f"{unit}_unit<{', '.join(arguments)}>"
            lines.append(f'extern "C" const auto {unit}_{number} = &{call};')
    return "\n".join(lines) + "\n"


def activation(unit, number):
    """Tables have a fixed number of channels; each activation comes with some of the sizes."""
    channels = SIZES[unit][number][1 if unit == "duplicate" else 2]
    tables = channels == TABLE_CHANNELS and number % 4 != 0
    return ACTIVATIONS[2] if tables else ACTIVATIONS[number % 2]


def activation_type(unit, number):
    """Return the activation in C++; a table has a memory for each lane, block RAM or LUTs."""
    name, case = activation(unit, number), SIZES[unit][number]
    if name != "Table":
        return name
    lanes = case[2] if unit == "duplicate" else case[3]
    storage = "Storage::bram" if number % 2 else "Storage::lut"
    return f"Table<{storage}, {TABLE_CHANNELS // lanes}, {lanes}, tables_{lanes}>"


@pytest.fixture(scope="module")
def cpp(tmp_path_factory):
    """Return a function that calls a unit with the arrays that it reads, then those it fills."""
    folder = tmp_path_factory.mktemp("units")
    (folder / "units.cpp").write_text(binding())
    includes = [
        f"-I{ROOT / 'tests/support'}",
        *(f"-I{gpp.SOURCES / name}" for name in ("common", "streaming")),
    ]
    includes += ["-isystem", str(gpp.ap_types_folder())]
    flags = [*gpp.FLAGS, "-UNATIVE_SUMS", "-O1", "-Werror", "-shared", "-fPIC", *includes]
    library = folder / "units.so"
    subprocess.run(["g++", *flags, str(folder / "units.cpp"), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))

    def call(unit, number, *inputs, outputs):
        filled = [np.full(shape, 99, np.int8) for shape in outputs]
        arrays = [*(np.ascontiguousarray(array) for array in inputs), *filled]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        address = ctypes.c_void_p.in_dll(loaded, f"{unit}_{number}").value
        function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * len(pointers))(address)
        assert function(*pointers) == 0, "words left over or missing"
        return filled if len(filled) > 1 else filled[0]

    return call


def int8(rng, *shape):
    """Draw int8 values, the extremes among them more often than by chance."""
    values = rng.integers(-128, 128, shape)
    extremes = rng.choice([-128, 127], shape)
    return np.where(rng.random(shape) < 0.2, extremes, values).astype(np.int8)


def layer(rng, outputs, products):
    """Draw biases and shifts; some of the sums saturate."""
    typical = 7 + int(np.log2(products)) // 2
    return int8(rng, outputs), rng.integers(1, typical + 3, outputs).astype(np.uint8)


def requantize(sums, s, b):
    return fixed_point.requantize(sums, s.astype(np.int32), b.astype(np.int32))


def activate(name, x):
    if name == "Identity":
        return x
    if name == "Relu":
        return fixed_point.relu(x)
    return fixed_point.table_lookup(KNOTS, np.arange(TABLE_CHANNELS), x)


def case_and_values(unit):
    """Let hypothesis choose one of the unit's cases, and the seed of the values."""
    numbers = st.integers(0, CASES - 1)
    return given(number=numbers, seed=st.integers(0, 2**32 - 1))


many = settings(max_examples=60, deadline=None)


@many
@case_and_values("linear")
def test_matrix_product(cpp, number, seed):
    vectors, inputs, outputs, *_ = SIZES["linear"][number]
    rng = np.random.default_rng(seed)
    x, w = int8(rng, vectors, inputs), int8(rng, outputs, inputs)
    b, s = layer(rng, outputs, inputs)
    expected = requantize(x.astype(np.int32) @ w.T.astype(np.int32), s, b)
    expected = activate(activation("linear", number), expected)
    y = cpp("linear", number, x, w, b, s, outputs=[expected.shape])
    assert np.array_equal(y, expected)


@many
@case_and_values("affine")
def test_affine(cpp, number, seed):
    vectors, channels, _ = SIZES["affine"][number]
    rng = np.random.default_rng(seed)
    x, w = int8(rng, vectors, channels), int8(rng, channels)
    b, s = layer(rng, channels, 1)
    expected = requantize(x.astype(np.int32) * w, s, b)
    assert np.array_equal(cpp("affine", number, x, w, b, s, outputs=[x.shape]), expected)


@many
@case_and_values("residual")
def test_residual(cpp, number, seed):
    vectors, channels, _ = SIZES["residual"][number]
    rng = np.random.default_rng(seed)
    x, skipped, w = int8(rng, vectors, channels), int8(rng, vectors, channels), int8(rng, channels)
    b, s = layer(rng, channels, 1)
    rescaled = requantize(skipped.astype(np.int32) * w, s, b)
    expected = fixed_point.saturating_add(x.astype(np.int32), rescaled)
    y = cpp("residual", number, x, skipped, w, b, s, outputs=[x.shape])
    assert np.array_equal(y, expected)


@many
@case_and_values("mean")
def test_mean(cpp, number, seed):
    vectors, channels, _ = SIZES["mean"][number]
    x = int8(np.random.default_rng(seed), vectors, channels)
    expected = fixed_point.rounding_shift(
        x.sum(axis=0, dtype=np.int32), fixed_point.mean_shift(vectors)
    )
    assert np.array_equal(cpp("mean", number, x, outputs=[channels]), expected)


@many
@case_and_values("duplicate")
def test_lookup_on_the_branch_of_the_fork(cpp, number, seed):
    vectors, channels, _ = SIZES["duplicate"][number]
    x = int8(np.random.default_rng(seed), vectors, channels)
    branch, shortcut = cpp("duplicate", number, x, outputs=[x.shape, x.shape])
    assert np.array_equal(shortcut, x)
    expected = activate(activation("duplicate", number), x.astype(np.int32))
    assert np.array_equal(branch, expected)


@many
@case_and_values("transpose")
def test_transpose(cpp, number, seed):
    rows, columns, _ = SIZES["transpose"][number]
    x = int8(np.random.default_rng(seed), rows, columns)
    assert np.array_equal(cpp("transpose", number, x, outputs=[(columns, rows)]), x.T)


@many
@case_and_values("pack")
def test_pack_and_unpack(cpp, number, seed):
    words, _, wide, _ = SIZES["pack"][number]
    x = int8(np.random.default_rng(seed), words * wide)
    packed, unpacked = cpp("pack", number, x, outputs=[x.shape, x.shape])
    assert np.array_equal(packed, x) and np.array_equal(unpacked, x)


def test_the_cases_cover_every_kind_of_folding():
    cases = SIZES["linear"]
    tails = {(lanes % pe == 0, pe % lanes == 0) for _, _, _, pe, _, _, lanes, _ in cases}
    assert len(tails) == 4, tails
    assert {simd < inputs for _, inputs, _, _, simd, *_ in cases} == {False, True}
    assert {handover for *_, handover in cases} == {0, 1}
    used = {unit: {activation(unit, n) for n in range(CASES)} for unit in ("linear", "duplicate")}
    assert used == {"linear": {*ACTIVATIONS}, "duplicate": {*ACTIVATIONS} - {"Relu"}}
