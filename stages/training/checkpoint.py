"""The state of a training after an epoch, from which an interrupted run resumes.

The file is under .ckpt/: git-ignored and no DVC output. A damaged one costs the epochs that it
stands for and nothing else: it is reported, set aside, and the training starts again.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.files.atomic import replace_on_success
from models.files.errors import one_line
from models.files.integrity import set_aside
from models.files.zips import DamagedError
from models.float.checkpoint import read_tensors
from stages.training.average import WeightAverage
from stages.training.phase import Phase

_LOG = logging.getLogger(__name__)

State = dict[str, Any]
_KEYS = ("position", "model", "optimizer", "rows", "seconds")
_AVERAGE = "average"  # of a phase with an average of weights


def write_checkpoint(path: Path, state: State) -> None:
    """Write the state of a run: position, model, optimizer, average if any, rows, seconds."""
    # To an open file, because torch reports a full disk without its cause if it gets a path.
    with replace_on_success(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def read_checkpoint(path: Path, model: nn.Module, phases: Sequence[Phase]) -> State | None:
    """Return the state that `write_checkpoint` wrote; None if there is none that can be resumed.

    `model` and `phases` are those of the run; they are not changed. A file that is damaged or fits
    another run is set aside with a warning.
    """
    if not path.exists():
        return None
    try:
        state = read_tensors(path.read_bytes())
        _check(state, model, phases)
    except (DamagedError, OSError, ValueError) as error:
        _LOG.warning(
            "%s cannot be resumed from (%s); %s, and the training starts again",
            path,
            one_line(error),
            set_aside(path),
        )
        return None
    return dict(state)


def _check(state: Any, model: nn.Module, phases: Sequence[Phase]) -> None:  # noqa: ANN401
    """Raise ValueError unless the model, the optimiser and the loop can use the state."""
    if not isinstance(state, dict) or state.keys() - {_AVERAGE} != set(_KEYS):
        raise ValueError("it is not the state of a training")
    done, phase = _progress(state["position"], phases)
    if not isinstance(state["rows"], list) or len(state["rows"]) != done:
        raise ValueError(f"it does not have a row of the history for each of {done} epochs")
    if not all(
        isinstance(row, dict) and list(row) == list(state["rows"][0]) for row in state["rows"]
    ):
        raise ValueError("the rows of its history are not alike")
    seconds = state["seconds"]
    if not isinstance(seconds, float) or not 0 <= seconds < math.inf:
        raise ValueError("its time is not a number")
    _check_model(state["model"], model.state_dict())
    _check_optimizer(state["optimizer"], phase)
    if phase.ema:
        average = WeightAverage(nn.ModuleList(phase.train), phase.ema)
        average.load_state_dict(state.get(_AVERAGE))


def _progress(position: Any, phases: Sequence[Phase]) -> tuple[int, Phase]:  # noqa: ANN401
    """Return how many epochs are finished at a position (phase, epoch), and the phase."""
    if isinstance(position, list) and [type(number) for number in position] == [int, int]:
        index, epoch = position
        if 0 <= index < len(phases) and 0 <= epoch < phases[index].epochs:
            return sum(phase.epochs for phase in phases[:index]) + epoch + 1, phases[index]
    raise ValueError("its position is not an epoch of this training")


def _check_model(state: Any, own: Mapping[str, Tensor]) -> None:  # noqa: ANN401
    if not isinstance(state, Mapping) or state.keys() != own.keys():
        raise ValueError("its weights are those of another network")
    for key, tensor in state.items():
        like = own[key]
        if not isinstance(tensor, Tensor) or (tensor.shape, tensor.dtype) != (
            like.shape,
            like.dtype,
        ):
            raise ValueError(f"{key} is not a tensor {list(like.shape)} of {like.dtype}")
        if not tensor.isfinite().all():
            raise ValueError(f"{key} holds values that are not finite numbers")


def _check_optimizer(state: Any, phase: Phase) -> None:  # noqa: ANN401
    """Load the state into an optimiser of the same kind, which is then thrown away."""
    trial = phase.method.optimizer([dict(group) for group in phase.groups])
    try:
        trial.load_state_dict(state)
    except Exception as error:  # optimisers raise whatever an odd state leads to
        raise ValueError(f"its optimiser is another ({one_line(error)[:100]})") from error
