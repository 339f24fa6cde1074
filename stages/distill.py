"""Train one student: block-wise knowledge transfer, then distillation.

Writes data/<variant>/float.pt and data/history/float/<variant>.{csv,json}.
docs/published-system.md §2.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.files.digest import file_digest
from models.float.activations.registry import penalty, spline_parameters
from models.float.resmlp import ResMLP
from stages.augment.views import Views
from stages.networks.distributed import process_group
from stages.networks.evaluation import Forward, to_tensors
from stages.networks.narrow import start_from
from stages.networks.resmlp import (
    build_network,
    device,
    feature_pass,
    forward_pass,
    frozen_pass,
    load_inputs,
    load_network,
)
from stages.networks.teachers import convnet_of, mean_pass, teacher_files
from stages.networks.view_bank import stored_views
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, Training, Variant
from stages.pipeline.paths import DATASET, TEACHER, artifact, history
from stages.published.weights import fetch_weights
from stages.training.loop import Phase, Run, distillation, fit
from stages.training.optimizers import ParameterGroup, matrices_apart, muon

_RANKING_IMAGES = 1000  # of the training images, to rank the channels of a wider network


def distill(params: Params, name: str, dataset: Dataset) -> ResMLP:
    """Train the student `name` with the trained teacher, write its weights and return it."""
    variant = params.variant(name)
    teacher = load_network(params, TEACHER, dataset).to(device()).eval().requires_grad_(False)
    seed = params.training_seed(name)
    torch.manual_seed(seed)
    student = build_network(params, name, dataset).to(device())
    student.embed_linear.load_state_dict(teacher.embed_linear.state_dict())
    sources = [DATASET, *teacher_files(variant)]
    if variant.distill.start is not None:
        _start(params, variant.distill.start, student, dataset)
        sources.append(artifact(variant.distill.start, "float.pt"))
    blocks = range(len(student.blocks))
    phases = [transfer_phase(variant, student, teacher, block, params.training) for block in blocks]
    views = None
    if variant.distill.stored_views:
        views, _ = stored_views(params, TEACHER, dataset)
    convnet = convnet_of(params, variant, dataset)
    phases.append(distill_phase(variant, student, teacher, params.training, views, convnet))
    weights = artifact(name, "float.pt")
    fingerprint = _fingerprint(params, variant, sources)
    fingerprint += [] if views is None else [views.digest()]
    run = Run(name, seed, history("float", name), fingerprint, weights)
    if variant.distill.all_images:
        dataset = dataset.with_all_for_training()
    fit(run, student, phases, dataset, params.training)
    return student


def _start(params: Params, name: str, student: ResMLP, dataset: Dataset) -> None:
    """Give the student the weights of the trained network `name`, its embedding included."""
    images, _ = to_tensors(dataset.train)
    wide = load_network(params, name, dataset).to(device())
    start_from(student, wide, images[:_RANKING_IMAGES].to(device()))


def transfer_phase(
    variant: Variant, student: ResMLP, teacher: ResMLP, block: int, training: Training
) -> Phase:
    """Return the phase that fits one block's output to the teacher's by MSE.

    The embedding and the earlier blocks are frozen.
    """
    part = student.blocks[block]
    features, target = feature_pass(student, training), feature_pass(teacher, training)

    def loss(images: Tensor, labels: Tensor) -> tuple[Tensor, None]:
        with torch.no_grad():
            wanted = target(images, block).float()
        value = functional.mse_loss(features(images, block).float(), wanted)
        return value + penalty(part), None

    schedule = variant.transfer
    groups = _groups(part, variant.distill.spline_learning_rate)
    return Phase(
        f"transfer_{block}", schedule.epochs_per_block, muon(schedule), groups, loss, [part]
    )


def distill_phase(
    variant: Variant,
    student: ResMLP,
    teacher: ResMLP,
    training: Training,
    views: Views | None = None,
    convnet: Forward | None = None,
) -> Phase:
    """Return the phase that trains the whole student on the labels and the teacher's logits.

    The logits come from `views`; without views the teacher, or also the `convnet`, computes them
    for every batch.
    """
    schedule = variant.distill
    groups = _groups(student, schedule.spline_learning_rate)
    ours, theirs = forward_pass(student, training), frozen_pass(teacher, training)
    theirs = mean_pass(theirs, convnet, schedule.convnet_share)
    loss = distillation(ours, theirs, schedule.temperature, schedule.alpha)

    def regularised(*batch: Tensor) -> tuple[Tensor, Tensor | None]:
        value, logits = loss(*batch)
        return value + penalty(student), logits

    return Phase(
        "distill",
        schedule.epochs,
        muon(schedule),
        groups,
        regularised,
        [student],
        theirs,
        views,
        mixup=schedule.mixup,
        ema=schedule.ema,
    )


def _groups(module: nn.Module, spline_learning_rate: float) -> list[ParameterGroup]:
    """Split the parameters into groups; spline coefficients get their own rate and no weight decay.

    docs/published-system.md §1.
    """
    splines = spline_parameters(module)
    ids = {id(parameter) for parameter in splines}
    others, matrices = matrices_apart(module)
    others["params"] = [parameter for parameter in others["params"] if id(parameter) not in ids]
    return [
        others,
        matrices,
        {"params": splines, "lr": spline_learning_rate, "weight_decay": 0.0},
    ]


def _fingerprint(params: Params, variant: Variant, sources: list[Path]) -> list[object]:
    sections = (params.network, params.training, variant.network, variant.transfer, variant.distill)
    files = [file_digest(path) for path in sources]
    return [*(asdict(section) for section in sections), params.seed, *files]


def main(name: str) -> None:
    """Train the student, or fetch the authors' weights if its row has `weights: published`."""
    with process_group():
        params, dataset = load_inputs(name)
        if params.variant(name).weights == "published":
            fetch_weights(params, name, dataset)
        else:
            distill(params, name, dataset)


if __name__ == "__main__":
    run_variant_stage(main)
