"""The tables, the pictures' points and the page, from whatever was measured so far."""

import base64
import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from models.files.errors import PipelineError
from stages import report
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from stages.results.pictures.gallery import Picture
from stages.results.summary import results_text
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

NAMES = ["convnet", "teacher", "relu_h96", "bspline_h96", "lerp_psa_h96"]  # of the demo
FLOAT = {"accuracy": 88.3, "validation_accuracy": 87.0, "images": 364, "parameters": 12}
INT8 = {"accuracy": 88.1234, "mismatches": 0, "images": 364}
CSIM = {"mismatches": 0, "images": 360}
MODEL = {
    **{"model_interval_cycles": 6240, "model_latency_cycles": 57419},
    **{"model_images_per_second": 32051, "model_limiting_stage": "token_mixer_linear"},
    **{"estimate_multipliers": 1184, "estimate_dsp": 1184, "estimate_bram_18k": 80},
}
DESIGNS = ["relu_h96_stream", "bspline_h96_stream", "lerp_psa_h96_stream"]  # of the demo
NOTE = "The estimated clock of 5.1 ns misses the target of 5 ns."
FIGURES = {"lut": 339116, "dsp": 1184, "clock_estimated_ns": 3.65, "interval_max_cycles": 6241}
HISTORY = """\
epoch,phase,learning_rate,loss,accuracy,val_loss,val_accuracy
1,transfer_0,0.001,0.5,,0.4,
2,distill,0.001,1.5,40.0,1.4,41.25
3,distill,0.0005,1.25,50.0,1.2,{last}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "gallery", lambda *_: {})  # its own tests draw the pictures
    (tmp_path / "params.yaml").write_text((ROOT / "demo" / "params.yaml").read_text())
    return tmp_path


def put(kind, name, content):
    path = Path(f"data/metrics/{kind}/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def put_synthesis(name, **content):
    path = Path(f"data/synthesis/{name}/metrics.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def put_history(name, last):
    path = Path(f"data/history/float/{name}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HISTORY.format(last=last))


def put_everything():
    for shift, name in enumerate(NAMES):
        put("float", name, {**FLOAT, "accuracy": 88.3 + shift})
        put_history(name, 50.5 + shift)
        if name not in ("convnet", "teacher"):
            put("int8", name, INT8)
    for name in DESIGNS:
        put("model", name, MODEL)
        put("csim", name, CSIM)
        Path(f"data/synthesis/{name}").mkdir(parents=True, exist_ok=True)  # no tool is here


def text_of():
    report.main()
    return Path("data/report.md").read_text()


def cells_of(text, table=0):
    """Return a Markdown table in a text as {first cell: {column: cell}}, in its order."""
    lines = [part for part in text.split("\n\n") if part.startswith("|")][table].splitlines()
    assert all(line.startswith("|") for line in lines)
    header, rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert all(set(cell) == {"-"} for cell in rule) and len(rule) == len(header)
    assert len({len(line) for line in lines}) == 1  # the columns are aligned
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_the_report_begins_with_the_tables_of_the_networks():
    put_everything()
    text = text_of()
    assert text.startswith(results_text(load_params()))
    table = cells_of(text)
    assert list(table) == NAMES
    assert list(cells_of(text, table=1)) == NAMES  # what the trainings cost
    full = {"network": "bspline_h96", "float, %": "91.30", "INT8, %": "88.12", "test images": "364"}
    assert table["bspline_h96"].items() >= full.items()
    teacher = {"float, %": "89.30", "INT8, %": "-", "test images": "364"}
    assert table["teacher"].items() >= teacher.items()


def test_every_design_has_a_row_that_says_where_its_figures_come_from():
    put_everything()
    put_synthesis("relu_h96_stream", **FIGURES)
    text = text_of()
    tables = [cells_of(text, table=number) for number in (2, 3, 4)]
    assert all(list(table) == DESIGNS for table in tables)
    assert all(len(row) <= 7 for table in tables for row in table.values())
    table = {name: {k: v for t in tables for k, v in t[name].items()} for name in DESIGNS}
    full = {
        "network": "relu_h96",
        "cycles per image (model)": "6240",
        "images/s at 5 ns (model)": "32051",
        "DSP (estimate)": "1184",
        "images in C++ (C simulation)": "360",
        "logits unlike numpy (C simulation)": "0",
        "LUT (synthesis)": "339116",
        "cycles per image (synthesis)": "6241",
        "clock, ns (synthesis)": "3.65",
        "BRAM 18k (synthesis)": "-",
    }
    assert table["relu_h96_stream"].items() >= full.items()
    assert table["bspline_h96_stream"]["LUT (synthesis)"] == "-"
    origin = r"\((model|estimate|synthesis|C simulation|simulated RTL)\)$"
    columns = [column for column in table["relu_h96_stream"] if column not in ("design", "network")]
    assert all(re.search(origin, column) for column in columns)
    assert "None was measured on an FPGA." in text


def test_gates_and_routes_have_a_table_of_their_own_where_the_tools_have_run():
    put_everything()
    assert "Yosys" not in text_of()
    figures = {"rtl": {"interval_cycles": 6240.0}}
    figures["metrics/gates"] = {"ecp5_lut": 71, "xcup_bram_18k": 9}
    figures["metrics/route"] = {"routed_clock_mhz": 101.5, "routed_images_per_second": 2030}
    for kind, content in figures.items():
        path = Path(f"data/{kind}/relu_h96_stream/metrics.json")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    text = text_of()
    routed, small, large = (cells_of(text, table=place) for place in (-3, -2, -1))
    assert routed["relu_h96_stream"] == {
        **{"design": "relu_h96_stream"},
        **{"cycles per image (model)": "6240", "cycles per image (simulated RTL)": "6240.00"},
        **{"MHz (nextpnr, routed)": "101.50", "images/s (nextpnr, routed)": "2030"},
    }
    assert small["relu_h96_stream"] == {
        **{"design": "relu_h96_stream", "LUT (Yosys, ECP5)": "71", "FF (Yosys, ECP5)": "-"},
        **{"DSP (Yosys, ECP5)": "-", "BRAM 18k (Yosys, ECP5)": "-"},
    }
    assert large["relu_h96_stream"]["BRAM 18k (Yosys, UltraScale+)"] == "9"
    assert text.endswith(f"\n{report.GATES_LEGEND}\n")


def test_what_is_not_measured_is_a_dash():
    text = text_of()
    table = cells_of(text)
    assert list(table) == NAMES
    for name, row in table.items():
        assert set(row.values()) == {name, "-"}
    for name, row in cells_of(text, table=2).items():
        assert set(row.values()) == {name, re.sub("_stream.*", "", name), "-"}
    for name, row in cells_of(text, table=3).items():
        assert set(row.values()) == {name, "-"}


def test_a_measured_nothing_is_a_dash_and_a_zero_is_a_zero():
    put("float", "relu_h96", {**FLOAT, "accuracy": None})
    put("int8", "relu_h96", {**INT8, "accuracy": 0.0})
    row = cells_of(text_of())["relu_h96"]
    assert row["float, %"] == "-" and row["INT8, %"] == "0.00"
    assert row["logits unlike QAT (numpy)"] == "0"


def test_a_remark_of_the_synthesis_stands_once_under_the_table():
    put_everything()
    put_synthesis("relu_h96_stream", lut=3)
    for name in DESIGNS[1:]:
        put_synthesis(name, lut=4, note=NOTE)
    text = text_of()
    assert text.count(NOTE) == 1
    assert text.index(NOTE) > text.rindex("|")
    assert report.NOT_SYNTHESISED not in text


def test_where_no_tool_has_run_one_sentence_says_so():
    put_everything()
    text = text_of()
    assert "(synthesis)" not in text  # no table of dashes
    assert text.endswith("\n\nNo HLS tool has synthesised these designs here.\n")
    put_synthesis("relu_h96_stream", **FIGURES)
    assert "No HLS tool" not in text_of()


def test_without_designs_nothing_is_said_of_them():
    params = read_yaml("params.yaml")
    params["designs"] = {}
    params["rtl"]["designs"] = {}
    params["gates"]["designs"] = []
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert text_of() == results_text(load_params())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"accuracy": 8', "delimiter"),
        ('{"accuracy": "x"}', "'accuracy' is \"x\", not a number"),
        ('{"accuracy": NaN}', "not a finite number"),
        ('{"accuracy": 870.3}', "not a percentage"),
        ('{"seconds": [1]}', "not a number"),
        ("[88.2]", "not a mapping"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_broken_metrics_file_is_named_and_the_old_report_stays(text, words):
    put_everything()
    before = text_of()
    put("int8", "relu_h96", text)
    with pytest.raises(
        PipelineError, match=r"data/metrics/int8/relu_h96.json is not a JSON.*"
    ) as error:
        report.main()
    assert words in str(error.value) and "dvc pull data/metrics" in str(error.value)
    assert Path("data/report.md").read_text() == before


BROKEN = {
    "half": lambda text: text[: len(text) // 2],
    "half a number": lambda text: text.rstrip()[:-1],
    "a line less": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "a line twice": lambda text: text + text.splitlines(keepends=True)[-1],
    "a word": lambda text: text.replace("41.25", "forty"),
    "too much": lambda text: text.replace("41.25", "4125"),
    "bytes": lambda text: text.replace("distill", "dist\udcff"),
    "no header": lambda text: text.partition("\n")[2],
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_history_is_named(spoil):
    put_everything()
    path = Path("data/history/float/relu_h96.csv")
    path.with_suffix(".json").write_text('{"epochs": 3}')
    report.main()
    text = spoil(path.read_text())
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PipelineError, match=r"^data/history/float/relu_h96\.csv is not a complete"):
        report.main()


def test_the_curves_hold_the_epochs_that_classified():
    put_everything()
    report.main()
    with Path("data/plots/validation_accuracy.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["epoch"], float(row["val_accuracy"])) for row in rows] == [
        row
        for shift, name in enumerate(NAMES)
        for row in ((name, "2", 41.25), (name, "3", 50.5 + shift))
    ]


@pytest.mark.parametrize("put_metrics", [put_everything, lambda: None], ids=["full", "empty"])
def test_the_files_repeat_byte_by_byte(put_metrics):
    put_metrics()
    report.main()
    first = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    report.main()
    assert all(path.read_bytes() == content for path, content in first.items())
    assert not [path for path in Path("data").rglob(".*")]


def test_a_picture_that_cannot_be_drawn_now_does_not_stay(monkeypatch):
    put_everything()
    drawn = {"accuracy": Picture("Accuracy", "It rests on this.", b"PNG of one")}
    monkeypatch.setattr(report, "gallery", lambda *_: drawn)
    report.main()
    assert Path("data/plots/accuracy.png").read_bytes() == b"PNG of one"
    page = Path("data/report.html").read_text()
    assert base64.b64encode(b"PNG of one").decode() in page and "It rests on this." in page
    drawn.clear()
    report.main()
    assert not list(Path("data/plots").glob("*.png"))


def test_the_points_of_the_front_name_their_source():
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    put("float", "relu_h96", {**FLOAT, "parameters": 100074})
    put("int8", "relu_h96", INT8)
    put("model", "relu_h96_stream", {**MODEL, "estimate_lut": 53510})
    report.main()
    with Path("data/plots/front.csv").open(newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    ours, design = rows["relu_h96"], rows["relu_h96_stream"]
    assert (ours["whose"], ours["parameters"], ours["images_per_second"]) == ("relu", "100074", "")
    assert (design["images_per_second"], design["lut_dsp"]) == ("32051", str(53510 + 1184))
    published = [row for row in rows.values() if row["whose"] == "published"]
    assert len(published) >= 10 and all(row["source"] for row in published)


def test_an_unknown_network_or_a_broken_file_of_it_is_named():
    params = read_yaml("params.yaml")
    params["report"]["network"] = "nobody"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(PipelineError, match="nobody"):
        report.main()


def test_the_page_has_everything_and_loads_nothing():
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    put_everything()
    report.main()
    page = Path("data/report.html").read_text()
    assert not re.search(r"<(script|img|iframe|link)[^>]* (src|href)=.(?!data:)", page)
    for text in ("relu_h96_stream", "32051", "arXiv 1909.04509", "numpy", "learning_rate: 0.75"):
        assert text in page
    assert len(page) < 5e6


def test_the_clock_of_the_rates_is_named_where_it_is_one_clock():
    mixed = load_params(ROOT / "params.yaml")
    assert report.clock_words(mixed) == "the clock of its board"
    same = {name: design for name, design in mixed.designs.items() if not design.board}
    assert report.clock_words(replace(mixed, designs=same)) == "5 ns"
