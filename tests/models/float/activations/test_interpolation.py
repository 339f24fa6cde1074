"""The interpolation kernel: its definition, its exactness, and that all its forms agree."""

import importlib.util
import logging
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.float.activations import interpolation as definition
from models.float.activations.interpolation import lerp, lerp_reference

pytestmark = pytest.mark.slow

START, STEP, KNOTS = -4.0, 0.125, 65
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # Triton without a GPU, slowly
MANY_ROWS = 1000 if INTERPRETED else 40_000


def _reference(x, table, start, step, grad):
    x, table = x.clone().requires_grad_(), table.clone().requires_grad_()
    y = lerp_reference(x, table, start, step)
    return y.detach(), *torch.autograd.grad(y, (x, table), grad)


def _plain(x, table, start, step, grad):
    y = lerp_reference(x, table, start, step)
    return y, *definition._backward_plain(grad, x, table, start, step)


def _kernels(module, device):
    def run(x, table, start, step, grad):
        kernels = definition._load(module, device)
        assert kernels is not None, f"the kernels {module} do not work here"
        x, table, grad = (tensor.to(device).contiguous() for tensor in (x, table, grad))
        results = (
            kernels.forward(x, table, start, step),
            *kernels.backward(grad, x, table, start, step),
        )
        return tuple(result.cpu() for result in results)

    return run


FORMS = {
    "plain": _plain,
    "numba": _kernels("lerp_cpu", "cpu"),
    "triton": _kernels("lerp_triton", "cuda" if torch.cuda.is_available() else "cpu"),
}


@pytest.fixture(params=list(FORMS), scope="module")
def form(request):
    if request.param == "numba":
        pytest.importorskip("numba", reason="numba is not installed")
    if request.param == "triton" and importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    if request.param == "triton" and not torch.cuda.is_available() and not INTERPRETED:
        pytest.skip("no CUDA device, and TRITON_INTERPRET is not 1")
    return FORMS[request.param]


def _case(shape, knots=KNOTS, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = 2.5 * torch.randn(shape, generator=generator)
    table = torch.randn(shape[-1], knots, generator=generator)
    return x.to(dtype), table, torch.randn(shape, generator=generator).to(dtype)


def _assert_agree(got, expected):
    y, grad_x, grad_table = got
    expected_y, expected_grad_x, expected_grad_table = expected
    assert (y.dtype, grad_table.dtype) == (expected_y.dtype, expected_grad_table.dtype)
    torch.testing.assert_close(y, expected_y, rtol=2e-6, atol=2e-6, equal_nan=True)
    torch.testing.assert_close(grad_x, expected_grad_x, rtol=1e-5, atol=1e-5, equal_nan=True)
    scale = expected_grad_table[expected_grad_table.isfinite()].abs().amax().item() + 1
    torch.testing.assert_close(
        grad_table, expected_grad_table, rtol=1e-4, atol=1e-5 * scale, equal_nan=True
    )


def test_reference_is_numpy_interp_inside_the_grid():
    x, table, _ = _case((500, 3))
    x = x.double().clamp(-4, 4)
    knots = np.linspace(-4, 4, KNOTS)
    expected = np.stack([np.interp(x[:, f], knots, table[f]) for f in range(3)], axis=1)
    np.testing.assert_allclose(lerp_reference(x, table, START, STEP), expected, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 700),
    features=st.integers(1, 40),
    knots=st.integers(2, 70),
    start=st.floats(-9, 3),
    step=st.floats(0.03, 2),
    seed=st.integers(0, 99),
)
def test_forms_agree(form, rows, features, knots, start, step, seed):
    x, table, grad = _case((rows, features), knots, seed)
    _assert_agree(form(x, table, start, step, grad), _reference(x, table, start, step, grad))


@pytest.mark.parametrize("shape", [(96,), (5, 7), (4, 65, 96), (2, 3, 4, 5), (0, 6), (3, 0, 6)])
@pytest.mark.parametrize("knots", [2, 64])
def test_forms_agree_on_every_shape(form, shape, knots):
    x, table, grad = _case(shape, knots)
    _assert_agree(form(x, table, START, STEP, grad), _reference(x, table, START, STEP, grad))


def test_forms_agree_over_many_chunks(form):
    x, table, grad = _case((MANY_ROWS, 24))
    _assert_agree(form(x, table, START, STEP, grad), _reference(x, table, START, STEP, grad))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, in Triton's interpreter
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 3e38, -3e38])
def test_forms_agree_on_what_is_not_finite(form, value):
    x, table, grad = _case((3, 4))
    x[1, 2] = value
    _assert_agree(form(x, table, START, STEP, grad), _reference(x, table, START, STEP, grad))


