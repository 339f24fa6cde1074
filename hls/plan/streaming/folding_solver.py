"""Find the folding for a target: the slowest stage in time, and no multiplier more than it takes.

All stages work at once, so the time for an image is that of the slowest, and a stage faster than
that is wasted hardware. For a given number of cycles the words get as many lanes as the map needs
to pass in time, and each matrix product takes the fewest multipliers with which it keeps up.
"""

from collections.abc import Iterator

from hls.plan.sizes import Product, Sizes, products
from hls.plan.streaming.folding import Fold, Folding, divisors, possible_lanes
from hls.plan.streaming.resources import dsp_total
from models.files.errors import PipelineError

HANDOVER = 0  # the published cycle between two vectors would cost multipliers


def fold_for_cycles(sizes: Sizes, cycles: int) -> Folding | None:
    """Return the folding with the fewest multipliers that needs at most `cycles` per image."""
    for lanes in possible_lanes(sizes):
        if _stream_cycles(sizes, lanes) <= cycles:
            folds = {
                name: _fewest_multipliers(product, cycles // product.vectors)
                for name, product in products(sizes).items()
            }
            return Folding(lanes=lanes, handover=HANDOVER, **folds)
    return None


def fold_for_rate(sizes: Sizes, images_per_second: float, clock_ns: float) -> Folding:
    """Return the smallest folding that is at least this fast; PipelineError states the fastest."""
    cycles = int(1e9 / clock_ns / images_per_second)
    folding = fold_for_cycles(sizes, cycles)
    if folding is None:
        best = fastest_cycles(sizes)
        raise PipelineError(
            f"target.images_per_second is {images_per_second:g}, but the most is "
            f"{1e9 / clock_ns / best:.0f} at a clock of {clock_ns:g} ns: {best} cycles per image, "
            f"in words of {possible_lanes(sizes)[-1]} elements; ask for less or a faster clock."
        )
    return folding


def fold_for_dsp(sizes: Sizes, dsp: int) -> Folding:
    """Return the fastest folding within a budget of DSPs (estimate).

    Among equally fast ones it is that with the fewest multipliers. PipelineError states the least
    budget.
    """
    candidates = sorted(_possible_cycles(sizes))
    if _dsp(sizes, candidates[-1]) > dsp:
        raise PipelineError(
            f"target.dsp is {dsp}, but the smallest design of this network takes "
            f"{_dsp(sizes, candidates[-1])} (estimate); raise the budget."
        )
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _dsp(sizes, candidates[middle]) <= dsp else (middle + 1, high)
    folding = fold_for_cycles(sizes, candidates[low])
    assert folding is not None
    return folding


def fastest_cycles(sizes: Sizes) -> int:
    """Return the fewest cycles per image of any folding: the map in words of the most lanes."""
    return _stream_cycles(sizes, possible_lanes(sizes)[-1])


def _stream_cycles(sizes: Sizes, lanes: int) -> int:
    """Return the cycles in which the longest stream of an image passes."""
    widest = max(sizes.patch_dim, sizes.embed_dim, sizes.hidden_dim)
    return max(sizes.num_patches * widest // lanes, sizes.num_classes)


def _fewest_multipliers(product: Product, cycles: int) -> Fold:
    """Return the smallest factors in time; among equals those with the largest SIMD.

    `cycles`, per vector, are at least 1: what streams in time can be multiplied in time. A large
    SIMD needs no sums that wait for the next cycle.
    """
    folds = (fold for fold in _folds(product) if fold.compute_cycles(product) <= cycles)
    return min(folds, key=lambda fold: (fold.multipliers, -fold.simd))


def _folds(product: Product) -> Iterator[Fold]:
    for pe in divisors(product.outputs):
        for simd in divisors(product.inputs):
            yield Fold(pe, simd)


def _possible_cycles(sizes: Sizes) -> set[int]:
    """Return every number of cycles per image that some stage can have and all can keep."""
    streams = {_stream_cycles(sizes, lanes) for lanes in possible_lanes(sizes)}
    computing = {
        product.vectors * fold.compute_cycles(product)
        for product in products(sizes).values()
        for fold in _folds(product)
    }
    return {cycles for cycles in streams | computing if cycles >= fastest_cycles(sizes)}


def _dsp(sizes: Sizes, cycles: int) -> int:
    folding = fold_for_cycles(sizes, cycles)
    assert folding is not None
    return dsp_total(sizes, folding)
