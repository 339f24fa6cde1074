"""Weights as other programs save them are read, or the sentence says what is around them."""

import argparse

import pytest
import torch
from torch import nn

from models.files.errors import PipelineError
from models.float.checkpoint import load_state
from models.float.published import load_published_into, published_state
from tests.support.specimens import float_network


def ours(path):
    network = float_network()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    load_state(network, path)
    return network


def theirs(path):
    network = float_network()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    load_published_into(network, path)
    return network


FORMS = pytest.mark.parametrize(
    ("load", "state_of"),
    [(ours, lambda network: dict(network.state_dict())), (theirs, published_state)],
    ids=["float.pt", "published"],
)


def prefixed(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


def compiled_parts(state):
    """Return the keys of a network whose parts were compiled one by one."""
    return {key.replace(".", "._orig_mod.", 1): tensor for key, tensor in state.items()}


WRAPPINGS = {
    "DataParallel": lambda s: prefixed("module.", s),
    "compile": lambda s: prefixed("_orig_mod.", s),
    "compiled DistributedDataParallel": lambda s: prefixed("module._orig_mod.", s),
    "compiled parts": compiled_parts,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "best": 87.5},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}}},
    "model": lambda s: {"model": prefixed("module.", s), "args": {"lr": 0.1}},
    "net": lambda s: {"net": s, "acc": 93.0, "epoch": 1},
    "Lightning": lambda s: {"state_dict": prefixed("model.", s), "pytorch-lightning_version": "2"},
    "nested": lambda s: {"model": {"state_dict": prefixed("net.module.", s)}},
    "no counters": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    "half": lambda s: {k: v.bfloat16() if k.endswith("weight") else v for k, v in s.items()},
}


@FORMS
@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_weights_are_found_in_usual_wrappings(tmp_path, load, state_of, wrap):
    network = float_network()
    state = wrap(state_of(network))
    torch.save(state, tmp_path / "float.pt")
    loose = any(v.dtype == torch.bfloat16 for v in state.values() if isinstance(v, torch.Tensor))
    for key, tensor in load(tmp_path / "float.pt").state_dict().items():
        expected = network.state_dict()[key]
        torch.testing.assert_close(tensor, expected, rtol=0.01 * loose, atol=0.01 * loose)


@FORMS
def test_what_is_not_read_says_why(tmp_path, load, state_of):
    path, state = tmp_path / "float.pt", state_of(float_network())
    cases = {
        "all its names begin with 'student.'": prefixed("student.", state),
        "a dictionary with the keys 'epoch', 'weights'": {"epoch": 3, "weights": state},
        "argparse.Namespace": {"state_dict": state, "args": argparse.Namespace(lr=0.1)},
        "no state dict": [state],
        "float_network": {"state_dict": float_network},
    }
    for words, content in cases.items():
        torch.save(content, path)
        with pytest.raises(PipelineError) as caught:
            load(path)
        message = str(caught.value)
        assert words in message and str(path) in message and "\n" not in message


@FORMS
def test_a_pointer_of_git_lfs_is_named(tmp_path, load, state_of):
    path = tmp_path / "model.bin"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 1300000\n")
    remedy = "archive of published weights again" if load is theirs else "dvc pull"
    with pytest.raises(PipelineError, match=f"model.bin is a pointer of git-lfs, .*{remedy}"):
        load(path)
