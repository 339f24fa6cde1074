"""Personal self-attention at the knots: that the compiled form is the definition."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.activations import _psa
from models.activations._lerp import kernels
from models.activations._psa import psa, psa_reference
from models.activations.lerp_psa import LerpPsa

pytestmark = pytest.mark.skipif(
    kernels("cpu", torch.float32) is None, reason="the numba kernels do not work here"
)


def _arguments(features, terms, points, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (spread * torch.randn(shape, generator=generator)).requires_grad_()

    parameters = [draw(features, terms) for _ in range(3)] + [draw(features) for _ in range(2)]
    return [torch.linspace(-4, 4, points), *parameters]


def _with_gradients(function, arguments, epsilon, grad):
    result = function(*arguments, epsilon)
    return [result.detach(), *torch.autograd.grad(result, arguments[1:], grad.to(result.dtype))]


def _wide(arguments):
    return [t.detach().double().requires_grad_(t.requires_grad) for t in arguments]


@given(
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(1, 70),
    st.sampled_from([0.1, 1.0, 6.0]),
    st.sampled_from([0.01, 1.0]),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_the_definition(
    features, terms, points, spread, epsilon, seed
):
    arguments = _arguments(features, terms, points, spread, seed)
    grad = torch.randn(features, points, generator=torch.Generator().manual_seed(seed))
    result = psa(*arguments, epsilon)
    assert "lerp_psa_psa" in type(result.grad_fn).__name__
    exact = _with_gradients(psa_reference, _wide(arguments), epsilon, grad)
    plain = _with_gradients(psa_reference, arguments, epsilon, grad)
    for ours, theirs, truth in zip(
        _with_gradients(psa, arguments, epsilon, grad), plain, exact, strict=True
    ):
        # float32 cannot do better than PyTorch's own float32 does
        allowed = 4 * (theirs - truth).abs().max() + 2e-6 * (1 + truth.abs().max())
        assert (ours - truth).abs().max() <= allowed


def test_without_gradients_it_is_the_definition_to_the_bit():
    arguments = _arguments(5, 8, 64)
    with torch.no_grad():
        assert torch.equal(psa(*arguments, 1.0), psa_reference(*arguments, 1.0))


def test_gradients_of_points_and_of_float64_are_pytorch_s():
    points, *parameters = _arguments(2, 3, 5)
    points = points.requires_grad_()
    (grad,) = torch.autograd.grad(psa(points, *parameters, 1.0).sum(), points)
    assert grad.abs().max() > 0
    wide = _wide([points, *parameters])
    assert torch.autograd.gradcheck(psa, (*wide, 1.0))


def test_strided_parameters():
    points, value, *others = _arguments(6, 4, 9)
    turned = value.detach().t().contiguous().t().requires_grad_()
    assert not turned.is_contiguous()
    assert torch.equal(psa(points, turned, *others, 1.0), psa(points, value, *others, 1.0))


@pytest.mark.parametrize("broken", range(1, 6))
def test_not_a_number_is_not_lost(broken):
    arguments = _arguments(2, 3, 5)
    arguments[broken].data[1] = float("nan")
    result = psa(*arguments, 1.0)
    assert result[1].isnan().all()
    assert result[0].isfinite().all()


def test_it_is_a_well_formed_operator():
    torch.library.opcheck(_psa._psa, (*_arguments(3, 4, 7), 1.0))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own functions
def test_torch_compile_keeps_it_whole():
    psa_module = LerpPsa(4)
    compiled = torch.compile(lambda: psa_module.table()[0].square(), fullgraph=True)
    ours = compiled()
    ours.sum().backward()
    plain = psa_module.knots + psa_reference(
        psa_module.knots,
        *(psa_module.value, psa_module.query, psa_module.center),
        *(psa_module.scale, psa_module.offset, psa_module.epsilon),
    )
    torch.testing.assert_close(ours, plain.square())
    assert psa_module.center.grad.abs().max() > 0
