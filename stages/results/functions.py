"""Samples of a network's learned functions, which stages/sample_functions.py writes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError
from models.files.zips import read_npz
from models.integer.fixed_point import TABLE_KNOTS
from models.integer.params import is_layer_name

SHOWN = 4  # functions per place
_MEND = "run `dvc repro sample_functions`"
_INPUTS = 256


@dataclass(frozen=True)
class Functions:
    """Some functions of one place in a network: F channels.

    channels [F]: their numbers. values [F, 256]: the trained function, in real units, at every int8
    input. knots int8 [F, 65]; [F, 0] for ReLU, which has no table. counts [F, 256]: how often an
    input arrived. scales [2]: the real number per unit of the input and of the output.
    """

    channels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    knots: npt.NDArray[np.int8]
    counts: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Raise ValueError for arrays of other shapes."""
        number = len(self.channels)
        shapes = [self.values.shape, self.counts.shape, self.scales.shape]
        table = self.knots.shape in ((number, 0), (number, TABLE_KNOTS))
        if not table or shapes != [(number, _INPUTS), (number, _INPUTS), (2,)]:
            raise ValueError(f"arrays of {number} functions with shapes {shapes}")
        if not (self.scales > 0).all() or not np.isfinite(self.values).all():
            raise ValueError("scales must be above 0 and values finite")

    def plus(self, counts: npt.NDArray[np.int64]) -> "Functions":
        """Return the functions with more inputs that arrived."""
        return replace(self, counts=self.counts + counts)


def least_alike(tables: npt.NDArray[np.floating], count: int) -> list[int]:
    """Return the channels of tables [F, G] whose shapes differ most, each from those before it.

    At most `count` channels; the order is that of the choice.
    """
    shapes = tables - tables.mean(axis=1, keepdims=True)
    shapes = shapes / np.maximum(np.linalg.norm(shapes, axis=1, keepdims=True), 1e-12)
    chosen = [0]
    distances = np.linalg.norm(shapes - shapes[0], axis=1)
    while len(chosen) < min(count, len(tables)):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(shapes - shapes[chosen[-1]], axis=1))
    return chosen


def save_functions(path: Path, places: Mapping[str, Functions]) -> None:
    """Write the functions of every place as one npz file."""
    arrays = {
        f"{place}_{field.name}": getattr(functions, field.name)
        for place, functions in places.items()
        for field in fields(Functions)
    }
    with path.open("wb") as file:
        np.savez(file, places=np.array(list(places)), **arrays)


def load_functions(path: Path) -> dict[str, Functions]:
    """Read what `save_functions` wrote; PipelineError if the file is missing or no such file."""
    names = read_npz(path, ("places",), _MEND)["places"].tolist()
    parts = [field.name for field in fields(Functions)]
    try:
        if not all(is_layer_name(name) for name in names):
            raise ValueError("it names places that no network has")
        arrays = read_npz(path, tuple(f"{n}_{p}" for n in names for p in parts), _MEND)
        return {n: Functions(**{p: arrays[f"{n}_{p}"] for p in parts}) for n in names}
    except (ValueError, TypeError) as error:
        raise PipelineError(f"{path} holds no sampled functions ({error}); {_MEND}.") from None
