"""Optimisers and learning rates: what falls, what rises, and which group gets which rate."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from models.float.resmlp import ResMLP
from stages.pipeline.params import FloatSchedule, Schedule, load_params
from stages.training.muon import Muon
from stages.training.optimizers import adamw, matrices_apart, muon, nesterov, one_cycle, set_rates
from tests.support.images import IMAGES
from tests.support.paths import ROOT

COSINE = Schedule(learning_rate=0.02, learning_rate_min=0.001, weight_decay=0.01)
WITH_MUON = FloatSchedule(0.02, 0.001, weight_decay=0.0, muon_learning_rate=0.1)
CONVNET = load_params(ROOT / "demo" / "params.yaml").convnet
STEPS = [step / 200 for step in range(201)]


def parameter():
    return nn.Parameter(torch.ones(3))


def test_adamw_falls_by_half_a_cosine_to_the_minimum():
    rates = [COSINE.learning_rate * adamw(COSINE).rate(done) for done in STEPS]
    cosine = [0.001 + (0.02 - 0.001) * (1 + math.cos(math.pi * done)) / 2 for done in STEPS]
    assert rates == pytest.approx(cosine)
    assert (rates[0], rates[-1]) == pytest.approx((0.02, 0.001))


def test_a_schedule_whose_rates_are_equal_is_constant():
    method = adamw(replace(COSINE, learning_rate_min=0.02))
    assert {method.rate(done) for done in STEPS} == {1.0}


def test_adamw_fills_in_the_rate_and_the_decay_and_leaves_out_empty_groups():
    own = {"params": [parameter()], "lr": 0.5, "weight_decay": 0.0}
    optimizer = adamw(COSINE).optimizer([{"params": [parameter()]}, {"params": []}, own])
    found = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert found == [(0.02, 0.01), (0.5, 0.0)]


def test_one_cycle_rises_to_its_peak_in_a_quarter_and_falls_to_its_end():
    factors = [one_cycle(done) for done in STEPS]
    peak = max(range(len(factors)), key=factors.__getitem__)
    assert factors[0] == pytest.approx(0.2) and factors[-1] == pytest.approx(0.07)
    assert STEPS[peak] == pytest.approx(0.23) and factors[peak] == pytest.approx(1.0)
    differences = [b - a for a, b in pairwise(factors)]
    assert differences[:peak] == pytest.approx([0.8 / 0.23 / 200] * peak)  # straight lines
    assert differences[peak:] == pytest.approx([-0.93 / 0.77 / 200] * (200 - peak))


def test_nesterov_takes_its_numbers_from_the_params():
    method = nesterov(CONVNET)
    own = {"params": [parameter()], "lr": 7.0, "weight_decay": 0.0}
    optimizer = method.optimizer([{"params": [parameter()]}, own])
    assert isinstance(optimizer, torch.optim.SGD)
    usual, other = optimizer.param_groups
    assert all(group["nesterov"] and group["momentum"] == 0.85 for group in (usual, other))
    assert (usual["lr"], usual["weight_decay"]) == (CONVNET.learning_rate, CONVNET.weight_decay)
    assert (other["lr"], other["weight_decay"]) == (7.0, 0.0)
    assert method.rate is one_cycle


def test_nesterov_looks_ahead():
    """w -= lr (g + m v) with v = g + m v: after two steps with gradient 1, by hand."""
    weight = parameter()
    how = replace(CONVNET, learning_rate=0.1, momentum=0.5, weight_decay=0.0)
    optimizer = nesterov(how).optimizer([{"params": [weight]}])
    for _ in range(2):
        weight.grad = torch.ones(3)
        optimizer.step()
    expected = 1 - 0.1 * (1 + 0.5 * 1) - 0.1 * (1 + 0.5 * 1.5)
    torch.testing.assert_close(weight.data, torch.full((3,), expected))


# Muon


def toy():
    torch.manual_seed(0)
    return ResMLP("relu", 8, {}, embed_dim=6, patch_size=8, num_blocks=2, **IMAGES)


def steps(network, optimizer, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def test_matrices_are_the_weights_of_the_hidden_linear_layers():
    network = toy()
    others, matrices = matrices_apart(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {names[id(parameter)] for parameter in matrices["params"]}
    layers = ("token_mixer.linear", "mlp.linear_1", "mlp.linear_2")
    hidden = {f"blocks.{block}.{layer}.weight" for block in (0, 1) for layer in layers}
    assert found == {"embed_linear.weight", *hidden}  # not classifier.weight
    ids = {id(parameter) for group in (others, matrices) for parameter in group["params"]}
    assert ids == names.keys()
    assert all(parameter.ndim == 2 for parameter in matrices["params"])


def test_muon_takes_the_matrices_and_adamw_the_others():
    network = toy()
    groups = matrices_apart(network)
    optimizer = muon(WITH_MUON).optimizer(groups)
    found = {
        group["lr"]: {id(parameter) for parameter in group["params"]}
        for group in optimizer.param_groups
    }
    assert found == {
        0.02: {id(parameter) for parameter in groups[0]["params"]},
        0.1: {id(parameter) for parameter in groups[1]["params"]},
    }
    assert muon(WITH_MUON).rate(0.3) == adamw(WITH_MUON).rate(0.3)  # one cosine for both


def test_without_a_rate_for_muon_adamw_takes_all():
    network = toy()
    method = muon(replace(WITH_MUON, muon_learning_rate=None))
    optimizer = method.optimizer(matrices_apart(network))
    assert isinstance(optimizer, torch.optim.AdamW)
    ids = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert ids == {id(parameter) for parameter in network.parameters()}


def test_a_step_of_muon_has_no_preferred_direction():
    """All singular values of what it adds to a matrix are about equal; AdamW's are not."""
    network = toy()
    weight = network.blocks[0].mlp.linear_1.weight
    spreads = []
    for schedule in (WITH_MUON, replace(WITH_MUON, muon_learning_rate=None)):
        before = weight.detach().clone()
        steps(network, muon(schedule).optimizer(matrices_apart(network)), 1)
        values = torch.linalg.svdvals(weight.detach() - before)
        spreads.append((values.max() / values.min()).item())
    assert spreads[0] < 2 < spreads[1]


