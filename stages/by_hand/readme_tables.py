"""Write the tables of results into README.md and docs/results.md (`make readme`).

Run this in the repository's root. All tables come from data/report.md, which the stage `report`
writes and which is in git. A clone therefore gets the same pages without pulling or training
anything. The demo's table comes from demo/report.md, a copy that names its machine. If `make demo`
has run in this checkout, that copy is updated first.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from stages.pipeline.command import run_stage
from stages.results import published
from stages.results.markdown import Table, markdown, read_tables

README = Path("README.md")
RESULTS = Path("docs/results.md")
REPORT = Path("data/report.md")
DEMO_REPORT = Path("demo/report.md")  # the copy in git
DEMO_RUN = Path("build/demo/data/report.md")  # written by `make demo` in this checkout

NETWORK, MACHINE = "network", "processor, threads"
RESULT_COLUMNS = (NETWORK, "float, %", "published float, %", "INT8, %", "published INT8, %")
DEMO_COLUMNS = (
    NETWORK,
    "float, %",
    "INT8, %",
    "logits unlike QAT (numpy)",
    "minutes",
    "QAT minutes",
)
STUDENTS = [name for name in published.FLOAT if name != "teacher"]
LONG_RUN = "lerp_psa_h96_paper"  # the row of params.yaml with the published schedule
MARK_LEGEND = "\\* at least the published accuracy.\n"

log = logging.getLogger(__name__)


def selected(rows: Table, columns: Sequence[str]) -> str:
    """Return a Markdown table of those `columns` that the rows have."""
    kept = [column for column in columns if column in rows[0]]
    return markdown([kept, *([row[column] for column in kept] for row in rows)])


def networks(path: Path) -> Table:
    """Return the first table of a report, one row per network; PipelineError if there is none.

    A row also has the cells of the network's row in the last table of networks, that of costs.
    """
    if not path.exists():
        raise PipelineError(f"{path} is missing; run this in the repository's root.")
    tables = read_tables(path.read_text())
    if not tables or not tables[0] or NETWORK not in tables[0][0]:
        raise PipelineError(f"{path} holds no table of networks; make it with `dvc repro report`.")
    costs = {row[NETWORK]: row for table in tables if MACHINE in table[0] for row in table}
    return [costs.get(row[NETWORK], {}) | row for row in tables[0]]


def results_block(rows: Table) -> str:
    """Return the paper's students in five columns, and the result of the published schedule."""
    text = selected([row for row in rows if row[NETWORK] in STUDENTS] or rows, RESULT_COLUMNS)
    text += f"\n{MARK_LEGEND}"
    for row in rows:
        if row[NETWORK] == LONG_RUN:
            pairs = [(row.get(column, "-")) for column in RESULT_COLUMNS[1:]]
            ours, paper = pairs[0::2], pairs[1::2]
            text += (
                f"\nTrained by the published schedule (`{LONG_RUN}`), LERP-PSA-96 reaches\n"
                f"{ours[0].removesuffix(' *')} % in floats (published: {paper[0]} %) and "
                f"{ours[1].removesuffix(' *')} % in INT8 (published: {paper[1]} %).\n"
            )
    return text


def demo_block(text: str, rows: Table) -> str:
    """Return the demo's networks in a few columns, after the line that names the machine."""
    return f"{text.splitlines()[0]}\n\n{selected(rows, DEMO_COLUMNS)}"


def named_report(run: Path) -> str:
    """Return a report of the demo after a line with its date and machine."""
    machines = dict.fromkeys(row.get(MACHINE, "-") for row in networks(run))
    known = " / ".join(machine for machine in machines if machine != "-") or "not known"
    day = datetime.fromtimestamp(run.stat().st_mtime, UTC).date()
    return f"`make demo` of {day}; processor, threads: {known}.\n\n{run.read_text()}"


def with_blocks(path: Path, blocks: dict[str, str]) -> str:
    """Return the text of a file with the content of every named block replaced.

    A block is between the lines `<!-- name:begin -->` and `<!-- name:end -->`. PipelineError if the
    file does not have each of these lines exactly once.
    """
    if not path.exists():
        raise PipelineError(f"{path} is missing; run this in the repository's root.")
    text = path.read_text()
    for name, content in blocks.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->\n"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise PipelineError(
                f"{path} must have the lines {begin.strip()} and {end.strip()} once, in this order."
            )
        text = text[: text.index(begin) + len(begin)] + content + text[text.index(end) :]
    return text


def main() -> None:
    """Update the tables in README.md and docs/results.md; an error leaves all files unchanged."""
    rows = networks(REPORT)
    demo = named_report(DEMO_RUN) if DEMO_RUN.exists() else None
    demo_rows = networks(DEMO_RUN if DEMO_RUN.exists() else DEMO_REPORT)
    demo_text = demo or DEMO_REPORT.read_text()
    readme = {"results": results_block(rows), "demo": demo_block(demo_text, demo_rows)}
    texts = {
        README: with_blocks(README, readme),
        RESULTS: with_blocks(RESULTS, {"report": REPORT.read_text()}),
        DEMO_REPORT: demo_text,
    }
    for path, text in texts.items():
        with replace_on_success(path) as temporary:
            temporary.write_text(text)
    log.info("tables written: %s", ", ".join(map(str, texts)))


if __name__ == "__main__":
    run_stage(main)
