"""Optimisers and learning rates of the training phases."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import SGD, AdamW, Optimizer

from stages._params import ConvNet, Schedule

ParameterGroup = dict[str, Any]

# Of a 1-cycle rate: where it starts and ends, and when it peaks (all as fractions).
_START, _PEAK, _END = 0.2, 0.23, 0.07


@dataclass(frozen=True)
class Method:
    """An optimiser, and the factor on its learning rates as `done` goes from 0 to 1."""

    optimizer: Callable[[list[ParameterGroup]], Optimizer]
    rate: Callable[[float], float]


def adamw(schedule: Schedule) -> Method:
    """Return AdamW with a half cosine down to the schedule's minimum.

    A group without a `lr` gets the schedule's.
    """

    def optimizer(groups: list[ParameterGroup]) -> Optimizer:
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


def nesterov(params: ConvNet) -> Method:
    """Return Nesterov SGD whose rate rises for a quarter of the run and then falls (1-cycle)."""

    def optimizer(groups: list[ParameterGroup]) -> Optimizer:
        return SGD(
            [{"lr": params.learning_rate, **group} for group in groups],
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            nesterov=True,
        )

    return Method(optimizer, one_cycle)


def one_cycle(done: float) -> float:
    """Return the factor of a rate that is linear between its start, its peak (1) and its end."""
    if done < _PEAK:
        return _START + (1 - _START) * done / _PEAK
    return 1 + (_END - 1) * (done - _PEAK) / (1 - _PEAK)
