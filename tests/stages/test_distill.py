"""Knowledge transfer and distillation of a student: what changes, what stays, and at which rate."""

import copy
import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

import stages.distill
import stages.quantize
from models.float.checkpoint import save_state
from stages.distill import distill, distill_phase, transfer_phase
from stages.networks.convnet import build_convnet
from stages.networks.resmlp import build_network, frozen_pass
from stages.networks.view_bank import bank_path, stored_views
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Augment, NetworkSizes, Params, Training, load_params
from stages.quantize import quantize
from stages.train_teacher import train_teacher
from stages.training.loop import Run, distillation, fit
from tests.support.paths import ROOT

pytestmark = pytest.mark.training

ACTIVATIONS = ("relu", "bspline", "lerp_psa")
BLOCKS = 3
SPLINE_RATE = 0.004
PLAIN = Training(batch_size=8, fused=False, augment=Augment(0, False, False))
FUSED = replace(PLAIN, fused=True)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unchecked(section, **values):
    """Return a section with other values, also with those that params.yaml refuses: 0 epochs."""
    changed = copy.copy(section)
    for name, value in values.items():
        object.__setattr__(changed, name, value)
    return changed


def toy_params(**distill_keys) -> Params:
    """Return the demo's params with one small variant per activation, named like it."""
    params = load_params(ROOT / "demo" / "params.yaml")
    schedule = replace(
        params.distill,
        epochs=1,
        spline_learning_rate=SPLINE_RATE,
        weight_decay=0.1,
        muon_learning_rate=None,
        stored_views=False,
    )
    variants = {}
    for variant in params.variants.values():
        name = variant.network.activation
        variants[name] = replace(
            variant,
            name=name,
            network=replace(variant.network, hidden_dim=8),
            transfer=replace(variant.transfer, epochs_per_block=1),
            distill=unchecked(schedule, **distill_keys),
        )
    return replace(
        params,
        network=NetworkSizes(patch_size=8, embed_dim=8, num_blocks=BLOCKS),
        training=PLAIN,
        teacher=replace(params.teacher, hidden_dim=16),
        variants=variants,
    )


def without_transfer(params: Params, name: str) -> Params:
    variant = params.variant(name)
    skipped = replace(variant, transfer=replace(variant.transfer, epochs_per_block=0))
    return replace(params, variants={name: skipped})


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return Split(images, np.arange(count) % 5)

    return Dataset(split(40), split(15), split(10), tuple("abcde"), np.full(3, 0.5), np.ones(3))


def new_networks(params, name, dataset):
    """Return a student and a teacher whose norms have seen something."""
    torch.manual_seed(1)
    student, teacher = (
        build_network(params, name, dataset),
        build_network(params, "teacher", dataset),
    )
    student.embed_linear.load_state_dict(teacher.embed_linear.state_dict())
    teacher.train()(pixels(dataset))
    with torch.no_grad():  # a spline that is a little bent everywhere has a penalty everywhere
        for key, parameter in student.named_parameters():
            if key.endswith("coefficients"):
                parameter += 0.1 * torch.randn_like(parameter)
    return student, teacher.eval().requires_grad_(False)


def pixels(dataset):
    return torch.from_numpy(dataset.train.images).permute(0, 3, 1, 2)


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed_keys(before, network):
    after = network.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def train(phases, student, dataset, params):
    run = Run("toy", params.seed, Path("history.csv"), "toy")
    fit(run, student, phases, dataset, params.training)


def naive_tv2(network, knot_distance):
    """Sum |c[k-1] - 2 c[k] + c[k+1]| / T over all knots, channels and splines (published §1)."""
    total = 0.0
    for key, parameter in network.named_parameters():
        if key.endswith("coefficients"):
            for c in parameter.tolist():
                bends = (abs(c[k - 1] - 2 * c[k] + c[k + 1]) for k in range(1, len(c) - 1))
                total += sum(bends) / knot_distance
    return total


