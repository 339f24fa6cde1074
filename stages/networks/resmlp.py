"""Build and load the ResMLPs that params.yaml describes, and select how training runs them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.float.checkpoint import load_state
from models.float.fused.passes import (
    fused_available,
    fused_features,
    fused_forward,
    fused_inference,
)
from models.float.resmlp import ResMLP
from stages.networks.distributed import world_size
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import IMAGE_SIZE, Params, Training, load_params
from stages.pipeline.paths import DATASET, TEACHER, artifact


def load_inputs(name: str, *others: str) -> tuple[Params, Dataset]:
    """Read params.yaml and the data set for a stage that takes a variant or one of `others`.

    Reports an unknown name before it looks for the data set.
    """
    params = load_params()
    if name not in others:
        params.variant(name)
    return params, Dataset.load(DATASET)


def build_network(params: Params, name: str, dataset: Dataset) -> ResMLP:
    """Build the untrained network of a variant, or the ReLU teacher, for a data set."""
    if name == TEACHER:
        activation, hidden_dim, options = "relu", params.teacher.hidden_dim, {}
    else:
        network = params.variant(name).network
        activation, hidden_dim, options = network.activation, network.hidden_dim, network.options
    return ResMLP(
        activation,
        hidden_dim,
        options,
        image_size=IMAGE_SIZE,
        mean=dataset.mean.tolist(),
        std=dataset.std.tolist(),
        embed_dim=params.network.embed_dim,
        patch_size=params.network.patch_size,
        num_blocks=params.network.num_blocks,
        num_classes=len(dataset.class_names),
    )


def load_network(params: Params, name: str, dataset: Dataset) -> ResMLP:
    """Build a network and load its trained float weights."""
    network = build_network(params, name, dataset)
    load_state(network, artifact(name, "float.pt"))
    return network


def device() -> torch.device:
    """Return the GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_pass(network: ResMLP, training: Training) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to logits that training uses for a float network.

    With `training.fused` these are the fused passes (`models.float.fused.passes`) if this machine
    supports them. Otherwise, and in several processes, which share the norms' statistics, it is the
    module itself. On CUDA the module then still computes its matrix products in bfloat16 if
    `training.fused` is set.
    """
    if _fused(network, training):
        return partial(fused_forward, network)
    return _in_half(network, network, training)


def frozen_pass(network: ResMLP, training: Training) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to logits of a network in eval mode that no longer changes.

    It selects the form as `forward_pass` does. The fused form folds the weights in this call, so
    later changes of the weights have no effect.
    """
    if _fused(network, training):
        return fused_inference(network)
    return _in_half(network, network, training)


def feature_pass(network: ResMLP, training: Training) -> Callable[[Tensor, int], Tensor]:
    """Return the function (pixels, block) to the features after a block; -1 is the embedding.

    The layers before the block get no gradients: they are frozen in block-wise transfer.
    """
    if _fused(network, training):
        return partial(fused_features, network)
    return _in_half(partial(plain_features, network), network, training)


def plain_features(network: ResMLP, images: Tensor, block: int) -> Tensor:
    """Return the features [batch, tokens, channels] after a block; only it gets gradients."""
    with torch.no_grad():
        x = network.features(images, max(block, 0) - 1)
    return x if block < 0 else network.blocks[block](x)


def in_bfloat16(function: Callable[..., Tensor], device_type: str) -> Callable[..., Tensor]:
    """Return the function with matrix products in bfloat16 and its result in float32."""

    def half(*arguments: Any) -> Tensor:  # noqa: ANN401 (the function's own)
        with torch.autocast(device_type, torch.bfloat16):
            return function(*arguments).float()

    return half


def _in_half(
    function: Callable[..., Tensor], network: ResMLP, training: Training
) -> Callable[..., Tensor]:
    place = next(network.parameters()).device
    half = training.fused and place.type == "cuda" and fused_available(place)
    return in_bfloat16(function, place.type) if half else function


def _fused(network: ResMLP, training: Training) -> bool:
    place = next(network.parameters()).device
    return training.fused and world_size() == 1 and fused_available(place)
