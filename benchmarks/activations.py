"""Time and memory of a training step: our activations beside ReLU, GELU, eager splines and KANs.

    python -m benchmarks.activations [--threads 1] [--batch 512] [--widths 96 256] [--no-kans]
                                     [--seconds 10] [--device cuda]

prints a Markdown table per width. The network is Linear, activation, Linear, activation, Linear
(width -> width -> width -> 10); a step is forward, cross-entropy, backward and AdamW. The KAN
networks have KAN layers of the same sizes instead of each Linear with its activation; pykan is
measured if it can be imported, up to width 96, beyond which it takes gigabytes. All forms take
turns, so a busy machine slows all of them. The time is the median, processor time if one thread is
used. Memory is the peak of PyTorch's allocator during a step. ResMLP-96 is the network of this
project in its plain form, with 32 images.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.kan_layers import KanLinear, SplineActivation
from benchmarks.lerp_kernel import peak_mebibytes, synchronize
from models.float.activations.bspline import BSpline
from models.float.activations.lerp_psa import LerpPsa
from models.float.resmlp import ResMLP
from stages.sources.registry import PUBLISHED_STATISTICS

CLASSES = 10
GOAL = 1.15  # of ReLU's time
ACTIVATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "ReLU": lambda _: nn.ReLU(),
    "GELU": lambda _: nn.GELU(),
    "LerpPsa": LerpPsa,
    "BSpline": BSpline,
    "eager cubic spline": SplineActivation,
}
RESMLP = {"ReLU": "relu", "LerpPsa": "lerp_psa", "BSpline": "bspline"}
IMAGES = 32
PYKAN_WIDTH = 96  # it keeps inputs x outputs x basis functions for every row

Step = Callable[[], None]


def networks(width: int, with_kans: bool) -> dict[str, nn.Module]:
    """Build the networks of one width, by the name of their activation or layer."""
    found: dict[str, nn.Module] = {}
    for name, activation in ACTIVATIONS.items():
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Linear(width, width), activation(width)]
        found[name] = nn.Sequential(*layers, nn.Linear(width, CLASSES))
    if not with_kans:
        del found["eager cubic spline"]
        return found
    pairs = [(width, width), (width, width), (width, CLASSES)]
    found["KAN, efficient form"] = nn.Sequential(*(KanLinear(*pair) for pair in pairs))
    if width <= PYKAN_WIDTH and importlib.util.find_spec("kan") is not None:
        found["KAN, pykan"] = pykan(pairs)
    return found


def pykan(pairs: list[tuple[int, int]]) -> nn.Module:
    """Build pykan's layers of the given sizes, with its default grid."""
    from kan.KANLayer import KANLayer

    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                KANLayer(in_dim=inputs, out_dim=outputs, num=5, k=3) for inputs, outputs in pairs
            )

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)[0]
            return x

    return Layers()


def step_of(network: nn.Module, x: Tensor, labels: Tensor) -> Step:
    """Return a training step of a network on one batch."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(x), labels).backward()
        optimizer.step()

    return step


def in_turn(
    steps: Mapping[str, Step], device: str, clock: Callable[[], float], seconds: float
) -> dict[str, float]:
    """Return the median milliseconds of each step, measured in turns for about `seconds`."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(2):
        for step in steps.values():
            step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name, step in steps.items():
            synchronize(device)
            begin = clock()
            step()
            synchronize(device)
            times[name].append(clock() - begin)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def print_table(
    title: str,
    found: Mapping[str, nn.Module],
    x: Tensor,
    clock: Callable[[], float],
    seconds: float,
) -> None:
    """Measure the networks and print a row for each."""
    device = x.device.type
    labels = torch.randint(0, CLASSES, (len(x),), device=device)
    steps = {name: step_of(network, x, labels) for name, network in found.items()}
    times = in_turn(steps, device, clock, seconds)
    print(f"\n{title}\n")
    print("| form | ms | of ReLU | peak MiB | parameters |\n|---|---|---|---|---|")
    for name, step in steps.items():
        ratio = times[name] / times["ReLU"]
        held = peak_mebibytes(step, device)
        count = sum(p.numel() for p in found[name].parameters())
        print(f"| {name} | {times[name]:.2f} | {ratio:.2f} | {held:.1f} | {count:,} |", flush=True)
    ratio = times["LerpPsa"] / times["ReLU"]
    verdict = "met" if ratio <= GOAL else "missed"
    print(f"\nLerpPsa takes {ratio:.2f} times ReLU's step; the goal of {GOAL} is {verdict}.")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--widths", type=int, nargs="+", default=[96, 256])
    parser.add_argument("--no-kans", action="store_true", help="without the slow forms")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=10.0, help="per table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    alone = arguments.threads == 1 and arguments.device == "cpu"
    clock = time.process_time if alone else time.perf_counter
    print(f"{arguments.device}, {arguments.threads} threads, torch {torch.__version__}")
    for width in arguments.widths:
        built = networks(width, not arguments.no_kans)
        found = {name: part.to(arguments.device) for name, part in built.items()}
        x = torch.randn(arguments.batch, width, device=arguments.device)
        print_table(f"Width {width}, batch {arguments.batch}", found, x, clock, arguments.seconds)
    mean, std = PUBLISHED_STATISTICS["cifar10"]
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, device=arguments.device)
    whole = {
        name: ResMLP(kind, 96, image_size=32, mean=mean, std=std).to(arguments.device).train()
        for name, kind in RESMLP.items()
    }
    print_table(f"ResMLP-96, {IMAGES} images", whole, images, clock, arguments.seconds)


if __name__ == "__main__":
    main()
