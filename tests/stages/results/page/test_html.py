"""The page of the report, in a browser without a network: it renders, sorts, has no error."""

from pathlib import Path

import pytest

from stages.results.page import html
from tests.support.browser import needs_browser, opened

LINES = [
    ("network", "accuracy, %", "images/s"),
    ("b", "9.50", "1,000"),
    ("a", "88.20 *", "-"),
    ("c", "-", "252,207"),
    ("d <i>&", "10.00", "31,923"),
]
COLUMN = "return [...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent)"
CLICK = "document.querySelectorAll('th button')[%d].click(); " + COLUMN


def test_what_a_name_holds_is_text():
    assert "<i>" not in html.table(LINES) and "d &lt;i&gt;&amp;" in html.table(LINES)


@pytest.mark.pipeline
@needs_browser
def test_a_click_sorts_a_table_and_another_turns_it_round(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    text = html.table(LINES) + html.folded("params.yaml", "seed: 1")
    file.write_text(html.page("A title & more", [("Networks", text)]))
    with opened(file, tmp_path / "profile") as shown:
        assert shown.run("return document.title") == "A title & more"
        names = shown.run(COLUMN)
        assert [name[0] for name in names] == ["b", "a", "c", "d"]
        assert [name[0] for name in shown.run(CLICK % 0)] == ["a", "b", "c", "d"]
        assert [name[0] for name in shown.run(CLICK % 0)] == ["d", "c", "b", "a"]
        assert [name[0] for name in shown.run(CLICK % 1)] == ["b", "d", "a", "c"]  # as numbers
        assert [name[0] for name in shown.run(CLICK % 2)] == ["b", "d", "c", "a"]
        assert [name[0] for name in shown.run(CLICK % 2)] == ["c", "d", "b", "a"]  # unknown: last
        assert shown.errors() == []
