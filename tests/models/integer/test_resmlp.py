"""The numpy network: the equations written out, and the published network bit for bit."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import IntLayer

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PUBLISHED_ABS_MAX = 2.0901384
PUBLISHED_ACCURACY = 86.03  # percent of the 10,000 test images


def tokens_for(network, count=3, seed=0, values=(-128, 128)):
    shape = (count, network.num_patches, network.patch_dim)
    return np.random.default_rng(seed).integers(*values, shape, dtype=np.int32)


# ---- an independent statement of the network, number by number


def clamp(value):
    return min(127, max(-128, value))


def shift_right(value, shift):
    return math.floor(value / 2**shift + 0.5)  # values below 2^24 are exact in a Python float


def naive_linear(layer, x):
    return [
        clamp(shift_right(sum(int(a) * int(b) for a, b in zip(x, row, strict=True)), s) + b)
        for row, s, b in zip(layer.w, layer.s.tolist(), layer.b.tolist(), strict=True)
    ]


def naive_affine(layer, x):
    parameters = zip(x, layer.w.tolist(), layer.s.tolist(), layer.b.tolist(), strict=True)
    return [clamp(shift_right(int(a) * w, s) + b) for a, w, s, b in parameters]


def naive_activation(table, x):
    result = []
    for f, value in enumerate(x):
        i, r = (value + 128) // 4, (value + 128) % 4
        left, right = table.knots[f, i].item(), table.knots[f, i + 1].item()
        result.append(left + shift_right((right - left) * r, 2))
    return result


def naive_add(a, b):
    return [clamp(x + y) for x, y in zip(a, b, strict=True)]


def naive_mixer(p, tokens):
    columns = zip(*(naive_affine(p.affine_1, x) for x in tokens), strict=True)
    mixed = zip(*(naive_linear(p.linear, column) for column in columns), strict=True)
    branch = [naive_affine(p.affine_2, x) for x in mixed]
    return [naive_add(y, naive_affine(p.residual, x)) for x, y in zip(tokens, branch, strict=True)]


def naive_mlp(p, x):
    hidden = naive_linear(p.linear_1, naive_activation(p.act_in, x) if p.act_in else x)
    if p.act_hidden:
        hidden = naive_activation(p.act_hidden, hidden)
    else:
        hidden = [max(0, value) for value in hidden]
    return naive_add(naive_linear(p.linear_2, hidden), naive_affine(p.residual, x))


def naive_forward(network, image):
    """Return the taps and the logits of one image's tokens."""
    x = [naive_linear(network.embed_linear, token) for token in image.tolist()]
    taps = [x]
    for block in network.blocks:
        x = [naive_mlp(block.mlp, token) for token in naive_mixer(block.token_mixer, x)]
        taps.append(x)
    mean = [math.floor(sum(column) / len(x) + 0.5) for column in zip(*x, strict=True)]
    return taps, naive_linear(network.classifier_linear, mean)


@pytest.mark.parametrize("tables", [False, True], ids=["relu", "tables"])
@pytest.mark.parametrize("seed", range(3))
def test_forward_is_the_published_equations(random_network, tables, seed):
    network = random_network(seed, tables=tables)
    tokens = tokens_for(network, seed=seed)
    samples = int_resmlp.make_samples(network, tokens, np.arange(3))
    for index, image in enumerate(tokens):
        taps, logits = naive_forward(network, image)
        for mine, expected in zip(samples.inter, taps, strict=True):
            np.testing.assert_array_equal(mine[index], expected)
        np.testing.assert_array_equal(samples.output[index], logits)


def test_the_random_networks_saturate_and_do_not_all_give_the_same(random_network):
    network = random_network(tables=True)
    samples = int_resmlp.make_samples(network, tokens_for(network, 20), np.zeros(20, int))
    for name, values in samples.layers.items():
        assert len(np.unique(values)) > 8, f"{name} is too dull to test anything"
    assert any((values == 127).any() for values in samples.layers.values())
    assert any((values == -128).any() for values in samples.layers.values())


