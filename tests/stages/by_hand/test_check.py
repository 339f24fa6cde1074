"""The command check: figures of this run beside the committed ones, and status 1 if they differ."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from models.float.checkpoint import save_state
from models.integer import resmlp as int_resmlp
from models.integer.params import save_int_params
from stages import evaluate, verify
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

NAMES = ["relu_h96", "lerp_psa_h96"]
NAME = "lerp_psa_h96"
SIZES = {"patch_dim": 192, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12, "num_classes": 10}
IMAGES = 60
RESTORE = "restore the weights and the metrics with `dvc pull` and `git restore data/metrics`."


@pytest.fixture(scope="module")
def made(tmp_path_factory, random_network):
    """Return a folder with two networks, in floats and in integers, and their committed figures."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.chdir(folder)
        params = read_yaml(ROOT / "demo" / "params.yaml")
        params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 1}
        params["variants"] = {name: params["variants"][name] | {"hidden_dim": 12} for name in NAMES}
        params["designs"] = {}
        params["rtl"]["designs"] = {}
        params["gates"]["designs"] = []
        Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
        split = Split(images, np.arange(IMAGES) % 10)
        names = tuple(map(str, range(10)))
        dataset = Dataset(split, split, split, names, np.full(3, 0.5), np.ones(3))
        dataset.save("data/dataset.npz")
        for seed, name in enumerate(NAMES):
            torch.manual_seed(seed)
            network = build_network(load_params(), name, dataset)
            save_state(network, f"data/{name}/float.pt")
            integers = random_network(seed=seed, **SIZES, tables=name == NAME, input_lut=True)
            save_int_params(integers, f"data/{name}/int8.pkl")
            logits = int_resmlp.evaluate(integers, images)
            np.savez(f"data/{name}/qat_logits.npz", logits=logits.astype(np.int8))
            evaluate.main(name)
            verify.main(name)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """Go to a copy of the folder."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    return tmp_path


@pytest.fixture
def check(monkeypatch):
    """Return a function that runs `python stages check NETWORK` and returns its exit status."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["check", *arguments])
        monkeypatch.delitem(sys.modules, "stages.by_hand.check", raising=False)
        try:
            runpy.run_module("stages.by_hand.check", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            return ended.code
        return 0

    return run


def committed(kind, name=NAME):
    return Path(f"data/metrics/{kind}/{name}.json")


def alter(kind, by):
    figures = json.loads(committed(kind).read_text())
    committed(kind).write_text(json.dumps(figures | {"accuracy": figures["accuracy"] + by}))


def table(text):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return {(row[0], row[1]): row[2:] for row in rows[2:]}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_figures_are_shown_beside_the_committed_ones(folder, check, capsys):
    before = contents(folder)
    assert check("all") == 0
    rows = table(capsys.readouterr().out)
    assert list(rows) == [(name, form) for name in NAMES for form in ("float", "int8")]
    for (name, form), (found, wanted, images, mismatches) in rows.items():
        accuracy = json.loads(committed(form, name).read_text())["accuracy"]
        assert found == wanted == f"{accuracy:.2f}"
        assert (images, mismatches) == (str(IMAGES), "-" if form == "float" else "0")
    assert contents(folder) == before


def test_one_network_is_checked_alone(folder, check, capsys):
    committed("int8", "relu_h96").unlink()
    assert check(NAME) == 0
    assert [name for name, _ in table(capsys.readouterr().out)] == [NAME, NAME]


@pytest.mark.parametrize(("kind", "by"), [("int8", 1e-3), ("int8", -1e-3), ("float", 0.2)])
@pytest.mark.parametrize("network", [NAME, "all"])
def test_an_altered_figure_is_told(kind, by, network, folder, check, capsys):
    alter(kind, by)
    message = check(network)
    assert message == f"error: The accuracy of {NAME} ({kind}) is not the committed one; {RESTORE}"
    assert (NAME, kind) in table(capsys.readouterr().out)  # the table is there all the same


def test_a_float_accuracy_may_differ_by_rounding(folder, check):
    alter("float", 0.09)
    assert check(NAME) == 0


def test_an_integer_accuracy_is_compared_to_its_four_decimals(folder, check):
    alter("int8", 4e-5)
    assert check(NAME) == 0


@pytest.mark.parametrize("content", [None, "{}", '{"accuracy": null}'])
def test_a_missing_figure_is_told(content, folder, check, capsys):
    committed("int8").unlink()
    if content is not None:
        committed("int8").write_text(content)
    assert f"{NAME} (int8) is not the committed one" in check(NAME)
    assert table(capsys.readouterr().out)[NAME, "int8"][1] == "-"


def test_one_altered_logit_is_told(folder, check):
    path = Path(f"data/{NAME}/qat_logits.npz")
    logits = np.load(path)["logits"]
    logits[17, 4] ^= 1
    np.savez(path, logits=logits)
    message = check(NAME)
    assert message.startswith(f"error: 1 of {IMAGES * 10} logits differ")
    assert "first at image 17, class 4" in message


def test_altered_float_weights_are_told(folder, check):
    network = build_network(load_params(), NAME, Dataset.load("data/dataset.npz"))
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter.zero_()
        network.classifier.bias[3] = 1.0  # all images are of one class
    save_state(network, f"data/{NAME}/float.pt")
    assert abs(json.loads(committed("float").read_text())["accuracy"] - 10) > 0.1
    assert f"{NAME} (float)" in check(NAME)


def test_an_unknown_network_is_told_with_the_known_ones(folder, check):
    message = check("lerp_psa_h69")
    assert message.startswith("error: There is no variant 'lerp_psa_h69'")
    assert all(name in message for name in NAMES)
