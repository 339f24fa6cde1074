"""The section `designs` of params.yaml: what it may hold, and how everything else is refused."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hls.board.boards import BOARDS
from hls.plan.parts import part_of
from models.files.errors import PipelineError
from stages.pipeline.designs import DesignTarget, FoldingFactors
from stages.pipeline.device import Device, device_of
from stages.pipeline.params import Params, load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

DOCUMENT = read_yaml(ROOT / "demo" / "params.yaml")
STREAM = {"variant": "relu_h96", "accelerator": "streaming"}
SIMD = {"variant": "relu_h96", "accelerator": "simd"}
FOLD = {"pe": 2, "simd": 48}
FACTORS = {
    **{"lanes": 2, "handover": 0, "embed_linear": FOLD, "token_mixer_linear": FOLD},
    **{"mlp_linear_1": FOLD, "mlp_linear_2": FOLD, "classifier_linear": FOLD},
}


@pytest.fixture
def load(tmp_path: Path):
    """Return a function that loads the demo's parameters with one design of ours."""

    def load_with(
        design: object, name: object = "mine", rtl: object = None, gates: object = None
    ) -> Params:
        document = copy.deepcopy(DOCUMENT)
        document["designs"] = {name: design}
        document["rtl"]["designs"] = rtl or {}
        document["gates"]["designs"] = gates or []
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return load_params(path)

    return load_with


def refusal(load, design: object, name: object = "mine") -> str:
    with pytest.raises(PipelineError) as caught:
        load(design, name)
    message = str(caught.value)
    assert "params.yaml: designs." in message
    assert message.endswith(".") and "\n" not in message
    return message


def test_the_committed_designs() -> None:
    """The published rate for three networks, 2, 4 and 7.9 times it for one, and three of SIMD."""
    designs = load_params(ROOT / "params.yaml").designs
    published = [d.variant for d in designs.values() if d.folding == "published"]
    assert published == ["relu_h192", "relu_h96", "lerp_psa_h96"]
    targets = [design.target for design in designs.values() if design.target]
    rates = [target.images_per_second for target in targets if target.dsp is None]
    assert [round(rate / 200e6 * 6240, 1) for rate in rates] == [2, 4, 7.9]
    budgets = {design.board: design.target.dsp for design in designs.values() if design.board}
    assert budgets.pop("ulx3s") == part_of("lfe5u-85f").dsp  # of an AMD part, 80 % routes
    parts = {name: part_of(BOARDS[name].part).dsp for name in budgets}
    assert budgets == {name: int(0.8 * count) for name, count in parts.items()}
    arrays = {d.variant: d.array for d in designs.values() if d.array}
    assert arrays == dict.fromkeys(published, (16, 16))
    demo = load_params(ROOT / "demo" / "params.yaml")
    assert [d.variant for d in demo.designs.values() if not d.target] == list(demo.variants)


def test_each_form_is_read(load) -> None:
    assert load({**STREAM, "folding": "published"}).design("mine").folding == "published"
    folding = load({**STREAM, "folding": FACTORS}).design("mine").folding
    assert isinstance(folding, FoldingFactors)
    assert (folding.lanes, folding.handover, folding.mlp_linear_2.simd) == (2, 0, 48)
    design = load({**STREAM, "target": {"images_per_second": 64000}}).design("mine")
    assert design.target == DesignTarget(images_per_second=64000.0)
    assert load({**STREAM, "target": {"dsp": 900}}).design("mine").target == DesignTarget(dsp=900)
    design = load({**SIMD, "array": [16, 8]}).design("mine")
    assert (design.variant, design.accelerator, design.array) == ("relu_h96", "simd", (16, 8))


@pytest.mark.parametrize(
    ("multipliers", "share"),
    [(None, None), ("auto", None), ("dsp", 1), ("fabric", 0), ({"dsp": 0.25}, 0.25)],
)
def test_multipliers_are_read_as_a_share_of_dsps(load, multipliers: object, share: object) -> None:
    given = {} if multipliers is None else {"multipliers": multipliers}
    design = load({**STREAM, "folding": "published", **given, "tables": "lut"}).design("mine")
    assert (design.dsp_share, design.tables) == (share, "lut")


