"""Archives with changed bytes, cut or joined, and with hostile names, kinds and sizes in them."""

import gzip
import random
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

from models.files.archives import Limits, members
from tests.support.archives import tar_bytes, tree, zip_bytes

NAME = "archives"

_LIMITS = Limits(members=50, member_bytes=1 << 16, total_bytes=1 << 18)
_BAD = ("../x", "/x", "a/../../b", "C:/x", "a\\b", "a\nb", "a\x00b", "//x", "\udcff", "x" * 5000)
_GOOD = (
    *(
        "train/cat/a.png",
        "train/cat",
        "train/cat/",
        ".hidden/x",
        "__MACOSX/x",
        "é/ü",
        "",
        ".",
        "./",
    ),
    *("a/./b", "train//cat/z.png", "con", " ", "a" * 99 + "/" + "b" * 99),
)
_KINDS = [bytes([kind]) for kind in b"01234567LKSxgXVNDM\x00\xff"]
_MODES = (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK)


def mutate(rng: random.Random) -> bytes:
    """Return an archive with hostile members in half of the cases, then with up to 4 changes."""
    content = rng.choice([_zip, _tar])(rng, dict(tree()) if rng.random() < 0.5 else {})
    packed = rng.random() < 0.4
    if packed and rng.random() < 0.5:  # changed within the gzip
        content = gzip.compress(_changed(rng, content), 1)
    elif packed:
        content = _changed(rng, gzip.compress(content, 1))
    elif rng.random() < 0.6:
        content = _changed(rng, content)
    return content


def read(path: Path) -> None:
    """Read every file in the archive."""
    for member in members(path, _LIMITS):
        assert member.parts and ".." not in member.parts and not member.name.startswith("/")
        assert member.is_folder or len(member.content()) == member.size


def _zip(rng: random.Random, files: dict[object, bytes]) -> bytes:
    for _ in range(rng.randrange(4)):
        info = zipfile.ZipInfo("x")
        info.filename = _name(rng).encode("utf-8", "replace").decode()
        info.external_attr = (rng.choice(_MODES) | 0o777) << 16
        files[info] = rng.randbytes(rng.randrange(100))
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice is meant
        return zip_bytes(files, compression=rng.choice(kinds))


def _tar(rng: random.Random, files: dict[object, bytes]) -> bytes:
    for _ in range(rng.randrange(4)):
        info = tarfile.TarInfo(_name(rng))
        info.type, info.linkname = rng.choice(_KINDS), _name(rng)
        files[info] = rng.randbytes(rng.randrange(100))
    return tar_bytes(files)


def _name(rng: random.Random) -> str:
    return rng.choice(_BAD if rng.random() < 0.1 else _GOOD)


def _changed(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) or 1)
        match rng.randrange(5):
            case 0:
                del changed[at:]
            case 1:
                changed[at:at] = changed[: rng.randrange(2000)]
            case 2:
                del changed[at : at + rng.randrange(600)]
            case 3:
                changed[at : at + 8] = rng.choice(
                    [b"\xff" * 8, b"\0" * 8, b"77777777", b"-1111111"]
                )
            case _:
                changed[at : at + 1] = rng.randbytes(1)
    return bytes(changed)
