"""Write the tables, the pictures and the page of all networks and designs.

Writes data/report.md (the tables), data/plots (the pictures as PNG, and their points as CSV with
one line per point, as `dvc plots` requires) and data/report.html, a page with all of it that needs
no network. A picture of the network and the design that the section `report` of params.yaml names
is left out where its files do not exist.
"""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.files.atomic import replace_on_success
from stages.pipeline.command import run_stage
from stages.pipeline.designs import DesignRow
from stages.pipeline.device import device_of
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import (
    DATASET,
    artifact,
    gates_file,
    history,
    metrics,
    route_file,
    rtl_file,
    synthesis_file,
)
from stages.results.history import Point, read_curve
from stages.results.markdown import cell, markdown
from stages.results.metrics import read_metrics
from stages.results.mistakes import Classified, results_of
from stages.results.overview import design_figures, mean, network_figures
from stages.results.page.content import report_page
from stages.results.pictures.gallery import NAMES, Picture, gallery
from stages.results.pictures.style import save
from stages.results.summary import networks, results_text
from stages.results.systems import SYSTEMS

PLOTS = Path("data/plots")
LEGEND = (
    "Designs: a model figure is simulated from the description of the design, an estimate is "
    "computed from it, simulated RTL was counted cycle by cycle by Verilator, a synthesis figure "
    "is from the HLS tool. None was measured on an FPGA."
)
GATES_LEGEND = (
    "Gates: Yosys counted them in the RTL; the routed clock is nextpnr's, on an ECP5, and images/s "
    "are that clock divided by the cycles of the simulated RTL. None was measured on an FPGA."
)
NOT_SYNTHESISED = "No HLS tool has synthesised these designs here."
Row = dict[str, Any]
Columns = tuple[tuple[str, str, str], ...]  # file, key, title

# (file, key, title). stages/plan.py simulates the `model` columns and computes the `estimate`
# columns; only the `synthesis` columns come from the HLS tool.
DESIGN_COLUMNS: Columns = (
    ("model", "model_interval_cycles", "cycles per image (model)"),
    ("model", "model_images_per_second", "images/s at {clock} (model)"),
    ("model", "estimate_dsp", "DSP (estimate)"),
    ("model", "estimate_lut", "LUT (estimate)"),
    ("model", "estimate_bram_18k", "BRAM 18k (estimate)"),
)
CHECK_COLUMNS: Columns = (
    ("model", "model_latency_cycles", "latency, cycles (model)"),
    ("model", "estimate_multipliers", "multipliers (estimate)"),
    ("csim", "images", "images in C++ (C simulation)"),
    ("csim", "mismatches", "logits unlike numpy (C simulation)"),
    ("rtl", "interval_cycles", "cycles per image (simulated RTL)"),
    ("rtl", "images", "images (simulated RTL)"),
)
SYNTHESIS_COLUMNS: Columns = (
    ("synthesis", "clock_estimated_ns", "clock, ns (synthesis)"),
    ("synthesis", "interval_max_cycles", "cycles per image (synthesis)"),
    ("synthesis", "lut", "LUT (synthesis)"),
    ("synthesis", "dsp", "DSP (synthesis)"),
    ("synthesis", "bram", "BRAM 18k (synthesis)"),
)

# Of the designs of `gates.designs`, if the tools have run: the routed clock, then gates by family.
ROUTE_COLUMNS = (
    ("model", "model_interval_cycles", "cycles per image (model)"),
    ("rtl", "interval_cycles", "cycles per image (simulated RTL)"),
    ("route", "routed_clock_mhz", "MHz (nextpnr, routed)"),
    ("route", "routed_images_per_second", "images/s (nextpnr, routed)"),
)
GATE_COLUMNS = tuple(
    tuple(
        ("gates", f"{family}_{key}", f"{title} (Yosys, {device})")
        for key, title in (("lut", "LUT"), ("ff", "FF"), ("dsp", "DSP"), ("bram_18k", "BRAM 18k"))
    )
    for family, device in (("ecp5", "ECP5"), ("xcup", "UltraScale+"))
)


def design_results(designs: dict[str, DesignRow]) -> list[Row]:
    """Return one row per design with its metrics of each kind, {} for a kind without a file."""
    rows = []
    for name, design in designs.items():
        row: Row = {"design": name, "network": design.variant}
        for kind in ("model", "csim"):
            row[kind] = read_metrics(metrics(kind, name))
        row["rtl"] = read_metrics(rtl_file(name))
        row["gates"] = read_metrics(gates_file(name))
        row["route"] = read_metrics(route_file(name))
        row["synthesis"] = read_metrics(synthesis_file(name))
        rows.append(row)
    return rows


def clock_words(params: Params) -> str:
    """Return the clock period of the designs, or that each has its board's."""
    periods = {device_of(params.hls, design).clock_ns for design in params.designs.values()}
    return f"{periods.pop():g} ns" if len(periods) == 1 else "the clock of its board"


