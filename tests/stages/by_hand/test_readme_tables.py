"""`make readme`: tables copied from committed reports into README.md and docs/results.md."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.files.errors import PipelineError
from stages.by_hand import readme_tables

REPORT = """\
| network            | float, % | published float, % | INT8, % | published INT8, % | minutes |
|--------------------|----------|--------------------|---------|-------------------|---------|
| convnet            | 92.81    | -                  | -       | -                 | 11.5    |
| teacher            | 89.80 *  | 88.9               | -       | -                 | 32.3    |
| relu_h96           | 87.28 *  | 86.2               | 87.03 * | 86.1              | 5.6     |
| lerp_psa_h24       | 85.12 *  | 84.2               | 84.69   | -                 | 6.8     |
| lerp_psa_h96_paper | 88.92 *  | 88.3               | 88.66 * | 88.1              | 3.5     |

| design          | network  |
|-----------------|----------|
| relu_h96_stream | relu_h96 |
"""
RESULTS = """\
| network      | float, % | published float, % | INT8, % | published INT8, % |
|--------------|----------|--------------------|---------|-------------------|
| relu_h96     | 87.28 *  | 86.2               | 87.03 * | 86.1              |
| lerp_psa_h24 | 85.12 *  | 84.2               | 84.69   | -                 |

\\* at least the published accuracy.

Trained by the published schedule (`lerp_psa_h96_paper`), LERP-PSA-96 reaches
88.92 % in floats (published: 88.3 %) and 88.66 % in INT8 (published: 88.1 %).
"""
DEMO = """\
| network | float, % | INT8, % | seed | minutes | processor, threads |
|---------|----------|---------|------|---------|--------------------|
| convnet | 98.63    | -       | 1    | 0.3     | A CPU, 2           |
| relu    | 98.08    | 98.63   | 1    | 0.4     | A CPU, 2           |
"""
DEMO_SHOWN = """\
| network | float, % | INT8, % | minutes |
|---------|----------|---------|---------|
| convnet | 98.63    | -       | 0.3     |
| relu    | 98.08    | 98.63   | 0.4     |
"""
NAMED = "`make demo` of 2026-01-02; processor, threads: Another CPU, 8.\n"
README = """\
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
PAGE = "# Results\n<!-- report:begin -->\nold\n<!-- report:end -->\nThe end.\n"
FILES = {
    "README.md": README,
    "docs/results.md": PAGE,
    "data/report.md": REPORT,
    "demo/report.md": f"{NAMED}\n{DEMO}",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a repository with both pages and both reports."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


def demo_run(text: str, day: datetime) -> None:
    """Leave what `make demo` leaves."""
    readme_tables.DEMO_RUN.parent.mkdir(parents=True)
    readme_tables.DEMO_RUN.write_text(text)
    os.utime(readme_tables.DEMO_RUN, (day.timestamp(), day.timestamp()))


def test_the_readme_gets_the_papers_students_in_five_columns_and_the_long_run(folder):
    readme_tables.main()
    text = Path("README.md").read_text()
    expected = README.replace("| old |\n", f"{NAMED}\n{DEMO_SHOWN}")
    assert text == expected.replace("".join(MARKS), MARKS[0] + RESULTS + MARKS[1])


def test_the_page_of_results_gets_the_whole_report(folder):
    readme_tables.main()
    assert Path("docs/results.md").read_text() == PAGE.replace("old\n", REPORT)


def test_without_a_run_of_the_demo_its_copy_stays(folder):
    readme_tables.main()
    assert Path("demo/report.md").read_text() == FILES["demo/report.md"]


def test_a_run_of_the_demo_renews_its_copy_named_with_day_and_machine(folder):
    demo_run(DEMO.replace("98.08", "97.50"), datetime(2026, 3, 4, 12, tzinfo=UTC))
    readme_tables.main()
    copy = Path("demo/report.md").read_text()
    first = "`make demo` of 2026-03-04; processor, threads: A CPU, 2."
    assert copy == f"{first}\n\n{DEMO.replace('98.08', '97.50')}"
    shown = DEMO_SHOWN.replace("98.08", "97.50")
    assert f"begin -->\n{first}\n\n{shown}<!-- demo:end" in Path("README.md").read_text()


def test_a_second_time_changes_nothing(folder):
    demo_run(DEMO, datetime(2026, 3, 4, tzinfo=UTC))
    readme_tables.main()
    texts = {name: Path(name).read_text() for name in FILES}
    readme_tables.main()
    assert {name: Path(name).read_text() for name in FILES} == texts


def test_networks_of_other_images_are_all_shown(folder):
    Path("data/report.md").write_text(DEMO)
    readme_tables.main()
    assert "| relu    | 98.08    | 98.63   |\n" in Path("README.md").read_text()


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
def test_where_marks_are_missing_nothing_is_written(folder, old, new):
    spoilt = README.replace(old, new)
    Path("README.md").write_text(spoilt)
    with pytest.raises(PipelineError, match=r"README.md must have the lines .*begin.*end"):
        readme_tables.main()
    assert Path("README.md").read_text() == spoilt
    assert Path("docs/results.md").read_text() == PAGE


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    Path(name).unlink()
    with pytest.raises(PipelineError, match=rf"^{name} is missing; run this in the repository's"):
        readme_tables.main()


def test_a_report_without_networks_is_refused(folder):
    Path("data/report.md").write_text("nothing\n")
    with pytest.raises(PipelineError, match=r"data/report.md holds no table.*dvc repro report"):
        readme_tables.main()
