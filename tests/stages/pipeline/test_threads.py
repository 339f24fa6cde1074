"""Threads: bounded waiting, no more of them than the container allows, the user's word first."""

import os
import subprocess
import sys

import pytest

from stages.pipeline.threads import processors, quota, settings
from tests.support.paths import ROOT

WAITING = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


def test_waiting_is_bounded_and_openmp_counts_the_processors():
    assert settings({}, 8, None).keys() == WAITING
    assert settings({}, 8, 8.0).keys() == WAITING
    assert settings({}, 2, 16.0).keys() == WAITING


@pytest.mark.parametrize(("limit", "threads"), [(2.0, "2"), (1.5, "1"), (0.5, "1"), (7.9, "7")])
def test_a_container_limits_the_threads(limit, threads):
    assert settings({}, 64, limit)["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_has_set_stays(name):
    assert settings({name: "1"}, 64, 2.0) == {"OMP_NUM_THREADS": "2"}
    assert settings({name: "1", "OMP_NUM_THREADS": "3"}, 64, 2.0) == {}


def test_quota_of_both_versions_of_control_groups(tmp_path):
    assert quota(tmp_path) is None
    version_1 = tmp_path / "cpu"
    version_1.mkdir()
    (version_1 / "cpu.cfs_quota_us").write_text("-1\n")
    (version_1 / "cpu.cfs_period_us").write_text("100000\n")
    assert quota(tmp_path) is None
    (version_1 / "cpu.cfs_quota_us").write_text("250000\n")
    assert quota(tmp_path) == 2.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("nonsense\n")
    assert quota(tmp_path) is None


def test_this_process_may_run_somewhere():
    assert 1 <= processors() <= (os.cpu_count() or 1)


@pytest.mark.pipeline
def test_the_settings_are_made_before_pytorch_is_imported():
    program = (
        "import os, sys, stages\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "print(os.environ['GOMP_SPINCOUNT'])"
    )
    names = (*WAITING, "OMP_WAIT_POLICY")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
