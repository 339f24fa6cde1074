"""The stage plan: what it writes for the committed designs, and what it says when it cannot."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hls.plan.design import Design, read_design
from hls.plan.sizes import Sizes
from models.files.errors import PipelineError
from stages import plan
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.strict_yaml import read_yaml
from tests.support import sizing
from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("sized_once")]

PRODUCTS = [
    "embed_linear",
    "token_mixer_linear",
    "mlp_linear_1",
    "mlp_linear_2",
    "classifier_linear",
]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
ONE = {"pe": 1, "simd": 1}
STREAM = {"variant": "relu_h96", "accelerator": "streaming"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params()
    return tmp_path


def write_params(source="cifar10", **designs):
    params = read_yaml(ROOT / "params.yaml")
    params["data"]["source"] = source
    params["designs"] |= designs
    Path("params.yaml").write_text(yaml.safe_dump(params))


def figures_of(name):
    plan.main(name)
    return json.loads(Path(f"data/metrics/model/{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "cycles", "rate", "multipliers"),
    [
        ("relu_h192_stream", 12_377, 16_159, 1456),
        ("relu_h96_stream", 6_265, 31_923, 1072),
        ("lerp_psa_h96_stream", 6_265, 31_923, 1072),
    ],
)
def test_published_designs(name, cycles, rate, multipliers):
    figures = figures_of(name)
    assert figures["model_interval_cycles"] == cycles
    assert figures["model_images_per_second"] == rate
    assert figures["estimate_multipliers"] == multipliers + 4 * 4 + 96
    assert all(key.startswith(("model_", "estimate_")) for key in figures)


def test_published_figures_name_the_limiting_stage():
    assert figures_of("relu_h192_stream")["model_limiting_stage"] == "mlp_linear_1, mlp_linear_2"
    assert figures_of("relu_h96_stream")["model_limiting_stage"] == "token_mixer_linear"


@pytest.mark.parametrize("times", [2, 4, 8])
def test_multiples_of_the_published_rate(times):
    figures = figures_of(f"lerp_psa_h96_stream_{times}x")
    assert figures["model_images_per_second"] >= 0.98 * times * 200e6 / 6240
    assert figures["model_interval_cycles"] == 6144 // times + 25
    assert figures["estimate_fits"] == "yes"


def test_eight_times_the_rate_does_not_fit_if_the_tool_chooses_the_multipliers(caplog):
    row = read_yaml("params.yaml")["designs"]["lerp_psa_h96_stream_8x"]
    write_params(mine={key: value for key, value in row.items() if key != "multipliers"})
    figures = figures_of("mine")
    assert figures["estimate_fits"] == "no: DSP 5,730 of 5,952 (96 %)"
    assert "designs.mine does not fit xcu50-fsvh2104-2-e (estimate): DSP 5,730" in caplog.text


def test_tables_and_multipliers_are_bound_as_the_row_says():
    chosen = figures_of("lerp_psa_h96_stream")
    row = read_yaml("params.yaml")["designs"]["lerp_psa_h96_stream"]
    write_params(mine={**row, "tables": "lut", "multipliers": "dsp"})
    bound = figures_of("mine")
    assert bound["estimate_dsp"] == bound["estimate_multipliers"] > chosen["estimate_dsp"]
    assert bound["estimate_bram_18k"] == chosen["estimate_bram_18k"] - 4 * 2 * 6
    header = Path("data/designs/mine/headers/design.hpp").read_text()
    assert "act_in_storage = Storage::lut;" in header and "bound = true;" in header


@pytest.mark.parametrize(
    ("name", "published"),
    [("relu_h192_simd", 47_681), ("relu_h96_simd", 29_215), ("lerp_psa_h96_simd", 29_441)],
)
def test_simd_designs_take_no_more_cycles_than_published(name, published):
    figures = figures_of(name)
    assert figures["model_interval_cycles"] == figures["model_latency_cycles"] <= published
    assert figures["model_limiting_stage"] == "mlp_linear_1"  # mlp_linear_2 takes as many
    assert figures["estimate_multipliers"] == 256 + 48  # the array, and the affines around it
    assert all(key.startswith(("model_", "estimate_")) for key in figures)
    folder = Path(f"data/designs/{name}")
    assert read_design(folder / "design.json").array == (16, 16)
    header = (folder / "headers" / "design.hpp").read_text()
    assert "rows = 16;" in header and "columns = 16;" in header
    tables = (folder / "plan.md").read_text()
    assert "| reload " in tables and "| store " in tables and "| total " in tables


def test_an_array_that_cannot_be_built_is_told_with_the_key():
    write_params(mine={"variant": "relu_h96", "accelerator": "simd", "array": [12, 16]})
    with pytest.raises(
        PipelineError, match=r"^params\.yaml: designs\.mine: array has 12 rows, but"
    ):
        plan.main("mine")
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("key", "name"),
    [("network.embed_dim", "mine"), ("variants.relu_h96.hidden_dim", "mine")],
)
def test_sums_too_long_for_the_hardware_are_told_with_the_key(key, name):
    write_params(mine={"variant": "relu_h96", "accelerator": "simd", "array": [16, 16]})
    params = read_yaml("params.yaml")
    *sections, last = key.split(".")
    section = params
    for part in sections:
        section = section[part]
    for length, refused in ((1025, True), (1024, False)):
        section[last] = length
        Path("params.yaml").write_text(yaml.safe_dump(params))
        if refused:
            with pytest.raises(PipelineError, match=rf"^params\.yaml: {key} is 1025, but .* 1024 "):
                plan.main(name)
            assert not Path("data").exists()
        else:
            plan.main(name)


def test_a_streaming_design_of_too_wide_a_network_is_refused():
    params = read_yaml("params.yaml")
    params["variants"]["relu_h96"]["hidden_dim"] = 516
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(PipelineError, match=r"relu_h96_stream: mlp_linear_2 has 516 inputs, but"):
        plan.main("relu_h96_stream")
    assert not Path("data").exists()


def test_all_designs_have_the_same_keys():
    """One table of `dvc metrics show` holds them all."""
    names = read_yaml("params.yaml")["designs"]
    assert len({tuple(figures_of(name)) for name in names}) == 1


def test_the_plan_is_read_back_and_its_header_says_the_same():
    plan.main("lerp_psa_h96_stream_2x")
    folder = Path("data/designs/lerp_psa_h96_stream_2x")
    design = read_design(folder / "design.json")
    assert (design.variant, design.accelerator) == ("lerp_psa_h96", "streaming")
    assert design.sizes == Sizes(48, 64, 96, 96, 4, 10, True)
    assert design.folding is not None and design.fifo_depths is not None
    header = (folder / "headers" / "design.hpp").read_text()
    assert f"lanes = {design.folding.lanes};" in header
    fold = header.split("struct mlp_linear_1_fold {")[1]
    assert f"simd = {design.folding.mlp_linear_1.simd};" in fold.split("};")[0]
    for kind, depth in design.fifo_depths.items():
        assert f"{kind}_depth = {depth};" in header


def test_the_same_row_gives_the_same_bytes():
    sizing.forget()
    plan.main("relu_h96_stream")
    sizing.forget()
    first = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    plan.main("relu_h96_stream")
    assert len(first) == 4
    assert all(path.read_bytes() == content for path, content in first.items())


def test_a_clock_changes_the_rate_but_not_the_cycles():
    params = read_yaml("params.yaml")
    params["hls"]["clock_ns"] = 2.5
    Path("params.yaml").write_text(yaml.safe_dump(params))
    figures = figures_of("relu_h96_stream")
    assert (figures["model_interval_cycles"], figures["model_images_per_second"]) == (6265, 63847)
    # a target in images/s is met with half of the hardware
    assert figures_of("lerp_psa_h96_stream_2x")["model_interval_cycles"] == 6144 + 25


def test_the_plan_says_whether_the_design_fits_its_part():
    assert figures_of("lerp_psa_h96_stream")["estimate_fits"] == "yes"
    text = Path("data/designs/lerp_psa_h96_stream/plan.md").read_text()
    assert "| DSP " in text and "| 5952 " in text and "not estimated" in text
    assert "xcu50-fsvh2104-2-e (Alveo U50): fits (estimate" in text


def test_a_board_gives_its_part_and_its_clock():
    write_params(small={**STREAM, "target": {"dsp": 200}, "board": "pynq-z2"})
    figures = figures_of("small")
    rate = figures["model_images_per_second"]
    assert rate == pytest.approx(100e6 / figures["model_interval_cycles"], abs=1)
    assert "| xc7z020clg400-1, estimate " in Path("data/designs/small/plan.md").read_text()
    write_params(large={**STREAM, "folding": "published", "board": "pynq-z2"})
    assert figures_of("large")["estimate_fits"].startswith("no: ")


def test_an_unknown_part_leaves_the_percent_out():
    params = read_yaml("params.yaml")
    params["hls"]["part"] = "xcvh1542"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert "estimate_fits" not in figures_of("relu_h96_stream")
    text = Path("data/designs/relu_h96_stream/plan.md").read_text()
    assert "The part xcvh1542 is not in hls/plan/parts.py" in text


def test_a_budget_of_dsps():
    write_params(small={**STREAM, "target": {"dsp": 300}})
    figures = figures_of("small")
    assert 250 < figures["estimate_dsp"] <= 300


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {**STREAM, "target": {"images_per_second": 1e6}},
            r"designs\.mine: target\.images_per_second is 1e\+06, but the most is 488998 .* 5 ns",
        ),
        (
            {**STREAM, "target": {"dsp": 3}},
            r"designs\.mine: target\.dsp is 3, but the smallest design of this network takes 14 ",
        ),
        (
            {
                **STREAM,
                "folding": {"lanes": 5, "handover": 1, **dict.fromkeys(PRODUCTS, ONE)},
            },
            r"designs\.mine: lanes is 5, which does not divide patch_dim = 48; .* 1, 2, 4, 8, 16",
        ),
    ],
)
def test_what_cannot_be_is_told_with_the_key_and_writes_nothing(row, message):
    write_params(mine=row)
    with pytest.raises(PipelineError, match=f"^params.yaml: {message}"):
        plan.main("mine")
    assert not Path("data").exists()


def test_an_unknown_design_is_answered_with_the_known_ones():
    with pytest.raises(
        PipelineError, match=r"did you mean relu_h96_stream\?.*lerp_psa_h96_stream_8x"
    ):
        plan.main("relu_h96_strem")


def test_the_classes_of_a_folder_are_counted():
    write_params(source="folder")
    split = Split(np.zeros((3, 32, 32, 3), np.uint8), np.arange(3))
    names = ("cat", "dog", "eel")
    Dataset(split, split, split, names, np.full(3, 0.5), np.ones(3)).save("data/dataset.npz")
    plan.main("relu_h96_stream")
    assert read_design(Path("data/designs/relu_h96_stream/design.json")).sizes.num_classes == 3


@pytest.mark.pipeline
def test_the_command_prints_the_tables(folder):
    command = [sys.executable, "-m", "stages.plan", "relu_h96_stream"]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0
    for words in ("| model_interval_cycles ", "6265", "| token_mixer_linear ", "1 x 64", "12445"):
        assert words in done.stderr
    done = subprocess.run([*command[:-1], "x"], cwd=folder, env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 1 and done.stderr.startswith(b"error: There is no design 'x'")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"accelerator": "streaming", "sizes": {}}', '{"sizes": 3}']
)
def test_a_broken_plan_is_named(text):
    path = Path("design.json")
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"design\.json is not a plan .*dvc repro plan"):
        read_design(path)


def test_an_absent_plan_is_named():
    with pytest.raises(PipelineError, match=r"design\.json is missing; run `dvc repro plan`"):
        read_design(Path("design.json"))


def test_a_simd_plan_is_read_back(tmp_path):
    design = Design("relu_h96", "simd", Sizes(48, 64, 96, 96, 4, 10, False), array=(16, 8))
    Path("design.json").write_text(design.to_text())
    assert read_design(Path("design.json")) == design


def test_every_changed_byte_of_a_plan_is_refused_or_harmless(folder):
    """Blanks and line ends are harmless: the digest is that of the values."""
    plan.main("relu_h96_stream")
    path = Path("data/designs/relu_h96_stream/design.json")
    good, design = path.read_bytes(), read_design(path)
    for position in range(len(good)):
        changed = good[position] ^ (1 << position % 8)
        path.write_bytes(good[:position] + bytes([changed]) + good[position + 1 :])
        try:
            assert read_design(path) == design
        except PipelineError as error:
            assert "design.json" in str(error) and "dvc repro plan" in str(error)


def test_a_plan_without_a_digest_is_the_one_that_dvc_recorded(folder):
    plan.main("relu_h96_stream")
    path = Path("data/designs/relu_h96_stream/design.json")
    values = json.loads(path.read_text())
    del values["sha256"]
    path.write_text(json.dumps(values))
    design = read_design(path)
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    entry = f"    - path: {path}\n      hash: md5\n      md5: "
    lock = f"stages:\n  csim:\n    deps:\n{entry}1\n  plan:\n    outs:\n{entry}{digest}\n"
    Path("dvc.lock").write_text(lock)
    assert read_design(path) == design
    path.write_text(path.read_text().replace("12445", "12444"))
    with pytest.raises(PipelineError, match=r"design\.json is not the file that dvc\.lock lists"):
        read_design(path)
