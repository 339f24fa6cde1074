"""Recipes: what a row of `variants` takes from its recipe, and which options exclude each other."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.files.errors import PipelineError
from stages.code import fingerprints
from stages.pipeline.params import Params, load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

DEMO = read_yaml(ROOT / "demo" / "params.yaml")
RECIPE = {
    "distill": {"epochs": 600, "stored_views": False, "mixup": 0.5},
    "quantize": {"epochs": 9},
}


def document(**values: object) -> dict[str, Any]:
    """Return the demo's document with a recipe `long`, and `values` in the row of lerp_psa_h96."""
    changed = copy.deepcopy(DEMO)
    changed["recipes"] = {"long": copy.deepcopy(RECIPE)}
    changed["variants"]["lerp_psa_h96"] |= {"recipe": "long", **values}
    return changed


def loaded(folder: Path, content: object) -> Params:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_params(path)


def refusal(folder: Path, content: object) -> str:
    with pytest.raises(PipelineError) as caught:
        loaded(folder, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_row_takes_its_recipe_and_its_own_keys_win(tmp_path: Path) -> None:
    params = loaded(tmp_path, document(distill={"mixup": 0.25}))
    row, other = params.variant("lerp_psa_h96"), params.variant("relu_h96")
    assert (row.distill.epochs, row.distill.mixup, row.quantize.epochs) == (600, 0.25, 9)
    assert row.distill.learning_rate == other.distill.learning_rate == params.distill.learning_rate
    assert row.transfer == params.transfer
    assert (other.distill, other.quantize) == (params.distill, params.quantize)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"distill": {"epoch": 3}}, "recipes.long.distill.epoch is not a known key (did you mean"),
        ({"distill": {"epochs": 0}}, "recipes.long.distill.epochs is 0, but must be a whole"),
        ({"teacher": {}}, "recipes.long.teacher is not a known key; allowed: transfer, distill"),
        ({"distill": 3}, "recipes.long.distill is 3, but must be a mapping of the keys to change"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, recipe: object, message: str) -> None:
    changed = document()
    changed["recipes"]["long"] = recipe
    assert message in refusal(tmp_path, changed)


def test_an_unknown_recipe_is_refused_with_the_nearest(tmp_path: Path) -> None:
    message = refusal(tmp_path, document(recipe="lnog"))
    assert "variants.lerp_psa_h96.recipe is 'lnog' (did you mean long?)" in message


def test_an_edit_of_a_recipe_marks_the_stages_of_its_rows_alone(tmp_path: Path) -> None:
    def found(content: dict[str, Any]) -> dict[str, Any]:
        return fingerprints(loaded(tmp_path, content), content)

    before, changed = document(), document()
    changed["recipes"]["long"]["quantize"]["epochs"] = 10
    old, new = found(before), found(changed)
    marked = {
        (row, stage) for row in old for stage in old[row] if old[row][stage] != new[row][stage]
    }
    assert marked == {("lerp_psa_h96", "quantize")}
    inline = document(**copy.deepcopy(RECIPE))
    del inline["variants"]["lerp_psa_h96"]["recipe"]
    for stage in ("distill", "quantize"):  # a recipe means what its keys in the row would mean
        assert found(inline)["lerp_psa_h96"][stage] == old["lerp_psa_h96"][stage]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("teacher", "mixup", 0.5),
        ("teacher", "all_images", True),
        ("distill", "mixup", 0.5),
        ("distill", "all_images", True),
        ("distill", "convnet_share", 1.0),
    ],
)
def test_what_stored_logits_cannot_give_needs_a_teacher_at_every_step(
    tmp_path: Path, section: str, key: str, value: object
) -> None:
    changed = copy.deepcopy(DEMO)
    changed[section][key] = value
    assert f": {section}.{key} is " in (message := refusal(tmp_path, changed))
    assert "because stored_views is true" in message
    changed[section]["stored_views"] = False
    assert getattr(getattr(loaded(tmp_path, changed), section), key) == value


def test_the_authors_teacher_has_no_convnet_beside_it(tmp_path: Path) -> None:
    changed = document(distill={"convnet_share": 0.5})
    changed["weights"] = {"train": [], "published": ["teacher"]}
    message = refusal(tmp_path, changed)
    assert "variants.lerp_psa_h96.distill.convnet_share is 0.5, but must be 0, because" in message


@pytest.mark.parametrize(
    ("start", "width"),
    [("lerp_psa_h69", 24), ("relu_h96", 24), ("lerp_psa_h96", 97), ("narrow", 24), ("finer", 24)],
    ids=["unknown", "another activation", "narrower", "itself", "other options"],
)
def test_a_start_that_does_not_fit_is_refused(tmp_path: Path, start: str, width: int) -> None:
    changed = copy.deepcopy(DEMO)
    row = {"activation": "lerp_psa", "hidden_dim": width}
    changed["variants"]["finer"] = {**row, "grid_size": 128}
    changed["variants"]["narrow"] = {**row, "distill": {"start": start}}
    message = refusal(tmp_path, changed)
    assert f": variants.narrow.distill.start is {start!r}" in message
    assert (
        f"with the activation lerp_psa, the same options and a hidden_dim of at least {width}"
        in (message)
    )


def test_a_start_as_wide_or_wider_is_accepted(tmp_path: Path) -> None:
    changed = copy.deepcopy(DEMO)
    row = {"activation": "lerp_psa", "hidden_dim": 96, "distill": {"start": "lerp_psa_h96"}}
    changed["variants"]["again"] = row
    assert loaded(tmp_path, changed).variant("again").distill.start == "lerp_psa_h96"
