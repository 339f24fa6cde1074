"""Stored views: the logits belong to exactly the images that are drawn again from the seed."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from stages.augment.views import ViewCache, Views, checksum, load_views, view_images
from stages.networks.convnet import build_convnet
from stages.networks.resmlp import build_network
from stages.networks.view_bank import bank_path, make_bank, stored_views
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Augment, NetworkSizes, load_params
from tests.support.paths import ROOT

NO_VIEWS = r"views\.npz .*; delete it, and the next training"
COUNT, CLASSES, SEED = 20, 4, 5
CROP = Augment(crop_padding=2, flip=True, rand_augment=False)


def pixels(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (COUNT, 3, 32, 32), dtype=torch.uint8, generator=generator)


def make_views(count=3, how=CROP, seed=SEED):
    logits = np.random.default_rng(0).normal(size=(count, COUNT, CLASSES)).astype(np.float16)
    sums = [checksum(view_images(pixels(), how, seed, view)) for view in range(count)]
    return Views(logits, np.array(sums, np.uint32), how, seed)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "views.npz"


# The images


def test_views_differ_and_are_the_same_again_for_the_same_seed():
    views = [view_images(pixels(), CROP, SEED, view) for view in range(3)]
    assert not any(torch.equal(a, b) for a, b in zip(views, [*views[1:], pixels()], strict=True))
    assert all(torch.equal(view_images(pixels(), CROP, SEED, i), v) for i, v in enumerate(views))
    assert not torch.equal(view_images(pixels(), CROP, SEED + 1, 0), views[0])


def test_views_are_not_flipped():
    """Every pixel says its column: in a shifted image columns rise from left to right."""
    columns = torch.arange(1, 33, dtype=torch.uint8).expand(200, 3, 32, 32)
    flips = Augment(crop_padding=0, flip=True, rand_augment=False)
    assert torch.equal(view_images(columns, flips, SEED, 0), columns)
    middle = view_images(columns, CROP, SEED, 0)[:, 0, 16, 14:18].int()
    assert (middle.diff(dim=1) == 1).all()


@pytest.mark.parametrize("room", [True, False])
def test_views_are_drawn_once_where_there_is_room_for_them(room, monkeypatch):
    views, drawn = make_views(), []
    expected = [views.view(pixels(), epoch) for epoch in range(7)]
    draw = Views.view
    monkeypatch.setattr(Views, "view", lambda *a: drawn.append(a[2]) or draw(*a))
    cache = ViewCache(views, torch.device("cpu"))
    monkeypatch.setattr(cache, "_has_room", lambda size: room and size == pixels().nbytes)
    found = [cache.view(pixels(), epoch) for epoch in range(7)]
    assert drawn == ([0, 1, 2] if room else [0, 1, 2, 0, 1, 2, 0]) and cache.how == CROP
    for (images, logits), (a, b) in zip(found, expected, strict=True):
        assert torch.equal(images, a) and torch.equal(logits, b)


def test_a_processor_keeps_no_views():
    assert not ViewCache(make_views(), torch.device("cpu"))._has_room(1)


def test_large_sets_are_changed_in_parts(monkeypatch):
    monkeypatch.setattr("stages.augment.views._CHUNK", 7)
    assert view_images(pixels(), CROP, SEED, 0).shape == pixels().shape


def test_a_checksum_sees_one_bit():
    images = pixels()
    other = images.clone()
    other[-1, -1, -1, -1] ^= 1
    assert checksum(images) == checksum(images.clone()) != checksum(other)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert checksum(channels_last) == checksum(images)  # the pixels, not how they lie in memory


# The file


def test_a_file_gives_back_what_was_saved(path):
    views = make_views()
    views.save(path)
    loaded = load_views(path, CROP, SEED)
    assert len(loaded) == 3
    for epoch in range(5):  # the views in turn
        images, logits = loaded.view(pixels(), epoch)
        assert torch.equal(images, view_images(pixels(), CROP, SEED, epoch % 3))
        assert logits.dtype == torch.float32
        np.testing.assert_array_equal(logits.numpy(), views.logits[epoch % 3].astype(np.float32))


@pytest.mark.parametrize(
    ("how", "seed", "images"),
    [
        (replace(CROP, crop_padding=3), SEED, pixels()),
        (CROP, SEED + 1, pixels()),
        (CROP, SEED, pixels(1)),
        (CROP, SEED, pixels()[:-1]),
    ],
    ids=["crop", "seed", "images", "fewer"],
)
def test_logits_of_other_images_are_refused(path, how, seed, images):
    make_views().save(path)
    with pytest.raises(PipelineError, match=r"views.npz: .* other images .*delete the file"):
        load_views(path, how, seed).view(images, 0)


GOOD = {"logits": make_views().logits, "checksums": make_views().checksums}
FOREIGN = {
    "another array": {**GOOD, "checksums": None, "others": np.zeros(3)},
    "float32": {**GOOD, "logits": GOOD["logits"].astype(np.float32)},
    "one axis": {**GOOD, "logits": GOOD["logits"][0, 0]},
    "no views": {"logits": GOOD["logits"][:0], "checksums": GOOD["checksums"][:0]},
    "too few sums": {**GOOD, "checksums": GOOD["checksums"][:1]},
    "no numbers": {**GOOD, "logits": GOOD["logits"] * np.float16("nan")},
    "signed sums": {**GOOD, "checksums": GOOD["checksums"].astype(np.int64)},
}


@pytest.mark.parametrize("arrays", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_archive_is_refused(path, arrays):
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(PipelineError, match=NO_VIEWS):
        load_views(path, CROP, SEED)


@pytest.mark.parametrize("content", [b"", b"epoch\n", b"PK\3\4 no archive", b"\x93NUMPY"])
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=NO_VIEWS):
        load_views(path, CROP, SEED)


def test_a_single_array_or_a_folder_is_refused(path, tmp_path):
    with path.open("wb") as file:
        np.save(file, GOOD["logits"])
    for wrong in (path, tmp_path):
        with pytest.raises(PipelineError, match="delete it, and the next training"):
            load_views(wrong, CROP, SEED)


# The bank of a network


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Go to a folder with small trained networks; return params, data set and the networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    params = load_params(ROOT / "demo" / "params.yaml")
    params = replace(
        params,
        network=NetworkSizes(patch_size=8, embed_dim=8, num_blocks=1),
        training=replace(params.training, augment=CROP),
        convnet=replace(params.convnet, widths=(8, 8, 8)),
        views=replace(params.views, count=3),
    )
    images = pixels().permute(0, 2, 3, 1).contiguous().numpy()
    split = Split(images, np.arange(COUNT) % CLASSES)
    dataset = Dataset(split, split, split, tuple("abcd"), np.full(3, 0.5), np.full(3, 0.25))
    dataset.save("data/dataset.npz")
    torch.manual_seed(0)
    networks = {"convnet": build_convnet(params, dataset)}
    networks["teacher"] = build_network(params, "teacher", dataset)
    for name, network in networks.items():
        save_state(network.eval(), f"data/{name}/float.pt")
    return params, dataset, networks


def banks():
    return sorted(path.name for path in Path(".ckpt").glob("*.npz"))


@pytest.mark.parametrize("name", ["convnet", "teacher"])
def test_the_bank_holds_a_networks_logits_of_exactly_these_images(name, toy):
    params, dataset, networks = toy
    bank, path = stored_views(params, name, dataset)
    assert bank.logits.shape == (3, COUNT, CLASSES) and bank.logits.dtype == np.float16
    assert banks() == [path.name] and path.name.startswith(f"{name}-views-")
    for epoch in range(3):
        images, logits = bank.view(pixels(), epoch)
        with torch.no_grad():
            expected = networks[name](images)
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)  # float16
    assert not np.array_equal(bank.logits[0], bank.logits[1])


def test_the_bank_is_made_once_and_read_afterwards(toy, caplog):
    params, dataset, _ = toy
    caplog.set_level(logging.INFO)
    first, path = stored_views(params, "teacher", dataset)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert "teacher: computing the logits of 3 stored views" in caplog.text
    caplog.clear()
    second, same = stored_views(params, "teacher", dataset)
    assert (same, caplog.text) == (path, "")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    np.testing.assert_array_equal(first.logits, second.logits)


def test_the_bank_repeats_byte_by_byte(toy):
    params, dataset, _ = toy
    _, path = stored_views(params, "convnet", dataset)
    make_bank(params, "convnet", dataset).save("again.npz")
    assert Path("again.npz").read_bytes() == path.read_bytes()


def other_weights(params, dataset):
    torch.manual_seed(1)
    save_state(build_network(params, "teacher", dataset).eval(), "data/teacher/float.pt")
    return params


def other_images(params, dataset):
    images = dataset.train.images.copy()
    images[0, 0, 0, 0] ^= 1
    replace(dataset, train=Split(images, dataset.train.labels)).save("data/dataset.npz")
    return params


@pytest.mark.parametrize(
    "change",
    [
        lambda params, _: replace(params, seed=params.seed + 1),
        lambda params, _: replace(params, views=replace(params.views, count=2)),
        lambda params, _: replace(
            params, training=replace(params.training, augment=replace(CROP, crop_padding=3))
        ),
        lambda params, _: replace(params, training=replace(params.training, fused=True)),
        other_weights,
        other_images,
    ],
    ids=["seed", "count", "augment", "fused", "weights", "images"],
)
def test_a_bank_of_anything_else_is_another_file(change, toy):
    params, dataset, _ = toy
    before, usual = bank_path(params, "teacher"), bank_path(params, "convnet")
    after = bank_path(change(params, dataset), "teacher")
    assert len({before, usual, after}) == 3


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut off"])
def test_a_damaged_bank_is_set_aside_and_made_again(content, toy, caplog):
    params, dataset, _ = toy
    _, path = stored_views(params, "teacher", dataset)
    whole = path.read_bytes()
    path.write_bytes(content)
    stored_views(params, "teacher", dataset)
    assert path.read_bytes() == whole
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.read_bytes() == content
    assert f"{path} is damaged" in caplog.text and f"kept as {aside}" in caplog.text


def test_a_bank_of_other_draws_is_named(toy):
    """It came from a machine whose random numbers are others."""
    params, dataset, _ = toy
    _, path = stored_views(params, "teacher", dataset)
    with np.load(path) as arrays:
        Views(arrays["logits"], arrays["checksums"] ^ 1, CROP, params.seed).save(path)
    views, _ = stored_views(params, "teacher", dataset)
    with pytest.raises(PipelineError, match=f"^{path}: .*other images.*delete the file"):
        views.view(pixels(), 0)


def test_a_bank_that_cannot_be_kept_is_used_all_the_same(toy, caplog):
    params, dataset, _ = toy
    kept, path = stored_views(params, "teacher", dataset)
    assert kept.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    for file in Path(".ckpt").iterdir():
        file.unlink()
    Path(".ckpt").rmdir()
    Path(".ckpt").write_text("")  # a file in place of the folder stops root, too
    views, _ = stored_views(params, "teacher", dataset)
    np.testing.assert_array_equal(views.logits, kept.logits)
    assert views.digest() == kept.digest()
    assert ".ckpt" in caplog.text and "are not kept" in caplog.text


def test_missing_weights_are_named_and_leave_no_bank(toy):
    params, dataset, _ = toy
    Path("data/teacher/float.pt").unlink()
    with pytest.raises(PipelineError, match=r"data/teacher/float\.pt"):
        stored_views(params, "teacher", dataset)
    assert banks() == []