def test_no_design_at_all_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    rtl = {"images": 1, "designs": {}}
    gates = {**DOCUMENT["gates"], "designs": []}
    path.write_text(yaml.safe_dump({**DOCUMENT, "designs": {}, "rtl": rtl, "gates": gates}))
    with pytest.raises(PipelineError, match=r"no design 'a'; params.yaml has: none"):
        load_params(path).design("a")


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (None, "designs.mine is null (nothing), but must be a mapping with the keys variant, acc"),
        ({}, "designs.mine.variant is missing; it must be one of the variants"),
        (
            {**STREAM, "variant": "relu_h9", "folding": "published"},
            "designs.mine.variant is 'relu_h9' (did you mean relu_h96?), but must be one of the v",
        ),
        ({**STREAM, "variant": 7}, "designs.mine.variant is 7, but must be one of the variants"),
        ({**STREAM, "variant": None}, "designs.mine.variant is null (nothing), but must be one of"),
        (
            {**STREAM, "accelerator": "gpu"},
            "designs.mine.accelerator is 'gpu', but must be one of: streaming, simd",
        ),
        (STREAM, "must have exactly one of: folding, target (streaming); found: none"),
        (
            {**STREAM, "folding": "published", "target": {"dsp": 1}},
            "must have exactly one of: folding, target (streaming); found: folding and target",
        ),
        (SIMD, "must have exactly one of: array (simd); found: none"),
        (
            {**SIMD, "array": [16, 16], "folding": "published"},
            "must have exactly one of: array (simd); found: folding and array",
        ),
        (
            {**STREAM, "array": [16, 16]},
            "must have exactly one of: folding, target (streaming); found: array",
        ),
        (
            {**STREAM, "folding": "published", "multipliers": "lut"},
            "designs.mine.multipliers is 'lut', but must be auto, dsp or fabric, or a mapping of",
        ),
        (
            {**STREAM, "folding": "published", "multipliers": {"dsp": 1.5}},
            "designs.mine.multipliers.dsp is 1.5, but must be a number from 0 to 1",
        ),
        (
            {**STREAM, "folding": "published", "tables": "uram"},
            "designs.mine.tables is 'uram', but must be bram or lut",
        ),
        (
            {**SIMD, "array": [16, 16], "tables": "lut"},
            "designs.mine.tables is for streaming designs, but this one is simd; remove the key",
        ),
        (
            {**STREAM, "fold": "published"},
            "designs.mine.fold is not a known key (did you mean folding?); allowed: variant, acc",
        ),
        ({**SIMD, "array": [16]}, "designs.mine.array is [16], but must be a list of two whole"),
        ({**SIMD, "array": 256}, "designs.mine.array is 256, but must be a list of two whole"),
        ({**SIMD, "array": [16, 0]}, "designs.mine.array is [16, 0], but must be a list of two"),
        (
            {**STREAM, "folding": "publisht"},
            "designs.mine.folding is 'publisht', but must be published, or a mapping of lanes",
        ),
        (
            {**STREAM, "folding": {**FACTORS, "embed_linear": {"pe": 2}}},
            "designs.mine.folding.embed_linear.simd is missing; it must be a whole number >= 1",
        ),
        (
            {**STREAM, "folding": {**FACTORS, "handover": 2}},
            "designs.mine.folding.handover is 2, but must be 0 or 1",
        ),
        (
            {**STREAM, "folding": {**FACTORS, "lane": 2}},
            "designs.mine.folding.lane is not a known key (did you mean lanes?)",
        ),
        (
            {**STREAM, "target": {}},
            "designs.mine.target has none of its keys, but must be a mapping with one",
        ),
        (
            {**STREAM, "target": {"dsp": 1, "images_per_second": 1}},
            "designs.mine.target has both of its keys, but must be a mapping with one key",
        ),
        ({**STREAM, "target": 64000}, "designs.mine.target is 64000, but must be a mapping with"),
        (
            {**STREAM, "target": {"images_per_second": 0}},
            "designs.mine.target.images_per_second is 0, but must be a number > 0",
        ),
        (
            {**STREAM, "target": {"dsp": 0.5}},
            "designs.mine.target.dsp is 0.5, but must be a whole number >= 1",
        ),
    ],
)
def test_what_is_refused(load, design: Any, message: str) -> None:
    assert message in refusal(load, design)


@pytest.mark.parametrize("name", ["Mine", "1x", "a/b", "a-b", "", 7, None])
def test_a_name_must_do_as_a_folder_and_in_a_stage_name(load, name: object) -> None:
    assert "is not a usable name" in refusal(load, {**STREAM, "folding": "published"}, name)


def test_a_board_is_a_name_of_the_table_and_gives_part_and_clock(load) -> None:
    params = load({**STREAM, "folding": "published", "board": "pynq-z2"})
    assert device_of(params.hls, params.designs["mine"]) == Device("xc7z020clg400-1", 10.0)
    params = load({**SIMD, "array": [4, 4]})
    own = Device(params.hls.part, params.hls.clock_ns)
    assert device_of(params.hls, params.designs["mine"]) == own
    message = refusal(load, {**STREAM, "folding": "published", "board": "pynq"})
    assert "designs.mine.board is 'pynq'" in message and "pynq-z2, kv260" in message


def test_rtl_is_made_of_streaming_designs_with_their_own_variant(load) -> None:
    design, variant = {**STREAM, "folding": "published"}, STREAM["variant"]
    params = load(design, rtl={"mine": {"variant": variant}})
    assert list(params.rtl.designs) == ["mine"]
    with pytest.raises(PipelineError, match=r"mine.variant is 'other', .*as in designs"):
        load(design, rtl={"mine": {"variant": "other"}})
    with pytest.raises(PipelineError, match=r"rtl.designs.yours is not a streaming design"):
        load(design, rtl={"yours": {"variant": variant}})
    simd = {"variant": variant, "accelerator": "simd", "array": [2, 2]}
    with pytest.raises(PipelineError, match=r"rtl.designs.mine is not a streaming design"):
        load(simd, rtl={"mine": {"variant": variant}})


def test_a_design_may_have_its_own_number_of_images_for_rtl(load) -> None:
    design, variant = {**STREAM, "folding": "published"}, STREAM["variant"]
    params = load(design, rtl={"mine": {"variant": variant, "images": 7}})
    assert (params.rtl.images_of("mine"), params.rtl.images_of("other")) == (7, params.rtl.images)


def test_gates_are_made_of_rtl_alone(load) -> None:
    design, rtl = {**STREAM, "folding": "published"}, {"mine": {"variant": STREAM["variant"]}}
    assert load(design, rtl=rtl, gates=["mine"]).gates.designs == ["mine"]
    with pytest.raises(PipelineError, match=r"gates\.designs has yours, of which no RTL is made"):
        load(design, rtl=rtl, gates=["yours"])
