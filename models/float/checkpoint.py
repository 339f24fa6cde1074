"""Weights on disk: our files, and the published state dicts (`models.float.published_layout`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line
from models.float import published_layout
from models.float.published_layout import StateDict
from models.float.resmlp import ResMLP


def save_state(module: nn.Module, path: Path | str) -> None:
    """Write a module's state dict; the bytes depend on the weights alone, not on the file name."""
    _save(dict(module.state_dict()), path)


def read_state(path: Path | str, file: BinaryIO | None = None) -> StateDict:
    """Read a state dict of tensors to the CPU; PipelineError where the file is none.

    `file` holds the content where `path` is but its name, as inside an archive.
    """
    try:
        state = torch.load(file or path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise PipelineError(
            f"{path} does not exist; run `dvc pull` or `dvc repro` to make it."
        ) from error
    except Exception as error:  # torch.load raises whatever its zip and pickle readers raise
        raise PipelineError(
            f"{path} is not a file of weights that torch.load(weights_only=True) can read; "
            "fetch it again with `dvc pull`."
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise PipelineError(f"{path} holds no state dict (names to tensors).")
    return dict(state)


def load_state(module: nn.Module, path: Path | str) -> None:
    """Load a file of `save_state` into a module, strictly."""
    state = read_state(path)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise PipelineError(
            f"{path} does not fit the network that params.yaml describes: {one_line(error)}"
        ) from error


def save_published(network: ResMLP, path: Path | str) -> None:
    """Write a network in the published layout, which has no place for its mean and std."""
    _save(published_layout.published_state(network), path)


def load_published(path: Path | str) -> ResMLP:
    """Build the network of a published FP32 file; activation and sizes are read off its tensors."""
    state = read_state(path)
    try:
        network = published_layout.network_like(state)
        published_layout.fill(network, state)
    except (ArithmeticError, LookupError, RuntimeError, ValueError, PipelineError) as error:
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else one_line(error)
        raise PipelineError(f"{path} is not in the published layout: {reason}") from error
    return network


def load_published_into(network: ResMLP, path: Path | str, file: BinaryIO | None = None) -> None:
    """Load a published FP32 file into the network that it must be of (`file`: see `read_state`)."""
    state = read_state(path, file)
    try:
        published_layout.fill(network, state)
    except (RuntimeError, ValueError) as error:
        raise PipelineError(
            f"{path} is not the published form of the network that params.yaml describes: "
            f"{one_line(error)}"
        ) from error


def _save(state: StateDict, path: Path | str) -> None:
    with replace_on_success(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)
