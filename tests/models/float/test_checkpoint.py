"""Weights on disk: the published files give the published logits; what is no weights is refused."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from models.files.errors import PipelineError
from models.float.checkpoint import (
    load_published,
    load_published_into,
    load_state,
    read_state,
    save_published,
    save_state,
)
from models.float.resmlp import ResMLP

FOLDER = "output/cifar10/resmlp_layers_4_h_4_embed_96"
FILES = {
    "teacher": ("teacher_model.bin", "ReLU", 384),
    "baseline__h_mul_1": ("baseline/h_mul_1_model.bin", "ReLU", 96),
    "bspline_65_1e-5__h_mul_1": ("bspline_65_1e-5/h_mul_1_model.bin", "BSpline", 96),
    "lerp_psa_64__h_mul_1": ("lerp_psa_64/h_mul_1_model.bin", "LerpPsa", 96),
}
SMALL = {"embed_dim": 6, "patch_size": 16, "num_blocks": 2, "num_classes": 3}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def unpacked(published, tmp_path_factory):
    """Return the folder of the four published files."""
    folder = tmp_path_factory.mktemp("published")
    with zipfile.ZipFile(published / "checkpoints.zip") as archive:
        archive.extractall(folder)
    return folder / FOLDER


@pytest.fixture
def published_file(tmp_path):
    """Return a function that writes a small published state dict after `spoil` has changed it."""

    def make(activation="relu", spoil=lambda state: None):
        state = published_state(ResMLP(activation, 5, **SMALL))
        spoil(state)
        torch.save(state, tmp_path / "model.bin")
        return tmp_path / "model.bin"

    return make


def published_state(network):
    """Write a network's weights under the published names: the reverse of `load_published`."""
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


def refused(path, *words, load=load_published):
    with pytest.raises(PipelineError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message


# ---- the published files


@pytest.mark.parametrize("name", [*FILES])
def test_published_files_give_the_published_logits(published, unpacked, name):
    file, activation, hidden_dim = FILES[name]
    network = load_published(unpacked / file).eval()
    mlp = network.blocks[3].mlp
    assert (type(mlp.act_hidden).__name__, mlp.linear_1.out_features) == (activation, hidden_dim)
    with np.load(published / "expected_logits.npz") as arrays:
        images = torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2)
        expected = torch.from_numpy(arrays[name])
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [*FILES])
def test_every_published_weight_is_used(unpacked, name):
    state = torch.load(unpacked / FILES[name][0], weights_only=True)
    constants = ("epsilon", "grid", "grid_ifeat_offset")
    weights = [value for key, value in state.items() if key.rsplit(".", 1)[1] not in constants]
    network = load_published(unpacked / FILES[name][0])
    ours = [v for key, v in network.state_dict().items() if not key.startswith("input.")]
    assert sorted(v.double().sum().item() for v in ours) == pytest.approx(
        sorted(v.double().sum().item() for v in weights), rel=1e-9
    )


# ---- the published layout


@pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])
def test_sizes_and_weights_are_read_off_a_published_file(published_file, activation):
    torch.manual_seed(5)
    original = ResMLP(activation, 5, **SMALL)
    torch.manual_seed(5)
    loaded = load_published(published_file(activation))
    assert [block.mlp.linear_1.out_features for block in loaded.blocks] == [5, 5]
    for key, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key


def test_options_of_lerp_psa_are_read_off_a_published_file(published_file):
    def spoil(state):
        for key in [key for key in state if key.endswith("grid")]:
            state[key] = torch.linspace(-3, 3, 32).unsqueeze(1).repeat(1, state[key].shape[1])
            state[key.replace("grid", "epsilon")] = torch.tensor([0.5])
            for name in ("v_weight", "q_weight", "q_bias"):
                name = key.removesuffix("grid") + name
                state[name] = state[name][:, :3].clone()

    act = load_published(published_file("lerp_psa", spoil)).blocks[0].mlp.act_in
    assert (len(act.knots), act.start, act.epsilon) == (32, -3.0, 0.5)
    assert act.value.shape == (6, 3)


