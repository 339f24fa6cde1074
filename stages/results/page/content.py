"""The content of data/report.html: tables, pictures, parameters and versions."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from stages.pipeline.params import Params
from stages.pipeline.paths import PARAMS, cost
from stages.results.metrics import read_metrics
from stages.results.mistakes import Classified, most_confident
from stages.results.overview import network_figures
from stages.results.page import html
from stages.results.pictures.gallery import Picture
from stages.results.summary import network_lines, networks, seed_lines, training_lines
from stages.results.systems import SYSTEMS

MISTAKES = 20
_PACKAGES = ("numpy", "torch", "matplotlib", "dvc", "hls4ml")
_RESTS = (
    ("float accuracy", "PyTorch on all test images", "evaluate", "data/metrics/float"),
    ("INT8 accuracy", "numpy in integers on all test images", "verify", "data/metrics/int8"),
    ("logits unlike QAT", "numpy against PyTorch, every logit", "verify", "data/metrics/int8"),
    ("C simulation", "g++ against numpy and PyTorch, every logit", "csim", "data/metrics/csim"),
    ("model", "a simulation of the design's description", "plan", "data/metrics/model"),
    ("estimate", "a count of the design's units", "plan", "data/metrics/model"),
    ("simulated RTL", "Verilator, cycle by cycle", "rtl", "data/rtl"),
    ("synthesis", "reports of an HLS tool, where one has run", "synthesize", "data/synthesis"),
    ("minutes, epochs", "the training itself", "distill, quantize", "data/history"),
)
_OF_ALL = ("accuracy", "int8_cost", "training")
_FRONTS = ("front_parameters", "front_rate", "front_resources")
_OF_NETWORK = ("functions", "confusion")
_OF_DESIGN = ("pipeline", "resources")


def report_page(
    params: Params,
    design_tables: Sequence[Sequence[Sequence[str]]],
    remarks: Sequence[str],
    pictures: Mapping[str, Picture],
    classified: Classified | None,
) -> str:
    """Return the page as HTML.

    `design_tables` and `remarks` are those of data/report.md, `pictures` as `gallery` returns them;
    `classified` are the test results of the network that the report shows, if they exist.
    """
    sections = [
        ("Networks", _networks(params) + _figures(pictures, _OF_ALL)),
        (f"One network: {params.report.network}", _network(pictures, classified)),
        ("Designs", _designs(design_tables, remarks) + _figures(pictures, _OF_DESIGN)),
        ("In context", _context(params, pictures)),
        ("What each figure rests on", html.table([_REST_TITLES, *_RESTS])),
        ("Versions", html.table(_versions(params))),
        ("Parameters", html.folded("params.yaml", PARAMS.read_text())),
    ]
    return html.page("Report of all networks and designs", sections)


_REST_TITLES = ("figure", "comes from", "stage", "file")


def _networks(params: Params) -> str:
    parts = [html.table(network_lines(params))]
    if params.data.source == "cifar10":
        parts.append(html.note("* at least the published accuracy."))
    seeds = seed_lines(params)
    if len(seeds) > 1:
        parts += [html.note("Mean ± standard deviation over seeds (number)."), html.table(seeds)]
    sizes = [["network", "activation", "hidden channels", "parameters"]]
    sizes += [
        [
            n.name,
            n.activation,
            str(n.hidden_dim),
            "-" if n.parameters is None else f"{n.parameters:,}",
        ]
        for n in network_figures(params)
    ]
    parts += [html.table(sizes), html.note("What the trainings cost:")]
    return html.joined([*parts, html.table(training_lines(params))])


def _network(pictures: Mapping[str, Picture], classified: Classified | None) -> str:
    text = _figures(pictures, _OF_NETWORK)
    if classified is None:
        return text or html.note("Its files are not here: run `dvc pull`, then `dvc repro report`.")
    lines = [["test image", "true class", "predicted class", "margin, units of the logits"]]
    for mistake in most_confident(classified, MISTAKES):
        cells = (str(mistake.image), mistake.true, mistake.predicted, str(mistake.margin))
        lines.append(list(cells))
    text += html.note(
        "The most confident mistakes. The images are not in this file: `python stages mistakes "
        "NETWORK` draws them from your copy of the data set."
    )
    return text + html.table(lines)


def _designs(tables: Sequence[Sequence[Sequence[str]]], remarks: Sequence[str]) -> str:
    if not tables:
        return html.note("There are no designs.")
    return html.joined([*map(html.table, tables), *map(html.note, remarks)])


def _context(params: Params, pictures: Mapping[str, Picture]) -> str:
    text = _figures(pictures, _FRONTS)
    if params.data.source != "cifar10":
        return text or html.note("Nothing is known of other systems on these images.")
    lines = [["system", "accuracy, %", "parameters", "images/s", "LUT + DSP", "notes", "source"]]
    for s in SYSTEMS:
        costs = (s.parameters, s.rate, s.lut_dsp)
        known = ("-" if cost is None else f"{cost:,}" for cost in costs)
        lines.append([s.name, f"{s.accuracy:.2f}", *known, s.note or "-", s.source])
    return text + html.note("Published systems, each with its source.") + html.table(lines)


def _figures(pictures: Mapping[str, Picture], names: Sequence[str]) -> str:
    return html.joined(
        html.figure(name, pictures[name].content, pictures[name].title, pictures[name].rests_on)
        for name in names
        if name in pictures
    )


def _versions(params: Params) -> list[list[str]]:
    """Return what this report was made with, and the torch that each network was trained with."""
    lines = [["what", "version"], ["Python", platform.python_version()]]
    for name in _PACKAGES:
        try:
            lines.append([name, version(name)])
        except PackageNotFoundError:
            lines.append([name, "-"])
    trained = {str(read_metrics(cost("float", n)).get("torch", "-")) for n in networks(params)}
    lines.append(["torch of the trainings", ", ".join(sorted(trained - {"-"})) or "-"])
    return lines
