"""The schema of integer parameters, and that its files are read exactly or not at all."""

import copy
import os
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import (
    PUBLISHED_NAMES,
    IntLayer,
    IntResMlp,
    IntTable,
    load_int_params,
    load_samples,
    name_of_published,
    published_name,
    save_int_params,
    save_samples,
)

KINDS = pytest.mark.parametrize("tables", [False, True], ids=["relu", "tables"])


def int8(*shape, seed=0):
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int32)


def named(**cases):
    """Return the cases of a parametrised test under their own names."""
    return [pytest.param(*case, id=name) for name, case in cases.items()]


def assert_equal(a, b):
    """Compare two networks array by array."""
    a_leaves, b_leaves = dict(a.leaves()), dict(b.leaves())
    assert list(a_leaves) == list(b_leaves)
    for name, leaf in a_leaves.items():
        assert type(leaf) is type(b_leaves[name])
        for item in fields(leaf):
            mine, other = getattr(leaf, item.name), getattr(b_leaves[name], item.name)
            assert mine.dtype == other.dtype == np.int32
            np.testing.assert_array_equal(mine, other, err_msg=f"{name}_{item.name}")
    assert (a.input_lut is None) == (b.input_lut is None)
    if a.input_lut is not None:
        np.testing.assert_array_equal(a.input_lut, b.input_lut)


@pytest.fixture
def dump(tmp_path, random_network):
    """Return a function that gives a file's dictionary, to be spoilt and written again."""

    def make(tables=True):
        path = tmp_path / "good.pkl"
        save_int_params(random_network(tables=tables, input_lut=True), path)
        return pickle.loads(path.read_bytes())  # noqa: S301 - written two lines above

    return make


@pytest.fixture
def refused(tmp_path):
    """Return a function that asserts that a dictionary, or bytes, are refused in one sentence."""

    def check(content, *words, load=load_int_params):
        path = tmp_path / "spoilt.pkl"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 4))
        with pytest.raises(PipelineError) as caught:
            load(path)
        message = str(caught.value)
        assert str(path) in message and "\n" not in message
        for word in words:
            assert word in message

    return check


# ---- the schema


def test_layers_have_the_names_of_the_float_network_and_published_ones_in_files(random_network):
    names = [name for name, _ in random_network(tables=True, num_blocks=1).leaves()]
    assert (names[0], names[-1]) == ("embed_linear", "classifier_linear")
    mixer = [f"token_mixer_{name}" for name in ("affine_1", "linear", "affine_2", "residual")]
    mlp = [f"mlp_{name}" for name in ("linear_1", "linear_2", "residual", "act_in", "act_hidden")]
    assert names[1:-1] == [f"blocks_0_{name}" for name in (*mixer, *mlp)]
    published = [published_name(name) for name in names]
    assert [name for name in published if name not in names] == [
        "blocks_0_token_mixer_res_affine",
        "blocks_0_mlp_res_affine",
        "blocks_0_mlp_psa_1",
        "blocks_0_mlp_psa_2",
    ]
    assert [name_of_published(name) for name in published] == names
    assert not any("act_" in name for name, _ in random_network().leaves())


def test_sizes_are_read_off_the_arrays(random_network):
    network = random_network(1, 27, 16, 5, 7, 3, 4)
    assert (network.patch_dim, network.num_patches, network.embed_dim) == (27, 16, 5)
    assert (network.hidden_dim, len(network.blocks), network.num_classes) == (7, 3, 4)
    assert not network.has_tables and random_network(tables=True).has_tables


def test_leaves_are_held_as_int32_and_keep_their_values():
    layer = IntLayer(np.int8([[-128, 127]]), np.int64([5]), np.uint8([16]))
    for array, values in ((layer.w, [[-128, 127]]), (layer.b, [5]), (layer.s, [16])):
        assert array.dtype == np.int32 and array.tolist() == values


