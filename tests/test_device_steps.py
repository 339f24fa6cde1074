"""The steps for an accelerator, as far as a CPU can tell: a stand-in replays instead of a graph."""

import copy
import logging

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.resmlp import ResMLP
from stages._batches import Batches
from stages._device_steps import EagerStep, RecordedStep, gradient_step
from stages._networks import in_bfloat16

CPU = torch.device("cpu")


class Loss(nn.Module):
    """Cross-entropy of a small network, whose norms keep statistics."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = ResMLP("lerp_psa", 8, embed_dim=8, patch_size=8, num_blocks=1)

    def forward(self, images, labels):
        logits = self.network(images)
        return functional.cross_entropy(logits, labels), logits


class StandIn:
    """What `record_graph` does, without a graph: the replay computes into the recorded outputs."""

    def __init__(self):
        self.replays = 0

    def __call__(self, step):
        for _ in range(3):
            step()
        outputs = step()

        def replay():
            self.replays += 1
            for recorded, value in zip(outputs, step(), strict=True):
                recorded.copy_(value)

        return replay, outputs


def batches(count, size=6):
    generator = torch.Generator().manual_seed(0)
    shape = (count, size, 3, 32, 32)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return list(zip(images, torch.randint(0, 10, (count, size), generator=generator), strict=True))


def trained(step, module):
    """Take some optimiser steps; return what every step gave, and the state at the end."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    given = []
    for batch in batches(5):
        loss, logits = step(*batch)
        optimizer.step()
        given += [loss.clone(), logits.clone()]
    return given, list(module.state_dict().values())


def test_a_recorded_step_trains_as_an_eager_one():
    eager, recorded, stand_in = Loss(), Loss(), StandIn()
    expected, state = trained(EagerStep(eager), eager)
    got, recorded_state = trained(RecordedStep(recorded, stand_in), recorded)
    assert stand_in.replays == 5
    for a, b in zip(expected + state, got + recorded_state, strict=True):
        assert torch.equal(a, b)  # the norms' statistics too: recording leaves no trace


def test_an_eager_step_leaves_the_gradients_of_its_own_batch():
    module = Loss()
    for images, labels in batches(2):
        loss, logits = EagerStep(module)(images, labels)
        other = copy.deepcopy(module).train()
        other.zero_grad()
        expected, _ = other(images, labels)
        expected.backward()
        assert torch.equal(loss, expected) and not loss.requires_grad and not logits.requires_grad
        pairs = zip(module.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


def test_a_replay_reads_the_recorded_inputs_and_keeps_addresses():
    step = RecordedStep(Loss(), StandIn())
    first, second = batches(2)
    before = [part.clone() for part in first]
    loss, logits = step(*first)
    inputs = step.inputs
    again = step(*second)
    assert again[0] is loss and again[1] is logits and step.inputs is inputs
    assert all(torch.equal(a, b) for a, b in zip(inputs, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, before, strict=True))


def test_a_step_that_cannot_be_recorded_is_eager_and_says_so_once(caplog):
    def refuse(step):
        step()
        raise RuntimeError("operation not permitted when stream is capturing")

    eager, other = Loss(), Loss()
    expected, state = trained(EagerStep(eager), eager)
    with caplog.at_level(logging.INFO):
        got, other_state = trained(RecordedStep(other, refuse), other)
    assert [record.message.count("not permitted") for record in caplog.records] == [1]
    for a, b in zip(expected + state, got + other_state, strict=True):
        assert torch.equal(a, b)


def test_a_graph_is_for_cuda_where_it_is_asked_for():
    cuda = torch.device("cuda")
    assert isinstance(gradient_step(nn.Identity(), CPU, fast=True), EagerStep)
    assert isinstance(gradient_step(nn.Identity(), cuda, fast=False), EagerStep)
    assert isinstance(gradient_step(nn.Identity(), cuda, fast=True), RecordedStep)


@pytest.mark.parametrize("together", [2, 3, 100])
def test_batches_changed_together_are_the_same_batches(together):
    images = torch.arange(23, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    calls = []

    def change(batch, generator):
        calls.append(len(batch))
        return batch + 1

    def epoch():
        generator = torch.Generator().manual_seed(1)
        return Batches(images, (torch.arange(23),), change, 5, generator, CPU)

    alone, several = epoch(), epoch()
    expected = list(alone)
    several.together = together
    calls.clear()
    found = list(several)
    assert len(found) == 4 and len(calls) == -(-4 // together)
    for (a, b), (c, d) in zip(expected, found, strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)
        assert torch.equal(c[:, 0, 0, 0].long(), d + 1)


def test_half_precision_keeps_the_logits_and_their_gradients():
    module = Loss()
    images, labels = batches(1, size=16)[0]
    network, half = module.network, in_bfloat16(module.network, "cpu")
    expected, got = network(images), half(images)
    assert got.dtype == torch.float32 and not torch.equal(got, expected)
    assert (got - expected).norm() < 0.05 * expected.norm()
    functional.cross_entropy(got, labels).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())
