"""Markdown tables with aligned columns."""

import re
from collections.abc import Sequence
from typing import TypeAlias

Table: TypeAlias = list[dict[str, str]]  # rows, each from column titles to cells


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


def read_tables(text: str) -> list[Table]:
    """Return every Markdown table of a text; each row maps column titles to cells.

    >>> read_tables(markdown([("network", "accuracy"), ("relu", "86.2")]))
    [[{'network': 'relu', 'accuracy': '86.2'}]]
    """
    tables = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        tables.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return tables
