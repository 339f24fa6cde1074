"""The float network as ONNX: onnxruntime gives PyTorch's logits, to the rounding of float32."""

import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models.files.errors import PipelineError
from models.float.activations.registry import activation_names
from models.float.resmlp import ResMLP
from models.onnx.float_network import write
from models.onnx.runtime import evaluate

SIZES = {"image_size": 8, "patch_size": 2, "embed_dim": 6, "num_blocks": 2, "num_classes": 3}


class Wave(nn.Module):
    """An activation that is no table."""

    def forward(self, x):
        return x + torch.sin(x)


class Undefined(nn.Module):
    """An activation that PyTorch cannot trace: its shape depends on the values."""

    def forward(self, x):
        return x if float(x.sum()) > 0 else -x


def drawn(activation="relu"):
    """Return a network with statistics as after training; its values leave the grid."""
    torch.manual_seed(0)
    network = ResMLP(activation, 10, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), **SIZES)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.05, 2)
            nn.init.uniform_(module.weight, -3, 3)
            nn.init.normal_(module.bias)
    return network.eval()


def images():
    return np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)


def by_torch(network):
    with torch.no_grad():
        return network(torch.from_numpy(images()).permute(0, 3, 1, 2)).numpy()


def assert_same(network, content):
    expected, computed = by_torch(network), evaluate(content, images(), 1, batch=4)
    assert computed.dtype == np.float32
    assert np.abs(computed - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("activation", activation_names())
def test_the_logits_are_those_of_pytorch(activation):
    network = drawn(activation)
    content = write(network, "net")
    assert_same(network, content)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert {item.key for item in model.metadata_props} == {"network", "layout"}
    assert "blocks_1_mlp_act_hidden" in {node.name for node in model.graph.node}


def test_other_weights_give_other_logits():
    network = drawn()
    content = write(network, "net")
    with torch.no_grad():
        network.classifier.bias[1] += 0.01
    with pytest.raises(AssertionError):
        assert_same(network, content)


@pytest.mark.slow
def test_an_activation_that_is_no_table_is_written_by_pytorch():
    network = drawn()
    for block in network.blocks:
        block.mlp.act_hidden = Wave()
    assert_same(network, write(network, "net"))


@pytest.mark.slow
def test_what_pytorch_cannot_write_is_refused_in_one_sentence():
    network = drawn()
    network.blocks[0].mlp.act_hidden = Undefined()
    with pytest.raises(PipelineError, match=r"cannot write this network's activation.*table\(\)"):
        write(network, "net")


def test_an_absent_exporter_is_named(monkeypatch):
    network = drawn()
    network.blocks[0].mlp.act_hidden = Wave()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(PipelineError, match="package onnxscript is not installed"):
        write(network, "net")
