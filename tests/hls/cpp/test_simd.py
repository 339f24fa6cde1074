"""The SIMD accelerator computes numpy's integers, in the loops that its cycle model counts."""

import re
import subprocess
import sys

import numpy as np
import pytest

from hls.cpp.accelerators import ACCELERATORS, SIMD
from hls.headers.golden import golden_text
from hls.plan.estimate import LUT_MEMORY_WORDS
from hls.plan.simd import cycles as simd_model
from hls.plan.simd.program import (
    CHANNEL_PARAMETERS,
    FIFO_WORDS,
    KINDS,
    OUTPUT_PARAMETERS,
    SUM_CYCLES,
    Program,
)
from hls.plan.sizes import Sizes
from hls.simulate import gpp
from hls.synthesize.project import accelerator_sources, write_project
from hls.synthesize.project_texts import SynthesisTarget
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from tests.support.hls_build import OPTIMISED, QUICK, SANITIZED
from tests.support.hls_design import write_images, write_simd_headers
from tests.support.hls_stand_in import PART
from tests.support.paths import ROOT

pytestmark = pytest.mark.compiler

SMALL = {"patch_dim": 12, "num_patches": 8, "embed_dim": 10, "hidden_dim": 18, "num_classes": 6}
PUBLISHED = {"patch_dim": 48, "num_patches": 64, "embed_dim": 96, "num_blocks": 4}
NETWORKS = {
    "relu_h192": {**PUBLISHED, "hidden_dim": 192, "num_classes": 10},
    "relu_h96": {**PUBLISHED, "hidden_dim": 96, "num_classes": 10},
    "lerp_psa_h96": {**PUBLISHED, "hidden_dim": 96, "num_classes": 10, "tables": True},
}
# The mean has a vector per channel: a map read token by token in its place would end long before.
MANY_CHANNELS = {**SMALL, "num_patches": 2, "embed_dim": 200}
LEAST = {
    "num_patches": 2,
    "patch_dim": 1,
    "embed_dim": 1,
    "hidden_dim": 1,
    "num_blocks": 1,
    "num_classes": 1,
}


