"""The program of the SIMD processor for one image; same model and names as program.hpp.

(The C++ is hls/cpp/simd/program.hpp.) Each step is one matrix product. Its weights are cut into
tiles of rows x columns. A tile stays in the array while all vectors pass, one per cycle. In the
same cycles the processor reads the next tile and the parameters that the next step needs beside its
tiles. So a tile takes

    tile_cycles = max(vectors, words of a tile + share of the words beside, SUM_CYCLES)

cycles. Parameters are stored in the order of their use (hls/headers/simd_parameters.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from hls.plan.sizes import Sizes
from models.files.errors import PipelineError
from models.integer.fixed_point import MAX_SHIFT, TABLE_KNOTS

MAX_SIDE = 64  # most rows or columns: a word of `columns` int8 values has at most 512 bits
SUM_CYCLES = 4  # least cycles between two reads of the same sum: the latency of adding to it
FIFO_WORDS = 512  # between a memory port and the processor

_SEGMENTS = TABLE_KNOTS - 1

KINDS = (
    "embed_linear",
    "token_mixer",
    "mlp_linear_1",
    "mlp_linear_2",
    "mean",
    "classifier_linear",
)
OUTPUT_PARAMETERS = ("b", "s", "res_affine_w", "res_affine_b", "res_affine_s")
CHANNEL_PARAMETERS = tuple(
    f"{layer}_{key}" for layer in ("affine_1", "affine_2", "res_affine") for key in "wbs"
)


@dataclass(frozen=True)
class Step:
    """One matrix product; `block` is the index of its block, -1 outside of the blocks.

    `by_channel`: a vector is a channel over all tokens; otherwise a token over all channels.
    `output_words` follow the weights of the last tile of each group of outputs. `next_words` is the
    size of the next step's first tile. `beside_words` are the words that the next step needs beside
    its tiles; up to `beside_share` of them are read with each tile.
    """

    kind: str
    block: int
    by_channel: bool
    vectors: int
    inputs: int
    outputs: int
    input_tiles: int
    output_tiles: int
    output_words: int
    next_words: int = 0
    beside_words: int = 0
    beside_share: int = 0
    tile_cycles: int = 0

    @property
    def tiles(self) -> int:
        """Number of tiles of the matrix."""
        return self.input_tiles * self.output_tiles

    @property
    def cycles(self) -> int:
        """Iterations of the step's loop."""
        return self.tiles * self.tile_cycles


