"""A training step's gradients: eagerly, or on CUDA as one graph that is recorded once.

A step of these networks is some hundred kernels of a few microseconds each, and starting them one
by one takes a CPU longer than running them takes the device. A CUDA graph starts them all at once;
in return every tensor keeps its address: batches are copied into the recorded inputs, gradients and
outputs come back in the recorded tensors. The optimiser stays outside, because its
learning rate changes at every step: fused AdamW is a few kernels, Muon several hundred small ones.

Not yet run on a GPU: the tests put a stand-in in the place of `record`.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

Outputs = tuple[Tensor, Tensor | None]  # the loss and, where it classifies, the logits
Recorder = Callable[[Callable[[], Outputs]], tuple[Callable[[], None], Outputs]]

_LOG = logging.getLogger(__name__)
_WARM_UP = 3  # runs before recording, for what only the first ones do (compiling, choosing)


class EagerStep:
    """Calls a module on a batch, and leaves the gradients of its loss in its parameters."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *batch: Tensor) -> Outputs:
        """Return what the module returns: the loss and the logits or None."""
        loss, logits = self.module(*batch)
        self.module.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach(), logits if logits is None else logits.detach()


class RecordedStep:
    """The same from a recording that the first batch makes; all batches have its shapes.

    What is returned is overwritten by the next call. Where recording fails, one line says so and
    the steps are eager from then on.
    """

    def __init__(self, module: nn.Module, record: Recorder) -> None:
        self.eager, self.record = EagerStep(module), record
        self.inputs: tuple[Tensor, ...] | None = None
        self.replay: Callable[[], None] | None = None

    def __call__(self, *batch: Tensor) -> Outputs:
        """Return what the module returns: the loss and the logits or None."""
        if self.inputs is None:
            self.inputs = tuple(part.clone() for part in batch)
            self._record(self.inputs)
        if self.replay is None:
            return self.eager(*batch)
        for recorded, part in zip(self.inputs, batch, strict=True):
            recorded.copy_(part, non_blocking=True)
        self.replay()
        return self.outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        # Recording runs the step a few times: no trace of that may stay in a norm's statistics.
        buffers = [(buffer, buffer.clone()) for buffer in self.eager.module.buffers()]
        try:
            self.replay, self.outputs = self.record(lambda: self.eager(*inputs))
        except RuntimeError as error:
            _LOG.info("training without a CUDA graph, which could not be recorded (%s)", error)
        for buffer, before in buffers:
            buffer.copy_(before)


def gradient_step(module: nn.Module, device: torch.device, fast: bool) -> EagerStep | RecordedStep:
    """Return the step for a device: recorded where `fast` and the device is CUDA, else eager."""
    if fast and device.type == "cuda":
        return RecordedStep(module, record_graph)
    return EagerStep(module)


def record_graph(step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """Record a step as a CUDA graph; return what replays it, and the outputs it writes to."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()
    return graph.replay, outputs
