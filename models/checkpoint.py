"""Weights on disk: our files, and the published state dicts under their own key names.

`_PUBLISHED_KEYS` is the one table that knows the authors' names (published system §3).
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.atomic_file import replace_on_success
from models.errors import PipelineError
from models.resmlp import ResMLP

StateDict = dict[str, Tensor]

# Published key (a regular expression), our key. Sublayer 0 is cross-patch, 1 cross-channel; inside
# the cross-channel sublayer ReLU networks number linear, act, linear, the others act, linear, act,
# linear.
_BLOCK = r"layers\.(\d+)\.layers\."
_PUBLISHED_KEYS = [
    (r"embed_linear\.(weight|bias)", r"embed_linear.\1"),
    (_BLOCK + r"0\.affine_1\.bn\.(\w+)", r"blocks.\1.token_mixer.affine_1.\2"),
    (_BLOCK + r"0\.layers\.(weight|bias)", r"blocks.\1.token_mixer.linear.\2"),
    (_BLOCK + r"0\.affine_2\.(weight|bias)", r"blocks.\1.token_mixer.affine_2.\2"),
    (_BLOCK + r"1\.affine_1\.bn\.(\w+)", r"blocks.\1.mlp.affine_1.\2"),
    (_BLOCK + r"1\.affine_2\.(weight|bias)", r"blocks.\1.mlp.affine_2.\2"),
    (r"affine\.bn\.(\w+)", r"norm.\1"),
    (r"classifier\.(weight|bias)", r"classifier.\1"),
]
_RELU_KEYS = [
    (_BLOCK + r"1\.layers\.0\.(weight|bias)", r"blocks.\1.mlp.linear_1.\2"),
    (_BLOCK + r"1\.layers\.2\.(weight|bias)", r"blocks.\1.mlp.linear_2.\2"),
]
_LEARNABLE_KEYS = [
    (_BLOCK + r"1\.layers\.1\.(weight|bias)", r"blocks.\1.mlp.linear_1.\2"),
    (_BLOCK + r"1\.layers\.3\.(weight|bias)", r"blocks.\1.mlp.linear_2.\2"),
    (_BLOCK + r"1\.layers\.0\.(?:psa\.)?(\w+)", r"blocks.\1.mlp.act_in.\2"),
    (_BLOCK + r"1\.layers\.2\.(?:psa\.)?(\w+)", r"blocks.\1.mlp.act_hidden.\2"),
]
_ACTIVATION_PARAMETERS = {
    "_coefficients_vect": "coefficients",
    "v_weight": "value",
    "q_weight": "query",
    "q_bias": "center",
    "o_weight": "scale",
    "o_bias": "offset",
}
_ACTIVATION_CONSTANTS = ("epsilon", "grid", "grid_ifeat_offset")  # options, not weights, here


def save_state(module: nn.Module, path: Path | str) -> None:
    """Write a module's state dict; the bytes depend on the weights alone, not on the file name."""
    with replace_on_success(path) as temporary, temporary.open("wb") as file:
        torch.save(dict(module.state_dict()), file)


def read_state(path: Path | str) -> StateDict:
    """Read a state dict of tensors to the CPU; PipelineError where the file is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise PipelineError(
            f"{path} does not exist; run `dvc pull` or `dvc repro` to make it."
        ) from error
    except Exception as error:  # torch.load raises whatever its zip and pickle readers raise
        raise PipelineError(
            f"{path} is not a file of weights that torch.load(weights_only=True) can read; "
            "fetch it again with `dvc pull`."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise PipelineError(f"{path} holds no state dict (names to tensors).")
    return dict(state)


def load_state(module: nn.Module, path: Path | str) -> None:
    """Load a file of `save_state` into a module, strictly."""
    state = read_state(path)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise PipelineError(
            f"{path} does not fit the network that params.yaml describes: {reason}"
        ) from error


def load_published(path: Path | str) -> ResMLP:
    """Build the network of a published FP32 file; activation and sizes are read off its tensors."""
    state = read_state(path)
    try:
        return _build_published(state)
    except (ArithmeticError, LookupError, RuntimeError, ValueError, PipelineError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PipelineError(f"{path} is not in the published layout: {reason}") from error


def _build_published(state: StateDict) -> ResMLP:
    first = "layers.0.layers.1.layers"
    embed_dim, patch_dim = state["embed_linear.weight"].shape
    sizes = {
        "embed_dim": embed_dim,
        "patch_size": round((patch_dim / 3) ** 0.5),
        "num_blocks": 1 + max(int(m[1]) for key in state if (m := re.match(_BLOCK, key))),
        "num_classes": len(state["classifier.bias"]),
    }
    hidden = "0" if f"{first}.0.weight" in state else "1"
    sizes["hidden_dim"] = len(state[f"{first}.{hidden}.weight"])
    if f"{first}.0._coefficients_vect" in state:
        grid_size = state[f"{first}.0._coefficients_vect"].numel() // embed_dim
        network = ResMLP("bspline", options={"grid_size": grid_size}, **sizes)
    elif f"{first}.0.psa.grid" in state:
        network = ResMLP("lerp_psa", options=_psa_options(state, f"{first}.0.psa"), **sizes)
    else:
        network = ResMLP("relu", **sizes)
    keys = _PUBLISHED_KEYS + (_LEARNABLE_KEYS if hidden == "1" else _RELU_KEYS)
    ours = network.state_dict()  # holds mean and std, which published files leave out
    network.load_state_dict({**_input_buffers(ours), **_our_state(state, keys, ours)})
    return network


def _input_buffers(state: StateDict) -> StateDict:
    return {key: tensor for key, tensor in state.items() if key.startswith("input.")}


def _psa_options(state: StateDict, prefix: str) -> dict[str, float]:
    grid = state[f"{prefix}.grid"]
    return {
        "grid_size": len(grid),
        "grid_range": float(grid.max()),
        "expansion": state[f"{prefix}.v_weight"].shape[1],
        "epsilon": float(state[f"{prefix}.epsilon"]),
    }


def _our_state(state: StateDict, keys: list[tuple[str, str]], like: StateDict) -> StateDict:
    result: StateDict = {}
    for key, tensor in state.items():
        name = _our_key(key, keys)
        stem, _, leaf = name.rpartition(".")
        if ".act_" in name:
            if leaf in _ACTIVATION_CONSTANTS:
                continue
            name = f"{stem}.{_ACTIVATION_PARAMETERS[leaf]}"
        # The published coefficients are one vector, channel after channel.
        result[name] = tensor.view_as(like[name]) if leaf == "_coefficients_vect" else tensor
    return result


def _our_key(key: str, keys: list[tuple[str, str]]) -> str:
    for pattern, ours in keys:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(ours)
    raise KeyError(f"key {key} is not known")
