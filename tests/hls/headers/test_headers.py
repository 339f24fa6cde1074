"""The generated C++ headers hold the network's numbers under the published names."""

import re

import numpy as np
import pytest

from hls.cpp.accelerators import STREAMING
from hls.headers import network as headers
from hls.headers.design import design_text
from hls.headers.golden import golden_text
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.folding import Fold, Folding
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import IntLayer, published_name

ARRAY = re.compile(r"^const (u?int8_t|TableWord) (\w+)((?:\[[\w:]+\])+) = ([^;]+);", re.MULTILINE)


C_TYPES = {"int8_t": np.int8, "uint8_t": np.uint8, "TableWord": np.uint32}


def parse_arrays(text):
    """Read every array of a header back, with the shape that its declaration states.

    An array whose sizes are constants of the design is flat.
    """
    arrays = {}
    for c_type, name, sizes, braces in ARRAY.findall(text):
        shape = -1 if "Design" in sizes else tuple(map(int, re.findall(r"\d+", sizes)))
        values = np.array(re.findall(r"-?\d+", braces), dtype=C_TYPES[c_type])
        assert name not in arrays
        arrays[name] = values.reshape(shape)
    return arrays


def make_samples(network, count=10):
    shape = (count, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int32)
    return int_resmlp.make_samples(network, tokens, np.arange(count))


@pytest.fixture(params=[False, True], ids=["relu", "tables"])
def network(request, random_network):
    return random_network(seed=3, tables=request.param)


def test_text_of_one_array(random_network):
    layer = IntLayer(np.array([[-1, 2, 3], [4, -128, 127]]), np.array([5, -6]), np.array([1, 16]))
    network = random_network(patch_dim=3, embed_dim=2)
    object.__setattr__(network, "embed_linear", layer)
    text = headers.params_text(network)
    fold = "Design::embed_linear_fold::"
    groups, sizes = f"[{fold}groups][{fold}pe]", f"[{fold}parts][{fold}simd]"
    assert f"int8_t embed_linear_w{groups}{sizes} = {{\n-1, 2, 3,\n4, -128, 127}};\n" in text
    assert f"const int8_t embed_linear_b{groups} = {{\n5,\n-6}};\n" in text
    assert f"const uint8_t embed_linear_s{groups} = {{\n1,\n16}};\n" in text
    channels = "[Design::channel_words][Design::lanes]"
    assert f"const int8_t blocks_0_token_mixer_affine_1_w{channels} = {{\n" in text


def test_config_states_the_sizes(network):
    text = headers.config_text(network)
    sizes = dict(re.findall(r"static constexpr int (\w+) = (\d+);", text))
    for name in ("patch_dim", "num_patches", "embed_dim", "hidden_dim", "num_classes"):
        assert int(sizes.pop(name)) == getattr(network, name)
    assert sizes == {"num_blocks": str(len(network.blocks))}
    assert f"has_tables = {str(network.has_tables).lower()};" in text


def test_params_read_back_are_the_network(network):
    arrays = parse_arrays(headers.params_text(network))
    for leaf_name, leaf in network.leaves():
        name = published_name(leaf_name)
        if isinstance(leaf, IntLayer):
            for key in ("w", "b", "s"):
                values = getattr(leaf, key).ravel()
                assert np.array_equal(arrays.pop(f"{name}_{key}"), values), name
        else:
            words = arrays.pop(f"{name}_words").reshape(-1, 64)
            assert words.max() < 1 << 17
            slopes = np.diff(leaf.knots)
            assert np.array_equal((words & 0xFF).astype(np.int8), leaf.knots[:, :-1]), name
            assert np.array_equal(words >> 8, np.where(slopes < 0, slopes + 512, slopes)), name
    assert not arrays


def test_published_names(published_network):
    network = published_network[0]
    arrays = parse_arrays(headers.params_text(network))
    assert arrays["blocks_0_token_mixer_affine_1_w"].size == 96
    assert arrays["blocks_3_mlp_linear_2_w"].size == 96 * 96
    assert arrays["blocks_0_token_mixer_res_affine_b"].min() == -1
    assert len(arrays) == 3 * (2 + 4 * 7)


def test_a_block_names_each_of_its_arrays_and_its_activations(network):
    text = headers.params_text(network)
    for index in range(2):
        body = re.search(rf"struct Block<{index}> {{(.*?)^}};", text, re.DOTALL | re.MULTILINE)[1]
        bound = dict(re.findall(r"static constexpr const auto& (\w+) = (\w+);", body))
        assert len(bound) == 3 * 7
        assert all(array == f"blocks_{index}_{name}" for name, array in bound.items())
        acts = dict(re.findall(r"using (\w+) = (.*);", body))
        sizes = ("Design::channel_words, Design::lanes",)
        sizes += ("Design::mlp_linear_1_fold::groups, Design::mlp_linear_1_fold::pe",)
        storages = ("Design::act_in_storage", "Design::act_hidden_storage")
        psa = [
            f"Table<{storage}, {size}, blocks_{index}_mlp_psa_{i}_words>"
            for i, (storage, size) in enumerate(zip(storages, sizes, strict=True), 1)
        ]
        expected = psa if network.has_tables else ["Identity", "Relu"]
        assert acts == dict(zip(("ActIn", "ActHidden"), expected, strict=True))


