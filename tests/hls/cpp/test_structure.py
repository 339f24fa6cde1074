"""The streaming C++ has the structure that the model assumes: regions, pipelines, bindings."""

import re
import subprocess

import pytest

from hls.cpp.accelerators import SOURCES
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.dataflow import REGIONS
from hls.simulate import gpp
from models.files.errors import PipelineError
from tests.support.hls_design import make_folding, write_headers

FILES = sorted({*SOURCES.glob("common/*.hpp"), *SOURCES.glob("streaming/*.?pp")})
TYPES = r"(?:void|int|Int8|int16_t|Vector<\w+>|TableIndex)"
FUNCTION = re.compile(rf'^ *(?:static |inline |extern "C" )*{TYPES} (\w+)\(')


def functions_with(pragma: str) -> list[str]:
    """Return the names of the functions that a pragma stands in, once per pragma."""
    found = []
    for path in FILES:
        name = ""
        for line in path.read_text().splitlines():
            match = FUNCTION.match(line)
            name = match[1] if match else name
            if line.strip().startswith(f"#pragma HLS {pragma}"):
                found.append(name)
    return found


def test_only_the_top_and_a_transpose_are_dataflow_regions() -> None:
    """Processes of one flat region never wait for the start tokens of a whole sublayer."""
    assert sorted(functions_with("DATAFLOW")) == sorted({"resmlp_top"} | REGIONS)


def test_every_pipeline_flushes_and_every_nest_is_flattened() -> None:
    pipelines = [
        line for path in FILES for line in path.read_text().splitlines() if "HLS PIPELINE" in line
    ]
    assert len(pipelines) == 10
    assert {line.strip() for line in pipelines} == {"#pragma HLS PIPELINE II = 1 style = flp"}
    assert functions_with("LOOP_FLATTEN") == functions_with("PIPELINE")


def test_every_function_below_the_units_is_inlined() -> None:
    """A function of its own would be a module whose reads of a table compete."""
    units = {"duplicate", "pack", "unpack", "fill", "drain", "transpose", "affine", "residual"}
    units |= {"mean", "matrix_vector", "resmlp_top"}
    driver = {"contents", "send", "trace", "see", "classify", "tracer"}
    defined = {
        match[1]
        for path in FILES
        for line in path.read_text().splitlines()
        if (match := FUNCTION.match(line))
    }
    assert defined - set(functions_with("INLINE")) - driver <= units


def test_every_link_is_bound_to_shift_registers() -> None:
    """Left alone, csynth builds a FIFO of more than 1,024 bits of block RAM."""
    for path in FILES:
        text = path.read_text()
        links = re.findall(r"HLS STREAM variable = (\w+) depth = Design::link_depth", text)
        bound = re.findall(r"HLS BIND_STORAGE variable = (\w+) type = fifo impl = srl", text)
        bound = [name for name in bound if path.name != "storage.hpp"]
        assert sorted(links) == sorted(bound), path.name


@pytest.mark.compiler
@pytest.mark.parametrize("binding", [Binding(dsp_share=0.5, lut_words=4), Binding(tables="lut")])
def test_the_source_for_synthesis_compiles(binding, random_network, tmp_path) -> None:
    """With __SYNTHESIS__, table words are ap_uint and the taps are away."""
    network = random_network(seed=2, tables=True, patch_dim=6, embed_dim=12, hidden_dim=18)
    folding = make_folding(network, 2, (3, 2, 9, 6, 1), (3, 2, 4, 9, 12))
    write_headers(network, tmp_path, folding, binding)
    includes = [*(gpp.SOURCES / name for name in ("common", "streaming")), tmp_path]
    first = tmp_path / "first.hpp"  # the open ap_int.h does not know __SYNTHESIS__
    first.write_text("#include <ap_int.h>\n#include <hls_stream.h>\n#define __SYNTHESIS__\n")
    command = ["g++", *gpp.FLAGS, "-O0", "-UNATIVE_SUMS", "-Werror", "-include", str(first)]
    command += [f"-I{path}" for path in includes] + ["-isystem", str(gpp.ap_types_folder())]
    command += ["-fsyntax-only", str(gpp.SOURCES / "streaming/resmlp_top.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.compiler
def test_a_vector_of_more_than_512_elements_is_refused(tmp_path, builds) -> None:
    source = tmp_path / "wide.cpp"
    source.write_text('#include "stream.hpp"\nStream<513> wide("wide");\nVector<513> word;\n')
    includes, log = [gpp.SOURCES / "common"], tmp_path / "log"
    with pytest.raises(PipelineError, match="cannot compile"):
        builds.compile("g++", [source], includes, tmp_path / "wide", log, ["-fsyntax-only"])
    assert "a vector has at most 512 elements" in log.read_text()
