"""The sizes of a network that its hardware depends on, and its matrix products."""

from dataclasses import dataclass, fields

from models.integer.params import IntResMlp


@dataclass(frozen=True)
class Sizes:
    """The sizes of a network that its hardware depends on; names as in config.hpp."""

    patch_dim: int
    num_patches: int
    embed_dim: int
    hidden_dim: int
    num_blocks: int
    num_classes: int
    has_tables: bool  # learnable activations: a table per channel before and after linear_1

    @staticmethod
    def of(network: IntResMlp) -> "Sizes":
        """Return the sizes of a network of integer parameters."""
        return Sizes(**{field.name: getattr(network, field.name) for field in fields(Sizes)})


@dataclass(frozen=True)
class Product:
    """A layer that multiplies `vectors` vectors per image by an `outputs` x `inputs` matrix."""

    vectors: int
    inputs: int
    outputs: int


def products(sizes: Sizes) -> dict[str, Product]:
    """Return the matrix products by name; a product that occurs in every block is listed once."""
    tokens, channels, hidden = sizes.num_patches, sizes.embed_dim, sizes.hidden_dim
    return {
        "embed_linear": Product(tokens, sizes.patch_dim, channels),
        "token_mixer_linear": Product(channels, tokens, tokens),
        "mlp_linear_1": Product(tokens, channels, hidden),
        "mlp_linear_2": Product(tokens, hidden, channels),
        "classifier_linear": Product(1, channels, sizes.num_classes),
    }


def copies(name: str, sizes: Sizes) -> int:
    """Return how many copies of a product of `products` are built: one, or one per block."""
    return 1 if name in ("embed_linear", "classifier_linear") else sizes.num_blocks