# ---- two ways through the matrix products


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    patch_dim=st.integers(1, 60),
    num_patches=st.sampled_from([2, 4, 16, 64]),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 80), st.integers(1, 2), st.integers(1, 11)),
    tables=st.booleans(),
    values=st.sampled_from([(-128, 128), (127, 128), (-128, -127)]),
)
def test_float32_and_integer_products_are_equal(
    random_network, seed, patch_dim, num_patches, sizes, tables, values
):
    network = random_network(seed, patch_dim, num_patches, *sizes, tables)
    tokens = tokens_for(network, 2, seed, values)
    layers: dict[str, np.ndarray] = {}
    exact: dict[str, np.ndarray] = {}
    int_resmlp.forward(network, tokens, layers.__setitem__)
    int_resmlp.forward(network, tokens, exact.__setitem__, exact_integers=True)
    assert list(layers) == list(exact)
    for name, value in layers.items():
        np.testing.assert_array_equal(value, exact[name], err_msg=name)
        assert value.min() >= -128 and value.max() <= 127


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9999),
    patch_dim=st.integers(1, 1024),
    num_patches=st.sampled_from([2, 16, 64]),
    hidden_dim=st.integers(1, 200),
    tables=st.booleans(),
)
def test_they_are_equal_for_all_shifts_and_biases(
    random_network, seed, patch_dim, num_patches, hidden_dim, tables
):
    network = random_network(seed, patch_dim, num_patches, 24, hidden_dim, tables=tables)
    rng = np.random.default_rng(seed)
    for _, leaf in network.leaves():
        if isinstance(leaf, IntLayer):
            leaf.s[:] = rng.integers(1, 17, len(leaf.s))
            leaf.b[:] = rng.integers(-128, 128, len(leaf.b))
    tokens = tokens_for(network, 2, seed)
    fast, exact = {}, {}
    int_resmlp.forward(network, tokens, fast.__setitem__)
    int_resmlp.forward(network, tokens, exact.__setitem__, exact_integers=True)
    for name, values in exact.items():
        np.testing.assert_array_equal(fast[name], values, err_msg=name)


@pytest.mark.parametrize("inputs", [1, 2, 1023, 1024])
@pytest.mark.parametrize("value", [-128, 127])
def test_products_are_equal_at_the_largest_sums(random_network, inputs, value):
    network = random_network(patch_dim=inputs, embed_dim=3)
    weights = np.stack([np.full(inputs, -128), np.full(inputs, 127), np.arange(inputs) % 2])
    layer = IntLayer(weights, np.array([1, -1, 0]), np.array([16, 16, 1]))
    network = replace(network, embed_linear=layer)
    tokens = np.full((1, network.num_patches, inputs), value, np.int32)
    tokens[0, 1, 0] = 1
    fast, exact = {}, {}
    int_resmlp.forward(network, tokens, fast.__setitem__)
    int_resmlp.forward(network, tokens, exact.__setitem__, exact_integers=True)
    np.testing.assert_array_equal(fast["embed_linear"], exact["embed_linear"])
    expected = [naive_linear(layer, token) for token in tokens[0].tolist()]
    np.testing.assert_array_equal(exact["embed_linear"][0], expected)


def test_doubled_inputs_saturate_alike_in_both(random_network):
    network = random_network(5, embed_dim=24, hidden_dim=48, tables=True)
    tokens = np.clip(2 * tokens_for(network, 50), -128, 127)
    fast, exact = (int_resmlp.forward(network, tokens, None, e) for e in (False, True))
    np.testing.assert_array_equal(fast, exact)


# ---- names, samples, batches


@pytest.mark.parametrize("tables", [False, True], ids=["relu", "tables"])
def test_every_layer_is_recorded_under_its_name_in_order(random_network, tables):
    network = random_network(tables=tables, num_blocks=1)
    names: list[str] = []
    int_resmlp.forward(network, tokens_for(network), lambda name, values: names.append(name))
    mixer, mlp = "blocks_0_token_mixer", "blocks_0_mlp"
    assert names == [
        "embed_linear",
        *(f"{mixer}_{name}" for name in ("affine_1", "linear", "affine_2", "residual")),
        mixer,
        *([f"{mlp}_act_in"] if tables else []),
        f"{mlp}_linear_1",
        f"{mlp}_act_hidden" if tables else f"{mlp}_relu",
        f"{mlp}_linear_2",
        f"{mlp}_residual",
        mlp,
        "mean",
        "classifier_linear",
    ]
    assert {name for name, _ in network.leaves()} <= set(names)


