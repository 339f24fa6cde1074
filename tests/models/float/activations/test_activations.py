"""Each activation keeps the contract and computes the equations of the published system §1."""

import math
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from models.float import activations
from models.float.activations import specs
from models.float.activations.bspline import BSpline
from models.float.activations.lerp_psa import LerpPsa
from models.float.activations.registry import (
    activation_class,
    activation_names,
    activation_spec,
    build_activation,
    is_tabulated,
    penalty,
    spline_parameters,
)
from models.float.activations.relu import ReLU
from tests.support.activation_contract import ActivationContract, assert_all_registered_are_tested
from tests.support.paths import ROOT


class TestReLU(ActivationContract):
    name = "relu"

    def test_values(self):
        x = torch.tensor([[-1.5, -0.0, 2.5]])
        assert ReLU(3)(x).tolist() == [[0, 0, 2.5]]


class TestBSpline(ActivationContract):
    name = "bspline"

    @staticmethod
    def naive(coefficients, grid_range, x):
        """Evaluate one channel: lines through (T·k, c_k), the outer ones going on."""
        half = len(coefficients) // 2
        step = grid_range / half
        index = min(max(math.floor(x / step), -half), half - 1)
        left, right = coefficients[index + half], coefficients[index + half + 1]
        return left + (right - left) * (x - step * index) / step

    @pytest.mark.parametrize(("grid_size", "grid_range"), [(65, 4.0), (3, 1.0), (9, 2.0)])
    def test_values_between_and_outside_the_knots(self, grid_size, grid_range):
        spline = BSpline(4, grid_size, grid_range).double()
        spline.coefficients.data = torch.randn(4, grid_size, dtype=torch.float64)
        x = torch.linspace(-2.3 * grid_range, 2.1 * grid_range, 501, dtype=torch.float64)
        result = spline(x.unsqueeze(1).repeat(1, 4))
        for channel, coefficients in enumerate(spline.coefficients.tolist()):
            expected = [self.naive(coefficients, grid_range, value) for value in x.tolist()]
            np.testing.assert_allclose(result[:, channel].detach(), expected, atol=1e-10)

    def test_the_published_grid_has_65_knots_an_eighth_apart_and_one_at_zero(self):
        spline = BSpline(2)
        assert spline.coefficients.shape == (2, 65)
        assert (spline.step, spline.start, spline.tv2) == (0.125, -4.0, 1e-5)
        spline.coefficients.data.zero_()
        spline.coefficients.data[:, 32] = 1
        assert spline(torch.tensor([[0.0, 0.0625], [0.125, -0.125]])).tolist() == [[1, 0.5], [0, 0]]

    @pytest.mark.parametrize(("grid_size", "grid_range"), [(65, 4.0), (33, 3.3), (5, 0.7)])
    def test_it_starts_as_a_leaky_relu(self, grid_size, grid_range):
        x = torch.linspace(-9, 9, 301).unsqueeze(1).repeat(1, 3)
        expected = nn.functional.leaky_relu(x, 0.01)
        torch.testing.assert_close(
            BSpline(3, grid_size, grid_range)(x), expected, atol=1e-5, rtol=0
        )

    def test_penalty_is_tv2(self):
        spline = BSpline(3, 9, 2.0, tv2=0.3)
        spline.coefficients.data = torch.randn(3, 9)
        total = sum(
            abs(c[k - 1] - 2 * c[k] + c[k + 1])
            for c in spline.coefficients.tolist()
            for k in range(1, 8)
        )
        assert spline.penalty().item() == pytest.approx(0.3 * total / 0.5, rel=1e-5)
        spline.penalty().backward()
        assert spline.coefficients.grad.abs().sum() > 0

    def test_penalty_of_a_kink_is_its_change_of_slope_and_of_a_line_nothing(self):
        spline = BSpline(1, 65, 4.0, tv2=1.0)  # a leaky ReLU: the slope goes from 0.01 to 1
        assert spline.penalty().item() == pytest.approx(0.99, rel=1e-4)
        spline.coefficients.data = torch.linspace(-3, 5, 65).unsqueeze(0)
        assert spline.penalty().item() == pytest.approx(0, abs=1e-4)
        assert BSpline(1, tv2=0.0).penalty().item() == 0

    def test_its_coefficients_want_an_optimiser_of_their_own(self):
        network = nn.Sequential(nn.Linear(2, 2), BSpline(2), ReLU(2), BSpline(2))
        assert [id(p) for p in spline_parameters(network)] == [
            id(network[1].coefficients),
            id(network[3].coefficients),
        ]

    def test_penalties_of_a_network_are_added(self):
        network = nn.Sequential(BSpline(2, tv2=0.1), ReLU(2), nn.Sequential(BSpline(2, tv2=0.2)))
        expected = network[0].penalty() + network[2][0].penalty()
        assert penalty(network).item() == pytest.approx(expected.item())


