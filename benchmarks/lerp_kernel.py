"""Time and memory of the interpolation kernel against plain PyTorch, torch.compile, ReLU and GELU.

    python -m benchmarks.lerp_kernel [--plot lerp.png] [--quick] [--device cuda] [--eager]
                                     [--seconds 1]

Prints a Markdown table: median milliseconds of forward and backward, and in brackets the peak
memory in MiB beyond input and table. One sweep is over the number of values at 64 knots, the other
over the number of knots. On CUDA the runs are replayed from a graph, as in training, so the time is
the device's. `--eager` calls them from Python one by one, which costs the CPU some tenths of a
millisecond per call.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from models.files.atomic import replace_on_success
from models.float.activations.interpolation import lerp, lerp_reference
from stages.training.device_steps import record_graph

FEATURES = 96
SIZES, GRIDS = (10_000, 100_000, 1_000_000, 10_000_000), (8, 16, 32, 64, 128, 256)
QUICK_SIZES, QUICK_GRIDS = (10_000, 100_000), (8, 64)
GRID_OF_SIZES, SIZE_OF_GRIDS = 64, 1_000_000
RANGE = 4.0
TOGETHER = 20  # runs per CUDA graph: starting a graph takes about as long as a small run
FORMS = ("lerp", "plain PyTorch", "torch.compile", "ReLU", "GELU")


@dataclass(frozen=True)
class Measurement:
    """One form on one case: `milliseconds` of forward and backward, peak memory in `mebibytes`."""

    device: str
    values: int
    knots: int
    form: str
    milliseconds: float
    mebibytes: float


def interpolation(form: str, device: str, knots: int) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the measured function of x and table; None if it cannot be compiled here.

    x: [rows, FEATURES], table: [FEATURES, knots].
    """
    step = 2 * RANGE / (knots - 1)
    if form == "torch.compile":
        if device == "cpu" and shutil.which("g++") is None:
            return None
        torch.compiler.reset()
        compiled = torch.compile(lerp_reference, fullgraph=True, dynamic=False)
        return lambda x, table: compiled(x, table, -RANGE, step)
    return {
        "lerp": lambda x, table: lerp(x, table, -RANGE, step),
        "plain PyTorch": lambda x, table: lerp_reference(x, table, -RANGE, step),
        "ReLU": lambda x, _: functional.relu(x),
        "GELU": lambda x, _: functional.gelu(x),
    }[form]


def synchronize(device: str) -> None:
    """Wait until the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def median_milliseconds(run: Callable[[], None], device: str, seconds: float) -> float:
    """Return the median time of a run, over at least 5 runs and about `seconds` in total."""
    times: list[float] = []
    while len(times) < 5 or (sum(times) < seconds and len(times) < 500):
        begin = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def peak_mebibytes(run: Callable[[], None], device: str) -> float:
    """Return the peak memory of PyTorch's allocator during a run, minus what it held before."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / 2**20


def measure(
    form: str, device: str, values: int, knots: int, seconds: float, eager: bool
) -> Measurement | None:
    """Measure forward and backward of one form on about `values` values, in rows of `FEATURES`."""
    function = interpolation(form, device, knots)
    if function is None:
        return None
    x = torch.randn(values // FEATURES, FEATURES, device=device, requires_grad=True)
    table = torch.randn(FEATURES, knots, device=device, requires_grad=True)
    grad = torch.randn_like(x)

    def run() -> None:
        torch.autograd.grad(function(x, table), (x, table), grad, allow_unused=True)

    for _ in range(3):  # warm-up: compilation and caches
        run()
    memory = peak_mebibytes(run, device)
    if eager or device == "cpu":
        milliseconds = median_milliseconds(run, device, seconds)
    else:
        replay, _ = record_graph(lambda: ([run() for _ in range(TOGETHER)], None))
        milliseconds = median_milliseconds(replay, device, seconds) / TOGETHER
    return Measurement(device, values, knots, form, milliseconds, memory)


def measure_all(
    quick: bool, devices: list[str], seconds: float, eager: bool
) -> Iterator[Measurement]:
    """Yield the measurements of both sweeps on all devices, about `seconds` for each."""
    sizes, grids = (QUICK_SIZES, QUICK_GRIDS) if quick else (SIZES, GRIDS)
    size_of_grids = sizes[-1] if quick else SIZE_OF_GRIDS
    cases = [(size, GRID_OF_SIZES) for size in sizes] + [(size_of_grids, grid) for grid in grids]
    for device in devices:
        for values, knots in dict.fromkeys(cases):
            for form in FORMS:
                measurement = measure(form, device, values, knots, seconds, eager)
                if measurement is not None:
                    yield measurement


def markdown(measurements: list[Measurement]) -> str:
    """Return a table: one row per device, number of values and knots, one column per form."""
    cells = {(m.device, m.values, m.knots, m.form): m for m in measurements}
    lines = [
        f"| device | values | knots | {' | '.join(FORMS)} |",
        f"|---|---|---|{'---|' * len(FORMS)}",
    ]
    for device, values, knots in dict.fromkeys(key[:3] for key in cells):
        row = [cells.get((device, values, knots, form)) for form in FORMS]
        entries = ["-" if m is None else f"{m.milliseconds:.3g} ({m.mebibytes:.3g})" for m in row]
        lines.append(f"| {device} | {values:,} | {knots} | {' | '.join(entries)} |")
    return "\n".join(lines)


def plot(measurements: list[Measurement], path: Path) -> None:
    """Draw time over values and time over knots, one row of axes per device; save as a PNG."""
    devices = list(dict.fromkeys(m.device for m in measurements))
    largest = max(m.values for m in measurements if m.knots != GRID_OF_SIZES)
    figure = Figure(figsize=(10, 4 * len(devices)), layout="constrained")
    for axes, device in zip(figure.subplots(len(devices), 2, squeeze=False), devices, strict=True):
        for form in FORMS:
            chosen = [m for m in measurements if (m.device, m.form) == (device, form)]
            sizes = [m for m in chosen if m.knots == GRID_OF_SIZES]
            grids = sorted((m for m in chosen if m.values == largest), key=lambda m: m.knots)
            axes[0].plot([m.values for m in sizes], [m.milliseconds for m in sizes], ".-")
            axes[1].plot(
                [m.knots for m in grids], [m.milliseconds for m in grids], ".-", label=form
            )
        axes[0].set(xlabel=f"values ({GRID_OF_SIZES} knots, {device})")
        axes[1].set(xlabel=f"knots ({largest:,} values, {device})")
        axes[1].legend()
        for axis in axes:
            axis.set(ylabel="forward + backward, ms", xscale="log", yscale="log")
            axis.grid(alpha=0.3)
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def main() -> None:
    """Measure, print the table and draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--plot", type=Path, help="where to write the plot, a PNG")
    parser.add_argument("--quick", action="store_true", help="few small cases, under a minute")
    found = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--device", choices=found, help="this one only")
    parser.add_argument("--eager", action="store_true", help="on CUDA: without a graph")
    parser.add_argument("--seconds", type=float, default=1.0, help="spent on each measurement")
    arguments = parser.parse_args()
    print(
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, float32, "
        f"{FEATURES} channels: milliseconds of forward + backward (peak MiB)\n"
    )
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler logs its start
    devices = [arguments.device] if arguments.device else found
    measurements = list(measure_all(arguments.quick, devices, arguments.seconds, arguments.eager))
    print(markdown(measurements))
    if arguments.plot is not None:
        plot(measurements, arguments.plot)


if __name__ == "__main__":
    main()