def test_recording_changes_nothing_and_inputs_stay(random_network):
    network = random_network()
    tokens = tokens_for(network)
    before = tokens.copy()
    logits = int_resmlp.forward(network, tokens, lambda name, values: None)
    np.testing.assert_array_equal(int_resmlp.forward(network, tokens), logits)
    np.testing.assert_array_equal(tokens, before)


def test_samples_hold_the_taps_after_the_embedding_and_each_block(random_network):
    network = random_network(num_blocks=3)
    tokens, labels = tokens_for(network), np.array([2, 0, 1])
    samples = int_resmlp.make_samples(network, tokens, labels)
    assert len(samples.inter) == 4
    for index, tap in enumerate(samples.inter):
        name = "embed_linear" if index == 0 else f"blocks_{index - 1}_mlp"
        np.testing.assert_array_equal(tap, samples.layers[name])
    np.testing.assert_array_equal(samples.input, tokens)
    np.testing.assert_array_equal(samples.labels, labels)
    np.testing.assert_array_equal(samples.output, int_resmlp.forward(network, tokens))


@pytest.fixture
def image_network(random_network):
    """Return a network of 4 tokens of 16x16 pixels that takes images."""
    return random_network(patch_dim=768, num_patches=4, input_lut=True)


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8])
def test_the_batch_size_does_not_matter(image_network, batch_size):
    images = images_of(7)
    expected = int_resmlp.evaluate(image_network, images)
    np.testing.assert_array_equal(
        int_resmlp.evaluate(image_network, images, batch_size=batch_size), expected
    )
    assert expected.shape == (7, 3)
    assert len(np.unique(expected, axis=0)) > 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_matter(image_network, threads):
    images = images_of(9)
    mine = int_resmlp.evaluate(image_network, images, batch_size=2, threads=threads)
    tokens = int_resmlp.quantize_images(image_network, images)
    np.testing.assert_array_equal(mine, int_resmlp.forward(image_network, tokens))


def test_no_images_give_no_logits(image_network):
    assert int_resmlp.evaluate(image_network, images_of(0)).shape == (0, 3)


def test_accuracy_is_in_percent_and_the_first_of_equal_logits_wins():
    logits = np.array([[1, 5, 5], [-3, -3, -3], [0, 1, 2], [9, 0, 0]])
    assert int_resmlp.accuracy(logits, np.array([1, 0, 2, 0])) == 100
    assert int_resmlp.accuracy(logits, np.array([2, 0, 2, 1])) == 50


@pytest.mark.parametrize("tokens", [1, 3, 6])
def test_a_mean_over_other_than_a_power_of_two_is_refused(tokens, random_network):
    with pytest.raises(ValueError, match=rf"is of {tokens} tokens.*power of two of at least 2"):
        random_network(num_patches=tokens)


def test_one_class_and_one_channel_are_computed_as_any_other(random_network):
    network = random_network(num_patches=2, embed_dim=1, hidden_dim=1, num_classes=1, tables=True)
    tokens = tokens_for(network)
    logits = int_resmlp.forward(network, tokens)
    np.testing.assert_array_equal(logits, int_resmlp.forward(network, tokens, exact_integers=True))
    assert logits.shape == (3, 1)


# ---- from pixels to tokens


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_patchify_orders_tokens_by_row_and_column_and_values_by_row_column_channel(size):
    images = images_of(2)
    tokens = int_resmlp.patchify(images, 3 * size**2)
    side = 32 // size
    assert tokens.shape == (2, side**2, 3 * size**2) and tokens.dtype == np.int32
    b, i, j, r, c, ch = np.indices((2, side, side, size, size, 3))
    expected = images[b, size * i + r, size * j + c, ch]
    np.testing.assert_array_equal(tokens[b, side * i + j, (size * r + c) * 3 + ch], expected)


