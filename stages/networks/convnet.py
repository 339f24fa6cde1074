"""Build, load and run the convolutional network that params.yaml describes."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.float.checkpoint import load_state
from models.float.convnet import ConvNet
from models.float.precision import fast_type
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
    """Return the function from pixels to float32 logits; if enabled, convolutions are bfloat16.

    They stay float32 where bfloat16 would be emulated (`fast_type`). The weights stay float32. The
    network is on the device where it will run.
    """
    place = next(network.parameters()).device
    half = enabled and fast_type(place) == torch.bfloat16  # not inside: nothing could compile it

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(place.type, torch.bfloat16, enabled=half):
            return network(images).float()

    return forward
