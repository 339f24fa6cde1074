"""Data-parallel training by torchrun: two gloo processes do what one process does."""

import csv
import os
import shutil
import socket
import subprocess
import sys

import pytest
import torch
import yaml

from models.files.errors import PipelineError
from stages import train_convnet
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

NAME = "lerp_psa_h96"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _run(folder, *command, processes=1):
    launcher = ["-m"]
    if processes > 1:
        rendezvous = ["--master-addr=127.0.0.1", f"--master-port={_free_port()}"]
        launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", *rendezvous]
        launcher.append("-m")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
    )


def _prepare(folder):
    params = read_yaml(ROOT / "demo/params.yaml")
    params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 1}
    params["training"]["batch_size"] = 32
    params["convnet"] |= {"widths": [8, 8, 8], "epochs": 1}
    params["views"]["count"] = 1
    params["teacher"] |= {"epochs": 1, "hidden_dim": 8}
    params["transfer"]["epochs_per_block"] = 1
    params["distill"]["epochs"] = 2
    params["variants"] = {NAME: params["variants"][NAME]}
    params["designs"] = {}
    params["variants"][NAME]["hidden_dim"] = 8
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Train one student with one process and with two; return the folders."""
    base = tmp_path_factory.mktemp("distributed")
    _prepare(base / "one")
    stages = ["prepare_data", "train_convnet", "view_bank convnet", "train_teacher"]
    for stage in (*stages, "view_bank teacher"):
        done = _run(base / "one", *f"stages.{stage}".split())
        assert done.returncode == 0, done.stderr
    shutil.copytree(base / "one", base / "two")  # the same teacher: only the student differs
    for name, processes in (("one", 1), ("two", 2)):
        done = _run(base / name, "stages.distill", NAME, processes=processes)
        assert done.returncode == 0, done.stderr
    return base


def _history(folder):
    with (folder / f"data/history/float/{NAME}.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_get_the_losses_of_one(results):
    one, two = (_history(results / name) for name in ("one", "two"))
    assert [row["phase"] for row in two] == ["transfer_0", "distill", "distill"]
    for a, b in zip(one, two, strict=True):
        assert float(b["loss"]) == pytest.approx(float(a["loss"]), rel=2e-3)


def test_two_processes_get_the_weights_and_statistics_of_one(results):
    one, two = (
        torch.load(results / name / f"data/{NAME}/float.pt", weights_only=True)
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    # Offsets that the next norm takes out again have no gradient but noise, which Adam amplifies.
    free = ("affine_2.bias", "linear.bias", "linear_2.bias", "running_mean")
    for key in (key for key in one if not key.endswith(free)):
        torch.testing.assert_close(two[key], one[key], rtol=0.02, atol=0.02, msg=key)


# Each process in a folder of its own, as on two machines; it stops after as many epochs as told.
APART = """
import os, runpy, sys
import stages.training.loop as training

stop, log = int(sys.argv.pop(1)), training._log_epoch

def log_or_stop(run, *rest):
    log(run, *rest)
    if len(run.rows) == stop:
        os._exit(1)

training._log_epoch = log_or_stop
os.chdir(f"rank{os.environ['RANK']}")
runpy.run_module("stages.distill", run_name="__main__", alter_sys=True)
"""


def test_machines_with_disks_of_their_own_go_on_together(results, tmp_path):
    for rank in ("rank0", "rank1"):
        shutil.copytree(results / "one", tmp_path / rank)
        (tmp_path / rank / f"data/{NAME}/float.pt").unlink()
    (tmp_path / "apart.py").write_text(APART)
    stopped = _run(tmp_path, "apart", "2", NAME, processes=2)
    assert stopped.returncode != 0
    assert [*tmp_path.glob("rank0/.ckpt/*.pt")] and not [*tmp_path.glob("rank1/.ckpt/*.pt")]
    done = _run(tmp_path, "apart", "0", NAME, processes=2)
    assert done.returncode == 0, done.stderr
    assert "after epoch 2" in done.stderr
    assert _history(tmp_path / "rank0") == _history(results / "two")


def test_a_batch_that_cannot_be_shared_equally_is_refused(results, tmp_path):
    odd = tmp_path / "odd"
    shutil.copytree(results / "one", odd)
    params = read_yaml(odd / "params.yaml")
    params["training"]["batch_size"] = 33
    (odd / "params.yaml").write_text(yaml.safe_dump(params))
    (odd / "data/teacher/float.pt").unlink()
    done = _run(odd, "stages.train_teacher", processes=2)
    assert done.returncode != 0
    assert "training.batch_size is 33, but 2 processes need a multiple" in done.stderr
    assert not (odd / "data/teacher/float.pt").exists()


def test_the_convolutional_network_is_trained_in_one_process(monkeypatch):
    monkeypatch.setattr(train_convnet, "world_size", lambda: 2)
    params = load_params(ROOT / "demo/params.yaml")
    with pytest.raises(PipelineError, match=r"one process.*without torchrun"):
        train_convnet.train_convnet(params, None)
