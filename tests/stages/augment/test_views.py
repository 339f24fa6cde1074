"""Stored views: the logits belong to exactly the images that are drawn again from the seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stages.view_bank import view_bank

from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from stages.augment.views import ViewCache, Views, checksum, load_views, view_images
from stages.networks.convnet import build_convnet
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Augment, NetworkSizes, load_params
from tests.support.paths import ROOT

NO_VIEWS = r"views.npz is not a file of stored views; .*dvc repro -f -s convnet_views"
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
    return tmp_path / "convnet" / "views.npz"


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
    with pytest.raises(
        PipelineError, match=r"other images.*dvc repro -f -s convnet_views teacher_views"
    ):
        load_views(path, how, seed).view(images, 0)


def test_a_missing_file_is_told_with_its_stage(path):
    with pytest.raises(PipelineError, match=r"views.npz does not exist.*dvc repro convnet_views"):
        load_views(path, CROP, SEED)


GOOD = {"logits": make_views().logits, "checksums": make_views().checksums}
FOREIGN = {
    "another array": {**GOOD, "checksums": None, "others": np.zeros(3)},
    "float32": {**GOOD, "logits": GOOD["logits"].astype(np.float32)},
    "one axis": {**GOOD, "logits": GOOD["logits"][0, 0]},
    "no views": {"logits": GOOD["logits"][:0], "checksums": GOOD["checksums"][:0]},
    "too few sums": {**GOOD, "checksums": GOOD["checksums"][:1]},
    "signed sums": {**GOOD, "checksums": GOOD["checksums"].astype(np.int64)},
}


@pytest.mark.parametrize("arrays", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_archive_is_refused(path, arrays):
    path.parent.mkdir()
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(
        PipelineError, match=r"views.npz is not a file of stored views.*repro -f -s convnet_views"
    ):
        load_views(path, CROP, SEED)


@pytest.mark.parametrize("content", [b"", b"epoch\n", b"PK\3\4 no archive", b"\x93NUMPY"])
def test_a_foreign_file_is_refused(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(
        PipelineError, match=r"views.npz is not a file of stored views.*repro -f -s convnet_views"
    ):
        load_views(path, CROP, SEED)


def test_a_single_array_or_a_folder_is_refused(path, tmp_path):
    path.parent.mkdir()
    with path.open("wb") as file:
        np.save(file, GOOD["logits"])
    for wrong in (path, tmp_path):
        with pytest.raises(PipelineError, match="is not a file of stored views"):
            load_views(wrong, CROP, SEED)


# The stage


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
    torch.manual_seed(0)
    networks = {"convnet": build_convnet(params, dataset)}
    networks |= {name: build_network(params, name, dataset) for name in ("teacher", "relu_h96")}
    for name, network in networks.items():
        save_state(network.eval(), f"data/{name}/float.pt")
    return params, dataset, networks


@pytest.mark.parametrize("name", ["convnet", "teacher", "relu_h96"])
def test_the_bank_holds_a_networks_logits_of_exactly_these_images(name, tmp_path, monkeypatch):
    params, dataset, networks = toy(tmp_path, monkeypatch)
    bank = view_bank(params, name, dataset)
    assert bank.logits.shape == (3, COUNT, CLASSES) and bank.logits.dtype == np.float16
    for epoch in range(3):
        images, logits = bank.view(pixels(), epoch)
        with torch.no_grad():
            expected = networks[name](images)
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)  # float16
    assert not np.array_equal(bank.logits[0], bank.logits[1])


def test_the_bank_survives_the_disk_and_repeats(tmp_path, monkeypatch):
    params, dataset, _ = toy(tmp_path, monkeypatch)
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    for file in files:
        view_bank(params, "convnet", dataset).save(file)
    assert files[0].read_bytes() == files[1].read_bytes()
    loaded = load_views(files[0], CROP, params.seed)
    assert torch.equal(loaded.view(pixels(), 1)[0], view_images(pixels(), CROP, params.seed, 1))
