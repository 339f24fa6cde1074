"""The shuffled, changed batches of one epoch."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from stages._distributed import own_slice

Change = Callable[[Tensor, Generator], Tensor]


class Batches:
    """Batches (images, *targets) on a device; every draw comes from the generator.

    Images uint8 [n, 3, height, width] and every target [n, ...] are shuffled together; `change`
    maps the images of a batch and the generator to those that are trained on. The last, smaller
    batch is dropped. Of several processes each gets its own slice of every batch.
    """

    def __init__(
        self,
        images: Tensor,
        targets: tuple[Tensor, ...],
        change: Change,
        batch_size: int,
        generator: Generator,
        device: torch.device,
    ) -> None:
        self.images, self.targets = images, targets
        self.change, self.generator, self.device = change, generator, device
        order = torch.randperm(len(images), generator=generator)
        self.order = order.split(batch_size)[: len(images) // batch_size]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches in their order."""
        for batch in self.order:
            # Every process changes the whole batch: the draws do not depend on their number.
            images = self.change(self.images[batch], self.generator)
            parts = (images, *(target[batch] for target in self.targets))
            yield tuple(own_slice(part).to(self.device, non_blocking=True) for part in parts)