def write_design(network, array, folder, samples=10):
    """Write the headers and golden samples, more of them than go into one call."""
    write_simd_headers(network, folder, array)
    shape = (samples, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(7).integers(-128, 128, shape, dtype=np.int32)
    tokens[0], tokens[1] = -128, 127
    golden = int_resmlp.make_samples(network, tokens, np.zeros(samples))
    (folder / "golden.hpp").write_text(golden_text(golden))


def simulate(network, array, folder, build, compiler="g++", flags=QUICK, samples=10, images=21):
    """Compare every layer of the samples and the logits of the images."""
    write_design(network, array, folder, samples)
    log = folder / "log"
    binary = build(compiler, [folder], folder, log, flags, SIMD)
    assert gpp.simulate(binary, log, write_images(network, folder, images)) == images
    assert f"PASS images {samples + images} mismatches 0" in log.read_text()


@pytest.mark.parametrize("name", NETWORKS)
def test_published_sizes_on_16_x_16(name, random_network, tmp_path, builds):
    """The largest network computes in sums and indices of the widths that the hardware has."""
    network = random_network(seed=1, **NETWORKS[name])
    flags = (*QUICK, "-UNATIVE_SUMS") if name == "relu_h192" else QUICK
    simulate(network, (16, 16), tmp_path, builds.build, flags=flags, samples=2, images=3)


@pytest.mark.parametrize(
    ("array", "tables"),
    [
        ((16, 16), True),
        ((4, 4), False),
        ((8, 2), True),
        ((2, 8), True),
        ((1, 4), False),
        ((32, 1), True),
    ],
)
def test_arrays_that_do_not_divide_the_sizes(array, tables, random_network, tmp_path, builds):
    simulate(random_network(seed=2, tables=tables, **SMALL), array, tmp_path, builds.build)


@pytest.mark.parametrize(("array", "tables"), [((1, 1), True), ((4, 8), False)])
def test_the_least_network(array, tables, random_network, tmp_path, builds):
    simulate(random_network(seed=3, tables=tables, **LEAST), array, tmp_path, builds.build)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_and_arrays(seed, random_network, tmp_path, builds):
    rng = np.random.default_rng(seed)
    sizes = {name: int(rng.integers(1, 40)) for name in ("patch_dim", "embed_dim", "hidden_dim")}
    sizes |= {"num_patches": int(2 ** rng.integers(1, 6)), "num_classes": int(rng.integers(1, 20))}
    sizes |= {"num_blocks": int(rng.integers(1, 4)), "tables": bool(seed % 2)}
    array = tuple(int(2**power) for power in rng.integers(0, 5, 2))
    simulate(random_network(seed=seed, **sizes), array, tmp_path, builds.build)


def test_sums_in_registers_of_the_proven_width_optimised_without_a_warning(
    random_network, tmp_path
):
    network = random_network(seed=4, tables=True, **SMALL)
    simulate(network, (4, 4), tmp_path, gpp.build, flags=(*OPTIMISED, "-UNATIVE_SUMS"))


@pytest.mark.parametrize(
    ("sizes", "array"), [(SMALL, (4, 4)), (SMALL, (2, 16)), (MANY_CHANNELS, (4, 4))]
)
def test_no_read_or_write_out_of_bounds_and_no_undefined_behaviour(
    sizes, array, random_network, tmp_path, builds
):
    """ap_private.h shifts negative numbers left to extend their sign: that one check is off."""
    network = random_network(seed=5, tables=True, **sizes)
    simulate(network, array, tmp_path, builds.build, flags=SANITIZED)


@pytest.mark.parametrize("optimised", ["-O0", "-O1"])
def test_clang_agrees_without_a_warning(optimised, clang, random_network, tmp_path):
    """Without optimisation, whatever lacks a definition is missed when the objects are linked."""
    network = random_network(seed=6, tables=True, **SMALL)
    flags = (optimised, "-Werror", "-Wno-unknown-warning-option")  # clang knows not all of g++'s
    simulate(network, (4, 4), tmp_path, gpp.build, clang, flags)


def test_a_wrong_value_on_the_way_is_named(random_network, tmp_path, builds):
    """affine_2 is no step of its own: its values exist for one cycle."""
    network = random_network(seed=7, **SMALL)
    write_simd_headers(network, tmp_path, (4, 4))
    tokens = np.random.default_rng(0).integers(-128, 128, (2, 8, 12), dtype=np.int32)
    golden = int_resmlp.make_samples(network, tokens, np.zeros(2))
    golden.layers["blocks_1_token_mixer_affine_2"][0, 5, 3] ^= 1
    (tmp_path / "golden.hpp").write_text(golden_text(golden))
    log = tmp_path / "log"
    binary = builds.build("g++", [tmp_path], tmp_path, log, QUICK, SIMD)
    place = "blocks_1_token_mixer_affine_2, image 0, token 5, channel 3: got "
    with pytest.raises(PipelineError, match=place):
        gpp.simulate(binary, log)
    assert "mismatches 1" in log.read_text()


def steps_program(network, array, folder, builds):
    write_simd_headers(network, folder, array)
    main = ROOT / "tests/support/hls_simd_steps.cpp"
    sources = [gpp.SOURCES / ACCELERATORS[SIMD].source, main]
    includes = [*(gpp.SOURCES / name for name in ACCELERATORS[SIMD].include_folders), folder]
    flags = (*QUICK, "-DCOUNT_CYCLES")
    return builds.compile("g++", sources, includes, folder / "steps", folder / "log", flags)


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def numbers(line):
    return {name: int(value) for name, value in re.findall(r"(\w+) (-?\d+)", line)}


@pytest.mark.parametrize(
    ("sizes", "array"),
    [
        *((sizes, (16, 16)) for sizes in NETWORKS.values()),
        ({**SMALL, "tables": True}, (2, 8)),
        ({**SMALL, "tables": True}, (8, 1)),
        (LEAST, (4, 4)),
    ],
)
def test_the_program_is_that_of_python_and_its_loops_make_the_cycles_of_the_model(
    sizes, array, random_network, tmp_path, builds
):
    network = random_network(seed=8, **sizes)
    program = Program(Sizes.of(network), *array)
    lines = output_of(steps_program(network, array, tmp_path, builds), "3").splitlines()
    *words, constants, outputs, channels, more_channels = lines[:7]
    found = numbers(" ".join(words))
    assert {name: getattr(program, name) for name in found} == found
    assert numbers(constants) == {
        "SUM_CYCLES": SUM_CYCLES,
        "FIFO_WORDS": FIFO_WORDS,
        "LUT_MEMORY_WORDS": LUT_MEMORY_WORDS,
    }
    assert tuple(numbers(outputs)) == OUTPUT_PARAMETERS
    assert [*numbers(outputs).values()] == [*range(len(OUTPUT_PARAMETERS))]
    found = numbers(f"{channels} {more_channels}")
    assert tuple(found) == CHANNEL_PARAMETERS and [*found.values()] == [*range(len(found))]
    steps = [numbers(line) for line in lines if line.startswith("STEP")]
    for step, found in zip(program.steps(), steps, strict=True):
        kind = KINDS[found.pop("kind")]
        assert (kind, {name: getattr(step, name) for name in found}) == (step.kind, found)
    bounds = [step.cycles for step in program.steps()]
    found = next(numbers(line) for line in lines if line.startswith("CYCLES"))
    assert found == {"least": min(bounds), "most": max(bounds), "all": sum(bounds)}
    trips = dict(zip((*KINDS, "start", "logits"), map(int, lines[-1].split()[1:]), strict=True))
    cycles = dict.fromkeys(KINDS, 0)
    for step in program.steps():
        cycles[step.kind] += step.cycles
    once = {**cycles, "start": program.start_cycles, "logits": program.logit_words}
    assert trips == {part: 3 * count for part, count in once.items()}  # of three images
    model = simd_model.cycles(Sizes.of(network), array)
    assert sum(once.values()) + model.parts["pipeline"] == model.interval


@pytest.mark.parametrize(
    ("constant", "message"),
    [
        ("rows = 3", "must be powers of two"),
        ("columns = 128", "rows and columns are at most 64"),
        ("rows = 128", "rows and columns are at most 64"),
        ("rows = 8", "parameters.hpp is of another network or array"),
    ],
)
def test_an_impossible_design_is_refused_in_a_sentence(
    constant, message, random_network, tmp_path, builds
):
    write_design(random_network(seed=2, **SMALL), (4, 4), tmp_path)
    design = tmp_path / "design.hpp"
    name = constant.split(" = ")[0]
    design.write_text(re.sub(rf"{name} = \d+", constant, design.read_text()))
    log = tmp_path / "log"
    with pytest.raises(PipelineError, match="cannot compile the HLS code"):
        builds.build("g++", [tmp_path], tmp_path, log, ("-O0", "-fsyntax-only"), SIMD)
    assert message in log.read_text()


def test_a_project_folder_is_all_that_a_compiler_needs(random_network, tmp_path):
    network = random_network(seed=9, tables=True, **SMALL)
    write_design(network, (4, 8), tmp_path)
    generated = [tmp_path / f"{name}.hpp" for name in ("config", "design", "parameters", "golden")]
    project = tmp_path / "project"
    write_project(
        project, "mine", accelerator_sources(SIMD, *generated), SynthesisTarget(PART, 5.0)
    )
    assert "syn.top=resmlp_simd\n" in (project / "hls_config.cfg").read_text()
    for flag in ("syn.file=src/resmlp_simd.cpp", "tb.file=src/testbench.cpp"):
        assert f"{flag}\n" in (project / "hls_config.cfg").read_text()
    assert "set_top resmlp_simd\n" in (project / "run.tcl").read_text()
    names = {path.name for path in (project / "src").iterdir()}
    included = {"resmlp_simd.cpp", "testbench.cpp"}
    for path in (project / "src").iterdir():
        included |= set(re.findall(r'^#include "(.+)"', path.read_text(), re.MULTILINE))
    assert included == names  # all that is needed, and nothing of the other accelerator
    command = ["g++", "-std=c++14", "-O1", "-isystem", str(gpp.ap_types_folder())]
    sources = ["src/resmlp_simd.cpp", "src/testbench.cpp"]
    subprocess.run([*command, "-w", *sources, "-o", "bench"], cwd=project, check=True)
    assert "PASS images 10 mismatches 0" in output_of(project / "bench")


def test_the_published_network_is_computed_bit_for_bit(published_network, tmp_path):
    network, tokens, logits = published_network
    samples = int_resmlp.make_samples(network, tokens, np.zeros(len(tokens)))
    assert np.array_equal(samples.output, logits)
    write_simd_headers(network, tmp_path, (16, 16))
    (tmp_path / "golden.hpp").write_text(golden_text(samples))
    # In an interpreter of its own, whose children are this compiler and this test bench alone.
    script = (
        "import resource, sys; from pathlib import Path; from hls.simulate import gpp\n"
        "folder = Path(sys.argv[1]); log = folder / 'log'\n"
        "binary = gpp.build('g++', [folder], folder, log, ['-Werror'], 'simd')\n"
        "assert gpp.simulate(binary, log) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "PASS images 8 mismatches 0" in (tmp_path / "log").read_text()
    assert int(done.stdout) < 1_000_000  # KiB of the larger of the two
