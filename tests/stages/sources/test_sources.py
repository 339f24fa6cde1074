"""Every source of images, on tiny archives written here, and the stage that uses them."""

import hashlib
import io
import json
import logging
import os
import pickle
import struct
import subprocess
import sys
import urllib.error
import zlib
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import stages.sources.torchvision_import
from models.files.archives import members
from models.files.errors import PipelineError
from models.files.restricted_pickle import restricted_load
from stages import prepare_data
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Data
from stages.sources import registry as _sources
from stages.sources.registry import read_images
from tests.support.archives import (
    KINDS,
    PACKERS,
    TREE,
    encoded,
    gzip_bytes,
    pixels_of,
    tree,
    write_set,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the user's data nor the user's cache may reach a test."""
    monkeypatch.delenv("PIPELINE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def python_cifar(per_batch=20, top="cifar-10-batches-py/") -> dict[str, bytes]:
    """Return the files of a small official Python archive; every image has its own pixels."""
    files = {}
    for batch in BATCHES:
        images = [pixels_of(f"{batch}{index}") for index in range(per_batch)]
        content = {
            "batch_label": batch,
            "labels": [index % 10 for index in range(per_batch)],
            "data": np.stack([image.transpose(2, 0, 1).ravel() for image in images]),
            "filenames": [f"{batch}_{per_batch - index:04}.png" for index in range(per_batch)],
        }
        files[f"{top}{batch}"] = pickle.dumps(content, protocol=2)
    meta = {"num_cases_per_batch": per_batch, "label_names": list(CIFAR10), "num_vis": 3072}
    return {f"{top}batches.meta": pickle.dumps(meta, protocol=2), **files}


def binary_cifar(per_batch=20, top="cifar-10-batches-bin/") -> dict[str, bytes]:
    files = {f"{top}batches.meta.txt": ("\n".join(CIFAR10) + "\n\n").encode()}
    for batch in BATCHES:
        images = [pixels_of(f"{batch}{index}").transpose(2, 0, 1) for index in range(per_batch)]
        records = [bytes([index % 10]) + image.tobytes() for index, image in enumerate(images)]
        files[f"{top}{batch}.bin"] = b"".join(records)
    return files


def refused(path, *words, source="folder") -> str:
    with pytest.raises(PipelineError) as caught:
        read_images(source, None if path is None else str(path))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def assert_is_tree(images) -> None:
    """Assert that `images` is TREE: classes sorted, images sorted within a class."""
    assert images.class_names == ("ant", "cat")
    assert images.train.labels.tolist() == [0, 1, 1] and images.test.labels.tolist() == [0, 1]
    for split, names in (
        (images.train, ("train/ant/z.png", "train/cat/a.png", "train/cat/b.png")),
        (images.test, ("test/ant/d.png", "test/cat/c.png")),
    ):
        np.testing.assert_array_equal(split.images, [pixels_of(name) for name in names])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("top", ["", "set/", "./", "train/"])
@pytest.mark.parametrize("reverse", [False, True])
def test_class_folders_are_read_in_sorted_order(tmp_path, name, top, reverse):
    files = {top + file: content for file, content in sorted(tree().items(), reverse=reverse)}
    assert_is_tree(read_images("folder", str(write_set(tmp_path / name, files))))


def test_the_kind_of_archive_is_seen_from_its_content(tmp_path):
    path = write_set(tmp_path / "data.tar.gz", tree())
    assert_is_tree(read_images("folder", str(path.rename(tmp_path / "0a1b2c"))))


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_image_of_the_tree_is_passed_over_and_counted(tmp_path, name, caplog):
    image = encoded(pixels_of("stray"))
    strays = {
        "README.md": b"text",
        "logo.png": image,
        "docs/logo.png": image,
        "docs/more/logo.png": image,
        "train/labels.csv": b"a,b",
        "train/cat/notes.TXT": b"P5 is no picture",
        "train/cat/more.txt": b"BM neither",
        "train/cat/LICENSE": b"",
        "train/cat/film.mpg": b"\x00\x00\x01\xba",
        "train/cat/page.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "train/cat/.DS_Store": b"",
        "train/cat/._a.png": b"no image",
        "train/.hidden/a.png": image,
        "__MACOSX/train/cat/a.png": image,
    }
    path = write_set(tmp_path / name, {**tree(), **strays})
    assert_is_tree(read_images("folder", str(path)))
    [record] = caplog.records  # hidden files are nobody's images
    kinds = "4 outside train and test, 2 .txt, 1 .csv, 1 without a suffix, 1 .mpg, 1 .eps"
    expected = f"{path}: skipped 10 files that are not images of train and test: "
    assert record.getMessage().startswith(expected)
    assert sorted(record.getMessage().removeprefix(expected).split(", ")) == sorted(
        kinds.split(", ")
    )


def test_every_file_that_pil_can_read_is_taken(tmp_path, caplog):
    """By its name in any case, or by its content where that leaves no doubt."""
    files = tree()
    grey = np.repeat(pixels_of("grey")[..., :1], 3, axis=2)
    lossless = {
        "pgm": "ppm",
        "PNM": "ppm",
        "Tif": "tiff",
        "bmp": "bmp",
        "tga": "tga",
        "webp": "webp",
    }
    for suffix, kind in lossless.items():
        options = {"lossless": True} if kind == "webp" else {}
        buffer = io.BytesIO()
        array = grey[..., 0] if suffix == "pgm" else grey
        Image.fromarray(array).save(buffer, kind, **options)
        files[f"train/ant/{suffix}.{suffix}"] = buffer.getvalue()
    files |= {"train/ant/no_suffix": encoded(grey), "train/ant/a.dat": encoded(grey, "gif")}
    images = read_images("folder", str(write_set(tmp_path / "set", files)))
    assert len(images.train) == 3 + len(lossless) + 2 and not caplog.records
    for image in images.train.images[images.train.labels == 0][:-1]:  # the last is TREE's
        np.testing.assert_array_equal(image, grey)


def without(split: str) -> dict[str, bytes]:
    return {name: content for name, content in tree().items() if not name.startswith(split)}


STRAY = encoded(pixels_of("x"))
FAULTY_TREES = [
    ({}, "no folder train", "train/<class>/<image>"),
    (without("train"), "no folder train", "train/<class>/<image>"),
    (without("test"), "no folder test", "train/<class>/<image>"),
    (
        tree((*TREE, "train/bee/a.png", "test/cow/a.png")),
        *("only train has bee", "only test has cow"),
    ),
    *(
        ({**tree(), place: STRAY}, place, "expected is train/<class>/<image>")
        for place in ("train/x.png", "train/cat/sub/x.png", "set/test/cat/sub/x.png")
    ),
    ({**tree(), **tree(f"copy/{name}" for name in TREE)}, "more than one tree", "copy/train|test"),
    *(
        ({**tree(), "train/cat/x.png": content}, "train/cat/x.png", "cannot be decoded")
        for content in (b"", b"no image", STRAY[:1500], b"%!PS-Adobe-3.0 EPSF-3.0\n")
    ),
    ({**tree(), **python_cifar(10)}, "both the official CIFAR-10 and a tree of images"),
]


@pytest.mark.parametrize("name", ["data", "data.tar"])
@pytest.mark.parametrize(("files", "words"), [(files, words) for files, *words in FAULTY_TREES])
def test_a_faulty_tree_is_refused(tmp_path, name, files, words):
    path = write_set(tmp_path / name, files)
    refused(path, str(path), *words)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("litter", [".DS_Store", "notes.txt"])
def test_a_class_without_images_is_named(tmp_path, name, litter):
    """Whether the archive has an entry for the folder or not."""
    more = {**tree((*TREE, "test/bee/a.png")), f"train/bee/{litter}": b"x"}
    refused(write_set(tmp_path / name, more), "no image in the class folder train/bee")


@pytest.mark.parametrize("name", KINDS[1:3])
def test_an_image_that_is_there_twice_is_refused(tmp_path, name):
    """Two entries of one name: one of them would be lost."""
    path = tmp_path / name
    path.write_bytes(PACKERS[path.suffix]({**tree(), "./train/cat/a.png": STRAY}))
    refused(path, "train/cat/a.png twice")


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_class_is_named(tmp_path, name):
    more = tree((*TREE, "test/bee/a.png"))
    path = write_set(tmp_path / name, more, folders=["train/bee"])
    refused(path, "no image in the class folder train/bee")


def test_in_a_folder_the_folders_and_the_first_damaged_image_are_named(tmp_path):
    path = write_set(tmp_path / "other", {"cats/a.png": b"", "dogs/b.png": b""})
    refused(path, "no folder train", "cats, dogs")
    damaged = {f"{split}/{label}/x.png": b"" for split in ("train", "test") for label in "zyxab"}
    refused(write_set(tmp_path / "set", {**damaged, **tree()}), "test/a/x.png")


def test_other_sizes_are_resized_with_one_warning(tmp_path, caplog):
    files = tree()
    files["train/cat/a.png"] = encoded(np.full((64, 48, 3), (10, 20, 30), np.uint8))
    files["test/cat/c.png"] = encoded(np.repeat(np.uint8([[[0] * 3] * 16, [[255] * 3] * 16]), 8, 0))
    with caplog.at_level(logging.WARNING):
        read_images("folder", str(write_set(tmp_path / "data.tar", tree())))
        assert caplog.records == []
        images = read_images("folder", str(write_set(tmp_path / "data.tar", files)))
    (record,) = caplog.records
    assert "2 of 5 images" in record.getMessage() and "resized" in record.getMessage()
    assert "1 that are not square were cropped" in record.getMessage()
    assert (images.train.images[1] == (10, 20, 30)).all()
    column = images.test.images[1, :, 0, 0].astype(int)  # bilinear: a ramp between black and white
    assert column[0] == 0 and column[-1] == 255 and (np.diff(column) >= 0).all()
    assert 0 < column[15] < column[16] < 255


def decoded(tmp_path, content: bytes, suffix="png") -> np.ndarray:
    """Return what the reader makes of one image."""
    files = {**tree(), f"train/ant/a.{suffix}": content}
    return read_images("folder", str(write_set(tmp_path / "one.tar", files))).train.images[0]


def test_the_middle_square_of_an_image_is_taken(tmp_path):
    """Squashing would change shapes; what is cut off left and right is lost."""
    square = np.repeat(np.repeat(pixels_of("square"), 2, axis=0), 2, axis=1)
    for high in (False, True):
        wide = np.concatenate([np.zeros((64, 7, 3), np.uint8), square, square[:, :8] * 0], axis=1)
        image = wide.transpose(1, 0, 2) if high else wide
        plain = square.transpose(1, 0, 2) if high else square
        np.testing.assert_array_equal(
            decoded(tmp_path, encoded(np.ascontiguousarray(image))),
            decoded(tmp_path, encoded(np.ascontiguousarray(plain))),
        )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_the_exif_orientation_is_applied(tmp_path, orientation, suffix):
    """As every viewer shows it; PIL's own function is the reference."""
    image, exif, buffer = Image.fromarray(pixels_of("exif")), Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(buffer, suffix, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    expected = np.array(ImageOps.exif_transpose(Image.open(buffer)))
    assert (orientation == 1) == np.array_equal(expected, pixels_of("exif"))
    np.testing.assert_array_equal(decoded(tmp_path, buffer.getvalue(), suffix), expected)


def test_damaged_exif_data_is_ignored(tmp_path):
    image, buffer = Image.fromarray(pixels_of("exif")), io.BytesIO()
    image.save(buffer, "png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(decoded(tmp_path, buffer.getvalue()), pixels_of("exif"))


def test_grey_images_become_rgb(tmp_path):
    grey = pixels_of("grey")[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(decoded(tmp_path, encoded(grey)), expected)
    binary = encoded(grey, mode="1")
    np.testing.assert_array_equal(np.unique(decoded(tmp_path, binary)), [0, 255])


@pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
def test_16_bit_grey_is_divided_by_257(tmp_path, suffix):
    wide = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64 + 10
    found = decoded(tmp_path, encoded(wide, suffix), suffix)
    np.testing.assert_array_equal(found[..., 0], wide // 257)
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize("suffix", ["tiff", "pfm"])
def test_floating_point_is_taken_from_0_to_1(tmp_path, suffix):
    ramp = np.repeat(np.linspace(0, 1, 32, dtype=np.float32)[:, None], 32, axis=1)
    found = decoded(tmp_path, encoded(ramp, "ppm" if suffix == "pfm" else suffix), suffix)
    np.testing.assert_array_equal(found[..., 0], np.floor(ramp * np.float64(255)))
    assert found[0].max() == 0 and found[-1].min() == 255


FLAT = np.ones((32, 32), np.float32)
UNFIT = {
    "too bright": (FLAT * 1.5, "floating-point values from 1.5 to 1.5"),
    "0 to 255": (FLAT * 200, "only 0 to 1 have a meaning"),
    "negative": (-FLAT, "floating-point values"),
    "no number": (FLAT * np.float32("nan"), "floating-point values from nan to nan"),
    "infinite": (FLAT * np.float32("inf"), "floating-point values"),
    "32 bits": ((FLAT * 70_000).astype(np.int32), "not of 8 or 16 bits"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_numbers_of_an_unknown_range_are_refused(tmp_path, case):
    array, words = UNFIT[case]
    files = {**tree(), "train/ant/a.tif": encoded(array, "tiff")}
    refused(write_set(tmp_path / "one.tar", files), "holds train/ant/a.tif, which has", words)


def test_12_bit_tiff_is_refused(tmp_path):
    """PIL opens it as if it were 16-bit, 16 times too dark."""
    content = bytearray(encoded(np.zeros((32, 32), np.uint16), "tiff"))
    at = content.index(struct.pack("<HHI", 0x0102, 3, 1))  # the tag BitsPerSample
    struct.pack_into("<H", content, at + 8, 12)
    files = {**tree(), "train/ant/a.tif": bytes(content)}
    refused(write_set(tmp_path / "one.tar", files), "train/ant/a.tif", "save it with 8")


@pytest.mark.parametrize("side", [8193, 13_000, 20_000])
def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, side):
    """13000 x 13000 pixels of one colour are a file of 70 kB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * 100)
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path = write_set(tmp_path / "set", {**tree(), "train/cat/huge.png": content})
    refused(path, "holds train/cat/huge.png, which has", "67108864")


def test_cmyk_and_other_colour_spaces_become_rgb_as_pil_converts_them(tmp_path):
    image, buffer = Image.fromarray(pixels_of("cmyk")).convert("CMYK"), io.BytesIO()
    image.save(buffer, "tiff")
    expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(decoded(tmp_path, buffer.getvalue(), "tif"), expected)
    buffer = io.BytesIO()
    Image.fromarray(pixels_of("lab")).convert("YCbCr").save(buffer, "tiff")
    assert decoded(tmp_path, buffer.getvalue(), "tif").shape == (32, 32, 3)


def test_transparency_is_dropped_and_palette_images_become_rgb(tmp_path):
    pixels = pixels_of("rgba")
    alpha = np.dstack([pixels, np.full((32, 32), 7, np.uint8)])
    np.testing.assert_array_equal(decoded(tmp_path, encoded(alpha)), pixels)
    image = Image.fromarray(pixels).quantize(16)
    for suffix, options in (("png", {"transparency": bytes(range(16))}), ("gif", {})):
        buffer = io.BytesIO()
        image.save(buffer, suffix, **options)  # transparency: an alpha value for each entry
        expected = np.array(image.convert("RGB"))
        np.testing.assert_array_equal(decoded(tmp_path, buffer.getvalue(), suffix), expected)


def test_jpeg_files_are_read_by_any_case_of_their_name(tmp_path):
    flat = np.full((32, 32, 3), 90, np.uint8)
    for suffix in ("jpg", "JPEG"):
        assert abs(decoded(tmp_path, encoded(flat, "jpeg"), suffix).astype(int) - 90).max() <= 2


def assert_is_cifar(images, by_name: bool) -> None:
    """Assert that `images` is what python_cifar and binary_cifar hold, ordered by class."""
    assert images.class_names == CIFAR10
    assert images.train.labels.tolist() == sorted(list(range(10)) * 10)
    assert images.test.labels.tolist() == sorted(list(range(10)) * 2)
    within = ("test_batch13", "test_batch3") if by_name else ("test_batch3", "test_batch13")
    for position, name in zip((6, 7), within, strict=True):  # file names count downwards
        np.testing.assert_array_equal(images.test.images[position], pixels_of(name))
    first = [f"data_batch_1{10 if by_name else 0}", f"data_batch_1{0 if by_name else 10}"]
    np.testing.assert_array_equal(images.train.images[:2], [pixels_of(name) for name in first])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("in_folder", [False, True])
def test_official_cifar_is_read_in_both_forms(tmp_path, name, in_folder):
    for files, by_name in (
        (python_cifar(top="cifar-10-batches-py/" if in_folder else ""), True),
        (binary_cifar(top="cifar-10-batches-bin/" if in_folder else ""), False),
    ):
        path = write_set(tmp_path / f"{by_name}-{name}", {**files, "readme.html": b"text"})
        assert_is_cifar(read_images("folder", str(path)), by_name)
        assert_is_cifar(read_images("cifar10", str(path)), by_name)


def test_the_official_batches_and_a_tree_of_the_same_images_give_equal_arrays(tmp_path):
    files = {}
    for batch in BATCHES:
        split = "test" if batch == "test_batch" else "train"
        for index in range(20):
            name = f"{split}/{CIFAR10[index % 10]}/{batch}_{20 - index:04}.png"
            files[name] = encoded(pixels_of(f"{batch}{index}"))
    one = read_images("folder", str(write_set(tmp_path / "batches.tar.gz", python_cifar())))
    other = read_images("cifar10", str(write_set(tmp_path / "tree.zip", files)))
    assert_is_cifar(other, by_name=True)
    for split in ("train", "test"):
        for key in ("images", "labels"):
            arrays = (getattr(getattr(images, split), key) for images in (one, other))
            np.testing.assert_array_equal(*arrays, strict=True)


@pytest.mark.parametrize("make", [python_cifar, binary_cifar])
def test_missing_official_files_are_named(tmp_path, make):
    files = make(10)
    for name in files:
        rest = {other: content for other, content in files.items() if other != name}
        lacking = Path(name).name.removesuffix(".bin").removesuffix(".txt")
        refused(write_set(tmp_path / "c.tar", rest), "CIFAR-10", f"lacks {lacking}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": [0] * 9}, "9 labels and 10 file names"),
        ({"labels": [0.5] * 10}, "only"),
        ({"labels": [True] * 10}, "'labels'"),
        ({"labels": [*range(9), 10]}, "classes 0..9"),
        ({"labels": [*range(9), 0]}, "[9]"),
        ({"data": np.zeros((10, 3071), np.uint8)}, "[n, 3072]"),
        ({"data": np.zeros((10, 3072), np.int16)}, "uint8"),
        ({"data": None}, "'data'"),
        ({"filenames": ["a"]}, "1 file names"),
    ],
)
def test_damaged_official_batches_are_refused(tmp_path, change, words):
    files = python_cifar(10)
    batch = restricted_load(io.BytesIO(files["cifar-10-batches-py/test_batch"]), "test_batch")
    files["cifar-10-batches-py/test_batch"] = pickle.dumps({**batch, **change}, 2)
    path = write_set(tmp_path / "cifar-10-python.tar.gz", files)
    refused(path, str(path), words)


def test_a_program_in_an_official_batch_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    files = {**python_cifar(10), "cifar-10-batches-py/data_batch_3": pickle.dumps(Attack())}
    path = write_set(tmp_path / "cifar-10-python.tar.gz", files)
    refused(path, f"{path}: data_batch_3", "mkdir", "trust")
    assert not (tmp_path / "attacked").exists()


def test_damaged_binary_batches_are_refused(tmp_path):
    files = binary_cifar(10)
    for damage in (b"", files["cifar-10-batches-bin/test_batch.bin"][:-1]):
        damaged = {**files, "cifar-10-batches-bin/test_batch.bin": damage}
        refused(write_set(tmp_path / "c.tar", damaged), "test_batch.bin", "3073")
    unnamed = {**files, "cifar-10-batches-bin/batches.meta.txt": b"cat\ncat\n"}
    refused(write_set(tmp_path / "c.tar", unnamed), "batches.meta.txt", "class names")


def test_the_environment_wins_over_data_path(tmp_path, monkeypatch, caplog):
    path = write_set(tmp_path / "set", tree())
    monkeypatch.setenv("PIPELINE_DATA", str(path))
    assert_is_tree(read_images("folder", "no/such/path"))
    [record] = caplog.records
    assert "data.path (no/such/path) does not apply: PIPELINE_DATA has" in record.getMessage()
    assert_is_tree(read_images("folder", None))
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path / "gone"))
    refused(path, "PIPELINE_DATA is", "gone", "does not exist")
    monkeypatch.setenv("PIPELINE_DATA", "")
    assert_is_tree(read_images("folder", str(path)))


def test_a_path_that_is_missing_or_null_is_explained():
    refused("no/such/path", "data.path is no/such/path", "does not exist", ".tar.gz")
    refused("x" * 5000, "data.path is xxx", "does not exist")
    refused("a\0b", "does not exist")
    refused("~nobody_of_this_name/x", "does not exist")
    refused(None, "data.path is null", "PIPELINE_DATA", "cifar-10-python.tar.gz")
    refused(None, "data.source is 'mnist'", "cifar10, digits, folder", source="mnist")


def test_cifar10_refuses_a_local_set_that_is_not_cifar10(tmp_path):
    path = write_set(tmp_path / "set", tree())
    refused(path, "ant, cat", "not those of CIFAR-10", source="cifar10")


@pytest.fixture
def official_server(monkeypatch):
    """Serve a small official archive in place of the network; return the URLs asked for."""
    torchvision = stages.sources.torchvision_import.import_torchvision()
    files = python_cifar()
    md5 = {Path(name).name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    served = {"archive": gzip_bytes(files), "urls": []}

    def retrieve(url, filename, **_):
        served["urls"].append(url)
        Path(filename).write_bytes(served["archive"])

    cifar10 = torchvision.datasets.CIFAR10
    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", retrieve)
    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(cifar10, "tgz_md5", hashlib.md5(served["archive"]).hexdigest())
    monkeypatch.setattr(cifar10, "meta", {**cifar10.meta, "md5": md5["batches.meta"]})
    for name in ("train_list", "test_list"):
        hashed = [[batch, md5[batch]] for batch, _ in getattr(cifar10, name)]
        monkeypatch.setattr(cifar10, name, hashed)
    return served


def test_cifar10_is_downloaded_once_into_the_cache(official_server, tmp_path):
    assert_is_cifar(read_images("cifar10", None), by_name=True)
    assert (tmp_path / "cache/lerp-psa/cifar-10-python.tar.gz").is_file()
    assert_is_cifar(read_images("cifar10", None), by_name=True)
    assert len(official_server["urls"]) == 1 and "cifar-10-python" in official_server["urls"][0]


def test_a_local_copy_saves_the_download(official_server, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_DATA", str(write_set(tmp_path / "c.tar.gz", python_cifar())))
    assert_is_cifar(read_images("cifar10", None), by_name=True)
    assert official_server["urls"] == []


def test_a_download_with_the_wrong_hash_is_refused_and_then_repeated(official_server):
    whole = official_server["archive"]
    official_server["archive"] = whole[:-100]
    refused(None, "PIPELINE_DATA", "make demo", "corrupted", source="cifar10")
    official_server["archive"] = whole
    assert_is_cifar(read_images("cifar10", None), by_name=True)


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        urllib.error.HTTPError("u", 503, "Service Unavailable", None, None),
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_no_network_says_where_to_put_the_file(official_server, monkeypatch, error):
    def fail(*_, **__):
        raise error

    utils = stages.sources.torchvision_import.import_torchvision().datasets.utils
    monkeypatch.setattr(utils, "_get_redirect_url", fail)
    words = ("data.path", "PIPELINE_DATA", "cifar-10-python.tar.gz", "class folders", "`make demo`")
    refused(None, *words, source="cifar10")


def test_a_silent_connection_ends(official_server, monkeypatch):
    import socket

    limits = []
    utils = stages.sources.torchvision_import.import_torchvision().datasets.utils
    monkeypatch.setattr(
        utils,
        "_get_redirect_url",
        lambda url, **_: limits.append(socket.getdefaulttimeout()) or url,
    )
    read_images("cifar10", None)
    assert limits == [_sources._STALL_SECONDS] and socket.getdefaulttimeout() is None


def test_digits_are_those_of_scikit_learn_every_time():
    from sklearn.datasets import load_digits

    images, again = read_images("digits", "ignored"), read_images("digits", None)
    np.testing.assert_array_equal(images.train.images, again.train.images)
    np.testing.assert_array_equal(images.test.labels, again.test.labels)
    assert images.class_names == tuple("0123456789")
    assert len(images.train) == 1433 and len(images.test) == 364
    shares = np.bincount(images.test.labels) / np.bincount(load_digits().target)
    assert (abs(shares - 0.2) < 0.01).all()
    first = images.test.images[0]  # of the class 0 in bundled order the first is a test image
    np.testing.assert_array_equal(first[::4, ::4, 0], np.rint(load_digits().images[0] * 255 / 16))
    for offset in range(1, 4):
        np.testing.assert_array_equal(first[::4, ::4], first[offset::4, offset::4])
    assert (
        (first[..., :1] == first).all() and first.max() <= 255 and images.train.images.max() == 255
    )


def test_digits_say_which_settings_do_not_apply(monkeypatch, caplog):
    read_images("digits", None)
    assert not caplog.records
    monkeypatch.setenv("PIPELINE_DATA", "/nonexistent/data")
    read_images("digits", "set.zip")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "PIPELINE_DATA (/nonexistent/data) does not apply",
        "data.path (set.zip) does not apply",
    ]


def data_of(**changes) -> Data:
    fields = {"source": "digits", "path": None, "validation_images": 100, "mean": None, "std": None}
    return Data(**{**fields, **changes})


def test_prepare_measures_mean_and_std_where_none_are_given():
    dataset = prepare_data.prepare(data_of(), seed=3)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1333, 100, 364)
    np.testing.assert_allclose(dataset.mean, dataset.train.images.mean(axis=(0, 1, 2)) / 255)
    np.testing.assert_allclose(dataset.std, dataset.train.images.std(axis=(0, 1, 2)) / 255)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    dataset = prepare_data.prepare(data_of(mean=mean, std=std), seed=3)
    assert tuple(dataset.mean) == mean and tuple(dataset.std) == std


MEAN, STD = _sources.PUBLISHED_STATISTICS["cifar10"]


@pytest.mark.parametrize("source", ["cifar10", "folder"])
def test_cifar10_has_its_published_mean_and_std_by_default(tmp_path, caplog, source):
    """Other data have their own; of the archive of CIFAR-10 as a folder, too, they are measured."""
    path = str(write_set(tmp_path / "c.tar", python_cifar()))
    data = data_of(source=source, path=path, validation_images=10)
    dataset = prepare_data.prepare(data, seed=3)
    assert (tuple(dataset.mean) == MEAN and tuple(dataset.std) == STD) == (source == "cifar10")
    given = prepare_data.prepare(replace(data, mean=MEAN, std=STD), seed=3)
    assert tuple(given.mean) == MEAN and given.mean.dtype == np.float64
    assert not caplog.records


def test_mean_and_std_of_cifar10_for_other_images_are_warned_about(caplog):
    prepare_data.prepare(data_of(mean=MEAN, std=STD), seed=3)
    [record] = caplog.records
    assert "those of CIFAR-10, but the images are not; set both to null" in record.getMessage()


def test_the_seed_moves_the_validation_images_but_not_the_test_images():
    one, other = (prepare_data.prepare(data_of(), seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(one.test.images, other.test.images)
    assert (one.validation.images != other.validation.images).any()


def test_too_many_validation_images_are_refused():
    with pytest.raises(PipelineError, match=r"data\.validation_images is 1433"):
        prepare_data.prepare(data_of(validation_images=1433), seed=0)


def test_the_stage_writes_the_dataset_and_its_summary(tmp_path, monkeypatch):
    class Params:
        data, seed = data_of(source="folder", validation_images=1), 5

    write_set(tmp_path / "set", tree())
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path / "set"))
    monkeypatch.setattr(prepare_data, "load_params", Params)
    contents = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        monkeypatch.chdir(tmp_path / run)
        prepare_data.main()
        files = [Path("data/dataset.npz"), Path("data/metrics/dataset.json")]
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    dataset = Dataset.load("data/dataset.npz")
    assert dataset.class_names == ("ant", "cat")
    metrics = json.loads(contents[0][1])
    assert metrics.pop("std") == [round(value, 6) for value in dataset.std]
    assert metrics.pop("mean") == [round(value, 6) for value in dataset.mean]
    assert metrics == {
        "source": "folder",
        "train_images": 2,
        "validation_images": 1,
        "test_images": 2,
        "classes": 2,
    }
    assert str(tmp_path).encode() not in contents[0][1]


def test_the_shared_archive_begins_as_expected(shared, tmp_path):
    """Read only the first images of the real archive; the whole takes about 20 s."""
    path = shared / "cifar10" / "cifar10-png.tar.gz"
    found = (member for member in members(path, _sources.LIMITS) if not member.is_folder)
    files = {member.name: member.content() for member in islice(found, 20)}
    test = {name.replace("train/", "test/"): content for name, content in files.items()}
    images = read_images("folder", str(write_set(tmp_path / "some.tar", {**files, **test})))
    assert images.class_names == ("airplane",) and len(images.train) == 20
    np.testing.assert_array_equal(images.train.images, images.test.images)
    first = Image.open(io.BytesIO(files[min(files)]))
    np.testing.assert_array_equal(images.train.images[0], np.asarray(first))


@pytest.mark.pipeline
def test_sources_need_no_torch():
    code = (
        "import sys; from stages.sources.registry import read_images; read_images('digits', None); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_torchvision_is_usable_and_may_be_imported_twice():
    torchvision = stages.sources.torchvision_import.import_torchvision()
    assert stages.sources.torchvision_import.import_torchvision() is torchvision
    from torchvision.transforms import v2

    assert torchvision.datasets.CIFAR10.filename and v2.RandAugment()


@pytest.mark.parametrize("whole", [True, False])
def test_operators_are_declared_only_where_they_are_missing(monkeypatch, whole):
    import torch

    stages.sources.torchvision_import.import_torchvision()  # declares what is missing here
    declared, lines = [], []

    class Library:
        def __init__(self, *_):
            declared.append(self)

        def define(self, line):
            lines.append(line)

    class NoOperators:
        pass

    def load_library(path):
        assert Path(path).name.startswith("_C")
        if not whole:
            raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "torchvision")
    monkeypatch.setattr(stages.sources.torchvision_import, "_declared", [])
    monkeypatch.setattr(torch.library, "Library", Library)
    monkeypatch.setattr(torch.ops, "load_library", load_library)
    monkeypatch.setattr(torch.ops, "torchvision", NoOperators())
    monkeypatch.setattr(
        stages.sources.torchvision_import.importlib, "import_module", lambda name: name
    )
    assert stages.sources.torchvision_import.import_torchvision() == "torchvision"
    signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    assert lines == ([] if whole else [f"nms{signature}", f"qnms{signature}"])
    assert len(declared) == (0 if whole else 1)
