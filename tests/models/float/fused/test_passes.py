"""The fused ResMLP: the same mathematics, exact in float64, to the type's rounding in kernels."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.float.fused import passes as fused_resmlp
from models.float.fused import plain
from models.float.fused.passes import (
    fused_available,
    fused_features,
    fused_forward,
    fused_inference,
)
from models.float.resmlp import ResMLP
from tests.support.images import IMAGES

pytestmark = pytest.mark.slow

ACTIVATIONS = ["relu", "bspline", "lerp_psa"]
SHAPES = [  # hidden, embed, patch size, batch
    (24, 96, 4, 3),
    (96, 96, 4, 5),
    (384, 96, 4, 2),
    (7, 5, 8, 3),
    (33, 17, 16, 1),
    (10, 6, 2, 2),
]
needs_kernels = pytest.mark.usefixtures("kernels")
TYPES = [torch.bfloat16, torch.float32]
ROUNDING = {torch.bfloat16: 0.02, torch.float32: 1e-5}  # relative


@pytest.fixture(scope="module")
def kernels():
    """Skip the test if the kernels do not work here; asking compiles them, which takes a minute."""
    if not fused_available(torch.device("cpu")):
        pytest.skip("the fused CPU kernels do not work here")


def _in(dtype):
    return lambda network, images: fused_forward(network, images, dtype)


def _network(activation, hidden=24, embed=12, patch=8, seed=0, **options):
    torch.manual_seed(seed)
    sizes = {"embed_dim": embed, "patch_size": patch, "num_blocks": 2, **IMAGES}
    network = ResMLP(activation, hidden, options, **sizes)
    with torch.no_grad():  # away from ones and zeros, so that every parameter has its effect
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def _images(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, 32, 32), generator=generator, dtype=torch.uint8)


def _step(network, forward, images):
    """Return logits and gradients of one step of training on a copy, and the copy."""
    network = copy.deepcopy(network).train()
    logits = forward(network, images)
    labels = torch.arange(len(images)) % logits.shape[1]
    functional.cross_entropy(logits, labels).backward()
    return logits.detach(), [parameter.grad for parameter in network.parameters()], network


def _relative(got, expected):
    pairs = [(a.double(), b.double()) for a, b in zip(got, expected, strict=True)]
    error = sum((a - b).square().sum() for a, b in pairs)
    return (error / sum(b.square().sum() for _, b in pairs)).sqrt().item()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("hidden", "embed", "patch", "batch"), SHAPES)
def test_the_algebra_is_exact(activation, hidden, embed, patch, batch):
    network, images = _network(activation, hidden, embed, patch).double(), _images(batch)
    expected, grads, plain = _step(network, lambda net, x: net(x), images)
    got, fused_grads, fused = _step(
        network, lambda net, x: fused_forward(net, x, torch.float64), images
    )
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert _relative(fused_grads, grads) < 1e-9
    for (name, a), b in zip(fused.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)


@needs_kernels
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("hidden", "embed", "patch", "batch"), SHAPES[1:5])
def test_kernels_are_as_exact_as_plain_bfloat16(
    activation, hidden, embed, patch, batch, monkeypatch
):
    network, images = _network(activation, hidden, embed, patch), _images(batch + 3)
    expected, grads, plain = _step(network, lambda net, x: net(x), images)
    got, fused_grads, fused = _step(network, _in(torch.bfloat16), images)
    monkeypatch.setattr(fused_resmlp, "_cpu_operations", lambda dtype: None)
    plain_got, plain_grads, _ = _step(network, _in(torch.bfloat16), images)
    assert got.dtype == torch.float32
    assert _relative([got], [expected]) < 1.3 * _relative([plain_got], [expected]) + 1e-3
    assert _relative(fused_grads, grads) < 1.3 * _relative(plain_grads, grads) + 1e-3
    for (name, a), b in zip(fused.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2, msg=name)


@needs_kernels
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("hidden", "embed", "patch", "batch"), SHAPES)
def test_float32_kernels_are_as_exact_as_plain_float32(activation, hidden, embed, patch, batch):
    network, images = _network(activation, hidden, embed, patch), _images(batch)
    exact, exact_grads, wide = _step(network.double(), lambda net, x: net(x), images)
    plain_got, plain_grads, _ = _step(network.float(), lambda net, x: net(x), images)
    got, grads, fused = _step(network, _in(torch.float32), images)
    assert got.dtype == torch.float32
    assert _relative([got], [exact]) < 2 * _relative([plain_got], [exact]) + 1e-6
    # A value at a knot may fall on its other side, which has another slope.
    more = 1e-5 if activation == "relu" else 5e-4
    assert _relative(grads, exact_grads) < 2 * _relative(plain_grads, exact_grads) + more
    for (name, a), b in zip(fused.named_buffers(), wide.buffers(), strict=True):
        torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-5, atol=1e-5, msg=name)


@needs_kernels
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_a_real_batch(activation, dtype):
    torch.manual_seed(0)
    network, images = ResMLP(activation, 96, **IMAGES), _images(64)
    expected, grads, _ = _step(network, lambda net, x: net(x), images)
    got, fused_grads, _ = _step(network, _in(dtype), images)
    assert _relative([got], [expected]) < ROUNDING[dtype] / 2
    assert _relative(fused_grads, grads) < max(ROUNDING[dtype], 5e-4)


@needs_kernels
def test_the_number_of_threads_does_not_change_a_bit_of_a_kernel():
    """(PyTorch's own matrix products may divide a long sum by the number of threads.)"""
    from models.float.fused import streams

    torch.manual_seed(0)
    x, z, y, grad = (torch.randn(7, 900, 96).bfloat16() for _ in range(4))
    scale, shift = torch.randn(96), torch.randn(7, 96)

    def run():
        out, dh = torch.empty_like(x), grad.clone()
        sums = streams.residual(x, z, scale, shift, out)
        bias = streams.mask(dh, x)
        split = streams.split(grad, y, scale, shift[0], (z, scale))
        return out, sums, dh, bias, *split, streams.pool(x)

    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run())
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))


