"""Every benchmark runs to its end on small cases, and the plain baseline is plain."""

import importlib
import json
import sys
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
import yaml

from benchmarks import activations, busy, epoch, kan_layers, lerp_kernel, parity, training_step
from models.float.activations import interpolation, psa
from models.float.checkpoint import save_state
from models.float.resmlp import ResMLP
from stages.augment import augment, rand_augment
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import load_params

pytestmark = pytest.mark.training

FUSED, PLAIN = epoch.Training(8, True, epoch.FULL), epoch.Training(8, False, epoch.FULL)


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a benchmark with arguments and returns its table's rows."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        importlib.import_module(f"benchmarks.{name}").main()
        lines = capsys.readouterr().out.splitlines()
        return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]

    return run


def numbers(cells):
    return [float(cell.split()[0]) for cell in cells]


def refuse(*arguments):
    raise AssertionError("the fast way was taken")


def small(monkeypatch):
    """Let benchmarks.epoch take small networks and batches."""
    for name in ("BATCH", "HIDDEN", "TEACHER_HIDDEN"):
        monkeypatch.setattr(epoch, name, 8)
    monkeypatch.setattr(epoch, "ResMLP", partial(ResMLP, embed_dim=8, num_blocks=1))


def dispatch(monkeypatch):
    """Make what chooses the fast kernels fail."""
    monkeypatch.setattr(interpolation, "_kernels", refuse)
    monkeypatch.setattr(psa, "_available", refuse)
    monkeypatch.setattr(rand_augment, "apply_operations", refuse)


@pytest.mark.parametrize("activation", ["relu", "lerp_psa", "bspline"])
def test_the_baseline_takes_no_kernel_of_ours(monkeypatch, activation):
    step = epoch.steps_of(epoch.student(activation, 8), PLAIN)
    dispatch(monkeypatch)
    with epoch.plain():
        assert step() == 1
    with pytest.raises(AssertionError, match="fast way"):
        step()


def test_the_baseline_gives_back_what_it_took():
    before = augment.rand_augment
    with epoch.plain():
        assert augment.rand_augment is not before
    assert augment.rand_augment is before


