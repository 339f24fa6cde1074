"""A unit made of any function: numpy, C++ and onnxruntime give the same integers."""

import ctypes
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.kan_layers import Connections, KanLinear
from hls.headers.unit import unit_text
from hls.simulate import gpp
from models.files.errors import PipelineError
from models.tabulate.function import tabulate
from stages.by_hand.tabulate import found, write_unit
from tests.support.paths import ROOT

INT8 = np.arange(-128, 128)


class Swing(nn.Module):
    """A user's module: a learned frequency per channel."""

    def __init__(self):
        super().__init__()
        self.frequency = nn.Parameter(torch.tensor([0.3, 1.0, 2.7]))

    def forward(self, x):
        return torch.sin(self.frequency * x) - 0.2 * x


@pytest.fixture(scope="module")
def units():
    torch.manual_seed(0)
    return {
        "gelu": tabulate(nn.GELU(), 1, 4.0),
        "kan": tabulate(Connections(KanLinear(3, 2)), 6, 1.0),
        "swing": tabulate(Swing(), 3, 5.0),
    }


@pytest.fixture(scope="module")
def folder(units, tmp_path_factory):
    path = tmp_path_factory.mktemp("units")
    for (name, unit), lanes in zip(units.items(), (1, 2, 3), strict=True):
        write_unit(unit, name, path, lanes, "bram" if lanes == 2 else "lut")
    return path


def every_input(unit):
    return np.repeat(INT8[:, None], unit.channels, axis=1).astype(np.int8)


BINDING = """
extern "C" void {name}_all(const int8_t* in, int8_t* out, long rows) {{
  using Sizes = {name}::Sizes;
  for (long row = 0; row < rows; ++row)
    for (int c = 0; c < Sizes::channels; ++c)
      out[row * Sizes::channels + c] = {name}::Unit::apply(
          c / Sizes::lanes, c % Sizes::lanes, in[row * Sizes::channels + c]);
}}
"""


@pytest.mark.compiler
def test_cpp_gives_the_integers_of_numpy_for_every_input(units, folder):
    source = "".join(f'#include "{name}.hpp"\n' for name in units)
    source += "".join(BINDING.format(name=name) for name in units)
    (folder / "all.cpp").write_text(source)
    flags = [*gpp.FLAGS, "-O1", "-Werror", "-shared", "-fPIC", "-isystem"]
    command = ["g++", *flags, str(gpp.ap_types_folder()), "all.cpp", "-o", "all.so"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "all.so"))
    for name, unit in units.items():
        inputs = every_input(unit)
        outputs = np.full_like(inputs, 99)
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (inputs, outputs))
        getattr(library, f"{name}_all")(*pointers, ctypes.c_long(len(inputs)))
        assert np.array_equal(outputs, unit.integers(inputs)), name


def test_onnxruntime_gives_the_integers_of_numpy_for_every_input(units, folder):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    for name, unit in units.items():
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        (outputs,) = session.run(None, {"x": every_input(unit)})
        assert np.array_equal(outputs, unit.integers(every_input(unit))), name
        scale = session.get_modelmeta().custom_metadata_map["out_scale"]
        assert float(scale) == unit.out_scale


def test_the_summary_says_what_the_unit_does(units, folder):
    said = json.loads((folder / "swing.json").read_text())
    assert said["range"] == [-5.0, 5 * 127 / 128] and said["channels"] == 3
    assert said["outside"].startswith("inputs saturate")
    assert said["errors"]["total"]["largest"] == units["swing"].errors.total.largest
    assert np.array_equal(said["knots"], units["swing"].table.knots)


@pytest.mark.parametrize(
    ("name", "lanes", "storage", "words"),
    [
        ("Not C++", 1, "lut", "no name for the unit"),
        ("kan", 4, "lut", "lanes must divide the 6 channels"),
        ("kan", 1, "uram", "storage is lut or bram"),
    ],
)
def test_impossible_units_are_refused(units, name, lanes, storage, words):
    with pytest.raises(ValueError, match=words):
        unit_text(name, units["kan"].table, (1.0, 1.0), lanes, storage)


@pytest.mark.parametrize("name", ["nowhere:Gelu", "torch.nn:Nothing", "no name", "torch.nn:Linear"])
def test_a_name_that_leads_nowhere_is_refused(name):
    with pytest.raises(PipelineError, match=r"cannot be used .*torch\.nn:GELU"):
        found(name)


@pytest.mark.pipeline
def test_the_command_takes_the_user_s_file(tmp_path):
    (tmp_path / "my_model.py").write_text("import torch\n\n\ndef bend(x):\n    return x.tanh()\n")

    def run(*arguments):
        command = [sys.executable, str(ROOT / "stages"), "tabulate", *arguments]
        return subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)

    done = run("my_model:bend", "--half-range", "2", "--channels", "4", "--lanes", "2")
    assert done.returncode == 0, done.stderr
    assert "bend: 4 channels on [-2, 1.98438], constant outside" in done.stderr
    assert (tmp_path / "build" / "units" / "bend" / "bend.hpp").is_file()
    done = run("my_model:bend", "--lanes", "3")
    assert done.returncode == 1
    assert (
        done.stderr.startswith("error: my_model:bend: lanes is 3") and done.stderr.count("\n") == 1
    )
