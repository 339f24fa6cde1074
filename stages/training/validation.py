"""The loss and the accuracy on the validation images, which every epoch ends with."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stages.networks.evaluation import Forward, to_tensors
from stages.pipeline.dataset import Split

_BATCH = 500  # images
_BATCH_ON_ACCELERATOR = 5000  # images; with small batches it would wait for the CPU

# (images, labels), and with stored logits these, to the loss and, where it classifies, logits
Loss = Callable[..., tuple[Tensor, Tensor | None]]


class Validation:
    """Measures a model's loss on the validation images, which stay on the device.

    A `teacher` that no longer changes is asked once, here; its logits are then the loss's third
    argument.
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
        """Return `val_loss` and, in percent or None, `val_accuracy`; leave eval mode behind."""
        model.eval()
        losses, hits = [], []  # read only at the end: reading waits for an accelerator
        for x, y, *target in self.batches:
            loss, logits = self.loss(x, y, *target)
            losses.append(loss.double() * len(x))
            if logits is not None:
                hits.append((logits.argmax(dim=1) == y).sum())
        return {
            "val_loss": round(float(sum(losses)) / self.images, 6),
            "val_accuracy": round(100 * int(sum(hits)) / self.images, 3) if hits else None,
        }
