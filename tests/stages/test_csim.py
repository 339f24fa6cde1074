"""The stages generate_headers and csim on a small network, and what they say when they cannot."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from hls.cpp.accelerators import SIMD, STREAMING
from hls.plan.design import Design, read_design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import published_folding
from hls.simulate import gpp
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params, load_samples, save_int_params, save_samples
from stages import csim, generate_headers, plan
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.sample_images import sample_images
from stages.pipeline.strict_yaml import read_yaml
from stages.results import simulation_data
from tests.support.hls_build import builds, quick_stages  # noqa: F401 - fixtures
from tests.support.paths import ROOT

DESIGN, NAME = "relu_h96_stream", "relu_h96"  # rows of params.yaml; sizes play no part here
SIZES = {"patch_dim": 8 * 8 * 3, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12}
IMAGES = 24
# Sha256 of four drawn images.
DRAWN = "2f01c3c747921ddcce2d4581d327c79e4b0d19d2e19647e840f75ea5f156ab6a"


@pytest.fixture
def folder(tmp_path, monkeypatch, random_network):
    """Make a pipeline folder as plan leaves it, with a network of tables, and go there."""
    monkeypatch.chdir(tmp_path)
    network = random_network(seed=1, **SIZES, num_classes=10, tables=True, input_lut=True)
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 10
    split = Split(rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8), labels)
    names = tuple(f"class {i}" for i in range(10))
    Dataset(split, split, split, names, np.full(3, 0.5), np.ones(3)).save("data/dataset.npz")
    save_int_params(network, f"data/{NAME}/int8.pkl")
    save_logits(int_resmlp.evaluate(network, split.images))
    write_params(samples=3)
    sizes = Sizes.of(network)
    folding = published_folding(sizes)
    depths = size_fifos(streaming_network(sizes, folding)).depths
    plan.write_plan(DESIGN, Design(NAME, STREAMING, sizes, folding, depths), "")
    return tmp_path


def write_params(**csim_keys):
    params = read_yaml(ROOT / "params.yaml")
    params["csim"] |= csim_keys
    Path("params.yaml").write_text(yaml.safe_dump(params))


def save_logits(logits):
    np.savez(f"data/{NAME}/qat_logits.npz", logits=logits.astype(np.int8))


def load_logits():
    return np.load(f"data/{NAME}/qat_logits.npz")["logits"]


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_the_whole_test_set_passes(folder):
    generate_headers.main(NAME)
    csim.main(DESIGN)
    result = json.loads(Path(f"data/metrics/csim/{DESIGN}.json").read_text())
    assert result == {"mismatches": 0, "images": IMAGES}  # params.yaml asks for more of them
    files = {path.name for path in (folder / "data" / NAME).rglob("*") if path.is_file()}
    inputs = {"int8.pkl", "qat_logits.npz"}
    assert files == inputs | {"config.hpp", "params.hpp"}
    files = {path.name for path in (folder / "data/designs").rglob("*") if path.is_file()}
    assert files == {"design.json", "plan.md", "design.hpp", "golden.hpp", "samples.pkl"}


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_a_simd_design_passes_and_keeps_its_memory_of_parameters(folder):
    name = "relu_h96_simd"
    sizes = Sizes.of(load_int_params(f"data/{NAME}/int8.pkl"))
    plan.write_plan(name, Design(NAME, SIMD, sizes, array=(4, 4)), "")
    generate_headers.main(NAME)
    Path(f"data/{NAME}/headers/params.hpp").unlink()  # its parameters come from memory
    csim.main(name)
    result = json.loads(Path(f"data/metrics/csim/{name}.json").read_text())
    assert result == {"mismatches": 0, "images": IMAGES}
    files = {path.name for path in Path(f"data/designs/{name}/golden").iterdir()}
    assert files == {"golden.hpp", "samples.pkl", "parameters.hpp"}


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_a_wrong_logit_fails_the_stage_and_keeps_the_log(folder):
    generate_headers.main(NAME)
    logits = load_logits()
    logits[17, 4] = want = -5 if logits[17, 4] != -5 else -6
    save_logits(logits)
    write_params(images=18)
    place = f"MISMATCH logits, image 17, token 0, channel 4: got -?\\d+, want {want}"
    log = Path(f"data/designs/{DESIGN}/csim.log")
    with pytest.raises(PipelineError, match=f"{place} .*see {log}"):
        csim.main(DESIGN)
    assert re.search(place, log.read_text())
    assert "resmlp_top.cpp" in log.read_text()
    assert not Path(f"data/metrics/csim/{DESIGN}.json").exists()


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_a_header_that_does_not_compile_is_quoted(folder, monkeypatch):
    generate_headers.main(NAME)
    monkeypatch.setattr(csim, "checked_headers", lambda *_: [])  # it would refuse the edit
    config = Path(f"data/{NAME}/headers/config.hpp")
    config.write_text(config.read_text().replace("num_patches = 16", "num_patches = 15"))
    log = f"data/designs/{DESIGN}/csim.log"
    with pytest.raises(PipelineError, match=f"cannot compile the HLS code: .*error: .*see {log}"):
        csim.main(DESIGN)
    assert "a power of two of at least 2 tokens" in Path(log).read_text()


def test_headers_are_asked_for(folder):
    with pytest.raises(PipelineError, match=r"config\.hpp is missing; run `dvc repro generate_h"):
        csim.main(DESIGN)


def test_a_plan_for_other_sizes_is_refused(folder):
    generate_headers.main(NAME)
    plan.main(DESIGN)  # of params.yaml's network, not of ours
    with pytest.raises(PipelineError, match=r"design\.json was made for .*=64, .*`dvc repro plan`"):
        csim.main(DESIGN)


def test_logits_of_other_images_are_refused(folder, tmp_path):
    save_logits(load_logits()[1:])
    with pytest.raises(PipelineError, match=r"logits of shape \(23, 10\).* require \(24, 10\)"):
        simulation_data.write_images(NAME, 5, tmp_path)


def test_image_files_hold_tokens_and_logits_image_after_image(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(simulation_data, "BATCH_SIZE", 4)
    files = simulation_data.write_images(NAME, 10, tmp_path)
    assert files.count == 10
    tokens = np.fromfile(files.tokens, np.int8).reshape(10, 16, 8 * 8 * 3)
    network = load_int_params(f"data/{NAME}/int8.pkl")
    images = Dataset.load("data/dataset.npz").test.images[:10]
    assert np.array_equal(tokens, int_resmlp.quantize_images(network, images))
    assert np.array_equal(np.fromfile(files.logits, np.int8).reshape(10, 10), load_logits()[:10])


def test_more_images_than_there_are_are_said(folder, tmp_path, caplog):
    assert simulation_data.write_images(NAME, 24, tmp_path).count == 24 and not caplog.records
    assert simulation_data.write_images(NAME, 25, tmp_path).count == 24
    assert [record.getMessage() for record in caplog.records] == [
        "25 test images are asked for, but there are 24"
    ]


# Golden samples


def test_the_golden_samples_are_drawn_images_layer_by_layer(folder):
    network = load_int_params(f"data/{NAME}/int8.pkl")
    samples = simulation_data.golden_samples(NAME, network, 3, imported=False)
    images = sample_images(3)
    known = {image.tobytes() for image in Dataset.load("data/dataset.npz").test.images}
    assert not known & {image.tobytes() for image in images}
    np.testing.assert_array_equal(samples.input, int_resmlp.quantize_images(network, images))
    layers = {}
    logits = int_resmlp.forward(network, samples.input, layers.__setitem__, exact_integers=True)
    np.testing.assert_array_equal(samples.output, logits)
    assert samples.labels.tolist() == [row.tolist().index(max(row)) for row in logits]
    assert samples.layers.keys() == layers.keys() and len(samples.inter) == 3
    for name, values in layers.items():
        np.testing.assert_array_equal(samples.layers[name], values, err_msg=name)


def test_an_imported_network_keeps_the_samples_that_it_came_with(folder):
    network = load_int_params(f"data/{NAME}/int8.pkl")
    images = Dataset.load("data/dataset.npz").test.images[:2]
    tokens = int_resmlp.quantize_images(network, images)
    own = int_resmlp.make_samples(network, tokens, np.array([5, -1]))
    save_samples(own, f"data/{NAME}/samples.pkl")
    found = simulation_data.golden_samples(NAME, network, 8, imported=True)
    np.testing.assert_array_equal(found.input, tokens)
    assert found.labels.tolist() == [5, -1]


def test_the_golden_folder_holds_the_samples(folder):
    network = load_int_params(f"data/{NAME}/int8.pkl")
    samples = simulation_data.golden_samples(NAME, network, 2, imported=False)
    design = read_design(Path(f"data/designs/{DESIGN}/design.json"))
    golden = csim.write_test_data(DESIGN, design, network, samples)
    assert {path.name for path in golden.iterdir()} == {"golden.hpp", "samples.pkl"}
    np.testing.assert_array_equal(load_samples(golden / "samples.pkl").output, samples.output)


def test_drawn_images_are_always_the_same_and_use_all_values():
    images = sample_images(4)
    assert images.shape == (4, 32, 32, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(sample_images(4), images)
    assert len({image.tobytes() for image in images}) == 4
    assert len(np.unique(images)) > 200 and 60 < images.mean() < 190
    # A change of the drawing changes golden files that are stored, so it must be meant.
    assert hashlib.sha256(images.tobytes()).hexdigest() == DRAWN


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x[0*system((const char*)samples_input)]", "holds 'x\\[0\\*system.*which no network has"),
        ("blocks_7_mlp", "layers holds blocks_7_mlp, which the network does not have"),
        ("blocks_0_mlp_relu", "layers holds blocks_0_mlp_relu, which the network does not have"),
    ],
)
def test_a_layer_that_the_network_does_not_have_is_refused(folder, name, words):
    network = load_int_params(f"data/{NAME}/int8.pkl")
    samples = simulation_data.golden_samples(NAME, network, 1, imported=False)
    foreign = replace(samples, layers={**samples.layers, name: samples.layers["mean"]})
    save_samples(foreign, f"data/{NAME}/samples.pkl")
    with pytest.raises(PipelineError, match=words):
        simulation_data.golden_samples(NAME, network, 1, imported=True)


def test_samples_with_other_values_are_refused(folder):
    network = load_int_params(f"data/{NAME}/int8.pkl")
    samples = simulation_data.golden_samples(NAME, network, 1, imported=False)
    samples.layers["blocks_1_mlp_act_in"][0, 0, 0] ^= 1
    save_samples(samples, f"data/{NAME}/samples.pkl")
    with pytest.raises(PipelineError, match="blocks_1_mlp_psa_1 is not what the network gives"):
        simulation_data.golden_samples(NAME, network, 1, imported=True)


def test_an_edited_header_is_not_compiled(folder):
    generate_headers.main(NAME)
    header = Path(f"data/designs/{DESIGN}/headers/design.hpp")
    header.write_text(header.read_text() + "// more\n")
    with pytest.raises(PipelineError, match=r"design\.hpp, line \d+, is not what the pipeline"):
        csim.main(DESIGN)


# Mistakes


def test_an_absent_compiler_is_told_in_one_sentence(folder):
    generate_headers.main(NAME)
    write_params(compiler="no-such-g++")
    with pytest.raises(PipelineError, match=r"csim\.compiler is 'no-such-g\+\+', which is not on"):
        csim.main(DESIGN)


def test_a_missing_data_set_is_told_before_anything_is_compiled(folder, monkeypatch):
    generate_headers.main(NAME)
    Path("data/dataset.npz").unlink()
    monkeypatch.setattr(gpp, "build", lambda *_, **__: pytest.fail("it compiled first"))
    with pytest.raises(PipelineError, match=r"data/dataset\.npz is missing"):
        csim.main(DESIGN)


def test_absent_headers_are_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr(gpp, "find_spec", lambda name: None)
    with pytest.raises(PipelineError, match="hls4ml, which are not installed; run `pip install"):
        gpp.ap_types_folder()


def test_the_images_are_shared_out_without_gap_or_overlap(tmp_path):
    images = gpp.ImageFiles(tmp_path / "tokens", tmp_path / "logits", 10)
    commands = gpp._shares(Path("testbench"), images, jobs=3)
    bounds = [(int(first), int(count)) for *_, first, count in commands]
    assert bounds == [(0, 3), (3, 3), (6, 4)]
    assert len(gpp._shares(Path("testbench"), images, jobs=99)) == 10
