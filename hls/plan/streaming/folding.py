"""Folding of the streaming accelerator: how many products each layer makes per cycle.

In FINN's words a matrix product has PE outputs and SIMD inputs per cycle, so it owns PE x SIMD
multipliers and needs (outputs / PE) x (inputs / SIMD) cycles per vector. Every stream of a design
carries `lanes` int8 elements per word, and all blocks share one folding. PE = 1, SIMD = all inputs
and one lane are the published design.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from hls.plan.sizes import Product, Sizes, products
from models.files.errors import PipelineError


@dataclass(frozen=True)
class Fold:
    """One matrix product: `pe` outputs and `simd` inputs per cycle."""

    pe: int
    simd: int

    @property
    def multipliers(self) -> int:
        """int8 products per cycle."""
        return self.pe * self.simd

    def compute_cycles(self, product: Product) -> int:
        """Return the cycles in which the multipliers work on one vector."""
        return (product.outputs // self.pe) * (product.inputs // self.simd)


@dataclass(frozen=True)
class Folding:
    """The factors of one design; the fields of type Fold have the names of `products`.

    `handover` is 1 if a matrix product spends a cycle between two vectors, as the published design
    does, and 0 if the next vector follows at once. It costs little at one lane (65 cycles in place
    of 64), but a ninth of the speed at eight.
    """

    lanes: int
    embed_linear: Fold
    token_mixer_linear: Fold
    mlp_linear_1: Fold
    mlp_linear_2: Fold
    classifier_linear: Fold
    handover: int = 1

    def fold(self, name: str) -> Fold:
        """Return the factors of one matrix product."""
        fold = getattr(self, name)
        assert isinstance(fold, Fold), name
        return fold

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Folding":
        """Build from `{lanes: 1, embed_linear: {pe: 1, simd: 48}, ..., handover: 1}`."""
        folds: dict[str, Any] = {
            name: Fold(**value) for name, value in values.items() if isinstance(value, Mapping)
        }
        return Folding(**{**values, **folds})


def published_folding(sizes: Sizes) -> Folding:
    """Return the published design: one lane, PE = 1, SIMD = all inputs, a hand-over cycle."""
    folds = {name: Fold(1, product.inputs) for name, product in products(sizes).items()}
    return Folding(lanes=1, handover=1, **folds)


def possible_lanes(sizes: Sizes) -> list[int]:
    """Return every width that all streams can have: the divisors of all vector lengths."""
    return divisors(gcd(*_lengths(sizes).values()))


def divisors(number: int) -> list[int]:
    """Return the divisors of a positive number, in ascending order."""
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def check_folding(folding: Folding, sizes: Sizes) -> None:
    """Raise PipelineError for a folding that cannot be built with these sizes.

    `lanes` divides every vector length, `pe` a product's outputs and `simd` its inputs. The
    classifier writes one element per word, so its outputs need not divide.
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
    """Return the elements per word of a result; the classifier writes single elements."""
    return 1 if name == "classifier_linear" else folding.lanes


def _lengths(sizes: Sizes) -> dict[str, int]:
    names = ("patch_dim", "num_patches", "embed_dim", "hidden_dim")
    return {name: getattr(sizes, name) for name in names}


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
