"""All pictures of a report, each with a title and what its figures rest on.

A picture whose figures do not exist yet is left out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from hls.cpp.accelerators import STREAMING
from hls.plan.design import read_design
from models.files.errors import PipelineError
from stages.pipeline.params import Params
from stages.pipeline.paths import artifact, design_artifact, metrics
from stages.results.functions import load_functions
from stages.results.history import Point
from stages.results.markdown import Table, read_tables
from stages.results.metrics import read_metrics
from stages.results.mistakes import Classified
from stages.results.overview import design_figures, network_figures
from stages.results.pictures import front
from stages.results.pictures.accuracy import draw_accuracy
from stages.results.pictures.confusion import draw_confusion
from stages.results.pictures.functions import draw_functions
from stages.results.pictures.int8_cost import draw_int8_cost
from stages.results.pictures.pipeline import draw_simd, draw_streaming
from stages.results.pictures.resources import draw_resources, is_usage
from stages.results.pictures.style import look_of, png
from stages.results.pictures.training import draw_training

_SOURCES = {"cifar10": "CIFAR-10", "digits": "the digits", "folder": "the test images"}
_OURS = "Ours: INT8 accuracy of the stage verify"


@dataclass(frozen=True)
class Picture:
    """A PNG, its title, and a sentence on what it rests on."""

    title: str
    rests_on: str
    content: bytes


NAMES = (
    *("accuracy", "front_parameters", "front_rate", "front_resources", "training", "int8_cost"),
    *("functions", "confusion", "pipeline", "resources"),
)


def gallery(
    params: Params, curves: Mapping[str, list[Point]], classified: Classified | None
) -> dict[str, Picture]:
    """Return the pictures by their names in NAMES.

    `curves` are those of all networks; `classified` are the results of the network that the report
    shows, None if they do not exist.
    """
    drawn = [*_of_all(params, curves), *_of_network(params, classified), *_of_design(params)]
    found = {}
    for name, title, rests_on, draw in drawn:
        found[name] = Picture(title, rests_on, png(draw))
    return found


_Drawing = tuple[str, str, str, Callable[[], Figure]]


def _of_all(params: Params, curves: Mapping[str, list[Point]]) -> Iterator[_Drawing]:
    networks, designs = network_figures(params), design_figures(params)
    source = _SOURCES[params.data.source]
    compared = params.data.source == "cifar10"
    if any(network.float for network in networks):
        yield (
            "accuracy",
            "Accuracy against hidden width",
            "Test images; means and standard deviations where a network has several seeds. "
            "Published: doi 10.1145/3705926.",
            lambda: draw_accuracy(networks, source),
        )
    for name, title, cost, high, rests_on, entries in (
        (
            "front_parameters",
            "Accuracy against parameters",
            "parameters",
            False,
            f"{_OURS}; parameters of the trained network.",
            front.parameter_entries(networks, compared),
        ),
        (
            "front_rate",
            "Accuracy against images per second",
            "images/s (ours: model)",
            True,
            f"{_OURS}; rates of ours are modelled, none was measured on an FPGA.",
            front.rate_entries(designs, compared),
        ),
        (
            "front_resources",
            "Accuracy against LUTs plus DSPs",
            "LUT + DSP, count (ours: estimate)",
            False,
            f"{_OURS}; LUTs and DSPs of ours are estimated before synthesis.",
            front.resource_entries(designs, compared),
        ),
    ):
        if any(entry.activation for entry in entries):
            yield (
                name,
                title,
                rests_on,
                lambda e=entries, c=cost, h=high: front.draw_front(e, c, source, h),
            )
    if any(curves.values()):
        yield (
            "training",
            "Training curves",
            "Validation images, after every epoch that classifies (data/history/float).",
            lambda: draw_training(networks, curves),
        )
    if any(n.int8 and len(n.int8) == len(n.float) for n in networks):
        yield (
            "int8_cost",
            "What INT8 costs",
            "Test images; numpy's integers less PyTorch's floats, seed by seed.",
            lambda: draw_int8_cost(networks),
        )


def _of_network(params: Params, classified: Classified | None) -> Iterator[_Drawing]:
    name = params.report.network
    path = artifact(name, "functions.npz")
    activations = list(dict.fromkeys(v.network.activation for v in params.variants.values()))
    if path.exists():
        places = load_functions(path)
        look = look_of(params.variants[name].network.activation, activations)
        yield (
            "functions",
            f"Learned functions of {name}",
            "Per place the channels that look least alike; inputs of the validation images that "
            "calibrate INT8. The trained function is that of the QAT network, before rounding.",
            lambda: draw_functions(places, look, name),
        )
    if classified is not None:
        yield (
            "confusion",
            f"Confusion matrix of {name}",
            "The stored INT8 logits of all test images.",
            lambda: draw_confusion(classified.confusion, classified.names, name),
        )


def _of_design(params: Params) -> Iterator[_Drawing]:
    name = params.report.design
    path = design_artifact(name, "design.json")
    if not path.exists():
        return
    design, tables = read_design(path), plan_tables(name)
    figures = read_metrics(metrics("model", name))
    if design.accelerator == STREAMING:
        yield (
            "pipeline",
            f"The pipeline of {name}",
            "The model of the design: cycles if a process never waits, simulated FIFO marks.",
            lambda: draw_streaming(name, design, tables, figures),
        )
    else:
        cycles = next(t for t in tables if t and "part" in t[0])
        yield (
            "pipeline",
            f"The cycles of {name}",
            "The model of the design, from the loops of its C++.",
            lambda: draw_simd(name, cycles, figures),
        )
    usage = next(t for t in tables if is_usage(t))
    yield (
        "resources",
        f"The resources of {name}",
        "Estimates from the folding, before synthesis; registers and wiring are not counted.",
        lambda: draw_resources(name, usage),
    )


def plan_tables(design: str) -> list[Table]:
    """Return the tables of a design's plan.md; PipelineError if they are not those of a plan."""
    path = design_artifact(design, "plan.md")
    mend = "remove it and run `dvc repro plan`"
    if not path.exists():
        raise PipelineError(f"{path} is missing; run `dvc repro plan`.")
    try:
        tables = read_tables(path.read_text())
        usage = [table for table in tables if is_usage(table)]
        [table] = usage
        for row in table:
            for column in ("LUT of memories", "LUT of logic", "DSP", "BRAM 18 kbit"):
                int(row[column])
    except (ValueError, KeyError) as error:
        raise PipelineError(f"{path} has not the tables of a plan ({error}); {mend}.") from None
    return tables
