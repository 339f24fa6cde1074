"""The stages from images to the report, one after another, on a network of a few hundred weights.

The chain runs once, in this process; the tests look at what it left or go on in a copy of it. What
is killed, or told by a status, runs in a process of its own.
"""

import csv
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.optim.optimizer import register_optimizer_step_post_hook

from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params
from models.qat.layers import export
from stages import dump_params, verify
from stages.distill import distill
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from stages.quantize import quantize
from stages.train_convnet import train_convnet
from stages.train_teacher import train_teacher
from tests.support.paths import ROOT

pytestmark = [pytest.mark.pipeline, pytest.mark.training]

NAME = "lerp_psa_h8"
NAMES = ["relu_h8", "bspline_h8", NAME]
CHAIN = [
    *(["prepare_data"], ["train_convnet"], ["evaluate_convnet"]),
    *(["train_teacher"], ["evaluate", "teacher"]),
    *([stage, NAME] for stage in ("distill", "evaluate", "quantize", "dump_params", "verify")),
    ["sample_functions"],
    ["report"],
]
# The stage that trains a network, the step of the optimiser at which it is killed, in the second
# epoch of ten steps (the teacher's two optimisers, Muon and AdamW, count every step twice), and the
# first phase.
KILLED = {
    "convnet": (["train_convnet"], 15, "labels"),
    "teacher": (["train_teacher"], 30, "distill"),
    NAME: (["distill", NAME], 15, "transfer_0"),
}
# Runs each stage in a child that ends in the way of `kill -9`: importing torch takes longer than
# the stages do, so they share it.
KILLER = """\
import importlib, json, os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
for folder, ((stage, *arguments), step, _) in json.loads(sys.argv[1]).items():
    module = importlib.import_module(f"stages.{stage}")
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    steps = 0
    def count(*_):
        global steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
    register_optimizer_step_post_hook(count)
    os.chdir(folder)
    module.main(*arguments)
    os._exit(0)
"""


def toy_params() -> dict:
    """Return the demo's params with small networks, few images and few epochs."""
    params = read_yaml(ROOT / "demo" / "params.yaml")
    params["data"]["validation_images"] = 1100  # leaves some 300 to train on
    params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 2}
    params["training"]["batch_size"] = 32
    params["convnet"] |= {"widths": [8, 16, 16], "epochs": 6, "batch_size": 32}
    params["views"]["count"] = 4
    params["teacher"] |= {"hidden_dim": 16, "epochs": 16, "learning_rate": 0.02}
    params["transfer"]["epochs_per_block"] = 1
    params["distill"] |= {"epochs": 16, "learning_rate": 0.02}
    params["quantize"] |= {"epochs": 2, "learning_rate": 0.001}
    for row in params["variants"].values():
        row["hidden_dim"] = 8
    params["variants"] = dict(zip(NAMES, params["variants"].values(), strict=True))
    params["designs"] = {}
    params["rtl"]["designs"] = {}
    params["report"]["network"] = NAME
    params["gates"]["designs"] = []
    return params


