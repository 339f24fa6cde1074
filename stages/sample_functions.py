"""Sample the learned functions of one network (`report.network`) for the report's picture.

Writes data/<network>/functions.npz (stages/results/functions.py): of every place with an activation
the channels that look least alike, each with the trained function before rounding, its integer
knots, and how often each of the 256 inputs arrived for `quantize.calibration_images` validation
images. It holds counts only, nothing of an image.
"""

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.files.atomic import replace_on_success
from models.float.checkpoint import load_state
from models.float.resmlp import ResMLP
from models.integer import fixed_point
from models.qat.fold import fold
from models.qat.layers import IntTensor, QuantReLU, QuantTable, prepare
from stages.networks.evaluation import to_tensors
from stages.networks.resmlp import build_network, load_inputs
from stages.pipeline.command import run_stage
from stages.pipeline.params import load_params
from stages.pipeline.paths import artifact
from stages.results.functions import SHOWN, Functions, least_alike, save_functions

INPUTS = fixed_point.INT8_MAX - fixed_point.INT8_MIN + 1
_BATCH = 250

Sample = Callable[[nn.Module, tuple[IntTensor], IntTensor], None]


def sampled(part: QuantTable | QuantReLU, x: IntTensor, y: IntTensor) -> Functions:
    """Return the functions of a part whose input was `x` [n, tokens, channels], output `y`."""
    channels = x.values.shape[-1]
    inputs = torch.arange(fixed_point.INT8_MIN, fixed_point.INT8_MAX + 1, dtype=torch.float32)
    real = (inputs * x.scale).unsqueeze(1).expand(-1, channels)
    if isinstance(part, QuantTable):
        values = part.function(real).t().numpy()
        knots = part.knots(x.scale, channels).numpy().astype(np.int8)
    else:
        values = real.clamp_min(0).t().numpy()
        knots = np.zeros((channels, 0), np.int8)
    chosen = np.array(least_alike(values, SHOWN))
    arrived = x.values.reshape(-1, channels).numpy().astype(np.int64)[:, chosen]
    return Functions(
        channels=chosen,
        values=values[chosen].astype(np.float32),
        knots=knots[chosen],
        counts=_counts(arrived),
        scales=np.array([float(x.scale), float(y.scale)]),
    )


def _counts(arrived: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how often each input occurs, [channels, 256], in values [n, channels]."""
    shifted = arrived.T - fixed_point.INT8_MIN
    return np.stack([np.bincount(row, minlength=INPUTS) for row in shifted])


@torch.no_grad()
def functions_of(network: ResMLP, images: torch.Tensor) -> dict[str, Functions]:
    """Run images [n, 3, 32, 32] through a network that QAT trained; return its functions by place.

    A place is `blocks_0_mlp_act_in` or `blocks_0_mlp_act_hidden`.
    """
    found: dict[str, Functions] = {}

    def record(name: str) -> Sample:
        def sample(part: nn.Module, inputs: tuple[IntTensor], output: IntTensor) -> None:
            functions = sampled(part, inputs[0], output)
            found[name] = found[name].plus(functions.counts) if name in found else functions

        return sample

    for index, block in enumerate(network.blocks):
        for place in ("act_in", "act_hidden"):
            part = getattr(block.mlp, place)
            if isinstance(part, QuantTable | QuantReLU):
                part.register_forward_hook(record(f"blocks_{index}_mlp_{place}"))
    for batch in images.split(_BATCH):
        network(batch)
    return found


def main() -> None:
    """Sample the functions of the network that the report shows."""
    name = load_params().report.network
    params, dataset = load_inputs(name)
    network = prepare(fold(build_network(params, name, dataset)))
    load_state(network, artifact(name, "qat.pt"))
    count = min(params.variants[name].quantize.calibration_images, len(dataset.validation))
    images, _ = to_tensors(dataset.validation.take(np.arange(count)))
    found = functions_of(network, images)
    with replace_on_success(artifact(name, "functions.npz")) as temporary:
        save_functions(temporary, found)
    logging.info("%s: functions at %d places, inputs of %d images", name, len(found), count)


if __name__ == "__main__":
    run_stage(main)
