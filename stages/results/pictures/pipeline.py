"""The pipeline of a design: cycles per image of each process, the slowest marked, and its FIFOs.

A streaming design is drawn as its processes in the order of the data, with the shortcuts round
both sublayers of a block. A SIMD design has one array that works on one layer after the other, so
its cycles are bars.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from hls.plan.design import Design
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.process_network import Process
from stages.results.markdown import Table
from stages.results.pictures.style import BLACK, GREY, SKY, VERMILION, finish, new_figure

_PARTS = re.compile("_(pack|pack_groups|unpack|matrix_vector|fill|drain)$")
_WORDS = {"transpose_in": "transpose", "transpose_out": "transpose back", "linear": "linear"}
_BOX, _GAP, _ROW = 1.0, 0.22, 1.75  # widths of a box and an arrow, and the distance of two rows
_HEIGHT = 0.62


@dataclass(frozen=True)
class Step:
    """A box of the diagram: its name and its cycles per image if it never waits."""

    name: str
    cycles: int


@dataclass(frozen=True)
class Shortcut:
    """A shortcut FIFO: the most words that it ever held (model), and its depth."""

    high_water: int
    depth: int


def steps_of(processes: Sequence[Process], prefix: str) -> list[Step]:
    """Return the boxes of the processes whose names begin with `prefix`, in their order.

    Processes of one unit, such as the packing of a vector and its product, are one box.
    """
    found: dict[str, int] = {}
    for process in processes:
        if process.name.startswith(prefix):
            name = _PARTS.sub("", process.name).removeprefix(prefix).lstrip("_")
            found[name] = max(found.get(name, 0), process.cycles)
    return [Step(name, cycles) for name, cycles in found.items()]


def shortcuts_of(table: Table) -> dict[str, Shortcut]:
    """Return the FIFOs of a plan's table of FIFOs, by name; {} for other tables."""
    if not table or "FIFO, model" not in table[0]:
        return {}
    mark, depth = "high-water mark, words", "depth with margin, words"
    return {row["FIFO, model"]: Shortcut(int(row[mark]), int(row[depth])) for row in table}


def draw_streaming(
    name: str, design: Design, tables: Sequence[Table], figures: Mapping[str, int | str]
) -> Figure:
    """Draw a streaming design from its plan, the tables of its plan.md and its model's figures."""
    assert design.folding is not None
    network = streaming_network(design.sizes, design.folding)
    fifos = {key: fifo for table in tables for key, fifo in shortcuts_of(table).items()}
    blocks = design.sizes.num_blocks
    outside = [s for s in steps_of(network.processes, "") if not s.name.startswith("blocks_")]
    rows = [
        ("input", outside[:2], None),
        (
            f"token mixer, x {blocks}",
            steps_of(network.processes, "blocks_0_token_mixer"),
            fifos.get("token_mixer_shortcut"),
        ),
        (
            f"channel MLP, x {blocks}",
            steps_of(network.processes, "blocks_0_mlp"),
            fifos.get("mlp_shortcut"),
        ),
        ("output", outside[2:], None),
    ]
    slowest = max(step.cycles for _, steps, _ in rows for step in steps)
    figure = new_figure(6.2)
    axes = figure.subplots()
    for place, (title, steps, fifo) in enumerate(rows):
        _row(axes, -_ROW * place, title, steps, fifo, slowest)
    widest = max(len(steps) for _, steps, _ in rows)
    right = widest * (_BOX + _GAP)
    axes.set(xlim=(-1.25, right), ylim=(-_ROW * 3 - 0.95, 1.0))
    axes.axis("off")
    rate = figures.get("model_images_per_second")
    interval = figures.get("model_interval_cycles")
    title = f"{name}: cycles per image of each process (model)"
    if isinstance(rate, int) and isinstance(interval, int):
        title += f"\none image per {interval:,} cycles, {rate:,} images/s"
    axes.set_title(title)
    share = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 100), _shades())
    bar = figure.colorbar(share, ax=axes, orientation="horizontal", shrink=0.4, aspect=40)
    bar.set_label("busy, % of the interval; red frame: the slowest processes, which set it")
    return figure