@needs_kernels
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_number_of_threads_does_not_change_a_bit_in_float32(activation):
    """(The classifier's product is PyTorch's own.)"""
    network, images = _network(activation, 40, 24, 4).train(), _images(50)

    def run():
        trained = copy.deepcopy(network)
        features = fused_features(trained, images, 1, torch.float32)
        features.square().mul(features.detach()).sum().backward()
        return features, *trained.buffers(), *(p.grad for p in trained.blocks[1].parameters())

    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 1):
            torch.set_num_threads(count)
            results.append(run())
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))


@needs_kernels
def test_a_stream_of_the_other_memory_layout_is_read_as_well():
    from models.float.fused import float32

    x, weight = torch.randn(6, 5, 8), torch.randn(6, 6)
    scale, shift = torch.randn(8), torch.randn(6, 8)
    ours = x.transpose(0, 1).contiguous().transpose(0, 1)
    expected = x + scale * torch.einsum("ij,jbc->ibc", weight, x) + shift.unsqueeze(1)
    for stream in (x, ours):
        _, y, sums = float32.mixer(stream, weight, scale, shift)
        torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(sums[:, 0].sum(dim=0).float(), expected.sum(dim=(0, 1)))


@pytest.mark.parametrize("fast", [True, False])
def test_the_type_follows_the_processor(fast, monkeypatch):
    monkeypatch.setattr("models.float.precision.multiplies_bfloat16", lambda device: fast)
    wanted, asked = torch.bfloat16 if fast else torch.float32, []
    monkeypatch.setattr(fused_resmlp, "_cpu_operations", lambda dtype: asked.append(dtype))
    network, images = _network("relu"), _images(2)
    assert not fused_available(torch.device("cpu"))  # no kernels
    fused_forward(network, images)
    fused_features(network, images, 0)
    fused_inference(network.eval())
    assert set(asked) == {wanted}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_only_the_block_in_transfer_learns(activation):
    student, images = _network(activation).double().eval(), _images(4)
    student.blocks[1].train()
    plain = copy.deepcopy(student)
    features = fused_features(student, images, 1, torch.float64)
    features.square().sum().backward()
    with torch.no_grad():
        frozen = plain.blocks[0](plain.embed(images))
    expected = plain.blocks[1](frozen)
    expected.square().sum().backward()
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)
    assert all(parameter.grad is None for parameter in student.blocks[0].parameters())
    grads = [[p.grad for p in net.blocks[1].parameters()] for net in (student, plain)]
    assert _relative(*grads) < 1e-9
    for a, b in zip(student.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_block_features_in_the_fast_form(activation):
    network, images = _network(activation).eval(), _images(4)
    with torch.no_grad():
        expected = [network.features(images, block) for block in (-1, 0, 1)]
    network.blocks[1].train()
    for block in (-1, 0):
        features = fused_features(network, images, block)
        assert features.shape == expected[block + 1].shape
        assert _relative([features], [expected[block + 1]]) < 0.02
    loss = functional.mse_loss(fused_features(network, images, 1).float(), expected[2])
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.blocks[1].parameters())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("hidden", [24, 384])
def test_inference_is_the_network_in_eval_mode(activation, hidden, dtype):
    network, images = _network(activation, hidden, 96, 4), _images(6)
    network(images)  # running statistics that are not zeros and ones
    network.eval()
    with torch.no_grad():
        expected = network(images)
    before = copy.deepcopy(network.state_dict())
    folded = fused_inference(network, dtype)
    for got in (folded(images), fused_forward(network, images, dtype).detach()):
        assert got.dtype == torch.float32 and not got.requires_grad
        assert _relative([got], [expected]) < ROUNDING[dtype]
    assert all(torch.equal(a, before[name]) for name, a in network.state_dict().items())


