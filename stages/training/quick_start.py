"""Start PyTorch's optimisers without torch._dynamo, whose import takes as long as PyTorch's own.

Optimisers import it to keep torch.compile out of their methods. Here only losses are compiled
(device_steps.py), never an optimiser, so there is nothing to keep out.
"""

import inspect
from typing import Any

import torch
from torch.optim import Optimizer

_MARK = "__dynamo_disable"  # where torch/_compile.py keeps the function that it calls instead


def without_dynamo(kind: type[Optimizer]) -> type[Optimizer]:
    """Return a class that computes the same as `kind`, one of PyTorch's optimisers.

    If a version of PyTorch keeps the methods elsewhere, they stay as they are: slow to start.
    """
    keep_dynamo_out()
    compute: Any = inspect.unwrap(kind.step)

    def step(self: Optimizer, closure: None = None) -> None:
        with torch.no_grad():
            compute(self, closure)

    return type(kind.__name__, (kind,), {"step": step})


def keep_dynamo_out() -> None:
    """Let the methods that all optimisers have do without the import."""
    for method in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(Optimizer, method), "__wrapped__", None)
        if plain is not None:
            setattr(plain, _MARK, plain)
