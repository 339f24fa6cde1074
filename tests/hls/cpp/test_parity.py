"""C++ and Python compute the same integers: each rule over its domain, then whole networks."""

import ctypes
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hls.headers.golden import golden_text
from hls.simulate import gpp
from models.files.errors import PipelineError
from models.integer import fixed_point
from models.integer import resmlp as int_resmlp
from tests.support.hls_build import OPTIMISED, QUICK, SANITIZED
from tests.support.hls_design import write_headers, write_images
from tests.support.paths import ROOT

pytestmark = pytest.mark.compiler

INT8 = np.arange(-128, 128, dtype=np.int32)
SHIFTS = np.arange(1, fixed_point.MAX_SHIFT + 1, dtype=np.int32)
PRODUCTS = 96  # of the sums that the binding requantises
SMALL = {"patch_dim": 5, "num_patches": 4, "embed_dim": 6, "hidden_dim": 10, "num_blocks": 2}
SHAPES = {
    "relu": {**SMALL, "seed": 1},
    "tables": {**SMALL, "seed": 2, "tables": True},
    "wide": {"seed": 3, "num_patches": 16, "embed_dim": 33, "hidden_dim": 70, "num_blocks": 3},
    "least": {
        "seed": 4,
        "tables": True,
        "num_patches": 2,
        "patch_dim": 1,
        "embed_dim": 1,
        "hidden_dim": 1,
        "num_blocks": 1,
        "num_classes": 1,
    },
}


@pytest.fixture(scope="module")
def cpp(tmp_path_factory):
    """Return a function that calls one C++ rule: outputs first, then the inputs, elementwise."""
    library = tmp_path_factory.mktemp("binding") / "fixed_point.so"
    source = ROOT / "tests/support/fixed_point_binding.cpp"
    includes = ["-isystem", str(gpp.ap_types_folder()), f"-I{gpp.SOURCES / 'common'}"]
    flags = [*gpp.FLAGS, "-O2", "-Werror", "-shared", "-fPIC", *includes]
    subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
    functions = ctypes.CDLL(str(library))

    def call(name, *inputs, outputs=1):
        inputs = [np.ascontiguousarray(array) for array in inputs]
        results = [np.empty(inputs[-1].shape, np.int32) for _ in range(outputs)]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*inputs, *results)]
        getattr(functions, f"{name}_all")(*pointers, ctypes.c_long(inputs[-1].size))
        return results[0] if outputs == 1 else tuple(results)

    return call


def grid(*axes):
    """Return every combination of the axes' values, as one flat int32 array per axis."""
    return [axis.astype(np.int32).ravel() for axis in np.meshgrid(*axes, indexing="ij")]


def test_rounding_shift_on_all_int16_and_at_the_edges_of_the_accumulator(cpp):
    edges = [sign * (1 << bits) + d for sign in (-1, 1) for bits in range(31) for d in (-1, 0, 1)]
    edges = [value for value in edges if abs(value) < 1 << 30]
    values, shifts = grid(np.concatenate([np.arange(-32768, 32768), edges]), SHIFTS)
    expected = fixed_point.rounding_shift(values.astype(np.int64), shifts)
    assert np.array_equal(cpp("rounding_shift", values, shifts), expected)
    assert np.array_equal(expected, np.floor(values / 2.0**shifts + 0.5))


def test_saturate_and_relu(cpp):
    values = np.arange(-70_000, 70_000, dtype=np.int32)
    assert np.array_equal(cpp("saturate", values), fixed_point.saturate(values))
    assert np.array_equal(cpp("relu", INT8), fixed_point.relu(INT8))


def test_requantize_up_to_the_largest_sums(cpp):
    largest = PRODUCTS * 128 * 128
    sums = np.concatenate([np.linspace(-PRODUCTS * 128 * 127, largest, 999, dtype=int), INT8])
    arguments = grid(sums, SHIFTS, np.array([-128, -1, 0, 1, 127]))
    assert sums.max() == largest
    assert np.array_equal(cpp("requantize", *arguments), fixed_point.requantize(*arguments))


def test_saturating_add_of_all_pairs(cpp):
    pairs = grid(INT8, INT8)
    assert np.array_equal(cpp("saturating_add", *pairs), fixed_point.saturating_add(*pairs))


