"""A training step (gradients and optimiser), run eagerly or replayed from a CUDA graph.

A step of these networks consists of some hundred kernels of a few microseconds each. Starting them
one by one takes the CPU longer than the GPU needs to run them. A CUDA graph starts all of them at
once, but requires that every tensor keeps its address: batches are copied into the recorded inputs,
and learning rates are tensors on the device. If a phase has enough steps to be worth it,
torch.compile first fuses the module's kernels.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.files.errors import one_line
from stages.training.optimizers import AnyOptimizer, set_rates

Outputs = tuple[Tensor, Tensor | None]  # the loss, and the logits if the phase classifies
Recorder = Callable[[Callable[[], Outputs]], tuple[Callable[[], None], Outputs]]

_LOG = logging.getLogger(__name__)
_WARM_UP = 3  # runs before recording: the first ones compile kernels and choose algorithms
_WORTH_COMPILING = 10_000  # steps: compiling takes some 20 s and saves some 2 ms per step


class EagerStep:
    """Trains a module on one batch after another, without a recording."""

    def __init__(self, module: nn.Module, optimizer: AnyOptimizer) -> None:
        self.module, self.optimizer = module, optimizer
        self.learning_rate = 0.0  # of the last step, for the optimiser's first group

    def __call__(self, factor: float, *batch: Tensor) -> Outputs:
        """Update the parameters at `factor` times their rates; return the module's outputs."""
        self.learning_rate = set_rates(self.optimizer, factor)
        return self._update(self.module, *batch)

    def _update(self, module: Callable[..., Outputs], *batch: Tensor) -> Outputs:
        loss, logits = module(*batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), logits if logits is None else logits.detach()


class RecordedStep(EagerStep):
    """A step that the first batch records; all batches must have its shapes.

    The next call overwrites the returned tensors. `forms` are variants of the module that are tried
    in order. If none can be recorded, all steps are eager. One log line per form gives the reason.
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
        """Update the parameters at `factor` times their rates; return the module's outputs."""
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
        """Record the update with the first form that can be recorded; it trains nothing yet.

        Without such a form, `replay` stays None. The recording reads each learning rate from the
        device when it is replayed, so the rates become tensors there.
        """
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
    """Return the step for a device: recorded if `record` is set and the device is CUDA, else eager.

    `compile_for` is the number of steps that a compiled module would run.
    """
    if not record or device.type != "cuda":
        return EagerStep(module, optimizer)
    forms: list[Callable[..., Outputs]] = [module]
    if compile_for >= _WORTH_COMPILING:
        forms.insert(0, torch.compile(module, dynamic=False))
    return RecordedStep(module, optimizer, record_graph, forms)


def record_graph(step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """Record a step as a CUDA graph; return the function that replays it, and its outputs."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                step()
    finally:  # also after a failure: the undo must run after the side stream
        torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # The outer context returns to this stream; a failed capture does not.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
        outputs = step()
    return graph.replay, outputs


def _remember(module: nn.Module, optimizer: AnyOptimizer) -> Callable[[], None]:
    """Return the function that undoes, in place, the steps that recording runs.

    Parameters, buffers and the optimiser's tensors get their old values. Tensors that the optimiser
    has created since become zero, the initial value of all its tensors.
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
    """Yield the tensors of a state dictionary, without copies."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)