def test_a_layer_copies_what_it_is_given():
    weight = np.zeros((2, 3), np.int32)
    layer = IntLayer(weight, np.zeros(2, np.int32), np.ones(2, np.int32))
    weight += 1
    assert not layer.w.any()


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("w", np.full((2, 3), 128), "w .*outside int8"),
        ("w", np.full((2, 3), -129), "w .*outside int8"),
        ("w", np.zeros((2, 3)), "w must be an integer array"),
        ("w", np.zeros((2, 3), bool), "w must be an integer array"),
        ("w", [[1, 2, 3], [4, 5, 6]], "w must be an integer array"),
        ("w", np.zeros((2, 3, 1), int), "w must have 2 non-empty dimensions"),
        ("w", np.zeros((2, 0), int), "w must have 2 non-empty dimensions"),
        ("w", np.zeros((3, 3), int), "agree in output channels"),
        ("w", np.zeros((2, 1025), int), "1025 inputs"),
        ("b", np.zeros(3, int), "agree in output channels"),
        ("b", np.zeros((2, 1), int), "b must have 1 "),
        ("b", np.float32([1, 2]), "b must be an integer array"),
        ("b", np.array([0, 300]), "b .*outside int8"),
        ("s", np.array([1, 0]), "between 1 and 16"),
        ("s", np.array([17, 1]), "between 1 and 16"),
        ("s", np.array([-1, 1]), "between 1 and 16"),
        ("s", np.array(3), "s must have 1 "),
        ("s", None, "s must be an integer array"),
    ],
)
def test_a_layer_refuses(key, array, words):
    arrays = {"w": np.zeros((2, 3), int), "b": np.zeros(2, int), "s": np.ones(2, int)}
    IntLayer(**arrays)
    with pytest.raises(ValueError, match=words):
        IntLayer(**{**arrays, key: array})


@pytest.mark.parametrize("points", [64, 66, 256])
def test_a_table_has_65_knots(points):
    with pytest.raises(ValueError, match="knots must be"):
        IntTable(int8(3, points))


def test_lut_holds_the_function_at_every_int8_input():
    table = IntTable(int8(5, 65))
    assert table.lut.shape == (5, 256)
    for f in range(5):
        for x in range(-128, 128):
            i, r = (x + 128) >> 2, (x + 128) & 3
            left, right = int(table.knots[f, i]), int(table.knots[f, i + 1])
            assert table.lut[f, x + 128] == left + (((right - left) * r + 2) >> 2)


def test_from_points_repeats_the_last_point():
    points = int8(5, 64)
    table = IntTable.from_points(points)
    np.testing.assert_array_equal(table.knots[:, :64], points)
    np.testing.assert_array_equal(table.knots[:, 64], points[:, 63])


def test_a_network_needs_blocks(random_network):
    with pytest.raises(ValueError, match="at least one block"):
        replace(random_network(), blocks=())


@pytest.mark.parametrize("shape", [(256, 3), (3, 255), (1, 256)])
def test_input_lut_has_256_values_per_colour(random_network, shape):
    with pytest.raises(ValueError, match="input_lut must be"):
        replace(random_network(), input_lut=int8(*shape))


# ---- round trips


@KINDS
@pytest.mark.parametrize("input_lut", [False, True])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_parameters_round_trip(tmp_path, random_network, tables, input_lut, kind):
    network = random_network(tables=tables, input_lut=input_lut)
    save_int_params(network, kind(tmp_path / "int8.pkl"))
    assert_equal(load_int_params(kind(tmp_path / "int8.pkl")), network)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999),
    sizes=st.tuples(st.integers(1, 9), st.sampled_from([2, 4, 8]), *[st.integers(1, 9)] * 4),
    tables=st.booleans(),
    input_lut=st.booleans(),
)
def test_networks_of_all_sizes_round_trip(
    tmp_path_factory, random_network, seed, sizes, tables, input_lut
):
    network = random_network(seed, *sizes, tables, input_lut)
    path = tmp_path_factory.mktemp("sizes") / "int8.pkl"
    save_int_params(network, path)
    assert_equal(load_int_params(path), network)