def test_values_that_are_not_finite():
    x = torch.tensor([[torch.inf], [-torch.inf], [torch.nan]])
    y = lerp(x, torch.tensor([[1.0, 0.0, 2.0]]), -1, 1)
    assert y[0] == torch.inf and y[1] == torch.inf and y[2].isnan()
    assert lerp(x, torch.tensor([[1.0, 1.0, 1.0]]), -1, 1).isnan().all()


def test_knots_are_hit_exactly_and_belong_to_the_segment_on_their_right(form):
    _, table, _ = _case((1, 3))
    x = (START + STEP * torch.arange(KNOTS))[:, None].repeat(1, 3)
    y, grad_x, grad_table = form(x, table, START, STEP, torch.ones_like(x))
    assert torch.equal(y[:-1], table.t()[:-1])  # the last knot is reached from its left
    torch.testing.assert_close(y[-1], table.t()[-1])
    slopes = table.diff(dim=1).t() / STEP
    torch.testing.assert_close(grad_x, torch.cat([slopes, slopes[-1:]]))
    assert torch.equal(grad_table, torch.ones_like(table))


def test_outer_segments_go_on_outside_the_grid(form):
    _, table, _ = _case((1, 2))
    x = torch.tensor([[-4.0 - 10, 4.0 + 10]])
    y, _, _ = form(x, table, START, STEP, torch.ones_like(x))
    below = table[0, 0] - 10 * (table[0, 1] - table[0, 0]) / STEP
    above = table[1, -1] + 10 * (table[1, -1] - table[1, -2]) / STEP
    torch.testing.assert_close(y, torch.stack([below, above])[None])


def test_int8_tables_are_interpolated_exactly(form):
    # Channel (a, b) has the knots a, b, a, b, …: with a <= b these are all segments of int8 values,
    # each met at all four quarters by the 256 inputs of an int8 grid.
    values = torch.arange(-128, 128, 17 if INTERPRETED else 1)
    pairs = torch.combinations(values, with_replacement=True)
    table = pairs.repeat(1, 33)[:, :65]
    x = torch.arange(-128, 128)[:, None].expand(256, len(pairs))
    y, _, _ = form(x.float(), table.float(), -128.0, 4.0, x.float())
    segment, quarters = (x[:, :1] + 128) // 4, (x[:, :1] + 128) % 4
    left, right = table.t()[segment[:, 0]], table.t()[segment[:, 0] + 1]
    assert torch.equal((4 * y).to(torch.int64), 4 * left + (right - left) * quarters)
    assert torch.equal(y, (4 * y).to(torch.int64) / 4)


def test_channels_are_independent(form):
    x, table, grad = _case((200, 5))
    y, grad_x, grad_table = form(x, table, START, STEP, grad)
    for f in range(5):
        one = slice(f, f + 1)
        alone = form(x[:, one], table[one], START, STEP, grad[:, one])
        for whole, part in zip((y[:, one], grad_x[:, one], grad_table[one]), alone, strict=True):
            torch.testing.assert_close(whole, part)


def test_two_runs_give_the_same_bits(form):
    x, table, grad = _case((MANY_ROWS, 24))
    first, second = (form(x, table, START, STEP, grad) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[:2], second[:2], strict=True))
    if form is FORMS["triton"]:  # atomic additions: the order of the sums is the device's
        torch.testing.assert_close(first[2], second[2], rtol=1e-4, atol=1e-3)
    else:
        assert torch.equal(first[2], second[2])


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch):
    kernels = pytest.importorskip(
        "models.float.activations.kernels.lerp_cpu", reason="numba is not installed"
    )
    x, table, grad = _case((40_000, 24))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(kernels.backward(grad, x, table, START, STEP))
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(
        "models.float.activations.kernels.openmp._PARALLEL", None
    )  # no OpenMP runtime in reach
    results.append(kernels.backward(grad, x, table, START, STEP))
    for grad_x, grad_table in results[1:]:
        assert torch.equal(grad_x, results[0][0]) and torch.equal(grad_table, results[0][1])


def _all_layouts():
    x = torch.randn(4, 6, 8)
    return {
        "transposed": x.transpose(1, 2),
        "strided": x[::2, :, ::2],
        "expanded": x[:1].expand(3, 6, 8),
    }


@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded"])
def test_layout_does_not_matter(layout):
    x = _all_layouts()[layout]
    table = torch.randn(KNOTS, x.shape[-1]).t()
    y = lerp(x, table, START, STEP)
    assert y.is_contiguous()
    assert torch.equal(y, lerp(x.contiguous(), table.contiguous(), START, STEP))


@pytest.mark.parametrize("function", [lerp, lerp_reference])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (4, 1)])
def test_gradients_are_those_of_finite_differences(function, shape):
    x, table, _ = _case(shape, knots=7, dtype=torch.float64)
    x, table = x.requires_grad_(), table.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: function(x, t, -2.03, 0.7), (x, table))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_operator_passes_opcheck(dtype):
    x, table, _ = _case((4, 5, 3), dtype=dtype)
    table = table.double() if dtype == torch.float64 else table
    arguments = (x.requires_grad_(), table.requires_grad_(), START, STEP)
    torch.library.opcheck(torch.ops.lerp_psa.lerp, arguments)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own functions
