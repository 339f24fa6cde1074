"""The networks that params.yaml describes."""

import torch

from models.checkpoint import load_state
from models.resmlp import ResMLP
from stages._dataset import Dataset
from stages._params import Params
from stages._paths import TEACHER, artifact


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
        embed_dim=params.network.embed_dim,
        patch_size=params.network.patch_size,
        num_blocks=params.network.num_blocks,
        num_classes=len(dataset.class_names),
        mean=dataset.mean.tolist(),
        std=dataset.std.tolist(),
    )


def load_network(params: Params, name: str, dataset: Dataset) -> ResMLP:
    """Build a network and load its trained float weights."""
    network = build_network(params, name, dataset)
    load_state(network, artifact(name, "float.pt"))
    return network


def device() -> torch.device:
    """Return the accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
