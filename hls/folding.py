"""Folding of the streaming accelerator: how many products each layer makes per cycle.

In FINN's words a matrix product has PE outputs and SIMD inputs per cycle, so it owns PE x SIMD
multipliers and needs (outputs / PE) x (inputs / SIMD) cycles per vector. Every stream of a design
carries `lanes` int8 elements per word, and all blocks share one folding. PE = 1, SIMD = all inputs
and one lane are the published design (published system §4).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import gcd
from typing import Any

from models.errors import PipelineError
from models.int_params import IntResMlp


@dataclass(frozen=True)
class Sizes:
    """What the hardware of a network depends on besides the folding; names as in config.hpp."""

    patch_dim: int
    num_patches: int
    embed_dim: int
    hidden_dim: int
    num_blocks: int
    num_classes: int
    has_tables: bool  # learnable activations: a table per channel before and after linear_1

    @staticmethod
    def of(network: IntResMlp) -> "Sizes":
        """Read the sizes off integer parameters."""
        return Sizes(**{field.name: getattr(network, field.name) for field in fields(Sizes)})


@dataclass(frozen=True)
class Product:
    """A layer that multiplies `vectors` vectors per image by an `outputs` x `inputs` matrix."""

    vectors: int
    inputs: int
    outputs: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.vectors * self.inputs * self.outputs


def products(sizes: Sizes) -> dict[str, Product]:
    """Return every matrix product by its name; those of a block stand once."""
    tokens, channels, hidden = sizes.num_patches, sizes.embed_dim, sizes.hidden_dim
    return {
        "embed_linear": Product(tokens, sizes.patch_dim, channels),
        "token_mixer_linear": Product(channels, tokens, tokens),
        "mlp_linear_1": Product(tokens, channels, hidden),
        "mlp_linear_2": Product(tokens, hidden, channels),
        "classifier_linear": Product(1, channels, sizes.num_classes),
    }


def copies(name: str, sizes: Sizes) -> int:
    """Return how often a product of `products` is built: once, or once per block."""
    return 1 if name in ("embed_linear", "classifier_linear") else sizes.num_blocks


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
    """The factors of one design; the fields after `lanes` are the names of `products`."""

    lanes: int
    embed_linear: Fold
    token_mixer_linear: Fold
    mlp_linear_1: Fold
    mlp_linear_2: Fold
    classifier_linear: Fold

    def fold(self, name: str) -> Fold:
        """Return the factors of one matrix product."""
        fold = getattr(self, name)
        assert isinstance(fold, Fold), name
        return fold

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `from_dict` takes them."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Folding":
        """Build from `{lanes: 1, embed_linear: {pe: 1, simd: 48}, ...}`."""
        folds = {name: Fold(**fold) for name, fold in values.items() if name != "lanes"}
        return Folding(lanes=values["lanes"], **folds)


def published_folding(sizes: Sizes) -> Folding:
    """Return the published design: one lane, PE = 1, SIMD = all inputs."""
    folds = {name: Fold(1, product.inputs) for name, product in products(sizes).items()}
    return Folding(lanes=1, **folds)


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


def load_cycles(name: str, product: Product, lanes: int) -> int:
    """Return the cycles in which one vector of the product `name` arrives."""
    return product.inputs // lanes


def output_words(name: str, product: Product, lanes: int) -> int:
    """Return the words of one result vector; the classifier writes one element per word."""
    return product.outputs if name == "classifier_linear" else product.outputs // lanes


def vector_cycles(name: str, product: Product, fold: Fold, lanes: int) -> int:
    """Return the cycles from one vector to the next: max(inputs, outputs) + 1 as published.

    max(inputs / lanes, (outputs / pe) x (inputs / simd), outputs / lanes) + 1: loading a vector,
    multiplying the one before and sending its result overlap; one more cycle hands over.
    """
    words = output_words(name, product, lanes)
    return max(load_cycles(name, product, lanes), fold.compute_cycles(product), words) + 1


def _lengths(sizes: Sizes) -> dict[str, int]:
    names = ("patch_dim", "num_patches", "embed_dim", "hidden_dim")
    return {name: getattr(sizes, name) for name in names}


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