def draw_simd(name: str, table: Table, figures: Mapping[str, int | str]) -> Figure:
    """Draw the cycles of a SIMD design by part, from the table of its plan.md."""
    column = "cycles of a call of one image, model"
    steps = [
        Step(row["part"], int(row[column]))
        for row in table
        if row["part"] not in ("total", "each further image of a call")
    ]
    figure = new_figure(1.1 + 0.3 * len(steps))
    axes = figure.subplots()
    slowest = max(step.cycles for step in steps)
    for place, step in enumerate(steps):
        axes.barh(place, step.cycles, color=VERMILION if step.cycles == slowest else SKY)
        axes.text(step.cycles, place, f" {step.cycles:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(steps)), [step.name for step in steps])
    axes.invert_yaxis()
    finish(axes, "cycles of one image (model); red: the longest parts", "")
    axes.margins(x=0.1)
    total = figures.get("model_interval_cycles")
    axes.set_title(f"{name}: one array works on one part after the other, {total:,} cycles in all")
    return figure


def _shades() -> matplotlib.colors.Colormap:
    return matplotlib.colors.LinearSegmentedColormap.from_list("busy", ["#F2F6F9", SKY])


def _row(
    axes: Axes,
    y: float,
    title: str,
    steps: Sequence[Step],
    fifo: Shortcut | None,
    slowest: int,
) -> None:
    axes.text(-1.2, y, title.replace(", ", "\n"), va="center", fontsize=9, fontweight="bold")
    for place, step in enumerate(steps):
        x = place * (_BOX + _GAP)
        limiting = step.cycles == slowest
        axes.add_patch(
            FancyBboxPatch(
                (x, y - _HEIGHT / 2),
                _BOX,
                _HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=_shades()(step.cycles / slowest),
                edgecolor=VERMILION if limiting else GREY,
                linewidth=2.4 if limiting else 0.8,
            )
        )
        words = f"{_label(step.name)}\n{step.cycles:,}"
        axes.text(x + _BOX / 2, y, words, ha="center", va="center", fontsize=8)
        if place:
            _arrow(axes, (x - _GAP, y), (x, y))
    if fifo is not None:
        _shortcut(axes, y, len(steps), fifo)


def _shortcut(axes: Axes, y: float, count: int, fifo: Shortcut) -> None:
    """Draw the FIFO from the first box to the last, filled up to its high-water mark."""
    start, end = _BOX / 2, (count - 1) * (_BOX + _GAP) + _BOX / 2
    level, thick = y + 0.62, 0.16
    left, right = start + 0.5, end - 0.5
    axes.plot([start, start, left], [y + _HEIGHT / 2, level, level], color=BLACK, linewidth=0.9)
    axes.plot([right, end], [level, level], color=BLACK, linewidth=0.9)
    _arrow(axes, (end, level), (end, y + _HEIGHT / 2))
    share = fifo.high_water / fifo.depth
    frame = (left, level - thick / 2), right - left, thick
    axes.add_patch(Rectangle(frame[0], share * frame[1], thick, facecolor=SKY, linewidth=0))
    axes.add_patch(Rectangle(*frame, facecolor="none", edgecolor=BLACK, linewidth=0.9))
    words = f"shortcut FIFO: high-water mark {fifo.high_water:,} of {fifo.depth:,} words"
    axes.text((left + right) / 2, level + 0.2, words, ha="center", va="center", fontsize=8)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, color=BLACK, linewidth=0.9, **style))


def _label(name: str) -> str:
    """Return the name of a process in words that fit a box."""
    name = name.removeprefix("linear_") if "transpose" in name else name
    return _WORDS.get(name, name).replace("classifier_linear", "classifier")
