"""The short table that ends `make demo`."""

import json
from pathlib import Path

import pytest

from stages.by_hand import show
from tests.support.paths import ROOT

METRICS = {
    "float/teacher": {"accuracy": 98.0},
    "float/relu_h96": {"accuracy": 97.25},
    "int8/relu_h96": {"accuracy": 97.5, "mismatches": 0},
    "csim/relu_h96_stream": {"images": 364},
    "model/relu_h96_stream": {"model_images_per_second": 31923},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "demo/params.yaml").read_text())
    for name, content in METRICS.items():
        path = tmp_path / f"data/metrics/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return tmp_path


def test_the_table_is_short_and_has_a_dash_for_what_is_not_there(folder, capsys) -> None:
    show.main()
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    cells = {line[0].strip("| "): [cell.strip(" |") for cell in line[1:]] for line in lines}
    assert len(lines[0]) <= 7
    assert cells["relu_h96"] == ["97.25", "97.50", "0", "relu_h96_stream", "364", "31923"]
    assert cells["teacher"] == ["98.00", "-", "-", "-", "-", "-"]
    assert cells["bspline_h96"] == ["-", "-", "-", "bspline_h96_stream", "-", "-"]


def test_the_report_is_named(folder, capsys) -> None:
    Path("data/report.md").write_text("")
    show.main()
    path = capsys.readouterr().out.splitlines()[-1].removeprefix("The whole report: ")
    assert (ROOT / path).samefile(folder / "data/report.md")
