"""The tests that every activation must pass; a new activation inherits them in three lines.

class TestSine(ActivationContract):
    name = "sine"
    options: ClassVar = {"frequency": 3.0}  # optional, if not the defaults
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from models.float.activations.registry import (
    activation_class,
    activation_names,
    activation_spec,
    build_activation,
    is_tabulated,
    penalty,
    spline_parameters,
)
from models.integer import fixed_point
from models.qat.layers import IntTensor, QuantTable

FEATURES = 5


class ActivationContract:
    """Tests of one activation of the registry, with its default options or with `options`."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, float]] = {}

    @pytest.fixture(autouse=True)
    def _seed(self):
        torch.manual_seed(0)

    def build(self, num_features=FEATURES):
        """Return the activation with random parameters that differ between channels."""
        activation = build_activation(self.name, num_features, **self.options)
        for parameter in activation.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        return activation

    @pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 4, 5), (0, 5)])
    def test_it_keeps_shape_and_type(self, shape):
        for dtype in (torch.float32, torch.float64):
            result = self.build().to(dtype)(torch.randn(shape, dtype=dtype))
            assert (result.shape, result.dtype) == (shape, dtype)

    def test_it_is_a_module_with_real_parameters(self):
        activation = self.build()
        assert type(activation) is activation_class(self.name)
        assert isinstance(activation, nn.Module)
        assert all(p.requires_grad and p.dtype == torch.float32 for p in activation.parameters())
        assert is_tabulated(activation) == activation_spec(self.name).tabulated

    def test_it_acts_on_every_value_alone(self):
        activation = self.build()
        x = 3 * torch.randn(20, FEATURES)
        order = torch.randperm(20)
        torch.testing.assert_close(activation(x[order]), activation(x)[order])
        torch.testing.assert_close(activation(x.view(4, 5, FEATURES)).view(20, -1), activation(x))

    def test_no_channel_leaks_into_another(self):
        activation = self.build()
        x = 3 * torch.randn(20, FEATURES, requires_grad=True)
        for channel in range(FEATURES):
            others = [f for f in range(FEATURES) if f != channel]
            moved = x.detach().clone()
            moved[:, channel] += 1
            torch.testing.assert_close(activation(moved)[:, others], activation(x)[:, others])
            inputs = (x, *activation.parameters())
            for gradient in torch.autograd.grad(activation(x)[:, channel].sum(), inputs):
                by_channel = gradient if gradient.shape != x.shape else gradient.T
                assert not by_channel[others].any()

    def test_gradients_are_those_of_finite_differences(self):
        activation = self.build().double()
        x = 6 * torch.rand(40, FEATURES, dtype=torch.float64) - 3
        names = [name for name, _ in activation.named_parameters()]

        def call(x, *values):
            parameters = dict(zip(names, values, strict=True))
            return torch.func.functional_call(activation, parameters, (x,))

        inputs = (x, *(p.detach().clone() for p in activation.parameters()))
        assert torch.autograd.gradcheck(call, tuple(i.requires_grad_() for i in inputs), eps=1e-7)

    def test_large_inputs_give_finite_values_and_gradients(self):
        activation = self.build()
        x = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4]).unsqueeze(1).repeat(1, FEATURES)
        x.requires_grad_()
        y = activation(x)
        y.square().mean().backward()
        assert y.isfinite().all() and x.grad.isfinite().all()
        assert all(p.grad.isfinite().all() for p in activation.parameters())

    def test_weights_reproduce_it(self):
        activation, other = self.build(), build_activation(self.name, FEATURES, **self.options)
        other.load_state_dict(activation.state_dict())
        x = 3 * torch.randn(20, FEATURES)
        assert torch.equal(other(x), activation(x))
        assert set(activation.state_dict()) == {name for name, _ in activation.named_parameters()}

    def test_initialisation_follows_the_seed(self):
        states = []
        for seed in (3, 3):
            torch.manual_seed(seed)
            states.append(build_activation(self.name, FEATURES, **self.options).state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

    def test_the_optional_methods_fit_the_trainer(self):
        activation = self.build()
        network = nn.Sequential(nn.Linear(FEATURES, FEATURES), activation, activation)
        own = {id(p) for p in activation.parameters()}
        assert {id(p) for p in spline_parameters(network)} <= own
        value = penalty(network)
        assert value >= 0
        assert isinstance(value, int) or value.requires_grad

    def test_unknown_options_are_refused(self):
        with pytest.raises(ValueError, match=f"{self.name}.unheard_of is not a known option"):
            build_activation(self.name, FEATURES, **self.options, unheard_of=1)

    def test_its_int8_table_is_within_one_unit(self):
        """The expected values are linear between the table's knots, as the table is."""
        activation = self.build().double()
        in_scale, points = 4 / 128, torch.arange(-128.0, 129, 4).double()
        knots = activation((in_scale * points).unsqueeze(1).repeat(1, FEATURES)).detach().numpy()
        out_scale = float(np.abs(knots).max()) / 127
        table = QuantTable(activation.float())
        table.log2_scale.data.fill_(float(np.log2(out_scale)))
        inputs = torch.arange(-128.0, 128)
        values = inputs.unsqueeze(1).repeat(1, FEATURES)
        result = table(IntTensor(values, torch.tensor(in_scale))).values.detach().numpy()
        for channel in range(FEATURES):
            expected = np.interp(inputs, points, knots[:, channel]) / out_scale
            assert np.abs(result[:, channel] - expected).max() <= 1
        assert result.min() >= fixed_point.INT8_MIN and result.max() <= fixed_point.INT8_MAX


def assert_all_registered_are_tested(module: Mapping[str, object]) -> None:
    """Assert that the contract classes of a test module cover all registered activations."""
    classes = [value for value in module.values() if isinstance(value, type)]
    tested = {
        cls.name for cls in classes if issubclass(cls, ActivationContract) and "name" in vars(cls)
    }
    assert tested == set(activation_names())
