"""The training loop: what it optimises, which images it sees, what an interruption leaves."""

import csv
import errno
import json
import math
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

from models.files.errors import PipelineError
from models.float.checkpoint import read_state
from stages.augment.views import Views, checksum, view_images
from stages.networks.evaluation import accuracy, predict
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Augment, Schedule, Training
from stages.training import loop
from stages.training.checkpoint import read_checkpoint
from stages.training.device_steps import EagerStep
from stages.training.loop import Phase, Run, distillation_loss, fit
from stages.training.optimizers import adamw

pytestmark = pytest.mark.training

CPU = torch.device("cpu")
CLASSES = 4
TRAIN, VALIDATION = 43, 12
BATCH = 8
STEPS = TRAIN // BATCH  # a step is a batch; the last three images of an epoch are left out
AS_IS = Augment(crop_padding=0, flip=False, rand_augment=False)
CHANGED = Augment(crop_padding=2, flip=True, rand_augment=False)
PLAIN = Training(batch_size=BATCH, fused=False, augment=AS_IS)
COSINE = Schedule(learning_rate=0.02, learning_rate_min=0.001, weight_decay=0.01)


class Toy(nn.Module):
    """A BatchNorm, so that there is state beside the weights, and a classifier."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.norm = nn.BatchNorm1d(12)
        self.linear = nn.Linear(12, CLASSES)

    def forward(self, images):
        return self.linear(self.norm(functional.adaptive_avg_pool2d(images / 255, 2).flatten(1)))


class Interrupted(BaseException):
    """What Ctrl-C or a signal is to the loop: nothing it catches."""


class Blind:
    """A data set whose test split must not be looked at."""

    def __init__(self, dataset):
        self.train, self.validation = dataset.train, dataset.validation
        self.class_names, self.mean, self.std = dataset.class_names, dataset.mean, dataset.std

    @property
    def test(self):
        raise AssertionError("training looked at the test images")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def split_of(count, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(images, rng.integers(0, CLASSES, count))


def make_dataset(train=TRAIN, validation=VALIDATION):
    names = tuple(map(str, range(CLASSES)))
    splits = split_of(train, 1), split_of(validation, 2), split_of(5, 3)
    return Dataset(*splits, names, np.full(3, 0.5), np.ones(3))


def numbered(first, count):
    """Return grey images, each of a brightness of its own: first, first + 1, …"""
    grey = np.arange(first, first + count, dtype=np.uint8)
    images = np.broadcast_to(grey[:, None, None, None], (count, 32, 32, 3)).copy()
    return Split(images, np.arange(count) % CLASSES)


def labels_loss(model):
    def loss(images, labels):
        logits = model(images)
        return functional.cross_entropy(logits, labels), logits

    return loss


def two_phases(model, schedule=COSINE, loss=None):
    """Return a phase on a part of the model without logits, then one on all of it."""

    def squares(images, _labels):
        return model(images).square().mean(), None

    fast = {"params": list(model.norm.parameters()), "lr": 0.005, "weight_decay": 0.0}
    part = [{"params": list(model.linear.parameters())}]
    return [
        Phase("part", 2, adamw(schedule), part, loss or squares, [model.linear]),
        Phase("all", 3, adamw(schedule), [*part, fast], loss or labels_loss(model), [model]),
    ]


def one_phase(model, epochs=1, loss=None, schedule=COSINE):
    groups = [{"params": list(model.parameters())}]
    return [Phase("labels", epochs, adamw(schedule), groups, loss or labels_loss(model), [model])]


def make_run(folder, seed=7, fingerprint="the same", name="toy", section="training"):
    return Run(name, seed, folder / "history.csv", fingerprint, section=section)


def train(folder, dataset=None, training=PLAIN, phases=two_phases, seed=7, **run):
    """Train a new Toy in `folder` and return its state."""
    model = Toy()
    fit(make_run(folder, seed, **run), model, phases(model), dataset or make_dataset(), training)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def train_until(step, folder, whole=two_phases, **run):
    """Train like `train`, but fall over in the forward pass of a training step (from 1)."""
    count = 0

    def phases(model):
        def falling(loss):
            def call(images, labels, *wanted):
                nonlocal count
                count += torch.is_grad_enabled()
                if count == step:
                    raise Interrupted
                return loss(images, labels, *wanted)

            return call

        return [Phase(**{**vars(p), "loss": falling(p.loss)}) for p in whole(model)]

    with pytest.raises(Interrupted):
        train(folder, phases=phases, **run)


def rows_of(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def different(one, other):
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def spy(seen):
    """Return a phase function that notes the images and labels of training and validation."""

    def phases(model):
        inner = labels_loss(model)

        def loss(images, labels):
            key = "train" if torch.is_grad_enabled() else "validation"
            middle = images[:, :, 16, 16].float().cpu().numpy().astype(int)
            seen.setdefault(key, []).append((middle[:, 0].tolist(), labels.tolist()))
            return inner(images, labels)

        return one_phase(model, 3, loss)

    return phases


# The loss


def naive_distillation(student, teacher, labels, temperature, alpha):
    """alpha·T²·CE(softmax(teacher/T), student/T) + (1 - alpha)·CE(labels), number by number."""
    total = 0.0
    for s, t, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        norm = sum(math.exp(x / temperature) for x in t)
        targets = [math.exp(x / temperature) / norm for x in t]
        softened = math.log(sum(math.exp(x / temperature) for x in s))
        soft = -sum(p * (x / temperature - softened) for p, x in zip(targets, s, strict=True))
        hard = math.log(sum(math.exp(x) for x in s)) - s[label]
        total += alpha * temperature**2 * soft + (1 - alpha) * hard
    return total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.8, 1.0])
def test_distillation_loss_is_the_published_formula(temperature, alpha):
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (6,), generator=generator)
    loss = distillation_loss(student, teacher, labels, temperature, alpha)
    naive = naive_distillation(student, teacher, labels, temperature, alpha)
    assert loss.item() == pytest.approx(naive, rel=1e-12)


# Interruptions


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1, 2 * STEPS + 1, 3 * STEPS + 2, 5 * STEPS])
def test_an_interrupted_run_ends_as_if_it_had_not_been(tmp_path, step):
    whole = train(tmp_path / "whole", training=Training(BATCH, False, CHANGED))
    train_until(step, tmp_path / "cut", training=Training(BATCH, False, CHANGED))
    assert_same(train(tmp_path / "cut", training=Training(BATCH, False, CHANGED)), whole)
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("whole", "cut")]
    assert histories[0] == histories[1]
    assert not list(tmp_path.glob("**/.ckpt/*"))


def test_finished_epochs_are_not_trained_again(tmp_path):
    train_until(3 * STEPS + 2, tmp_path)  # in the fourth epoch of five
    seen = {}
    model = Toy()
    phases = [Phase(**{**vars(p), "loss": spy(seen)(model)[0].loss}) for p in two_phases(model)]
    fit(make_run(tmp_path), model, phases, make_dataset(), PLAIN)
    assert len(seen["train"]) == 2 * STEPS
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["1", "2", "3", "4", "5"]


def test_a_run_may_be_interrupted_again_and_again(tmp_path):
    whole = train(tmp_path / "whole")
    for _ in range(3):
        train_until(STEPS + 3, tmp_path / "cut")  # one epoch further every time
    assert len(rows_of(tmp_path / "cut")) == 3
    assert_same(train(tmp_path / "cut"), whole)


def test_an_interruption_while_the_state_is_written_costs_one_epoch(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")
    save, count = torch.save, 0

    def half(state, target):
        nonlocal count
        count += 1
        if count < 3:
            return save(state, target)
        target.write(b"PK half a file")
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(Interrupted):
            train(tmp_path / "cut")
    assert_same(train(tmp_path / "cut"), whole)
    assert not list(tmp_path.glob("**/.ckpt/*"))


@pytest.mark.parametrize("other", [{"fingerprint": ["another", 1]}, {"name": "another"}])
def test_the_state_of_another_run_is_not_resumed(tmp_path, other):
    whole = train(tmp_path / "whole")
    train_until(3 * STEPS, tmp_path / "other", seed=8, **other)
    assert list(tmp_path.glob(".ckpt/*.pt"))
    assert_same(train(tmp_path / "mine"), whole)


# Places that cannot be written


def make_unwritable(folder, place):
    """Put a file where the folder of a path must be; it stops root, too."""
    if (folder / place).is_dir():
        (folder / place).rmdir()
    (folder / place).write_text("")


def test_a_checkpoint_that_cannot_be_written_warns_once_and_loses_nothing(tmp_path, caplog):
    whole = train(tmp_path / "whole")
    make_unwritable(tmp_path, ".ckpt")
    caplog.clear()
    assert_same(train(tmp_path / "cut"), whole)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert ".ckpt" in warnings[0].message and "cannot be resumed" in warnings[0].message
    assert (tmp_path / "cut" / "history.csv").is_file()


def test_a_disk_that_fills_during_the_training_warns_once_and_loses_nothing(
    tmp_path, caplog, monkeypatch
):
    whole = train(tmp_path / "whole")
    save = torch.save

    def full(state, target):
        if "position" in state:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(state, target)

    monkeypatch.setattr(torch, "save", full)
    caplog.clear()
    assert_same(train(tmp_path / "cut"), whole)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "the disk is full" in warnings[0].message


@pytest.mark.parametrize("place", ["history", "weights"])
def test_outputs_that_cannot_be_written_are_told_before_the_training(place, tmp_path):
    make_unwritable(tmp_path, place)
    model, trained = Toy(), []

    def loss(images, labels):
        trained.append(len(images))
        return labels_loss(model)(images, labels)

    folder = {"history": tmp_path, "weights": tmp_path} | {place: tmp_path / place}
    run = Run(
        "toy",
        7,
        folder["history"] / "a.csv",
        "x",
        folder["weights"] / "w.pt",
    )
    with pytest.raises(OSError) as caught:
        fit(run, model, one_phase(model, loss=loss), make_dataset(), PLAIN)
    assert str(tmp_path / place) in str(caught.value.filename) and not trained


def test_an_interrupted_training_says_that_it_resumes_only_if_it_does(tmp_path):
    for steps, notes in ((1, 0), (STEPS + 1, 1)):
        model = Toy()
        left = [steps]

        def loss(images, labels, model=model, left=left):
            left[0] -= torch.is_grad_enabled()
            if left[0] < 0:
                raise KeyboardInterrupt
            return labels_loss(model)(images, labels)

        phases = one_phase(model, epochs=3, loss=loss)
        with pytest.raises(KeyboardInterrupt) as caught:
            fit(make_run(tmp_path), model, phases, make_dataset(), PLAIN)
        assert len(getattr(caught.value, "__notes__", ())) == notes


# A damaged state


def state_file():
    (path,) = Path(".ckpt").glob("*.pt")
    return path


@pytest.mark.parametrize("damage", [b"", b"PK\3\4", "flip", "cut"])
def test_a_damaged_state_is_set_aside_and_the_run_starts_again(tmp_path, damage, caplog):
    whole = train(tmp_path)
    history = (tmp_path / "history.csv").read_bytes()
    train_until(3 * STEPS + 2, tmp_path)
    path = state_file()
    good = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        at = good.index(max(map(archive.read, archive.namelist()), key=len))
    flipped = good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :]
    bad = {"flip": flipped, "cut": good[: len(good) // 2]}.get(damage, damage)
    path.write_bytes(bad)
    assert_same(train(tmp_path), whole)
    assert (tmp_path / "history.csv").read_bytes() == history
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.read_bytes() == bad
    assert f"{path} cannot be resumed from" in caplog.text and str(aside) in caplog.text
    assert sorted(Path(".ckpt").iterdir()) == [aside]


def spoil_model(state):
    state["model"]["linear.bias"][0] = math.nan


SPOILT = {
    "no mapping": lambda state: state.clear(),
    "position": lambda state: state.update(position=[1, 3]),
    "rows": lambda state: state["rows"].pop(),
    "odd rows": lambda state: state["rows"][1].pop("loss"),
    "time": lambda state: state.update(seconds=math.inf),
    "keys": lambda state: state["model"].pop("linear.bias"),
    "shape": lambda state: state["model"].update({"linear.bias": torch.zeros(3)}),
    "numbers": spoil_model,
    "groups": lambda state: state["optimizer"]["param_groups"].pop(),
    "no optimiser": lambda state: state.update(optimizer=None),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_state_that_does_not_fit_is_set_aside(tmp_path, spoil):
    train_until(3 * STEPS + 2, tmp_path)
    path = state_file()
    state = torch.load(path, weights_only=True)
    model = Toy()
    assert read_checkpoint(path, model, two_phases(model))["position"] == [1, 0]
    spoil(state)
    torch.save(state, path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert read_checkpoint(path, model, two_phases(model)) is None
    assert not path.exists() and path.with_name(f"{path.name}.damaged").exists()
    assert_same(model.state_dict(), before)


# The seed


def test_a_seed_gives_one_result(tmp_path):
    changed = Training(BATCH, False, CHANGED)
    one = train(tmp_path / "one", training=changed)
    torch.rand(3)  # whatever else draws from the global generator plays no part
    again = train(tmp_path / "again", training=changed)
    other = train(tmp_path / "other", training=changed, seed=8)
    assert_same(one, again)
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "again")
    assert different(one, other)
    assert rows_of(tmp_path / "one") != rows_of(tmp_path / "other")


def test_the_epochs_of_a_run_differ_in_their_order(tmp_path):
    seen = {}
    train(tmp_path, numbered_dataset(), phases=spy(seen))
    epochs = [[n for ids, _ in epoch for n in ids] for epoch in epochs_of(seen["train"])]
    assert len(epochs) == 3 and epochs[0] != epochs[1] != epochs[2] != epochs[0]


# The images


def numbered_dataset(train=TRAIN):
    """Return images that their brightness identifies: 1… for training, 101…, 201… for the test."""
    names = tuple(map(str, range(CLASSES)))
    splits = numbered(1, train), numbered(101, VALIDATION), numbered(201, 8)
    return Dataset(*splits, names, np.full(3, 0.5), np.ones(3))


def epochs_of(batches):
    return [batches[i : i + STEPS] for i in range(0, len(batches), STEPS)]


def test_an_epoch_takes_every_image_once_and_drops_the_last_batch(tmp_path):
    seen = {}
    train(tmp_path, numbered_dataset(), Training(BATCH, False, CHANGED), spy(seen))
    assert len(seen["train"]) == 3 * STEPS
    for epoch in epochs_of(seen["train"]):
        ids = [number for batch, _ in epoch for number in batch]
        assert [len(batch) for batch, _ in epoch] == [BATCH] * STEPS
        assert len(set(ids)) == len(ids) and set(ids) <= set(range(1, TRAIN + 1))
        for batch, labels in epoch:
            assert labels == [(number - 1) % CLASSES for number in batch]


def test_validation_images_are_validated_on_and_never_trained_on(tmp_path):
    seen = {}
    train(tmp_path, numbered_dataset(), Training(BATCH, False, CHANGED), spy(seen))
    trained = {number for ids, _ in seen["train"] for number in ids}
    validated = [number for ids, _ in seen["validation"] for number in ids]
    assert trained <= set(range(1, TRAIN + 1))
    assert sorted(validated) == sorted(3 * list(range(101, 101 + VALIDATION)))


def test_the_test_images_are_not_looked_at(tmp_path):
    whole = train(tmp_path / "whole")
    assert_same(train(tmp_path / "blind", dataset=Blind(make_dataset())), whole)


def test_training_images_are_augmented_and_validation_images_are_not(tmp_path):
    borders = {True: set(), False: set()}

    def phases(model):
        def loss(images, labels):
            border = (images.flatten(1) == 0).any(dim=1)  # black comes in with the shifts alone
            borders[torch.is_grad_enabled()].update(border.tolist())
            return labels_loss(model)(images, labels)

        return one_phase(model, 3, loss)

    train(tmp_path, numbered_dataset(), Training(BATCH, False, CHANGED), phases)
    assert borders == {True: {True, False}, False: {False}}


def test_a_batch_of_the_whole_set_is_one_step(tmp_path):
    seen = {}
    train(tmp_path, numbered_dataset(), Training(TRAIN, False, AS_IS), spy(seen))
    assert [sorted(ids) for ids, _ in seen["train"]] == 3 * [list(range(1, TRAIN + 1))]


@pytest.mark.parametrize("section", ["training", "convnet"])
def test_a_batch_larger_than_the_set_is_refused(tmp_path, section):
    message = f"{section}.batch_size is {TRAIN + 1}.*only {TRAIN} images"
    with pytest.raises(PipelineError, match=message):
        train(tmp_path, training=Training(TRAIN + 1, False, AS_IS), section=section)
    assert not list(tmp_path.rglob("*"))


# Stored views


def make_views(dataset, flip=True, count=2):
    """Return views whose logits say (view, number of the image) of every image."""
    images = torch.from_numpy(dataset.train.images).permute(0, 3, 1, 2)
    how = Augment(crop_padding=2, flip=flip, rand_augment=False)
    numbers = np.arange(len(images))
    logits = [np.stack([np.full_like(numbers, view), numbers], axis=1) for view in range(count)]
    sums = [checksum(view_images(images, how, 3, view)) for view in range(count)]
    return Views(np.array(logits, np.float16), np.array(sums, np.uint32), how, 3)


def with_views(views, seen=None):
    """Return a phase function that trains on stored views and notes what the loss was given."""

    def phases(model):
        def loss(images, labels, target=None):
            if seen is not None:
                seen.append((images.clone(), labels, target))
            logits = model(images)
            if target is None:
                return functional.cross_entropy(logits, labels), logits
            return functional.mse_loss(logits[:, :2], target / 100), logits

        return [Phase(**{**vars(one_phase(model, 4, loss)[0]), "views": views})]

    return phases


@pytest.mark.parametrize("flip", [False, True])
def test_epochs_go_through_the_stored_views_in_turn(tmp_path, flip):
    dataset, seen = make_dataset(), []
    views = make_views(dataset, flip)
    others = Training(BATCH, False, Augment(0, not flip, False))  # of no account here
    train(tmp_path, dataset, others, with_views(views, seen))
    trained = [call for call in seen if call[2] is not None]
    assert len(trained) == 4 * STEPS
    images = torch.from_numpy(dataset.train.images).permute(0, 3, 1, 2)
    drawn = [view_images(images, views.how, 3, view) for view in range(2)]
    mirrored = 0
    for step, (batch, labels, target) in enumerate(trained):
        view, numbers = step // STEPS % 2, target[:, 1].long()
        assert set(target[:, 0].tolist()) == {view}
        assert labels.tolist() == dataset.train.labels[numbers].tolist()
        expected = drawn[view][numbers]
        flipped = (batch == expected.flip(3)).all(dim=(1, 2, 3))
        assert (flipped | (batch == expected).all(dim=(1, 2, 3))).all()
        mirrored += int(flipped.sum())
    assert (0.3 < mirrored / (4 * STEPS * BATCH) < 0.7) if flip else mirrored == 0


def test_validation_has_no_stored_logits(tmp_path):
    seen = []
    train(tmp_path, phases=with_views(make_views(make_dataset()), seen))
    validated = [(images, labels) for images, labels, target in seen if target is None]
    assert [len(labels) for _, labels in validated] == 4 * [VALIDATION]
    expected = torch.from_numpy(make_dataset().validation.images).permute(0, 3, 1, 2)
    assert all(torch.equal(images, expected) for images, _ in validated)


def test_an_interrupted_run_on_views_ends_as_if_it_had_not_been(tmp_path):
    phases = with_views(make_views(make_dataset()))
    whole = train(tmp_path / "whole", phases=phases)
    train_until(2 * STEPS + 2, tmp_path / "cut", phases)
    assert_same(train(tmp_path / "cut", phases=phases), whole)


def test_views_of_other_images_are_refused(tmp_path):
    views = make_views(make_dataset(train=TRAIN + 1))
    with pytest.raises(PipelineError, match="other images"):
        train(tmp_path, phases=with_views(views))


def test_weights_are_written_before_the_checkpoint_goes(tmp_path, monkeypatch):
    """A kill while they are written costs no epoch: the next run only writes them."""
    phases, weights = one_phase, tmp_path / "float.pt"

    def run():
        model, made = Toy(), replace(make_run(tmp_path), weights=weights)
        fit(made, model, phases(model), make_dataset(), PLAIN)
        return made, model

    def falling(module, path):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", falling)
        with pytest.raises(Interrupted):
            run()
    assert not weights.exists() and make_run(tmp_path).checkpoint.exists()
    with monkeypatch.context() as patch:
        patch.setattr(EagerStep, "__call__", falling)
        made, model = run()
    assert not made.checkpoint.exists()
    assert_same(read_state(weights), model.state_dict())
    assert_same(read_state(weights), train(tmp_path / "whole", phases=phases))


# The optimiser


def test_the_learning_rate_follows_half_a_cosine_in_every_group(tmp_path):
    rates = []
    handle = register_optimizer_step_post_hook(
        lambda optimizer, *_: rates.append([float(g["lr"]) for g in optimizer.param_groups])
    )
    try:
        model = Toy()
        phase = two_phases(model)[1]
        phase = Phase(**{**vars(phase), "epochs": 40})
        fit(make_run(tmp_path), model, [phase], make_dataset(), PLAIN)
    finally:
        handle.remove()
    slow, fast = (np.array(group) for group in zip(*rates, strict=True))
    assert len(slow) == 40 * STEPS
    assert slow[0] == 0.02 and fast[0] == 0.005
    assert slow[-1] == pytest.approx(0.001, rel=0.02) and slow[-1] >= 0.001
    assert (np.diff(slow) <= 0).all()
    done = np.arange(len(slow)) / len(slow)
    cosine = 0.001 + (0.02 - 0.001) * (1 + np.cos(np.pi * done)) / 2
    # Whether a rate is set per step or per epoch is open here: an epoch is 1/40 of the way.
    np.testing.assert_allclose(slow, cosine, atol=0.02 * np.pi / 2 / 40)
    np.testing.assert_allclose(fast / 0.005, slow / 0.02)  # groups keep their proportion


def test_a_phase_without_decay_leaves_unused_parameters_alone(tmp_path):
    before, after = Toy().state_dict(), train(tmp_path, phases=lambda m: two_phases(m)[:1])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"linear.weight", "linear.bias"}  # the norm was in eval mode and in no group


def test_weight_decay_pulls_the_weights_of_its_groups_alone(tmp_path):
    def phases(model):
        def no_gradient(images, labels):
            zero = sum(0 * parameter.sum() for parameter in model.parameters())
            return zero, model(images)

        still = Schedule(learning_rate=0.1, learning_rate_min=0.1, weight_decay=0.5)
        groups = [
            {"params": [model.linear.weight]},
            {"params": [model.linear.bias], "weight_decay": 0.0},
        ]
        return [Phase("decay", 1, adamw(still), groups, no_gradient, [])]

    before, after = Toy().state_dict(), train(tmp_path, phases=phases)
    shrunk = before["linear.weight"] * (1 - 0.1 * 0.5) ** STEPS
    torch.testing.assert_close(after["linear.weight"], shrunk)
    assert torch.equal(after["linear.bias"], before["linear.bias"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("bad_epoch", [1, 2])
def test_a_loss_that_is_no_number_ends_the_run(tmp_path, value, bad_epoch):
    steps = 0

    def phases(model):
        def loss(images, labels):
            nonlocal steps
            steps += torch.is_grad_enabled()
            result, logits = labels_loss(model)(images, labels)
            return result * (value if steps == (bad_epoch - 1) * STEPS + 2 else 1), logits

        return one_phase(model, 3, loss)

    with pytest.raises(PipelineError, match=f"epoch {bad_epoch} .*learning_rate"):
        train(tmp_path, phases=phases)
    rows = rows_of(tmp_path) if (tmp_path / "history.csv").exists() else []
    assert len(rows) == bad_epoch - 1


def test_a_run_whose_very_last_step_diverges_does_not_count_as_trained(tmp_path):
    """The loss of a step is that before it; only the validation sees what the last one did."""

    def phases(model):
        def loss(images, labels):
            result, logits = labels_loss(model)(images, labels)
            return result * (1 if torch.is_grad_enabled() else math.nan), logits

        return one_phase(model, 1, loss)

    with pytest.raises(PipelineError, match="learning_rate"):
        train(tmp_path, phases=phases)


# What is reported


def test_history_tells_the_losses_and_accuracies(tmp_path):
    dataset, losses, hits = make_dataset(validation=1003), [], []
    model = Toy()

    def loss(images, labels):
        result, logits = labels_loss(model)(images, labels)
        if torch.is_grad_enabled():
            losses.append(result.item())
            hits.extend((logits.argmax(dim=1) == labels).tolist())
        return result, logits

    fit(make_run(tmp_path), model, one_phase(model, 2, loss), dataset, PLAIN)
    row = rows_of(tmp_path)[-1]
    assert float(row["loss"]) == pytest.approx(np.mean(losses[-STEPS:]), abs=1e-5)
    assert float(row["accuracy"]) == pytest.approx(100 * np.mean(hits[-STEPS * BATCH :]), abs=1e-2)
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(dataset.validation.images).permute(0, 3, 1, 2))
    labels = torch.from_numpy(dataset.validation.labels)
    expected = functional.cross_entropy(logits, labels).item()
    assert float(row["val_loss"]) == pytest.approx(expected, abs=1e-5)
    right = (logits.argmax(dim=1) == labels).float().mean().item()
    assert float(row["val_accuracy"]) == pytest.approx(100 * right, abs=1e-2)


def test_history_numbers_the_epochs_through_all_phases(tmp_path):
    train(tmp_path)
    rows = rows_of(tmp_path)
    assert [(row["epoch"], row["phase"]) for row in rows] == [
        ("1", "part"),
        ("2", "part"),
        ("3", "all"),
        ("4", "all"),
        ("5", "all"),
    ]
    for row in rows:  # a phase that does not classify has no accuracy
        assert (row["accuracy"] == "") == (row["val_accuracy"] == "") == (row["phase"] == "part")
        assert math.isfinite(float(row["val_loss"]))


def cost_of(folder):
    return json.loads((folder / "history.json").read_text())


@pytest.fixture
def clock(monkeypatch):
    """Let a second pass whenever the training loop looks at the clock: an epoch takes one."""
    ticks = iter(range(1000))
    stand_in = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr("stages.training.loop.time", stand_in)


def test_the_cost_of_a_run_is_kept_beside_its_history(tmp_path, clock):
    train(tmp_path)
    cost = cost_of(tmp_path)
    assert cost.keys() == {"epochs", "seconds", "processor", "threads", "torch"}
    assert (cost["epochs"], cost["seconds"]) == (5, 5.0)
    assert cost["threads"] == torch.get_num_threads() and cost["torch"] == torch.__version__
    assert isinstance(cost["processor"], str) and cost["processor"].strip()


def test_the_cost_counts_what_was_trained_before_an_interruption(tmp_path, clock):
    train_until(3 * STEPS + 2, tmp_path)
    assert not (tmp_path / "history.json").exists()  # only of runs that ended
    train(tmp_path)
    assert (cost_of(tmp_path)["epochs"], cost_of(tmp_path)["seconds"]) == (5, 5.0)


def test_no_epochs_cost_nothing(tmp_path):
    train(tmp_path, phases=lambda model: one_phase(model, 0))
    assert (cost_of(tmp_path)["epochs"], cost_of(tmp_path)["seconds"]) == (0, 0.0)


def test_no_epochs_leave_the_weights_and_an_empty_history(tmp_path):
    after = train(tmp_path, phases=lambda model: one_phase(model, 0))
    assert_same(after, Toy().state_dict())
    assert rows_of(tmp_path) == []


def test_predict_gives_the_logits_of_eval_mode_in_order():
    model = Toy().train()
    pixels = torch.from_numpy(split_of(1003, 5).images).permute(0, 3, 1, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    logits = predict(model, pixels, CPU)
    assert_same(model.state_dict(), before)
    assert logits.shape == (1003, CLASSES) and not logits.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(logits, model.eval()(pixels))


def test_accuracy_is_in_percent():
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, 2.0, 1.0], [0.0, 0.0, 9.0], [5.0, 0.0, 1.0]])
    assert accuracy(logits, torch.tensor([1, 0, 2, 2])) == 75.0
    assert accuracy(logits, torch.tensor([1, 0, 2, 0])) == 100.0
