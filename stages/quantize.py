"""Quantise a student to INT8, then train it with integer arithmetic (docs/published-system.md §3).

Writes data/<variant>/qat.pt (weights, scales, shifts) and data/history/int8/<variant>.{csv,json}.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from models.files.digest import file_digest
from models.files.errors import PipelineError, restore
from models.float.checkpoint import check_values
from models.float.resmlp import ResMLP
from models.qat.calibrate import calibrate
from models.qat.fold import fold
from models.qat.fused.passes import fused_qat_available, fused_qat_forward
from models.qat.layers import prepare
from stages.networks.distributed import process_group, world_size
from stages.networks.evaluation import to_tensors
from stages.networks.resmlp import device, frozen_pass, load_inputs, load_network
from stages.networks.teachers import convnet_of, mean_pass, teacher_files
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, Training, Variant
from stages.pipeline.paths import DATASET, TEACHER, artifact, history
from stages.training.loop import Phase, Run, distillation, fit
from stages.training.optimizers import ParameterGroup, adamw


def quantize(params: Params, name: str, dataset: Dataset) -> ResMLP:
    """Fold the BatchNorms, calibrate on validation images, train; return the INT8 network.

    Writes its weights and its history.
    """
    variant = params.variant(name)
    folded = fold(load_network(params, name, dataset))
    network = prepare(copy.deepcopy(folded))
    torch.manual_seed(params.seed)
    images, _ = to_tensors(dataset.validation)
    calibrate(network, folded, images[: variant.quantize.calibration_images])
    _check_scales(network, artifact(name, "float.pt"))
    network.to(device())
    teacher = load_network(params, TEACHER, dataset).to(device()).eval().requires_grad_(False)
    ours, theirs = _real_logits(network, params.training), frozen_pass(teacher, params.training)
    convnet = convnet_of(params, variant, dataset)
    theirs = mean_pass(theirs, convnet, variant.distill.convnet_share)
    loss = distillation(ours, theirs, variant.distill.temperature, variant.distill.alpha)
    groups = _groups(network, variant.quantize.scale_learning_rate)
    schedule = variant.quantize
    phase = Phase(
        "qat",
        schedule.epochs,
        adamw(schedule),
        groups,
        loss,
        [network],
        theirs,
        exact=True,
        mixup=schedule.mixup,
        ema=schedule.ema,
    )
    curve = history("int8", name)
    weights = artifact(name, "qat.pt")
    run = Run(f"{name}-qat", params.seed, curve, _fingerprint(params, variant), weights)
    if variant.distill.all_images:
        dataset = dataset.with_all_for_training()
    fit(run, network, [phase], dataset, params.training)
    return network


def _check_scales(network: ResMLP, weights: Path) -> None:
    """Raise PipelineError if the float network's values are too large to have scales."""
    try:
        check_values(network)
    except ValueError as error:
        raise PipelineError(
            f"{weights} cannot be quantised: after calibration {error}, because the float network "
            f"computes values that are not numbers or too large; {restore(weights)}."
        ) from error


def _real_logits(network: ResMLP, training: Training) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to logits, in real units, that trains an INT8 network.

    The fused and the plain form compute the same integers. The fused form runs in one process only.
    """
    if training.fused and world_size() == 1 and fused_qat_available(device()):
        return partial(fused_qat_forward, network)
    return lambda images: network(images).real()


def _groups(module: nn.Module, scale_learning_rate: float) -> list[ParameterGroup]:
    """Split the parameters into groups; scales (log2) get their own rate and no weight decay."""
    named = list(module.named_parameters())
    scales = [parameter for name, parameter in named if name.endswith("log2_scale")]
    others = [parameter for name, parameter in named if not name.endswith("log2_scale")]
    return [
        {"params": others},
        {"params": scales, "lr": scale_learning_rate, "weight_decay": 0.0},
    ]


def _fingerprint(params: Params, variant: Variant) -> list[object]:
    sections = (params.network, params.training, variant.network, variant.distill, variant.quantize)
    weights = [*teacher_files(variant), artifact(variant.name, "float.pt")]
    files = [file_digest(path) for path in (DATASET, *weights)]
    return [*(asdict(section) for section in sections), params.seed, *files]


def main(name: str) -> None:
    """Load the data, the teacher and the student, and quantise the student."""
    with process_group():
        params, dataset = load_inputs(name)
        quantize(params, name, dataset)


if __name__ == "__main__":
    run_variant_stage(main)
