"""Shuffled batches of one epoch with random changes."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from stages.networks.distributed import own_slice

_TOGETHER = 32  # batches that are changed in one call on a GPU

Change = Callable[[Tensor, Generator], Tensor]
Mix = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]


class Batches:
    """Batches (images, *targets) on a device; all random numbers come from the generator.

    Images uint8 [n, 3, height, width] and every target [n, ...] are shuffled together. `change`
    maps a batch of images and the generator to the images that are trained on. `mix` then maps the
    images and the first target to others of the same length. The last, smaller batch is dropped. Of
    several processes each gets its own slice of every batch. On a GPU all images stay in device
    memory, and 32 batches are changed in one call, which costs no more than one.
    """

    def __init__(
        self,
        images: Tensor,
        targets: tuple[Tensor, ...],
        change: Change,
        batch_size: int,
        generator: Generator,
        device: torch.device,
        mix: Mix | None = None,
    ) -> None:
        self.images, self.targets = images.to(device), [target.to(device) for target in targets]
        self.change, self.mix, self.generator = change, mix, generator
        self.device, self.together = device, 1 if device.type == "cpu" else _TOGETHER
        order = torch.randperm(len(images), generator=generator).to(device)
        self.order = order.split(batch_size)[: len(images) // batch_size]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches in shuffled order."""
        for first in range(0, len(self.order), self.together):
            batches = self.order[first : first + self.together]
            # Every process changes whole batches, so the number of processes changes no draw.
            chosen, size = torch.cat(batches), len(batches[0])
            changed = self.change(self.images[chosen], self.generator)
            targets = [target[chosen] for target in self.targets]
            if self.mix is not None:
                changed, targets[0] = self.mix(changed, targets[0], self.generator)
            parts = [part.split(size) for part in (changed, *targets)]
            for batch in zip(*parts, strict=True):
                yield tuple(own_slice(part) for part in batch)
