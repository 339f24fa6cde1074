"""The command in docs/recipe.md sets what the paper gives, and nothing unknown."""

import re
from pathlib import Path
from typing import Any

import yaml

from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

SETTING = re.compile(r"(?:-S|--set-param) '?([a-z_.0-9]+)=([^\s'\\]+)")


def published(folder: Path) -> Any:
    """Return params.yaml after the edits that the page's `dvc exp run` makes."""
    text = (ROOT / "docs" / "recipe.md").read_text()
    (command,) = re.findall(r"^\$ dvc exp run (?:.*\\\n)*.*$", text, re.M)
    document = read_yaml(ROOT / "params.yaml")
    for key, value in SETTING.findall(command):
        section = document
        *path, last = key.split(".")
        for name in path:
            section = section[name]
        assert last in section, key
        section[last] = yaml.safe_load(value)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_params(path)


def test_the_published_recipe_is_one_command(tmp_path):
    params = published(tmp_path)
    augment = params.training.augment
    assert (augment.crop_padding, augment.flip, augment.rand_augment) == (4, True, True)
    assert params.views.count == params.teacher.epochs  # a fresh view in every epoch
    assert params.training.batch_size == 128
    for section, epochs in (("teacher", 300), ("distill", 300)):
        schedule = getattr(params, section)
        assert schedule.epochs == epochs
        assert schedule.muon_learning_rate is None
        assert (schedule.learning_rate, schedule.learning_rate_min) == (1e-3, 1e-5)
        assert (schedule.temperature, schedule.alpha) == (1.0, 0.8)
    transfer = params.transfer
    assert transfer.epochs_per_block == 50
    assert transfer.learning_rate == transfer.learning_rate_min == 1e-3
    assert (transfer.weight_decay, transfer.muon_learning_rate) == (0.0, None)
    assert (params.quantize.epochs, params.quantize.learning_rate) == (50, 1e-4)


def test_no_variant_departs_from_the_published_recipe(tmp_path):
    for variant in published(tmp_path).variants.values():
        assert variant.distill.epochs == 300, variant.name
        assert variant.transfer.epochs_per_block == 50, variant.name
        assert variant.quantize.epochs == 50, variant.name
        assert variant.quantize.learning_rate == 1e-4, variant.name


def test_the_row_of_the_published_schedule_is_trained_by_it(tmp_path):
    row = load_params(ROOT / "params.yaml").variant("lerp_psa_h96_paper")
    recipe = published(tmp_path).variant("lerp_psa_h96")
    for section in ("network", "transfer", "distill", "quantize"):
        assert getattr(row, section) == getattr(recipe, section)