def test_optimisers_together_go_on_from_their_state():
    whole, cut = toy(), toy()
    optimizer = muon(WITH_MUON).optimizer(matrices_apart(whole))
    steps(whole, optimizer, 2, seed=0)
    steps(whole, optimizer, 2, seed=1)
    first = muon(WITH_MUON).optimizer(matrices_apart(cut))
    steps(cut, first, 2, seed=0)
    second = muon(WITH_MUON).optimizer(matrices_apart(cut))
    second.load_state_dict(first.state_dict())
    steps(cut, second, 2, seed=1)
    pairs = zip(whole.parameters(), cut.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_optimisers_together_forget_all_gradients():
    network = toy()
    optimizer = muon(WITH_MUON).optimizer(matrices_apart(network))
    steps(network, optimizer, 1)
    optimizer.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("hidden", [3, 6, 40])  # matrices of all shapes: standing, lying, square
def test_a_batch_of_matrices_is_updated_as_one_after_another(hidden, fast, monkeypatch):
    """The definition is torch.optim.Muon; bfloat16 products may differ in their last bits."""
    monkeypatch.setattr("models.float.precision.multiplies_bfloat16", lambda device: fast)
    ours, theirs = ({"params": []}, {"params": []})
    for group in (ours, theirs):
        torch.manual_seed(0)
        shapes = [(4, 4), (hidden, 6), (6, hidden), (6, 5)]
        group["params"] = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    rate, decay = torch.tensor(0.1), 0.2
    one = Muon([ours], rate, decay)
    other = torch.optim.Muon([theirs], 0.1, decay, adjust_lr_fn="match_rms_adamw")
    before = [matrix.detach().clone() for matrix in ours["params"]]
    for seed in range(3):
        for group in (ours, theirs):
            torch.manual_seed(seed)
            for matrix in group["params"]:
                matrix.grad = torch.randn(matrix.shape)
        one.step()
        other.step()
    for a, b, start in zip(ours["params"], theirs["params"], before, strict=True):
        assert (a - b).norm() < 0.02 * (b - start).norm()


@pytest.mark.parametrize("fast", [True, False])
def test_the_precision_of_muon_follows_the_processor(fast, monkeypatch):
    monkeypatch.setattr("models.float.precision.multiplies_bfloat16", lambda device: fast)
    types = []
    monkeypatch.setattr(
        "stages.training.muon.orthogonal", lambda batch: types.append(batch.dtype) or batch
    )
    matrix = nn.Parameter(torch.ones(2, 2))
    matrix.grad = torch.eye(2)
    Muon([matrix], 0.1, 0.0).step()
    assert types == [torch.bfloat16 if fast else torch.float32]
    assert matrix.dtype == torch.float32


def test_muon_leaves_matrices_without_a_gradient_alone_and_refuses_vectors():
    matrices = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 3))]
    optimizer = Muon(matrices, 0.1, 0.0)
    optimizer.step()
    matrices[0].grad = torch.eye(2)
    optimizer.step()
    assert not torch.equal(matrices[0], torch.ones(2, 2))
    assert torch.equal(matrices[1], torch.ones(2, 3))
    with pytest.raises(ValueError, match="matrices"):
        Muon([parameter()], 0.1, 0.0)


def test_a_zero_gradient_is_no_update():
    matrix = nn.Parameter(torch.ones(2, 3))
    matrix.grad = torch.zeros(2, 3)
    Muon([matrix], 0.1, 0.0).step()
    assert torch.equal(matrix, torch.ones(2, 3))


def test_rates_are_multiples_of_the_initial_ones_and_a_tensor_keeps_its_place():
    optimizer = adamw(COSINE).optimizer([{"params": [parameter()]}, {"params": [parameter()]}])
    numbers, tensors = optimizer.param_groups
    numbers["initial_lr"] = tensors["initial_lr"] = 0.5
    tensors["lr"] = rate = torch.tensor(0.5)
    set_rates(optimizer, 0.1)
    assert numbers["lr"] == 0.05 and tensors["lr"] is rate and rate.item() == pytest.approx(0.05)
