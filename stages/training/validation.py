"""Loss and accuracy on the validation images, measured at the end of every epoch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stages.networks.evaluation import Forward, to_tensors
from stages.pipeline.dataset import Split

_BATCH = 500  # images
_BATCH_ON_ACCELERATOR = 5000  # images; with small batches the GPU would wait for the CPU

# Maps (images, labels), or (images, labels, stored logits), to the loss, and logits or None.
Loss = Callable[..., tuple[Tensor, Tensor | None]]


class Validation:
    """Measures a model's loss on the validation images, which stay on the device.

    A `teacher` must not change any more: its logits are computed once, in the constructor. They are
    then the third argument of the loss.
    """

    @torch.no_grad()
    def __init__(
        self, loss: Loss, split: Split, device: torch.device, teacher: Forward | None = None
    ) -> None:
        self.loss, self.images = loss, len(split)
        size = _BATCH if device.type == "cpu" else _BATCH_ON_ACCELERATOR
        parts = [tensor.to(device).split(size) for tensor in to_tensors(split)]
        if teacher is not None:
            parts.append([teacher(images) for images in parts[0]])
        self.batches = list(zip(*parts, strict=True))

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, float | None]:
        """Return `val_loss`, and `val_accuracy` in percent or None; leaves `model` in eval mode."""
        model.eval()
        losses, hits = [], []  # read only at the end, because reading waits for the GPU
        for x, y, *target in self.batches:
            loss, logits = self.loss(x, y, *target)
            losses.append(loss.double() * len(x))
            if logits is not None:
                hits.append((logits.argmax(dim=1) == y).sum())
        return {
            "val_loss": round(float(sum(losses)) / self.images, 6),
            "val_accuracy": round(100 * int(sum(hits)) / self.images, 3) if hits else None,
        }
