"""Pieces of C++ source text."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt


def constants_text(constants: Mapping[str, int]) -> str:
    """Return constexpr members of a struct, one per line."""
    return "\n".join(f"  static constexpr int {name} = {n};" for name, n in constants.items())


def array_text(
    name: str, values: npt.NDArray[np.integer], c_type: str, dimensions: int | None = None
) -> str:
    """Return the definition of a constant array, with each row on its own line.

    `dimensions` is the number of leading axes of `values` that are dimensions of the C++ array
    (default: all). The remaining axes are the members of its elements.
    """
    shape = "".join(f"[{size}]" for size in values.shape[:dimensions])
    return f"const {c_type} {name}{shape} = {_braces(values)};\n"


def _braces(values: npt.NDArray[np.integer]) -> str:
    if values.ndim == 1:
        return "{" + ", ".join(map(str, values.tolist())) + "}"
    return "{\n" + ",\n".join(_braces(row) for row in values) + "}"
