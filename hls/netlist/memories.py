"""The contents of the ROMs of hls/rtl, as the head of each unit there describes them.

A ROM is a list of words; `mem_text` writes them as $readmemh reads them.
"""

from collections.abc import Sequence

import numpy as np

from models.integer.params import Array, IntLayer, IntTable

KNOT_BITS = 8
SEGMENT_BITS = 17  # slope (9) and knot (8)
MATRIX_CONSTANT_BITS = 12  # shift minus one (4) and bias (8)
AFFINE_CONSTANT_BITS = 20  # shift minus one (4), bias (8) and weight (8)


def weight_words(w: Array, pe: int, simd: int) -> list[int]:
    """Return a word of PE x SIMD int8 weights for each tile of w [outputs, inputs].

    Tiles are in the order of their cycles: for each group of PE outputs, every part of SIMD inputs.
    """
    outputs, inputs = w.shape
    tiles = w.astype(np.int8).reshape(outputs // pe, pe, inputs // simd, simd).swapaxes(1, 2)
    return [int.from_bytes(tile.tobytes(), "little") for group in tiles for tile in group]


def matrix_constant_words(layer: IntLayer, pe: int) -> list[int]:
    """Return a word for each group of PE outputs: bias and shift of each."""
    fields = [_bits(b, 8) | (int(s) - 1) << 8 for b, s in zip(layer.b, layer.s, strict=True)]
    return _joined(fields, pe, MATRIX_CONSTANT_BITS)


def affine_constant_words(layer: IntLayer, lanes: int) -> list[int]:
    """Return a word for each group of `lanes` channels: weight, bias and shift of each."""
    fields = [
        _bits(w, 8) | _bits(b, 8) << 8 | (int(s) - 1) << 16
        for w, b, s in zip(layer.w, layer.b, layer.s, strict=True)
    ]
    return _joined(fields, lanes, AFFINE_CONSTANT_BITS)


def table_words(table: IntTable, lanes: int) -> list[list[int]]:
    """Return the words of each of `lanes` ROMs; ROM i has channels i, i + lanes, ..."""
    knots = table.knots.astype(np.int64)
    slopes = np.diff(knots, axis=1)
    words = (knots[:, :-1] & 0xFF) | (slopes & 0x1FF) << KNOT_BITS
    return [words[lane::lanes].reshape(-1).tolist() for lane in range(lanes)]


def mem_text(words: Sequence[int], bits: int) -> str:
    """Return the text of a file for $readmemh: one hexadecimal word of `bits` bits per line."""
    digits = -(-bits // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)


def _joined(fields: Sequence[int], count: int, bits: int) -> list[int]:
    """Join each `count` fields to a word, the first in the lowest bits."""
    return [
        sum(field << (bits * index) for index, field in enumerate(fields[first : first + count]))
        for first in range(0, len(fields), count)
    ]


def _bits(value: int, bits: int) -> int:
    return int(value) & ((1 << bits) - 1)
