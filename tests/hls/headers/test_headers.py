"""The generated C++ headers hold the network's numbers under the published names."""

import re

import numpy as np
import pytest

from hls.headers import network as headers
from hls.headers.design import streaming_design_text
from hls.headers.golden import golden_text
from hls.plan.streaming.folding import Fold, Folding
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import IntLayer, published_name

ARRAY = re.compile(r"^const (u?int8_t|Segment) (\w+)((?:\[\d+\])+) = ([^;]+);", re.MULTILINE)


C_TYPES = {"int8_t": np.int8, "uint8_t": np.uint8, "Segment": np.int16}


def parse_arrays(text):
    """Read every array of a header back, with the shape that its declaration states."""
    arrays = {}
    for c_type, name, sizes, braces in ARRAY.findall(text):
        shape = tuple(map(int, re.findall(r"\d+", sizes)))
        shape += (2,) * (c_type == "Segment")  # knot and slope
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
    assert "const int8_t embed_linear_w[2][3] = {\n{-1, 2, 3},\n{4, -128, 127}};\n" in text
    assert "const int8_t embed_linear_b[2] = {5, -6};\n" in text
    assert "const uint8_t embed_linear_s[2] = {1, 16};\n" in text


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
                assert np.array_equal(arrays.pop(f"{name}_{key}"), getattr(leaf, key)), name
        else:
            segments = arrays.pop(f"{name}_segments")
            assert segments.shape[1:] == (64, 2)
            assert np.array_equal(segments[..., 0], leaf.knots[:, :-1]), name
            assert np.array_equal(segments.sum(axis=2), leaf.knots[:, 1:]), name
    assert not arrays


def test_published_names(published_network):
    network = published_network[0]
    arrays = parse_arrays(headers.params_text(network))
    assert arrays["blocks_0_token_mixer_affine_1_w"].shape == (96,)
    assert arrays["blocks_3_mlp_linear_2_w"].shape == (96, 96)
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
        psa = [f"Table<{n}, blocks_{index}_mlp_psa_{i}_segments>" for i, n in ((1, 6), (2, 10))]
        expected = psa if network.has_tables else ["Identity", "Relu"]
        assert acts == dict(zip(("ActIn", "ActHidden"), expected, strict=True))


def test_design_states_factors_and_depths(network):
    folds = (Fold(2, 3), Fold(4, 1), Fold(5, 6), Fold(3, 10), Fold(1, 2))
    folding = Folding(2, *folds, handover=0)
    depths = {"token_mixer_shortcut": 99, "mlp_shortcut": 40, "link": 3}
    text = streaming_design_text(folding, depths)
    constants = re.findall(r"^  static constexpr int (\w+) = (\d+);$", text, re.MULTILINE)
    assert {name: int(value) for name, value in constants} == {
        "lanes": 2,
        "handover": 0,
        "embed_linear_pe": 2,
        "embed_linear_simd": 3,
        "token_mixer_linear_pe": 4,
        "token_mixer_linear_simd": 1,
        "mlp_linear_1_pe": 5,
        "mlp_linear_1_simd": 6,
        "mlp_linear_2_pe": 3,
        "mlp_linear_2_simd": 10,
        "classifier_linear_pe": 1,
        "classifier_linear_simd": 2,
        **{f"{name}_depth": depth for name, depth in depths.items()},
    }


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
