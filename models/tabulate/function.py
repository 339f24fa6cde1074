"""Turn a trained function of one variable per channel into the pipeline's INT8 tables.

The function may come from anywhere: GELU, a spline of a KAN, a user's own nn.Module. What results
is a table of 65 int8 knots per channel, computed by the part that quantises the learned activations
(`models.qat.layers.QuantTable`), with the scales, the errors and the behaviour outside the range.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.integer.fixed_point import INT8_MAX, INT8_MIN, saturate, table_lookup
from models.integer.params import IntTable
from models.qat.layers import QuantTable

Floats = NDArray[np.float64]

_UNITS = -INT8_MIN  # int8 steps from 0 to the left end of the range
_PER_UNIT = 8  # points per int8 step at which errors are measured
_SAME = 1e-4  # two evaluations of a function differ by less, relative to its largest value


@dataclass(frozen=True)
class Deviation:
    """Largest and root mean square deviation from the function, in real units, and its channel."""

    largest: float
    rms: float
    channel: int


@dataclass(frozen=True)
class Errors:
    """How far the table is from the function on its range.

    `lines`: 64 straight segments between knots that are not rounded. `table`: the table at its 256
    inputs. `total`: at any real number of the range, which is rounded to one of the 256 first.
    """

    lines: Deviation
    table: Deviation
    total: Deviation


@dataclass(frozen=True)
class Tabulated:
    """The INT8 form of a function per channel.

    An int8 input v stands for v * in_scale, an output for v * out_scale. `table` has the knots
    [F, 65]. `saturated` is the number of knots that int8 cannot hold at this out_scale. Outside the
    range, from -128 * in_scale to 127 * in_scale, an input saturates, so the function is constant:
    `below` and `above` [F] are its values there, in real units.
    """

    table: IntTable
    in_scale: float
    out_scale: float
    errors: Errors
    saturated: int

    @property
    def channels(self) -> int:
        """The number of functions."""
        return len(self.table.knots)

    @property
    def below(self) -> Floats:
        """The values [F] for every input below the range, in real units."""
        return self.out_scale * self.table.lut[:, 0].astype(np.float64)

    @property
    def above(self) -> Floats:
        """The values [F] for every input above the range, in real units."""
        return self.out_scale * self.table.lut[:, -1].astype(np.float64)

    def integers(self, inputs: NDArray[np.integer]) -> NDArray[np.int8]:
        """Map int8 inputs [..., F] to int8 outputs of the same shape, as C++ and ONNX do."""
        wide = np.asarray(inputs, dtype=np.int32)
        found = table_lookup(self.table.knots, np.arange(self.channels), wide)
        return np.asarray(found, dtype=np.int8)

    def real(self, inputs: Floats) -> Floats:
        """Map real inputs [..., F] to real outputs: round, saturate, look up, scale."""
        rounded = np.floor(np.asarray(inputs, dtype=np.float64) / self.in_scale + 0.5)
        return self.out_scale * self.integers(saturate(rounded).astype(np.int32))


def tabulate(
    function: Callable[[Tensor], Tensor],
    channels: int,
    half_range: float,
    out_scale: float | None = None,
) -> Tabulated:
    """Turn `function` into INT8 tables on [-half_range, half_range].

    `function` is an nn.Module (used in eval mode, on its device and in its precision) or a callable
    that maps [N, channels] to the same shape, every channel by a function of that channel alone.
    The 65 knots are evenly spaced from -half_range to half_range, so in_scale is half_range / 128.
    `out_scale` is by default the smallest with which no knot saturates.

    Raises ValueError, in one sentence, if the function changes the shape, gives a value that is not
    finite, mixes channels or rows, or differs from call to call.
    """
    if channels < 1 or not 0 < half_range < np.inf or not (out_scale is None or out_scale > 0):
        raise ValueError(
            "tabulate needs channels >= 1, a half_range > 0 and an out_scale > 0 or None, not "
            f"{channels}, {half_range} and {out_scale}."
        )
    called = _Called(function)
    modes = [(part, part.training) for part in called.modules()]
    called.eval()
    try:
        with torch.no_grad():
            return _tabulated(called, channels, half_range, out_scale)
    finally:
        for part, training in modes:
            part.training = training


class _Called(nn.Module):
    """The user's function for float32 inputs, whatever its own precision and device are."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        tensors = list(self.parameters()) + list(self.buffers())
        self._like = next((t for t in tensors if t.dtype.is_floating_point), torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, F] to the same shape, as float32 on the CPU."""
        y = self.function(x.to(self._like))
        if not isinstance(y, Tensor) or y.shape != x.shape:
            found = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(
                f"the function maps {list(x.shape)} to {found}, but must keep the shape."
            )
        return y.float().cpu()


def _tabulated(
    called: _Called, channels: int, half_range: float, out_scale: float | None
) -> Tabulated:
    in_scale = half_range / _UNITS
    dense = torch.arange(_UNITS * 2 * _PER_UNIT + 1, dtype=torch.float32) / _PER_UNIT + INT8_MIN
    inputs = (in_scale * dense).unsqueeze(1).repeat(1, channels)
    values = called(inputs)
    if not values.isfinite().all():
        row, channel = (~values.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"the function of channel {channel} is not finite at {inputs[row, channel]:g}; choose "
            "a smaller half_range."
        )
    _check_own_channel(called, inputs, values)
    part = QuantTable(called)
    smallest = max(float(values.max()) / INT8_MAX, float(values.min()) / INT8_MIN)
    part.log2_scale.fill_(torch.tensor(out_scale or smallest or 1.0).log2())
    knots, scale = part.knots(torch.tensor(in_scale), channels), float(part.scale())
    exact = (values[:: 4 * _PER_UNIT].t() / scale + 0.5).floor()
    table = IntTable(knots.numpy().astype(np.int32))
    errors = _errors(table, scale, dense.double().numpy(), values.double().numpy())
    return Tabulated(table, in_scale, scale, errors, int((exact != saturate(exact)).sum()))


def _check_own_channel(called: _Called, inputs: Tensor, values: Tensor) -> None:
    """Draw each channel's inputs anew: every value must be that of its input wherever it stands."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randint(len(inputs), inputs.shape, generator=generator)
    again = called(inputs.gather(0, order))
    difference = (again - values.gather(0, order)).abs().max()
    if not difference <= _SAME * (1e-6 + values.abs().max()):
        raise ValueError(
            "the function is not one of each channel alone: its values depend on other channels or "
            "rows, or differ from call to call (even in eval mode), so no table can hold it."
        )


def _errors(table: IntTable, out_scale: float, units: Floats, values: Floats) -> Errors:
    """Compare a table with the function's `values` [N, F] at `units` [N], in int8 steps."""
    knots, tops = units[:: 4 * _PER_UNIT], values[:: 4 * _PER_UNIT]
    inside = units <= INT8_MAX
    units, values = units[inside], values[inside]
    lines = np.stack([np.interp(units, knots, column) for column in tops.T], axis=1)
    index = saturate(np.floor(units + 0.5)).astype(np.int64) - INT8_MIN
    found = out_scale * table.lut[:, index].T
    whole = units == np.floor(units)
    return Errors(
        _deviation(lines - values),
        _deviation((found - values)[whole]),
        _deviation(found - values),
    )


def _deviation(difference: Floats) -> Deviation:
    largest = np.abs(difference).max(axis=0)
    rms = float(np.sqrt(np.square(difference).mean()))
    return Deviation(float(largest.max()), rms, int(largest.argmax()))
