"""ReLU, the activation of the teacher and of the baseline students."""

import torch
from torch import Tensor, nn


class ReLU(nn.Module):
    """max(0, x) in every channel; used only as `act_hidden` (then `act_in` is the identity)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., num_features] to the same shape."""
        return torch.relu(x)
