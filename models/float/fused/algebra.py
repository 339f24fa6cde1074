"""Absorb norms and affines into weights for the fused passes, in compiled functions.

A function `<name>_back` computes the gradients of `<name>`. With r = 1 / sqrt(variance + eps) a
norm is scale * x + offset, scale = gamma r, offset = beta - scale * mean. The functions are
compiled because PyTorch would take as long for these small vectors as for the streams.

Matrices for the products over the streams have the streams' type: bfloat16 or float32. The caller
gives the array to which they are written.

Shapes: C channels, T tokens, H hidden channels; U units (parts of a stream, see `streams`).

Names: `outer` and `constant` [C] are scale and offset of the affine after a linear layer. `grad_x`
is the gradient of what `<name>` made for x; `grad_half` is that of the matrix that multiplies the
stream, which is in the narrow type. `own` is the term of one element.
"""

import numpy as np
from numpy.typing import NDArray

from models.float.activations.kernels.bfloat16 import put, widen
from models.float.activations.kernels.openmp import compiled

Floats = NDArray[np.float32]
Matrix = NDArray[np.uint16] | Floats  # float32, or the bits of bfloat16


@compiled
def absorb_norm(mean: Floats, variance: Floats, eps: float, gamma: Floats, beta: Floats) -> Floats:
    """Return r, scale and offset [3, C] of a norm; the arguments are vectors [C]."""
    norm = np.empty((3, mean.size), np.float32)
    for c in range(mean.size):
        norm[0, c] = 1 / np.sqrt(variance[c] + np.float32(eps))
        norm[1, c] = gamma[c] * norm[0, c]
        norm[2, c] = beta[c] - norm[1, c] * mean[c]
    return norm


@compiled
def statistics(sums: Floats, count: int) -> Floats:
    """Return mean and biased variance [2, C] of `count` values.

    `sums` [U, 2, C] holds, per unit, the sums of the values and of their squares.
    """
    total, result = np.zeros(sums.shape[1:]), np.empty(sums.shape[1:], np.float32)
    for unit in range(sums.shape[0]):
        for row in range(2):
            for c in range(sums.shape[2]):
                total[row, c] += sums[unit, row, c]
    for c in range(sums.shape[2]):
        mean = total[0, c] / count  # float64, because of cancellation in the difference below
        result[0, c] = mean
        result[1, c] = max(total[1, c] / count - mean * mean, 0.0)
    return result


@compiled
def through_statistics(
    grad_mean: Floats, grad_variance: Floats, mean: Floats, count: int
) -> Floats:
    """Return coefficients [2, C] of the gradient that a stream y gets through its statistics.

    That gradient is [0] + [1] * y = grad_mean / count + grad_variance * 2 (y - mean) / count.
    """
    grads = np.empty((2, mean.size), np.float32)
    for c in range(mean.size):
        grads[1, c] = np.float32(2) * grad_variance[c] / np.float32(count)
        grads[0, c] = grad_mean[c] / np.float32(count) - grads[1, c] * mean[c]
    return grads


@compiled
def absorb_norm_back(
    grad_scale: Floats, grad_offset: Floats, mean: Floats, gamma: Floats, norm: Floats
) -> Floats:
    """Return the gradients of mean, variance, gamma and beta [4, C].

    `grad_scale` and `grad_offset` [C] are those of the norm's scale and offset; `norm` is the
    result of `absorb_norm`.
    """
    grads = np.empty((4, mean.size), np.float32)
    for c in range(mean.size):
        r = norm[0, c]
        own = grad_scale[c] - grad_offset[c] * mean[c]  # offset has -scale * mean in it
        grads[0, c] = -grad_offset[c] * norm[1, c]
        grads[1, c] = np.float32(-0.5) * own * gamma[c] * r * r * r  # dr/dvariance = -r³ / 2
        grads[2, c] = own * r
        grads[3, c] = grad_offset[c]
    return grads


@compiled
def absorb_mixer(
    norm: Floats, weight: Floats, bias: Floats, outer: Floats, constant: Floats
) -> tuple[Floats, Floats]:
    """Return scale [C] and shift [T, C] of the token mixer y = x + scale * (weight @ x) + shift.

    Arguments: weight [T, T], bias [T]; outer and constant [C] are scale and offset of affine_2. The
    norm's offset is the same for all tokens, so weight @ offset is the sum of a row of the weight,
    times the offset.
    """
    tokens, features = bias.size, outer.size
    shift = np.empty((tokens, features), np.float32)
    for i in range(tokens):
        row = weight[i].sum()
        for c in range(features):
            shift[i, c] = constant[c] + outer[c] * (row * norm[2, c] + bias[i])
    return outer * norm[1], shift


