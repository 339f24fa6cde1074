"""What a network says of images, and how good that is."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stages._dataset import Split

_BATCH = 500  # images
_BATCH_ON_ACCELERATOR = 5000  # images; with small batches it would wait for the CPU

# (images, labels), and with stored logits these, to the loss and, where it classifies, logits
Loss = Callable[..., tuple[Tensor, Tensor | None]]
Network = Callable[[Tensor], Tensor]  # pixels to logits


def to_tensors(split: Split) -> tuple[Tensor, Tensor]:
    """Return pixels uint8 [n, 3, 32, 32] and labels int64 [n] of a split."""
    return torch.from_numpy(split.images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(
        split.labels
    )


@torch.no_grad()
def predict(model: Network, images: Tensor, device: torch.device) -> Tensor:
    """Return the logits [n, classes] of pixels [n, 3, 32, 32], on the CPU; modules in eval mode."""
    if isinstance(model, nn.Module):
        model.eval()
    return torch.cat([model(batch.to(device)).cpu() for batch in images.split(_BATCH)])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the top-1 accuracy in percent."""
    return 100 * (logits.argmax(dim=1) == labels).double().mean().item()


class Validation:
    """Judges a model by a loss on validation images, which stay on the device.

    A `teacher` that does not change is asked once; its logits are the loss's third argument.
    """

    def __init__(
        self, loss: Loss, split: Split, device: torch.device, teacher: Network | None = None
    ) -> None:
        self.loss, self.teacher = loss, teacher
        size = _BATCH if device.type == "cpu" else _BATCH_ON_ACCELERATOR
        parts = [tensor.to(device).split(size) for tensor in to_tensors(split)]
        self.batches: list[tuple[Tensor, ...]] = list(zip(*parts, strict=True))
        self.images = len(split)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, float | None]:
        """Return `val_loss` and, in percent or None, `val_accuracy`; leave eval mode behind."""
        model.eval()
        if self.teacher is not None:
            self.batches = [(x, y, self.teacher(x)) for x, y in self.batches]
            self.teacher = None
        loss, hits = 0.0, None
        for x, y, *target in self.batches:
            batch_loss, logits = self.loss(x, y, *target)
            loss = loss + batch_loss.double() * len(x)  # read at the end alone: reading waits
            if logits is not None:
                hits = (0 if hits is None else hits) + (logits.argmax(dim=1) == y).sum()
        return {
            "val_loss": round(float(loss) / self.images, 6),
            "val_accuracy": None if hits is None else round(100 * int(hits) / self.images, 3),
        }