def test_lerp_of_all_knots_and_remainders(cpp):
    arguments = grid(INT8, INT8, np.arange(4))
    assert np.array_equal(cpp("lerp", *arguments), fixed_point.lerp(*arguments))


def test_tables_on_all_inputs(cpp):
    knots = np.random.default_rng(0).integers(-128, 128, (8, fixed_point.TABLE_KNOTS))
    knots[0, ::2], knots[0, 1::2] = -128, 127
    knots = knots.astype(np.int8)
    channel, value = grid(np.arange(8), INT8)
    expected = fixed_point.table_lookup(knots.astype(np.int32), channel, value)
    assert np.array_equal(cpp("table_lookup", knots, channel, value), expected)
    segments = np.stack([knots[:, :-1], np.diff(knots.astype(np.int32))], axis=-1).astype(np.int32)
    assert np.array_equal(cpp("segment_lookup", segments, channel, value), expected)
    segments, remainders = cpp("table_index", INT8, outputs=2)
    assert np.array_equal((segments, remainders), fixed_point.table_index(INT8))
    assert (segments.min(), segments.max()) == (0, 63)


def test_mean_shift_is_zero_where_python_refuses(cpp):
    counts = np.arange(1, 5000, dtype=np.int32)
    for count, shift in zip(counts.tolist(), cpp("mean_shift", counts).tolist(), strict=True):
        if shift:
            assert shift == fixed_point.mean_shift(count)
        else:
            with pytest.raises(ValueError, match="as a shift"):
                fixed_point.mean_shift(count)


def test_accumulator_bits_are_enough_and_no_more(cpp):
    products = np.arange(1, fixed_point.MAX_FAN_IN + 1, dtype=np.int32)
    largest = products.astype(np.int64) * 128 * 128
    bits = cpp("accumulator_bits", products)
    assert np.all(largest < 1 << (bits - 1))
    assert np.all(largest >= 1 << (bits - 2))


class Case:
    """A network with golden samples, its headers and its test bench, compiled once.

    `spoil` changes the golden outputs of the layers.
    """

    def __init__(self, network, folder, build, flags=QUICK, spoil=None):
        rng = np.random.default_rng(7)
        tokens = rng.integers(-128, 128, (9, network.num_patches, network.patch_dim))
        tokens[0], tokens[1], tokens[2, ::2] = -128, 127, 127
        samples = int_resmlp.make_samples(network, tokens.astype(np.int32), np.zeros(9))
        self.network, self.folder, self.log = network, folder, folder / "log"
        if spoil:
            spoil(samples.layers)
        write_headers(network, folder)
        (folder / "golden.hpp").write_text(golden_text(samples))
        self.binary = build("g++", [folder], folder, self.log, flags)

    def simulate(self, count=50, jobs=1):
        files = write_images(self.network, self.folder, count)
        return gpp.simulate(self.binary, self.log, files, jobs)


@pytest.fixture(scope="module")
def relu(random_network, tmp_path_factory):
    """Optimised and without precompiled headers, as the pipeline compiles; no warning is let by."""
    folder = tmp_path_factory.mktemp("relu")
    return Case(random_network(**SHAPES["relu"]), folder, gpp.build, OPTIMISED)


@pytest.fixture(params=[name for name in SHAPES if name != "relu"])
def other(request, random_network, tmp_path, builds):
    return Case(random_network(**SHAPES[request.param]), tmp_path, builds.build)


def test_random_networks_saturate(random_network):
    for shape in ("relu", "tables", "wide"):
        network = random_network(**SHAPES[shape])
        size = (50, network.num_patches, network.patch_dim)
        tokens = np.random.default_rng(1).integers(-128, 128, size, dtype=np.int32)
        samples = int_resmlp.make_samples(network, tokens, np.zeros(50))
        for name in ("embed_linear", "blocks_0_mlp", "blocks_1_token_mixer_linear"):
            values = samples.layers[name]
            assert {-128, 127} <= set(values.ravel()) and len(np.unique(values)) > 50, name


def test_relu_network_equals_numpy_in_every_layer(relu):
    assert gpp.simulate(relu.binary, relu.log) == 0
    assert relu.simulate() == 50


