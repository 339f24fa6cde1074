"""Choose the initial scales and shifts of an INT8 network from validation images.

Activation ranges are searched over clipping points; weight shifts are chosen from the two powers of
two around the largest weight. Both minimise the mean square error (docs/published-system.md §3).
"""

import torch
from torch import Tensor, nn

from models.float.resmlp import ResMLP
from models.integer import fixed_point
from models.integer.resmlp import make_input_lut
from models.qat.layers import QuantLayer

_CLIPPING_POINTS = torch.logspace(-1.3, 0, 48)  # fractions of the largest magnitude
_MAX_VALUES = 1 << 18  # values per tensor for the mean square error; more would only cost time


@torch.no_grad()
def calibrate(network: ResMLP, folded: ResMLP, images: Tensor, batch_size: int = 256) -> None:
    """Set every scale and shift of `network`, which `prepare` made from a copy of `folded`.

    `images` are pixels [n, 3, 32, 32] of the validation split. Each scale is calibrated on the last
    tensor that uses it, i.e. after the ReLU or the residual addition.
    """
    abs_max = _observe(folded, _observed(folded), images, batch_size)
    owners = dict(network.named_modules())
    pixels = network.input
    pixels.scale.fill_(abs_max.pop("input") / -fixed_point.INT8_MIN)
    mean, std = folded.input.mean.double().tolist(), folded.input.std.double().tolist()
    lut = make_input_lut(-fixed_point.INT8_MIN * float(pixels.scale), mean, std)
    pixels.lut.copy_(torch.from_numpy(lut))
    for name, value in abs_max.items():
        owners[name].log2_scale.fill_(torch.tensor(value / -fixed_point.INT8_MIN).log2())
    _choose_shifts(network, images[:1])


def _observed(folded: ResMLP) -> dict[str, str]:
    """Return owner of a scale -> module of the folded network whose output it is calibrated on."""
    observed = {name: name for name in ("input", "embed_linear", "classifier")}
    for index, block in enumerate(folded.blocks):
        mixer, mlp = f"blocks.{index}.token_mixer", f"blocks.{index}.mlp"
        observed |= {f"{mixer}.{name}": f"{mixer}.{name}" for name in ("affine_1", "linear")}
        observed |= {f"{mixer}.affine_2": f"{mixer}.residual", f"{mlp}.linear_2": f"{mlp}.residual"}
        if isinstance(block.mlp.act_in, nn.Identity):  # ReLU keeps the scale of linear_1
            observed[f"{mlp}.linear_1"] = f"{mlp}.act_hidden"
        else:
            names = ("act_in", "linear_1", "act_hidden")
            observed |= {f"{mlp}.{name}": f"{mlp}.{name}" for name in names}
    return observed


def _observe(
    folded: ResMLP, observed: dict[str, str], images: Tensor, batch_size: int
) -> dict[str, float]:
    """Run the images and return, for the owner of each scale, the best magnitude of its range.

    `observed` is the result of `_observed`.
    """
    batches = images.split(batch_size)
    kept: dict[str, list[Tensor]] = {name: [] for name in observed}
    per_batch = _MAX_VALUES // len(batches) + 1
    modules = dict(folded.named_modules())
    hooks = [
        modules[source].register_forward_hook(
            lambda _module, _inputs, output, owner=owner: kept[owner].append(
                _every_nth(output, per_batch)
            )
        )
        for owner, source in observed.items()
    ]
    for batch in batches:
        folded(batch)
    for hook in hooks:
        hook.remove()
    return {owner: best_abs_max(torch.cat(values)) for owner, values in kept.items()}


def _every_nth(values: Tensor, count: int) -> Tensor:
    flat = values.detach().flatten()
    return flat[:: -(-len(flat) // count)].clone()


def best_abs_max(values: Tensor) -> float:
    """Return the magnitude of the int8 range that quantises `values` [n] with least square error.

    One unit of the range is magnitude / 128. If all values are zero, the result is 1.
    """
    largest = float(values.abs().max())
    if largest == 0:
        return 1.0
    candidates = [largest * float(fraction) for fraction in _CLIPPING_POINTS]
    return min(candidates, key=lambda abs_max: _square_error(values, abs_max / 128))


def _square_error(values: Tensor, step: Tensor | float) -> float:
    quantized = fixed_point.saturate((values / step).round())
    return float((quantized * step - values).square().mean())


def _choose_shifts(network: ResMLP, image: Tensor) -> None:
    """Set the shifts of each layer from the scale of its input, in a forward pass of `image`."""
    hooks = [
        part.register_forward_pre_hook(lambda part, inputs: _set_shift(part, inputs[0].scale))
        for part in network.modules()
        if isinstance(part, QuantLayer)
    ]
    network(image)
    for hook in hooks:
        hook.remove()


def _set_shift(layer: QuantLayer, in_scale: Tensor) -> None:
    rows = layer.weight.view(len(layer.weight), -1)
    unit = layer.scale() / in_scale  # the scale of the weights for shift 0
    widest = fixed_point.INT8_MAX * unit / rows.abs().amax(dim=1).clamp_min(1e-12)
    no_clipping = widest.log2().floor()
    errors = []
    for shift in (no_clipping, no_clipping + 1):
        step = (unit * torch.exp2(-shift)).unsqueeze(1)
        errors.append((fixed_point.saturate((rows / step).round()) * step - rows).square().sum(1))
    shift = torch.where(errors[1] < errors[0], no_clipping + 1, no_clipping)
    layer.shift.copy_(shift.clamp(1, fixed_point.MAX_SHIFT))
