"""Markdown tables with aligned columns."""

from collections.abc import Sequence


def cell(value: float | int | str | None) -> str:
    """Return the text of a cell: floats with two decimals, None as a dash.

    >>> cell(86.204), cell(10), cell(None)
    ('86.20', '10', '-')
    """
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of rows of cells; the first row is the header.

    >>> print(markdown([("network", "accuracy"), ("relu", "86.2")]), end="")
    | network | accuracy |
    |---------|----------|
    | relu    | 86.2     |
    """
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"