@KINDS
def test_files_of_equal_networks_are_equal_byte_for_byte(tmp_path, random_network, tables):
    paths = [tmp_path / "a" / "int8.pkl", tmp_path / "other.pkl", tmp_path / "again.pkl"]
    for path in paths[:2]:
        save_int_params(random_network(tables=tables, input_lut=True), path)
    save_int_params(load_int_params(paths[0]), paths[2])
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


@KINDS
def test_files_hold_the_published_dictionary(dump, tables):
    data = dump(tables)
    assert list(data) == ["embed_linear", "blocks", "classifier_linear", "input"]
    assert set(data["embed_linear"]) == set(data["blocks"][1]["mlp"]["linear_2"]) == {*"wbs"}
    mixer, mlp = data["blocks"][0]["token_mixer"], data["blocks"][0]["mlp"]
    assert list(mixer) == ["affine_1", "linear", "affine_2", "res_affine"]
    psa = ["psa_1", "psa_2"] if tables else []
    assert list(mlp) == ["linear_1", "linear_2", "res_affine", *psa]
    for name in psa:
        assert mlp[name]["offset"] == 128 and mlp[name]["lut"].shape[1] == 256
    assert all(array.dtype == np.int32 for array in mixer["linear"].values())


def test_a_file_holds_every_key_once_and_no_name_of_ours(tmp_path, random_network):
    path = tmp_path / "int8.pkl"
    save_int_params(random_network(tables=True), path)
    content = path.read_bytes()
    for ours, published in PUBLISHED_NAMES.items():
        assert content.count(published.encode()) == 1 and ours.encode() not in content


def test_a_published_dump_has_neither_knots_nor_input(tmp_path, dump):
    data = dump()
    del data["input"]
    luts = {}
    for index, block in enumerate(data["blocks"]):
        for name in ("psa_1", "psa_2"):
            del block["mlp"][name]["knots"]
            lut = int8(*block["mlp"][name]["lut"].shape, seed=index)  # no straight segments
            block["mlp"][name]["lut"] = luts[f"blocks_{index}_mlp_{name}"] = lut
    path = tmp_path / "published.pkl"
    path.write_bytes(pickle.dumps(data))
    network = load_int_params(path)
    assert network.input_lut is None
    leaves = {published_name(name): leaf for name, leaf in network.leaves()}
    for name, lut in luts.items():
        np.testing.assert_array_equal(leaves[name].knots[:, :64], lut[:, ::4])
        np.testing.assert_array_equal(leaves[name].knots[:, 64], lut[:, 252])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_dumps_of_every_pickle_protocol_are_read(tmp_path, dump, random_network, protocol):
    path = tmp_path / "int8.pkl"
    path.write_bytes(pickle.dumps(dump(), protocol))
    assert_equal(load_int_params(path), random_network(tables=True, input_lut=True))


# ---- malformed parameter dumps


def layer(data, name):
    """Return the dictionary of the leaf that has the published name `name`."""
    if not name.startswith("blocks_"):
        return data[name]
    index, rest = int(name[7]), name[9:]
    part = "token_mixer" if rest.startswith("token_mixer") else "mlp"
    return data["blocks"][index][part][rest[len(part) + 1 :]]


LAYERS = [
    "embed_linear",
    "classifier_linear",
    "blocks_0_token_mixer_affine_1",
    "blocks_1_token_mixer_linear",
    "blocks_1_token_mixer_affine_2",
    "blocks_0_token_mixer_res_affine",
    "blocks_1_mlp_linear_1",
    "blocks_0_mlp_linear_2",
    "blocks_1_mlp_res_affine",
]


@pytest.mark.parametrize("key", list("wbs"))
@pytest.mark.parametrize("name", LAYERS)
def test_a_missing_array_is_named(dump, refused, name, key):
    data = dump()
    del layer(data, name)[key]
    refused(data, name, f"lacks {key}")


