"""README.md's tables of results: a command writes them between their marks."""

import json
from pathlib import Path

import pytest

from models.files.errors import PipelineError
from stages.by_hand import readme_tables
from stages.pipeline.params import load_params
from stages.results.summary import results_text
from tests.support.paths import ROOT

TEXT = """\
# Title

<!-- demo:begin -->
| old |
<!-- demo:end -->

Prose with 12.34 %.
<!-- results:begin -->
<!-- results:end -->
The end.
"""
MARKS = "<!-- results:begin -->\n", "<!-- results:end -->\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a repository with two marks in its README, a metric and a demo's report."""
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text(TEXT)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    for file, content in {
        "demo/data/report.md": "| demo |\n",
        "data/metrics/float/relu_h96.json": json.dumps({"accuracy": 12.25}),
    }.items():
        Path(file).parent.mkdir(parents=True)
        Path(file).write_text(content)
    return tmp_path


def test_the_command_replaces_what_is_between_the_marks_and_nothing_else(folder):
    readme_tables.main()
    text = Path("README.md").read_text()
    results = results_text(load_params())
    assert "12.25" in results
    expected = TEXT.replace("| old |\n", "| demo |\n")
    assert text == expected.replace("".join(MARKS), MARKS[0] + results + MARKS[1])


def test_a_second_time_changes_nothing(folder):
    readme_tables.main()
    text = Path("README.md").read_text()
    readme_tables.main()
    assert Path("README.md").read_text() == text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<!-- results:end -->\n", ""),
        ("<!-- results:begin -->", "<!-- result:begin -->"),
        ("<!-- demo:end -->", "<!-- demo:end -->\n<!-- demo:end -->"),
        (MARKS[0] + MARKS[1], MARKS[1] + MARKS[0]),
    ],
    ids=["no end", "no begin", "twice", "order"],
)
def test_a_readme_without_its_marks_stays_as_it_is(folder, old, new):
    spoilt = TEXT.replace(old, new)
    Path("README.md").write_text(spoilt)
    with pytest.raises(PipelineError, match=r"README.md must have the lines .*begin.*end"):
        readme_tables.main()
    assert Path("README.md").read_text() == spoilt


def test_a_missing_report_of_the_demo_is_told(folder):
    Path("demo/data/report.md").unlink()
    with pytest.raises(PipelineError, match=r"demo/data/report.md is missing.*make demo"):
        readme_tables.main()
    assert Path("README.md").read_text() == TEXT


def test_a_missing_readme_is_told(folder):
    Path("README.md").unlink()
    with pytest.raises(PipelineError, match=r"README.md is missing"):
        readme_tables.main()
