"""The published FP32 layout, both ways: every size of every activation, and nothing but it."""

import io
import zipfile

import pytest
import torch
from torch import nn

from models.files.errors import PipelineError
from models.float.activations.lerp_psa import LerpPsa
from models.float.checkpoint import load_published, load_published_into, read_state, save_published
from models.float.published_layout import PUBLISHED_TEACHER, published_file, published_state
from models.float.resmlp import ResMLP

FOLDERS = {"relu": "baseline", "bspline": "bspline_65_1e-5", "lerp_psa": "lerp_psa_64"}
SIZES = {192: "h_mul_2", 96: "h_mul_1", 48: "h_div_2", 24: "h_div_4"}
ALL = [(activation, hidden) for activation in FOLDERS for hidden in SIZES]
SMALL = {"embed_dim": 6, "patch_size": 16, "num_blocks": 2, "num_classes": 3}
ACTIVATIONS = pytest.mark.parametrize("activation", FOLDERS)


def network_of(activation, hidden_dim=5, seed=0, **sizes):
    """Build a network whose every parameter and statistic is a number of its own."""
    torch.manual_seed(seed)
    network = ResMLP(activation, hidden_dim, **(sizes or SMALL))
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            tensor.fill_(seed + 7)
        elif not key.startswith("input."):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def same(network, other):
    ours, theirs = network.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def constants(network):
    acts = [module for module in network.modules() if isinstance(module, LerpPsa)]
    return [(act.epsilon, act.start, act.step, act.knots.tolist()) for act in acts]


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
    read = load_published(tmp_path / "model.bin")
    assert same(network, read)
    assert constants(network) == constants(read)
    into = ResMLP(activation, hidden_dim)
    load_published_into(into, tmp_path / "model.bin")
    assert same(network, into)


@pytest.mark.parametrize(("activation", "hidden_dim"), ALL)
def test_the_archive_names_every_student(activation, hidden_dim):
    path = f"{FOLDERS[activation]}/{SIZES[hidden_dim]}_model.bin"
    assert published_file(ResMLP(activation, hidden_dim, num_blocks=1)) == path


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
    assert published_file(ResMLP(activation, hidden_dim, options, num_blocks=1)) == path


def test_options_of_lerp_psa_come_back(tmp_path):
    options = {"grid_size": 16, "grid_range": 3.0, "expansion": 2, "epsilon": 0.3}
    network = ResMLP("lerp_psa", 5, options, **SMALL)
    save_published(network, tmp_path / "model.bin")
    read = load_published(tmp_path / "model.bin")
    assert same(network, read)
    for (epsilon, *grid), (expected, *expected_grid) in zip(
        constants(read), constants(network), strict=True
    ):
        assert epsilon == pytest.approx(expected, rel=1e-7)  # a float32 in the file
        assert grid == expected_grid
    load_published_into(ResMLP("lerp_psa", 5, options, **SMALL), tmp_path / "model.bin")


def test_the_normalisation_is_not_written_and_not_touched(tmp_path):
    network = ResMLP("relu", 5, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), **SMALL)
    save_published(network, tmp_path / "model.bin")
    assert not [key for key in read_state(tmp_path / "model.bin") if "mean" in key.split(".")]
    into = ResMLP("relu", 5, mean=(0.7, 0.8, 0.9), **SMALL)
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
    network = ResMLP(activation, 384 if name == PUBLISHED_TEACHER else 96)
    load_published_into(network, name, io.BytesIO(content))
    return network


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


def both_refuse(path, activation, *words):
    refused(lambda: load_published(path), path, *words)
    network = network_of(activation, seed=1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    refused(lambda: load_published_into(network, path), path, *words)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@ACTIVATIONS
def test_every_missing_key_is_named(spoilt, activation):
    for key in published_state(network_of(activation)):
        path = spoilt(activation, lambda state, key=key: state.pop(key))
        refused(lambda path=path: load_published(path), path)
        into = network_of(activation)
        refused(lambda path=path, into=into: load_published_into(into, path), path, key)


@ACTIVATIONS
@pytest.mark.parametrize(
    "key", ["optimizer", "layers.1.layers.1.layers.0.more", "embed_linear.weights", "input.mean"]
)
def test_every_extra_key_is_named(spoilt, activation, key):
    path = spoilt(activation, lambda state: state.update({key: torch.zeros(1)}))
    both_refuse(path, activation, f"the unknown key {key}")


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
    both_refuse(spoilt("relu", lambda s: s.update({key: s[key].long()})), "relu", key, "int64")
    for value in (float("nan"), float("inf")):
        path = spoilt("relu", lambda s, value=value: s[key].fill_(value))
        both_refuse(path, "relu", key, "finite")


@pytest.mark.parametrize("constant", ["epsilon", "grid"])
def test_all_activations_share_the_constants(spoilt, constant):
    """Ours has them once, as options of the variant."""
    key = f"layers.1.layers.1.layers.2.psa.{constant}"
    both_refuse(spoilt("lerp_psa", lambda s: s[key].mul_(1.01)), "lerp_psa", key)


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


def test_sizes_that_no_file_can_mean_are_refused_at_once(spoilt):
    def tall(state):
        state["embed_linear.weight"] = torch.zeros(1, 1).expand(1 << 20, 48)

    def many(state):
        state["layers.99999999.layers.0.affine_2.bias"] = torch.zeros(1)

    for spoil in (tall, many):
        path = spoilt("relu", spoil)
        refused(lambda path=path: load_published(path), path, "published layout")


def test_keys_that_are_no_names_are_refused(tmp_path):
    torch.save({3: torch.zeros(1)}, tmp_path / "model.bin")
    refused(lambda: load_published(tmp_path / "model.bin"), "no state dict")


def test_relu_networks_have_no_activation_before_the_first_linear():
    assert isinstance(network_of("relu").blocks[0].mlp.act_in, nn.Identity)
    keys = published_state(network_of("relu"))
    assert "layers.0.layers.1.layers.2.weight" in keys
    assert not [key for key in keys if ".layers.1.layers.1." in key or ".layers.3." in key]
