"""The dataset file, the held-out images and the channel statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.files.errors import PipelineError
from stages.pipeline.dataset import Dataset, LabelledImages, Split, channel_statistics, hold_out


def split_of(labels, seed=0) -> Split:
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    return Split(images, np.array(labels, dtype=np.int64))


def some_dataset() -> Dataset:
    return Dataset(
        train=split_of([0, 1, 1], 1),
        validation=split_of([1], 2),
        test=split_of([0, 1], 3),
        class_names=("cat", "žába"),
        mean=np.array([0.5, 0.25, 0.125]),
        std=np.array([0.1, 0.2, 0.3]),
    )


def arrays_of(path) -> dict:
    with np.load(path) as arrays:
        return dict(arrays)


def test_a_dataset_comes_back_as_it_was_saved(tmp_path):
    dataset = some_dataset()
    dataset.save(tmp_path / "deep" / "dataset.npz")
    loaded = Dataset.load(tmp_path / "deep" / "dataset.npz")
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(loaded, name).images, getattr(dataset, name).images)
        np.testing.assert_array_equal(getattr(loaded, name).labels, getattr(dataset, name).labels)
    assert loaded.class_names == ("cat", "žába")
    assert loaded.mean.tolist() == [0.5, 0.25, 0.125] and loaded.std.tolist() == [0.1, 0.2, 0.3]


def test_two_saves_are_byte_identical(tmp_path, monkeypatch):
    some_dataset().save(tmp_path / "a.npz")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    some_dataset().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_save_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "dataset.npz"
    some_dataset().save(path)
    before = path.read_bytes()

    def full(file, **_):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        some_dataset().save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(PipelineError, match=r"dataset.npz is missing.*dvc repro prepare_data"):
        Dataset.load(tmp_path / "dataset.npz")


def test_a_missing_array_is_named(tmp_path):
    path = tmp_path / "dataset.npz"
    some_dataset().save(path)
    arrays = arrays_of(path)
    del arrays["validation_labels"]
    np.savez(path, **arrays)
    with pytest.raises(PipelineError, match=r"has no array 'validation_labels'.*prepare_data"):
        Dataset.load(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train_images", np.zeros((3, 3, 32, 32), np.uint8), r"uint8 \[n, 32, 32, 3\]"),
        ("test_images", np.zeros((2, 32, 32, 3), np.float32), "float32"),
        ("test_labels", np.zeros(3, np.int64), r"labels must be int64 \[2\]"),
        ("test_labels", np.array([0, 2]), r"labels outside 0\.\.1"),
        ("train_labels", np.array([0, -1, 0]), r"labels outside 0\.\.1"),
        ("mean", np.zeros(1), "mean must be three"),
        ("std", np.array([1, 0, 1.0]), "std must be > 0"),
        ("std", np.array([1, np.nan, 1.0]), "std must be three finite"),
        ("class_names", np.array(5), "iteration"),
    ],
)
def test_a_wrong_array_is_named(tmp_path, key, value, words):
    path = tmp_path / "dataset.npz"
    some_dataset().save(path)
    np.savez(path, **{**arrays_of(path), key: value})
    with pytest.raises(PipelineError, match=rf"dataset.npz cannot be used .*{words}.*prepare_data"):
        Dataset.load(path)


def test_damaged_files_and_pickles_are_refused(tmp_path):
    path = tmp_path / "dataset.npz"
    some_dataset().save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"garbage", whole[:1000], whole[: len(whole) // 2], whole[500:]):
        path.write_bytes(damaged)
        with pytest.raises(PipelineError, match=r"dataset.npz .*prepare_data"):
            Dataset.load(path)
    np.savez(path, train_images=np.array([{}], dtype=object))
    with pytest.raises(PipelineError, match=r"dataset\.npz"):
        Dataset.load(path)


def test_a_source_must_have_every_class_in_both_splits():
    LabelledImages(split_of([0, 1]), split_of([1, 0]), ("a", "b"))
    with pytest.raises(ValueError, match="test must have"):
        LabelledImages(split_of([0, 1]), split_of([1]), ("a", "b"))
    with pytest.raises(ValueError, match="train must have"):
        LabelledImages(split_of([0, 2]), split_of([1, 0]), ("a", "b"))


@given(
    st.lists(st.integers(2, 12), min_size=1, max_size=5),
    st.data(),
    st.integers(0, 2**32),
)
def test_held_out_images_are_disjoint_complete_and_stratified(sizes, data, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(labels)
    images = np.zeros((len(labels), 32, 32, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))  # every image says which it is
    count = data.draw(st.integers(1, len(labels) // 2))
    rest, taken = hold_out(Split(images, labels.astype(np.int64)), count, seed)

    rest_ids, taken_ids = rest.images[:, 0, 0, 0], taken.images[:, 0, 0, 0]
    assert len(taken) == count
    assert sorted([*rest_ids, *taken_ids]) == list(range(len(labels)))
    assert (np.diff(rest_ids.astype(int)) > 0).all() and (np.diff(taken_ids.astype(int)) > 0).all()
    assert rest.labels.tolist() == labels[rest_ids].tolist()
    assert taken.labels.tolist() == labels[taken_ids].tolist()
    shares = np.bincount(taken.labels, minlength=len(sizes)) - count * np.array(sizes) / len(labels)
    assert (abs(shares) < 1).all()


def test_the_seed_decides_which_images_are_held_out():
    split = split_of([0] * 50 + [1] * 50)
    first, again, other = (hold_out(split, 20, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert (first.images != other.images).any()


@pytest.mark.parametrize("count", [9, 10, 11, 10_000])
def test_too_many_held_out_images_are_refused(count):
    with pytest.raises(PipelineError, match=rf"data.validation_images is {count}, .* 10 training"):
        hold_out(split_of([0] * 5 + [1] * 5), count, 0)


def test_channel_statistics_are_those_of_the_pixels():
    images = split_of([0] * 1500).images
    mean, std = channel_statistics(images)
    pixels = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 1, 2)), rtol=1e-9)


def test_a_constant_channel_has_standard_deviation_one():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[..., 1] = 255
    images[0, ..., 2] = 255
    mean, std = channel_statistics(images)
    assert mean.tolist() == [0, 1, 0.5] and std.tolist() == [1, 1, 0.5]
