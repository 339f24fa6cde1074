"""Data-parallel training: what a stage does differently when `torchrun` started it.

Every process draws the same global batch and works on its own slice; DistributedDataParallel
averages the gradients, and `models.float.resmlp.ChannelNorm` takes its statistics over all slices.
The result is that of one process, up to the order of float sums. The first process alone writes
files.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from models.files.errors import PipelineError


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; do nothing where it did not start this one."""
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
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this process is the one that writes files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def own_slice(batch: Tensor) -> Tensor:
    """Return this process's part of a global batch whose size the number of processes divides."""
    if world_size() == 1:
        return batch
    return batch.chunk(world_size())[distributed.get_rank()]


def check_batch_size(key: str, batch_size: int) -> None:
    """Raise PipelineError, naming the key, where a batch cannot be cut into equal slices."""
    if batch_size % world_size():
        raise PipelineError(
            f"params.yaml: {key} is {batch_size}, but {world_size()} processes need a multiple of "
            "their number; change one of the two."
        )


def data_parallel(module: nn.Module) -> nn.Module:
    """Wrap a module so that gradients are averaged over the processes, where there are several."""
    if world_size() == 1:
        return module
    return DistributedDataParallel(module, broadcast_buffers=False)


def from_first(value: Any) -> Any:  # noqa: ANN401 - whatever can be pickled
    """Return the first process's value in every process: others may have no such file."""
    if world_size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes; for reporting."""
    if world_size() > 1:
        distributed.all_reduce(value)
        value /= world_size()
    return value