@dataclass(frozen=True)
class Program:
    """The steps of a network on an array of rows x columns multipliers.

    Raises PipelineError if rows or columns are not powers of two up to MAX_SIDE, or if the number
    of tokens is not a power of two of at least 2.
    """

    sizes: Sizes
    rows: int
    columns: int

    def __post_init__(self) -> None:
        for name, number in (("rows", self.rows), ("columns", self.columns)):
            if number < 1 or number & (number - 1):
                raise PipelineError(f"array has {number} {name}, but must have a power of two.")
            if number > MAX_SIDE:
                raise PipelineError(
                    f"array has {number} {name}, but must have at most {MAX_SIDE}: a memory port "
                    f"has {8 * MAX_SIDE} bits, and the store a memory per row and column."
                )
        tokens = self.sizes.num_patches
        if tokens < 2 or tokens & (tokens - 1) or tokens > 1 << MAX_SHIFT:
            raise PipelineError(
                f"the network has {tokens} tokens, but their mean is a shift: a power of two of at "
                "least 2."
            )

    @property
    def side(self) -> int:
        """Rows and columns of a square of the store."""
        return max(self.rows, self.columns)

    @property
    def max_vectors(self) -> int:
        """Most vectors of a step: the depth of a memory of sums."""
        return max(self.sizes.num_patches, self.sizes.embed_dim)

    @property
    def act_in_words(self) -> int:
        """Depth of a memory of the act_in tables: 64 words for each channel of its lane."""
        return _SEGMENTS * ceil(self.sizes.embed_dim / self.side)

    @property
    def act_hidden_words(self) -> int:
        """Depth of a memory of the act_hidden tables: 64 words for each channel of its lane."""
        return _SEGMENTS * ceil(self.sizes.hidden_dim / self.side)

    @property
    def store_squares(self) -> int:
        """Squares of the store: maps of image, features (two), hidden features and scores.

        Each has the height of the tokens, a power of two. The mean overwrites one of the features.
        """
        sizes, side = self.sizes, self.side
        widths = (sizes.patch_dim, sizes.embed_dim, sizes.embed_dim, sizes.hidden_dim)
        width = sum(ceil(count / side) for count in (*widths, sizes.num_classes))
        return ceil(sizes.num_patches / side) * width

    @property
    def token_words(self) -> int:
        """Words of one patch."""
        return ceil(self.sizes.patch_dim / self.columns)

    @property
    def image_words(self) -> int:
        """Words of one image."""
        return self.sizes.num_patches * self.token_words

    @property
    def logit_words(self) -> int:
        """Words of one image's scores."""
        return ceil(self.sizes.num_classes / self.columns)

    @property
    def row_words(self) -> int:
        """Words of `rows` values."""
        return ceil(self.rows / self.columns)

    @property
    def channel_words(self) -> int:
        """Words of the parameters that the token mixer needs of one channel."""
        return ceil(len(CHANNEL_PARAMETERS) / self.columns)

    @property
    def start_cycles(self) -> int:
        """Iterations of the loop that reads the image and the first tile."""
        return max(self.image_words, self.rows + 2 * self.row_words)

    @property
    def parameter_words(self) -> int:
        """Words of all parameters."""
        return sum(
            step.output_tiles * (step.input_tiles * self.rows + step.output_words)
            + self.words_beside(step.kind)
            for step in self.steps()
        )

    def words_beside(self, kind: str) -> int:
        """Return the words that a step of this kind needs beside its tiles."""
        if kind == "token_mixer":
            return self.sizes.embed_dim * self.channel_words
        if kind == "mlp_linear_1" and self.sizes.has_tables:
            channels = (self.sizes.embed_dim, self.sizes.hidden_dim)
            return TABLE_KNOTS * sum(ceil(count / self.columns) for count in channels)
        return 0

    def tile_words(self, step: Step, last_input: bool) -> int:
        """Return the words of a tile; `last_input`: it is the last tile of a group of outputs."""
        return self.rows + (step.output_words if last_input else 0)

    def steps(self) -> list[Step]:
        """Return all steps, in order, with their cycles."""
        products = [*self._products()]
        return [
            self._timed(step, next_step)
            for step, next_step in zip(products, [*products[1:], None], strict=True)
        ]

    def _products(self) -> Iterator[Step]:
        sizes = self.sizes
        tokens, channels, hidden = sizes.num_patches, sizes.embed_dim, sizes.hidden_dim
        yield self._product("embed_linear", -1, tokens, sizes.patch_dim, channels)
        for block in range(sizes.num_blocks):
            yield self._product("token_mixer", block, channels, tokens, tokens)
            yield self._product("mlp_linear_1", block, tokens, channels, hidden)
            yield self._product("mlp_linear_2", block, tokens, hidden, channels)
        yield self._product("mean", -1, channels, tokens, 1)
        yield self._product("classifier_linear", -1, 1, channels, sizes.num_classes)

    def _product(self, kind: str, block: int, vectors: int, inputs: int, outputs: int) -> Step:
        return Step(
            kind,
            block,
            by_channel=kind in ("token_mixer", "mean"),
            vectors=vectors,
            inputs=inputs,
            outputs=outputs,
            input_tiles=ceil(inputs / self.columns),
            output_tiles=ceil(outputs / self.rows),
            output_words=self.row_words * (len(OUTPUT_PARAMETERS) if kind == "mlp_linear_2" else 2),
        )

    def _timed(self, step: Step, next_step: Step | None) -> Step:
        next_words = beside_words = 0
        if next_step is not None:
            next_words = self.tile_words(next_step, next_step.input_tiles == 1)
            beside_words = self.words_beside(next_step.kind)
        share = ceil(beside_words / step.tiles)
        words = max(self.tile_words(step, True) if step.tiles > 1 else 0, next_words)
        return replace(
            step,
            next_words=next_words,
            beside_words=beside_words,
            beside_share=share,
            tile_cycles=max(step.vectors, words + share, SUM_CYCLES),
        )
