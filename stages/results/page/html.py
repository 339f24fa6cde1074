"""One HTML page that needs no network: tables that sort by a click, and pictures inside the file.

The script and the style are below; nothing is loaded from elsewhere.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; }
nav a { margin-right: 1em; white-space: nowrap; }
figure { margin: 1.5em 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: 0.93em; }
.table { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-size: 0.93em; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.6em; border-bottom: 1px solid #ddd; text-align: left; }
td.number { text-align: right; } tbody tr:hover { background: #f3f7fa; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible { outline: 2px solid #0072b2; }
th[aria-sort=ascending] button::after { content: " \\25b2"; }
th[aria-sort=descending] button::after { content: " \\25bc"; }
pre { overflow-x: auto; background: #f6f6f6; padding: 0.8em; font-size: 0.87em; }
"""
# Numbers sort as numbers, texts as texts; what is not known ("-") stays at the end.
_SCRIPT = """\
"use strict";
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return text === "-" || text === "" ? null : /^[-+]?[0-9]/.test(text) ? number : text;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", {numeric: true});
}
function sortBy(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = Array.from(body.rows, (row) => [value(row, column), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return down ? compare(b, a) : compare(a, b);
  });
  for (const [, row] of rows) body.appendChild(row);
}
for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sortBy(button.closest("th")));
"""


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a whole page; a section is its heading, as text, and its HTML."""
    links = "".join(
        f'<a href="#part{number}">{escape(heading)}</a>\n'
        for number, (heading, _) in enumerate(sections)
    )
    parts = "".join(
        f'<section>\n<h2 id="part{number}">{escape(heading)}</h2>\n{content}</section>\n'
        for number, (heading, content) in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<nav>\n{links}</nav>\n{parts}"
        f"<script>\n{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a table that sorts; the first row is the header."""
    heads = "".join(
        f'<th scope="col"><button type="button">{escape(cell)}</button></th>' for cell in lines[0]
    )
    rows = "".join("<tr>" + "".join(_cell(cell) for cell in line) + "</tr>\n" for line in lines[1:])
    return (
        f'<div class="table"><table>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def figure(name: str, content: bytes, title: str, rests_on: str) -> str:
    """Return a PNG inside the page, with its title and what it rests on."""
    data = base64.b64encode(content).decode()
    return (
        f'<figure id="{escape(name)}"><img src="data:image/png;base64,{data}" '
        f'alt="{escape(title)}">\n'
        f"<figcaption><b>{escape(title)}.</b> {escape(rests_on)}</figcaption></figure>\n"
    )


def note(text: str) -> str:
    """Return a paragraph of small text."""
    return f'<p class="note">{escape(text)}</p>\n'


def folded(title: str, text: str) -> str:
    """Return a text, set as it is, that a click unfolds."""
    return f"<details><summary>{escape(title)}</summary>\n<pre>{escape(text)}</pre></details>\n"


def joined(parts: Iterable[str]) -> str:
    """Return the HTML of several parts."""
    return "".join(parts)


def _cell(text: str) -> str:
    number = text[:1].isdigit() or (text[:1] in "+-" and text[1:2].isdigit()) or text == "-"
    return f'<td class="number">{escape(text)}</td>' if number else f"<td>{escape(text)}</td>"
