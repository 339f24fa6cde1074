"""The figures of all networks and designs, as pictures and the page need them.

Networks that differ only in their seed are one entry with a value per seed.
"""

import statistics
from dataclasses import dataclass

from stages.pipeline.params import Params
from stages.pipeline.paths import metrics
from stages.results import published
from stages.results.metrics import read_metrics
from stages.results.summary import seed_groups


@dataclass(frozen=True)
class NetworkFigures:
    """A student's name, activation and hidden channels, and what was measured.

    `parameters` is the number of trained weights, None if unknown. `float` and `int8` hold the test
    accuracies in percent, one per seed; a seed without a figure has none. `published` is the key of
    the network in stages/results/published.py, None if it has none.
    """

    name: str
    activation: str
    hidden_dim: int
    parameters: int | None
    float: tuple[float, ...]
    int8: tuple[float, ...]
    published: str | None

    def of(self, form: str) -> tuple[float, ...]:
        """Return the accuracies of a form, "float" or "int8"."""
        return self.float if form == "float" else self.int8


@dataclass(frozen=True)
class DesignFigures:
    """A design, its network's INT8 accuracy in percent, and what was modelled and estimated.

    `rate` is in images per second (model), `lut` and `dsp` are counts (estimate); None: unknown.
    """

    name: str
    variant: str
    accelerator: str
    activation: str
    accuracy: float | None
    rate: int | None
    lut: int | None
    dsp: int | None


def mean(values: tuple[float, ...]) -> float:
    """Return the mean of at least one value."""
    return statistics.mean(values)


def deviation(values: tuple[float, ...]) -> float:
    """Return the standard deviation of the sample, 0 for one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def network_figures(params: Params) -> list[NetworkFigures]:
    """Return the figures of all students, in the order of params.yaml."""
    found = []
    for first, names in seed_groups(params).items():
        network = params.variants[first].network
        floats = [read_metrics(metrics("float", name)) for name in names]
        integers = [read_metrics(metrics("int8", name)) for name in names]
        found.append(
            NetworkFigures(
                first,
                network.activation,
                network.hidden_dim,
                floats[0].get("parameters"),
                _accuracies(floats),
                _accuracies(integers),
                published.name_of(network) if params.data.source == "cifar10" else None,
            )
        )
    return found


def design_figures(params: Params) -> list[DesignFigures]:
    """Return the figures of all designs, in the order of params.yaml."""
    found = []
    for name, design in params.designs.items():
        model = read_metrics(metrics("model", name))
        found.append(
            DesignFigures(
                name,
                design.variant,
                design.accelerator,
                params.variants[design.variant].network.activation,
                read_metrics(metrics("int8", design.variant)).get("accuracy"),
                model.get("model_images_per_second"),
                model.get("estimate_lut"),
                model.get("estimate_dsp"),
            )
        )
    return found


def _accuracies(files: list[dict[str, float]]) -> tuple[float, ...]:
    values = (file.get("accuracy") for file in files)
    return tuple(value for value in values if value is not None)
