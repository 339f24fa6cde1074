"""Time of crop, flip and RandAugment for an epoch of 50,000 images, per image and per batch.

`python -m benchmarks.augmentation [--images 2000] [--batch 128]` prints a Markdown table: seconds
of CPU time of one thread (on CUDA: wall time), and the speed-up over torchvision on tensors.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from unittest import mock

import torch
from torch import Generator, Tensor

from stages.augment import kernels
from stages.augment.augment import augment
from stages.pipeline.params import Augment
from stages.sources.torchvision_import import import_torchvision

EPOCH = 50_000
PUBLISHED = Augment(crop_padding=4, flip=True, rand_augment=True)
REPEATS = 3


def per_image(images: Tensor, pillow: bool) -> None:
    """Change the images one by one with torchvision's transforms, as tensors or with Pillow."""
    transforms = import_module("torchvision.transforms")
    functional = import_module("torchvision.transforms.functional")
    change = transforms.Compose(
        [
            transforms.RandomCrop(images.shape[2:], padding=PUBLISHED.crop_padding),
            transforms.RandomHorizontalFlip(),
            transforms.RandAugment(),
        ]
    )
    if pillow:
        given = [functional.to_pil_image(image) for image in images]
        torch.stack([functional.pil_to_tensor(change(image)) for image in given])
    else:
        torch.stack([change(image) for image in images])


def per_batch(images: Tensor, batch: int, generator: Generator, fused: bool) -> None:
    """Change the images batch by batch; without `fused` in plain PyTorch, on any device."""
    choose = kernels.kernels_for if fused else lambda device: None
    with mock.patch.object(kernels, "kernels_for", choose):
        for some in images.split(batch):
            augment(some, PUBLISHED, generator)


def seconds_per_epoch(run: Callable[[Tensor], None], images: Tensor) -> float:
    """Return the shortest time of several runs in seconds, scaled to an epoch."""
    clock = time.perf_counter if images.is_cuda else time.process_time
    run(images[: len(images) // 10])  # warm-up: compilation and caches
    times = []
    for _ in range(REPEATS):
        begin = clock()
        run(images)
        if images.is_cuda:
            torch.cuda.synchronize()
        times.append(clock() - begin)
    return min(times) * EPOCH / len(images)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="how many to measure with")
    parser.add_argument("--batch", type=int, default=128, help="images per batch")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import_torchvision()
    generator = Generator().manual_seed(0)
    shape = (arguments.images, 3, 32, 32)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    batches = partial(per_batch, batch=arguments.batch, generator=generator)
    forms = {
        "torchvision, per image, tensors": (partial(per_image, pillow=False), images),
        "torchvision, per image, Pillow": (partial(per_image, pillow=True), images),
        "ours, plain PyTorch": (partial(batches, fused=False), images),
        "ours, numba": (partial(batches, fused=True), images),
    }
    if torch.cuda.is_available():
        forms["ours, CUDA"] = (partial(batches, fused=True), images.cuda())
    print(f"PyTorch {torch.__version__}, batches of {arguments.batch}\n")
    print(f"| form | s per {EPOCH:,} images | times as fast |\n|---|---|---|")
    first = None
    for name, (run, given) in forms.items():
        seconds = seconds_per_epoch(run, given)
        first = first or seconds
        print(f"| {name} | {seconds:.2f} | {first / seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
