"""Build, load and run the convolutional network that params.yaml describes."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.float.checkpoint import load_state
from models.float.convnet import ConvNet
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params
from stages.pipeline.paths import CONVNET, artifact


def build_convnet(params: Params, dataset: Dataset) -> ConvNet:
    """Build the untrained network for a data set."""
    return ConvNet(
        params.convnet.widths,
        len(dataset.class_names),
        dataset.mean.tolist(),
        dataset.std.tolist(),
    )


def load_convnet(params: Params, dataset: Dataset) -> ConvNet:
    """Build the network and load its trained weights."""
    network = build_convnet(params, dataset)
    load_state(network, artifact(CONVNET, "float.pt"))
    return network


def mixed_precision(network: ConvNet, enabled: bool) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to float32 logits, with bfloat16 convolutions if enabled.

    The weights stay float32.
    """

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=enabled):
            return network(images).float()

    return forward