def test_other_networks_equal_numpy_in_every_layer(other):
    assert other.simulate(jobs=2) == 50


def test_no_read_or_write_out_of_bounds_and_no_undefined_behaviour(
    random_network, tmp_path, builds
):
    """ap_private.h shifts negative numbers left to extend their sign: that one check is off."""
    network = random_network(**SHAPES["tables"])
    case = Case(network, tmp_path, builds.build, SANITIZED)
    assert case.simulate() == 50


def test_a_wrong_logit_of_a_test_image_is_named(relu):
    files = write_images(relu.network, relu.folder, 50)
    logits = np.fromfile(files.logits, np.int8).reshape(50, -1)
    got = int(logits[33, 2])
    logits[33, 2] = want = (got + 1) % 127
    files.logits.write_bytes(logits.tobytes())
    message = f"logits, image 33, token 0, channel 2: got {got}, want {want}"
    with pytest.raises(PipelineError, match=message):
        gpp.simulate(relu.binary, relu.log, files, jobs=2)


def test_files_that_end_early_are_named(relu):
    files = replace(write_images(relu.network, relu.folder, 49), count=50)
    with pytest.raises(PipelineError, match="ends before image 49"):
        gpp.simulate(relu.binary, relu.log, files)


def test_a_wrong_value_inside_is_named(random_network, tmp_path, builds):
    want = 0

    def spoil(layers):
        nonlocal want
        layers["blocks_1_mlp_relu"][0, 2, 3] += 1
        want = layers["blocks_1_mlp_relu"][0, 2, 3]
        layers["blocks_1_mlp"][4, 1, 0] ^= 1  # comes later

    case = Case(random_network(**SHAPES["relu"]), tmp_path, builds.build, spoil=spoil)
    place = "blocks_1_mlp_act_hidden, image 0, token 2, channel 3"
    message = f"{place}: got {want - 1}, want {want} .*see {case.log}"
    with pytest.raises(PipelineError, match=message):
        gpp.simulate(case.binary, case.log)
    assert "mismatches 2" in case.log.read_text()


FAULTS = {  # what the unit does wrong, where all its values are still the right ones
    "keeps a value in a stream": (
        "shortcut.write(x);",
        "shortcut.write(x); if (v == vectors - 1 && word == 0) shortcut.write(x);",
        "contains leftover data",
    ),
    "reads an empty stream": (
        "const Vector<lanes> x = in.read();",
        "const Vector<lanes> x = in.read(); if (v == vectors - 1 && word == 0) in.read();",
        "is read while empty",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_streams_must_be_emptied_and_no_more(fault, random_network, tmp_path, builds, monkeypatch):
    right, wrong, message = FAULTS[fault]
    sources = tmp_path / "hls"
    shutil.copytree(gpp.SOURCES, sources)
    unit = sources / "common" / "stream.hpp"
    assert right in unit.read_text()
    unit.write_text(unit.read_text().replace(right, wrong))
    monkeypatch.setattr(gpp, "SOURCES", sources)
    case = Case(random_network(**SHAPES["least"]), tmp_path, builds.build)
    with pytest.raises(PipelineError, match=message):
        gpp.simulate(case.binary, case.log)


def test_the_published_network_is_computed_bit_for_bit(published_network, tmp_path):
    """The published C-simulation of this network does not pass: it forgets a residual's bias."""
    network, tokens, logits = published_network
    samples = int_resmlp.make_samples(network, tokens, np.zeros(len(tokens)))
    assert np.array_equal(samples.output, logits)
    write_headers(network, tmp_path)
    (tmp_path / "golden.hpp").write_text(golden_text(samples))
    log = tmp_path / "log"
    # In an interpreter of its own, whose children are this compiler and this test bench alone.
    script = (
        "import resource, sys; from pathlib import Path; from hls.simulate import gpp\n"
        "folder = Path(sys.argv[1]); log = folder / 'log'\n"
        "binary = gpp.build('g++', [folder], folder, log, ['-Werror'])\n"
        "assert gpp.simulate(binary, log) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "PASS images 8 mismatches 0" in log.read_text()
    assert int(done.stdout) < 1_000_000  # KiB of the larger of the two
