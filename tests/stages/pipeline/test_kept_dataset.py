"""An experiment in a folder of its own takes the images that its repository has."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages import prepare_data
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.kept_dataset import kept_dataset
from tests.support.paths import ROOT

PARAMS = (ROOT / "demo/params.yaml").read_text()
VALUES = {"seed": 2023, "data": yaml.safe_load(PARAMS)["data"]}
COPIES = {"queue": ".dvc/tmp/exps/tmp1x", "temp": ".dvc/tmp/exps/standalone/tmp1x"}


def images():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8), np.arange(10))
    names = tuple(f"class {i}" for i in range(10))
    return Dataset(split, split, split, names, np.full(3, 0.5), np.ones(3))


@pytest.fixture(params=COPIES)
def kept(tmp_path, monkeypatch, request):
    """Go to demo/ in an experiment's copy of a repository; return the repository's images."""
    dataset = tmp_path / "repository/demo/data/dataset.npz"
    images().save(dataset)
    copy = tmp_path / "repository" / COPIES[request.param]
    for folder in (tmp_path / "repository", copy):
        (folder / ".dvc").mkdir(parents=True, exist_ok=True)
    write(copy / "demo/params.yaml", PARAMS)
    write(copy / "demo/data/code/pipeline.json", json.dumps({"prepare_data": "1a", "report": "2b"}))
    monkeypatch.chdir(copy / "demo")
    write_lock(hashlib.md5(dataset.read_bytes()).hexdigest())
    return dataset


def write(path, text) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_lock(md5, code="1a", **values) -> None:
    params = {"data/code/pipeline.json": {"prepare_data": code}, "params.yaml": VALUES | values}
    outs = [{"path": "data/dataset.npz", "md5": md5}]
    stages = {"prepare_data": {"params": params, "outs": outs}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_the_same_images_are_linked_and_not_read_again(kept, monkeypatch) -> None:
    monkeypatch.setattr(prepare_data, "prepare", lambda *_: pytest.fail("it read the source"))
    prepare_data.main()
    assert Path("data/dataset.npz").samefile(kept)
    assert json.loads(Path("data/metrics/dataset.json").read_text())["train_images"] == 10
    assert {path.name for path in Path("data").iterdir()} == {"code", "dataset.npz", "metrics"}


@pytest.mark.parametrize("change", [{"seed": 7}, {"code": "3c"}, {"md5": "0" * 32}])
def test_images_made_of_something_else_are_not_taken(kept, change) -> None:
    write_lock(**{"md5": hashlib.md5(kept.read_bytes()).hexdigest()} | change)
    assert kept_dataset() is None


@pytest.mark.parametrize("text", ["", "stages: []", "stages: {prepare_data: {}}", "a: [", "\0"])
def test_a_lock_that_does_not_say_it_is_no_error(kept, text) -> None:
    assert kept_dataset() == kept
    Path("dvc.lock").write_text(text)
    assert kept_dataset() is None
    Path("dvc.lock").unlink()
    assert kept_dataset() is None


def test_what_is_no_copy_has_no_origin(kept, monkeypatch) -> None:
    kept.unlink()
    assert kept_dataset() is None
    monkeypatch.chdir(kept.parent.parent)
    assert kept_dataset() is None