def test_the_grid_of_a_bspline_is_read_off_a_published_file(published_file):
    def spoil(state):
        for key in [key for key in state if key.endswith("_coefficients_vect")]:
            state[key] = torch.arange(state[key].numel() // 65 * 33.0)

    act = load_published(published_file("bspline", spoil)).blocks[0].mlp.act_hidden
    assert torch.equal(act.coefficients, torch.arange(5 * 33.0).view(5, 33))  # channel by channel


ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])


@ACTIVATIONS
def test_every_missing_key_is_refused(published_file, activation):
    for key in published_state(ResMLP(activation, 5, **SMALL)):
        path = published_file(activation, lambda state, key=key: state.pop(key))
        refused(path, "published layout")


@ACTIVATIONS
@pytest.mark.parametrize(
    "key",
    ["surprise.weight", "layers.0.layers.1.layers.0.surprise", "layers.7.layers.0.affine_2.bias"],
)
def test_extra_keys_are_refused_by_name(published_file, activation, key):
    path = published_file(activation, lambda state: state.update({key: torch.zeros(3)}))
    refused(path, "published layout")


def test_an_unknown_key_is_named(published_file):
    refused(published_file(spoil=lambda s: s.update(surprise=torch.zeros(1))), "surprise")


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
def test_tensors_of_another_shape_are_refused(published_file, activation, key, change):
    path = published_file(activation, lambda state: state.update({key: change(state[key]).clone()}))
    refused(path, "published layout")


@pytest.mark.parametrize("empty", [False, True])
def test_a_state_of_something_else_is_refused(tmp_path, empty):
    torch.save({} if empty else nn.Linear(2, 3).state_dict(), tmp_path / "model.bin")
    refused(tmp_path / "model.bin", "published layout")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("embed_linear.bias", torch.full((6,), torch.nan)),
        ("classifier.bias", torch.tensor([0, torch.inf, 0])),
        ("classifier.bias", torch.zeros(3, dtype=torch.int64)),
        ("layers.1.layers.1.layers.2.psa.epsilon", torch.tensor([2.0])),
        ("layers.1.layers.1.layers.0.psa.grid", torch.zeros(64, 6)),
    ],
    ids=["nan", "inf", "integers", "epsilon", "grid"],
)
def test_values_that_cannot_be_are_refused_by_name(published_file, key, value):
    path = published_file("lerp_psa", lambda state: state.update({key: value}))
    refused(path, "published layout", key)


@ACTIVATIONS
def test_networks_are_written_in_the_published_layout(tmp_path, published_file, activation):
    path = published_file(activation)
    network = load_published(path)
    save_published(network, tmp_path / "saved.bin")
    mine, original = (torch.load(p, weights_only=True) for p in (tmp_path / "saved.bin", path))
    assert set(mine) == set(original)
    for key, tensor in original.items():
        torch.testing.assert_close(mine[key], tensor, rtol=0, atol=1e-6)
    other = ResMLP(activation, 5, **SMALL)
    load_published_into(other, tmp_path / "saved.bin")
    for key, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", [*FILES])
def test_published_files_are_written_as_they_were(unpacked, tmp_path, name):
    save_published(load_published(unpacked / FILES[name][0]), tmp_path / "saved.bin")
    original = torch.load(unpacked / FILES[name][0], weights_only=True)
    mine = torch.load(tmp_path / "saved.bin", weights_only=True)
    assert set(mine) == set(original)
    for key, tensor in original.items():
        torch.testing.assert_close(mine[key], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        {"activation": "relu", "hidden_dim": 6},
        {"activation": "bspline", "hidden_dim": 5},
        {"activation": "relu", "hidden_dim": 5, "num_blocks": 3},
    ],
    ids=["wider", "spline", "deeper"],
)
def test_a_published_file_of_another_network_is_refused(published_file, network):
    network = ResMLP(**{**SMALL, **network})
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    refused(published_file(), load=lambda path: load_published_into(network, path))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_blocks_of_no_published_kind_are_refused(published_file):
    def spoil(state):
        for key in [key for key in state if key.startswith("layers.")]:
            del state[key]

    refused(published_file(spoil=spoil), "published layout")


