"""The stage export_onnx: both files or none, and the first logit that differs is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from models.integer import resmlp as int_resmlp
from models.integer.params import save_int_params
from models.onnx import float_network, int8_network
from models.onnx.runtime import evaluate
from stages import export_onnx
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

NAME = "lerp_psa_h96"
SIZES = {"patch_dim": 192, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12, "num_classes": 4}
IMAGES = 60
FOLDER = Path("data") / NAME


@pytest.fixture
def network(tmp_path, monkeypatch, random_network):
    """Make a pipeline folder as dump_params leaves it, go there, return its INT8 network."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    params = read_yaml(ROOT / "demo" / "params.yaml")
    params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 1}
    params["variants"] = {NAME: params["variants"][NAME] | {"hidden_dim": 12}}
    params["designs"], params["rtl"]["designs"] = {}, {}
    params["gates"]["designs"] = []
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(IMAGES) % 4)
    dataset = Dataset(split, split, split, tuple("abcd"), np.full(3, 0.5), np.ones(3))
    dataset.save("data/dataset.npz")
    torch.manual_seed(0)
    save_state(build_network(load_params(), NAME, dataset), FOLDER / "float.pt")
    network = random_network(seed=5, **SIZES, tables=True, input_lut=True)
    save_int_params(network, FOLDER / "int8.pkl")
    save_logits(int_resmlp.evaluate(network, images))
    return network


def images():
    return Dataset.load("data/dataset.npz").test.images


def save_logits(logits):
    np.savez(FOLDER / "qat_logits.npz", logits=logits.astype(np.int8))


def written():
    return {path.name for path in Path("data").rglob("*.onnx")} | {
        path.name for path in Path("data/metrics").rglob("*") if path.is_file()
    }


def test_both_files_are_written_and_give_the_logits(network, caplog):
    caplog.set_level("INFO")
    export_onnx.main(NAME)
    assert written() == {"int8.onnx", "float.onnx", f"{NAME}.json"}
    metrics = json.loads(Path(f"data/metrics/onnx/{NAME}.json").read_text())
    assert metrics == {"mismatches": 0, "images": IMAGES}
    logits = evaluate((FOLDER / "int8.onnx").read_bytes(), images(), 1)
    assert np.array_equal(logits, np.load(FOLDER / "qat_logits.npz")["logits"])
    floats = evaluate((FOLDER / "float.onnx").read_bytes(), images(), 1)
    assert floats.shape == (IMAGES, 4) and np.isfinite(floats).all()
    assert re.search(rf"on {IMAGES} test images in onnxruntime, every logit.*images/s", caplog.text)


def test_a_second_run_writes_the_same_bytes(network):
    export_onnx.main(NAME)
    before = [(FOLDER / file).read_bytes() for file in ("int8.onnx", "float.onnx")]
    export_onnx.main(NAME)
    assert before == [(FOLDER / file).read_bytes() for file in ("int8.onnx", "float.onnx")]


@pytest.mark.parametrize(("image", "output"), [(0, 0), (IMAGES - 1, 3)])
def test_one_altered_logit_fails_and_is_named(network, image, output):
    logits = np.load(FOLDER / "qat_logits.npz")["logits"]
    right = int(logits[image, output])
    logits[image, output] = wrong = right - 1 if right > 0 else right + 1
    save_logits(logits)
    place = f"image {image}, class {output}: QAT {wrong}, onnxruntime {right}."
    with pytest.raises(PipelineError, match=f"^1 of {IMAGES * 4} logits.*{re.escape(place)}"):
        export_onnx.main(NAME)
    assert not written()


@pytest.mark.parametrize("part", ["act_in", "act_hidden", "linear_1", "residual"])
def test_a_fault_in_the_written_integers_fails(network, monkeypatch, part):
    """The writer is given a network with one other row, as a wrong writer would write it."""
    write = int8_network.write

    def faulty(good, *arguments):
        leaf = getattr(good.blocks[0].mlp, part)
        row = leaf.knots[0] if part.startswith("act") else leaf.b
        row[...] = np.where(row > 0, row - 100, row + 100)
        return write(good, *arguments)

    monkeypatch.setattr(int8_network, "write", faulty)
    with pytest.raises(PipelineError, match="logits differ between the QAT network and onnxr"):
        export_onnx.main(NAME)
    assert not written()


def test_a_fault_in_the_float_file_fails(network, monkeypatch):
    write = float_network.write

    def faulty(good, name):
        with torch.no_grad():
            good.classifier.bias[0] += 0.01
            content = write(good, name)
            good.classifier.bias[0] -= 0.01
        return content

    monkeypatch.setattr(float_network, "write", faulty)
    with pytest.raises(PipelineError, match=r"float logits of .* by up to 0\.01"):
        export_onnx.main(NAME)
    assert not written()


@pytest.mark.parametrize("file", ["qat_logits.npz", "int8.pkl", "float.pt"])
@pytest.mark.parametrize("content", [None, b"PK\3\4 no archive"], ids=["no", "bad"])
def test_a_missing_or_damaged_file_is_named(network, file, content):
    (FOLDER / file).unlink()
    if content is not None:
        (FOLDER / file).write_bytes(content)
    with pytest.raises(PipelineError, match=f"{FOLDER / file} .*(dvc|again)"):
        export_onnx.main(NAME)
    assert not written()
