"""Weights on disk: what was saved comes back, and what is not a file of weights is refused."""

import io
import os
import pickle

import pytest
import torch
from torch import nn

from models.files.errors import PipelineError
from models.float.checkpoint import load_state, read_state, save_state
from models.float.published import load_published_into
from models.float.resmlp import ResMLP
from tests.support.images import IMAGES

SMALL = {"embed_dim": 6, "patch_size": 16, "num_blocks": 2, "num_classes": 3, **IMAGES}
ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def refused(path, *words, load):
    with pytest.raises(PipelineError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message


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


def read_published(path):
    load_published_into(ResMLP("relu", 5, **SMALL), path)


@pytest.mark.parametrize("load", [read_state, read_published])
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
