"""The test bench in co-simulation, where the RTL shows its outputs and no layer."""

import os
import subprocess

import numpy as np
import pytest

from hls.cpp.accelerators import ACCELERATORS, SIMD, STREAMING
from hls.headers.golden import golden_text
from hls.simulate import gpp
from hls.synthesize.project_texts import COSIM_FLAGS
from models.integer import resmlp as int_resmlp
from tests.support.hls_design import write_headers, write_simd_headers
from tests.support.paths import ROOT

pytestmark = pytest.mark.compiler

SAMPLES = 3
MACRO = COSIM_FLAGS.split()[-1]
STAND_IN = ROOT / "tests/support/hls_rtl_stand_in.cpp"


def compile_bench(accelerator, network, folder, builds, top, flags, wrong_layer=None):
    """Compile the test bench with a stand-in or with the design as its top function."""
    if accelerator == SIMD:
        write_simd_headers(network, folder, (4, 4))
    else:
        write_headers(network, folder)
    shape = (SAMPLES, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(7).integers(-128, 128, shape, dtype=np.int32)
    golden = int_resmlp.make_samples(network, tokens, np.zeros(SAMPLES))
    if wrong_layer is not None:
        golden.layers[wrong_layer][0, 0, 0] ^= 1
    (folder / "golden.hpp").write_text(golden_text(golden))
    includes = [*(gpp.SOURCES / name for name in ACCELERATORS[accelerator].include_folders), folder]
    sources = [top, gpp.SOURCES / gpp.TEST_BENCH]
    flags = [*flags, "-O0", *(["-DSIMD"] if accelerator == SIMD else [])]
    return builds.compile("g++", sources, includes, folder / "bench", folder / "log", flags)


def run(binary, **environment):
    done = subprocess.run(
        [binary], capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("accelerator", [STREAMING, SIMD])
def test_only_the_logits_of_the_rtl_count_in_co_simulation(
    accelerator, random_network, tmp_path, builds
):
    network = random_network(seed=1, tables=True)
    bench = compile_bench(accelerator, network, tmp_path, builds, STAND_IN, [MACRO])
    assert run(bench) == (0, f"PASS images {SAMPLES} mismatches 0\n")
    status, said = run(bench, WRONG_LOGIT="1")
    assert status == 1 and f"FAIL images {SAMPLES} mismatches 1" in said
    assert "MISMATCH samples_output, image 1, token 0, channel 2: got " in said


def test_a_c_simulation_that_shows_no_layer_fails(random_network, tmp_path, builds):
    bench = compile_bench(STREAMING, random_network(seed=1), tmp_path, builds, STAND_IN, [])
    status, said = run(bench)
    assert status == 1 and "layers: none was traced; co-simulation needs -DRTL_SIM" in said


@pytest.mark.parametrize("accelerator", [STREAMING, SIMD])
def test_layers_that_are_in_sight_are_compared_in_co_simulation_too(
    accelerator, random_network, tmp_path, builds
):
    """Its first run of main() calls the C++, to record the inputs of the RTL."""
    network = random_network(seed=1)
    top = gpp.SOURCES / ACCELERATORS[accelerator].source
    layer = "blocks_0_mlp_linear_2"
    bench = compile_bench(accelerator, network, tmp_path, builds, top, [MACRO], layer)
    status, said = run(bench)
    assert status == 1 and f"MISMATCH {layer}, image 0, token 0, channel 0: got " in said
