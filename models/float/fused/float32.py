"""The matrix products and passes of a sublayer for float32 streams: one kernel for each.

`bfloat16` has the same functions for the other type. A stream has the shape [T, B, C] (T tokens,
B images, C channels) and lies in memory as [B, T, C], image after image: rows of one token over all
images would be multiples of 4 KiB apart and push each other out of the caches. H are hidden
channels, P values of a patch. `sums` are float64 [U, 2, C]: for each of the U units and each
channel, the sum of the values and of their squares. A `grad` that is the same for all tokens may
have one token only; the whole gradient of a sublayer's output y is
grad + coefficients[0] + coefficients[1] * y.
"""

from typing import Any

import torch
from torch import Tensor

from models.float.activations.kernels.blas import sgemm_address
from models.float.activations.kernels.lerp_cpu import table_gradients
from models.float.fused.float32_loops import (
    EMBED,
    LAYER,
    LAYER_BACK,
    MIXER,
    MIXER_BACK,
    RELU,
    TABLES,
)
from models.float.fused.parts import Coefficients, Mlp, MlpGrads, MlpStreams, TableGrads, Tables

DTYPE = torch.float32
_UNIT = 512  # rows (tokens of images) per unit, some 100 microseconds of work
_ROWS = 256  # fewest rows that go through a channel MLP together, in the L2 cache
_BLAS = sgemm_address()


def center(pixels: Tensor) -> Tensor:
    """Return pixels minus 128."""
    return (pixels.transpose(0, 1).contiguous() - 128.0).transpose(0, 1)


def pool(x: Tensor) -> Tensor:
    """Return the mean of a stream over its tokens [B, C]."""
    return x.mean(dim=0)