def test_a_grid_that_no_spline_can_have_is_refused(published_file):
    def spoil(state):
        for key in [key for key in state if key.endswith("_coefficients_vect")]:
            state[key] = state[key][: state[key].numel() // 65 * 64].clone()

    refused(published_file("bspline", spoil), "grid_size")


# ---- our files


@ACTIVATIONS
def test_our_files_round_trip(tmp_path, activation):
    network, other = (ResMLP(activation, 5, **SMALL) for _ in range(2))
    save_state(network, tmp_path / "float.pt")
    load_state(other, tmp_path / "float.pt")
    for key, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor)
    assert list(read_state(tmp_path / "float.pt")) == list(network.state_dict())


def test_equal_weights_are_equal_files(tmp_path):
    network = ResMLP("lerp_psa", 5, **SMALL)
    paths = [tmp_path / "a" / "float.pt", tmp_path / "quite_another_name.bin", tmp_path / "c.pt"]
    for path in paths[:2]:
        save_state(network, path)
    other = ResMLP("lerp_psa", 5, **SMALL)
    load_state(other, paths[0])
    save_state(other, paths[2])
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "float.pt"
    save_state(nn.Linear(2, 3), path)
    before = path.read_bytes()

    def fail(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_state(nn.Linear(2, 3), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["float.pt"]


@pytest.mark.parametrize("other", [("relu", 6), ("bspline", 5), ("lerp_psa", 5)])
def test_weights_of_another_network_are_refused(tmp_path, other):
    save_state(ResMLP(*other, **SMALL), tmp_path / "float.pt")
    network = ResMLP("relu", 5, **SMALL)
    refused(tmp_path / "float.pt", "params.yaml", load=lambda path: load_state(network, path))


@pytest.mark.parametrize("load", [read_state, load_published])
class TestReading:
    def test_a_missing_file_says_how_to_make_it(self, tmp_path, load):
        refused(tmp_path / "float.pt", "does not exist", "dvc repro", load=load)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"weights", bytes(999)])
    def test_garbage_is_refused(self, tmp_path, load, content):
        (tmp_path / "float.pt").write_bytes(content)
        refused(tmp_path / "float.pt", "weights", load=load)

    def test_a_truncated_file_is_refused(self, tmp_path, load):
        save_state(ResMLP("relu", 5, **SMALL), tmp_path / "float.pt")
        content = (tmp_path / "float.pt").read_bytes()
        for size in (100, len(content) // 2, len(content) - 1):
            (tmp_path / "float.pt").write_bytes(content[:size])
            refused(tmp_path / "float.pt", load=load)

    def test_a_folder_is_refused(self, tmp_path, load):
        refused(tmp_path, load=load)

    @pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), {"a": 1}, 7, None])
    def test_what_is_no_state_dict_is_refused(self, tmp_path, load, content):
        torch.save(content, tmp_path / "float.pt")
        refused(tmp_path / "float.pt", "no state dict", load=load)

    @pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
    def test_a_file_that_runs_code_is_refused_and_does_not_run(self, tmp_path, load, legacy):
        content = {"embed_linear.weight": Attack(tmp_path / "owned")}
        torch.save(content, tmp_path / "float.pt", _use_new_zipfile_serialization=not legacy)
        refused(tmp_path / "float.pt", load=load)
        (tmp_path / "float.pt").write_bytes(pickle.dumps(content))
        refused(tmp_path / "float.pt", load=load)
        assert not (tmp_path / "owned").exists()

    def test_a_whole_module_is_refused(self, tmp_path, load):
        buffer = io.BytesIO()
        torch.save(nn.Linear(2, 3), buffer)
        (tmp_path / "float.pt").write_bytes(buffer.getvalue())
        refused(tmp_path / "float.pt", load=load)


class Attack:
    """Pickles as a call of os.mkdir."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