def design_tables(rows: list[Row], clock: str) -> list[list[list[str]]]:
    """Return the tables of the designs, each with its header first; a dash: there is no figure.

    What a design takes, then how it was checked, then, if a tool has run, what it synthesised.
    `clock` says the clock period in the title of the rate.
    """
    tables = [_lines(rows, ("network",), DESIGN_COLUMNS, clock), _lines(rows, (), CHECK_COLUMNS)]
    if any(row["synthesis"] for row in rows):
        tables.append(_lines(rows, (), SYNTHESIS_COLUMNS))
    with_gates = [row for row in rows if row["gates"]]
    if with_gates:
        tables += [_lines(with_gates, (), columns) for columns in (ROUTE_COLUMNS, *GATE_COLUMNS)]
    return tables


def _lines(
    rows: list[Row], keys: tuple[str, ...], columns: Columns, clock: str = ""
) -> list[list[str]]:
    lines = [["design", *keys, *(title.format(clock=clock) for _, _, title in columns)]]
    for row in rows:
        cells = (cell(row[kind].get(key)) for kind, key, _ in columns)
        lines.append([row["design"], *(row[key] for key in keys), *cells])
    return lines


def notes(rows: list[Row]) -> list[str]:
    """Return the distinct remarks of the synthesis runs, or that no design was synthesised.

    The last one says what the gates are, if there are some.
    """
    gates = [GATES_LEGEND] if any(row["gates"] for row in rows) else []
    if not any(row["synthesis"] for row in rows):
        return [NOT_SYNTHESISED, *gates]
    found = [row["synthesis"].get("note") for row in rows]
    return sorted({note for note in found if note}) + gates


def curve_lines(params: Params, curves: Mapping[str, Sequence[Point]]) -> list[list[object]]:
    """Return a header, and a line per epoch that classifies: validation accuracy in percent."""
    lines: list[list[object]] = [["epoch", "variant", "activation", "val_accuracy"]]
    for name, points in curves.items():
        variant = params.variants.get(name)
        activation = "teachers" if variant is None else variant.network.activation
        lines += [[epoch, name, activation, value] for epoch, value in points]
    return lines


def front_lines(params: Params) -> list[list[object]]:
    """Return a header, and a line per network, design and published system that has a cost.

    An empty cell is not known. Rates of ours are modelled, LUTs plus DSPs estimated.
    """
    lines: list[list[object]] = [
        ["system", "whose", "accuracy", "parameters", "images_per_second", "lut_dsp", "source"]
    ]
    for n in network_figures(params):
        if n.int8 and n.parameters:
            lines.append(
                [n.name, n.activation, round(mean(n.int8), 4), n.parameters, "", "", "trained here"]
            )
    for d in design_figures(params):
        if d.accuracy is not None and d.rate is not None:
            both = "" if d.lut is None or d.dsp is None else d.lut + d.dsp
            lines.append([d.name, d.activation, d.accuracy, "", d.rate, both, "model and estimate"])
    if params.data.source == "cifar10":
        lines += [
            [s.name, "published", s.accuracy, s.parameters, s.rate, s.lut_dsp, s.source]
            for s in SYSTEMS
        ]
    return lines


def write_csv(lines: Sequence[Sequence[object]], path: Path) -> None:
    """Write lines as CSV; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    with replace_on_success(path) as temporary:
        temporary.write_text(text.getvalue())


def classified(params: Params) -> Classified | None:
    """Return the test results of the network that the report shows, None if a file is missing."""
    name = params.variant(params.report.network).name
    files = (DATASET, artifact(name, "qat_logits.npz"))
    missing = [path for path in files if not path.exists()]
    if missing:
        logging.info("%s is missing: no confusion matrix of %s", missing[0], name)
        return None
    return results_of(name)


def write_pictures(pictures: Mapping[str, Picture]) -> None:
    """Write the pictures, and remove those of an earlier report that could not be drawn now."""
    for name in NAMES:
        path = PLOTS / f"{name}.png"
        if name in pictures:
            save(pictures[name].content, path)
        else:
            path.unlink(missing_ok=True)


def main() -> None:
    """Write the report, the pictures with their points, and the page."""
    params = load_params()
    rows = design_results(params.designs)
    tables = design_tables(rows, clock_words(params)) if rows else []
    remarks = [LEGEND, *notes(rows)] if rows else []
    text = results_text(params) + "".join(f"\n{markdown(table)}" for table in tables)
    text += "".join(f"\n{remark}\n" for remark in remarks)
    curves = {name: read_curve(history("float", name)) for name in networks(params)}
    results = classified(params)
    pictures = gallery(params, curves, results)
    page = report_page(params, tables, remarks, pictures, results)
    write_csv(curve_lines(params, curves), PLOTS / "validation_accuracy.csv")
    write_csv(front_lines(params), PLOTS / "front.csv")
    write_pictures(pictures)
    with replace_on_success("data/report.md") as temporary:
        temporary.write_text(text)
    with replace_on_success("data/report.html") as temporary:
        temporary.write_text(page)


if __name__ == "__main__":
    run_stage(main)
