"""Folding of the streaming accelerator: how many products each layer computes per cycle.

In FINN's terms a matrix product processes PE outputs and SIMD inputs per cycle. It has PE x SIMD
multipliers and needs (outputs / PE) x (inputs / SIMD) cycles per vector. Every stream of a design
carries `lanes` int8 elements per word, and all blocks share one folding. The published design has
PE = 1, SIMD = all inputs and one lane.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from hls.plan.sizes import Product, Sizes, products
from models.files.errors import PipelineError

MAX_VECTOR = 512  # elements; HLS refuses stream words of more than 4,096 bits


@dataclass(frozen=True)
class Fold:
    """The folding of one matrix product: `pe` outputs and `simd` inputs per cycle.

    >>> Fold(pe=2, simd=4).compute_cycles(Product(vectors=64, inputs=8, outputs=6))
    6
    """

    pe: int
    simd: int

    @property
    def multipliers(self) -> int:
        """int8 products per cycle."""
        return self.pe * self.simd

    def compute_cycles(self, product: Product) -> int:
        """Return the cycles that the multipliers need for one vector."""
        return (product.outputs // self.pe) * (product.inputs // self.simd)


@dataclass(frozen=True)
class Folding:
    """The folding of one design; the fields of type Fold are named as in `hls.plan.sizes.products`.

    `handover` is 1 if a matrix product spends an extra cycle between two vectors, as in the
    published design, and 0 if the next vector follows at once. The extra cycle costs little at one
    lane (65 cycles instead of 64), but a ninth of the speed at eight lanes.
    """

    lanes: int
    embed_linear: Fold
    token_mixer_linear: Fold
    mlp_linear_1: Fold
    mlp_linear_2: Fold
    classifier_linear: Fold
    handover: int = 1

    def fold(self, name: str) -> Fold:
        """Return the folding of one matrix product."""
        fold = getattr(self, name)
        assert isinstance(fold, Fold), name
        return fold

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Folding":
        """Build a folding from `{lanes: 1, embed_linear: {pe: 1, simd: 48}, ..., handover: 1}`."""
        folds: dict[str, Any] = {
            name: Fold(**value) for name, value in values.items() if isinstance(value, Mapping)
        }
        return Folding(**{**values, **folds})


def published_folding(sizes: Sizes) -> Folding:
    """Return the published folding: one lane, PE = 1, SIMD = all inputs, a hand-over cycle."""
    folds = {name: Fold(1, product.inputs) for name, product in products(sizes).items()}
    return Folding(lanes=1, handover=1, **folds)


def possible_lanes(sizes: Sizes) -> list[int]:
    """Return the possible numbers of lanes: the common divisors of all vector lengths."""
    return divisors(gcd(*_lengths(sizes).values()))


def divisors(number: int) -> list[int]:
    """Return the divisors of a positive number, in ascending order.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def check_folding(folding: Folding, sizes: Sizes) -> None:
    """Raise PipelineError if the folding cannot be built with these sizes.

    `lanes` must divide every vector length, `pe` the outputs of its product and `simd` the inputs.
    `lanes` need not divide the number of classes, because the classifier writes one element per
    word. A vector that lies in one word of a stream has at most MAX_VECTOR elements.
    """
    if folding.handover not in (0, 1):
        raise PipelineError(
            f"handover is {folding.handover}, but must be 1 (a cycle between two vectors, as "
            "published) or 0 (none)."
        )
    for name, length in _lengths(sizes).items():
        if folding.lanes < 1 or length % folding.lanes:
            raise PipelineError(
                f"lanes is {folding.lanes}, which does not divide {name} = {length}; possible for "
                f"this network: {_listed(possible_lanes(sizes))}."
            )
    for name, product in products(sizes).items():
        fold = folding.fold(name)
        for what, length in (("inputs", product.inputs), ("outputs per cycle (pe)", fold.pe)):
            if length > MAX_VECTOR:
                raise PipelineError(
                    f"{name} has {length} {what}, but at most {MAX_VECTOR} fit in a word of an HLS "
                    "stream (4,096 bits); take smaller factors or a narrower network."
                )
        for key, factor, what, length in (
            ("pe", fold.pe, "outputs", product.outputs),
            ("simd", fold.simd, "inputs", product.inputs),
        ):
            if factor < 1 or length % factor:
                raise PipelineError(
                    f"{name}.{key} is {factor}, which does not divide the layer's {length} {what}; "
                    f"possible: {_listed(divisors(length))}."
                )


def output_lanes(name: str, folding: Folding) -> int:
    """Return the elements per word of a product's output stream: 1 for the classifier, or lanes."""
    return 1 if name == "classifier_linear" else folding.lanes


def _lengths(sizes: Sizes) -> dict[str, int]:
    names = ("patch_dim", "num_patches", "embed_dim", "hidden_dim")
    return {name: getattr(sizes, name) for name in names}


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
