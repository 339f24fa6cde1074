"""One changed byte in any stored file is refused, with the file's name and a remedy, or harmless.

Harmless means: what is read equals what was written. Bytes that no reader looks at are padding and
fields of zip files that have copies.
"""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import nn

from hls.headers.check import checked_golden
from hls.headers.golden import golden_text
from hls.plan.design import read_design
from models.files.errors import PipelineError
from models.float.checkpoint import load_state, read_state, save_state
from models.float.published import load_published_into
from models.integer.params import load_int_params, load_samples, save_int_params, save_samples
from stages.augment.views import load_views
from stages.pipeline.dataset import Dataset
from stages.results.logits import load_logits
from stages.training.checkpoint import read_checkpoint
from tests.support import specimens

pytestmark = pytest.mark.slow

POSITIONS = 60  # random ones, beside the first and the last 20

# Made once: a file is read a hundred times. Nobody may change them.
float_network, qat_network = cache(specimens.float_network), cache(specimens.qat_network)
int_network, design = cache(specimens.int_network), cache(specimens.design)


@dataclass
class Kind:
    """How a file of this kind is written and read. `read` returns the value that it stands for."""

    file: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


def loaded(network: Callable[[], nn.Module]) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        fresh = copy.deepcopy(network())
        load_state(fresh, path)
        return fresh.state_dict()

    return read


def published(path: Path) -> object:
    network = copy.deepcopy(float_network())
    load_published_into(network, path)
    return network.state_dict()


def training(path: Path) -> object:
    """Return the state; if it is set aside instead, that is the refusal."""
    state = read_checkpoint(path, *specimens.trained())
    if state is None:
        assert not path.exists() and path.with_name(f"{path.name}.damaged").exists()
        raise PipelineError(f"{path} is set aside and made again")
    return state


def write_golden(path: Path) -> None:
    path.write_text(golden_text(specimens.samples()))
    save_samples(specimens.samples(), path.with_name("samples.pkl"))


def golden(path: Path) -> object:
    samples = load_samples(path.with_name("samples.pkl"))
    checked_golden(path.parent, samples, int_network(), design())
    return path.read_bytes()


def stored_views(path: Path) -> object:
    return load_views(path, specimens.AS_IS, 0)


KINDS = [
    Kind("float.pt", specimens.write_weights, loaded(float_network)),
    Kind("qat.pt", lambda p: save_state(specimens.qat_network(), p), loaded(qat_network)),
    Kind("model.bin", specimens.write_published, published),
    Kind("int8.pkl", lambda p: save_int_params(specimens.int_network(), p), load_int_params),
    Kind("samples.pkl", lambda p: save_samples(specimens.samples(), p), load_samples),
    Kind("golden.hpp", write_golden, golden),
    Kind("qat_logits.npz", lambda p: np.savez(p, **specimens.logits()), load_logits),
    Kind("dataset.npz", lambda p: specimens.dataset().save(p), Dataset.load),
    Kind("views.npz", lambda p: specimens.views().save(p), stored_views),
    Kind("design.json", lambda p: p.write_text(specimens.design().to_text()), read_design),
    Kind("toy-0123.pt", specimens.write_state_of_training, training),
]


@pytest.fixture
def kind(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request.param.write(Path(request.param.file))
    return request.param


def same(one: object, other: object) -> bool:
    """Return whether two values are equal, arrays and tensors to the bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("kind", KINDS, indirect=True, ids=lambda kind: kind.file)
def test_a_changed_byte_is_refused_or_harmless(kind, caplog):
    caplog.set_level("ERROR")
    path = Path(kind.file)
    good, value, random = path.read_bytes(), kind.read(path), Random(0)
    ends = [*range(min(20, len(good))), *range(max(0, len(good) - 20), len(good))]
    refusals = 0
    for position in {*ends, *random.choices(range(len(good)), k=POSITIONS)}:
        byte = good[position] ^ random.choice((1, 2, 4, 8, 16, 32, 64, 128, 255))
        path.write_bytes(good[:position] + bytes([byte]) + good[position + 1 :])
        try:
            assert same(kind.read(path), value), f"byte {position} of {len(good)}"
        except PipelineError as error:
            refusals += 1
            assert path.name in str(error) and "\n" not in str(error)
            assert "dvc" in str(error) or "again" in str(error)
    assert refusals > 10


@pytest.mark.parametrize("kind", KINDS, indirect=True, ids=lambda kind: kind.file)
def test_a_cut_or_empty_file_is_refused(kind):
    path = Path(kind.file)
    good = path.read_bytes()
    for size in (0, 1, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(PipelineError, match=path.name):
            kind.read(path)
            assert kind.file == "design.json"  # its last byte is the end of the line
            raise PipelineError(path.name)


@pytest.mark.parametrize("file", ["int8.pkl", "samples.pkl"])
def test_a_pickle_without_a_seal_is_compared_with_the_lock(file, tmp_path, monkeypatch):
    """The files of the repository were stored before there were seals."""
    monkeypatch.chdir(tmp_path)
    kind = next(kind for kind in KINDS if kind.file == file)
    path = Path(file)
    kind.write(path)
    content = path.read_bytes()
    content = content[: content.rindex(b"\nsha256 ")]
    path.write_bytes(content)
    value = kind.read(path)
    digest = hashlib.md5(content).hexdigest()
    lock = f"stages:\n  a:\n    outs:\n    - path: {file}\n      hash: md5\n      md5: {digest}\n"
    Path("dvc.lock").write_text(lock)
    assert same(kind.read(path), value)
    path.write_bytes(content.replace(b"\x05", b"\x06"))
    with pytest.raises(
        PipelineError, match=f"{file} is not the file that dvc.lock lists.*dvc pull"
    ):
        kind.read(path)


def test_values_that_no_training_gives_are_refused_with_right_checksums(tmp_path):
    """A training that diverged, or a forged file."""
    path = tmp_path / "float.pt"
    cases = {
        "norm.running_var": -0.5,
        "classifier.weight": float("nan"),
        "blocks.0.mlp.linear_1.bias": float("inf"),
        "input.std": 0.0,
    }
    for key, value in cases.items():
        network = specimens.float_network()
        network.state_dict()[key].view(-1)[1] = value
        save_state(network, path)
        with pytest.raises(PipelineError, match=rf"float\.pt holds impossible values: {key} .*dvc"):
            load_state(specimens.float_network(), path)
    cases = {
        "classifier.shift": 17,
        "classifier.log2_scale": 1000.0,
        "input.scale": -1.0,
        "input.lut": 0.5,
    }
    for key, value in cases.items():
        network = specimens.qat_network()
        network.state_dict()[key].view(-1)[0] = value
        save_state(network, path)
        with pytest.raises(PipelineError, match=rf"float\.pt holds impossible values: {key} must"):
            load_state(specimens.qat_network(), path)
    assert "input.lut" in read_state(path)


def test_a_member_marked_as_a_folder_is_read_as_it_is(tmp_path):
    """torch itself takes it for empty and returns whatever the memory holds."""
    path = tmp_path / "float.pt"
    specimens.write_weights(path)
    good = path.read_bytes()
    name = b"data/0"
    directory = good.rindex(name)
    marks = good.rindex(b"PK\1\2", 0, directory) + 38
    path.write_bytes(good[:marks] + bytes([good[marks] ^ 0x10]) + good[marks + 1 :])
    assert same(read_state(path), dict(specimens.float_network().state_dict()))
