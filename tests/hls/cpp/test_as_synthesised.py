"""A second front end reads the design as the HLS tool does: clang, with __SYNTHESIS__ defined.

C-simulation compiles the taps, and g++ accepts some of what clang, on which the tool is built, does
not. No vendor tool takes part, so this shows that the text is sound, not that it is synthesised.
"""

import re
import subprocess

import pytest

from hls.cpp.accelerators import ACCELERATORS, SIMD, SOURCES, STREAMING
from hls.simulate import gpp
from tests.support.hls_design import random_folding, write_headers, write_simd_headers
from tests.support.paths import ROOT

pytestmark = pytest.mark.compiler

SIZES = {"patch_dim": 12, "num_patches": 8, "embed_dim": 12, "hidden_dim": 24, "num_classes": 6}
SHIM = ROOT / "tests/support/hls_as_synthesised.hpp"
DESIGNS = {  # accelerator, whether it has tables, and the shape
    "published folding": (STREAMING, False, None),
    "published folding, tables": (STREAMING, True, None),
    "lanes, PE and SIMD": (STREAMING, True, 2),
    "wide array": (SIMD, True, (4, 8)),
    "high array": (SIMD, False, (8, 2)),
}


def read(clang, folder, source, *flags):
    """Compile a file as the HLS tool's front end reads it; return the compiler's output."""
    includes = [SOURCES / name for name in ("common", "streaming", "simd")]
    # params.hpp lists a matrix row by row, whatever the dimensions of its array: no inner braces.
    ignored = ("unknown-pragmas", "unused-label", "missing-braces", "unused-command-line-argument")
    command = [clang, "-std=c++14", "-c", "-Wall", "-Wextra", "-Werror", *flags]
    command += [f"-Wno-{warning}" for warning in ignored]
    command += ["-include", str(SHIM), f"-I{folder}"]
    command += [f"-I{include}" for include in includes]
    command += ["-isystem", str(gpp.ap_types_folder()), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_design(name, random_network, folder):
    accelerator, tables, shape = DESIGNS[name]
    network = random_network(seed=1, tables=tables, **SIZES)
    if accelerator == SIMD:
        write_simd_headers(network, folder, shape)
    else:
        write_headers(network, folder, shape and random_folding(network, shape, seed=3))
    return SOURCES / ACCELERATORS[accelerator].source


@pytest.mark.parametrize("name", DESIGNS)
def test_both_tops_are_read_without_a_warning(name, clang, random_network, tmp_path):
    """The tops instantiate every unit."""
    read(clang, tmp_path, write_design(name, random_network, tmp_path), "-fsyntax-only")


def test_the_simd_processor_divides_by_no_variable(clang, random_network, tmp_path):
    """Every divisor is a power of two and every index unsigned, so only shifts remain."""
    source = write_design("wide array", random_network, tmp_path)
    code = read(clang, tmp_path, source, "-O2", "-S", "-emit-llvm", "-DNDEBUG", "-o", "-")
    assert "define" in code
    assert not re.findall(r"= [us](?:div|rem) .*", code)
    assert "ap_private_opsL3mul" not in code  # nor is an index multiplied in more than 64 bits