def rates_of(student, phases, dataset, params):
    """Train and return {parameter name: (first learning rate, weight decay)} of every phase."""
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    found = []

    def note(optimizer, *_):
        rates = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert names[id(parameter)] not in rates
                rates[names[id(parameter)]] = (float(group["lr"]), group["weight_decay"])
        found.append(rates)

    handle = register_optimizer_step_post_hook(note)
    try:
        train(phases, student, dataset, params)
    finally:
        handle.remove()
    return found[:: len(dataset.train) // params.training.batch_size]


# Knowledge transfer


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_transfer_of_a_block_changes_that_block_alone(name, block, dataset):
    params = toy_params()
    student, teacher = new_networks(params, name, dataset)
    before, teacher_before = state_of(student), state_of(teacher)
    train(
        [transfer_phase(params.variant(name), student, teacher, block, PLAIN)],
        student,
        dataset,
        params,
    )
    changed = changed_keys(before, student)
    # Weights and statistics alike, and none of them stays.
    assert changed == {key for key in before if key.startswith(f"blocks.{block}.")}
    assert changed_keys(teacher_before, teacher) == set()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_transfer_compares_the_outputs_of_a_block(block, dataset):
    params = toy_params()
    student, teacher = new_networks(params, "relu", dataset)
    phase = transfer_phase(params.variant("relu"), student, teacher, block, PLAIN)
    images = pixels(dataset)[:6]
    student.eval()
    loss, logits = phase.loss(images, torch.zeros(6, dtype=torch.int64))
    ours, theirs = (network.features(images, block) for network in (student, teacher))
    expected = (ours - theirs).square().mean()
    torch.testing.assert_close(loss, expected)
    assert logits is None


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_transfer_brings_each_block_nearer_to_the_teacher(name, dataset):
    params = toy_params()
    variant = params.variant(name)
    transfer = replace(variant.transfer, epochs_per_block=16, learning_rate=0.01)
    variant = replace(variant, transfer=transfer)
    student, teacher = new_networks(params, name, dataset)
    for block in range(BLOCKS):
        phase = transfer_phase(variant, student, teacher, block, PLAIN)
        before = loss_of(phase, student, dataset)
        train([phase], student, dataset, params)
        assert loss_of(phase, student, dataset) < before / 2


def test_distill_copies_the_embedding_and_transfer_keeps_it(dataset):
    params = toy_params(epochs=0)  # stop after the transfer
    teacher = saved_teacher(params, dataset)
    student = distill(params, "lerp_psa", dataset).cpu()
    for key, tensor in teacher.embed_linear.state_dict().items():
        assert torch.equal(student.embed_linear.state_dict()[key], tensor)
    fresh = build_network(params, "lerp_psa", dataset)
    assert torch.equal(student.norm.running_mean, fresh.norm.running_mean)
    assert rows() == [(str(block + 1), f"transfer_{block}") for block in range(BLOCKS)]


def test_distill_then_trains_everything(dataset):
    params = toy_params()
    saved_teacher(params, dataset)
    before = state_of(distill(toy_params(epochs=0), "lerp_psa", dataset).cpu())
    student = distill(params, "lerp_psa", dataset).cpu()
    constants = {"input.mean", "input.std"}
    assert changed_keys(before, student) == before.keys() - constants


def test_no_epochs_per_block_skip_the_transfer(dataset):
    params = toy_params()
    saved_teacher(params, dataset)
    distill(without_transfer(params, "lerp_psa"), "lerp_psa", dataset)
    assert rows("lerp_psa") == [("1", "distill")]


def test_transfer_uses_its_own_schedule(dataset):
    params = toy_params()
    variant = params.variant("relu")
    student, teacher = new_networks(params, "relu", dataset)
    transfer = replace(
        variant.transfer, epochs_per_block=2, learning_rate=0.03, learning_rate_min=0.03
    )
    phase = transfer_phase(replace(variant, transfer=transfer), student, teacher, 0, PLAIN)
    rates = rates_of(student, [phase], dataset, params)
    assert len(rates) == 2  # epochs
    assert {rate for epoch in rates for rate, _ in epoch.values()} == {0.03}


def saved_teacher(params, dataset):
    """Write a data set and a teacher where `distill` looks for them, and return the teacher."""
    _, teacher = new_networks(params, "relu", dataset)
    dataset.save("data/dataset.npz")
    save_state(teacher, "data/teacher/float.pt")
    return teacher


def rows(name="lerp_psa"):
    with open(f"data/history/float/{name}.csv", newline="") as file:
        return [(row["epoch"], row["phase"]) for row in csv.DictReader(file)]


# The frozen teacher's pass


@pytest.mark.parametrize("which", [0, 1], ids=["student", "teacher"])
def test_the_fused_pass_of_a_frozen_network_computes_its_logits(which, dataset):
    network = new_networks(toy_params(), "lerp_psa", dataset)[which].eval().requires_grad_(False)
    before = state_of(network)
    got, expected = frozen_pass(network, FUSED)(pixels(dataset)), network(pixels(dataset))
    assert got.dtype == torch.float32 and not got.requires_grad
    assert (got - expected).norm() < 0.02 * expected.norm()  # bfloat16, or float32
    assert changed_keys(before, network) == set()


def test_without_kernels_or_unasked_a_frozen_network_runs_as_it_is(dataset, monkeypatch):
    _, teacher = new_networks(toy_params(), "relu", dataset)
    assert frozen_pass(teacher, PLAIN) is teacher
    monkeypatch.setattr("models.float.fused.passes._cpu_operations", lambda dtype: None)
    assert frozen_pass(teacher, FUSED) is teacher


def test_distillation_folds_the_teacher_once(dataset, monkeypatch):
    folded = []
    monkeypatch.setattr(
        "stages.distill.frozen_pass", lambda network, training: folded.append(network) or network
    )
    params = toy_params()
    student, teacher = new_networks(params, "relu", dataset)
    train(
        [distill_phase(params.variant("relu"), student, teacher, PLAIN)], student, dataset, params
    )
    assert folded == [teacher]


# The optimiser's groups


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_splines_have_their_own_rate_and_no_decay(name, dataset):
    params = toy_params()
    variant = params.variant(name)
    student, teacher = new_networks(params, name, dataset)
    phases = [
        transfer_phase(variant, student, teacher, 1, PLAIN),
        distill_phase(variant, student, teacher, PLAIN),
    ]
    transfer, distilled = rates_of(student, phases, dataset, params)
    names = {name for name, _ in student.named_parameters()}
    assert transfer.keys() == {name for name in names if name.startswith("blocks.1.")}
    assert distilled.keys() == names
    for rates, schedule in ((transfer, variant.transfer), (distilled, variant.distill)):
        for key, rate in rates.items():
            own = key.endswith("coefficients")
            usual = (schedule.learning_rate, schedule.weight_decay)
            assert rate == ((SPLINE_RATE, 0.0) if own else usual), key
    splines = [key for key in distilled if key.endswith("coefficients")]
    assert len(splines) == (2 * BLOCKS if name == "bspline" else 0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_muon_takes_the_weight_matrices_and_leaves_splines_and_the_rest(name, dataset):
    params = toy_params(learning_rate=0.001, muon_learning_rate=0.03)
    student, teacher = new_networks(params, name, dataset)
    phase = distill_phase(params.variant(name), student, teacher, PLAIN)
    groups = phase.method.optimizer(phase.groups).param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    for key, parameter in student.named_parameters():
        matrix = "linear" in key and key.endswith(".weight")
        usual = SPLINE_RATE if key.endswith("coefficients") else 0.001
        assert rates.pop(id(parameter)) == (0.03 if matrix else usual), key
    assert not rates


# Stored views


def test_with_stored_views_the_teacher_is_asked_in_validation_alone(dataset, monkeypatch):
    params = toy_params(stored_views=True, epochs=2)
    saved_teacher(params, dataset)
    stored_views(params, "teacher", dataset)
    asked = []
    monkeypatch.setattr(
        "stages.distill.frozen_pass",
        lambda network, training: lambda images: asked.append(len(images)) or network(images),
    )
    distill(without_transfer(params, "relu"), "relu", dataset)
    assert asked == [len(dataset.validation)]  # once: it says the same after every epoch


def test_stored_views_are_what_the_teacher_would_say(dataset):
    """The loss with stored logits is that with the teacher's own, up to their float16."""
    params = toy_params(stored_views=True)
    student, teacher = new_networks(params, "relu", dataset)
    phase = distill_phase(params.variant("relu"), student, teacher, PLAIN)
    labels = torch.from_numpy(dataset.train.labels)
    with torch.no_grad():
        stored = teacher(pixels(dataset)).half().float()
        student.eval()
        asked, given = (phase.loss(pixels(dataset), labels, *t)[0] for t in ((), (stored,)))
    torch.testing.assert_close(given, asked, rtol=1e-3, atol=1e-3)
    assert phase.views is None


@pytest.mark.parametrize("stored", [True, False])
def test_views_are_stored_only_where_they_are_asked_for(stored, dataset):
    params = toy_params(stored_views=stored)
    saved_teacher(params, dataset)
    distill(without_transfer(params, "relu"), "relu", dataset)
    assert len([*Path().glob(".ckpt/teacher-views-*.npz")]) == stored


def test_damaged_views_are_set_aside_and_made_again(dataset, caplog):
    params = toy_params(stored_views=True)
    saved_teacher(params, dataset)
    path = bank_path(params, "teacher")
    path.parent.mkdir()
    path.write_bytes(b"")
    distill(params, "relu", dataset)
    assert f"{path} is damaged" in caplog.text and path.with_name(f"{path.name}.damaged").exists()
    assert path.stat().st_size > 0 and Path("data/relu/float.pt").exists()


# The seed


def test_a_seed_of_its_own_changes_the_student_and_nothing_else(dataset):
    params = toy_params()
    saved_teacher(params, dataset)
    before = Path("data/teacher/float.pt").read_bytes()

    def student(seed):
        chosen = toy_params(seed=seed)
        assert chosen.seed == params.seed  # which the split and the teacher depend on
        return state_of(distill(chosen, "lerp_psa", dataset).cpu())

    general, same, other = student(None), student(params.seed), student(params.seed + 1)
    assert all(torch.equal(general[key], same[key]) for key in general)
    matrices = [key for key in general if key.endswith("linear_1.weight")]
    assert matrices and not any(torch.equal(general[key], other[key]) for key in matrices)
    assert Path("data/teacher/float.pt").read_bytes() == before


def test_a_seed_of_its_own_starts_from_the_teachers_embedding_too(dataset):
    params = toy_params(seed=7, epochs=0)
    teacher = saved_teacher(params, dataset)
    student = distill(without_transfer(params, "relu"), "relu", dataset).cpu()
    assert torch.equal(student.embed_linear.weight, teacher.embed_linear.weight)


# The losses


def loss_of(phase, student, dataset):
    student.eval()
    labels = torch.from_numpy(dataset.train.labels)
    with torch.no_grad():
        return phase.loss(pixels(dataset), labels)[0].item()


def with_tv2(network, weight):
    for part in network.modules():
        if hasattr(part, "tv2"):
            part.tv2 = weight


@pytest.mark.parametrize("weight", [0.001, 0.5])
def test_the_tv2_penalty_is_in_both_losses(weight, dataset):
    params = toy_params()
    variant = params.variant("bspline")
    student, teacher = new_networks(params, "bspline", dataset)
    knot_distance = 4 / 32  # the demo's 65 knots from -4 to 4
    for phase, penalised in (
        (transfer_phase(variant, student, teacher, 1, PLAIN), student.blocks[1]),
        (distill_phase(variant, student, teacher, PLAIN), student),
    ):
        with_tv2(student, 0.0)
        bare = loss_of(phase, student, dataset)
        with_tv2(student, weight)
        expected = weight * naive_tv2(penalised, knot_distance)
        assert expected > 0
        assert loss_of(phase, student, dataset) - bare == pytest.approx(expected, rel=1e-4)


def test_the_weight_of_the_penalty_comes_from_the_params(dataset):
    params = toy_params()
    variant = params.variant("bspline")
    options = {**variant.network.options, "tv2": 0.25}
    heavy = replace(variant, network=replace(variant.network, options=options))
    params = replace(params, variants={"bspline": heavy})
    student, teacher = new_networks(params, "bspline", dataset)
    phase = distill_phase(heavy, student, teacher, PLAIN)
    full = loss_of(phase, student, dataset)
    with_tv2(student, 0.0)
    expected = 0.25 * naive_tv2(student, 4 / 32)
    assert full - loss_of(phase, student, dataset) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.8), (3.0, 0.3)])