@pytest.mark.parametrize(
    ("key", "spoil"),
    named(
        float_w=("w", lambda a: a.astype(np.float32)),
        list_w=("w", lambda a: a.tolist()),
        large_w=("w", lambda a: np.where(a > 0, 128, a)),
        small_b=("b", lambda a: np.full_like(a, -129)),
        deep_w=("w", lambda a: a[..., None, None]),
        short_w=("w", lambda a: a[:-1]),
        short_b=("b", lambda a: a[:-1]),
        short_s=("s", lambda a: a[:-1]),
        zero_s=("s", lambda a: a * 0),
        large_s=("s", lambda a: a + 16),
        no_s=("s", lambda a: None),
    ),
)
@pytest.mark.parametrize("name", LAYERS)
def test_a_malformed_array_is_named(dump, refused, name, key, spoil):
    data = dump()
    layer(data, name)[key] = spoil(layer(data, name)[key])
    refused(data, name)


@pytest.mark.parametrize("name", LAYERS[1:])
def test_a_layer_of_another_size_is_named(dump, refused, name):
    data = dump()
    leaf = layer(data, name)
    if name == "classifier_linear":  # may have any number of outputs
        leaf["w"] = leaf["w"][:, 1:]
    else:  # consistent in itself, and too large for the network
        leaf.update({key: np.concatenate([array, array]) for key, array in leaf.items()})
    refused(data, f"{name}_w must have shape")


def test_an_embedding_of_another_size_is_refused(dump, refused):
    data = dump()
    leaf = data["embed_linear"]
    leaf.update({key: np.concatenate([array, array]) for key, array in leaf.items()})
    refused(data, "must have shape")


@pytest.mark.parametrize("name", LAYERS)
def test_a_linear_in_place_of_an_affine_and_the_reverse(dump, refused, name):
    data = dump()
    leaf = layer(data, name)
    leaf["w"] = leaf["w"][:, 0].copy() if leaf["w"].ndim == 2 else np.stack([leaf["w"]] * 2, 1)
    refused(data, f"{name}_w")


@pytest.mark.parametrize("key", ["embed_linear", "blocks", "classifier_linear"])
def test_a_missing_top_level_key_is_named(dump, refused, key):
    data = dump()
    del data[key]
    refused(data, f"{key} is missing")


@pytest.mark.parametrize("key", ["token_mixer", "mlp"])
def test_a_missing_sublayer_is_named(dump, refused, key):
    data = dump()
    del data["blocks"][1][key]
    refused(data, f"{key} is missing")


@pytest.mark.parametrize(
    ("part", "key"),
    [("token_mixer", "affine_2"), ("token_mixer", "linear"), ("mlp", "linear_2")],
)
def test_a_missing_layer_is_named(dump, refused, part, key):
    data = dump()
    del data["blocks"][1][part][key]
    refused(data, f"{key} is missing")


@pytest.mark.parametrize(
    ("spoil", "word"),
    named(
        embed=(lambda data: data.update(embed_linear=[1]), "embed_linear"),
        classifier=(lambda data: data.update(classifier_linear=None), "classifier_linear"),
        no_blocks=(lambda data: data.update(blocks=[]), "blocks"),
        tuple_block=(lambda data: data["blocks"].__setitem__(1, ()), "blocks_1"),
        mlp=(lambda data: data["blocks"][1].update(mlp=3), "blocks_1_mlp"),
        mixer=(lambda data: data["blocks"][0].update(token_mixer="x"), "blocks_0_token_mixer"),
        input=(lambda data: data.update(input=np.zeros((3, 256), int)), "input"),
        turned_input=(lambda data: data.update(input={"lut": int8(256, 3)}), "input_lut"),
        large_input=(lambda data: data.update(input={"lut": int8(3, 256) + 128}), "input_lut"),
        empty_input=(lambda data: data.update(input={}), "lut"),
    ),
)
def test_wrong_containers_are_named(dump, refused, spoil, word):
    data = dump()
    spoil(data)
    refused(data, word)


@pytest.mark.parametrize("blocks", [5, None, "ab", {"a": 1}])
def test_blocks_that_are_no_list(dump, refused, blocks):
    refused({**dump(), "blocks": blocks})


@pytest.mark.parametrize("content", [[], (), "network", b"bytes", 7, None, np.zeros(3)])
def test_a_pickle_of_something_else_is_refused(refused, content):
    refused(pickle.dumps(content), "must be a dictionary")


