"""Data-parallel training in several processes that `torchrun` starts.

Every process draws the same global batch and trains on its own slice. DistributedDataParallel
averages the gradients, and the norms use statistics of all slices. The result equals that of one
process, except for the order of float sums. Only the first process writes files.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from models.files.errors import PipelineError
from models.float.resmlp import ChannelNorm


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; do nothing if torchrun was not used."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def world_size() -> int:
    """Return the number of processes that train together, 1 without torchrun."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Return whether this process writes the files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def own_slice(batch: Tensor) -> Tensor:
    """Return this process's slice of a batch; its size must divide by the number of processes."""
    if world_size() == 1:
        return batch
    return batch.chunk(world_size())[distributed.get_rank()]


def check_batch_size(key: str, batch_size: int) -> None:
    """Raise PipelineError, naming the key, if a batch cannot be divided into equal slices."""
    if batch_size % world_size():
        raise PipelineError(
            f"params.yaml: {key} is {batch_size}, but {world_size()} processes need a multiple of "
            "their number; change one of the two."
        )


def data_parallel(module: nn.Module) -> nn.Module:
    """Return the module wrapped for training in several processes; unchanged if there is only one.

    The norms share their statistics, and the wrapper averages the gradients.
    """
    if world_size() == 1:
        return module
    share_norms(module)
    return DistributedDataParallel(module, broadcast_buffers=False)


class SharedNorm(ChannelNorm):
    """A ChannelNorm that uses the statistics of all processes' rows in training mode.

    `SyncBatchNorm` works only on CUDA; this class works on any device.
    """

    @classmethod
    def of(cls, norm: ChannelNorm) -> "SharedNorm":
        """Return a shared norm that uses the parameters and buffers of `norm`, without copies."""
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared.weight, shared.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(shared, name, buffer)
        return shared.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [..., channels]; the result has the same shape."""
        if not self.training:
            return super().forward(x)
        rows = x.reshape(-1, x.shape[-1])
        count = len(rows) * distributed.get_world_size()
        mean = _SumOverProcesses.apply(rows.sum(dim=0)) / count
        centered = rows - mean
        var = _SumOverProcesses.apply(centered.square().sum(dim=0)) / count
        with torch.no_grad():
            unbiased = var * count / max(count - 1, 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        normed = centered * (self.weight * (var + self.eps).rsqrt()) + self.bias
        return normed.view(x.shape)


def share_norms(module: nn.Module) -> None:
    """Replace every ChannelNorm inside a module, in place, by a SharedNorm."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is ChannelNorm:
                setattr(parent, name, SharedNorm.of(child))


class _SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes; the backward pass sums the gradient, too."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        total = grad.clone()
        distributed.all_reduce(total)
        return total


def from_first(value: Any) -> Any:  # noqa: ANN401 - whatever can be pickled
    """Return the first process's value in every process; only that process has read the file."""
    if world_size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes, for reports."""
    if world_size() > 1:
        distributed.all_reduce(value)
        value /= world_size()
    return value