def test_inference_without_kernels(monkeypatch):
    network, images = _network("relu").eval(), _images(2)
    monkeypatch.setattr(fused_resmlp, "_cpu_operations", lambda dtype: None)
    assert not fused_available(torch.device("cpu"))
    got = fused_inference(network, torch.float32)(images)
    torch.testing.assert_close(got, network(images).detach(), rtol=1e-4, atol=1e-4)


def test_inference_needs_eval_mode():
    with pytest.raises(ValueError, match=r"network\.eval\(\)"):
        fused_inference(_network("relu").train())


class _Sine(nn.Module):
    """An activation that offers no table."""

    def forward(self, x):
        return torch.sin(x)


def test_an_activation_without_a_table_runs_as_it_is():
    network, images = _network("bspline").double(), _images(3)
    for block in network.blocks:
        block.mlp.act_in, block.mlp.act_hidden = _Sine(), _Sine()
    _, grads, _ = _step(network, lambda net, x: net(x), images)
    exact = _step(network, lambda net, x: fused_forward(net, x, torch.float64), images)[1]
    assert _relative(exact, grads) < 1e-9
    assert _relative(_step(network.float(), fused_forward, images)[1], grads) < 0.1
    assert fused_inference(network.eval())(images).shape == (3, 10)


@pytest.mark.parametrize("activation", ["bspline", "lerp_psa"])
def test_a_table_is_the_activation(activation):
    act = _network(activation).blocks[0].mlp.act_in
    table, start, step = act.table()
    knots = start + step * torch.arange(table.shape[1])
    torch.testing.assert_close(act(knots[:, None].repeat(1, 12)), table.t())


def test_patches_are_those_of_the_network_in_another_order():
    network, images = _network("relu", patch=8), _images(2)
    cut = fused_resmlp.patches(images, 8).view(16, 2, 3, 8, 8)
    expected = network.patchify(images).view(2, 16, 8, 8, 3)
    assert torch.equal(cut.permute(1, 0, 3, 4, 2), expected)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_pixels_of_any_layout_and_type(layout):
    network, images = _network("relu").eval(), _images(2)
    expected = fused_forward(network, images)
    torch.testing.assert_close(
        fused_forward(network, images.contiguous(memory_format=layout)), expected
    )
    torch.testing.assert_close(
        fused_forward(network, images.float(), torch.float32),
        network(images),
        rtol=1e-4,
        atol=1e-4,
    )


@needs_kernels
def test_statistics_do_not_cancel():
    from models.float.fused import cpu

    torch.manual_seed(0)
    pixels = torch.randn(8, 700, 5).bfloat16()
    linear = plain.Linear(torch.eye(5), torch.tensor([0.0, 1.0, 30.0, -100.0, 1000.0]))
    for dtype, rtol in zip(TYPES, (1e-5, 1e-3), strict=True):
        y, mean, variance = cpu.embed(pixels.to(dtype), linear)
        _, exact_mean, exact_variance = plain.summed(y.double())
        torch.testing.assert_close(mean.double(), exact_mean, rtol=1e-6, atol=1e-6)
        # In float32 a value's square is rounded: here by 1e-7 of the mean's, 1e6 variances.
        torch.testing.assert_close(variance[:4].double(), exact_variance[:4], rtol=rtol, atol=1e-6)
        relative = 1e-5 if dtype == torch.bfloat16 else 0.1
        torch.testing.assert_close(variance.double(), exact_variance, rtol=relative, atol=1e-6)


def test_one_value_per_channel_has_no_statistics():
    network = _network("relu", patch=32).train()
    with pytest.raises(ValueError, match="more than one value"):
        fused_forward(network, _images(1))
