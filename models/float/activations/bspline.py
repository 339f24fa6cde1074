"""Linear B-spline activation: a learnable piecewise linear function per channel.

See docs/published-system.md §1. Method: Bohra et al., "Learning activation functions in deep
(spline) neural networks", 2020.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .interpolation import lerp
from .on_grid import OnGrid

_LEAKY_SLOPE = 0.01  # the initial function is a leaky ReLU


class BSpline(OnGrid):
    """Piecewise linear function per channel; its parameters are the values at the knots.

    The G = grid_size knots are step * k for k = -(G-1)/2 … (G-1)/2, step = grid_range / ((G-1)/2).
    Outside the grid the outer segments are extended linearly. `tv2` is the weight of the
    regulariser that favours few linear pieces. Parameter: coefficients [num_features, G]. The
    channels are dimension `dim` of the input: the last one, or 1 for images.
    """

    shown = ("grid_size", "grid_range", "tv2", "dim")

    def __init__(
        self,
        num_features: int,
        grid_size: int = 65,
        grid_range: float = 4.0,
        tv2: float = 1e-5,
        dim: int = -1,
    ) -> None:
        super().__init__()
        if grid_size < 3 or grid_size % 2 == 0:
            raise ValueError(f"grid_size is {grid_size}, but must be odd and >= 3: zero is a knot.")
        self.num_features, self.dim = num_features, dim
        self.grid_size, self.grid_range = grid_size, float(grid_range)
        self.step = grid_range / (grid_size // 2)
        self.start = -grid_range
        self.tv2 = tv2
        knots = self.start + self.step * torch.arange(grid_size)
        values = torch.where(knots > 0, knots, _LEAKY_SLOPE * knots)
        self.coefficients = nn.Parameter(values.repeat(num_features, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., num_features] to the same shape, each channel by its own spline."""
        return lerp(x, *self.table(), self.dim)

    def table(self) -> tuple[Tensor, float, float]:
        """Return the coefficients [num_features, G], the first knot and the step."""
        return self.coefficients, self.start, self.step

    def penalty(self) -> Tensor:
        """Return the TV2 regulariser, summed over knots and channels (published-system.md §1).

        It is tv2 · sum |c[k-1] - 2 c[k] + c[k+1]| / step.
        """
        second_differences = self.coefficients.diff(n=2, dim=1)
        return self.tv2 * second_differences.abs().sum() / self.step

    def spline_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the coefficients; the published recipe trains them with a separate optimiser."""
        yield self.coefficients
