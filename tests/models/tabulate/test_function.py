"""Any function per channel as a table: its integers, its errors, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.kan_layers import Connections, KanLinear
from models.float.activations import LerpPsa
from models.qat.layers import IntTensor, QuantTable
from models.tabulate.function import tabulate

INT8 = np.arange(-128, 128)


def every_input(channels):
    return np.repeat(INT8[:, None], channels, axis=1)


def test_gelu_is_within_two_steps_and_constant_outside():
    unit = tabulate(nn.GELU(), channels=2, half_range=4.0)
    assert unit.in_scale == 4 / 128 and unit.saturated == 0
    assert unit.out_scale == pytest.approx(float(nn.functional.gelu(torch.tensor(4.0))) / 127)
    x = np.linspace(-4, 4 * 127 / 128, 1001)
    true = nn.functional.gelu(torch.tensor(x)).numpy()
    found = unit.real(np.repeat(x[:, None], 2, axis=1))
    worst = np.abs(found[:, 0] - true).max()
    assert worst <= unit.errors.total.largest * 1.001 < 2 * unit.out_scale
    assert np.array_equal(found[:, 0], found[:, 1])
    assert unit.errors.lines.largest < unit.errors.table.largest < unit.errors.total.largest
    outside = unit.real(np.array([[-9.0, -4.5], [4.1, 1e6]]))
    assert np.array_equal(outside, [unit.below, unit.above])


def test_the_integers_are_those_of_the_pipeline():
    torch.manual_seed(0)
    activation = LerpPsa(5)
    unit = tabulate(activation, channels=5, half_range=3.0, out_scale=0.25)
    part = QuantTable(activation)
    part.log2_scale.data.fill_(-2.0)
    values = IntTensor(torch.tensor(every_input(5)).float(), torch.tensor(3 / 128))
    expected = part(values).values.detach().numpy()
    assert np.array_equal(unit.integers(every_input(5)), expected)
    assert unit.saturated > 0 or np.abs(expected).max() < 127


def test_connections_of_a_kan_layer_sum_to_its_output():
    torch.manual_seed(0)
    layer = KanLinear(3, 2)
    unit = tabulate(Connections(layer), channels=6, half_range=1.0)
    x = 1.9 * torch.rand(50, 3).double() - 0.95
    each = unit.real(x.repeat(1, 2).numpy()).reshape(50, 2, 3)
    error = np.abs(each.sum(axis=2) - layer.double()(x).detach().numpy()).max()
    assert error <= 3 * unit.errors.total.largest


def test_errors_name_the_worst_channel():
    unit = tabulate(lambda x: x * torch.tensor([0.0, 0.0, 1.0]), channels=3, half_range=1.0)
    assert unit.errors.total.channel == 2 and unit.errors.lines.largest < 1e-6
    assert unit.errors.total.largest <= unit.in_scale / 2 + unit.out_scale


def test_a_module_keeps_its_mode_its_precision_and_its_weights():
    module = nn.Sequential(nn.Dropout(0.5), nn.PReLU(2)).double()
    module[0].eval()
    module.train()
    unit = tabulate(module, channels=2, half_range=2.0)
    assert module.training and module[0].training and module[1].weight.dtype == torch.float64
    assert unit.errors.lines.largest < 1e-6


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (nn.Linear(3, 2), r"maps \[2049, 3\] to \[2049, 2\], but must keep"),
        (nn.Softmax(dim=-1), "not one of each channel alone"),
        (nn.Softmax(dim=0), "depend on other channels or rows"),
        (lambda x: x + torch.rand_like(x), "differ from call to call"),
        (torch.sqrt, r"channel 0 is not finite at -1; choose a smaller"),
        (lambda x: x.tolist(), "to list, but must keep the shape"),
    ],
)
def test_what_no_table_can_hold_is_refused(function, words):
    with pytest.raises(ValueError, match=words):
        tabulate(function, channels=3, half_range=1.0)


@pytest.mark.parametrize("bad", [{"channels": 0}, {"half_range": 0.0}, {"out_scale": -1.0}])
def test_impossible_arguments_are_refused(bad):
    with pytest.raises(ValueError, match="tabulate needs channels >= 1"):
        tabulate(torch.tanh, **{"channels": 1, "half_range": 1.0, **bad})


def test_zero_everywhere_is_a_function_too():
    unit = tabulate(torch.zeros_like, channels=1, half_range=1.0)
    assert unit.out_scale == 1 and not unit.integers(every_input(1)).any()