def embed(pixels: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return the stream weight @ pixels + bias and its sums."""
    pixels, y = _stream(pixels), _empty(pixels, len(weight))
    units, sizes = _mlp_sizes(y, pixels.shape[2])
    sums = _sums(units, 2, len(weight))
    given = {"second": weight, "bias": bias, "v": pixels, "y": y, "sums": sums}
    LAYER(units, kind=EMBED, blas=_BLAS, **sizes, **given)
    return y, sums


def embed_back(
    grad: Tensor, coefficients: Coefficients, y: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of weight [C, P] and bias [C]."""
    pixels = _stream(pixels)
    mlp = {"v": pixels, "g": torch.empty_like(y)}
    found = _layer_back(EMBED, grad, coefficients, y, pixels.shape[2], mlp)
    return found["grad_second"], found["sums"]


def mixer(
    x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, keep: bool = True
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Return z = weight @ x, the stream x + scale * z + shift, and its sums.

    Without `keep`, z is None.
    """
    x, y = _stream(x), _empty(x, x.shape[2])
    z = _empty(x, x.shape[2]) if keep else None
    units, sizes = _sizes(x)
    sums = _sums(units, 2, x.shape[2])
    given = {"x": x, "weight": weight, "scale": scale, "shift": shift, "y": y, "sums": sums}
    MIXER(units, blas=_BLAS, z=0 if z is None else z, **sizes, **given)
    return z, y, sums


def mixer_back(
    grad: Tensor,
    coefficients: Coefficients,
    y: Tensor,
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    scale: Tensor,
    deep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight [T, T], scale [C] and shift [T, C].

    Without `deep` that of x is not finished.
    """
    x, g = _stream(x), torch.empty_like(y)
    units, sizes = _sizes(y)
    tokens, _, features = y.shape
    grad_weight, shifts = torch.empty(units, tokens, tokens), torch.empty(units, tokens, features)
    given = dict(zip(("constant", "linear"), coefficients, strict=True))
    given |= {"grad": _stream(grad.expand(y.shape)), "y": y, "x": x, "z": z, "weight": weight}
    given |= {"scale": scale, "g": g, "grad_weight": grad_weight, "sums": shifts}
    scales = _sums(units, features)
    MIXER_BACK(units, blas=_BLAS, deep=deep, scales=scales, **sizes, **given)
    return g, grad_weight.sum(dim=0), scales.sum(dim=0).float(), shifts.sum(dim=0)


def relu_mlp(x: Tensor, mlp: Mlp, keep: bool = True) -> tuple[MlpStreams, Tensor]:
    """Return the streams of x + second @ relu(first @ x + bias_hidden) + bias, and its sums.

    Without `keep` only the result is returned.
    """
    return _layer(RELU, x, mlp, {}, keep)


def relu_mlp_back(
    grad: Tensor, coefficients: Coefficients, x: Tensor, found: MlpStreams, mlp: Mlp, deep: bool
) -> MlpGrads:
    """Return the gradients of `relu_mlp`; without `deep` that of x is not finished."""
    g, hidden = torch.empty_like(found.y), len(mlp.first)
    given = {"x": _stream(x), "v": found.v, "g": g, **_matrices(mlp)}
    sums = _layer_back(RELU, grad, coefficients, found.y, hidden, given | {"deep": deep})
    return MlpGrads(g, sums["grad_first"], sums["hidden_sums"], sums["grad_second"], sums["sums"])


def table_mlp(x: Tensor, mlp: Mlp, tables: Tables, keep: bool = True) -> tuple[MlpStreams, Tensor]:
    """Return the streams of x + second @ lerp(first @ lerp(scale * x + offset) + ...) + bias.

    The sums of the last one are returned, too. Without `keep` only the result is returned.
    """
    return _layer(TABLES, x, mlp, _table_fields(mlp, tables), keep)


def table_mlp_back(
    grad: Tensor, coefficients: Coefficients, x: Tensor, found: MlpStreams, mlp: Mlp, tables: Tables
) -> tuple[MlpGrads, TableGrads]:
    """Return the gradients of `table_mlp`."""
    g, hidden = torch.empty_like(found.y), len(mlp.first)
    streams = {"x": _stream(x), "u": found.u, "h": found.h, "v": found.v, "g": g}
    given = {**streams, **_matrices(mlp), **_table_fields(mlp, tables)}
    sums = _layer_back(TABLES, grad, coefficients, found.y, hidden, given)
    grad_in, grad_offset = table_gradients(tables.entry, sums["segments_in"])
    grad_hidden, grad_bias = table_gradients(tables.hidden, sums["segments"])
    grads = MlpGrads(g, sums["grad_first"], grad_bias, sums["grad_second"], sums["sums"])
    return grads, TableGrads(grad_in, grad_hidden, sums["scales"], grad_offset)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return the stream weight @ x; weight [D, A]."""
    y, _ = embed(x, weight, torch.zeros(len(weight)))
    return y


def mixed(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return x + scale * (weight @ x) + shift."""
    _, y, _ = mixer(x, weight, scale, shift, keep=False)
    return y


def transformed(x: Tensor, mlp: Mlp, tables: Tables | None) -> Tensor:
    """Return the stream x plus an MLP of it."""
    if tables is None:
        streams, _ = relu_mlp(x, mlp, keep=False)
    else:
        streams, _ = table_mlp(x, mlp, tables, keep=False)
    return streams.y


def _layer(
    kind: int, x: Tensor, mlp: Mlp, tables: dict[str, Any], keep: bool
) -> tuple[MlpStreams, Tensor]:
    x, y, hidden = _stream(x), _empty(x, x.shape[2]), len(mlp.first)
    kept = {"v": _empty(x, hidden)} if keep else {}
    if keep and kind == TABLES:
        kept |= {"u": _empty(x, x.shape[2]), "h": _empty(x, hidden)}
    units, sizes = _mlp_sizes(x, hidden)
    sums = _sums(units, 2, x.shape[2])
    given = {**_matrices(mlp), "bias": mlp.bias, "bias_hidden": mlp.bias_hidden, **tables}
    LAYER(units, kind=kind, blas=_BLAS, x=x, y=y, sums=sums, **sizes, **kept, **given)
    return MlpStreams(kept.get("u"), kept.get("h"), kept.get("v", y), y), sums


def _layer_back(
    kind: int,
    grad: Tensor,
    coefficients: Coefficients,
    y: Tensor,
    hidden: int,
    given: dict[str, Any],
) -> dict[str, Tensor]:
    """Run LAYER_BACK and return its sums by name, each added up over the units."""
    features, units, sizes = y.shape[2], *_mlp_sizes(y, hidden)
    sums = {"grad_second": torch.empty(units, features, hidden), "sums": _sums(units, features)}
    if kind != EMBED:
        sums["grad_first"] = torch.empty(units, hidden, features)
    if kind == RELU:
        sums["hidden_sums"] = _sums(units, hidden)
    if kind == TABLES:
        sums["scales"] = _sums(units, features)
        sums["segments_in"] = torch.empty(units, features, given["knots_in"], 2)
        sums["segments"] = torch.empty(units, hidden, given["knots"], 2)
    shared = grad.stride(0) == 0 or len(grad) < len(y)
    grad = _stream(grad[:1] if shared else grad)
    constant, linear = coefficients
    more = {"shared": shared, "grad": grad, "constant": constant, "linear": linear, "y": y}
    LAYER_BACK(units, kind=kind, blas=_BLAS, **sizes, **more, **given, **sums)
    return {name: parts.sum(dim=0).float() for name, parts in sums.items()}


def _matrices(mlp: Mlp) -> dict[str, Tensor]:
    return {"first": mlp.first, "second": mlp.second}


def _table_fields(mlp: Mlp, tables: Tables) -> dict[str, Any]:
    fields: dict[str, Any] = {"scale": tables.scale, "offset": tables.offset}
    fields["bias_hidden"] = mlp.bias_hidden
    for end, (values, start, step) in (("_in", tables.entry), ("", tables.hidden)):
        fields |= {f"table{end}": values, f"knots{end}": values.shape[1]}
        fields |= {f"start{end}": start, f"step{end}": step}
    return fields


def _stream(x: Tensor) -> Tensor:
    """Return x [T, B, C] as it lies in memory [B, T, C]; a copy if it lies otherwise."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def _empty(like: Tensor, features: int) -> Tensor:
    tokens, batch, _ = like.shape
    return torch.empty(batch, tokens, features).transpose(0, 1)


def _sizes(stream: Tensor) -> tuple[int, dict[str, int]]:
    tokens, batch, features = stream.shape
    units = max(1, min(batch, tokens * batch // _UNIT))
    return units, {"batch": batch, "tokens": tokens, "features": features}


def _mlp_sizes(stream: Tensor, hidden: int) -> tuple[int, dict[str, int]]:
    units, sizes = _sizes(stream)
    return units, {**sizes, "hidden": hidden, "together": -(-_ROWS // sizes["tokens"])}


def _sums(*shape: int) -> Tensor:
    return torch.empty(*shape, dtype=torch.float64)
