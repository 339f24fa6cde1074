"""The SIMD accelerator's program, memory of parameters, cycle model and estimates, without C++."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.headers.simd_parameters import parameter_words
from hls.plan.estimate import Usage, total
from hls.plan.simd import cycles as simd_model
from hls.plan.simd import resources as simd_resources
from hls.plan.simd.program import SUM_CYCLES, Program
from hls.plan.sizes import Sizes, copies, products
from models.files.errors import PipelineError
from models.integer.params import IntLayer

RELU_192 = Sizes(48, 64, 96, 192, 4, 10, False)
RELU_96 = Sizes(48, 64, 96, 96, 4, 10, False)
LERP_96 = Sizes(48, 64, 96, 96, 4, 10, True)
ARRAY = (16, 16)
PUBLISHED = [(RELU_192, 47_681), (RELU_96, 29_215), (LERP_96, 29_441)]
IDS = ["relu_h192", "relu_h96", "lerp_psa_h96"]

ARRAYS = st.tuples(*[st.sampled_from([1, 2, 4, 8, 16, 32])] * 2)
SIZES = st.builds(
    Sizes,
    patch_dim=st.integers(1, 60),
    num_patches=st.sampled_from([2, 4, 8, 16, 64]),
    embed_dim=st.integers(1, 100),
    hidden_dim=st.integers(1, 200),
    num_blocks=st.integers(1, 4),
    num_classes=st.integers(1, 20),
    has_tables=st.booleans(),
)


def multiply_accumulates(sizes):
    return sum(
        product.vectors * product.inputs * product.outputs * copies(name, sizes)
        for name, product in products(sizes).items()
    )


@pytest.mark.parametrize(("sizes", "published"), PUBLISHED, ids=IDS)
def test_256_multipliers_take_no_more_cycles_than_published(sizes, published):
    """The multiply-accumulates alone take 25,732 or 44,164 cycles."""
    floor = -(-multiply_accumulates(sizes) // 256)
    assert floor == (44_164 if sizes is RELU_192 else 25_732)
    cycles = simd_model.cycles(sizes, ARRAY)
    assert floor < cycles.interval < cycles.total <= published
    assert cycles.total < 1.07 * floor


def test_the_cycles_counted_by_hand():
    """16 x 16 tiles of 96 x 48, 64 x 64, 96 x 96, 96 x 96, 1 x 64 and 10 x 96."""
    parts = simd_model.cycles(LERP_96, ARRAY).parts
    assert parts == {
        "call": 10,
        "start": 72 + 64 * 3,
        "embed_linear": 6 * 3 * 64,
        "token_mixer": 4 * 4 * 4 * 96,
        "mlp_linear_1": 4 * 6 * 6 * 64,
        "mlp_linear_2": 4 * 6 * 6 * 64,
        "mean": 4 * 96,
        "classifier_linear": 6,
        "reload": 6 * (18 - 1),  # 16 rows of weights, b and s per vector of the classifier
        "pipeline": 15 * (6 + 31 + 4),
        "logits": 1 + 72,
    }


@settings(deadline=None)
@given(SIZES, ARRAYS)
def test_words_fit_into_the_cycles_and_the_array_is_never_faster_than_it_can(sizes, array):
    program = Program(sizes, *array)
    steps = program.steps()
    assert sum(step.vectors * step.inputs * step.outputs for step in steps) == (
        multiply_accumulates(sizes) + sizes.embed_dim * sizes.num_patches  # the mean
    )
    words = program.tile_words(steps[0], steps[0].input_tiles == 1)
    assert words <= program.start_cycles
    for step in steps:
        in_step = step.next_words + step.beside_words
        in_step += (step.tiles - 1) * program.rows + step.output_tiles * step.output_words
        in_step -= step.output_words if step.input_tiles == 1 else 0  # came with the tile before
        assert in_step <= step.cycles
        assert step.cycles * array[0] * array[1] >= step.vectors * step.inputs * step.outputs
        assert step.tile_cycles >= max(step.vectors, SUM_CYCLES)
        words += in_step
    assert words == program.parameter_words


@pytest.mark.parametrize("array", [(16, 16), (4, 8), (8, 2), (1, 1)])
@pytest.mark.parametrize("tables", [False, True])
def test_the_memory_holds_every_parameter_once(array, tables, random_network):
    network = random_network(
        seed=3, tables=tables, patch_dim=12, num_patches=8, embed_dim=10, hidden_dim=18
    )
    words = parameter_words(network, array)
    program = Program(Sizes.of(network), *array)
    assert words.dtype == np.int8 and words.shape == (program.parameter_words, array[1])
    values = [
        getattr(leaf, key)
        for _, leaf in network.leaves()
        for key in (("w", "b", "s") if isinstance(leaf, IntLayer) else ("knots",))
    ]
    values += [np.ones(8, np.int32), np.array([3])]  # the mean: weights, shift
    counts = np.bincount(np.concatenate([value.ravel() for value in values]) + 128, minlength=256)
    found = np.bincount(words.ravel().astype(int) + 128, minlength=256)
    padding = found - counts
    assert padding.min() >= 0 and padding.sum() == padding[128] + padding[129]


def test_parameters_of_the_mean_come_last_but_one(random_network):
    """4 x 4: the mean's tile of ones, b 0, s log2(4); then the classifier's two tiles."""
    network = random_network(seed=1, num_patches=4, embed_dim=6, num_classes=3)
    words = parameter_words(network, (4, 4))
    mean, classifier = words[-16:-10], words[-10:]
    assert mean.tolist() == [[1] * 4, *[[0] * 4] * 3, [0] * 4, [2, 1, 1, 1]]
    layer = network.classifier_linear
    assert np.array_equal(classifier[:3], layer.w[:, :4])
    assert np.array_equal(classifier[4:7, :2], layer.w[:, 4:])
    assert classifier[8].tolist() == [*layer.b.tolist(), 0]
    assert classifier[9].tolist() == [*layer.s.tolist(), 1]


def test_resources_counted_by_hand():
    rows = {row.layer: row for row in simd_resources.usage(LERP_96, ARRAY)}
    row = 5 * 41 + 6 * 20 + 80  # of 16 products 5 in LUTs, their adders, partial sums, requantise
    assert rows["array"] == Usage("array", 1, 256, 16 * 11, 128, lut_logic=16 * row)
    affines = (16 + 2 * 16) * (41 + 80) + 16 * 20
    assert rows["affines"] == Usage("affines", 1, 48, 0, 48, lut_logic=affines)
    # Three reads of 16 lanes, each from 32 banks; 256 banks written, and 48 lanes chosen, from 4.
    assert rows["selection"].lut_logic == 8 * (3 * 16 * 32 + 4 * 256 + 4 * 48) // 4
    squares = 4 * (3 + 6 + 6 + 6 + 1)  # image, features twice, hidden; scores
    assert Program(LERP_96, *ARRAY).store_squares == squares == 88
    assert rows["store"].lut_memory == 2 * 256 * 8 * 2
    assert rows["sums"].lut_memory == 16 * 22 * 2  # sums of 96 products, 96 of them
    assert rows["channels"].lut_memory == 9 * 8 * 2
    assert Program(LERP_96, *ARRAY).act_in_words == 64 * 6
    assert (rows["tables"].lut_memory, rows["tables"].bram) == (0, 2 * 16)
    assert rows["FIFOs"].bram == 2 * 4
    assert (rows["ports"].lut_logic, rows["ports"].bram) == (3 * 800, 3 * 4)
    assert total([*rows.values()]).bram == 40 + 3 * 4
    # Bits of the largest fields of a step: vectors 96, tiles 6 and 6, words 5, 16, 780 and 49,
    # cycles 96 and 2304; three maps in 88 squares. Then those of five counters.
    fields = (7 + 3 + 3) + (3 + 5 + 10 + 6) + (7 + 12) + 3 * 7
    assert rows["control"].lut_logic == fields + 4 * (7 + 3 + 3 + 12 + 10)
    tables = {row.layer: row for row in simd_resources.usage(RELU_96, ARRAY)}["tables"]
    assert tables == Usage("tables", 1)


@pytest.mark.parametrize(
    ("part", "sizes", "array", "luts", "brams"),
    [
        # 24 squares, of 64 in a LUT; 8 * (6 + 12 + 12 + 24 + 2) = 448
        ("store", RELU_96, (32, 32), 2 * 1024 * 8, 0),
        ("store", RELU_192, (8, 8), 0, 2 * 64),
        ("sums", replace(RELU_96, embed_dim=256), ARRAY, 16 * 24 * 4, 0),
        ("sums", replace(RELU_96, embed_dim=257), ARRAY, 0, 16),
        ("channels", replace(RELU_96, embed_dim=257), ARRAY, 0, 9),
        ("tables", LERP_96, (32, 32), 2 * 32 * 16 * 3, 0),  # 3 channels a lane
        ("tables", replace(LERP_96, hidden_dim=64), ARRAY, 16 * 16 * 4, 16),  # act_in is too deep
    ],
)
def test_each_memory_moves_to_block_ram_above_256_words(part, sizes, array, luts, brams):
    row = next(row for row in simd_resources.usage(sizes, array) if row.layer == part)
    assert (row.lut_memory, row.bram) == (luts, brams)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ((12, 16), "array has 12 rows, but must have a power of two"),
        ((16, 3), "array has 3 columns, but must have a power of two"),
        ((0, 16), "array has 0 rows"),
        ((16, 128), "array has 128 columns, but must have at most 64: a memory port has 512 bits"),
        ((128, 16), "array has 128 rows, but must have at most 64"),
    ],
)
def test_impossible_arrays_are_refused_in_a_sentence(array, message):
    with pytest.raises(PipelineError, match=f"^{message}.*\\.$"):
        simd_model.cycles(RELU_96, array)


def test_tokens_whose_mean_is_no_shift_are_refused():
    with pytest.raises(PipelineError, match="has 48 tokens, but their mean is a shift"):
        simd_model.cycles(replace(RELU_96, num_patches=48), ARRAY)
