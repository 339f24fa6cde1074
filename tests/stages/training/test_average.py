"""The average of weights: its values, the norms' statistics, and what an interruption leaves."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Augment, Schedule, Training
from stages.training.average import WeightAverage, measure_statistics
from stages.training.checkpoint import read_checkpoint
from stages.training.loop import Phase, Run, fit
from stages.training.optimizers import adamw

pytestmark = pytest.mark.training

CLASSES, BATCH = 4, 8
TRAINING = Training(BATCH, fused=False, augment=Augment(2, flip=True, rand_augment=False))
SCHEDULE = Schedule(learning_rate=0.02, learning_rate_min=0.001, weight_decay=0.01)


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(12, 6)
        self.norm = nn.BatchNorm1d(6)
        self.second = nn.Linear(6, CLASSES)

    def forward(self, images):
        pixels = functional.adaptive_avg_pool2d(images / 255, 2).flatten(1)
        return self.second(torch.relu(self.norm(self.first(pixels))))


def split_of(count, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(images, rng.integers(0, CLASSES, count))


DATASET = Dataset(
    *(split_of(count, count) for count in (43, 12, 5)),
    *(tuple("abcd"), np.full(3, 0.5), np.ones(3)),
)


def phases_of(model, ema, epochs=(2, 2), mixup=0.0, watch=None):
    def loss(images, labels):
        if watch is not None and model.training:
            watch(images, labels)
        logits = model(images)
        return functional.cross_entropy(logits, labels), logits

    groups = [{"params": list(model.parameters())}]
    phase = Phase("labels", 1, adamw(SCHEDULE), groups, loss, [model], ema=ema, mixup=mixup)
    return [replace(phase, epochs=count) for count in epochs]


def train(folder, ema=0.0, **how):
    """Train a new Toy; return it and the rows of its history."""
    model, run = Toy(), Run("toy", 7, folder / "history.csv", "the same")
    fit(run, model, phases_of(model, ema, **how), DATASET, TRAINING)
    with run.history.open(newline="") as file:
        return model, list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def equal(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_average_is_that_of_the_weights_after_every_step():
    layer, decay = nn.Linear(3, 2), 0.3
    average = WeightAverage(layer, decay)
    expected = layer.weight.detach().double().clone()
    for step in range(20):
        with torch.no_grad():
            layer.weight += torch.randn(2, 3)
        average.update()
        keep = min(decay, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * layer.weight.detach().double()
    torch.testing.assert_close(average.average[0].double(), expected, rtol=1e-5, atol=1e-6)


def test_averaging_does_not_change_the_training_itself(tmp_path):
    """Within a phase the losses stay; what is validated differs."""
    plain, averaged = (train(tmp_path, ema, epochs=(4,))[1] for ema in (0.0, 0.9))
    assert [row["loss"] for row in plain] == [row["loss"] for row in averaged]
    assert [row["val_loss"] for row in plain] != [row["val_loss"] for row in averaged]


def test_the_average_is_what_is_left_after_the_last_epoch(tmp_path):
    model, rows = train(tmp_path, 0.9, epochs=(3,))
    raw, _ = train(tmp_path, 0.0, epochs=(3,))
    assert not torch.equal(model.first.weight, raw.first.weight)
    images = torch.from_numpy(DATASET.validation.images).permute(0, 3, 1, 2)
    with torch.no_grad():
        loss = functional.cross_entropy(
            model.eval()(images), torch.tensor(DATASET.validation.labels)
        )
    assert float(rows[-1]["val_loss"]) == pytest.approx(loss.item(), abs=1e-5)


def test_the_statistics_are_those_of_the_averaged_weights():
    model, batches = Toy(), torch.rand(5, BATCH, 3, 32, 32) * 255
    measure_statistics([model.norm], model, model, batches)
    values = [model.first(functional.adaptive_avg_pool2d(b / 255, 2).flatten(1)) for b in batches]
    mean = torch.stack([value.mean(dim=0) for value in values]).mean(dim=0)
    variance = torch.stack([value.var(dim=0) for value in values]).mean(dim=0)
    torch.testing.assert_close(model.norm.running_mean, mean)
    torch.testing.assert_close(model.norm.running_var, variance)
    assert model.norm.momentum == 0.1 and not model.norm.training


def test_the_second_phase_begins_with_the_average_of_the_first(tmp_path):
    first, _ = train(tmp_path, 0.9, epochs=(2,))
    seen = []
    model = Toy()
    phases = phases_of(model, 0.9)
    phases[1] = replace(
        phases[1],
        loss=lambda *batch: (seen.append(model.first.weight.clone()), phases[0].loss(*batch))[1],
    )
    fit(Run("toy", 7, tmp_path / "h.csv", "another"), model, phases, DATASET, TRAINING)
    assert torch.equal(seen[0], first.first.weight)


@pytest.mark.parametrize("mixup", [0.0, 0.5])
@pytest.mark.parametrize("step", [1, 6, 11, 14, 20])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, step, mixup):
    """Whether it is stopped in the first phase, after it or in the second."""
    whole, rows = train(tmp_path, 0.9, mixup=mixup)
    steps = iter(range(1, 1000))

    def stop(*_batch):
        if next(steps) == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 0.9, mixup=mixup, watch=stop)
    resumed, again = train(tmp_path, 0.9, mixup=mixup)
    assert equal(whole, resumed) and rows == again


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("average"),
        lambda state: state["average"]["average"].pop(),
        lambda state: state["average"]["average"][0].fill_(float("nan")),
        lambda state: state["average"].update(steps=-1),
        lambda state: state.update(average=3),
    ],
    ids=["none", "of fewer weights", "no numbers", "steps", "no mapping"],
)
def test_a_state_without_a_fitting_average_is_set_aside(tmp_path, spoil, caplog):
    steps = iter(range(1, 1000))

    def stop(*_batch):
        if next(steps) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 0.9, watch=stop)
    (path,) = tmp_path.glob(".ckpt/*.pt")
    state = torch.load(path, weights_only=True)
    spoil(state)
    torch.save(state, path)
    model = Toy()
    assert read_checkpoint(path, model, phases_of(model, 0.9)) is None
    assert "the training starts again" in caplog.text


def test_mixed_batches_reach_the_loss_with_shares_of_classes(tmp_path):
    seen = []
    train(tmp_path, epochs=(1,), mixup=1.0, watch=lambda *batch: seen.append(batch))
    for images, shares in seen:
        assert images.dtype == torch.uint8 and shares.shape == (BATCH, CLASSES)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(BATCH))
    assert min(float(shares.max(dim=1).values.min()) for _, shares in seen) < 0.9
    plain = []
    train(tmp_path, epochs=(1,), watch=lambda *batch: plain.append(batch))
    assert all(labels.dtype == torch.int64 and labels.dim() == 1 for _, labels in plain)
