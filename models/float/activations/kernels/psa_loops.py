"""The compiled loops of `psa`: personal self-attention at all knots, and its gradients.

PyTorch would run about thirty operators over tensors [features, terms, knots], forward and
backward. Here each channel is processed completely while it is in the L1 cache.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .bfloat16 import OPTIONS, bits_as_float
from .openmp import compiled

Floats = NDArray[np.float32]

_LOG2_E = np.float32(1.4426950408889634)
_LOWEST = np.float32(-126.0)  # exponent of the smallest normal float32
# Taylor polynomial of degree 6 for 2^r, r in [-1/2, 1/2]; its error is less than 2e-7
_C1, _C2, _C3 = np.float32(0.6931471806), np.float32(0.2402265070), np.float32(0.0555041087)
_C4, _C5, _C6 = np.float32(0.0096181291), np.float32(0.0013333558), np.float32(0.0001540353)


@njit(**OPTIONS)
def _exp(x):
    """Return e^x for x <= 0, in arithmetic that the compiler can vectorise."""
    power = x * _LOG2_E
    power = _LOWEST if power < _LOWEST else power  # NaN stays NaN
    whole = np.floor(power + np.float32(0.5))
    r = power - whole
    fraction = _C3 + r * (_C4 + r * (_C5 + r * _C6))
    fraction = np.float32(1) + r * (_C1 + r * (_C2 + r * fraction))
    return fraction * bits_as_float(np.uint32(np.int32(whole) + np.int32(127)) << np.uint32(23))


@njit(**OPTIONS)
def _attend(points, value, sharpness, center, weights, attention) -> None:
    """Write a channel's softmax weights [terms, points] and attention [points]."""
    terms, count = weights.shape
    for k in range(terms):
        for g in range(count):
            distance = points[g] - center[k]
            weights[k, g] = -sharpness[k] * distance * distance
    largest, total = weights[0].copy(), np.zeros(count, np.float32)
    for k in range(1, terms):
        for g in range(count):
            largest[g] = max(largest[g], weights[k, g])
    attention[:] = 0
    for k in range(terms):
        for g in range(count):
            weights[k, g] = _exp(weights[k, g] - largest[g])
            total[g] += weights[k, g]
            attention[g] += value[k] * weights[k, g]
    for g in range(count):
        attention[g] /= total[g]
    for k in range(terms):
        for g in range(count):
            weights[k, g] /= total[g]


@njit(fastmath={"reassoc"}, **OPTIONS)
def _term_gradients(points, center, sharpness, value, weights, attention, above):
    """Return the gradients of a term's value, sharpness and center, summed over all points."""
    grad_value, grad_sharpness = np.float32(0), np.float32(0)
    grad_center = np.float32(0)
    for g in range(points.size):
        share = above[g] * weights[g]
        distance = points[g] - center
        inner = share * (value - attention[g])
        grad_value += share
        grad_sharpness -= inner * distance * distance
        grad_center += inner * distance
    return grad_value, grad_sharpness, np.float32(2) * sharpness * grad_center


@compiled
def psa_forward(
    points: Floats,
    value: Floats,
    query: Floats,
    center: Floats,
    scale: Floats,
    offset: Floats,
    epsilon: float,
) -> Floats:
    """Return psa at `points` [points] for every channel: [features, points].

    value, query and center are [features, terms], scale and offset [features].
    """
    features, terms = value.shape
    result = np.empty((features, points.size), np.float32)
    weights = np.empty((terms, points.size), np.float32)
    sharpness = np.float32(1) / (query * query + np.float32(epsilon))
    for f in range(features):
        own = result[f]
        _attend(points, value[f], sharpness[f], center[f], weights, own)
        for g in range(points.size):
            own[g] = scale[f] * (own[g] * points[g]) + offset[f]
    return result


@compiled
def psa_backward(
    grad: Floats,
    points: Floats,
    value: Floats,
    query: Floats,
    center: Floats,
    scale: Floats,
    epsilon: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return the gradients of value, query, center, scale and offset.

    `grad` [features, points] is the gradient of the result; the other arguments are those of
    `psa_forward`.
    """
    features, terms = value.shape
    grad_value, grad_query = np.empty_like(value), np.empty_like(query)
    grad_center, grad_scale = np.empty_like(center), np.empty_like(scale)
    grad_offset = np.empty_like(scale)
    weights = np.empty((terms, points.size), np.float32)
    attention, above = np.empty_like(points), np.empty_like(points)
    sharpness = np.float32(1) / (query * query + np.float32(epsilon))
    for f in range(features):
        _attend(points, value[f], sharpness[f], center[f], weights, attention)
        for g in range(points.size):
            above[g] = grad[f, g] * points[g]
        grad_scale[f], grad_offset[f] = (above * attention).sum(), grad[f].sum()
        above *= scale[f]
        for k in range(terms):
            grad_value[f, k], grad_sharpness, grad_center[f, k] = _term_gradients(
                points, center[f, k], sharpness[f, k], value[f, k], weights[k], attention, above
            )
            slope = np.float32(-2) * query[f, k] * sharpness[f, k] * sharpness[f, k]
            grad_query[f, k] = grad_sharpness * slope
    return grad_value, grad_query, grad_center, grad_scale, grad_offset
