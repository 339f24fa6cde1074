"""Predictions of a network, and their accuracy."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.files.errors import PipelineError
from stages.pipeline.dataset import Split

_BATCH = 500  # images

Forward = Callable[[Tensor], Tensor]  # pixels to logits


def to_tensors(split: Split) -> tuple[Tensor, Tensor]:
    """Return the pixels uint8 [n, 3, 32, 32] and labels int64 [n] of a split."""
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).contiguous()
    return images, torch.from_numpy(split.labels)


@torch.no_grad()
def predict(model: Forward, images: Tensor, device: torch.device) -> Tensor:
    """Return the logits [n, classes] of pixels [n, 3, 32, 32], on the CPU.

    A module is set to eval mode first. Raises PipelineError if a logit is not a finite number.
    """
    if isinstance(model, nn.Module):
        model.eval()
    logits = torch.cat([model(batch.to(device)).cpu() for batch in images.split(_BATCH)])
    wrong = int((~logits.isfinite()).any(dim=1).sum())
    if wrong:
        raise PipelineError(
            f"The logits of {wrong} of {len(logits)} images are not finite numbers: the network's "
            "weights are so large that its sums overflow; train it again (a damaged file of "
            "weights can be got again with `dvc pull`)."
        )
    return logits


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the top-1 accuracy in percent of logits [n, classes] and labels [n]."""
    return 100 * (logits.argmax(dim=1) == labels).double().mean().item()
