"""What the compiled kernels share: that a change of it is seen by all of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed")

from models.float.activations.kernels import openmp
from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline

PROGRAM = """
import numpy as np
from models.float.activations.kernels.bfloat16 import narrow
from models.float.activations.kernels.openmp import compiled

@compiled
def first(values):
    return narrow(values[0])

print(first(np.ones(1, np.float32)))
"""


def run(folder):
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_change_of_what_kernels_share_reaches_those_in_the_cache(tmp_path):
    folder = tmp_path / "models" / "float" / "activations" / "kernels"
    folder.mkdir(parents=True)
    for name in ("openmp.py", "bfloat16.py"):
        shutil.copy(Path(openmp.__file__).with_name(name), folder)
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run(tmp_path) == run(tmp_path) == 0x3F80
    shared = folder / "bfloat16.py"
    text = shared.read_text()
    (rounding,) = [line for line in text.splitlines() if "return np.uint16((bits" in line]
    shared.write_text(text.replace(rounding, "    return np.uint16(bits >> np.uint32(17))"))
    assert run(tmp_path) == 0x3F80 >> 1


def test_the_import_leaves_the_cache_of_the_process_alone():
    program = (
        "import numba\nbefore = numba.config.CACHE_DIR\n"
        "import models.float.activations.kernels.lerp_loops\n"
        "assert numba.config.CACHE_DIR == before\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
