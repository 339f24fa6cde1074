"""INT8 networks from C++ headers go through verification, header generation and C-simulation."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hls.plan.design import read_design
from hls.plan.sizes import Sizes
from hls.plan.streaming.folding import published_folding
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params, load_samples
from stages import csim, generate_headers, plan, synthesize, verify
from stages.by_hand import import_int8
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.names import check_integer_name, design_of
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from stages.results.logits import load_logits
from tests.support.hls_build import builds, quick_stages  # noqa: F401 - fixtures
from tests.support.paths import ROOT
from tests.support.published_headers import with_published_tables, write_headers

NAME = "imported"
SIZES = {"patch_dim": 192, "num_patches": 16, "embed_dim": 6, "hidden_dim": 4, "num_classes": 10}
ABS_MAX = 2.0
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
OWN, GOLDEN = Path(f"data/{NAME}/samples.pkl"), Path(f"data/designs/{NAME}/golden/samples.pkl")
OURS = {"int8.pkl", "samples.pkl", "qat_logits.npz"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a pipeline folder with a few random images."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 32, 32, 3), dtype=np.uint8)
    splits = [Split(part, (np.arange(20) + index) % 10) for index, part in enumerate(images)]
    names = tuple(map(str, range(10)))
    Dataset(*splits, names, np.array(MEAN), np.array(STD)).save("data/dataset.npz")
    params = read_yaml(ROOT / "demo" / "params.yaml")
    params["csim"]["images"] = 7
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


@pytest.fixture
def network(random_network):
    return with_published_tables(random_network(seed=2, tables=True, **SIZES))


def samples_of(network, images, labels=None):
    network = dataclasses.replace(network, input_lut=int_resmlp.make_input_lut(ABS_MAX, MEAN, STD))
    tokens = int_resmlp.quantize_images(network, images)
    return int_resmlp.make_samples(network, tokens, np.zeros(len(images), np.int32))


def files_of(name=NAME):
    return {path.name for path in Path("data", name).glob("*")}


def refused(call, *words):
    with pytest.raises(PipelineError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert str(word) in str(caught.value)


@pytest.mark.compiler
def test_everything_downstream_runs_and_agrees(folder, network):
    write_headers(folder / "h", network)
    import_int8.main(NAME, folder / "h", ABS_MAX)
    assert files_of() == OURS
    verify.main(NAME)
    generate_headers.main(NAME)
    plan.main(NAME)
    csim.main(NAME)
    result = json.loads(Path(f"data/metrics/csim/{NAME}.json").read_text())
    assert result == {"mismatches": 0, "images": 7}
    kept, golden = (load_samples(path) for path in (OWN, GOLDEN))
    np.testing.assert_array_equal(golden.input, kept.input)
    result = json.loads(Path(f"data/metrics/int8/{NAME}.json").read_text())
    assert (result["mismatches"], result["images"]) == (0, 20)
    sizes = Sizes.of(network)
    planned = read_design(Path(f"data/designs/{NAME}/design.json"))
    assert (planned.variant, planned.sizes) == (NAME, sizes)
    assert planned.folding == published_folding(sizes)
    synthesize.main(NAME)
    assert Path(f"data/designs/{NAME}/project").is_dir()


def test_the_input_scale_is_the_one_given(folder, network):
    write_headers(folder / "h", network)
    import_int8.main(NAME, folder / "h", 1.5)
    lut = load_int_params(f"data/{NAME}/int8.pkl").input_lut
    np.testing.assert_array_equal(lut, int_resmlp.make_input_lut(1.5, MEAN, STD))


def test_the_samples_of_the_headers_are_kept_with_their_labels(folder, network, caplog):
    caplog.set_level("INFO")
    dataset = Dataset.load("data/dataset.npz")
    parts = [(dataset.train, 3), (dataset.validation, 4), (dataset.test, 5)]
    images = np.stack(
        [split.images[index] for split, index in parts] + [np.zeros_like(dataset.test.images[0])]
    )
    golden = samples_of(network, images)
    write_headers(folder / "h", network, golden)
    import_int8.main(NAME, folder / "h", ABS_MAX)
    kept = load_samples(f"data/{NAME}/samples.pkl")
    np.testing.assert_array_equal(kept.input, golden.input)
    np.testing.assert_array_equal(kept.output, golden.output)
    assert kept.labels.tolist() == [*(split.labels[index] for split, index in parts), -1]
    assert "4 samples of the headers come out bit for bit" in caplog.text
    assert "abs-max" not in caplog.text


def test_a_wrong_input_scale_is_noticed(folder, network, caplog):
    golden = samples_of(network, Dataset.load("data/dataset.npz").test.images[:4])
    write_headers(folder / "h", network, golden)
    import_int8.main(NAME, folder / "h", 1.7)
    assert "--input-abs-max 1.7 may be wrong" in caplog.text


def test_samples_of_another_arithmetic_are_told(folder, network, caplog):
    caplog.set_level("INFO")
    golden = samples_of(network, Dataset.load("data/dataset.npz").test.images[:4])
    golden.output[1, 2] += 3 if golden.output[1, 2] < 100 else -3
    write_headers(folder / "h", network, golden)
    import_int8.main(NAME, folder / "h", ABS_MAX)
    count = sum(array.size for array in (*golden.inter, golden.output))
    assert f"1 of {count} values come out different, by up to 3" in caplog.text


def test_without_samples_the_first_test_images_are_taken(folder, network):
    write_headers(folder / "h", network)
    import_int8.main(NAME, folder / "h", ABS_MAX)
    test = Dataset.load("data/dataset.npz").test
    kept = load_samples(f"data/{NAME}/samples.pkl")
    assert kept.labels.tolist() == test.labels[:8].tolist()
    logits = load_logits(f"data/{NAME}/qat_logits.npz")
    np.testing.assert_array_equal(logits[:8], kept.output)


def test_fewer_test_images_than_samples_are_said(folder, network, caplog):
    write_headers(folder / "h", network)
    params = read_yaml("params.yaml")
    params["csim"]["samples"] = 50
    Path("params.yaml").write_text(yaml.safe_dump(params))
    import_int8.main(NAME, folder / "h", ABS_MAX)
    assert len(load_samples(f"data/{NAME}/samples.pkl").labels) == 20
    assert "csim.samples is 50, but there are 20 test images, so 20 samples" in caplog.text


def test_what_we_generate_is_read_back_identical(folder, random_network):
    network = random_network(seed=5, tables=True, **SIZES)  # 65 knots, which authors do not have
    write_headers(folder / "h", network)
    import_int8.main("first", folder / "h", ABS_MAX)
    generate_headers.main("first")
    import_int8.main("second", Path("data/first/headers"), ABS_MAX)
    generate_headers.main("second")
    for file in ("int8.pkl", "qat_logits.npz", "headers/params.hpp", "headers/config.hpp"):
        assert Path("data/first", file).read_bytes() == Path("data/second", file).read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu_h96", ["--name relu_h96", "variant", "published_relu_h96"]),
        ("teacher", ["--name 'teacher'", "not a usable name"]),
        ("metrics", ["--name 'metrics'"]),
        ("designs", ["--name 'designs'"]),
        ("synthesis", ["--name 'synthesis'"]),
        ("relu_h96_stream", ["--name relu_h96_stream", "design", "published_relu_h96_stream"]),
        ("../x", ["--name '../x'"]),
        ("a\nb", ["--name"]),
        ("", ["--name ''"]),
    ],
)
def test_names_that_others_use_are_refused(folder, random_network, name, words):
    write_headers(folder / "h", random_network(**SIZES))
    refused(lambda: import_int8.main(name, folder / "h", ABS_MAX), *words)
    assert {path.name for path in Path("data").iterdir()} == {"dataset.npz"}


@pytest.mark.parametrize(
    "sizes",
    [
        {"patch_dim": 48},
        {"num_patches": 64},
        {"num_classes": 3},
        {"patch_dim": 27, "num_patches": 64},
    ],
)
def test_a_network_of_other_images_is_refused(folder, random_network, sizes):
    write_headers(folder / "h", random_network(**SIZES | sizes))
    refused(lambda: import_int8.main(NAME, folder / "h", ABS_MAX), "h", "data/dataset.npz")
    assert not files_of()


def test_malformed_headers_leave_nothing(folder, random_network):
    write_headers(folder / "h", random_network(**SIZES))
    path = folder / "h" / "quant_params.h"
    text = path.read_text()
    end = text.rindex("};")
    path.write_text(text[:end] + text[end + 1 :])
    refused(lambda: import_int8.main(NAME, folder / "h", ABS_MAX), f"{path}, line ")
    assert not files_of()


def test_only_variants_and_imported_networks_have_integers(folder, random_network):
    params = load_params()
    check_integer_name(params, "relu_h96")
    refused(lambda: check_integer_name(params, NAME), "no variant", "relu_h96")
    write_headers(folder / "h", random_network(**SIZES))
    import_int8.main(NAME, folder / "h", ABS_MAX)
    check_integer_name(params, NAME)
    for name in ("teacher", f"../data/{NAME}", ""):
        refused(lambda name=name: check_integer_name(params, name), "no variant")


def test_an_imported_network_has_the_published_design(folder, random_network):
    params = load_params()
    refused(lambda: design_of(params, NAME), "no design", "relu_h96_stream")
    write_headers(folder / "h", random_network(**SIZES))
    import_int8.main(NAME, folder / "h", ABS_MAX)
    design = design_of(params, NAME)
    assert (design.variant, design.accelerator, design.folding) == (NAME, "streaming", "published")
    params.designs[NAME] = params.designs["relu_h96_stream"]  # a row of params.yaml goes first
    assert design_of(params, NAME).variant == "relu_h96"
    refused(lambda: design_of(params, f"../data/{NAME}"), "no design")


def test_without_a_plan_the_simulation_says_how_to_make_one(folder, random_network):
    write_headers(folder / "h", random_network(**SIZES))
    import_int8.main(NAME, folder / "h", ABS_MAX)
    refused(lambda: csim.main(NAME), f"data/designs/{NAME}/design.json", "python -m stages.plan")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "two", ""])
def test_an_impossible_scale_is_refused_by_the_command_line(text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        import_int8._magnitude(text)


@pytest.mark.pipeline
def test_the_command_line(folder, random_network):
    write_headers(folder / "h", random_network(**SIZES))
    command = [sys.executable, "-m", "stages.by_hand.import_int8", "--headers", "h", "--name", NAME]
    done = subprocess.run(
        [*command, "--input-abs-max", "2.0"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{NAME}: " in done.stderr and "% of 20 test images" in done.stderr
    assert files_of() == OURS
    done = subprocess.run(
        [*command, "--input-abs-max", "0"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "0 is not between 0.001 and 1000" in done.stderr


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_the_published_relu_96(folder, published, published_network, caplog):
    """Samples bit for bit, C-simulation PASS; tests/models/integer/ checks the 86.03 %."""
    caplog.set_level("INFO")
    network, tokens, _ = published_network
    golden = int_resmlp.make_samples(network, tokens, np.zeros(len(tokens), np.int32))
    with np.load(published / "relu96_int8.npz") as arrays:
        theirs = dataclasses.replace(
            golden,
            inter=tuple(arrays[f"samples_inter_{index}"] for index in range(5)),
            output=arrays["samples_output"],
        )
    write_headers(folder / "h", network, theirs)
    import_int8.main(NAME, folder / "h", 2.0901384)
    assert "8 samples of the headers come out bit for bit" in caplog.text
    generate_headers.main(NAME)
    plan.main(NAME)
    csim.main(NAME)  # on the 8 published samples
    result = json.loads(Path(f"data/metrics/csim/{NAME}.json").read_text())
    assert result["mismatches"] == 0
    assert len(load_samples(GOLDEN).labels) == 8
    verify.main(NAME)  # on images of the test set
    result = json.loads(Path(f"data/metrics/int8/{NAME}.json").read_text())
    assert result["mismatches"] == 0
