"""Layers that people compare ours with: splines in eager PyTorch, written as KANs write them.

`SplineActivation` is a cubic B-spline per channel. `KanLinear` is the layer of efficient-KAN: a
spline and a SiLU on every connection from input to output, summed over the inputs. Both evaluate
the basis functions by the Cox-de Boor recursion, as the libraries do.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ORDER = 3


def basis(x: Tensor, intervals: int, half_range: float) -> Tensor:
    """Return the cubic B-spline basis functions at x [...]: [..., intervals + ORDER]."""
    step = 2 * half_range / intervals
    numbers = torch.arange(-ORDER, intervals + ORDER + 1, dtype=x.dtype, device=x.device)
    grid, x = step * numbers - half_range, x.unsqueeze(-1)
    values = ((x >= grid[:-1]) & (x < grid[1:])).to(x.dtype)
    for k in range(1, ORDER + 1):
        left = (x - grid[: -k - 1]) / (k * step) * values[..., :-1]
        right = (grid[k + 1 :] - x) / (k * step) * values[..., 1:]
        values = left + right
    return values


class SplineActivation(nn.Module):
    """A cubic B-spline with 64 intervals per channel on [-4, 4]: SiLU plus a learned spline."""

    def __init__(self, num_features: int, intervals: int = 64, half_range: float = 4.0) -> None:
        super().__init__()
        self.intervals, self.half_range = intervals, half_range
        self.coefficients = nn.Parameter(0.1 * torch.randn(num_features, intervals + ORDER))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., num_features] to the same shape, each channel by its own spline."""
        values = basis(x, self.intervals, self.half_range)
        return functional.silu(x) + torch.einsum("...fk,fk->...f", values, self.coefficients)


class KanLinear(nn.Module):
    """A KAN layer: out_j = sum_i (base_ji silu(x_i) + spline_ji(x_i)), 5 intervals on [-1, 1]."""

    def __init__(
        self, inputs: int, outputs: int, intervals: int = 5, half_range: float = 1.0
    ) -> None:
        super().__init__()
        self.intervals, self.half_range = intervals, half_range
        self.base = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
        self.splines = nn.Parameter(0.1 * torch.randn(outputs, inputs, intervals + ORDER))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., inputs] to [..., outputs]."""
        values = basis(x, self.intervals, self.half_range).flatten(-2)
        return functional.linear(functional.silu(x), self.base) + functional.linear(
            values, self.splines.flatten(1)
        )


class Connections(nn.Module):
    """The functions of a KanLinear, one channel per connection: [N, outputs * inputs] to the same.

    Channel j * inputs + i is the function from input i to output j.
    """

    def __init__(self, layer: KanLinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Map each channel by the function of its connection."""
        layer = self.layer
        values = basis(x, layer.intervals, layer.half_range)
        spline = torch.einsum("...ck,ck->...c", values, layer.splines.flatten(0, 1))
        return layer.base.flatten() * functional.silu(x) + spline