@pytest.mark.parametrize("name", ["blocks_0_mlp_psa_1", "blocks_1_mlp_psa_2"])
@pytest.mark.parametrize(
    "spoil",
    [
        {"offset": 0},
        {"offset": None},
        {"lut": None},
        {"lut": int8(4, 64)},
        {"lut": np.zeros((4, 256))},
        {"lut": np.full((4, 256), 128)},
        {"knots": int8(4, 64)},
        {"knots": np.zeros((4, 65))},
        {"knots": None},
    ],
)
def test_a_malformed_table_is_named(dump, refused, name, spoil):
    data = dump()
    layer(data, name).update(spoil)
    refused(data, name)


@pytest.mark.parametrize("key", ["lut", "knots"])
def test_a_lut_that_disagrees_with_its_knots_is_named(dump, refused, key):
    data = dump()
    layer(data, "blocks_1_mlp_psa_2")[key][0, 40] ^= 1
    refused(data, "blocks_1_mlp_psa_2", "disagree")


def test_a_table_of_another_size_is_named(dump, refused):
    data = dump()
    mlp = data["blocks"][1]["mlp"]
    mlp["psa_1"] = mlp["psa_2"]
    refused(data, "blocks_1_mlp_psa_1")


@pytest.mark.parametrize(
    "missing",
    [[(0, "psa_1")], [(1, "psa_2")], [(1, "psa_1"), (1, "psa_2")], [(0, "psa_2"), (1, "psa_2")]],
)
def test_tables_stand_in_both_places_of_all_blocks_or_nowhere(dump, refused, missing):
    data = dump()
    for index, name in missing:
        del data["blocks"][index]["mlp"][name]
    refused(data, "psa_1 and psa_2")