def test_distillation_mixes_the_teachers_logits_and_the_labels(temperature, alpha, dataset):
    params = toy_params(temperature=temperature, alpha=alpha)
    student, teacher = new_networks(params, "lerp_psa", dataset)
    loss = loss_of(
        distill_phase(params.variant("lerp_psa"), student, teacher, PLAIN), student, dataset
    )
    labels = torch.from_numpy(dataset.train.labels)
    with torch.no_grad():
        ours, theirs = student(pixels(dataset)), teacher(pixels(dataset))
    targets = (theirs / temperature).softmax(dim=1)
    soft = -(targets * (ours / temperature).log_softmax(dim=1)).sum(dim=1).mean()
    hard = functional.nll_loss(ours.log_softmax(dim=1), labels)
    expected = alpha * temperature**2 * soft + (1 - alpha) * hard
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert math.isfinite(loss)


def test_distillation_alone_brings_the_student_to_the_teacher(dataset):
    params = toy_params(alpha=1.0, epochs=20, learning_rate=0.01, learning_rate_min=0.001)
    student, teacher = new_networks(params, "lerp_psa", dataset)

    def distance(network: nn.Module) -> float:
        with torch.no_grad():
            theirs = teacher(pixels(dataset)).softmax(dim=1)
            ours = network.eval()(pixels(dataset)).log_softmax(dim=1)
        return functional.kl_div(ours, theirs, reduction="batchmean").item()

    before, teacher_before = distance(student), state_of(teacher)
    train(
        [distill_phase(params.variant("lerp_psa"), student, teacher, PLAIN)],
        student,
        dataset,
        params,
    )
    assert distance(student) < before / 2
    assert changed_keys(teacher_before, teacher) == set()


