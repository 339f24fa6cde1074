"""The resources of a design by layer (estimate): LUTs, DSPs and block RAMs."""

from matplotlib.figure import Figure

from stages.results.markdown import Table
from stages.results.pictures.style import BLUE, GREEN, ORANGE, SKY, finish, new_figure

_COLUMNS = (
    ("LUT", (("LUT of memories", SKY, "memories"), ("LUT of logic", BLUE, "logic"))),
    ("DSP", (("DSP", GREEN, ""),)),
    ("BRAM, 18 kbit", (("BRAM 18 kbit", ORANGE, ""),)),
)


def is_usage(table: Table) -> bool:
    """Return whether a table of plan.md has a row per layer or part with its resources."""
    return bool(table) and "LUT of logic" in table[0]


def draw_resources(name: str, table: Table) -> Figure:
    """Draw the resources of every row of the table that `is_usage` accepts."""
    [key] = (title for title in table[0] if title.endswith(", estimate"))
    rows = [row for row in table if row[key] != "total"]
    figure = new_figure(1.6 + 0.27 * len(rows))
    panels = figure.subplots(1, len(_COLUMNS), sharey=True, width_ratios=(2, 1, 1))
    for axes, (title, columns) in zip(panels, _COLUMNS, strict=True):
        start = [0] * len(rows)
        for column, colour, label in columns:
            values = [int(row[column]) for row in rows]
            axes.barh(range(len(rows)), values, left=start, color=colour, label=label)
            start = [a + b for a, b in zip(start, values, strict=True)]
        for place, value in enumerate(start):
            axes.text(value, place, f" {value:,}", va="center", fontsize=8)
        finish(axes, f"{title} (estimate)", "")
        axes.set_title(f"{sum(start):,} {title}")
        axes.margins(x=0.28)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(rows)), [f"{row[key]} x {row['copies']}" for row in rows])
    panels[0].invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2)
    figure.suptitle(f"{name}: resources by layer, all copies of it", fontsize=11)
    return figure
