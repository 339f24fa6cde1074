"""What the compiled kernels share: that a change of it is seen by all of them."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed")

from models import _cpu_kernels

PROGRAM = """
import numpy as np
from models._cpu_kernels import compiled, narrow

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
    models = tmp_path / "models"
    models.mkdir()
    shared = models / "_cpu_kernels.py"
    shutil.copy(_cpu_kernels.__file__, shared)
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run(tmp_path) == run(tmp_path) == 0x3F80
    text = shared.read_text()
    (rounding,) = [line for line in text.splitlines() if "return np.uint16((bits" in line]
    shared.write_text(text.replace(rounding, "    return np.uint16(bits >> np.uint32(17))"))
    assert run(tmp_path) == 0x3F80 >> 1


def test_the_cache_lies_in_a_folder_for_this_content():
    content = hashlib.sha256(Path(_cpu_kernels.__file__).read_bytes()).hexdigest()
    import numba

    assert Path(numba.config.CACHE_DIR).name == f"numba-{content[:16]}"
