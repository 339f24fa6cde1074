"""The stage verify: numpy must give the QAT network's logits, all of them, or name the first."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import save_int_params
from stages import verify
from stages.pipeline.dataset import Dataset, Split
from stages.results.logits import compare
from tests.support.paths import ROOT

NAME = "lerp_psa_h96"  # a row of the demo's params.yaml; its sizes play no part here
SIZES = {"patch_dim": 8 * 8 * 3, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12}
IMAGES = 150  # more than numpy takes at a time
INPUTS = {"dataset.npz", "int8.pkl", "qat_logits.npz"}


@pytest.fixture
def network(tmp_path, monkeypatch, random_network):
    """Make a pipeline folder as dump_params leaves it, go there, return its network."""
    monkeypatch.chdir(tmp_path)
    network = random_network(seed=5, **SIZES, num_classes=4, tables=True, input_lut=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    split = Split(images, rng.integers(0, 4, IMAGES))
    other = split.take(np.arange(4))
    Dataset(other, other, split, tuple("abcd"), np.full(3, 0.5), np.ones(3)).save(
        "data/dataset.npz"
    )
    save_int_params(network, f"data/{NAME}/int8.pkl")
    save_logits(int_resmlp.forward(network, tokens(network), exact_integers=True))
    Path("params.yaml").write_text((ROOT / "demo" / "params.yaml").read_text())
    return network


def test_images():
    return Dataset.load("data/dataset.npz").test


test_images.__test__ = False


def tokens(network):
    return int_resmlp.quantize_images(network, test_images().images)


def save_logits(logits):
    np.savez(f"data/{NAME}/qat_logits.npz", logits=logits.astype(np.int8))


def qat_logits():
    return np.load(f"data/{NAME}/qat_logits.npz")["logits"]


def written():
    return {path.name for path in Path("data").rglob("*") if path.is_file()}


def test_equal_logits_pass_and_the_accuracy_is_told(network, caplog):
    caplog.set_level("INFO")
    verify.main(NAME)
    assert written() == INPUTS | {f"{NAME}.json"}
    assert f"on {IMAGES} test images, every logit equal" in caplog.text
    right = [row.tolist().index(max(row)) for row in qat_logits()] == test_images().labels
    assert json.loads(Path(f"data/metrics/int8/{NAME}.json").read_text()) == {
        "accuracy": round(100 * right.sum() / IMAGES, 4),
        "mismatches": 0,
        "images": IMAGES,
    }


@pytest.mark.parametrize(("image", "output"), [(0, 0), (77, 2), (IMAGES - 1, 3)])
def test_one_altered_logit_fails_and_is_named(network, image, output):
    logits = qat_logits()
    right = int(logits[image, output])
    wrong = right - 1 if right > 0 else right + 1
    logits[image, output] = wrong
    save_logits(logits)
    place = f"image {image}, class {output}: QAT {wrong}, numpy {right}"
    with pytest.raises(PipelineError, match=f"^1 of {IMAGES * 4} logits.*{re.escape(place)}"):
        verify.main(NAME)
    assert f"{NAME}.json" not in written()


def test_one_altered_parameter_fails(network):
    bias = network.classifier_linear.b
    bias[2] += 1 if bias[2] < 0 else -1
    save_int_params(network, f"data/{NAME}/int8.pkl")
    with pytest.raises(PipelineError, match=r"logits differ.* class 2: "):
        verify.main(NAME)
    assert f"{NAME}.json" not in written()


def test_logits_of_another_test_set_fail(network):
    save_logits(qat_logits()[:-1])
    with pytest.raises(PipelineError, match=r"\(149, 4\).*\(150, 4\).*dump_params"):
        verify.main(NAME)
    assert f"{NAME}.json" not in written()


def test_compare_counts_and_names_the_first():
    expected = np.zeros((5, 3), dtype=np.int8)
    computed = expected.astype(np.int32)
    compare(expected, computed, "numpy")
    computed[4, 0], computed[2, 1], computed[2, 2] = 7, -3, 300
    with pytest.raises(PipelineError, match=r"^3 of 15 .* image 2, class 1: QAT 0, numpy -3\.$"):
        compare(expected, computed, "numpy")


def test_compare_does_not_wrap_around():
    """-1 and 255 are one byte, but not one number."""
    expected, computed = np.full((1, 1), -1, np.int8), np.full((1, 1), 255, np.int32)
    with pytest.raises(PipelineError, match="QAT -1, numpy 255"):
        compare(expected, computed, "numpy")


@pytest.mark.parametrize(
    "logits", [np.zeros((IMAGES, 4), np.int32), np.zeros(IMAGES, np.int8)], ids=["int32", "1-D"]
)
def test_logits_of_another_kind_are_refused(network, logits):
    np.savez(f"data/{NAME}/qat_logits.npz", logits=logits)
    with pytest.raises(PipelineError, match=r"qat_logits.npz: logits must be int8.*dump_params"):
        verify.main(NAME)


@pytest.mark.parametrize("file", ["qat_logits.npz", "int8.pkl"])
@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 no archive"], ids=["no", "empty", "bad"])
def test_a_missing_or_damaged_file_is_named(network, file, content):
    path = Path(f"data/{NAME}/{file}")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=f"data/{NAME}/{file} .*(dvc|again)"):
        verify.main(NAME)
    assert f"{NAME}.json" not in written()


def test_an_npz_without_logits_is_named(network):
    np.savez(f"data/{NAME}/qat_logits.npz", other=np.zeros(3))
    with pytest.raises(PipelineError, match=r"qat_logits.npz has no array 'logits'.*dump_params"):
        verify.main(NAME)
