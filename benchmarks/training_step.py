"""Time of a training step (forward, loss, backward), plain and fused, and its parts.

`python -m benchmarks.training_step [--threads 1] [--batch 128] [--hidden 96] [--profile]` prints
Markdown with milliseconds (lower quartile): per step for the three activations in float and in
quantisation-aware training (INT8), for all LERP-PSA tables with their gradients, and per forward
pass of a teacher in eval mode; with `--profile` also the parts of a fused float step. With one
thread it is CPU time, which other programs disturb least; with more threads it is wall time.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from models.float.activations.lerp_psa import LerpPsa
from models.float.activations.psa import psa, psa_reference
from models.float.fused.passes import fused_available, fused_forward, fused_inference
from models.float.resmlp import ResMLP
from models.qat.calibrate import calibrate
from models.qat.fold import fold
from models.qat.fused.passes import fused_qat_available, fused_qat_forward
from models.qat.layers import prepare
from stages.pipeline.params import IMAGE_SIZE
from stages.sources.registry import PUBLISHED_STATISTICS

ACTIVATIONS = ("relu", "bspline", "lerp_psa")
TEACHER_HIDDEN = 384
PROFILED_STEPS = 20
PRODUCTS = {"aten::mm", "aten::bmm", "aten::addmm_", "aten::addmm", "mkldnn::_linear_pointwise"}


def milliseconds(run: Callable[[], object], threads: int, seconds: float = 2.0) -> float:
    """Return the lower quartile of a run's time, over at least 8 runs and about `seconds`."""
    clock = time.process_time if threads == 1 else time.perf_counter
    times: list[float] = []
    for _ in range(3):
        run()
    while len(times) < 8 or sum(times) < seconds:
        begin = clock()
        run()
        times.append(clock() - begin)
    return 1e3 * statistics.quantiles(times, n=4)[0]


def training_step(
    network: ResMLP, forward: Callable[[ResMLP, Tensor], Tensor], images: Tensor, labels: Tensor
) -> None:
    """Compute the gradients of one batch."""
    network.zero_grad(set_to_none=True)
    functional.cross_entropy(forward(network, images), labels).backward()


def tables(network: ResMLP, plain: bool) -> Callable[[], None]:
    """Return a function that computes the tables of all LERP-PSA layers and their gradients."""
    layers = [module for module in network.modules() if isinstance(module, LerpPsa)]
    form = psa_reference if plain else psa

    def run() -> None:
        with mock.patch("models.float.activations.lerp_psa.psa", form):
            for layer in layers:
                table, *_ = layer.table()
                table.backward(torch.ones_like(table))

    return run


def network_of(activation: str, hidden_dim: int) -> ResMLP:
    """Build an untrained network for the images of CIFAR-10."""
    mean, std = PUBLISHED_STATISTICS["cifar10"]
    return ResMLP(activation, hidden_dim, image_size=IMAGE_SIZE, mean=mean, std=std)


def plain_forward(network: ResMLP, images: Tensor) -> Tensor:
    """Run the network's own forward pass."""
    return network(images)


def real_logits(network: ResMLP, images: Tensor) -> Tensor:
    """Run an INT8 network's own forward pass; return logits in real units."""
    return network(images).real()


def quantized(activation: str, hidden_dim: int, images: Tensor) -> ResMLP:
    """Build an INT8 network, calibrated on the images, in training mode."""
    folded = fold(network_of(activation, hidden_dim))
    network = prepare(copy.deepcopy(folded))
    calibrate(network, folded, images)
    return network.train()


def parts(step: Callable[[], None]) -> dict[str, float]:
    """Return milliseconds per step of matrix products, fused passes and everything else.

    The fused passes are not operators. Their time is what the sublayers' autograd functions spend
    outside of operators.
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED_STEPS):
            step()
    found = {"matrix products": 0.0, "fused passes": 0.0, "small operators, Python": 0.0}
    for event in profiled.key_averages():
        own = event.self_cpu_time_total / 1e3 / PROFILED_STEPS
        if event.key in PRODUCTS:
            found["matrix products"] += own
        elif event.key.startswith("_") and event.key[1].isupper():
            found["fused passes"] += own
        else:
            found["small operators, Python"] += own
    return found


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (arguments.batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (arguments.batch,))
    if not fused_available(images.device):
        print("The fused kernels do not work here: both columns are plain PyTorch.")
    print(f"{arguments.threads} threads, batch {arguments.batch}, milliseconds\n")
    print("| step | plain | fused | ratio |\n|---|---|---|---|")
    steps = {}
    for activation in ACTIVATIONS:
        network = network_of(activation, arguments.hidden).train()
        plain, fused = (
            lambda network=network, forward=forward: training_step(network, forward, images, labels)
            for forward in (plain_forward, fused_forward)
        )
        steps[activation] = fused
        _print_row(f"{activation}_h{arguments.hidden}", plain, fused, arguments.threads)
    for activation in ACTIVATIONS if fused_qat_available(images.device) else ():
        network = quantized(activation, arguments.hidden, images)
        plain, fused = (
            lambda network=network, forward=forward: training_step(network, forward, images, labels)
            for forward in (real_logits, fused_qat_forward)
        )
        _print_row(f"{activation}_h{arguments.hidden} QAT", plain, fused, arguments.threads)
    forms = (tables(network_of("lerp_psa", arguments.hidden), plain) for plain in (True, False))
    _print_row(f"lerp_psa_h{arguments.hidden} tables", *forms, arguments.threads)
    teacher = network_of("relu", TEACHER_HIDDEN).eval().requires_grad_(False)
    folded = fused_inference(teacher)
    _print_row(
        f"teacher (h{TEACHER_HIDDEN}) forward",
        lambda: teacher(images),
        lambda: folded(images),
        arguments.threads,
    )
    if arguments.profile:
        print("\n| fused step | " + " | ".join(parts(steps["relu"])) + " |\n|---|---|---|---|")
        for activation, step in steps.items():
            print(
                f"| {activation} | " + " | ".join(f"{v:.1f}" for v in parts(step).values()) + " |"
            )


def _print_row(
    name: str, plain: Callable[[], object], fused: Callable[[], object], threads: int
) -> None:
    times = milliseconds(plain, threads), milliseconds(fused, threads)
    print(f"| {name} | {times[0]:.1f} | {times[1]:.1f} | {times[0] / times[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
