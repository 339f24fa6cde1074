"""The command classify: any image, three classes, every numeric, one sentence for every fault."""

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from models.integer import resmlp as int_resmlp
from models.integer.params import save_int_params
from models.onnx import int8_network
from stages import plan
from stages.by_hand import classify
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from stages.sources.registry import CIFAR10_CLASSES
from tests.support.paths import ROOT

NAME, DESIGN = "lerp_psa_h96", "lerp_psa_h96_stream"
SIZES = {"patch_dim": 192, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12, "num_classes": 10}
CLASSES = tuple("abcdefghij")
PIXELS = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def network(tmp_path, monkeypatch, random_network):
    """Go to a folder with one network in every form and the image exact.png; return the INT8."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    params = read_yaml(ROOT / "demo" / "params.yaml")
    params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 1}
    params["variants"] = {NAME: params["variants"][NAME] | {"hidden_dim": 12}}
    params["designs"] = {
        DESIGN: {"variant": NAME, "accelerator": "streaming", "folding": "published"}
    }
    params["rtl"]["designs"] = {}
    params["gates"]["designs"] = []
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    split = Split(PIXELS[None].repeat(10, axis=0), np.arange(10))
    dataset = Dataset(split, split, split, CLASSES, np.full(3, 0.5), np.ones(3))
    dataset.save("data/dataset.npz")
    torch.manual_seed(0)
    save_state(build_network(load_params(), NAME, dataset), f"data/{NAME}/float.pt")
    network = random_network(seed=5, **SIZES, num_blocks=1, tables=True, input_lut=True)
    save_int_params(network, f"data/{NAME}/int8.pkl")
    Path(f"data/{NAME}/int8.onnx").write_bytes(int8_network.write(network, NAME, 32))
    Image.fromarray(PIXELS).save("exact.png")
    return network


def run(capsys, *files, numeric="int8"):
    classify.main([Path(file) for file in files], NAME, numeric)
    return capsys.readouterr().out


def expected(network):
    """Return the lines of exact.png."""
    (logits,) = int_resmlp.evaluate(network, PIXELS[None]).tolist()
    best = sorted(range(10), key=lambda index: -logits[index])[:3]
    return ["exact.png"] + [f"{CLASSES[index]} {logits[index]}" for index in best]


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize("numeric", ["int8", "onnx"])
def test_the_three_likeliest_classes_and_their_scores(network, capsys, numeric):
    assert lines(run(capsys, "exact.png", numeric=numeric)) == expected(network)


def test_floats_are_those_of_pytorch(network, capsys):
    dataset = Dataset.load("data/dataset.npz")
    model = build_network(load_params(), NAME, dataset)
    model.load_state_dict(torch.load(f"data/{NAME}/float.pt", weights_only=True))
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(PIXELS).permute(2, 0, 1)[None])[0]
    output = lines(run(capsys, "exact.png", numeric="float"))
    assert len(output) == 4
    assert output[1].split()[1] == f"{logits.max():.2f}"
    assert output[1].split()[0] == dataset.class_names[int(logits.argmax())]


@pytest.mark.compiler
def test_the_compiled_cpp_gives_the_same(network, capsys):
    plan.main(DESIGN)
    assert lines(run(capsys, "exact.png", "exact.png", numeric="csim")) == 2 * expected(network)
    assert not list(Path().glob(".*classify*"))


def test_several_images_are_told_apart(network, capsys):
    Image.fromarray(255 - PIXELS).save("other.png")
    output = lines(run(capsys, "exact.png", "other.png"))
    assert output[:4] == expected(network)
    assert output[4] == "other.png" and output[5:] != output[1:4]


@pytest.mark.parametrize(
    ("mode", "size", "said"),
    [
        ("RGB", (64, 64), ["64x64 pixels were resized to 32x32"]),
        ("RGB", (64, 32), ["only the middle square of 64x32 pixels was used"]),
        ("RGBA", (32, 32), ["transparency was dropped"]),
        ("L", (32, 32), []),
        ("P", (32, 32), []),
        ("1", (32, 32), []),
        ("I;16", (32, 32), ["values of mode I;16 were reduced to 8 bits"]),
        ("RGBA", (50, 40), ["50x40 pixels was used", "40x40 pixels were", "transparency was"]),
    ],
)
def test_every_size_and_mode_is_read_and_losses_are_told(network, capsys, mode, size, said):
    Image.new(mode, size).save("image.png")
    first = run(capsys, "image.png").splitlines()[0]
    assert all(words in first for words in said)
    assert (first == "image.png") == (not said)


def test_the_first_picture_of_an_animation_counts(network, capsys):
    pictures = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    pictures[0].save("moving.webp", save_all=True, append_images=pictures[1:], lossless=True)
    output = lines(run(capsys, "moving.webp"))
    assert output[0] == "moving.webp (only the first of 2 pictures was used)"
    assert output[1:] == expected(network)[1:]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.png", None, "absent.png cannot be read .No such file"),
        (".", None, "no file of at most"),
        ("/dev/zero", None, "no file of at most"),
        ("text.png", b"hello", "text.png cannot be decoded as an image"),
        ("cut.png", b"\x89PNG\r\n\x1a\n", "cut.png cannot be decoded as an image"),
        ("a\0b", None, "cannot be read .embedded null byte"),
    ],
)
def test_what_is_no_image_is_named(network, name, content, words):
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(PipelineError, match=words):
        classify.main([Path(name)], NAME, "int8")


def test_a_pipe_is_refused_at_once(network):
    os.mkfifo("pipe.png")
    with pytest.raises(PipelineError, match="no file of at most"):
        classify.main([Path("pipe.png")], NAME, "int8")


@pytest.mark.parametrize("numeric", list(classify.NUMERICS))
def test_an_unknown_network_is_answered_with_the_known(network, numeric):
    with pytest.raises(PipelineError, match=rf"no variant 'other'.*{NAME}"):
        classify.main([Path("exact.png")], "other", numeric)


@pytest.mark.parametrize("content", [None, b"another file"], ids=["no", "other"])
def test_an_onnx_file_that_is_not_the_networks_is_refused(network, content):
    file = Path(f"data/{NAME}/int8.onnx")
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PipelineError, match=rf"{file} is .*dvc repro export_onnx@{NAME}"):
        classify.main([Path("exact.png")], NAME, "onnx")


def test_csim_of_a_network_without_a_design_says_so(network):
    text = Path("params.yaml").read_text()
    params = yaml.safe_load(text)
    params["variants"]["relu_h96"] = {"activation": "relu", "hidden_dim": 12}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    with pytest.raises(PipelineError, match=rf"relu_h96 has no row under designs.*{NAME}"):
        classify.main([Path("exact.png")], "relu_h96", "csim")


def test_without_a_data_set_only_cifar10_is_known(network, capsys):
    Path("data/dataset.npz").unlink()
    with pytest.raises(PipelineError, match=r"dataset.npz is missing.*prepare_data"):
        classify.main([Path("exact.png")], NAME, "int8")
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["data"]["source"] = "cifar10"
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    names = dict(zip(CLASSES, CIFAR10_CLASSES, strict=True))
    output = [line.split() for line in lines(run(capsys, "exact.png"))[1:]]
    assert output == [[names[n], score] for n, score in map(str.split, expected(network)[1:])]


def test_a_network_of_another_number_of_classes_is_refused(network, random_network):
    sizes = SIZES | {"num_classes": 4}
    save_int_params(random_network(**sizes, input_lut=True), f"data/{NAME}/int8.pkl")
    with pytest.raises(PipelineError, match="4 classes, but the data set 10"):
        classify.main([Path("exact.png")], NAME, "int8")


def test_the_command_line(network, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["classify", "exact.png", "--network", NAME])
    monkeypatch.delitem(sys.modules, "stages.by_hand.classify")
    runpy.run_module("stages.by_hand.classify", run_name="__main__")
    assert lines(capsys.readouterr().out) == expected(network)
