"""Personal self-attention at the knots: that the compiled form is the definition."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.float.activations import psa as definition
from models.float.activations.lerp_psa import LerpPsa
from models.float.activations.psa import Channels, psa, psa_reference


@pytest.fixture(scope="module", autouse=True)
def kernels():
    """Skip the tests if the kernels do not work here; asking compiles them."""
    if not definition._available():
        pytest.skip("the numba kernels do not work here")


def _arguments(features, terms, points, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (spread * torch.randn(shape, generator=generator)).requires_grad_()

    parameters = [draw(features, terms) for _ in range(3)] + [draw(features) for _ in range(2)]
    return torch.linspace(-4, 4, points), Channels(*parameters)


def _with_gradients(function, points, channels, epsilon, grad):
    result = function(points, channels, epsilon)
    return [result.detach(), *torch.autograd.grad(result, channels, grad.to(result.dtype))]


def _wide(points, channels):
    wide = [channel.detach().double().requires_grad_() for channel in channels]
    return points.double(), Channels(*wide)


@given(
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(1, 70),
    st.sampled_from([0.1, 1.0, 6.0]),
    st.sampled_from([0.01, 1.0]),
    st.integers(0, 2**32),
)
@example(1, 2, 3, 0.1, 0.01, 4265854110)
@example(20, 2, 1, 0.1, 0.01, 1796144385)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_the_definition(
    features, terms, points, spread, epsilon, seed
):
    arguments = _arguments(features, terms, points, spread, seed)
    grad = torch.randn(features, points, generator=torch.Generator().manual_seed(seed))
    result = psa(*arguments, epsilon)
    assert "lerp_psa_psa" in type(result.grad_fn).__name__
    exact = _with_gradients(psa_reference, *_wide(*arguments), epsilon, grad)
    plain = _with_gradients(psa_reference, *arguments, epsilon, grad)
    for ours, theirs, truth in zip(
        _with_gradients(psa, *arguments, epsilon, grad), plain, exact, strict=True
    ):
        # float32 can hardly do better than PyTorch's own float32 does
        allowed = 16 * (theirs - truth).abs().max() + 2e-6 * (1 + truth.abs().max())
        assert (ours - truth).abs().max() <= allowed


def test_what_is_exported_is_what_is_trained():
    arguments = _arguments(5, 8, 64)
    with torch.no_grad():
        exported = psa(*arguments, 1.0)
    assert torch.equal(exported, psa(*arguments, 1.0))


def test_gradients_of_points_and_of_float64_are_pytorch_s():
    points, channels = _arguments(2, 3, 5)
    points = points.requires_grad_()
    (grad,) = torch.autograd.grad(psa(points, channels, 1.0).sum(), points)
    assert grad.abs().max() > 0
    points, channels = _wide(points.detach(), channels)
    assert torch.autograd.gradcheck(lambda *own: psa(points, Channels(*own), 1.0), tuple(channels))


def test_strided_parameters():
    points, channels = _arguments(6, 4, 9)
    value = channels.value
    turned = channels._replace(value=value.detach().t().contiguous().t().requires_grad_())
    assert not turned.value.is_contiguous()
    for ours, theirs in zip(
        _with_gradients(psa, points, turned, 1.0, torch.ones(6, 9)),
        _with_gradients(psa, points, channels, 1.0, torch.ones(6, 9)),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("broken", range(5))
def test_not_a_number_is_not_lost(broken):
    points, channels = _arguments(2, 3, 5)
    channels[broken].data[1] = float("nan")
    result = psa(points, channels, 1.0)
    assert result[1].isnan().all()
    assert result[0].isfinite().all()


def test_it_is_a_well_formed_operator():
    points, channels = _arguments(3, 4, 7)
    torch.library.opcheck(definition._psa, (points, *channels, 1.0))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own functions
def test_torch_compile_keeps_it_whole():
    layer = LerpPsa(4)
    # The same operators and partition as the default backend, without a C++ compiler.
    backend = "aot_eager_decomp_partition"
    compiled = torch.compile(lambda: layer.table()[0].square(), backend=backend, fullgraph=True)
    ours = compiled()
    ours.sum().backward()
    channels = Channels(layer.value, layer.query, layer.center, layer.scale, layer.offset)
    plain = layer.knots + psa_reference(layer.knots, channels, layer.epsilon)
    torch.testing.assert_close(ours, plain.square())
    assert layer.center.grad.abs().max() > 0


def test_gradients_of_gradients_are_those_of_the_definition():
    points, channels = _arguments(3, 4, 9)
    found = []
    for function in (psa, psa_reference):
        first = torch.autograd.grad(
            function(points, channels, 1.0).square().sum(), channels, create_graph=True
        )
        total = sum(part.square().sum() for part in first)
        found.append([*first, *torch.autograd.grad(total, channels)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    frozen = channels._replace(value=channels.value.detach())
    (slope,) = torch.autograd.grad(psa(points, frozen, 1.0).sum(), frozen.center, create_graph=True)
    assert slope.requires_grad
