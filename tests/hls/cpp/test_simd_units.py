"""Each unit of the SIMD accelerator, at many sizes and arrays, equals numpy.

The sizes are compiled in, so hypothesis chooses among those drawn here, and all the values.
"""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.cpp.accelerators import ACCELERATORS, SIMD
from hls.simulate import gpp
from models.integer import fixed_point
from tests.support.paths import ROOT

pytestmark = pytest.mark.compiler

CASES = 12  # per unit
POWERS = [1, 2, 4, 8, 16]
many = settings(max_examples=50, deadline=None)


def draw_store(rng):
    side = rng.choice(POWERS)
    write, read = (rng.choice([n for n in POWERS if n <= side]) for _ in range(2))
    return *rng.integers(1, 40, 2), side, write, read


def draw_array(rng):
    return *rng.choice(POWERS, 2), rng.integers(1, 6)


def draw_tables(rng):
    return *rng.integers(1, 40, 2), *rng.choice(POWERS, 2)


DRAW = {"store": draw_store, "array": draw_array, "tables": draw_tables}
RNG = np.random.default_rng(2)
SIZES = {unit: [tuple(map(int, draw(RNG))) for _ in range(CASES)] for unit, draw in DRAW.items()}


@pytest.fixture(scope="module")
def cpp(tmp_path_factory):
    """Return a function that calls a unit with its inputs and the shape of its output."""
    folder = tmp_path_factory.mktemp("units")
    lines = ['#include "hls_simd_binding.hpp"']
    for unit, cases in SIZES.items():
        for number, case in enumerate(cases):
            call = f"{unit}_unit<{', '.join(map(str, case))}>"
            lines.append(f'extern "C" const auto {unit}_{number} = &{call};')
    (folder / "units.cpp").write_text("\n".join(lines) + "\n")
    folders = [gpp.SOURCES / name for name in ACCELERATORS[SIMD].include_folders]
    includes = [f"-I{path}" for path in (ROOT / "tests" / "support", *folders)]
    includes += ["-isystem", str(gpp.ap_types_folder())]
    flags = [*gpp.FLAGS, "-UNATIVE_SUMS", "-O1", "-Werror", "-shared", "-fPIC", *includes]
    library = folder / "units.so"
    subprocess.run(["g++", *flags, str(folder / "units.cpp"), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))

    def call(unit, number, *inputs, shape):
        arrays = [*(np.ascontiguousarray(array) for array in inputs), np.full(shape, 99, np.int8)]
        address = ctypes.c_void_p.in_dll(loaded, f"{unit}_{number}").value
        function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * len(arrays))(address)
        assert function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays)) == 0
        return arrays[-1]

    return call


def int8(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


NUMBERS = {"number": st.integers(0, CASES - 1), "seed": st.integers(0, 2**32 - 1)}


@many
@given(**NUMBERS, by_channel=st.tuples(st.booleans(), st.booleans()))
def test_a_map_is_saved_and_loaded_by_token_and_by_channel(cpp, number, seed, by_channel):
    tokens, features, *_ = SIZES["store"][number]
    x = int8(np.random.default_rng(seed), tokens, features)
    written, expected = (x.T if across else x for across in by_channel)
    y = cpp("store", number, written, np.array(by_channel, np.int32), shape=expected.shape)
    assert np.array_equal(y, expected)


@many
@given(**NUMBERS)
def test_a_tile_multiplies_and_requantises(cpp, number, seed):
    rows, columns, vectors = SIZES["array"][number]
    rng = np.random.default_rng(seed)
    w, x = int8(rng, rows, columns), int8(rng, vectors, 2, columns)
    parameters = np.zeros((5, -(-rows // columns) * columns), np.int8)
    parameters[0, :rows], parameters[1, :rows] = int8(rng, rows), rng.integers(1, 17, rows)
    words = np.concatenate([w, parameters.reshape(-1, columns)])
    sums = x.sum(axis=1, dtype=np.int32) @ w.T.astype(np.int32)
    b, s = parameters[:2, :rows].astype(np.int32)
    y = cpp("array", number, words, x, shape=sums.shape)
    assert np.array_equal(y, fixed_point.requantize(sums, s, b))


@many
@given(**NUMBERS)
def test_tables_are_taken_knot_by_knot(cpp, number, seed):
    *features, _, columns = SIZES["tables"][number]
    rng = np.random.default_rng(seed)
    words, expected = [], []
    x = int8(rng, sum(features))
    for count, values in zip(features, np.split(x, [features[0]]), strict=True):
        groups = -(-count // columns)
        knots = int8(rng, groups * columns, fixed_point.TABLE_KNOTS)
        words.append(knots.reshape(groups, columns, -1).transpose(0, 2, 1).reshape(-1, columns))
        channels, values = np.arange(count), values.astype(np.int32)
        expected.append(fixed_point.table_lookup(knots.astype(np.int32), channels, values))
    y = cpp("tables", number, np.concatenate(words), x, shape=x.shape)
    assert np.array_equal(y, np.concatenate(expected))


def test_the_cases_cover_arrays_that_are_no_squares():
    for unit, (a, b) in {"array": (0, 1), "tables": (2, 3)}.items():
        assert {np.sign(case[a] - case[b]) for case in SIZES[unit]} >= {-1, 1}
    assert {case[2] > case[3] for case in SIZES["store"]} == {False, True}
