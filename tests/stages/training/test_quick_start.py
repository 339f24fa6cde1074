"""Optimisers that start without torch._dynamo compute what PyTorch's own do."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from stages.training.quick_start import without_dynamo
from tests.support.paths import ROOT

KINDS = {AdamW: {"fused": True, "weight_decay": 0.1}, SGD: {"momentum": 0.9, "nesterov": True}}
TRAINED = """\
import sys, torch
from stages.pipeline.params import load_params
from stages.training.optimizers import adamw, matrices_apart, muon, nesterov
params = load_params()
network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
for method in (adamw(params.quantize), muon(params.teacher), nesterov(params.convnet)):
    optimizer = method.optimizer(matrices_apart(network))
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.ones(3, 4)).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def trained(network, optimizer):
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        optimizer.zero_grad()
        network(torch.randn(8, 5, generator=generator)).square().sum().backward()
        optimizer.step()
    return [*network.parameters()], optimizer.state_dict()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_steps_and_state_are_those_of_pytorch(kind) -> None:
    networks = [nn.Linear(5, 3)]
    networks.append(copy.deepcopy(networks[0]))
    pairs = zip(networks, (kind, without_dynamo(kind)), strict=True)
    (own, state), (ours, our_state) = (
        trained(network, made(network.parameters(), lr=0.1, **KINDS[kind]))
        for network, made in pairs
    )
    for one, other in zip(own, ours, strict=True):
        assert torch.equal(one, other) and one.requires_grad
    torch.testing.assert_close(our_state, state, rtol=0, atol=0)


@pytest.mark.pipeline
def test_no_training_imports_dynamo() -> None:
    command = [sys.executable, "-c", TRAINED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