def test_design_states_factors_depths_and_bindings():
    folds = (Fold(2, 3), Fold(4, 1), Fold(5, 6), Fold(3, 10), Fold(1, 2))
    folding = Folding(2, *folds, handover=0)
    depths = {"token_mixer_shortcut": 99, "mlp_shortcut": 40, "link": 3}
    sizes = Sizes(12, 8, 6, 10, 2, 3, True)
    binding = Binding(dsp_share=0.5)
    text = design_text(Design("", STREAMING, sizes, folding, depths, binding=binding))
    shared, *structs = re.split(r"^  struct (\w+)_fold {$", text, flags=re.MULTILINE)
    constants = dict(re.findall(r"^  static constexpr int (\w+) = (\d+);$", shared, re.MULTILINE))
    assert {name: int(value) for name, value in constants.items()} == {
        "lanes": 2,
        "channel_words": 3,
        "handover": 0,
        "affine_dsp_lanes": 1,
        **{f"{name}_depth": depth for name, depth in depths.items()},
    }
    assert "bool affine_bound = true;" in shared
    assert "Storage token_mixer_shortcut_storage = Storage::bram;" in shared
    assert "Storage act_in_storage = Storage::lut;" in shared
    of = dict(zip(structs[::2], structs[1::2], strict=True))
    factors = {
        name: tuple(int(n) for n in re.findall(r"int \w+ = (\d+);", members))
        for name, members in of.items()
    }
    assert factors == {  # pe, simd, groups, parts, dsp_inputs
        "embed_linear": (2, 3, 3, 4, 2),
        "token_mixer_linear": (4, 1, 2, 8, 0),
        "mlp_linear_1": (5, 6, 2, 1, 3),
        "mlp_linear_2": (3, 10, 2, 1, 5),
        "classifier_linear": (1, 2, 3, 3, 1),
    }
    assert all("bool bound = true;" in members for members in of.values())
    assert all("Storage weights = Storage::lut;" in members for members in of.values())


def test_golden_samples_read_back(network):
    samples = make_samples(network)
    text = golden_text(samples)
    arrays = parse_arrays(text)
    assert np.array_equal(arrays["samples_input"], samples.input)
    assert np.array_equal(arrays["samples_output"], samples.output)
    for index in range(2):
        values = samples.layers[f"blocks_{index}_mlp"]
        assert np.array_equal(arrays[f"samples_blocks_{index}_mlp"], values[:8])
        affine = arrays[f"samples_blocks_{index}_token_mixer_affine_1"]
        assert np.array_equal(affine, samples.layers[f"blocks_{index}_token_mixer_affine_1"][:1])
    assert arrays["samples_mean"].shape == (1, 1, network.embed_dim)
    assert "constexpr int num_samples = 10;" in text


def test_taps_point_at_their_arrays(network):
    text = golden_text(make_samples(network, count=3))
    arrays = parse_arrays(text)
    taps = re.findall(r'\{"(\w+)", (\d+), (\d+), (\d+), &(\w+)\[0\]\[0\]\[0\]\}', text)
    assert len(taps) == len(arrays) - 2  # input and output are no taps
    for layer, *sizes, array in taps:
        assert arrays[array].shape == tuple(map(int, sizes)), layer
    names = {layer for layer, *_ in taps}
    assert {"embed_linear", "blocks_1_mlp_act_hidden", "classifier_linear"} <= names
    assert ("blocks_0_mlp_act_in" in names) == network.has_tables


def test_same_network_same_text(random_network):
    one, two = (random_network(seed=5, tables=True) for _ in range(2))
    assert headers.params_text(one) == headers.params_text(two)
    assert headers.config_text(one) == headers.config_text(two)
    assert golden_text(make_samples(one)) == golden_text(make_samples(two))


def test_a_missing_header_is_named(tmp_path):
    network, design = tmp_path / "network", tmp_path / "design"
    for folder in (network, design):
        folder.mkdir()
    (network / "config.hpp").touch()
    with pytest.raises(PipelineError, match=r"params\.hpp is missing; run `dvc repro generate_h"):
        headers.header_files(network, design)
    (network / "params.hpp").touch()
    with pytest.raises(PipelineError, match=r"design\.hpp is missing; run `dvc repro plan`"):
        headers.header_files(network, design)
    (design / "design.hpp").touch()
    files = headers.header_files(network, design)
    assert [file.name for file in files] == ["config.hpp", "params.hpp", "design.hpp"]
