"""Markdown tables with aligned columns."""

from collections.abc import Sequence


def cell(value: float | int | str | None) -> str:
    """Return a value as a cell's text: floats to two decimals, None as a dash."""
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the header first, as a Markdown table."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"
