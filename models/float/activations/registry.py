"""The registry of activations: their names, their options and how to build them.

Contract of an activation (checked by `tests/support/activation_contract.py`): it is an `nn.Module`,
built as `cls(num_features, **options)`. Its `forward(x)` maps `[..., num_features]` to the same
shape and applies a separate scalar function to each channel. The trainer calls two optional
methods: `penalty()` returns a regulariser multiplied by its weight, `spline_parameters()` yields
the parameters for a separate optimiser group. Quantiser, numpy network, headers and HLS need no
change: after quantisation every 1-D function is a table of knots per channel.

To add an activation: add a module here, a module of the same name in specs/, a row in params.yaml
and a test class. The modules in specs/ are the list of names. This module does not import torch, so
parsers and numpy-only stages can use it.
"""

import importlib
import pkgutil
from typing import Any

from . import specs
from .spec import ActivationSpec


def activation_names() -> tuple[str, ...]:
    """Return the names of all activations in alphabetical order: the modules in specs/.

    >>> activation_names()
    ('bspline', 'lerp_psa', 'relu')
    """
    return tuple(sorted(module.name for module in pkgutil.iter_modules(specs.__path__)))


def activation_spec(name: object) -> ActivationSpec:
    """Return the spec in specs/<name>.py; ValueError lists the known names."""
    if name not in activation_names():
        known = ", ".join(activation_names())
        raise ValueError(f"activation is {name!r}, but must be one of: {known}.")
    spec = importlib.import_module(f"{specs.__name__}.{name}").SPEC
    assert isinstance(spec, ActivationSpec)
    return spec


def activation_class(name: str) -> Any:  # noqa: ANN401 - a class, whose module is not imported here
    """Import and return the `nn.Module` class of the activation `name`."""
    spec = activation_spec(name)
    return getattr(importlib.import_module(f"{__package__}.{name}"), spec.class_name)


def build_activation(name: str, num_features: int, **options: float) -> Any:  # noqa: ANN401 - nn.Module, not imported here
    """Check the options and build the activation `name` for `num_features` channels.

    Raises ValueError if the name or an option is unknown, or a value is not allowed.
    """
    checked = activation_spec(name).check(options, name)
    return activation_class(name)(num_features, **checked)


def is_tabulated(module: object) -> bool:
    """Return whether `module` is an activation that the INT8 network evaluates with tables."""
    names = (name for name in activation_names() if activation_spec(name).tabulated)
    return any(type(module) is activation_class(name) for name in names)


def penalty(network: Any) -> Any:  # noqa: ANN401 - nn.Module to Tensor, not imported here
    """Return the sum of the regularisers of all activations in a module; 0 if there are none."""
    return sum(part.penalty() for part in network.modules() if hasattr(part, "penalty"))


def spline_parameters(network: Any) -> list[Any]:  # noqa: ANN401 - nn.Module, not imported here
    """Return the parameters of a module's activations that need a separate optimiser group."""
    owners = [part for part in network.modules() if hasattr(part, "spline_parameters")]
    return [parameter for owner in owners for parameter in owner.spline_parameters()]