class TestSmallBSpline(ActivationContract):
    name = "bspline"
    options: ClassVar = {"grid_size": 3, "grid_range": 1.5}


class TestLerpPsa(ActivationContract):
    name = "lerp_psa"

    @staticmethod
    def naive_psa(psa, channel, x):
        """o · Σ_k v_k x · softmax_k( -(x - c_k)² / (q_k² + ε) ) + p of one channel."""
        v, q, c = (p[channel].tolist() for p in (psa.value, psa.query, psa.center))
        powers = [
            math.exp(-((x - ck) ** 2) / (qk**2 + psa.epsilon)) for ck, qk in zip(c, q, strict=True)
        ]
        terms = [vk * x * power / sum(powers) for vk, power in zip(v, powers, strict=True)]
        return psa.scale[channel].item() * sum(terms) + psa.offset[channel].item()

    def shaken(self, *arguments):
        psa = LerpPsa(*arguments).double()
        for parameter in psa.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
        return psa

    @pytest.mark.parametrize("epsilon", [1.0, 0.25])
    def test_psa_is_its_equation(self, epsilon):
        psa = self.shaken(3, 64, 4.0, 8, epsilon)
        points = torch.linspace(-5, 5, 101, dtype=torch.float64)
        result = psa.psa(points)
        for channel in range(3):
            expected = [self.naive_psa(psa, channel, x) for x in points.tolist()]
            np.testing.assert_allclose(result[channel].detach(), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(("grid_size", "grid_range"), [(64, 4.0), (2, 1.0), (7, 2.5)])
    def test_values_between_and_outside_the_knots(self, grid_size, grid_range):
        psa = self.shaken(3, grid_size, grid_range, 4)
        knots = np.linspace(-grid_range, grid_range, grid_size)
        x = torch.linspace(-2 * grid_range, 2 * grid_range, 301, dtype=torch.float64)
        result = psa(x.unsqueeze(1).repeat(1, 3)).detach().numpy()
        for channel in range(3):
            values = [self.naive_psa(psa, channel, knot) for knot in knots]
            for mine, value in zip(result[:, channel], x.tolist(), strict=True):
                i = min(max(np.searchsorted(knots, value, "right") - 1, 0), grid_size - 2)
                slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
                line = values[i] + slope * (value - knots[i])
                assert mine == pytest.approx(value + line, rel=1e-5, abs=1e-5)

    def test_at_its_knots_it_is_the_function_itself(self):
        psa = self.shaken(3)
        knots = torch.linspace(-4, 4, 64, dtype=torch.float64)
        expected = knots + psa.psa(knots)
        torch.testing.assert_close(
            psa(knots.unsqueeze(1).repeat(1, 3)).T, expected, rtol=0, atol=2e-5
        )

    def test_initialisation(self):
        psa = LerpPsa(2000)
        assert psa.value.shape == psa.query.shape == psa.center.shape == (2000, 8)
        assert psa.value.mean().item() == pytest.approx(0, abs=0.15)
        assert psa.value.std().item() == pytest.approx(4, rel=0.03)
        assert (psa.query == 1).all() and (psa.scale == 1).all() and (psa.offset == 0).all()
        assert (psa.center.min() >= -1) and (psa.center.max() <= 1)
        assert psa.center.mean().item() == pytest.approx(0, abs=0.03)
        assert psa.center.std().item() == pytest.approx(2 / math.sqrt(12), rel=0.03)
        assert (psa.epsilon, len(psa.knots)) == (1.0, 64)

    def test_it_has_neither_penalty_nor_parameters_apart(self):
        network = nn.Sequential(LerpPsa(2), ReLU(2))
        assert penalty(network) == 0 and spline_parameters(network) == []


class TestSmallLerpPsa(ActivationContract):
    name = "lerp_psa"
    options: ClassVar = {"grid_size": 2, "grid_range": 3.0, "expansion": 1, "epsilon": 0.5}


def test_every_registered_activation_is_tested():
    assert_all_registered_are_tested(globals())


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("bspline", "grid_size", 64, "an odd whole number >= 3"),
        ("bspline", "grid_size", 1, "an odd whole number >= 3"),
        ("bspline", "grid_size", -3, "an odd whole number >= 3"),
        ("bspline", "grid_size", 65.0, "an odd whole number >= 3"),
        ("bspline", "grid_size", True, "an odd whole number >= 3"),
        ("bspline", "grid_size", "65", "an odd whole number >= 3"),
        ("bspline", "grid_range", 0.0, "a number > 0"),
        ("bspline", "grid_range", -4.0, "a number > 0"),
        ("bspline", "grid_range", math.inf, "a number > 0"),
        ("bspline", "grid_range", math.nan, "a number > 0"),
        ("bspline", "tv2", -1e-9, "a number >= 0"),
        ("bspline", "tv2", None, "a number >= 0"),
        ("bspline", "tv2", False, "a number >= 0"),
        ("lerp_psa", "grid_size", 1, "a whole number >= 2"),
        ("lerp_psa", "grid_size", 2.5, "a whole number >= 2"),
        ("lerp_psa", "grid_range", 0.0, "a number > 0"),
        ("lerp_psa", "expansion", 0, "a whole number >= 1"),
        ("lerp_psa", "expansion", True, "a whole number >= 1"),
        ("lerp_psa", "epsilon", -1.0, "a number > 0"),
        ("lerp_psa", "epsilon", [1], "a number > 0"),
    ],
)
def test_impossible_options_are_refused(name, key, value, words):
    with pytest.raises(ValueError) as caught:
        build_activation(name, 4, **{key: value})
    message = str(caught.value)
    assert message.startswith(f"{name}.{key} is {value!r}, but must be {words}")
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bspline", {"grid_size": 3, "grid_range": 1, "tv2": 0}),
        ("bspline", {"grid_size": 129, "grid_range": 0.5, "tv2": 1e-3}),
        ("lerp_psa", {"grid_size": 2, "grid_range": 3, "expansion": 1, "epsilon": 1}),
    ],
)
def test_possible_options_are_accepted(name, options):
    assert build_activation(name, 4, **options)(torch.zeros(2, 4)).isfinite().all()


