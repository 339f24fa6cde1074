"""The published FP32 files, both ways: every size of every activation, and nothing else."""

import io
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from models.files.errors import PipelineError
from models.float.checkpoint import read_state
from models.float.published import (
    PUBLISHED_TEACHER,
    load_published_into,
    published_file,
    published_state,
    save_published,
)
from models.float.resmlp import ResMLP
from tests.support.images import IMAGES

pytestmark = pytest.mark.slow

FOLDERS = {"relu": "baseline", "bspline": "bspline_65_1e-5", "lerp_psa": "lerp_psa_64"}
SIZES = {192: "h_mul_2", 96: "h_mul_1", 48: "h_div_2", 24: "h_div_4"}
ALL = [(activation, hidden) for activation in FOLDERS for hidden in SIZES]
SMALL = {"embed_dim": 6, "patch_size": 16, "num_blocks": 2, "num_classes": 3, **IMAGES}
ACTIVATIONS = pytest.mark.parametrize("activation", FOLDERS)
LOGITS = {  # names of the published logits, and the files of their networks
    "teacher": PUBLISHED_TEACHER,
    "baseline__h_mul_1": "baseline/h_mul_1_model.bin",
    "bspline_65_1e-5__h_mul_1": "bspline_65_1e-5/h_mul_1_model.bin",
    "lerp_psa_64__h_mul_1": "lerp_psa_64/h_mul_1_model.bin",
}


def network_of(activation, hidden_dim=5, seed=0, **sizes):
    """Build a network whose every parameter and statistic is a number of its own."""
    torch.manual_seed(seed)
    network = ResMLP(activation, hidden_dim, **({**sizes, **IMAGES} if sizes else SMALL))
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            tensor.fill_(seed + 7)
        elif not key.startswith("input."):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def same(network, other):
    ours, theirs = network.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def refused(call, *words):
    with pytest.raises(PipelineError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert str(word) in str(caught.value)


# ---- our networks, written and read


@pytest.mark.parametrize(("activation", "hidden_dim"), [*ALL, ("relu", 384)])
def test_every_published_size_is_read_back_unchanged(tmp_path, activation, hidden_dim):
    network = network_of(activation, hidden_dim, seed=hidden_dim, num_blocks=4)
    save_published(network, tmp_path / "model.bin")
    into = ResMLP(activation, hidden_dim, **IMAGES)
    load_published_into(into, tmp_path / "model.bin")
    assert same(network, into)


@pytest.mark.parametrize(("activation", "hidden_dim"), ALL)
def test_the_archive_names_every_student(activation, hidden_dim):
    path = f"{FOLDERS[activation]}/{SIZES[hidden_dim]}_model.bin"
    assert published_file(ResMLP(activation, hidden_dim, num_blocks=1, **IMAGES)) == path


@pytest.mark.parametrize(
    ("activation", "options", "hidden_dim", "path"),
    [
        ("bspline", {"grid_size": 33, "tv2": 2.5e-5}, 96, "bspline_33_2.5e-5/h_mul_1_model.bin"),
        ("bspline", {"tv2": 1e-4}, 96, "bspline_65_1e-4/h_mul_1_model.bin"),
        ("lerp_psa", {"grid_size": 32}, 144, "lerp_psa_32/h_mul_1.5_model.bin"),
        ("relu", {}, 32, "baseline/h_div_3_model.bin"),
    ],
)
def test_other_students_have_names_of_the_same_form(activation, options, hidden_dim, path):
    assert published_file(ResMLP(activation, hidden_dim, options, num_blocks=1, **IMAGES)) == path


def test_a_network_with_options_of_its_own_is_read_back(tmp_path):
    options = {"grid_size": 16, "grid_range": 3.0, "expansion": 2, "epsilon": 0.3}
    network = ResMLP("lerp_psa", 5, options, **SMALL)
    save_published(network, tmp_path / "model.bin")
    into = ResMLP("lerp_psa", 5, options, **SMALL)
    load_published_into(into, tmp_path / "model.bin")
    assert same(network, into)


def test_the_normalisation_is_not_written_and_not_touched(tmp_path):
    own = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    network = ResMLP("relu", 5, **{**SMALL, **own})
    save_published(network, tmp_path / "model.bin")
    assert not [key for key in read_state(tmp_path / "model.bin") if "mean" in key.split(".")]
    into = ResMLP("relu", 5, **{**SMALL, "mean": (0.7, 0.8, 0.9)})
    load_published_into(into, tmp_path / "model.bin")
    assert into.state_dict()["input.mean"].tolist() == pytest.approx([0.7, 0.8, 0.9])


@ACTIVATIONS
def test_equal_weights_are_equal_files(tmp_path, activation):
    for name in ("a.bin", "folder/b.bin"):
        save_published(network_of(activation), tmp_path / name)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "folder/b.bin").read_bytes()


