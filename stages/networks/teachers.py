"""The logits that a network learns from: the ConvNet's, the ResMLP teacher's, or their mean."""

from pathlib import Path

import torch
from torch import Tensor

from stages.networks.convnet import load_convnet, mixed_precision
from stages.networks.evaluation import Forward
from stages.networks.resmlp import device
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, Variant
from stages.pipeline.paths import CONVNET, TEACHER, artifact


def mean_pass(resmlp: Forward, convnet: Forward | None, share: float) -> Forward:
    """Return the function from pixels to the mean of two teachers' logits.

    `share` is the ConvNet's weight, from 0 to 1; without a ConvNet the result is `resmlp`.
    """
    if convnet is None:
        return resmlp

    def logits(images: Tensor) -> Tensor:
        theirs = convnet(images)
        return theirs if share == 1 else torch.lerp(resmlp(images), theirs, share)

    return logits


def convnet_of(params: Params, variant: Variant, dataset: Dataset) -> Forward | None:
    """Return the ConvNet's `convnet_pass` if the student learns from it, else None."""
    return convnet_pass(params, dataset) if variant.distill.convnet_share else None


def convnet_pass(params: Params, dataset: Dataset) -> Forward:
    """Return the function from pixels to the logits of the trained ConvNet, on the device."""
    network = load_convnet(params, dataset).to(device()).eval().requires_grad_(False)
    return mixed_precision(network, params.training.fused)


def teacher_files(variant: Variant) -> list[Path]:
    """Return the files of weights of the student's teachers.

    The ResMLP teacher's is always one of them, because the student's embedding is from it.
    """
    names = [TEACHER, CONVNET] if variant.distill.convnet_share else [TEACHER]
    return [artifact(name, "float.pt") for name in names]
