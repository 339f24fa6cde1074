"""Data-parallel training by torchrun: two gloo processes do what one process does."""

import csv
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch
import yaml

from models.files.errors import PipelineError
from models.float.resmlp import ChannelNorm
from stages import distill, prepare_data, train_convnet, train_teacher
from stages.networks.distributed import SharedNorm, share_norms
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

pytestmark = [pytest.mark.pipeline, pytest.mark.training]

NAME = "lerp_psa_h96"

# What each of two processes does, one after another: importing torch takes them longer than all of
# it. A process that stops does so between two epochs, like one that is killed there.
SCENARIOS = """
import os, runpy, sys
import stages.training.loop as loop
from stages.training.phase import PhaseRunner

def say(text):
    sys.stderr.write(f"{text}\\n")  # at once: two processes share the file

def run(scenario, folder, stage, *arguments):
    # A group cannot be made twice on one port.
    os.environ["MASTER_PORT"] = ports.pop()
    os.chdir(folder)
    say(f"begin {scenario}")
    sys.argv = [stage, *arguments]
    try:
        runpy.run_module(stage, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        say(end.code)
    except Stopped:
        say("stopped")
    say(f"end {scenario}")
    os.chdir(base)

class Stopped(BaseException):
    pass

def stop_after(count):
    whole, left = PhaseRunner.run, [count]

    def run_or_stop(self, *arguments):
        if not left[0]:
            raise Stopped
        left[0] -= 1
        return whole(self, *arguments)

    PhaseRunner.run = run_or_stop
    return whole

base, name, ports = os.getcwd(), sys.argv[1], sys.argv[2:]
os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
rank = f"rank{os.environ['RANK']}"
run("two", "two", "stages.distill", name)
run("odd", "odd", "stages.train_teacher")
whole = stop_after(2)
run("cut", rank, "stages.distill", name)
PhaseRunner.run = whole
files = os.listdir(rank + "/.ckpt") if os.path.isdir(rank + "/.ckpt") else []
checkpoints = [file for file in files if file.endswith(".pt")]
found = "a checkpoint" if checkpoints else "no checkpoint"
say(f"{rank} has {found}")
run("again", rank, "stages.distill", name)
"""


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _prepare(folder):
    params = read_yaml(ROOT / "demo/params.yaml")
    params["data"]["validation_images"] = 1000  # few are left for training
    params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 1}
    params["training"]["batch_size"] = 32
    params["convnet"] |= {"widths": [8, 8, 8], "epochs": 1}
    params["views"]["count"] = 1
    params["teacher"] |= {"epochs": 1, "hidden_dim": 8}
    params["transfer"]["epochs_per_block"] = 1
    params["distill"]["epochs"] = 2
    params["variants"] = {NAME: params["variants"][NAME]}
    params["designs"] = {}
    params["rtl"]["designs"] = {}
    params["gates"]["designs"] = []
    params["variants"][NAME]["hidden_dim"] = 8
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Train one student in this process and with two others; return the folders.

    Beside them lies errors.txt: what the two processes wrote.
    """
    base = tmp_path_factory.mktemp("distributed")
    _prepare(base / "one")
    threads, before = torch.get_num_threads(), os.getcwd()
    try:
        torch.set_num_threads(1)
        os.chdir(base / "one")
        prepare_data.main()
        train_convnet.main()
        train_teacher.main()
        for folder in (
            "two",
            "odd",
            "rank0",
            "rank1",
        ):  # the same teacher: only the student differs
            shutil.copytree(base / "one", base / folder)
        distill.main(NAME)
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)
    params = yaml.safe_load((base / "odd/params.yaml").read_text())
    params["training"]["batch_size"] = 33
    (base / "odd/params.yaml").write_text(yaml.safe_dump(params))
    (base / "odd/data/teacher/float.pt").unlink()
    _run_scenarios(base)
    return base


def _run_scenarios(base):
    (base / "scenarios.py").write_text(SCENARIOS)
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    port, *ports = (_free_port() for _ in range(5))
    done = subprocess.run(
        [sys.executable, "-m", *launcher, f"--master-port={port}", "scenarios.py", NAME, *ports],
        cwd=base,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    (base / "errors.txt").write_text(done.stderr)


def _errors(results, scenario):
    """Return what the processes wrote while they ran a scenario."""
    text = (results / "errors.txt").read_text()
    return re.search(f"begin {scenario}\n(.*)end {scenario}\n", text, re.DOTALL)[1]


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


def test_machines_with_disks_of_their_own_go_on_together(results):
    """Each process has a folder of its own; both stop after two epochs and start again."""
    assert "stopped" in _errors(results, "cut")
    text = (results / "errors.txt").read_text()
    assert "rank0 has a checkpoint" in text and "rank1 has no checkpoint" in text
    assert "after epoch 2" in _errors(results, "again")
    assert _history(results / "rank0") == _history(results / "two")
    assert not [*results.glob("rank1/data/history/float/lerp_psa_h96.*")]


def test_a_batch_that_cannot_be_shared_equally_is_refused(results):
    assert "training.batch_size is 33, but 2 processes need a multiple" in _errors(results, "odd")
    assert not (results / "odd/data/teacher/float.pt").exists()


def test_shared_norms_keep_the_parameters_and_the_names(results, monkeypatch):
    monkeypatch.chdir(results / "one")
    network = build_network(load_params(), NAME, Dataset.load("data/dataset.npz"))
    before = network.state_dict(keep_vars=True)
    share_norms(network)
    norms = [part for part in network.modules() if isinstance(part, ChannelNorm)]
    assert len(norms) == 3 and all(isinstance(norm, SharedNorm) for norm in norms)
    after = network.state_dict(keep_vars=True)
    assert list(before) == list(after)
    assert all(before[key] is after[key] for key in before)
    assert not any(norm.training for norm in norms[0].eval().modules())


def test_the_convolutional_network_is_trained_in_one_process(monkeypatch):
    monkeypatch.setattr(train_convnet, "world_size", lambda: 2)
    params = load_params(ROOT / "demo/params.yaml")
    with pytest.raises(PipelineError, match=r"one process.*without torchrun"):
        train_convnet.train_convnet(params, None)