def test_compiled_equals_eager():
    x, table, grad = _case((64, 24))
    results = []
    for function in (lerp, torch.compile(lerp, fullgraph=True)):
        leaves = x.clone().requires_grad_(), table.clone().requires_grad_()
        y = function(*leaves, START, STEP)
        results.append((y.detach(), *torch.autograd.grad(y, leaves, grad)))
    assert all(torch.equal(eager, compiled) for eager, compiled in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_inputs_are_computed_in_float32(dtype):
    x, table, grad = _case((300, 6), dtype=dtype)
    x, table = x.requires_grad_(), table.requires_grad_()
    y = lerp(x, table, START, STEP)
    assert torch.equal(y, lerp(x.float(), table, START, STEP).to(dtype))
    y.backward(grad)
    assert (x.grad.dtype, table.grad.dtype) == (dtype, torch.float32)


def test_autocast_leaves_the_table_in_float32():
    x, table, _ = _case((32, 6))
    linear = torch.nn.Linear(6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = linear(x)
        y = lerp(hidden, table.requires_grad_(), START, STEP)
    assert hidden.dtype == y.dtype == torch.bfloat16
    assert torch.equal(y, lerp(hidden.float(), table, START, STEP).bfloat16())


def test_without_a_compiler_plain_pytorch_takes_over(monkeypatch, caplog):
    x, table, _ = _case((50, 6))
    expected = lerp(x, table, START, STEP)
    monkeypatch.setattr(definition, "_load", definition._load.__wrapped__)
    kernels = "models.float.activations.kernels"
    monkeypatch.setitem(sys.modules, f"{kernels}.lerp_cpu", None)  # importing it is an error now
    monkeypatch.delattr(f"{kernels}.lerp_cpu", raising=False)
    with caplog.at_level(logging.INFO):
        y = lerp(x, table, START, STEP)
    torch.testing.assert_close(y, expected)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "plain PyTorch" in caplog.text


@pytest.mark.parametrize(
    ("x", "table", "step"),
    [
        (torch.zeros(2, 3), torch.zeros(4, 5), 1.0),
        (torch.zeros(2, 3), torch.zeros(3, 1), 1.0),
        (torch.zeros(2, 0), torch.zeros(0, 5), 1.0),
        (torch.tensor(1.0), torch.zeros(1, 5), 1.0),
        (torch.zeros(2, 3), torch.zeros(3), 1.0),
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(3, 5), 1.0),
        (torch.zeros(2, 3), torch.zeros(3, 5), 0.0),
    ],
)
def test_impossible_arguments_are_refused(x, table, step):
    with pytest.raises(ValueError, match="lerp needs"):
        lerp(x, table, 0.0, step)


def test_gradients_of_gradients_are_those_of_the_definition():
    x, table, grad = _case((40, 6))
    found = []
    for function in (lerp, lerp_reference):
        leaves = x.clone().requires_grad_(), table.clone().requires_grad_()
        y = function(*leaves, START, STEP)
        first = torch.autograd.grad(y, leaves, grad, create_graph=True)
        total = sum((part * torch.arange(part.numel()).view_as(part)).sum() for part in first)
        found.append([*first, *torch.autograd.grad(total, leaves)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dim", [0, 1, -2, 2, -1])
def test_channels_may_be_any_dimension(dim):
    x, table = torch.randn(5, 5, 5), torch.randn(5, KNOTS)
    expected = lerp_reference(x.movedim(dim, -1), table, START, STEP).movedim(-1, dim)
    torch.testing.assert_close(lerp(x, table, START, STEP, dim), expected)


def test_channels_last_images_are_not_copied():
    images = torch.randn(2, 6, 4, 4).to(memory_format=torch.channels_last)
    y = lerp(images, torch.randn(6, KNOTS), START, STEP, dim=1)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_compiling_is_announced_once(tmp_path, monkeypatch, caplog):
    notice = pytest.importorskip(
        "models.float.activations.kernels.notice", reason="numba is not installed"
    )
    for folder, words in ((tmp_path, "once, which takes some seconds"), (None, "NUMBA_CACHE_DIR")):
        monkeypatch.setattr(notice, "cache_folder", lambda folder=folder: folder)
        notice.announce("lerp_loops")
        assert words in caplog.text
        caplog.clear()
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "lerp_loops._forward-1.py311.nbi").touch()
    monkeypatch.setattr(notice, "cache_folder", lambda: tmp_path)
    notice.announce("lerp_loops")
    assert not caplog.records
