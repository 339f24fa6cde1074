"""Learnable 1-D activations by name: which there are, what each may be given, how to build one.

Contract of an activation (checked by `tests/support/activation_contract.py`): an `nn.Module` built
as `cls(num_features, **options)` whose `forward(x)` maps `[..., num_features]` to the same shape,
each channel by a scalar function of its own. The trainer asks for two optional methods:
`penalty()`, a regulariser already multiplied by its weight, and `spline_parameters()`, parameters
that want an optimiser group of their own. Quantiser, numpy, headers and HLS need nothing: after
quantisation every 1-D function is the same thing, a table of knots per channel.

To add one: a file here, a file in specs/, a row in params.yaml, a test class.
The folder specs/ is the list of names. This module imports no torch, so that parsers and numpy-only
stages can read it.
"""

import importlib
import pkgutil
from typing import Any

from models.float.activations import specs
from models.float.activations.spec import ActivationSpec


def activation_names() -> tuple[str, ...]:
    """Return the names of all activations in alphabetical order: the files in specs/."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(specs.__path__)))


def activation_spec(name: object) -> ActivationSpec:
    """Return what specs/<name>.py says; ValueError lists the known names."""
    if name not in activation_names():
        known = ", ".join(activation_names())
        raise ValueError(f"activation is {name!r}, but must be one of: {known}.")
    spec = importlib.import_module(f"{specs.__name__}.{name}").SPEC
    assert isinstance(spec, ActivationSpec)
    return spec


def activation_class(name: str) -> Any:  # noqa: ANN401 - a class, whose module is not imported here
    """Import and return the `nn.Module` class of the activation `name`."""
    spec = activation_spec(name)
    return getattr(importlib.import_module(f"models.float.activations.{name}"), spec.class_name)


def build_activation(name: str, num_features: int, **options: float) -> Any:  # noqa: ANN401 - nn.Module, not imported here
    """Build the activation `name` for `num_features` channels after checking its options.

    Raises ValueError where the name or an option is unknown, or a value is impossible.
    """
    checked = activation_spec(name).check(options, name)
    return activation_class(name)(num_features, **checked)


def is_tabulated(module: object) -> bool:
    """Return whether `module` is an activation that INT8 evaluates by a table per channel."""
    names = (name for name in activation_names() if activation_spec(name).tabulated)
    return any(type(module) is activation_class(name) for name in names)


def penalty(network: Any) -> Any:  # noqa: ANN401 - nn.Module to Tensor, not imported here
    """Sum the regularisers of all activations of a module; the number 0 where there are none."""
    return sum(part.penalty() for part in network.modules() if hasattr(part, "penalty"))


def spline_parameters(network: Any) -> list[Any]:  # noqa: ANN401 - nn.Module, not imported here
    """List the parameters of a module's activations that want their own optimiser group."""
    owners = [part for part in network.modules() if hasattr(part, "spline_parameters")]
    return [parameter for owner in owners for parameter in owner.spline_parameters()]
