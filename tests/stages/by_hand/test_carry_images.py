"""The command carry_images: what is unpacked is what was packed, without the test images."""

import numpy as np
import pytest

from models.files.errors import PipelineError
from stages.by_hand import carry_images
from stages.by_hand.carry_images import pack, unpack
from stages.pipeline.dataset import Dataset, Split


def split_of(count):
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(images, rng.integers(0, 3, count))


@pytest.fixture
def dataset(monkeypatch):
    monkeypatch.setattr(carry_images, "_ROWS", 2)
    monkeypatch.setattr(carry_images, "_COLUMNS", 5)
    monkeypatch.setattr(carry_images, "_FOLDER_BYTES", 60_000)
    splits = (split_of(count) for count in (23, 9, 4))
    return Dataset(*splits, tuple("abc"), np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.25, 1.0]))


def test_all_but_the_test_images_come_back(tmp_path, dataset):
    pack(dataset, tmp_path)
    assert len([*tmp_path.iterdir()]) > 1  # folders of a limited size
    found = unpack(tmp_path)
    for name in ("train", "validation"):
        assert np.array_equal(getattr(found, name).images, getattr(dataset, name).images)
        assert np.array_equal(getattr(found, name).labels, getattr(dataset, name).labels)
    assert len(found.test) == 0 and found.class_names == dataset.class_names
    assert np.array_equal(found.mean, dataset.mean) and np.array_equal(found.std, dataset.std)
    found.save(tmp_path / "dataset.npz")
    assert len(Dataset.load(tmp_path / "dataset.npz").train) == 23


def test_a_missing_or_damaged_picture_is_noticed(tmp_path, dataset):
    pack(dataset, tmp_path)
    path = next(tmp_path.glob("*/000010.webp"))
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(PipelineError, match="not the 32 images that were packed"):
        unpack(tmp_path)
    path.write_bytes(content[:100])
    with pytest.raises(PipelineError, match=r"000010\.webp is damaged"):
        unpack(tmp_path)
