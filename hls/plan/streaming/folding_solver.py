"""Find the folding for a target rate or DSP budget, with as few multipliers as possible.

All stages work in parallel, so the slowest stage determines the time per image; a faster stage
wastes hardware. For a given number of cycles, the solver chooses the fewest lanes with which the
maps pass in time, and for each matrix product the fewest multipliers that are fast enough.
"""

from collections.abc import Iterator

from hls.plan.sizes import Product, Sizes, products
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.dataflow import PAUSE
from hls.plan.streaming.folding import Fold, Folding, divisors, possible_lanes
from hls.plan.streaming.resources import dsp_total
from models.files.errors import PipelineError

HANDOVER = 0  # the extra cycle of the published design would cost multipliers; a pause is per image


def fold_for_cycles(sizes: Sizes, cycles: int) -> Folding | None:
    """Return the folding with the fewest multipliers that needs at most `cycles` per image.

    Returns None if no folding is that fast.
    """
    for lanes in possible_lanes(sizes):
        if _stream_cycles(sizes, lanes) <= cycles:
            folds = {
                name: _fewest_multipliers(product, (cycles - PAUSE) // product.vectors)
                for name, product in products(sizes).items()
            }
            return Folding(lanes=lanes, handover=HANDOVER, **folds)
    return None


def fold_for_rate(sizes: Sizes, images_per_second: float, clock_ns: float) -> Folding:
    """Return the smallest folding that reaches a rate at a clock period of `clock_ns`.

    PipelineError states the highest possible rate.
    """
    cycles = int(1e9 / clock_ns / images_per_second)
    folding = fold_for_cycles(sizes, cycles)
    if folding is None:
        best = fastest_cycles(sizes)
        raise PipelineError(
            f"target.images_per_second is {images_per_second:g}, but the most is "
            f"{1e9 / clock_ns / best:.0f} at a clock of {clock_ns:g} ns: {best} cycles per image, "
            f"in words of {possible_lanes(sizes)[-1]} elements; request a lower rate "
            "or a faster clock."
        )
    return folding


def fold_for_dsp(sizes: Sizes, dsp: int, binding: Binding) -> Folding:
    """Return the fastest folding within a budget of DSPs (estimate, with this binding).

    Among equally fast foldings it has the fewest multipliers. PipelineError states the smallest
    possible number of DSPs.
    """
    candidates = sorted(_possible_cycles(sizes))
    if _dsp(sizes, candidates[-1], binding) > dsp:
        raise PipelineError(
            f"target.dsp is {dsp}, but the smallest design of this network takes "
            f"{_dsp(sizes, candidates[-1], binding)} (estimate); raise the budget."
        )
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if _dsp(sizes, candidates[middle], binding) <= dsp else (middle + 1, high)
        )
    folding = fold_for_cycles(sizes, candidates[low])
    assert folding is not None
    return folding


def fastest_cycles(sizes: Sizes) -> int:
    """Return the fewest cycles per image of any folding: those of the streams with most lanes."""
    return _stream_cycles(sizes, possible_lanes(sizes)[-1])


def _stream_cycles(sizes: Sizes, lanes: int) -> int:
    """Return the cycles per image of the longest stream."""
    widest = max(sizes.patch_dim, sizes.embed_dim, sizes.hidden_dim)
    return max(sizes.num_patches * widest // lanes, sizes.num_classes) + PAUSE


def _fewest_multipliers(product: Product, cycles: int) -> Fold:
    """Return the fold with the fewest multipliers that needs at most `cycles` per vector.

    Among equals it has the largest SIMD, which needs fewer partial sums. `cycles` is at least 1: if
    the streams pass in time, then a fold exists that is fast enough.
    """
    folds = (fold for fold in _folds(product) if fold.compute_cycles(product) <= cycles)
    return min(folds, key=lambda fold: (fold.multipliers, -fold.simd))


def _folds(product: Product) -> Iterator[Fold]:
    for pe in divisors(product.outputs):
        for simd in divisors(product.inputs):
            yield Fold(pe, simd)


def _possible_cycles(sizes: Sizes) -> set[int]:
    """Return the cycles per image that some stage can take and that all stages can reach."""
    streams = {_stream_cycles(sizes, lanes) for lanes in possible_lanes(sizes)}
    computing = {
        product.vectors * fold.compute_cycles(product) + PAUSE
        for product in products(sizes).values()
        for fold in _folds(product)
    }
    return {cycles for cycles in streams | computing if cycles >= fastest_cycles(sizes)}


def _dsp(sizes: Sizes, cycles: int, binding: Binding) -> int:
    folding = fold_for_cycles(sizes, cycles)
    assert folding is not None
    return dsp_total(sizes, folding, binding)
