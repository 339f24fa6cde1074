"""Optimisers and learning rates of the training phases."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from stages.pipeline.params import ConvNetRecipe, FloatSchedule, Schedule
from stages.training.muon import Muon

ParameterGroup = dict[str, Any]

# Of a 1-cycle rate: where it starts and ends, and when it peaks (all as fractions).
_START, _PEAK, _END = 0.2, 0.23, 0.07


class AnyOptimizer(Protocol):
    """What training asks of a `torch.optim.Optimizer`, or of several used as one."""

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The groups, each with its `lr`."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""

    def step(self) -> Any:  # noqa: ANN401 (what a closure returned)
        """Update the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


@dataclass(frozen=True)
class Method:
    """An optimiser, and the factor on its learning rates as `done` goes from 0 to 1."""

    optimizer: Callable[[list[ParameterGroup]], AnyOptimizer]
    rate: Callable[[float], float]


class Together:
    """Several optimisers, each of its own parameters, used as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parts."""
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
        """Go on from what `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def set_rates(optimizer: AnyOptimizer, factor: float) -> float:
    """Set every group's rate to `factor` times its initial one, and return the first.

    A rate that is a tensor keeps its address.
    """
    rates: list[float] = [group["initial_lr"] * factor for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rates[0]


def matrices_apart(module: nn.Module) -> list[ParameterGroup]:
    """Return two parameter groups: the weight matrices, marked `matrices`, and all others.

    Matrices are the weights of the linear layers; that of the classifier is none, because Muon is
    for hidden layers.
    """
    linears = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    matrices = [part.weight for name, part in linears.items() if "classifier" not in name]
    ids = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in module.parameters() if id(parameter) not in ids]
    return [{"params": others}, {"params": matrices, "matrices": True}]


def adamw(schedule: Schedule) -> Method:
    """Return AdamW with a half cosine down to the schedule's minimum.

    A group without a `lr` gets the schedule's.
    """

    def optimizer(groups: list[ParameterGroup]) -> AdamW:
        filled = [{"lr": schedule.learning_rate, **group} for group in groups]
        return AdamW(
            [group for group in filled if group["params"]],
            weight_decay=schedule.weight_decay,
            fused=True,
        )

    floor = schedule.learning_rate_min / schedule.learning_rate
    return Method(
        optimizer, lambda done: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
    )


def muon(schedule: FloatSchedule) -> Method:
    """Return Muon for the groups marked `matrices` and AdamW for the others, one cosine for both.

    AdamW alone where `muon_learning_rate` is None.
    """
    method = adamw(schedule)
    rate = schedule.muon_learning_rate
    if rate is None:
        return method

    def optimizer(groups: list[ParameterGroup]) -> Together:
        matrices = [p for group in groups if "matrices" in group for p in group["params"]]
        others = method.optimizer([group for group in groups if "matrices" not in group])
        return Together(Muon(matrices, rate, schedule.weight_decay), others)

    return Method(optimizer, method.rate)


def nesterov(params: ConvNetRecipe) -> Method:
    """Return Nesterov SGD whose rate rises for a quarter of the run and then falls (1-cycle)."""

    def optimizer(groups: list[ParameterGroup]) -> Optimizer:
        return SGD(
            [{"lr": params.learning_rate, **group} for group in groups],
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            nesterov=True,
            fused=True,
        )

    return Method(optimizer, one_cycle)


def one_cycle(done: float) -> float:
    """Return the factor of a rate that is linear between its start, its peak (1) and its end."""
    if done < _PEAK:
        return _START + (1 - _START) * done / _PEAK
    return 1 + (_END - 1) * (done - _PEAK) / (1 - _PEAK)