# Options beyond the default


def with_row(params, name, section, **keys):
    """Return params in which one variant has other values in a section."""
    variant = params.variant(name)
    changed = replace(variant, **{section: replace(getattr(variant, section), **keys)})
    return replace(params, variants={**params.variants, name: changed})


def saved_convnet(params, dataset):
    torch.manual_seed(5)
    convnet = build_convnet(params, dataset)
    convnet.train()(pixels(dataset))
    save_state(convnet, "data/convnet/float.pt")
    return convnet.eval()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_logits_to_learn_from_are_the_mean_of_the_teachers(share, dataset, monkeypatch):
    """In float training and in INT8 training alike."""
    params = with_row(toy_params(), "relu", "distill", convnet_share=share)
    params = with_row(without_transfer(params, "relu"), "relu", "quantize", epochs=1)
    params = with_row(params, "relu", "quantize", calibration_images=10)
    teacher, convnet = saved_teacher(params, dataset), saved_convnet(params, dataset)
    learned = []
    for module in (stages.distill, stages.quantize):
        monkeypatch.setattr(
            module,
            "distillation",
            lambda ours, theirs, *rest: learned.append(theirs) or distillation(ours, theirs, *rest),
        )
    distill(params, "relu", dataset)
    quantize(params, "relu", dataset)
    images = pixels(dataset)
    with torch.no_grad():
        expected = (1 - share) * teacher(images) + share * convnet(images)
        for theirs in learned:
            torch.testing.assert_close(theirs(images), expected, rtol=1e-4, atol=1e-5)
    assert len(learned) == 2