@compiled
def absorb_mixer_back(
    grad_half: Floats,
    grad_scale: Floats,
    grad_shift: Floats,
    norm: Floats,
    weight: Floats,
    bias: Floats,
    outer: Floats,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the gradients of weight, bias, (outer, constant), norm: [T, T], [T], [2, C], [2, C].

    Arguments: grad_half [T, T] is the gradient that the weight gets through its product with the
    stream, grad_scale [C] and grad_shift [T, C] are those of the results of `absorb_mixer`. The
    norm's gradients are those of its scale and offset.
    """
    tokens, features = bias.size, outer.size
    grad_weight, grad_bias = np.empty_like(weight), np.empty_like(bias)
    grad_outer, grad_norm = np.zeros((2, features), np.float32), np.zeros((2, features), np.float32)
    for c in range(features):
        grad_outer[0, c] = grad_scale[c] * norm[1, c]
        grad_norm[0, c] = grad_scale[c] * outer[c]
    mixed = np.empty(features, np.float32)  # gradients of row * offset + bias, of one token
    for i in range(tokens):
        row = weight[i].sum()
        for c in range(features):
            own = grad_shift[i, c]
            grad_outer[0, c] += own * (row * norm[2, c] + bias[i])
            grad_outer[1, c] += own
            mixed[c] = own * outer[c]
            grad_norm[1, c] += mixed[c] * row
        grad_bias[i] = mixed.sum()
        grad_row = (mixed * norm[2]).sum()  # the same for each weight of the row
        for j in range(tokens):
            grad_weight[i, j] = grad_half[i, j] + grad_row
    return grad_weight, grad_bias, grad_outer, grad_norm


@compiled
def absorb_input(
    norm: Floats, weight: Floats, bias: Floats, matrix: Matrix, vector: Matrix
) -> None:
    """Write weight [H, C] and bias [H] of a linear layer that absorbs its norm.

    The new weight, `matrix`, is weight * scale; the new bias, `vector`, bias + weight @ offset.
    """
    for h in range(bias.size):
        for c in range(weight.shape[1]):
            put(matrix[h], c, weight[h, c] * norm[1, c])
        put(vector, h, bias[h] + (weight[h] * norm[2]).sum())


@compiled
def absorb_input_back(
    grad_half: Floats, grad_bias: Floats, norm: Floats, weight: Floats
) -> tuple[Floats, Floats]:
    """Return the gradients of weight [H, C] and of the norm's scale and offset [2, C].

    The gradient of the bias is `grad_bias`.
    """
    grad_weight, grad_norm = np.empty_like(weight), np.zeros((2, weight.shape[1]), np.float32)
    for h in range(grad_bias.size):
        for c in range(weight.shape[1]):
            own = grad_half[h, c]
            grad_weight[h, c] = own * norm[1, c] + grad_bias[h] * norm[2, c]
            grad_norm[0, c] += own * weight[h, c]
            grad_norm[1, c] += grad_bias[h] * weight[h, c]
    return grad_weight, grad_norm


@compiled
def absorb_output(
    weight: Floats, bias: Floats, outer: Floats, constant: Floats, matrix: Matrix
) -> Floats:
    """Write the weight of a linear layer that absorbs the affine after it; return its bias.

    The new weight [C, H], `matrix`, is outer * weight; the new bias [C] is outer * bias + constant.
    """
    for c in range(outer.size):
        for h in range(weight.shape[1]):
            put(matrix[c], h, weight[c, h] * outer[c])
    return outer * bias + constant


@compiled
def absorb_output_back(
    grad_half: Floats, grad_bias: Floats, weight: Floats, bias: Floats, outer: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the gradients of weight [C, H], bias [C] and outer [C].

    The gradient of the constant is `grad_bias`.
    """
    grad_weight, grad_outer = np.empty_like(weight), grad_bias * bias
    products = np.empty(weight.shape[1], np.float32)
    for c in range(outer.size):
        for h in range(weight.shape[1]):
            own = grad_half[c, h]
            grad_weight[c, h] = own * outer[c]
            products[h] = own * weight[c, h]
        grad_outer[c] += products.sum()
    return grad_weight, grad_bias * outer, grad_outer


@compiled
def add_parts(parts: Matrix) -> Floats:
    """Sum a three-dimensional bfloat16 array over axis 0, in float32."""
    total = np.zeros(parts.shape[1:], np.float32)
    for part in range(parts.shape[0]):
        for i in range(parts.shape[1]):
            for j in range(parts.shape[2]):
                total[i, j] += widen(parts[part, i, j])
    return total
