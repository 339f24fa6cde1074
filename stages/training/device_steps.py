"""A training step, gradients and optimiser: eagerly, or on CUDA as one graph, recorded once.

A step of these networks is some hundred kernels of a few microseconds each, and starting them one
by one takes a CPU longer than running them takes the device. A CUDA graph starts them all at once;
in return every tensor keeps its address: batches are copied into the recorded inputs, and rates
are tensors on the device. Where a phase is long enough to pay for it, torch.compile first makes
fewer and larger kernels of the module's own.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.files.errors import one_line
from stages.training.optimizers import AnyOptimizer, set_rates

Outputs = tuple[Tensor, Tensor | None]  # the loss and, where it classifies, the logits
Recorder = Callable[[Callable[[], Outputs]], tuple[Callable[[], None], Outputs]]

_LOG = logging.getLogger(__name__)
_WARM_UP = 3  # runs before recording, for what only the first ones do (compiling, choosing)
_WORTH_COMPILING = 10_000  # steps: some 20 s of compiling for 2 ms each


class EagerStep:
    """Trains a module on one batch after another."""

    def __init__(self, module: nn.Module, optimizer: AnyOptimizer) -> None:
        self.module, self.optimizer = module, optimizer
        self.learning_rate = 0.0  # of the last step, in the optimiser's first group

    def __call__(self, factor: float, *batch: Tensor) -> Outputs:
        """Update the parameters at `factor` times their rates; return what the module returns."""
        self.learning_rate = set_rates(self.optimizer, factor)
        return self._update(self.module, *batch)

    def _update(self, module: Callable[..., Outputs], *batch: Tensor) -> Outputs:
        loss, logits = module(*batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), logits if logits is None else logits.detach()


class RecordedStep(EagerStep):
    """The same from a recording that the first batch makes; all batches have its shapes.

    What is returned is overwritten by the next call. `forms` are those of the module to be tried in
    turn; where none can be recorded the steps are eager from then on. One line says of each why.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: AnyOptimizer,
        record: Recorder,
        forms: list[Callable[..., Outputs]] | None = None,
    ) -> None:
        super().__init__(module, optimizer)
        self.record, self.forms = record, forms or [module]
        self.inputs: tuple[Tensor, ...] | None = None
        self.replay: Callable[[], None] | None = None

    def __call__(self, factor: float, *batch: Tensor) -> Outputs:
        """Update the parameters at `factor` times their rates; return what the module returns."""
        if self.inputs is None:
            self.inputs = tuple(part.clone() for part in batch)
            self._record(self.inputs)
        if self.replay is None:
            return super().__call__(factor, *batch)
        self.learning_rate = set_rates(self.optimizer, factor)
        for recorded, part in zip(self.inputs, batch, strict=True):
            recorded.copy_(part, non_blocking=True)
        self.replay()
        return self.outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=inputs[0].device)
            if "capturable" in group:
                group["capturable"] = True
        for form in self.forms:
            restore = _remember(self.module, self.optimizer)
            try:
                self.replay, self.outputs = self.record(partial(self._update, form, *inputs))
                return
            except RuntimeError as error:
                reason = one_line(error)
                _LOG.info("a training step could not be recorded as a CUDA graph (%s)", reason)
            finally:
                restore()


def training_step(
    module: nn.Module,
    optimizer: AnyOptimizer,
    device: torch.device,
    record: bool,
    compile_for: int = 0,
) -> EagerStep:
    """Return the step for a device: recorded where `record` and the device is CUDA, else eager.

    `compile_for` is the number of steps that a compiled module would serve.
    """
    if not record or device.type != "cuda":
        return EagerStep(module, optimizer)
    forms: list[Callable[..., Outputs]] = [module]
    if compile_for >= _WORTH_COMPILING:
        forms.insert(0, torch.compile(module, dynamic=False))
    return RecordedStep(module, optimizer, record_graph, forms)


def record_graph(step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """Record a step as a CUDA graph; return what replays it, and the outputs it writes to."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                step()
    finally:  # also what undoes a step that failed must come after it
        torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # The outer context leads back to this stream where a capture that failed does not.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
        outputs = step()
    return graph.replay, outputs


def _remember(module: nn.Module, optimizer: AnyOptimizer) -> Callable[[], None]:
    """Return what undoes the steps that recording takes, in place.

    Parameters, buffers and the optimiser's tensors get back their values; those that the optimiser
    did not have before become zero, with which all of ours begin.
    """
    known = [*module.state_dict().values(), *_tensors(optimizer.state_dict())]
    values, ids = [tensor.clone() for tensor in known], {id(tensor) for tensor in known}

    @torch.no_grad()
    def restore() -> None:
        for tensor, value in zip(known, values, strict=True):
            tensor.copy_(value)
        for tensor in _tensors(optimizer.state_dict()):
            if id(tensor) not in ids:
                tensor.zero_()

    return restore


def _tensors(state: Any) -> Iterator[Tensor]:  # noqa: ANN401 (an optimiser's state, nested)
    """Yield the tensors of a state dictionary: those of the optimiser itself, no copies."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)
