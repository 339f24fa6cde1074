"""Learnable 1-D activations: the registry, and what each may be given in params.yaml.

Contract of an activation (checked by `tests/activation_contract.py`): an `nn.Module` built as
`cls(num_features, **options)` whose `forward(x)` maps `[..., num_features]` to the same shape, each
channel by a scalar function of its own. Two optional methods are asked for by the trainer:
`penalty()`, a regulariser already multiplied by its weight, and `spline_parameters()`, parameters
that want an optimiser group of their own. Quantiser, numpy, headers and HLS need nothing: after
quantisation every 1-D function is the same thing, a table of knots per channel.

To add one: a file here, a line in `REGISTRY`, a row in params.yaml `variants`, a test class.
This module imports no torch, so that parsers and numpy-only stages can read the registry.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.files.errors import PipelineError

_LARGEST_INT = 1 << 63  # beyond it an int is no number that a float could stand for


@dataclass(frozen=True)
class Option:
    """What one option of an activation may be: its type, a test and the words for it."""

    type: type
    allowed: str
    test: Callable[[Any], bool]

    def check(self, key: str, value: object) -> Any:  # noqa: ANN401 - int or float, by `self.type`
        """Return `value` (an int is taken for a float); PipelineError names key, value, allowed."""
        if self.type is float and type(value) is int and abs(value) < _LARGEST_INT:
            value = float(value)
        if type(value) is not self.type or not self.test(value):
            raise PipelineError(f"{key} is {value!r}, but must be {self.allowed}.")
        return value


@dataclass(frozen=True)
class ActivationSpec:
    """Where an activation's class is (`module:Class` in this package) and its options."""

    target: str
    options: Mapping[str, Option] = field(default_factory=dict)

    def check(self, options: Mapping[str, object], where: str) -> dict[str, Any]:
        """Return the checked options; `where` is the key they stand under, for the message."""
        for key in options:
            if key not in self.options:
                allowed = ", ".join(self.options) or "no options"
                raise PipelineError(f"{where}.{key} is not known here; allowed: {allowed}.")
        return {key: self.options[key].check(f"{where}.{key}", options[key]) for key in options}


def _at_least(minimum: int) -> Option:
    return Option(int, f"a whole number >= {minimum}", lambda value: value >= minimum)


_POSITIVE = Option(float, "a number > 0", lambda value: 0 < value < float("inf"))
_NOT_NEGATIVE = Option(float, "a number >= 0", lambda value: 0 <= value < float("inf"))
_ODD = Option(
    int, "an odd whole number >= 3 (zero is a knot)", lambda value: value >= 3 and value % 2 == 1
)

REGISTRY: dict[str, ActivationSpec] = {
    "relu": ActivationSpec("relu:ReLU"),
    "bspline": ActivationSpec(
        "bspline:BSpline", {"grid_size": _ODD, "grid_range": _POSITIVE, "tv2": _NOT_NEGATIVE}
    ),
    "lerp_psa": ActivationSpec(
        "lerp_psa:LerpPsa",
        {
            "grid_size": _at_least(2),
            "grid_range": _POSITIVE,
            "expansion": _at_least(1),
            "epsilon": _POSITIVE,
        },
    ),
}


def activation_spec(name: object, where: str = "activation") -> ActivationSpec:
    """Return the registry entry of `name`, or a PipelineError that lists the known names."""
    if not isinstance(name, str) or name not in REGISTRY:
        known = ", ".join(REGISTRY)
        raise PipelineError(f"{where} is {name!r}, but must be one of: {known}.")
    return REGISTRY[name]


def activation_class(name: str) -> Any:  # noqa: ANN401 - a class, whose module is not imported here
    """Import and return the `nn.Module` class of a registered activation."""
    module, cls = activation_spec(name).target.split(":")
    return getattr(importlib.import_module(f"models.float.activations.{module}"), cls)


def build_activation(name: str, num_features: int, **options: float) -> Any:  # noqa: ANN401 - nn.Module, not imported here
    """Build the activation `name` for `num_features` channels after checking its options."""
    checked = activation_spec(name).check(options, name)
    return activation_class(name)(num_features, **checked)


def penalty(network: Any) -> Any:  # noqa: ANN401 - nn.Module to Tensor, not imported here
    """Sum the regularisers of all activations of a module; the number 0 where there are none."""
    return sum(part.penalty() for part in network.modules() if hasattr(part, "penalty"))


def spline_parameters(network: Any) -> list[Any]:  # noqa: ANN401 - nn.Module, not imported here
    """List the parameters of a module's activations that want their own optimiser group."""
    owners = [part for part in network.modules() if hasattr(part, "spline_parameters")]
    return [parameter for owner in owners for parameter in owner.spline_parameters()]