def python(folder, *arguments):
    """Run this Python in a folder, on the CPU with one thread: the bits depend on both."""
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def stage(name, *arguments):
    importlib.import_module(f"stages.{name}").main(*arguments)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Compute on the CPU with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Run the whole chain and return its folder, which nobody changes."""
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "params.yaml").write_text(yaml.safe_dump(toy_params(), sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in CHAIN:
            stage(*command)
    return folder


@pytest.fixture
def folder(chain, tmp_path, monkeypatch):
    """Go to a copy of the chain's folder."""
    copy = tmp_path / "pipeline"
    shutil.copytree(chain, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def students(folder):
    """Go to a copy with untrained ReLU and B-spline students beside the trained one."""
    params, dataset = load_params(), Dataset.load("data/dataset.npz")
    torch.manual_seed(0)
    for name in NAMES[:2]:
        network = build_network(params, name, dataset)
        network.train()(torch.from_numpy(dataset.train.images).permute(0, 3, 1, 2))
        save_state(network, f"data/{name}/float.pt")
    return folder


class Blind:
    """A data set whose test split must not be looked at."""

    def __init__(self, dataset):
        self.train, self.validation = dataset.train, dataset.validation
        self.class_names, self.mean, self.std = dataset.class_names, dataset.mean, dataset.std

    @property
    def test(self):
        raise AssertionError("training looked at the test images")


def short_params():
    """Return the folder's params with two epochs for both teachers and one of distillation."""
    params = load_params()
    variants = {
        name: replace(variant, distill=replace(variant.distill, epochs=1))
        for name, variant in params.variants.items()
    }
    convnet, teacher = (replace(how, epochs=2) for how in (params.convnet, params.teacher))
    return replace(params, convnet=convnet, teacher=teacher, variants=variants)


def cost(folder, kind, name):
    return json.loads((folder / f"data/history/{kind}/{name}.json").read_text())


def metrics(folder, kind, name):
    return json.loads((folder / f"data/metrics/{kind}/{name}.json").read_text())


def rows(folder, kind, name):
    with (folder / f"data/history/{kind}/{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def phases(folder, kind, name):
    return [row["phase"] for row in rows(folder, kind, name)]


# What the chain leaves


def test_the_chain_leaves_the_documented_files_and_nothing_else(chain):
    files = {path.relative_to(chain).as_posix() for path in chain.rglob("*") if path.is_file()}
    banks = {file for file in files if file.startswith(".ckpt/")}
    names = {re.sub(r"-[0-9a-f]{16}\.", "-KEY.", file) for file in banks}
    assert len(banks) == len(names) == 4
    assert names == {
        f".ckpt/{name}-views-KEY.{kind}"
        for name in ("convnet", "teacher")
        for kind in ("npz", "lock")
    }
    assert files - banks == {
        *("params.yaml", "data/dataset.npz", "data/metrics/dataset.json"),
        *("data/convnet/float.pt", "data/teacher/float.pt"),
        *(f"data/metrics/float/{name}.json" for name in ("convnet", "teacher", NAME)),
        *(f"data/history/float/convnet.{kind}" for kind in ("csv", "json")),
        *(f"data/history/float/teacher.{kind}" for kind in ("csv", "json")),
        *(f"data/history/float/{NAME}.{kind}" for kind in ("csv", "json")),
        *(f"data/history/int8/{NAME}.{kind}" for kind in ("csv", "json")),
        *(f"data/{NAME}/float.pt", f"data/{NAME}/qat.pt"),
        *(f"data/{NAME}/int8.pkl", f"data/{NAME}/qat_logits.npz"),
        *(f"data/metrics/int8/{NAME}.json", "data/report.md"),
        *("data/report.html", "data/plots/validation_accuracy.csv", "data/plots/front.csv"),
        *(f"data/plots/{name}.png" for name in ("accuracy", "front_parameters", "training")),
        *(f"data/plots/{name}.png" for name in ("int8_cost", "confusion", "functions")),
        f"data/{NAME}/functions.npz",
    }


def test_the_networks_learn(chain):
    names = ("convnet", "teacher", NAME)
    convnet, teacher, student = (metrics(chain, "float", name)["accuracy"] for name in names)
    int8 = metrics(chain, "int8", NAME)["accuracy"]
    assert min(teacher, student, int8) > 50  # percent of ten digits
    assert convnet > 30  # after 60 steps; the teacher has the labels, too
    assert int8 > student - 10


def test_float_metrics(chain):
    dataset = Dataset.load(chain / "data/dataset.npz")
    norm, token_mixer, affine = 16, 16 * 16 + 16, 16
    mlp = (8 * 16 + 16) + (16 * 8 + 8)  # the teacher has 16 hidden channels
    block = norm + token_mixer + affine + norm + mlp + affine
    result = metrics(chain, "float", "teacher")
    assert result["parameters"] == (192 * 8 + 8) + 2 * block + norm + (8 * 10 + 10)
    assert result["images"] == len(dataset.test.labels)
    for name, epochs in (("convnet", 6), ("teacher", 16), (NAME, 18)):
        keys = {"accuracy", "validation_accuracy", "images", "parameters"}
        assert metrics(chain, "float", name).keys() == keys
        spent = cost(chain, "float", name)
        assert spent["epochs"] == epochs and spent["seconds"] > 0
    last = rows(chain, "float", "teacher")[-1]
    assert result["validation_accuracy"] == pytest.approx(float(last["val_accuracy"]), abs=1e-3)
    assert metrics(chain, "float", "convnet")["images"] == len(dataset.test.labels)
    activations = (8 + 8) * (3 * 8 + 2)  # v, q, c with 8 terms, o and p of each channel
    narrower = 2 * 8 * (8 + 8 + 1)
    expected = result["parameters"] + 2 * activations - narrower
    assert metrics(chain, "float", NAME)["parameters"] == expected


def test_int8_metrics_come_from_every_test_image(chain):
    test = Dataset.load(chain / "data/dataset.npz").test
    logits = np.load(chain / f"data/{NAME}/qat_logits.npz")["logits"]
    right = int((logits.argmax(axis=1) == test.labels).sum())
    assert metrics(chain, "int8", NAME) == {
        "accuracy": round(100 * right / len(test.labels), 4),
        "mismatches": 0,
        "images": len(test.labels),
    }
    assert cost(chain, "int8", NAME)["epochs"] == 2
    network = load_int_params(chain / f"data/{NAME}/int8.pkl")
    tokens = int_resmlp.quantize_images(network, test.images)
    np.testing.assert_array_equal(int_resmlp.forward(network, tokens, exact_integers=True), logits)


def test_the_histories_have_every_epoch(chain):
    assert phases(chain, "float", "convnet") == ["labels"] * 6
    assert phases(chain, "float", "teacher") == ["distill"] * 16
    assert phases(chain, "float", NAME) == ["transfer_0", "transfer_1", *["distill"] * 16]
    assert phases(chain, "int8", NAME) == ["qat"] * 2


def test_the_report_shows_what_was_measured(chain):
    lines = (chain / "data/report.md").read_text().splitlines()
    rows_of_cells = ([cell.strip() for cell in line.split("|")] for line in lines if "|" in line)
    table: dict[str, list[str]] = {}
    for cells in rows_of_cells:
        table.setdefault(cells[1], cells)  # of the first table
    assert [*table][2:5] == ["convnet", "teacher", *NAMES][:3]
    own = metrics(chain, "float", NAME)["accuracy"], metrics(chain, "int8", NAME)["accuracy"]
    assert table[NAME][2:6] == [f"{own[0]:.2f}", f"{own[1]:.2f}", "0", "364"]
    assert set(table["relu_h8"][2:-1]) == {"-"}


# The same again, whatever happens


def test_a_second_run_gives_the_same_bytes(folder):
    params, dataset = short_params(), Dataset.load("data/dataset.npz")
    found = []
    for _ in range(2):
        save_state(train_teacher(params, dataset), "teacher.pt")
        found.append([Path("teacher.pt").read_bytes(), rows(folder, "float", "teacher")])
    assert found[0] == found[1] and len(found[0][1]) == 2


@pytest.fixture(scope="module")
def killed(chain, tmp_path_factory):
    """Kill each training stage in a copy of the chain's folder; return the copies by network."""
    folders = {}
    for name in KILLED:
        folders[name] = copy = tmp_path_factory.mktemp("killed") / name
        shutil.copytree(chain, copy)
        for path in outputs(name):
            (copy / path).unlink()
    commands = json.dumps({str(folders[name]): values for name, values in KILLED.items()})
    done = python(chain, "-c", KILLER, commands)
    assert done.stdout.split() == ["-9"] * len(KILLED), done.stderr
    return folders


def outputs(name):
    return Path(f"data/{name}/float.pt"), Path(f"data/history/float/{name}.csv")


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_stage_goes_on_and_ends_in_the_same_bytes(
    name, chain, killed, monkeypatch, caplog
):
    folder, (command, _, first) = killed[name], KILLED[name]
    monkeypatch.chdir(folder)
    weights, _ = outputs(name)
    assert not weights.exists()
    assert phases(folder, "float", name) == [first]
    assert len(list(folder.glob(".ckpt/*.pt"))) == 1
    caplog.set_level("INFO")
    stage(*command)
    assert "resuming" in caplog.text
    for file in outputs(name):
        assert (folder / file).read_bytes() == (chain / file).read_bytes(), file
    assert not list(folder.glob(".ckpt/*.pt"))


def test_another_seed_gives_another_teacher_from_other_views(folder):
    dataset = Dataset.load("data/dataset.npz")
    found = []
    for seed in (1, 2):
        params = replace(short_params(), seed=seed)
        found.append(train_teacher(params, dataset).cpu().state_dict())
    first, second = found
    weights = [key for key in first if key.endswith("linear.weight")]
    assert weights and all(not torch.equal(first[key], second[key]) for key in weights)
    assert len(list(Path(".ckpt").glob("convnet-views-*.npz"))) == 3  # with the chain's


def test_a_training_stage_uses_the_views_that_are_there(folder):
    banks = {path: path.stat().st_mtime_ns for path in Path(".ckpt").glob("*.npz")}
    params, dataset = short_params(), Dataset.load("data/dataset.npz")
    train_teacher(params, dataset)
    assert {path: path.stat().st_mtime_ns for path in Path(".ckpt").glob("*.npz")} == banks
    distill(params, NAME, dataset)  # from the new teacher
    assert len(list(Path(".ckpt").glob("*.npz"))) == len(banks) + 1


class Interrupted(BaseException):
    """What Ctrl-C is to the stages."""


def interrupt(step, call, *arguments):
    """Call a training stage and interrupt it in a step of the optimiser."""
    count = 0

    def fall(*_):
        nonlocal count
        count += 1
        if count == step:
            raise Interrupted

    handle = register_optimizer_step_post_hook(fall)
    try:
        with pytest.raises(Interrupted):
            call(*arguments)
    finally:
        handle.remove()
    assert list(Path(".ckpt").glob("*.pt"))


def other_rate(params, section):
    changed = replace(getattr(params.variant(NAME), section), weight_decay=0.125)
    variant = replace(params.variant(NAME), **{section: changed})
    return replace(params, variants={**params.variants, NAME: variant})


def other_seed(params):
    variant = params.variant(NAME)
    seeded = replace(variant, distill=replace(variant.distill, seed=params.seed + 1))
    return replace(params, variants={**params.variants, NAME: seeded})


@pytest.mark.parametrize(
    ("call", "change"),
    [
        (distill, lambda params: other_seed(params)),
        (distill, lambda params: other_rate(params, "transfer")),
        (distill, lambda params: other_rate(params, "distill")),
        (quantize, lambda params: replace(params, seed=params.seed + 1)),
        (quantize, lambda params: other_rate(params, "quantize")),
    ],
    ids=["distill seed", "transfer", "distill", "quantize seed", "quantize"],
)
def test_a_run_with_other_params_begins_anew(folder, call, change):
    dataset = Dataset.load("data/dataset.npz")
    old = short_params()
    new = change(old)
    fresh = call(new, NAME, dataset).state_dict()
    interrupt(12, call, old, NAME, dataset)
    after = call(new, NAME, dataset).state_dict()
    assert all(torch.equal(fresh[key], after[key]) for key in fresh)


def test_an_interrupted_quantisation_ends_as_if_it_had_not_been(folder):
    params, dataset = load_params(), Dataset.load("data/dataset.npz")
    whole = quantize(params, NAME, dataset).state_dict()
    curve = Path(f"data/history/int8/{NAME}.csv").read_bytes()
    interrupt(15, quantize, params, NAME, dataset)  # in the second of two epochs
    resumed = quantize(params, NAME, dataset).state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert Path(f"data/history/int8/{NAME}.csv").read_bytes() == curve
    assert not list(Path(".ckpt").glob("*.pt"))


def test_training_stages_do_not_look_at_the_test_images(folder):
    params, blind = short_params(), Blind(Dataset.load("data/dataset.npz"))
    train_convnet(params, blind)
    train_teacher(params, blind)
    distill(params, NAME, blind)
    quantize(params, NAME, blind)


# INT8


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_numpy_gives_every_logit_of_the_qat_network(name, epochs, students):
    params, dataset = load_params(), Dataset.load("data/dataset.npz")
    network = quantize(with_quantize(params, epochs=epochs), name, dataset).cpu()
    save_state(network, f"data/{name}/qat.pt")
    dump_params.main(name)
    verify.main(name)
    result = metrics(students, "int8", name)
    assert result["mismatches"] == 0 and result["images"] == len(dataset.test.labels)
    logits = np.load(f"data/{name}/qat_logits.npz")["logits"]
    assert len(np.unique(logits)) > 20  # a network that says something
    assert load_int_params(f"data/{name}/int8.pkl").has_tables == (name != "relu_h8")


def with_quantize(params, **keys):
    """Return params in which all variants have other values in their section `quantize`."""
    variants = {
        name: replace(variant, quantize=replace(variant.quantize, **keys))
        for name, variant in params.variants.items()
    }
    return replace(params, variants=variants)


@pytest.mark.parametrize("name", NAMES)
def test_quantisation_trains_weights_and_scales_each_at_its_rate(name, students):
    params = with_quantize(load_params(), epochs=1, scale_learning_rate=0.003, weight_decay=0.01)
    dataset = Dataset.load("data/dataset.npz")
    found = []

    def note(optimizer, *_):
        found.append(
            {
                id(parameter): (float(group["lr"]), group["weight_decay"])
                for group in optimizer.param_groups
                for parameter in group["params"]
            }
        )

    handle = register_optimizer_step_post_hook(note)
    try:
        network = quantize(params, name, dataset)
    finally:
        handle.remove()
    own, usual = (0.003, 0.0), (params.variant(name).quantize.learning_rate, 0.01)
    named = dict(network.named_parameters())
    assert found[0] == {
        id(parameter): own if key.endswith("log2_scale") else usual
        for key, parameter in named.items()
    }
    before = quantize(with_quantize(params, epochs=0), name, dataset).state_dict()
    after = network.state_dict()
    assert not [key for key in named if torch.equal(before[key], after[key])]


def test_calibration_uses_the_first_validation_images_alone(folder):
    params = with_quantize(load_params(), epochs=0, calibration_images=50)
    dataset = Dataset.load("data/dataset.npz")
    rng = np.random.default_rng(0)

    def noise(split, first=0):
        images = split.images.copy()
        images[first:] = rng.integers(0, 256, images[first:].shape, dtype=np.uint8)
        return Split(images, split.labels)

    def arrays(data):
        leaves = export(quantize(params, NAME, data).cpu()).leaves()
        return [array for _, leaf in leaves for array in vars(leaf).values()]

    def equal(one, other):
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    usual = arrays(dataset)
    unseen = replace(
        dataset,
        train=noise(dataset.train),
        validation=noise(dataset.validation, 50),
        test=noise(dataset.test),
    )
    assert equal(arrays(unseen), usual)
    assert not equal(arrays(replace(dataset, validation=noise(dataset.validation))), usual)


# Mistakes


def test_a_mistake_is_one_line_and_status_1(folder):
    """tests/stages/test_stage_entry.py has all the others, without a process of their own."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = python(folder, ROOT / "stages", "distill", "lerp_psa_h9")
    assert done.returncode == 1
    assert re.fullmatch(r"error: There is no variant 'lerp_psa_h9'[^\n]+\n", done.stderr)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_one_altered_logit_stops_verify(folder):
    path = folder / f"data/{NAME}/qat_logits.npz"
    logits = np.load(path)["logits"]
    right = int(logits[200, 7])
    logits[200, 7] = wrong = right - 1 if right > 0 else right + 1
    np.savez(path, logits=logits)
    (folder / f"data/metrics/int8/{NAME}.json").unlink()
    with pytest.raises(PipelineError, match=f"image 200, class 7: QAT {wrong}, numpy {right}."):
        verify.main(NAME)
    assert not (folder / f"data/metrics/int8/{NAME}.json").exists()