# ---- the authors' files


@pytest.fixture(scope="module")
def published_files(published):
    """Return the content of the files in the authors' layout, by their path in the archive."""
    with zipfile.ZipFile(published / "checkpoints.zip") as archive:
        return {
            name.split("embed_96/")[1]: archive.read(name)
            for name in archive.namelist()
            if name.endswith(".bin")
        }


def test_what_the_authors_write_is_what_we_write(published_files):
    """The same keys, shapes, types and values, constants included."""
    assert len(published_files) == 4
    for name, content in published_files.items():
        theirs = torch.load(io.BytesIO(content), weights_only=True)
        network = load_published_of(content, name)
        ours = published_state(network)
        assert ours.keys() == theirs.keys()
        for key, tensor in theirs.items():
            assert ours[key].dtype == tensor.dtype and torch.equal(ours[key], tensor), key
        assert name in (PUBLISHED_TEACHER, published_file(network))


def load_published_of(content, name):
    activation = next((a for a, folder in FOLDERS.items() if name.startswith(folder)), "relu")
    network = ResMLP(activation, 384 if name == PUBLISHED_TEACHER else 96, **IMAGES)
    load_published_into(network, name, content)
    return network


@pytest.mark.parametrize("key", LOGITS)
def test_the_authors_files_give_the_published_logits(published, published_files, key):
    name = LOGITS[key]
    network = load_published_of(published_files[name], name).eval()
    with np.load(published / "expected_logits.npz") as arrays:
        images = torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2)
        expected = torch.from_numpy(arrays[key])
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("key", LOGITS)
def test_every_weight_of_the_authors_files_is_used(published_files, key):
    content = published_files[LOGITS[key]]
    state = torch.load(io.BytesIO(content), weights_only=True)
    constants = ("epsilon", "grid", "grid_ifeat_offset")
    weights = [value for key, value in state.items() if key.rsplit(".", 1)[1] not in constants]
    network = load_published_of(content, LOGITS[key])
    ours = [v for key, v in network.state_dict().items() if not key.startswith("input.")]
    assert sorted(v.double().sum().item() for v in ours) == pytest.approx(
        sorted(v.double().sum().item() for v in weights), rel=1e-9
    )


# ---- the names, written out by hand


def renamed(network):
    """Return a network's weights under the published names, which these lines restate."""
    state = {}
    relu = isinstance(network.blocks[0].mlp.act_in, nn.Identity)
    places = (
        ["linear_1", None, "linear_2"] if relu else ["act_in", "linear_1", "act_hidden", "linear_2"]
    )
    psa = ["v_weight", "q_weight", "q_bias", "o_weight", "o_bias"]
    for key, tensor in network.state_dict().items():
        top, *rest = key.split(".")
        if top == "norm":
            key = f"affine.bn.{rest[0]}"
        if top == "blocks":
            index, part, module, leaf = rest
            prefix = f"layers.{index}.layers.{['token_mixer', 'mlp'].index(part)}"
            if part == "mlp" and module in places:
                key = f"{prefix}.layers.{places.index(module)}.{leaf}"
                if leaf == "coefficients":
                    key, tensor = key.replace(leaf, "_coefficients_vect"), tensor.flatten()
                if leaf in ("value", "query", "center", "scale", "offset"):
                    ours = ["value", "query", "center", "scale", "offset"]
                    key = key.replace(f".{leaf}", f".psa.{psa[ours.index(leaf)]}")
            elif module == "linear":
                key = f"{prefix}.layers.{leaf}"
            else:
                key = f"{prefix}.{module}.{'bn.' if module == 'affine_1' else ''}{leaf}"
        if top != "input":
            state[key] = tensor.clone()
    for key in [key for key in state if key.endswith("v_weight")]:
        prefix, channels = key.removesuffix("v_weight"), len(state[key])
        state[f"{prefix}epsilon"] = torch.tensor([1.0])
        state[f"{prefix}grid"] = torch.linspace(-4, 4, 64).unsqueeze(1).repeat(1, channels)
        state[f"{prefix}grid_ifeat_offset"] = torch.arange(channels).unsqueeze(0) * 64
    return state


