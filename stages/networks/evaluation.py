"""What a network says of images, and how good that is."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stages.pipeline.dataset import Split

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

    A `teacher` that no longer changes is asked here, once; its logits are then the loss's third
    argument.
    """

    @torch.no_grad()
    def __init__(
        self, loss: Loss, split: Split, device: torch.device, teacher: Network | None = None
    ) -> None:
        self.loss, self.images = loss, len(split)
        size = _BATCH if device.type == "cpu" else _BATCH_ON_ACCELERATOR
        parts = [tensor.to(device).split(size) for tensor in to_tensors(split)]
        if teacher is not None:
            parts.append([teacher(images) for images in parts[0]])
        self.batches = list(zip(*parts, strict=True))

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, float | None]:
        """Return `val_loss` and, in percent or None, `val_accuracy`; leave eval mode behind."""
        model.eval()
        losses, hits = [], []  # read at the end alone: reading waits for an accelerator
        for x, y, *target in self.batches:
            loss, logits = self.loss(x, y, *target)
            losses.append(loss.double() * len(x))
            if logits is not None:
                hits.append((logits.argmax(dim=1) == y).sum())
        return {
            "val_loss": round(float(sum(losses)) / self.images, 6),
            "val_accuracy": round(100 * int(sum(hits)) / self.images, 3) if hits else None,
        }
