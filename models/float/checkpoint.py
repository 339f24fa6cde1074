"""Our weight files: state dicts, written atomically and read without running code."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line

StateDict = dict[str, Tensor]


def save_state(module: nn.Module, path: Path | str) -> None:
    """Write a module's state dict; the bytes depend only on the weights, not on the file name."""
    write_state(dict(module.state_dict()), path)


def write_state(state: StateDict, path: Path | str) -> None:
    """Write a state dict; the bytes depend only on its names and tensors."""
    with replace_on_success(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def read_state(path: Path | str, file: BinaryIO | None = None) -> StateDict:
    """Read a state dict of tensors to the CPU.

    With `file`, the content is read from there and `path` is only its name in messages (a member of
    an archive). Raises PipelineError if the file is missing or is not a state dict.
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
    """Load a file written by `save_state` into a module; PipelineError unless all keys fit."""
    state = read_state(path)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise PipelineError(
            f"{path} does not fit the network that params.yaml describes: {one_line(error)}"
        ) from error