@pytest.mark.parametrize("stage", [distill, quantize], ids=["distill", "quantize"])
def test_mixup_and_the_average_reach_the_phase(stage, dataset, monkeypatch):
    params = toy_params(mixup=0.25, ema=0.5)
    params = with_row(without_transfer(params, "relu"), "relu", "quantize", epochs=1)
    params = with_row(params, "relu", "quantize", calibration_images=10, mixup=0.75, ema=0.9)
    saved_teacher(params, dataset)
    distill(params, "relu", dataset)
    phases = []
    monkeypatch.setattr(
        f"stages.{stage.__name__}.fit", lambda run, network, found, *_: phases.extend(found)
    )
    stage(params, "relu", dataset)
    expected = (0.25, 0.5) if stage is distill else (0.75, 0.9)
    assert [(phase.mixup, phase.ema) for phase in phases[-1:]] == [expected]


@pytest.mark.parametrize("every", [False, True])
def test_validation_images_are_trained_on_only_if_all_images_are(every, dataset, monkeypatch):
    params = without_transfer(toy_params(all_images=every), "relu")
    params = with_row(params, "relu", "quantize", epochs=1, calibration_images=10)
    saved_teacher(params, dataset)
    distill(params, "relu", dataset)
    seen = []
    for module in (stages.distill, stages.quantize):
        monkeypatch.setattr(
            module, "fit", lambda _run, _net, _phases, found, _how: seen.append(found)
        )
    distill(params, "relu", dataset)
    quantize(params, "relu", dataset)
    count = len(dataset.train) + every * len(dataset.validation)
    assert [len(found.train) for found in seen] == [count, count]
    assert [len(found.validation) for found in seen] == [len(dataset.validation)] * 2
    assert np.array_equal(seen[0].train.images[: len(dataset.train)], dataset.train.images)
    if every:
        last = seen[0].train.images[len(dataset.train) :]
        assert np.array_equal(last, dataset.validation.images)