@ACTIVATIONS
def test_a_network_is_written_under_the_published_names(tmp_path, activation):
    network = network_of(activation)
    save_published(network, tmp_path / "model.bin")
    ours, by_hand = torch.load(tmp_path / "model.bin", weights_only=True), renamed(network)
    assert set(ours) == set(by_hand)
    for key, tensor in by_hand.items():
        torch.testing.assert_close(ours[key], tensor, rtol=0, atol=1e-6)


@ACTIVATIONS
def test_weights_are_read_from_the_published_names(tmp_path, activation):
    network, into = network_of(activation), network_of(activation, seed=1)
    torch.save(renamed(network), tmp_path / "model.bin")
    load_published_into(into, tmp_path / "model.bin")
    assert same(network, into)


def test_the_coefficients_of_a_spline_go_channel_by_channel(spoilt):
    def spoil(state):
        for key in [key for key in state if key.endswith("_coefficients_vect")]:
            state[key] = torch.arange(float(state[key].numel()))

    network = network_of("bspline")
    load_published_into(network, spoilt("bspline", spoil))
    coefficients = network.blocks[0].mlp.act_hidden.coefficients
    assert torch.equal(coefficients, torch.arange(5 * 65.0).view(5, 65))


# ---- nothing but the published layout


@pytest.fixture
def spoilt(tmp_path):
    """Return a function that writes a small published file changed by `spoil`."""

    def make(activation, spoil):
        state = {
            key: value.clone() for key, value in published_state(network_of(activation)).items()
        }
        spoil(state)
        torch.save(state, tmp_path / "model.bin")
        return tmp_path / "model.bin"

    return make


def refuses(path, activation, *words):
    network = network_of(activation, seed=1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    refused(lambda: load_published_into(network, path), path, *words)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@ACTIVATIONS
def test_every_missing_key_is_named(spoilt, activation):
    for key in published_state(network_of(activation)):
        path = spoilt(activation, lambda state, key=key: state.pop(key))
        if not key.endswith("num_batches_tracked"):
            refuses(path, activation, key)


def test_the_counters_of_batches_may_be_missing(spoilt):
    def spoil(state):
        for key in [key for key in state if key.endswith("num_batches_tracked")]:
            del state[key]

    network = network_of("relu", seed=1)
    load_published_into(network, spoilt("relu", spoil))
    for key, value in network_of("relu").state_dict().items():
        counter = key.endswith("num_batches_tracked")
        assert torch.equal(network.state_dict()[key], torch.tensor(0) if counter else value)


@ACTIVATIONS
@pytest.mark.parametrize(
    "key", ["optimizer", "layers.1.layers.1.layers.0.more", "embed_linear.weights", "input.mean"]
)
def test_every_extra_key_is_named(spoilt, activation, key):
    path = spoilt(activation, lambda state: state.update({key: torch.zeros(1)}))
    refuses(path, activation, f"the unknown key {key}")


@ACTIVATIONS
def test_every_wrong_shape_is_named(spoilt, activation):
    for key, tensor in published_state(network_of(activation)).items():
        path = spoilt(
            activation, lambda state, key=key: state.update({key: state[key].repeat(2, 2, 2)})
        )
        into = network_of(activation)
        refused(lambda path=path, into=into: load_published_into(into, path), path, key, "shape")
        assert tensor.dim() < 3


def test_types_and_values_are_checked(spoilt):
    key = "layers.1.layers.0.affine_2.bias"
    refuses(spoilt("relu", lambda s: s.update({key: s[key].long()})), "relu", key, "int64")
    for value in (float("nan"), float("inf")):
        path = spoilt("relu", lambda s, value=value: s[key].fill_(value))
        refuses(path, "relu", key, "finite")


@pytest.mark.parametrize("constant", ["epsilon", "grid"])
def test_all_activations_share_the_constants(spoilt, constant):
    """Ours has them once, as options of the variant."""
    key = f"layers.1.layers.1.layers.2.psa.{constant}"
    refuses(spoilt("lerp_psa", lambda s: s[key].mul_(1.01)), "lerp_psa", key)


@pytest.mark.parametrize("option", [{"epsilon": 2.0}, {"grid_range": 2.0}, {"grid_size": 32}])
def test_the_constants_must_be_those_of_params(spoilt, option):
    path = spoilt("lerp_psa", lambda state: None)
    network = ResMLP("lerp_psa", 5, option, **SMALL)
    refused(lambda: load_published_into(network, path), path, "params.yaml", "psa.")


@ACTIVATIONS
def test_another_network_is_refused(spoilt, activation):
    path = spoilt(activation, lambda state: None)
    for other in ("relu", "bspline", "lerp_psa"):
        network = network_of(other, hidden_dim=5 + (other == activation))
        refused(lambda network=network: load_published_into(network, path), path, "params.yaml")


def test_tensors_of_absurd_sizes_are_refused_at_once(spoilt):
    def tall(state):
        state["embed_linear.weight"] = torch.zeros(1, 1).expand(1 << 20, 48)

    def many(state):
        state["layers.99999999.layers.0.affine_2.bias"] = torch.zeros(1)

    for spoil in (tall, many):
        refuses(spoilt("relu", spoil), "relu", "published form")


@ACTIVATIONS
@pytest.mark.parametrize(
    "key", ["embed_linear.weight", "classifier.weight", "layers.1.layers.0.layers.weight"]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda v: v[:-1],
        lambda v: v[:, :-1],
        lambda v: v[..., None],
        lambda v: v[0],
        lambda v: v[0, 0],
    ],
    ids=["short", "narrow", "deep", "row", "scalar"],
)
def test_tensors_of_another_shape_are_refused(spoilt, activation, key, change):
    path = spoilt(activation, lambda state: state.update({key: change(state[key]).clone()}))
    refuses(path, activation, "published form", key)


