"""The exponential moving average of a training's weights, which replaces them at its end.

B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", 1992; with the
exponential weights of Tarvainen and Valpola, arXiv 1703.01780, 2017.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Settle = Callable[[list[_BatchNorm]], None]


class WeightAverage:
    """The average of what trains in `module`: w <- keep w + (1 - keep) weights after every step.

    keep = min(decay, (1 + n) / (10 + n)) after n steps, so that the first weights do not stay.
    Running statistics are not averaged: those of averaged weights differ from the average of those
    of the weights. `settle` measures them again whenever the average is put in place.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.steps = module, decay, 0
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self.average = [weight.detach().clone() for weight in self.weights]
        self.put_aside: list[Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the average."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, self.weights, 1 - keep)
        self.steps += 1

    @torch.no_grad()
    def put_in_place(self, settle: Settle) -> None:
        """Replace the weights by their average, in place; `settle` then gets the module's norms."""
        self.put_aside = [tensor.clone() for tensor in self.module.state_dict().values()]
        torch._foreach_copy_(self.weights, self.average)
        norms = [part for part in self.module.modules() if isinstance(part, _BatchNorm)]
        if norms:
            settle(norms)

    @torch.no_grad()
    def undo(self) -> None:
        """Bring the weights and statistics from before `put_in_place` back, in place."""
        for tensor, old in zip(self.module.state_dict().values(), self.put_aside, strict=True):
            tensor.copy_(old)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that resuming needs."""
        return {"steps": self.steps, "average": self.average}

    @torch.no_grad()
    def load_state_dict(self, state: Any) -> None:  # noqa: ANN401 - what a file holds
        """Restore what `state_dict` returned; ValueError if it is that of other weights."""
        if not isinstance(state, dict) or state.keys() != {"steps", "average"}:
            raise ValueError("its average of weights is missing")
        steps, average = state["steps"], state["average"]
        if type(steps) is not int or steps < 0 or not isinstance(average, list):
            raise ValueError("its average of weights cannot be read")
        same = len(average) == len(self.average) and all(
            isinstance(new, Tensor)
            and (new.shape, new.dtype) == (old.shape, old.dtype)
            and bool(new.isfinite().all())
            for new, old in zip(average, self.average, strict=True)
        )
        if not same:
            raise ValueError("its average of weights is that of another network")
        self.steps = steps
        for old, new in zip(self.average, average, strict=True):
            old.copy_(new)


@torch.no_grad()
def measure_statistics(
    norms: list[_BatchNorm],
    model: nn.Module,
    forward: Callable[[Tensor], object],
    batches: Iterable[Tensor],
) -> None:
    """Set the running statistics of `norms` to the mean of those of batches of pixels.

    `forward` runs `model`, which contains the norms, on a batch. All other parts of the model stay
    in eval mode.
    """
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
    for number, images in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1 / number  # then the running mean is that of all batches so far
        forward(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
