"""Optimisers and learning-rate schedules of the training phases."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from stages.pipeline.params import ConvNetRecipe, FloatSchedule, Schedule
from stages.training.muon import Muon
from stages.training.quick_start import keep_dynamo_out, without_dynamo

ParameterGroup = dict[str, Any]

# Of the 1-cycle schedule: rates at start and end relative to the peak; time of the peak (0 to 1).
_START, _PEAK, _END = 0.2, 0.23, 0.07


class AnyOptimizer(Protocol):
    """The interface of `torch.optim.Optimizer` that training needs; also met by `Together`."""

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The parameter groups, each with its `lr`."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""

    def step(self) -> Any:  # noqa: ANN401 (what a closure returned)
        """Update the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that resuming needs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""


@dataclass(frozen=True)
class Method:
    """An optimiser, and the factor of its learning rates as a function of progress (0 to 1)."""

    optimizer: Callable[[list[ParameterGroup]], AnyOptimizer]
    rate: Callable[[float], float]


class Together:
    """Several optimisers, each with its own parameters, used as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parts."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """Update the parameters of all parts."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def set_rates(optimizer: AnyOptimizer, factor: float) -> float:
    """Set every group's rate to `factor` times its initial rate; return the first group's rate.

    A rate that is a tensor is changed in place.
    """
    rates: list[float] = [group["initial_lr"] * factor for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rates[0]


def matrices_apart(module: nn.Module) -> list[ParameterGroup]:
    """Return two parameter groups: all other parameters, and the weight matrices.

    The second group has the key `matrices`. Matrices are the weights of the linear layers, except
    the classifier's, because Muon is for hidden layers.
    """
    linears = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    matrices = [part.weight for name, part in linears.items() if "classifier" not in name]
    ids = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in module.parameters() if id(parameter) not in ids]
    return [{"params": others}, {"params": matrices, "matrices": True}]


def adamw(schedule: Schedule) -> Method:
    """Return AdamW with a half cosine down to the schedule's minimum.

    A group without `lr` gets the schedule's learning rate.
    """

    def optimizer(groups: list[ParameterGroup]) -> Optimizer:
        filled = [{"lr": schedule.learning_rate, **group} for group in groups]
        return without_dynamo(AdamW)(
            [group for group in filled if group["params"]],
            weight_decay=schedule.weight_decay,
            fused=True,
        )

    floor = schedule.learning_rate_min / schedule.learning_rate
    return Method(
        optimizer, lambda done: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
    )


def muon(schedule: FloatSchedule) -> Method:
    """Return Muon for the group marked `matrices` and AdamW for the others, with the same cosine.

    Returns AdamW for all groups if `muon_learning_rate` is None.
    """
    method = adamw(schedule)
    rate = schedule.muon_learning_rate
    if rate is None:
        return method

    def optimizer(groups: list[ParameterGroup]) -> Together:
        keep_dynamo_out()
        matrices = [p for group in groups if "matrices" in group for p in group["params"]]
        others = method.optimizer([group for group in groups if "matrices" not in group])
        return Together(Muon(matrices, rate, schedule.weight_decay), others)

    return Method(optimizer, method.rate)


def nesterov(params: ConvNetRecipe) -> Method:
    """Return Nesterov SGD with a 1-cycle rate: it rises for a quarter of the run, then falls."""

    def optimizer(groups: list[ParameterGroup]) -> Optimizer:
        return without_dynamo(SGD)(
            [{"lr": params.learning_rate, **group} for group in groups],
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            nesterov=True,
            fused=True,
        )

    return Method(optimizer, one_cycle)


def one_cycle(done: float) -> float:
    """Return the rate's factor at progress `done`: linear from start to peak (1) to end."""
    if done < _PEAK:
        return _START + (1 - _START) * done / _PEAK
    return 1 + (_END - 1) * (done - _PEAK) / (1 - _PEAK)
