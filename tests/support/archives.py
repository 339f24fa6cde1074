"""Build small archives and folders, and a tree of images to put into them."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

TREE = ("train/cat/a.png", "train/cat/b.png", "train/ant/z.png", "test/cat/c.png", "test/ant/d.png")


def zip_bytes(files, folders=(), compression=zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of {name: content} and empty folders; a name is a str or ZipInfo."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in {**{f"{name}/": b"" for name in folders}, **files}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(files, folders=(), mode="w") -> bytes:
    """Return a tar file of {name: content} and empty folders; a name is a str or TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name in folders:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
        for name, content in files.items():
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def gzip_bytes(files, folders=()) -> bytes:
    return tar_bytes(files, folders, "w:gz")


PACKERS = {".zip": zip_bytes, ".tar": tar_bytes, ".tar.gz": gzip_bytes}
KINDS = ("data", *(f"data{suffix}" for suffix in PACKERS))


def write_set(path: Path, files, folders=()) -> Path:
    """Write an archive of the kind that `path` ends with, else a folder; return `path`."""
    for suffix, pack in PACKERS.items():
        if path.name.endswith(suffix):
            path.write_bytes(pack(files, folders))
            return path
    for name in (".", *folders):
        (path / name).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def pixels_of(name: str) -> np.ndarray:
    """Return random pixels uint8 [32, 32, 3] that only the image `name` has."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def encoded(array: np.ndarray, suffix="png", mode=None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, suffix)
    return buffer.getvalue()


def tree(names=TREE) -> dict[str, bytes]:
    return {name: encoded(pixels_of(name)) for name in names}
