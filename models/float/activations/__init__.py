"""Learnable 1-D functions, one per channel; imports nothing from the rest of the project.

`pip install` of this repository installs this folder, and nothing else, as the package `lerp_psa`
(docs/activation.md). What it offers is imported at the first use, because the registry is also read
where torch is not installed.
"""

from importlib import import_module

_HOMES = {
    "BSpline": "bspline",
    "LerpPsa": "lerp_psa",
    "lerp": "interpolation",
    "lerp_reference": "interpolation",
}

__all__ = ["BSpline", "LerpPsa", "lerp", "lerp_reference"]


def __getattr__(name: str) -> object:
    """Import one of the names in `__all__`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