@pytest.mark.parametrize("abs_max", [0.5, 1.7, PUBLISHED_ABS_MAX, 2.6400001, 9.0])
def test_input_lut_is_the_clamped_and_rounded_normalised_pixel(abs_max):
    lut = int_resmlp.make_input_lut(abs_max, MEAN, STD)
    assert lut.shape == (3, 256) and lut.dtype == np.int32
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        for pixel in range(256):
            real = (pixel / 255 - mean) / std
            assert lut[channel, pixel] == clamp(math.floor(real * 128 / abs_max + 0.5))


@pytest.mark.parametrize("abs_max", [1e-3, 1e-12, 1e12])
def test_input_lut_of_extreme_ranges_is_int8(abs_max):
    lut = int_resmlp.make_input_lut(abs_max, MEAN, STD)
    assert (lut[:, 0].tolist(), lut[:, 255].tolist()) == (
        ([0] * 3, [0] * 3) if abs_max > 1 else ([-128] * 3, [127] * 3)
    )


def test_quantize_images_looks_up_every_channel_in_its_own_row(image_network):
    images = images_of(2)
    expected = np.empty(images.shape, np.int32)
    for channel in range(3):
        expected[..., channel] = image_network.input_lut[channel][images[..., channel]]
    tokens = int_resmlp.quantize_images(image_network, images)
    np.testing.assert_array_equal(tokens, int_resmlp.patchify(expected, 768))


@pytest.mark.parametrize(("patch_dim", "num_patches"), [(768, 8), (192, 4), (100, 4), (2, 4)])
def test_a_network_of_other_images_is_refused(patch_dim, num_patches, random_network):
    network = random_network(patch_dim=patch_dim, num_patches=num_patches, input_lut=True)
    with pytest.raises(PipelineError, match=f"{num_patches} tokens of {patch_dim} values.*32 x 32"):
        int_resmlp.quantize_images(network, images_of(1))


def test_images_need_an_input_lut(image_network):
    network = replace(image_network, input_lut=None)
    with pytest.raises(ValueError, match="no input_lut"):
        int_resmlp.evaluate(network, images_of(1))


# ---- the published ReLU-96


@pytest.mark.parametrize("exact_integers", [False, True], ids=["float32", "integers"])
def test_the_published_samples_come_out_bit_for_bit(published, published_network, exact_integers):
    network, tokens, logits = published_network
    assert (network.num_patches, network.embed_dim, network.hidden_dim) == (64, 96, 96)
    layers: dict[str, np.ndarray] = {}
    result = int_resmlp.forward(network, tokens, layers.__setitem__, exact_integers)
    taps = ["embed_linear", *(f"blocks_{index}_mlp" for index in range(4))]
    with np.load(published / "relu96_int8.npz") as arrays:
        for index, name in enumerate(taps):
            np.testing.assert_array_equal(layers[name], arrays[f"samples_inter_{index}"])
    np.testing.assert_array_equal(result, logits)


@pytest.fixture(scope="module")
def cifar10_test(shared):
    """Return the test images and labels of CIFAR-10, read without unpacking the training set."""
    from PIL import Image

    from models.files.archives import members
    from stages.sources.registry import LIMITS

    path = shared / "cifar10" / "cifar10-png.tar.gz"
    if not path.is_file():
        pytest.skip("CIFAR-10 (../shared/cifar10/cifar10-png.tar.gz) is not here")
    found = {}
    for member in members(path, LIMITS):
        if not member.is_folder and member.parts[-3] == "test":
            found[member.parts[-2:]] = np.asarray(Image.open(io.BytesIO(member.content())))
    names = sorted({name for name, _ in found})
    images = np.stack([found[key] for key in sorted(found)])
    return images, np.array([names.index(name) for name, _ in sorted(found)])


@pytest.mark.slow
def test_the_published_network_scores_its_published_accuracy(published_network, cifar10_test):
    images, labels = cifar10_test
    assert (images.shape, np.bincount(labels).tolist()) == ((10_000, 32, 32, 3), [1000] * 10)
    lut = int_resmlp.make_input_lut(PUBLISHED_ABS_MAX, MEAN, STD)
    logits = int_resmlp.evaluate(replace(published_network[0], input_lut=lut), images)
    assert round(int_resmlp.accuracy(logits, labels), 2) == PUBLISHED_ACCURACY
