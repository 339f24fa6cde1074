"""A sweep: which rows it adds to params.yaml, and its table and picture."""

import json
from pathlib import Path

import pytest

from models.files.errors import PipelineError
from stages.by_hand.sweep import overrides, plan_sweep, values_of
from stages.pipeline.strict_yaml import read_yaml
from stages.results.sweep import Point, write_sweep
from tests.support.paths import ROOT

BASE = "lerp_psa_h96"
DOCUMENT = read_yaml(ROOT / "demo/params.yaml")


def swept(*settings, document=DOCUMENT, name="sweep"):
    return plan_sweep(document, BASE, name, values_of(settings))


def test_every_combination_is_a_row_unless_there_is_one() -> None:
    sweep = swept("grid_size=32,64", "hidden_dim=24,96")
    row = {"activation": "lerp_psa"}
    assert sweep.rows == {
        "variants.sweep_grid32_hidden24": row | {"hidden_dim": 24, "grid_size": 32},
        "variants.sweep_grid32_hidden96": row | {"hidden_dim": 96, "grid_size": 32},
        "variants.sweep_grid64_hidden24": row | {"hidden_dim": 24, "grid_size": 64},
    }
    assert [point.variant for point in sweep.points][-1] == BASE  # its grid has 64 knots
    assert sweep.points[-1].setting == {"grid_size": 64, "hidden_dim": 96}
    assert sweep.targets == [f"verify@{point.variant}" for point in sweep.points]


def test_a_folding_is_a_design_of_the_network() -> None:
    sweep = swept("folding=published,64000")
    assert sweep.rows == {
        "designs.lerp_psa_h96_folding64000": {
            "variant": BASE,
            "accelerator": "streaming",
            "target": {"images_per_second": 64000},
        }
    }
    plans = [f"plan@{BASE}_stream", "plan@lerp_psa_h96_folding64000"]
    assert sorted(sweep.targets) == sorted([f"verify@{BASE}", *plans])


def test_the_same_sweep_again_adds_nothing() -> None:
    first = swept("quantize.epochs=2,3", "activation=lerp_psa", "folding=9000")
    document = json.loads(json.dumps(DOCUMENT))
    for key, row in first.rows.items():
        section, name = key.split(".")
        document[section][name] = row
    again = swept("quantize.epochs=2,3", "activation=lerp_psa", "folding=9000", document=document)
    assert again.points == first.points and not again.rows


def test_rows_are_written_in_the_grammar_of_overrides() -> None:
    sweep = swept("quantize.learning_rate=1e-3", "distill.muon_learning_rate=null")
    assert overrides(sweep.rows) == [
        "-S",
        "++variants.sweep_learning0_001_muonnull={activation:lerp_psa,hidden_dim:96,"
        "quantize:{learning_rate:0.001},distill:{muon_learning_rate:null}}",
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["hidden_dim"], "'hidden_dim' must have the form KEY=VALUE,VALUE"),
        (["hidden_dim=24,,48"], "must have the form KEY=VALUE,VALUE"),
        (["hidden_dim=24", "hidden_dim=48"], "'hidden_dim' is given twice"),
        (["hidden_dims=24"], "hidden_dims is not a known key .did you mean hidden_dim"),
        (["hidden_dim=0"], "hidden_dim is 0, but must be a whole number"),
        (["distill.epoch=3"], "distill.epoch is not a known key"),
        (["folding=quick"], "images_per_second is 'quick', but must be a number"),
        ([f"activation={'x' * 70}"], "is not a usable name|must be one of the rows"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(settings, words) -> None:
    with pytest.raises(PipelineError, match=words):
        swept(*settings)


def test_a_name_that_means_something_else_is_refused() -> None:
    sweep = swept("hidden_dim=24")
    other = {"sweep_hidden24": {"activation": "relu", "hidden_dim": 24}}
    document = {**DOCUMENT, "variants": DOCUMENT["variants"] | other}
    with pytest.raises(PipelineError, match=r"sweep_hidden24 is another row.* another --name"):
        swept("hidden_dim=24", document=document)
    assert swept("hidden_dim=24", document=document, name="mine").rows != sweep.rows


def test_the_table_has_the_settings_and_what_is_known(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("data/metrics/int8/a.json", '{"accuracy": 97.5}')
    write("data/metrics/model/a_stream.json", '{"model_images_per_second": 9, "estimate_dsp": 4}')
    write("data/history/int8/a.csv", "epoch,val_accuracy\n1,96.0\n2,98.25\n")
    points = [Point({"hidden_dim": 24, "folding": 9}, "a", "a_stream")]
    points += [Point({"hidden_dim": 48, "folding": 9}, "b", "b_stream")]
    text = write_sweep(points, "mine")
    lines = [line.split() for line in text.splitlines()]
    assert lines[2] == ["|", "24", "|", "9", "|", "98.25", "|", "97.50", "|", "9", "|", "4", "|"]
    assert lines[3] == ["|", "48", "|", "9", "|", "-", "|", "-", "|", "-", "|", "-", "|"]
    assert "data/sweeps/mine.md, data/sweeps/mine.csv, data/sweeps/mine.png" in text
    csv = Path("data/sweeps/mine.csv").read_text().splitlines()
    assert csv[1] == "a,a_stream,24,9,98.25,97.5,9,4"
    assert Path("data/sweeps/mine.png").read_bytes().startswith(b"\x89PNG")


def write(path, text) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
