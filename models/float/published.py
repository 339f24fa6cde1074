"""Read and write the published FP32 files: map our weight names to the authors' names.

`_MODULES`, `_RELU_PARTS`, `_LEARNABLE_PARTS` and `_PARAMETERS` define this mapping
(docs/published-system.md §3), for reading and for writing.
"""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.files.errors import PipelineError, one_line
from models.float.checkpoint import StateDict, parse_state, read_file, with_counters, write_state
from models.float.resmlp import ResMLP
from models.float.wrappings import common_prefix

# Our module -> published module; {} is the block. Sublayer 0 is cross-patch, 1 is cross-channel.
_MODULES = {
    "embed_linear": "embed_linear",
    "blocks.{}.token_mixer.affine_1": "layers.{}.layers.0.affine_1.bn",
    "blocks.{}.token_mixer.affine_2": "layers.{}.layers.0.affine_2",
    "blocks.{}.token_mixer.linear": "layers.{}.layers.0.layers",
    "blocks.{}.mlp.affine_1": "layers.{}.layers.1.affine_1.bn",
    "blocks.{}.mlp.affine_2": "layers.{}.layers.1.affine_2",
    "norm": "affine.bn",
    "classifier": "classifier",
}
_SEQUENCE = "layers.{}.layers.1.layers"  # contains these parts, numbered from 0
_RELU_PARTS = ("linear_1", "act_hidden", "linear_2")
_LEARNABLE_PARTS = ("act_in", "linear_1", "act_hidden", "linear_2")
_PARAMETERS = {  # our name -> published name, for activations; other names are the same
    "coefficients": "_coefficients_vect",  # published as one vector, channel after channel
    "value": "psa.v_weight",
    "query": "psa.q_weight",
    "center": "psa.q_bias",
    "scale": "psa.o_weight",
    "offset": "psa.o_bias",
}
PUBLISHED_TEACHER = "teacher_model.bin"
_MEND = "get the archive of published weights again (from a git clone: `git lfs pull`)"


def published_file(student: ResMLP) -> str:
    """Return the path of a student in the published archive (bspline_65_1e-5/h_div_2_model.bin)."""
    mlp = student.blocks[0].mlp
    hidden_dim, embed_dim = mlp.linear_1.weight.shape
    folder = "baseline"
    if _is_lerp_psa(mlp.act_hidden):
        folder = f"lerp_psa_{len(mlp.act_hidden.knots)}"
    elif hasattr(mlp.act_hidden, "coefficients"):
        tv2 = np.format_float_scientific(mlp.act_hidden.tv2, trim="-", exp_digits=1)
        folder = f"bspline_{mlp.act_hidden.coefficients.shape[1]}_{tv2}"
    wider = hidden_dim >= embed_dim
    ratio = hidden_dim / embed_dim if wider else embed_dim / hidden_dim
    return f"{folder}/h_{'mul' if wider else 'div'}_{ratio:g}_model.bin"


def save_published(network: ResMLP, path: Path | str) -> None:
    """Write a network in the published layout, which has no mean and std of the pixels."""
    write_state(published_state(network), path)


def load_published_into(network: ResMLP, path: Path | str, content: bytes | None = None) -> None:
    """Load a published FP32 file into a network.

    With `content`, the file is not read from `path`, which is then its name in messages (a member
    of an archive). Raises PipelineError if the file does not fit the network.
    """
    content = read_file(path) if content is None else content
    expected = published_state(network)
    state = parse_state(content, path, expected.keys(), _MEND, must_be_zip=False)
    try:
        fill(network, with_counters(state, expected))
    except (RuntimeError, ValueError) as error:
        prefix = None if state.keys() & expected.keys() else common_prefix(state)
        hint = f" (all its names begin with {prefix!r})" if prefix else ""
        raise PipelineError(
            f"{path} is not the published form of the network that params.yaml describes{hint}: "
            f"{one_line(error)}"
        ) from error


def published_state(network: ResMLP) -> StateDict:
    """Return a network's weights and constants under the published key names."""
    ours = network.state_dict()
    state = {
        published: ours[key].flatten() if key.endswith(".coefficients") else ours[key]
        for key, published in _published_keys(network).items()
    }
    for name, module in network.named_modules():
        if _is_lerp_psa(module):
            prefix = f"{_published_module(network, name)}.psa"
            state |= {f"{prefix}.{key}": tensor for key, tensor in _constants(module).items()}
    return state


def fill(network: ResMLP, state: StateDict) -> None:
    """Load a published state dict into a network; ValueError unless names, shapes and types fit."""
    expected = published_state(network)
    for words, keys in (("no", expected.keys() - state), ("the unknown", state.keys() - expected)):
        if keys:
            raise ValueError(f"it has {words} key {min(keys)}")
    for key, like in expected.items():
        _check(key, state[key], like)
    ours = network.state_dict()
    for key, published in _published_keys(network).items():
        ours[key].copy_(state[published].view_as(ours[key]))


def _is_lerp_psa(act: nn.Module) -> bool:
    """Return whether `act` is a LerpPsa, judged by its parameters.

    Its class is not imported: then an edit of the class would change the fingerprint of all
    networks.
    """
    return hasattr(act, "query") and hasattr(act, "knots")


def _published_keys(network: ResMLP) -> dict[str, str]:
    """Return our key -> published key for every key of a network except mean and std."""
    keys = {}
    for key in network.state_dict():
        module, _, leaf = key.rpartition(".")
        if module != "input":
            keys[key] = f"{_published_module(network, module)}.{_PARAMETERS.get(leaf, leaf)}"
    return keys


def _published_module(network: ResMLP, name: str) -> str:
    relu = isinstance(network.blocks[0].mlp.act_in, nn.Identity)
    parts = _RELU_PARTS if relu else _LEARNABLE_PARTS
    sublayer, _, part = name.rpartition(".")
    if sublayer.endswith(".mlp") and part in parts:
        template = f"{_SEQUENCE}.{parts.index(part)}"
    else:
        template = _MODULES[re.sub(r"\.\d+\.", ".{}.", name, count=1)]
    return template.format(*re.findall(r"\.(\d+)\.", name))


def _constants(act: nn.Module) -> StateDict:
    """Return the constants that the published LERP-PSA stores beside its weights.

    The first two follow from our options. The third, the start of each channel in a flat table,
    exists only in the published files.
    """
    channels = torch.arange(len(act.scale), device=act.knots.device)
    return {
        "epsilon": act.knots.new_tensor([act.epsilon]),
        "grid": act.knots.unsqueeze(1).repeat(1, len(channels)),
        "grid_ifeat_offset": len(act.knots) * channels.unsqueeze(0),
    }


def _check(key: str, tensor: Tensor, like: Tensor) -> None:
    if tensor.shape != like.shape or tensor.is_floating_point() != like.is_floating_point():
        raise ValueError(
            f"{key} has shape {list(tensor.shape)} and type {tensor.dtype}, but must have "
            f"{list(like.shape)} and {like.dtype}"
        )
    if not tensor.isfinite().all():
        raise ValueError(f"{key} holds values that are not finite numbers")
    if key.endswith(".running_var") and (tensor < 0).any():
        raise ValueError(f"{key} holds a variance below 0")
    if key.endswith((".epsilon", ".grid")) and not torch.allclose(tensor.to(like), like, atol=1e-6):
        raise ValueError(f"{key} is {_range(tensor)}, but the network's is {_range(like)}")


def _range(tensor: Tensor) -> str:
    return f"{tensor.min():g} to {tensor.max():g}"