@pytest.mark.parametrize("stored", [False, True])
def test_a_timed_step_trains(stored):
    network = epoch.student("lerp_psa", 8)
    before = [parameter.clone() for parameter in network.parameters()]
    epoch.steps_of(network, FUSED, stored)()
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_epochs_are_compared(run, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)
    monkeypatch.setattr(epoch, "PUBLISHED", {"lerp_psa": 145.0})
    monkeypatch.setattr(epoch, "timed", lambda step, times: [step() * 0.001 * times])
    header, row = run("epoch", "--steps", "1", "--no-augment")
    assert header[3] == "compiled" and header[-1] == "plain / ours" and row[0] == "lerp_psa h=8"
    # as many milliseconds as steps here
    assert numbers(row[1:]) == [6.25, 6.25, 6.25, 6.25, 145.0, 1.0, 1.0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, in its compiler
@pytest.mark.parametrize("fast", [True, False])
def test_the_compiled_step_trains_in_the_fast_type(monkeypatch, fast):
    monkeypatch.setattr("models.float.precision.multiplies_bfloat16", lambda device: fast)
    small(monkeypatch)
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph

    monkeypatch.setattr(epoch, "BACKEND", backend)
    network = epoch.student("lerp_psa", 8)
    before = [parameter.clone() for parameter in network.parameters()]
    epoch.steps_of(network, FUSED, compiled=True)()
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    cast = any("autocast" in node.name for graph in traced for node in graph.graph.nodes)
    assert cast == fast


def test_a_fair_share_is_that_of_equal_threads():
    assert busy.fair(threads=2, loops=0, available=2) == 1
    assert busy.fair(threads=2, loops=4, available=2) == 3
    assert busy.fair(threads=2, loops=4, available=8) == 1


@pytest.mark.pipeline
def test_busy_loops_end_with_their_block():
    with busy.busy_loops(2) as loops:
        assert [loop.poll() for loop in loops] == [None, None]
    assert all(loop.poll() for loop in loops)


def test_steps_beside_busy_loops_are_compared(run, monkeypatch):
    loops = []

    @contextmanager
    def busy_loops(count):
        loops.append(count)
        yield

    monkeypatch.setattr(busy, "busy_loops", busy_loops)
    monkeypatch.setattr(busy, "steps_of", lambda *arguments, **options: lambda: 1)
    monkeypatch.setattr(busy, "step_seconds", lambda step, seconds: 0.01 * (1 + loops[-1]))
    monkeypatch.setattr(busy, "processors", lambda: 1)
    monkeypatch.setattr(busy, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    _, *rows = run("busy", "--loops", "0", "3", "--rounds", "2")
    assert loops == [0, 3, 0, 3]
    assert [numbers(row) for row in rows] == [[0, 10, 10, 1], [3, 40, 40, 1]]


def test_steps_are_compared(run, monkeypatch):
    monkeypatch.setattr(training_step, "milliseconds", lambda step, threads: (step(), 2.0)[1])
    monkeypatch.setattr(training_step, "PROFILED_STEPS", 1)
    rows = run("training_step", "--batch", "2", "--hidden", "8", "--profile")
    forms = [row[0] for row in rows]
    assert {"relu_h8", "bspline_h8", "lerp_psa_h8", "teacher (h384) forward"} <= set(forms)
    assert forms[-3:] == ["relu", "bspline", "lerp_psa"]
    assert all(min(numbers(row[1:])) >= 0 for row in rows if row[0] in forms[-3:])


def test_activations_are_compared(run, monkeypatch):
    monkeypatch.setattr(activations, "IMAGES", 2)
    rows = run("activations", "--batch", "4", "--widths", "8", "--seconds", "0.01")
    forms = [row[0] for row in rows if row[0] != "form"]
    own = ["ReLU", "GELU", "LerpPsa", "BSpline", "eager cubic spline", "KAN, efficient form"]
    assert [form for form in forms if "pykan" not in form] == [*own, *activations.RESMLP]
    values = [numbers(row[1:3]) for row in rows if row[0] != "form"]
    assert all(min(row) > 0 for row in values) and values[0][1] == 1


def test_splines_of_the_benchmark_are_splines():
    torch.manual_seed(0)
    x = torch.linspace(-0.99, 0.99, 50, dtype=torch.float64)
    values = kan_layers.basis(x, 5, 1.0)
    torch.testing.assert_close(values.sum(-1), torch.ones_like(x))
    assert values.shape == (50, 8) and (values >= 0).all()
    layer, row = kan_layers.KanLinear(3, 2).double(), torch.rand(7, 3, dtype=torch.float64)
    each = kan_layers.Connections(layer)(row.repeat(1, 2)).view(7, 2, 3)
    torch.testing.assert_close(each.sum(-1), layer(row))


def test_the_look_up_is_compared_and_drawn(run, monkeypatch, tmp_path):
    monkeypatch.setattr(lerp_kernel, "FORMS", ("lerp", "plain PyTorch", "ReLU"))  # compiling lasts
    monkeypatch.setattr(lerp_kernel, "QUICK_SIZES", (1000, 2000))
    picture = tmp_path / "lerp.png"
    header, *rows = run(
        "lerp_kernel", "--quick", "--device", "cpu", "--seconds", "0.001", "--plot", str(picture)
    )
    assert header[3:] == ["lerp", "plain PyTorch", "ReLU"]
    assert [row[1:3] for row in rows] == [["1,000", "64"], ["2,000", "64"], ["2,000", "8"]]
    assert all(value > 0 for row in rows for value in numbers(row[3:]))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_changes_of_images_are_compared(run):
    header, *rows = run("augmentation", "--images", "20", "--batch", "10")
    assert header[-1] == "times as fast" and float(rows[0][-1]) == 1
    assert [row[0] for row in rows[2:4]] == ["ours, plain PyTorch", "ours, numba"]


# Parity


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Go to a folder with a small data set, small networks in params.yaml, and a teacher."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return Split(images, np.arange(count) % 3)

    dataset = Dataset(split(300), split(30), split(6), tuple("abc"), np.full(3, 0.5), np.ones(3))
    dataset.save("data/dataset.npz")
    params = yaml.safe_load((parity.ROOT / "params.yaml").read_text())
    params["network"] = {"patch_size": 8, "embed_dim": 8, "num_blocks": 1}
    params["training"]["batch_size"] = 64
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr(parity, "ROOT", tmp_path)
    teacher = build_network(load_params(tmp_path / "params.yaml"), "teacher", dataset)
    save_state(teacher, "data/teacher/float.pt")
    return tmp_path


def test_both_ways_of_training_are_compared_once(run, trained, monkeypatch):
    arguments = ("parity", "--epochs", "1", "--seeds", "2", "--images", "256")
    rows = run(*arguments)
    results = json.loads((trained / "parity.json").read_text())
    assert [(result["fused"], result["seed"]) for result in results] == [
        (True, 0),
        (True, 1),
        (False, 0),
        (False, 1),
    ]
    assert [row[0] for row in rows] == ["seed", "0", "1"]
    monkeypatch.setattr(parity, "train", refuse)
    assert run(*arguments) == rows  # a finished run is not run again
    with pytest.raises(AssertionError):
        run("parity", "--epochs", "1", "--seeds", "2", "--images", "257")


def test_a_missing_data_set_is_told(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run("parity", "--seeds", "1")
    assert not list(tmp_path.iterdir())


def test_means_are_over_seeds_that_ran_both_ways():
    def result(seed, fused, accuracy):
        return {"seed": seed, "fused": fused, "accuracy": accuracy}

    pairs = [result(0, True, 78.5), result(0, False, 78.0), result(2, True, 79.0)]
    assert "mean +0.50, standard deviation unknown, n = 1; the goal |mean| <= 0.3 is missed" in (
        parity.summary(pairs)
    )
    pairs.append(result(2, False, 79.3))
    assert "mean +0.10, standard deviation 0.57, n = 2; the goal |mean| <= 0.3 is met" in (
        parity.summary(pairs)
    )
