"""Seconds per distillation epoch: this project against plain baselines, in one run.

    python -m benchmarks.epoch [--steps 40] [--sweep] [--profile] [--no-augment]

Students with hidden size 96, ReLU teacher with 384, batch 128, crop, flip, RandAugment, 50,000
images, untrained weights. The pixels are random, because times do not depend on them. Four ways:

  ours        the fused passes; the teacher runs in every step, as in the baselines
  stored      the same with the teacher's logits stored, the default of params.yaml
  compiled    what PyTorch does by itself: the plain modules (table look-ups by our operator) under
              torch.compile, with bfloat16 autocast where the device multiplies it; the teacher
              runs, our augmentation
  plain       what the published code does: eager float32, the interpolation by PyTorch's own
              autograd, one torchvision RandAugment per image (in the same process, not in loader
              processes)

`--no-augment` omits crop, flip and RandAugment everywhere. A row is the median time of a step times
the steps of an epoch. The four ways are timed in turn, after a warm-up that includes compilation.
On CUDA, which is used if PyTorch finds it, a step's time is the mean over the steps whose batches
are augmented together. `--sweep` shows how the cost depends on batch, hidden size and grid.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.reference import rand_augment_reference
from models.float.activations.interpolation import lerp_reference
from models.float.activations.psa import psa_reference
from models.float.precision import fast_type
from models.float.resmlp import ResMLP
from stages.augment import augment as augmentation
from stages.distill import distill_phase
from stages.networks.evaluation import Forward
from stages.networks.resmlp import device, in_bfloat16
from stages.pipeline.params import IMAGE_SIZE, Augment, Training, load_params
from stages.sources.registry import PUBLISHED_STATISTICS
from stages.training.batches import Batches
from stages.training.device_steps import EagerStep, training_step
from stages.training.phase import Phase, PhaseLoss

EPOCH_IMAGES = 50_000
PUBLISHED = {"relu": 97.5, "lerp_psa": 145.0, "bspline": 161.0}  # seconds per epoch, on 2 cores
BATCH, HIDDEN, TEACHER_HIDDEN = 128, 96, 384
BACKEND = "inductor"  # of torch.compile
FULL = Augment(crop_padding=4, flip=True, rand_augment=True)
NONE = Augment(crop_padding=0, flip=False, rand_augment=False)
ROOT = Path(__file__).resolve().parent.parent


def student(activation: str, hidden_dim: int, grid: int | None = None) -> ResMLP:
    """Build an untrained student."""
    options = {} if grid is None else {"grid_size": grid}
    return ResMLP(activation, hidden_dim, options, **images_of_params())


def images_of_params() -> dict[str, Any]:
    """Return the image size and the normalisation of CIFAR-10, as arguments of ResMLP."""
    mean, std = PUBLISHED_STATISTICS["cifar10"]
    return {"image_size": IMAGE_SIZE, "mean": mean, "std": std}


def steps_of(
    network: ResMLP, training: Training, stored: bool = False, compiled: bool = False
) -> Callable[[], int]:
    """Return a function that runs some distillation steps and returns their number.

    The steps include augmentation. With `stored` the teacher's logits are given. With `compiled`
    the plain modules run under torch.compile, with bfloat16 autocast if that is the fast type.
    """
    variant = next(iter(load_params(ROOT / "params.yaml").variants.values()))
    place = device()
    teacher = ResMLP("relu", TEACHER_HIDDEN, **images_of_params()).to(place)
    teacher = teacher.eval().requires_grad_(False)
    with autocast_passes() if compiled else nullcontext():
        phase: Phase = distill_phase(variant, network.to(place), teacher, training)
    optimizer = phase.method.optimizer(phase.groups)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    steps_of_epoch = EPOCH_IMAGES // training.batch_size
    compile_for = phase.epochs * steps_of_epoch
    torch.compiler.reset()  # otherwise PyTorch compiles only the first eight shapes
    if compiled:
        loss = torch.compile(PhaseLoss(phase), backend=BACKEND, dynamic=False)
        step = EagerStep(loss, optimizer)
    else:
        step = training_step(PhaseLoss(phase), optimizer, place, training.fused, compile_for)
    count = 1 if place.type == "cpu" else 32
    images = torch.randint(0, 256, (count * training.batch_size, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (len(images),))
    generator = torch.Generator().manual_seed(0)
    images, labels = images.to(place), labels.to(place)
    targets = (labels, torch.randn(len(images), 10, device=place)) if stored else (labels,)
    network.train()

    def change(batch: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        if training.fused or place.type == "cpu":
            return augmentation.augment(batch, training.augment, draws)
        return augmentation.augment(batch.cpu(), training.augment, draws).to(place)

    def run() -> int:
        batches = Batches(images, targets, change, training.batch_size, generator, place)
        for batch in batches:
            step(1.0, *batch)
        return len(batches)

    return run


@contextmanager
def plain() -> Iterator[None]:
    """Run as the published code does: plain autograd everywhere, RandAugment image by image."""
    with ExitStack() as stack:
        for module in ("bspline", "lerp_psa"):
            target = f"models.float.activations.{module}.lerp"
            stack.enter_context(mock.patch(target, lerp_reference))
        stack.enter_context(mock.patch("models.float.activations.lerp_psa.psa", psa_reference))
        reference = rand_augment_reference
        stack.enter_context(mock.patch.object(augmentation, "rand_augment", reference))
        yield


@contextmanager
def autocast_passes() -> Iterator[None]:
    """Make phases run the plain modules, student and teacher, with autocast to the fast type."""

    def forward(network: ResMLP, training: Training) -> Forward:
        half = fast_type(device()) == torch.bfloat16
        return in_bfloat16(network, device().type) if half else network

    with mock.patch.multiple("stages.distill", forward_pass=forward, frozen_pass=forward):
        yield


def timed(run: Callable[[], int], times: int) -> list[float]:
    """Return the seconds per step of `times` runs, after a warm-up."""
    for _ in range(3 if device().type == "cpu" else 1):
        run()
    seconds = []
    for _ in range(times):
        synchronize()
        start = time.perf_counter()
        steps = run()
        synchronize()
        seconds.append((time.perf_counter() - start) / steps)
    return seconds


def synchronize() -> None:
    """Wait until the device has finished."""
    if device().type == "cuda":
        torch.cuda.synchronize()


def epoch_seconds(seconds: list[float], batch_size: int) -> float:
    """Scale the median step to an epoch."""
    return statistics.median(seconds) * (EPOCH_IMAGES // batch_size)


def compare(steps: int, augment: Augment) -> None:
    """Print one row per activation: seconds per epoch of all four ways."""
    fast, slow = Training(BATCH, True, augment), Training(BATCH, False, augment)
    print(
        "| student | ours, s/epoch | ours, stored logits | compiled | plain | published * "
        "| compiled / ours | plain / ours |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for activation, published in PUBLISHED.items():

        def network(activation: str = activation) -> ResMLP:
            return student(activation, HIDDEN)

        few, many = max(1, steps // 16), steps // 4 + 1
        runs = {
            "asked": (steps_of(network(), fast), many),
            "stored": (steps_of(network(), fast, stored=True), many),
            "compiled": (steps_of(network(), fast, compiled=True), many),
            "plain": (steps_of(network(), slow), few),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(4):  # in turn, so that a drift of the machine's speed affects all alike
            for name, (run, times) in runs.items():
                with plain() if name == "plain" else nullcontext():
                    seconds[name] += timed(run, times)
        epochs = {name: epoch_seconds(found, BATCH) for name, found in seconds.items()}
        cells = [f"{value:.3g}" for value in (*epochs.values(), published)]
        cells += [f"{epochs[name] / epochs['asked']:.1f}" for name in ("compiled", "plain")]
        print(f"| {activation} h={HIDDEN} | {' | '.join(cells)} |")
    print("\n* the published code, measured once on two cores of a CPU; not part of this run")


def sweep(steps: int) -> None:
    """Print how the time of a step depends on batch, hidden size and grid."""
    print(
        "\n| activation | batch | hidden | grid | ms/step | us/image |\n|---|---|---|---|---|---|"
    )
    cases = [("lerp_psa", batch, 96, 64) for batch in (32, 64, 128, 256, 512)]
    cases += [("lerp_psa", 128, hidden, 64) for hidden in (24, 48, 192, 384)]
    cases += [("lerp_psa", 128, 96, grid) for grid in (8, 16, 32, 128, 256)]
    for activation, batch, hidden, grid in cases:
        run = steps_of(student(activation, hidden, grid), Training(batch, True, FULL))
        ms = 1000 * statistics.median(timed(run, max(5, steps // 3)))
        row = (activation, batch, hidden, grid, f"{ms:.1f}", f"{1000 * ms / batch:.0f}")
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def show_profile(steps: int) -> None:
    """Print how the time of our LERP-PSA step is spent."""
    run = steps_of(student("lerp_psa", HIDDEN), Training(BATCH, True, FULL))
    timed(run, 2)
    cuda = device().type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as result:
        for _ in range(1 if cuda else steps):
            run()
        synchronize()
    order = f"self_{'cuda' if cuda else 'cpu'}_time_total"
    print(result.key_averages().table(sort_by=order, row_limit=40, max_name_column_width=90))


def main() -> None:
    """Print the requested tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="steps timed per student")
    parser.add_argument("--sweep", action="store_true", help="batch, hidden size and grid too")
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes")
    parser.add_argument("--no-augment", action="store_true", help="leave augmentation out of both")
    arguments = parser.parse_args()
    name = torch.cuda.get_device_name() if device().type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}, {torch.get_num_threads()} threads\n")
    compare(arguments.steps, NONE if arguments.no_augment else FULL)
    if arguments.sweep:
        sweep(arguments.steps)
    if arguments.profile:
        show_profile(10)


if __name__ == "__main__":
    main()