class Attack:
    """Pickles as a call of os.mkdir."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("load", [load_int_params, load_samples])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, dump, refused, load):
    refused({**dump(), "embed_linear": Attack(tmp_path / "owned")}, "mkdir", load=load)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("load", [load_int_params, load_samples])
def test_a_truncated_file_is_refused(dump, refused, load):
    content = pickle.dumps(dump(), 4)
    for size in (0, 1, 20, len(content) // 2, len(content) - 1):
        refused(content[:size], load=load)


@pytest.mark.parametrize("load", [load_int_params, load_samples])
def test_a_missing_file_says_how_to_make_it(tmp_path, load):
    with pytest.raises(PipelineError, match=r"nowhere.pkl cannot be read .*dvc repro"):
        load(tmp_path / "nowhere.pkl")
    with pytest.raises(PipelineError, match="cannot be read"):
        load(tmp_path)


# ---- samples


@pytest.fixture
def samples(random_network):
    network = random_network(tables=True)
    tokens = int8(3, network.num_patches, network.patch_dim)
    return int_resmlp.make_samples(network, tokens, np.array([2, 0, 1]))


def test_samples_round_trip(tmp_path, samples):
    save_samples(samples, tmp_path / "samples.pkl")
    loaded = load_samples(tmp_path / "samples.pkl")
    for item in fields(samples):
        mine, other = getattr(samples, item.name), getattr(loaded, item.name)
        if item.name == "layers":
            assert list(mine) == list(other)
            mine, other = list(mine.values()), list(other.values())
        pairs = zip(mine, other, strict=True) if isinstance(mine, list | tuple) else [(mine, other)]
        for a, b in pairs:
            assert b.dtype == np.int32
            np.testing.assert_array_equal(a, b, err_msg=item.name)


def test_sample_files_are_deterministic_and_keep_the_published_keys(tmp_path, samples):
    for name in ("a.pkl", "b.pkl"):
        save_samples(samples, tmp_path / name)
    content = (tmp_path / "a.pkl").read_bytes()
    assert content == (tmp_path / "b.pkl").read_bytes()
    data = pickle.loads(content)  # noqa: S301 - written just above
    assert list(data)[:4] == ["input", "labels", "inter", "output"]
    assert isinstance(data["inter"], list)
    assert list(data["layers"]) == [published_name(name) for name in samples.layers]
    assert {"blocks_0_mlp_psa_1", "blocks_1_token_mixer_res_affine"} <= set(data["layers"])


def test_sample_files_hold_int8_and_each_array_once(tmp_path, samples):
    path = tmp_path / "samples.pkl"
    save_samples(samples, path)
    data = pickle.loads(path.read_bytes())  # noqa: S301 - written just above
    arrays = [data["input"], *data["inter"], data["output"], *data["layers"].values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.int8)}
    assert data["labels"].dtype == np.int32
    once = samples.input.size + sum(array.size for array in samples.layers.values())
    assert once < path.stat().st_size < once + 150 * len(arrays)  # shapes and names


def test_a_sample_outside_int8_is_not_written(tmp_path, samples):
    samples.output[1, 2] = 128
    with pytest.raises(ValueError, match="holds values outside int8"):
        save_samples(samples, tmp_path / "samples.pkl")
    assert not (tmp_path / "samples.pkl").exists()


def test_published_samples_have_no_layers(tmp_path, samples):
    save_samples(samples, tmp_path / "samples.pkl")
    data = pickle.loads((tmp_path / "samples.pkl").read_bytes())  # noqa: S301 - written above
    del data["layers"]
    (tmp_path / "samples.pkl").write_bytes(pickle.dumps(data))
    loaded = load_samples(tmp_path / "samples.pkl")
    assert loaded.layers == {}
    np.testing.assert_array_equal(loaded.output, samples.output)


@pytest.mark.parametrize(
    ("spoil", "word"),
    named(
        no_input=(lambda data: data.pop("input"), "input is missing"),
        no_labels=(lambda data: data.pop("labels"), "labels is missing"),
        no_inter=(lambda data: data.pop("inter"), "inter is missing"),
        no_output=(lambda data: data.pop("output"), "output is missing"),
        float_input=(lambda data: data.update(input=data["input"] / 2), "input"),
        flat_input=(lambda data: data.update(input=data["input"][0]), "input"),
        large_output=(lambda data: data.update(output=data["output"] + np.int32(256)), "output"),
        short_output=(lambda data: data.update(output=data["output"][:2]), "3 samples"),
        short_labels=(lambda data: data.update(labels=data["labels"][:2]), "3 samples"),
        float_labels=(lambda data: data.update(labels=np.float64([0.5, 1, 2])), "labels"),
        text_labels=(lambda data: data.update(labels=["a", "b", "c"]), ""),
        huge_labels=(lambda data: data.update(labels=[1, 2, 1 << 70]), "labels"),
        one_label=(lambda data: data.update(labels=7), ""),
        one_inter=(lambda data: data.update(inter=5), ""),
        short_inter=(lambda d: d["inter"].__setitem__(1, d["inter"][1][:1]), "3 samples"),
        float_inter=(lambda d: d["inter"].__setitem__(1, d["inter"][1] * 1.0), "inter_1"),
        list_layers=(lambda data: data.update(layers=[]), "layers"),
        large_layer=(lambda data: data["layers"].update(mean=np.full((3, 6), 999)), "mean"),
        scalar_layer=(lambda data: data["layers"].update(mean=np.array(3)), ""),
    ),
)
def test_malformed_samples_are_refused(tmp_path, samples, refused, spoil, word):
    save_samples(samples, tmp_path / "samples.pkl")
    data = pickle.loads((tmp_path / "samples.pkl").read_bytes())  # noqa: S301 - written above
    spoil(data)
    refused(data, word, load=load_samples)


def test_a_network_is_not_a_sample_file_and_the_reverse(tmp_path, dump, samples, refused):
    refused(dump(), "input", load=load_samples)
    save_samples(samples, tmp_path / "samples.pkl")
    refused((tmp_path / "samples.pkl").read_bytes(), "blocks")


def test_networks_cannot_be_changed_in_place(random_network):
    network = random_network()
    with pytest.raises(AttributeError):
        network.embed_linear = None
    assert isinstance(copy.deepcopy(network), IntResMlp)
