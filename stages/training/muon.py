"""The optimiser Muon for all weight matrices of a network at once.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
`torch.optim.Muon` updates one matrix after another. For the small matrices of a ResMLP that is
hundreds of operators, up to a fifth of a training step. Here all matrices are one zero-padded
batch; zeros change neither norms nor products and stay zero.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.float.precision import fast_type

_MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, Jordan et al.
_ITERATIONS = 5
_EPSILON = 1e-7
_RMS = 0.2  # typical root mean square of AdamW's updates, Liu et al., arXiv 2502.16982

Shapes = tuple[torch.Size, ...]


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised, as in `torch.optim.Muon`, for all matrices at once.

    Updates are scaled to the size of AdamW's (`match_rms_adamw` in torch), so one schedule serves
    both. `lr` is a number, or a tensor without dimensions on the matrices' device; with a tensor a
    step can be recorded as a CUDA graph. A parameter that is not a matrix raises ValueError.
    """

    def __init__(self, params: Iterable[Any], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        shapes = [list(p.shape) for group in self.param_groups for p in group["params"]]
        if any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"Muon is for matrices, not for parameters of the shapes {shapes}.")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            if matrices:
                self._update(matrices, group["lr"], group["weight_decay"])

    def _update(self, matrices: list[nn.Parameter], lr: float | Tensor, decay: float) -> None:
        gradients = [p.grad for p in matrices]
        momenta = [self._momentum(p) for p in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        updates = torch._foreach_lerp(gradients, momenta, _MOMENTUM)
        shapes: Shapes = tuple(p.shape for p in matrices)
        # Updates [n, rows, columns], each with its own factor [n, 1, 1].
        batch = orthogonal(_padded(updates)) * (_scales(shapes, updates[0].device) * lr)
        steps = [_unpadded(part, shape) for part, shape in zip(batch, shapes, strict=True)]
        torch._foreach_mul_(matrices, 1 - lr * decay)
        torch._foreach_sub_(matrices, steps)

    def _momentum(self, matrix: nn.Parameter) -> Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def orthogonal(batch: Tensor) -> Tensor:
    """Return matrices [n, rows, columns] with singular values near 1, by Newton-Schulz iteration.

    Requires rows <= columns. Computes in the batch's type; bfloat16 is sufficient. Rows and columns
    of zeros stay zero.
    """
    linear, cubic, quintic = _COEFFICIENTS
    x = batch / batch.norm(dim=(1, 2), keepdim=True).clamp(min=_EPSILON)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT  # [n, rows, rows]
        factor = torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic)
        x = torch.baddbmm(x, factor, x, beta=linear)
    return x


def _padded(matrices: list[Tensor]) -> Tensor:
    """Return [n, rows, columns], each matrix transposed to rows <= columns, zero-padded.

    The padding is at the bottom and at the right. The type is the device's fast one.
    """
    lying = [_lying(matrix) for matrix in matrices]
    rows, columns = (max(matrix.shape[i] for matrix in lying) for i in (0, 1))
    device = matrices[0].device
    batch = torch.zeros(len(lying), rows, columns, dtype=fast_type(device), device=device)
    for part, matrix in zip(batch, lying, strict=True):
        part[: matrix.shape[0], : matrix.shape[1]] = matrix
    return batch


def _unpadded(padded: Tensor, shape: torch.Size) -> Tensor:
    if shape[0] > shape[1]:
        padded = padded.t()
    return padded[: shape[0], : shape[1]]


def _lying(matrix: Tensor) -> Tensor:
    """Return the matrix, transposed if it has more rows than columns."""
    return matrix.t() if matrix.shape[0] > matrix.shape[1] else matrix


@cache
def _scales(shapes: Shapes, device: torch.device) -> Tensor:
    """Return factors [n, 1, 1] for a learning rate that give each update AdamW's size."""
    return torch.tensor([[[_RMS * max(shape) ** 0.5]] for shape in shapes], device=device)