def test_whole_numbers_pass_for_real_ones():
    checked = activation_spec("bspline").check({"grid_range": 4, "tv2": 0}, "here")
    assert checked == {"grid_range": 4.0, "tv2": 0.0}
    assert all(type(value) is float for value in checked.values())


@pytest.mark.parametrize("name", activation_names())
def test_an_unknown_option_is_told_what_there_is(name):
    with pytest.raises(ValueError) as caught:
        activation_spec(name).check({"expansions": 8}, "variants.x")
    message = str(caught.value)
    assert message.startswith("variants.x.expansions is not a known option")
    assert all(option in message for option in activation_spec(name).options or ["no options"])


@pytest.mark.parametrize("name", ["ReLU", "", "swish", None, 3, ["relu"]])
def test_an_unknown_activation_is_told_what_there_is(name):
    with pytest.raises(ValueError, match="must be one of: bspline, lerp_psa, relu"):
        build_activation(name, 4)


def test_only_what_int8_looks_up_is_tabulated():
    assert [name for name in activation_names() if activation_spec(name).tabulated] == [
        *("bspline", "lerp_psa")
    ]
    assert is_tabulated(BSpline(2)) and is_tabulated(LerpPsa(2))
    assert not is_tabulated(ReLU(2)) and not is_tabulated(nn.GELU())


def test_the_registry_can_be_read_without_torch():
    code = "import sys, models.float.activations.registry as registry\n"
    code += "for name in registry.activation_names(): registry.activation_spec(name)\n"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


SINE = """\
import torch
class Sine(torch.nn.Module):
    def __init__(self, num_features, frequency=1.0):
        super().__init__()
        self.frequency = frequency
    def forward(self, x):
        return torch.sin(self.frequency * x)
"""
SINE_SPEC = """\
from models.float.activations.spec import POSITIVE, ActivationSpec
SPEC = ActivationSpec("Sine", {"frequency": POSITIVE}, tabulated=True)
"""


def test_an_activation_is_added_by_two_new_files(tmp_path, monkeypatch):
    """No file that is there needs to change."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "sine.py").write_text(SINE)
    (tmp_path / "specs" / "sine.py").write_text(SINE_SPEC)
    for package in (activations, specs):
        folder = tmp_path if package is activations else tmp_path / "specs"
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    assert activation_names() == ("bspline", "lerp_psa", "relu", "sine")
    sine = build_activation("sine", 2, frequency=2)
    assert torch.equal(sine(torch.ones(1, 2)), torch.sin(2 * torch.ones(1, 2)))
    assert is_tabulated(sine) and type(sine) is activation_class("sine")
    with pytest.raises(ValueError, match=r"sine.frequency is 0, but must be a number > 0"):
        build_activation("sine", 2, frequency=0)
    for name in ("sine", "specs.sine"):
        del sys.modules[f"models.float.activations.{name}"]