@pytest.mark.parametrize("empty", [False, True])
def test_a_state_of_something_else_is_refused(tmp_path, empty):
    torch.save({} if empty else nn.Linear(2, 3).state_dict(), tmp_path / "model.bin")
    refuses(tmp_path / "model.bin", "relu", "published form")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("embed_linear.bias", torch.full((6,), torch.nan)),
        ("classifier.bias", torch.tensor([0, torch.inf, 0])),
        ("affine.bn.running_var", torch.tensor([1.0, 1, 1, 1, 1, -1])),
        ("classifier.bias", torch.zeros(3, dtype=torch.int64)),
        ("layers.1.layers.1.layers.2.psa.epsilon", torch.tensor([2.0])),
        ("layers.1.layers.1.layers.0.psa.grid", torch.zeros(64, 6)),
    ],
    ids=["nan", "inf", "variance", "integers", "epsilon", "grid"],
)
def test_values_that_cannot_be_are_refused_by_name(spoilt, key, value):
    path = spoilt("lerp_psa", lambda state: state.update({key: value}))
    refuses(path, "lerp_psa", "published form", key)


def test_a_file_without_blocks_is_refused(spoilt):
    def spoil(state):
        for key in [key for key in state if key.startswith("layers.")]:
            del state[key]

    refuses(spoilt("relu", spoil), "relu", "published form")


def test_a_file_of_a_deeper_network_is_refused(spoilt):
    path = spoilt("relu", lambda state: None)
    network = ResMLP("relu", 5, **{**SMALL, "num_blocks": 3})
    refused(lambda: load_published_into(network, path), path, "params.yaml")


def test_keys_that_are_no_names_are_refused(tmp_path):
    torch.save({3: torch.zeros(1)}, tmp_path / "model.bin")
    refuses(tmp_path / "model.bin", "relu", "no state dict")


def test_relu_networks_have_no_activation_before_the_first_linear():
    assert isinstance(network_of("relu").blocks[0].mlp.act_in, nn.Identity)
    keys = published_state(network_of("relu"))
    assert "layers.0.layers.1.layers.2.weight" in keys
    assert not [key for key in keys if ".layers.1.layers.1." in key or ".layers.3." in key]
