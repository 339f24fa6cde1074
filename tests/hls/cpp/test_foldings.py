"""Designs of many foldings compute the same integers as numpy, in every layer."""

import re

import numpy as np
import pytest

from hls.headers.golden import golden_text
from hls.plan.sizes import Sizes
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.folding import published_folding
from hls.simulate import gpp
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from tests.support.hls_build import OPTIMISED, QUICK, SANITIZED
from tests.support.hls_design import (
    make_folding,
    random_folding,
    wide_folding,
    write_headers,
    write_images,
)

pytestmark = pytest.mark.compiler

SMALL = {"patch_dim": 12, "num_patches": 8, "embed_dim": 16, "hidden_dim": 20, "num_classes": 6}
LERP_PSA_96 = {"patch_dim": 48, "num_patches": 64, "embed_dim": 96, "hidden_dim": 96}
PUBLISHED_INTERVAL = 6240  # cycles per image of LERP-PSA-96


def simulate(
    network,
    folding,
    folder,
    build,
    compiler="g++",
    flags=QUICK,
    samples=3,
    images=20,
    binding=None,
):
    """Compare every layer of the samples and the logits of the images."""
    write_headers(network, folder, folding, binding)
    shape = (samples, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(7).integers(-128, 128, shape, dtype=np.int32)
    golden = int_resmlp.make_samples(network, tokens, np.zeros(samples))
    (folder / "golden.hpp").write_text(golden_text(golden))
    binary = build(compiler, [folder], folder, folder / "log", flags)
    files = write_images(network, folder, images)
    assert gpp.simulate(binary, folder / "log", files) == images


@pytest.mark.parametrize("speed", [1, 2, 4, 8])
def test_lerp_psa_96_at_multiples_of_the_published_rate(speed, random_network, tmp_path, builds):
    network = random_network(seed=1, tables=True, num_blocks=4, num_classes=10, **LERP_PSA_96)
    sizes = Sizes.of(network)
    folding = published_folding(sizes) if speed == 1 else wide_folding(network, lanes=speed)
    longest_stage = streaming_network(sizes, folding).longest_stage
    assert round(PUBLISHED_INTERVAL / longest_stage) == speed
    simulate(network, folding, tmp_path, builds.build, samples=2, images=4)


UNEQUAL = {  # lanes, PE and SIMD of each layer, handover
    "SIMD below the inputs": (1, (1, 2, 4, 8, 2), (6, 4, 2, 5, 8), 1),
    "PE above the lanes": (2, (8, 4, 10, 16, 6), (12, 8, 16, 20, 16), 0),
    "PE below the lanes": (4, (2, 1, 2, 4, 1), (12, 8, 16, 20, 16), 1),
    "neither divides the other": (4, (16, 8, 10, 2, 3), (3, 8, 4, 10, 2), 0),
    "all at once": (4, (16, 8, 20, 16, 6), (12, 8, 16, 20, 16), 1),
    "one multiplier each": (1, (1, 1, 1, 1, 1), (1, 1, 1, 1, 1), 0),
}


@pytest.mark.parametrize("factors", UNEQUAL)
def test_unequal_foldings(factors, random_network, tmp_path, builds):
    network = random_network(seed=2, tables=True, **SMALL)
    simulate(network, make_folding(network, *UNEQUAL[factors]), tmp_path, builds.build)


def test_factors_that_are_no_powers_of_two(random_network, tmp_path, builds):
    """As for a small budget of DSPs; half of the multipliers and all tables are bound to LUTs."""
    network = random_network(
        seed=6, tables=True, patch_dim=48, num_patches=16, embed_dim=36, hidden_dim=60
    )
    folding = make_folding(network, 1, (3, 1, 5, 12, 1), (12, 16, 9, 3, 12))
    binding = Binding(dsp_share=0.5, tables="lut", lut_words=32)
    simulate(network, folding, tmp_path, builds.build, binding=binding)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_and_foldings(seed, random_network, tmp_path, builds):
    rng = np.random.default_rng(seed)
    lanes = int(rng.choice([1, 2, 4]))
    sizes = {name: lanes * int(rng.integers(1, 8)) for name in ("patch_dim", "embed_dim")}
    sizes |= {"hidden_dim": lanes * int(rng.integers(1, 8)), "num_patches": 2 ** rng.integers(2, 5)}
    network = random_network(seed=seed, tables=bool(seed % 2), num_classes=5, **sizes)
    simulate(network, random_folding(network, lanes, seed), tmp_path, builds.build)


def test_no_read_or_write_out_of_bounds_and_no_undefined_behaviour(
    random_network, tmp_path, builds
):
    """ap_private.h shifts negative numbers left to extend their sign: that one check is off."""
    network = random_network(seed=3, tables=True, **SMALL)
    folding = make_folding(network, *UNEQUAL["neither divides the other"])
    simulate(network, folding, tmp_path, builds.build, flags=SANITIZED)


def test_clang_agrees_without_a_warning(clang, random_network, tmp_path):
    network = random_network(seed=4, tables=True, **SMALL)
    folding = make_folding(network, *UNEQUAL["neither divides the other"])
    flags = (*OPTIMISED, "-Wno-unknown-warning-option")  # g++ has some that clang has not
    simulate(network, folding, tmp_path, gpp.build, clang, flags)


IMPOSSIBLE = {  # what design.hpp says instead, and the sentence that refuses it
    ("", "lanes = 3"): "lanes divides",
    ("mlp_linear_1_fold", "pe = 3"): "PE divides outputs",
    ("mlp_linear_2_fold", "simd = 7"): "SIMD divides inputs",
    ("", "token_mixer_shortcut_depth = 31"): "a shortcut that cannot hold it blocks forever",
    ("", "mlp_shortcut_depth = 3"): "a shortcut that cannot hold it blocks forever",
}


@pytest.mark.parametrize("change", IMPOSSIBLE, ids=" ".join)
def test_an_impossible_design_is_refused_in_a_sentence(change, random_network, tmp_path, builds):
    network = random_network(seed=2, **SMALL)
    write_headers(network, tmp_path, wide_folding(network, lanes=4))
    design = tmp_path / "design.hpp"
    struct, constant = change
    before, after = design.read_text().split(f"struct {struct}", 1) if struct else ("", "")
    changed = after or design.read_text()
    name = constant.split(" = ")[0]
    changed = re.sub(rf"int {name} = \d+;", f"int {constant};", changed, count=1)
    text = f"{before}struct {struct}{changed}" if struct else changed
    assert text != design.read_text()
    design.write_text(text)
    log, top = tmp_path / "log", [gpp.SOURCES / "streaming/resmlp_top.cpp"]
    includes = [*(gpp.SOURCES / name for name in ("common", "streaming")), tmp_path]
    with pytest.raises(PipelineError, match="cannot compile the HLS code"):
        builds.compile("g++", top, includes, tmp_path / "top", log, ["-O0", "-fsyntax-only"])
    assert IMPOSSIBLE[change] in log.read_text()
