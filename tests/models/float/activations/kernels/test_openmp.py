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

KERNELS = "models.float.activations.kernels"
# Without torch, which takes longer to import than all the rest: openmp.py only asks it for threads.
WITHOUT_TORCH = """
import sys, types
sys.modules["torch"] = types.SimpleNamespace(__file__=__file__, Tensor=())
"""
PROGRAM = f"""
import runpy
from pathlib import Path

def first_from_cache():
    for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
        del sys.modules[name]  # as a new process
    first = runpy.run_path("kernel.py")["first"]
    return int(first(0x3F808000)), bool(first.stats.cache_hits)

assert first_from_cache() == (0x3F80, False)
assert first_from_cache() == (0x3F80, True)
shared = Path("{KERNELS.replace(".", "/")}/bfloat16.py")
text = shared.read_text()
(rounding,) = [line for line in text.splitlines() if "return np.uint16((bits" in line]
shared.write_text(text.replace(rounding, "    return np.uint16(bits >> np.uint32(17))"))
assert first_from_cache() == (0x3F80 >> 1, False)
"""
KERNEL = f"""
import numpy as np
from {KERNELS}.bfloat16 import bits_as_float, narrow
from {KERNELS}.openmp import compiled

@compiled
def first(bits):
    return narrow(bits_as_float(np.uint32(bits)))
"""


def run(folder, program):
    (folder / "program.py").write_text(WITHOUT_TORCH + program)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_a_change_of_what_kernels_share_reaches_those_in_the_cache(tmp_path):
    folder = tmp_path / KERNELS.replace(".", "/")
    folder.mkdir(parents=True)
    for name in ("openmp.py", "bfloat16.py"):
        shutil.copy(Path(openmp.__file__).with_name(name), folder)
    (tmp_path / "kernel.py").write_text(KERNEL)
    run(tmp_path, PROGRAM)


def test_the_import_leaves_the_cache_of_the_process_alone(tmp_path):
    program = (
        f"sys.path.append({str(ROOT)!r})\n"
        "import numba\nbefore = numba.config.CACHE_DIR\n"
        f"import {KERNELS}.lerp_loops\n"
        "assert numba.config.CACHE_DIR == before\n"
    )
    run(tmp_path, program)
