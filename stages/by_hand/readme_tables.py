"""Write the tables of results into README.md, between its marks: `make readme`.

Run in the repository's root. The CIFAR-10 tables are made from data/metrics as data/report.md is;
the demo's are demo/data/report.md.
"""

import logging
from pathlib import Path

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from stages.pipeline.command import run_stage
from stages.pipeline.params import load_params
from stages.results.summary import results_text

README = Path("README.md")
DEMO_REPORT = Path("demo/data/report.md")

log = logging.getLogger(__name__)


def with_blocks(text: str, blocks: dict[str, str]) -> str:
    """Return the text with the content of every named block replaced.

    A block stands between the lines `<!-- name:begin -->` and `<!-- name:end -->`; PipelineError
    where the text does not have each once.
    """
    for name, content in blocks.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->\n"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise PipelineError(
                f"{README} must have the lines {begin.strip()} and {end.strip()} once, in this "
                "order."
            )
        text = text[: text.index(begin) + len(begin)] + content + text[text.index(end) :]
    return text


def blocks() -> dict[str, str]:
    """Return what README.md shows of the results, by the names of its blocks."""
    results = results_text(load_params())
    if not DEMO_REPORT.exists():
        raise PipelineError(f"{DEMO_REPORT} is missing; make it with `make demo`.")
    return {"results": results, "demo": DEMO_REPORT.read_text()}


def main() -> None:
    """Rewrite README.md where its blocks are out of date."""
    made = blocks()
    if not README.exists():
        raise PipelineError(f"{README} is missing; run this in the repository's root.")
    text = README.read_text()
    with replace_on_success(README) as temporary:
        temporary.write_text(with_blocks(text, made))
    log.info("%s: %s", README, ", ".join(made))


if __name__ == "__main__":
    run_stage(main)
