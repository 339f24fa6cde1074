"""Our weight files: state dicts, written atomically, read without running code, and checked."""

import io
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line, restore
from models.files.zips import ZIP, DamagedError, checked_zip
from models.float.wrappings import COUNTER, common_prefix, unwrapped

StateDict = dict[str, Tensor]

_LFS = b"version https://git-lfs"  # how the pointer starts that git-lfs puts in a file's place


def save_state(module: nn.Module, path: Path | str) -> None:
    """Write a module's state dict; the bytes depend only on the weights, not on the file name."""
    write_state(dict(module.state_dict()), path)


def write_state(state: StateDict, path: Path | str) -> None:
    """Write a state dict; the bytes depend only on its names and tensors."""
    with replace_on_success(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def read_state(path: Path | str, expected: Collection[str] = ()) -> StateDict:
    """Read a state dict of tensors to the CPU, out of the wrappings that other programs use.

    `expected` are the keys of the network that it is for (see `models.float.wrappings`). Raises
    PipelineError if the file is missing, damaged or no state dict.
    """
    return parse_state(read_file(path), path, expected, restore(path))


def read_file(path: Path | str) -> bytes:
    """Return the content of a weight file; PipelineError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise PipelineError(
            f"{path} does not exist; run `dvc pull` or `dvc repro` to make it."
        ) from error
    except OSError as error:
        raise PipelineError(
            f"{path} is not a file of weights that can be read ({error.strerror})."
        ) from error


def parse_state(
    data: bytes, name: Path | str, expected: Collection[str], mend: str, must_be_zip: bool = True
) -> StateDict:
    """Return the state dict in the content of a weight file, as `read_state` does.

    Error messages call the file `name` and end in `mend`. `must_be_zip` refuses the form of
    PyTorch before 1.6, which has no checksums.
    """
    if data.startswith(_LFS):
        raise PipelineError(f"{name} is a pointer of git-lfs, not the weights; {mend}.")
    try:
        content = read_tensors(data, must_be_zip)
    except DamagedError as error:
        raise PipelineError(
            f"{name} is damaged or not a file of weights ({error}); {mend}."
        ) from error
    try:
        return unwrapped(content, expected)
    except ValueError as error:
        raise PipelineError(f"{name} holds {error}.") from error


def read_tensors(data: bytes, must_be_zip: bool = True) -> Any:  # noqa: ANN401  what was saved
    """Return what torch.save wrote, on the CPU; every checksum of a zip is compared.

    Raises DamagedError, with a clause, for anything else, and for objects that are not admitted by
    torch.load(weights_only=True).
    """
    if must_be_zip or data.startswith(ZIP):
        data = checked_zip(data)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its zip and pickle readers raise
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise DamagedError(
                f"it holds an object {foreign[1]}, which may run code: of the objects in a file "
                "only tensors and plain values are read, so save the state dict alone"
            ) from error
        raise DamagedError(
            "torch.load(weights_only=True) cannot read it: "
            f"{one_line(error)[:100] or type(error).__name__}"
        ) from error


def load_state(module: nn.Module, path: Path | str) -> None:
    """Load a file written by `save_state` into a module.

    Raises PipelineError unless all keys fit and all values are possible (see `check_values`).
    """
    own = module.state_dict()
    state = read_state(path, own.keys())
    try:
        module.load_state_dict(with_counters(state, own))
    except RuntimeError as error:
        prefix = None if state.keys() & own.keys() else common_prefix(state)
        hint = f" (all its names begin with {prefix!r})" if prefix else ""
        raise PipelineError(
            f"{path} does not fit the network that params.yaml describes{hint}: {one_line(error)}"
        ) from error
    try:
        check_values(module)
    except ValueError as error:
        raise PipelineError(f"{path} holds impossible values: {error}; {restore(path)}.") from error


def with_counters(state: StateDict, own: StateDict) -> StateDict:
    """Return the state with a 0 for each BatchNorm's counter of batches that only `own` has.

    Nothing that is computed depends on these counters.
    """
    missing = [key for key in own.keys() - state if key.endswith(COUNTER)]
    return state | {key: torch.zeros_like(own[key]) for key in missing}


def check_values(module: nn.Module) -> None:
    """Raise ValueError, with the key, if a module has values that no training gives.

    All numbers must be finite, running variances >= 0. A part of the module may have a method
    `impossible` that returns the name of one of its tensors and the rule that it breaks, or None.
    """
    for key, tensor in module.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{key} holds values that are not finite numbers")
    for name, part in module.named_modules():
        variance = getattr(part, "running_var", None)
        if isinstance(variance, Tensor) and (variance < 0).any():
            raise ValueError(f"{name}.running_var holds a variance below 0")
        fault = part.impossible() if hasattr(part, "impossible") else None
        if fault is not None:
            raise ValueError(f"{name}.{fault[0]} must be {fault[1]}")
