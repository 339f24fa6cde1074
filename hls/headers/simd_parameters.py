"""Write the parameter memory of the SIMD accelerator, in the order in which it is read.

A word has `columns` int8 values. The memory starts with the first tile of the first step. Then, for
each tile, follow the words that are read while this tile is in the array: the next tile, and a
share of the parameters that the next step needs beside its tiles.

    tile      `rows` words, one per output, with its weights for `columns` inputs. The last tile of
              a group of outputs is followed by b and s, for mlp_linear_2 also by w, b, s of the
              residual, `rows` values each.
    beside    For token_mixer: w, b, s of affine_1, affine_2 and residual, channel by channel.
              For mlp_linear_1: the tables, act_in before act_hidden, in groups of `columns`
              channels; a word holds one knot of each channel.

The mean is a product with ones and the shift log2(tokens). Padding is 0, for shifts 1.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hls.headers.text import array_text
from hls.plan.simd.program import Program, Step
from hls.plan.sizes import Sizes
from models.integer.fixed_point import mean_shift
from models.integer.params import IntLayer, IntResMlp, IntTable

Words = npt.NDArray[np.int8]

_HEADER = """\
/// All parameters in the order of their use, {columns} values to a word. Generated; do not edit.
#pragma once

#include <cstdint>

{array}"""


def parameters_text(network: IntResMlp, array: tuple[int, int]) -> str:
    """Return the text of parameters.hpp: the parameter memory as an array for the test bench.

    `array` holds the rows and columns of multipliers.
    """
    words = parameter_words(network, array)
    text = array_text("parameters", words, "int8_t")
    return _HEADER.format(columns=array[1], array=f"alignas({array[1]}) {text}")


def parameter_words(network: IntResMlp, array: tuple[int, int]) -> Words:
    """Return the parameter memory, int8 [words, columns].

    `array` holds the rows and columns of multipliers.
    """
    program = Program(Sizes.of(network), *array)
    steps = program.steps()
    memory = [_tile(network, program, steps[0], 0)]
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        beside = _beside(network, program, following)  # read in equal shares, one with each tile
        for tile in range(step.tiles):
            if tile + 1 < step.tiles:
                memory.append(_tile(network, program, step, tile + 1))
            elif following is not None:
                memory.append(_tile(network, program, following, 0))
            share = slice(tile * step.beside_share, (tile + 1) * step.beside_share)
            memory.append(beside[share])
    return np.concatenate(memory)


def _tile(network: IntResMlp, program: Program, step: Step, tile: int) -> Words:
    """Return the words of one tile of a step's matrix, int8 [words, columns].

    Tiles are numbered along the inputs first: the first ones are those of the first outputs.
    """
    layer = _layer(network, step)
    output, inputs = divmod(tile, step.input_tiles)
    rows = slice(output * program.rows, (output + 1) * program.rows)
    columns = slice(inputs * program.columns, (inputs + 1) * program.columns)
    parts = [_padded(layer.w[rows, columns], program.rows, program.columns)]
    if inputs == step.input_tiles - 1:
        parameters = [(layer.b, 0), (layer.s, 1)]
        if step.kind == "mlp_linear_2":
            residual = network.blocks[step.block].mlp.residual
            parameters += [(residual.w, 0), (residual.b, 0), (residual.s, 1)]
        parts += [_row(values[rows], program, fill) for values, fill in parameters]
    return np.concatenate(parts)


def _layer(network: IntResMlp, step: Step) -> IntLayer:
    if step.kind == "embed_linear":
        return network.embed_linear
    if step.kind == "classifier_linear":
        return network.classifier_linear
    if step.kind == "mean":
        one, tokens = np.ones(1, np.int32), network.num_patches
        return IntLayer(np.ones((1, tokens), np.int32), 0 * one, mean_shift(tokens) * one)
    block = network.blocks[step.block]
    layers = {
        "token_mixer": block.token_mixer.linear,
        "mlp_linear_1": block.mlp.linear_1,
        "mlp_linear_2": block.mlp.linear_2,
    }
    return layers[step.kind]


def _beside(network: IntResMlp, program: Program, step: Step | None) -> Words:
    """Return the words that a step needs beside its tiles, int8 [beside_words, columns]."""
    columns = program.columns
    if step is not None and step.kind == "token_mixer":
        mixer = network.blocks[step.block].token_mixer
        layers = (mixer.affine_1, mixer.affine_2, mixer.residual)
        # [channels, 9]; each channel then fills `channel_words` whole words
        channels = np.stack([getattr(layer, key) for layer in layers for key in "wbs"], axis=1)
        padded = _padded(channels, len(channels), program.channel_words * columns)
        return padded.reshape(-1, columns)
    if step is not None and step.kind == "mlp_linear_1":
        mlp = network.blocks[step.block].mlp
        groups = [*_knots(mlp.act_in, columns), *_knots(mlp.act_hidden, columns)]
        return np.concatenate([np.empty((0, columns), np.int8), *groups])
    return np.empty((0, columns), np.int8)


def _knots(table: IntTable | None, columns: int) -> Iterator[Words]:
    """Yield int8 [65, columns] for each group of `columns` channels: word k holds their knots k."""
    knots = np.empty((0, 1), np.int32) if table is None else table.knots
    for first in range(0, len(knots), columns):
        group = knots[first : first + columns].T
        yield _padded(group, len(group), columns)


def _padded(values: npt.NDArray[np.integer], rows: int, columns: int) -> Words:
    """Return `values` as int8 [rows, columns], padded with zeros below and to the right."""
    padded = np.zeros((rows, columns), np.int8)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded


def _row(values: npt.NDArray[np.integer], program: Program, fill: int) -> Words:
    """Return up to `rows` values as int8 words [row_words, columns], padded with `fill`."""
    padded = np.full(program.row_words * program.columns, fill, np.int8)
    padded[: len(values)] = values
    return padded.reshape(-1, program.columns)
