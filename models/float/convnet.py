"""A small convolutional network for 32x32 images; the ResMLP teacher learns from its logits.

The architecture follows K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv
2404.00498: a frozen 2x2 convolution that whitens the patches of the training images, then three
stages of two 3x3 convolutions. Each stage halves the image.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_WHITENING_EPSILON = 5e-4  # added to the variances of the patches' principal components
_BATCH_NORM_MOMENTUM = 0.4  # large, because a run has few steps and the last ones matter
_LOGIT_SCALE = 1 / 9  # small initial logits allow the paper's large learning rate


class ConvStage(nn.Sequential):
    """Two 3x3 convolutions with BatchNorm and GELU; the image is halved after the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            _convolution(inputs, outputs),
            nn.MaxPool2d(2),
            _batch_norm(outputs),
            nn.GELU(),
            _convolution(outputs, outputs),
            _batch_norm(outputs),
            nn.GELU(),
        )


class ConvNet(nn.Module):
    """Map pixels 0..255 [batch, 3, 32, 32] to logits [batch, num_classes].

    `widths` are the channels of the three stages; mean and std (per colour) refer to pixel / 255.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)
        self.whiten = nn.Conv2d(3, 24, kernel_size=2)  # 12 components and their negatives
        self.whiten.weight.requires_grad_(False)
        channels = (24, *widths)
        self.stages = nn.Sequential(nn.GELU(), *(ConvStage(*pair) for pair in pairwise(channels)))
        self.classifier = nn.Linear(widths[-1], num_classes, bias=False)
        self.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def whiten_with(self, images: Tensor) -> None:
        """Set the first convolution so that it whitens the 2x2 patches of pixels [n, 3, h, w]."""
        x = (images - self.mean) / self.std
        patches = x.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        variances, components = torch.linalg.eigh(torch.cov(patches.T.double()))
        scaled = components / torch.sqrt(variances + _WHITENING_EPSILON)
        filters = scaled.T.reshape(12, 3, 2, 2).float()
        self.whiten.weight.copy_(torch.cat([filters, -filters]))
        self.whiten.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels 0..255 [batch, 3, 32, 32] to logits [batch, num_classes]."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        x = self.stages(self.whiten(x))
        return self.classifier(x.amax(dim=(2, 3))) * _LOGIT_SCALE

    def norm_biases(self) -> list[nn.Parameter]:
        """Return the biases of the BatchNorms, which have a separate learning rate."""
        return [part.bias for part in self.modules() if isinstance(part, nn.BatchNorm2d)]


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution that initially copies its input channels (Dirac initialisation)."""
    layer = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, momentum=_BATCH_NORM_MOMENTUM)
    layer.weight.requires_grad_(False)  # as in the paper: the next convolution can scale
    return layer
