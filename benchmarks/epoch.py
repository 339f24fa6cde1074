"""Seconds per distillation epoch: ours against a plain baseline, in one run.

    python -m benchmarks.epoch [--steps 40] [--sweep] [--profile]

Students of hidden size 96, ReLU teacher of 384, batch 128, crop, flip, RandAugment, 50,000 images
(random pixels: the arithmetic does not depend on them), untrained weights. The baseline is what the
published code does: eager float32, the interpolation by PyTorch's own autograd, one torchvision
RandAugment per image. A row is the median step times the steps of an epoch; both sides of a ratio
are timed in turn. `--sweep` shows how the cost grows with batch, hidden size and grid.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch.profiler import ProfilerActivity, profile

from models.activations import _lerp
from models.resmlp import ResMLP
from stages import _augment
from stages._params import Augment, Training, load_params
from stages._training import Phase
from stages.distill import distill_phase

EPOCH_IMAGES = 50_000
PUBLISHED = {"relu": 97.5, "lerp_psa": 145.0, "bspline": 161.0}  # s per epoch, 2 cores, the issue
FULL = Augment(crop_padding=4, flip=True, rand_augment=True)
ROOT = Path(__file__).resolve().parent.parent


def student(activation: str, hidden_dim: int, grid: int | None = None) -> ResMLP:
    """Build an untrained student."""
    options = {} if grid is None else {"grid_size": grid}
    return ResMLP(activation, hidden_dim, options)


def step_of(network: ResMLP, training: Training) -> Callable[[], None]:
    """Return a function that does one distillation step, augmentation and optimiser included."""
    variant = next(iter(load_params(ROOT / "params.yaml").variants.values()))
    teacher = ResMLP("relu", 384).eval().requires_grad_(False)
    phase: Phase = distill_phase(variant, network, teacher, training)
    optimizer = phase.method.optimizer(phase.groups)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (training.batch_size, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (training.batch_size,))
    network.train()

    def step() -> None:
        changed = _augment.augment(images, training.augment, generator)
        loss, _ = phase.loss(changed, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


@contextmanager
def plain() -> Iterator[None]:
    """Run as the published code does: autograd's interpolation, RandAugment image by image."""
    with ExitStack() as stack:
        for module in ("bspline", "lerp_psa"):
            target = f"models.activations.{module}.lerp"
            stack.enter_context(mock.patch(target, _lerp.lerp_reference))
        reference = _augment.rand_augment_reference
        stack.enter_context(mock.patch.object(_augment, "rand_augment", reference))
        yield


def timed(step: Callable[[], None], steps: int) -> list[float]:
    """Return the seconds of each step after a warm-up."""
    for _ in range(3):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def epoch_seconds(seconds: list[float], batch_size: int) -> float:
    """Scale the median step to an epoch."""
    return statistics.median(seconds) * (EPOCH_IMAGES // batch_size)


def compare(steps: int) -> None:
    """Print one row per activation."""
    fast, slow = Training(128, True, FULL), Training(128, False, FULL)
    print("| student | ours, s/epoch | plain, s/epoch | plain / ours | published, s/epoch * |")
    print("|---|---|---|---|---|")
    for activation, published in PUBLISHED.items():
        ours, theirs = [], []
        quick, baseline = (step_of(student(activation, 96), how) for how in (fast, slow))
        for _ in range(4):  # in turn: a machine whose speed drifts hurts both alike
            ours += timed(quick, steps // 4 + 1)
            with plain():
                theirs += timed(baseline, max(1, steps // 16))
        a, b = epoch_seconds(ours, 128), epoch_seconds(theirs, 128)
        print(f"| {activation} h=96 | {a:.1f} | {b:.1f} | {b / a:.1f} | {published} |")
    print("\n* the published code, measured once on a machine of this kind; not part of this run")


def sweep(steps: int) -> None:
    """Print how one step grows with the batch, the hidden size and the grid."""
    print(
        "\n| activation | batch | hidden | grid | ms/step | us/image |\n|---|---|---|---|---|---|"
    )
    cases = [("lerp_psa", batch, 96, 64) for batch in (32, 64, 128, 256, 512)]
    cases += [("lerp_psa", 128, hidden, 64) for hidden in (24, 48, 192, 384)]
    cases += [("lerp_psa", 128, 96, grid) for grid in (8, 16, 32, 128, 256)]
    for activation, batch, hidden, grid in cases:
        step = step_of(student(activation, hidden, grid), Training(batch, True, FULL))
        ms = 1000 * statistics.median(timed(step, max(5, steps // 3)))
        row = (activation, batch, hidden, grid, f"{ms:.1f}", f"{1000 * ms / batch:.0f}")
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def show_profile(steps: int) -> None:
    """Print where the time of our LERP-PSA step goes."""
    step = step_of(student("lerp_psa", 96), Training(128, True, FULL))
    timed(step, 2)
    with profile(activities=[ProfilerActivity.CPU]) as result:
        for _ in range(steps):
            step()
    print(result.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="steps timed per student")
    parser.add_argument("--sweep", action="store_true", help="batch, hidden size and grid too")
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    compare(arguments.steps)
    if arguments.sweep:
        sweep(arguments.steps)
    if arguments.profile:
        show_profile(10)


if __name__ == "__main__":
    main()
