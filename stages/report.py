"""Write the tables of all networks and designs, and one chart of the training curves.

Writes data/report.md and data/plots/validation_accuracy.{csv,png}. The CSV has one line per point,
as `dvc plots` requires.
"""

from pathlib import Path
from typing import Any

from models.files.atomic import replace_on_success
from stages.pipeline.command import run_stage
from stages.pipeline.designs import DesignRow
from stages.pipeline.device import device_of
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import (
    gates_file,
    history,
    metrics,
    route_file,
    rtl_file,
    synthesis_file,
)
from stages.results.history import read_curve
from stages.results.markdown import cell, markdown
from stages.results.metrics import read_metrics
from stages.results.summary import networks, results_text

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
DESIGN_COLUMNS = (
    ("model", "model_interval_cycles", "cycles per image (model)"),
    ("model", "model_images_per_second", "images/s at {clock} (model)"),
    ("model", "model_latency_cycles", "latency, cycles (model)"),
    ("model", "estimate_multipliers", "multipliers (estimate)"),
    ("model", "estimate_dsp", "DSP (estimate)"),
    ("model", "estimate_lut", "LUT (estimate)"),
    ("model", "estimate_bram_18k", "BRAM 18k (estimate)"),
    ("csim", "images", "images in C++ (C simulation)"),
    ("csim", "mismatches", "logits unlike numpy (C simulation)"),
    ("rtl", "interval_cycles", "cycles per image (simulated RTL)"),
    ("rtl", "images", "images (simulated RTL)"),
    ("synthesis", "clock_estimated_ns", "clock, ns (synthesis)"),
    ("synthesis", "interval_max_cycles", "cycles per image (synthesis)"),
    ("synthesis", "lut", "LUT (synthesis)"),
    ("synthesis", "dsp", "DSP (synthesis)"),
    ("synthesis", "bram", "BRAM 18k (synthesis)"),
)

# Of the designs of `gates.designs`, if the tools have run.
GATE_COLUMNS = (
    ("model", "model_interval_cycles", "cycles per image (model)"),
    ("rtl", "interval_cycles", "cycles per image (simulated RTL)"),
    *(
        ("gates", f"{family}_{key}", f"{title} (Yosys, {device})")
        for family, device in (("ecp5", "ECP5"), ("xcup", "UltraScale+"))
        for key, title in (("lut", "LUT"), ("ff", "FF"), ("dsp", "DSP"), ("bram_18k", "BRAM 18k"))
    ),
    ("route", "routed_clock_mhz", "MHz (nextpnr, routed)"),
    ("route", "routed_images_per_second", "images/s (nextpnr, routed)"),
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


def design_table(rows: list[Row], clock: str, columns: Columns = DESIGN_COLUMNS) -> str:
    """Return the designs as a Markdown table; a dash means that the figure does not exist.

    `clock` says the clock period in the title of the rate.
    """
    titles = (title.format(clock=clock) for _, _, title in columns)
    lines = [("design", "network", *titles)]
    for row in rows:
        cells = (cell(row[kind].get(key)) for kind, key, _ in columns)
        lines.append((row["design"], row["network"], *cells))
    return markdown(lines)


def notes(rows: list[Row]) -> list[str]:
    """Return the distinct remarks of the synthesis runs, or that no design was synthesised."""
    if not any(row["synthesis"] for row in rows):
        return [NOT_SYNTHESISED]
    found = [row["synthesis"].get("note") for row in rows]
    return sorted({note for note in found if note})


def curves(names: list[str]) -> list[tuple[int, str, float]]:
    """Return (epoch, network, validation accuracy in percent) of every epoch that classifies."""
    return [
        (epoch, name, accuracy)
        for name in names
        for epoch, accuracy in read_curve(history("float", name))
    ]


def draw(points: list[tuple[int, str, float]], path: Path) -> None:
    """Draw the curves and save them as a PNG."""
    import matplotlib  # slow to import, and only needed here
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=matplotlib.colormaps["tab20"].colors)
    for name in dict.fromkeys(name for _, name, _ in points):
        own = [(epoch, value) for epoch, label, value in points if label == name]
        axes.plot(*zip(*own, strict=True), label=name, marker=".", markersize=3, linewidth=1)
    axes.set(xlabel="epoch", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    if points:
        figure.legend(fontsize="small", loc="outside right upper")
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def main() -> None:
    """Write the report, and the chart and its points."""
    params = load_params()
    designs = design_results(params.designs)
    text = results_text(params)
    if designs:
        text += f"\n{design_table(designs, clock_words(params))}"
        text += "".join(f"\n{note}\n" for note in (LEGEND, *notes(designs)))
        with_gates = [row for row in designs if row["gates"]]
        if with_gates:
            table = design_table(with_gates, clock_words(params), GATE_COLUMNS)
            text += f"\n{table}\n{GATES_LEGEND}\n"
    points = curves(networks(params))
    with replace_on_success(PLOTS / "validation_accuracy.csv") as temporary:
        lines = ["epoch,variant,val_accuracy", *(f"{e},{n},{v}" for e, n, v in points)]
        temporary.write_text("\n".join(lines) + "\n")
    draw(points, PLOTS / "validation_accuracy.png")
    with replace_on_success("data/report.md") as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    run_stage(main)
