"""Pieces of C++ source text."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt


def constants_text(constants: Mapping[str, int], indent: int = 2) -> str:
    """Return constexpr members of a struct, one per line; `indent` is in spaces."""
    lines = (f"static constexpr int {name} = {n};" for name, n in constants.items())
    return "\n".join(" " * indent + line for line in lines)


def array_text(
    name: str, values: npt.NDArray[np.integer], c_type: str, dimensions: int | None = None
) -> str:
    """Return the definition of a constant array, with each row on its own line.

    `dimensions` is the number of leading axes of `values` that are dimensions of the C++ array
    (default: all). The remaining axes are the members of its elements.
    """
    shape = "".join(f"[{size}]" for size in values.shape[:dimensions])
    return f"const {c_type} {name}{shape} = {_braces(values)};\n"


def flat_array_text(
    name: str, values: npt.NDArray[np.integer], c_type: str, sizes: Sequence[str]
) -> str:
    """Return the definition of a constant array whose dimensions depend on the design.

    `sizes` are its dimensions in C++, whose product is the size of `values`. The values stand in
    one pair of braces, in the order of memory, each row of `values` on its own line.
    """
    shape = "".join(f"[{size}]" for size in sizes)
    rows = (", ".join(map(str, row)) for row in values.reshape(len(values), -1).tolist())
    return f"const {c_type} {name}{shape} = {{\n" + ",\n".join(rows) + "};\n"


def _braces(values: npt.NDArray[np.integer]) -> str:
    if values.ndim == 1:
        return "{" + ", ".join(map(str, values.tolist())) + "}"
    return "{\n" + ",\n".join(_braces(row) for row in values) + "}"
