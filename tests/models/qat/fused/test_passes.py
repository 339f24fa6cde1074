"""Fused QAT: the integers of `models.qat.layers` to the last bit, its gradients to bfloat16."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from models.integer import fixed_point
from models.qat.fused import passes as fused_qat
from models.qat.fused.passes import fused_qat_available, fused_qat_forward
from models.qat.layers import export
from stages import quantize as stage
from stages.pipeline.params import Augment, Training
from tests.models.qat.test_layers import ACTIVATIONS, images_of, numpy_logits, quantized

CPU = torch.device("cpu")
PAPER = {"embed_dim": 96, "hidden_dim": 96, "patch_size": 4, "num_blocks": 4, "num_classes": 10}
FUSED = Training(8, True, Augment(0, False, False))


@pytest.fixture(scope="module", autouse=True)
def kernels():
    """Skip the tests if the kernels do not work here; asking compiles them."""
    if not fused_qat_available(CPU):
        pytest.skip("the fused CPU kernels do not work here")


def fused_values(network, images):
    """Return the int8 logits, which are the real ones in units of their scale."""
    with torch.no_grad():
        logits = fused_qat_forward(network, images) / network.classifier.scale()
    return logits.round().numpy()


def gradients(network, forward, images):
    network.zero_grad(set_to_none=True)
    labels = torch.arange(len(images)) % 5
    functional.cross_entropy(forward(network, images), labels).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def plain(network, images):
    return network(images).real()


# ---- bit for bit


@settings(max_examples=15, deadline=None)
@given(
    activation=st.sampled_from(["relu", "bspline", "lerp_psa"]),
    seed=st.integers(0, 10_000),
    perturb=st.sampled_from([0.0, 0.1, 1.0, 3.0]),
    embed_dim=st.integers(1, 32),
    hidden_dim=st.integers(1, 48),
    patch_size=st.sampled_from([2, 4, 8, 16]),
    batch=st.integers(1, 5),
)
def test_the_logits_are_those_of_the_modules_and_of_numpy(
    activation, seed, perturb, embed_dim, hidden_dim, patch_size, batch
):
    sizes = {"embed_dim": embed_dim, "hidden_dim": hidden_dim, "patch_size": patch_size}
    network, images = quantized(activation, seed, perturb, **sizes), images_of(batch, seed + 1)
    assert torch.equal(fused_qat_forward(network, images), plain(network, images))
    integers = numpy_logits(export(network), images)
    assert np.array_equal(fused_values(network, images), integers)


@ACTIVATIONS
@pytest.mark.parametrize("perturb", [0.0, 0.3])
def test_networks_of_the_papers_size(activation, perturb):
    network, images = quantized(activation, perturb=perturb, **PAPER), images_of(32, 1)
    assert torch.equal(fused_qat_forward(network, images), plain(network, images))


@ACTIVATIONS
def test_inputs_and_layers_that_saturate(activation):
    network, images = quantized(activation), images_of(16, 2)
    with torch.no_grad():
        network.input.lut.copy_(fixed_point.saturate(3 * network.input.lut))
        for name, parameter in network.named_parameters():
            if name.endswith("log2_scale"):
                parameter -= 1.5
    values = fused_values(network, images)
    assert np.array_equal(values, numpy_logits(export(network), images))
    assert (abs(values) >= 127).any()


@ACTIVATIONS
def test_it_stays_exact_while_it_trains(activation):
    network, images = quantized(activation, **PAPER).train(), images_of(16)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(4):
        gradients(network, fused_qat_forward, images)
        optimizer.step()
        assert torch.equal(fused_qat_forward(network, images), plain(network, images))


def test_the_requantization_of_every_shift_up_to_the_largest_sums():
    from models.qat.fused import streams

    edge = 1 << 24
    shift = torch.arange(1, fixed_point.MAX_SHIFT + 1, dtype=torch.int32).repeat_interleave(5)
    bias = torch.tensor([-128, -1, 0, 5, 127], dtype=torch.int32).repeat(fixed_point.MAX_SHIFT)
    around = torch.arange(-300, 301, dtype=torch.int32)  # small sums, half-way cases among them
    ends = torch.arange(edge - (1 << 16), edge + 1, 7, dtype=torch.int32)
    any_sum = torch.randint(-edge, edge, (4000,), dtype=torch.int32)
    halves = (torch.arange(-300, 300)[:, None] * 2 + 1 << torch.arange(16)).flatten()
    sums = torch.cat([around, ends, -ends, any_sum, halves.clamp(-edge, edge).to(torch.int32)])
    acc = sums.view(1, -1, 1).expand(-1, -1, len(shift)).contiguous()
    vectors = {"inverse": (1 << shift).float().reciprocal(), "bias": bias.float()}
    values, inside = streams.linear(acc, vectors, -128.0)
    expected = fixed_point.rounding_shift(acc, shift) + bias
    assert torch.equal(values.int(), fixed_point.saturate(expected))
    assert torch.equal(inside.bool(), (expected >= -128) & (expected <= 127))


@given(rows=st.integers(1, 70), inner=st.integers(1, 130), columns=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_integer_products_of_any_shape(rows, inner, columns):
    from models.qat.fused import cpu

    a = torch.randint(-128, 128, (rows, inner)).float()
    b = torch.randint(-128, 128, (columns, inner)).float().t()
    for right in (b, b.contiguous()):
        assert torch.equal(cpu.int_product(a, right), (a @ right).int())


def test_look_up_reads_every_knot_of_every_channel():
    from models.qat.fused import cpu

    knots = torch.randint(-128, 128, (7, 65)).float()
    values = torch.arange(-128, 128).view(1, -1, 1).expand(-1, -1, 7)
    expected = fixed_point.table_lookup(knots.int(), torch.arange(7), values)
    got = cpu.look_up(values.bfloat16().contiguous(), knots)
    assert torch.equal(got.int(), expected)


def test_the_number_of_threads_changes_no_integer():
    network, images = quantized("lerp_psa", **PAPER), images_of(33)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(fused_qat_forward(network, images))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(other, results[0]) for other in results[1:])


# ---- gradients


@ACTIVATIONS
def test_gradients_are_those_of_the_modules(activation):
    network, images = quantized(activation, perturb=0.05, **PAPER).train(), images_of(64, 3)
    expected = gradients(network, plain, images)
    got = gradients(network, fused_qat_forward, images)
    scales = [name for name in expected if name.endswith("log2_scale")]
    for name in expected.keys() - set(scales):
        error = (got[name] - expected[name]).norm() / expected[name].norm()
        assert error < 0.03, f"{name}: {error}"
    # The gradient of a scale is a sum in which most cancels: compare all of them with the largest.
    ours, theirs = (torch.stack([grads[name] for name in scales]) for grads in (got, expected))
    assert (ours - theirs).norm() < 0.03 * theirs.norm()


@pytest.mark.parametrize("relu", [True, False])
def test_gradients_stop_where_a_layer_saturates(relu):
    from models.qat.fused import cpu

    x = torch.tensor([100.0, 50, 1, 0, -1, -60, -120]).view(1, -1, 1).bfloat16().requires_grad_()
    weight, bias = torch.tensor([[64.0]], requires_grad=True), torch.tensor([2.0])
    layer = {"w": weight, "b": bias.requires_grad_(), "s": torch.tensor([5], dtype=torch.int32)}
    y = cpu.linear(x, layer, lowest=0 if relu else -128)
    values = [127, 102, 4, 2, 0, -118, -128]  # 2 x + 2
    assert y.flatten().tolist() == [max(0, v) if relu else v for v in values]
    y.sum().backward()
    inside = [0, 1, 1, 1, 1, 0 if relu else 1, 0]
    assert x.grad.flatten().tolist() == [2 * bit for bit in inside]
    assert bias.grad.item() == sum(inside)
    products = (x.detach().flatten() * torch.tensor(inside)).sum() / 32
    assert weight.grad.item() == products


# ---- who uses it


def test_the_stage_takes_it_where_it_is_asked_for_and_works(monkeypatch):
    network, images = quantized("relu"), images_of(3)
    monkeypatch.setattr(stage, "device", lambda: CPU)
    calls = []
    monkeypatch.setattr(
        stage, "fused_qat_forward", lambda *args: calls.append(1) or fused_qat_forward(*args)
    )
    plain_form = Training(8, False, FUSED.augment)
    expected = stage._real_logits(network, plain_form)(images)
    assert not calls
    assert torch.equal(stage._real_logits(network, FUSED)(images), expected)
    assert calls
    monkeypatch.setattr(fused_qat, "_operations", lambda: None)
    assert torch.equal(stage._real_logits(network, FUSED)(images), expected)
    assert len(calls) == 1