def test_a_student_starts_from_the_wider_one_with_its_embedding(dataset):
    params = toy_params(epochs=0)
    saved_teacher(params, dataset)
    params = without_transfer(params, "lerp_psa")
    wide = distill(params, "lerp_psa", dataset).cpu()
    with torch.no_grad():
        wide.embed_linear.weight += 1
    save_state(wide, "data/lerp_psa/float.pt")
    row = params.variant("lerp_psa")
    network = replace(row.network, hidden_dim=5)
    narrow = replace(row, name="narrow", network=network)
    object.__setattr__(narrow.distill, "start", "lerp_psa")
    params = replace(params, variants={**params.variants, "narrow": narrow})
    student = distill(params, "narrow", dataset).cpu()
    assert torch.equal(student.embed_linear.weight, wide.embed_linear.weight)
    ours, theirs = (net.blocks[0].mlp.linear_1.weight for net in (student, wide))
    assert len(ours) == 5 and all((theirs == channel).all(dim=1).any() for channel in ours)


def test_the_teacher_can_ask_the_convnet_at_every_step(dataset):
    params = toy_params()
    how = replace(params.teacher, epochs=2, stored_views=False, mixup=0.5, ema=0.9, all_images=True)
    params = replace(params, teacher=how)
    dataset.save("data/dataset.npz")
    saved_convnet(params, dataset)
    teacher = train_teacher(params, dataset)
    assert not [*Path().glob(".ckpt/convnet-views-*")] and Path("data/teacher/float.pt").exists()
    assert teacher.embed_linear.weight.isfinite().all()
