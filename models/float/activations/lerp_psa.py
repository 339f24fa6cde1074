"""LERP-PSA: personal self-attention evaluated on a grid, linearly interpolated.

For each channel, with K expansion terms (docs/published-system.md §1):

    psa(x) = o · sum_k v_k x · softmax_k( -(x - c_k)^2 / (q_k^2 + ε) ) + p
    act(x) = x + lerp(psa, x)
"""

import torch
from torch import Tensor, nn

from .interpolation import lerp
from .on_grid import OnGrid
from .psa import Channels, psa

_VALUE_STD = 4.0  # standard deviation of v at initialisation


class LerpPsa(OnGrid):
    """x + psa(x), with psa evaluated at `grid_size` knots in [-grid_range, grid_range].

    The function is linear between knots; outside the grid the first and the last segment are
    extrapolated. Parameters: value v, query q and center c [num_features, expansion], scale o and
    offset p [num_features]. Their gradients flow through the knot values. The channels are
    dimension `dim` of the input: the last one, or 1 for images [batch, features, height, width].
    """

    shown = ("grid_size", "grid_range", "expansion", "epsilon", "dim")

    def __init__(
        self,
        num_features: int,
        grid_size: int = 64,
        grid_range: float = 4.0,
        expansion: int = 8,
        epsilon: float = 1.0,
        dim: int = -1,
    ) -> None:
        super().__init__()
        self.num_features, self.dim = num_features, dim
        self.grid_size, self.grid_range, self.expansion = grid_size, float(grid_range), expansion
        shape = (num_features, expansion)
        self.value = nn.Parameter(_VALUE_STD * torch.randn(shape))
        self.query = nn.Parameter(torch.ones(shape))
        self.center = nn.Parameter(torch.empty(shape).uniform_(-1.0, 1.0))
        self.scale = nn.Parameter(torch.ones(num_features))
        self.offset = nn.Parameter(torch.zeros(num_features))
        self.epsilon = epsilon
        self.start, self.step = -grid_range, 2 * grid_range / (grid_size - 1)
        knots = torch.linspace(-grid_range, grid_range, grid_size)
        self.register_buffer("knots", knots, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., num_features] to the same shape, each channel by its own function."""
        return lerp(x, *self.table(), self.dim)

    def table(self) -> tuple[Tensor, float, float]:
        """Return knots + psa(knots) [num_features, grid_size], the first knot and the step.

        Interpolation reproduces straight lines exactly, so the table includes the residual x.
        """
        knots = self.knots.to(self.value.dtype)
        return knots + self.psa(knots), self.start, self.step

    def psa(self, points: Tensor) -> Tensor:
        """Evaluate psa without grid and residual: map points [G] to values [num_features, G]."""
        channels = Channels(self.value, self.query, self.center, self.scale, self.offset)
        return psa(points, channels, self.epsilon)
