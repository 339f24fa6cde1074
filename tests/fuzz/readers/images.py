"""Images of every kind that PIL writes, with changed bytes, cut or joined."""

import io
import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from models.files.archives import Member
from stages.sources.class_folders import ClassFolders

NAME = "images"

_KINDS = {  # format of PIL: the modes in which it is written here
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "tiff": ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "F", "I", "I;16"),
    "ppm": ("1", "L", "RGB", "I;16", "F"),
    "jpeg": ("L", "RGB", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "avif": ("RGB", "RGBA"),
    "jpeg2000": ("L", "RGB", "RGBA"),
    **dict.fromkeys(("bmp", "gif", "tga", "ico", "icns", "pcx", "sgi", "dds", "qoi"), ("RGB",)),
    **dict.fromkeys(("im", "spider", "msp", "xbm", "mpo", "blp"), ()),
    "pcx": ("L", "P", "RGB"),
    "msp": ("1",),
    "xbm": ("1",),
    "im": ("L", "RGB"),
}
_FLOATS = [float("nan"), float("inf"), -1.0, 2.0, 1e30]


def mutate(rng: random.Random) -> bytes:
    """Return an image with up to 6 changes, most of them near its beginning."""
    content = bytearray(_image(*rng.choice(_choices())))
    for _ in range(rng.randrange(7)):
        far = len(content) if rng.random() < 0.4 else min(len(content), 200)
        at = rng.randrange(far or 1)
        match rng.randrange(6):
            case 0:
                del content[at:]
            case 1:
                content[at:at] = content[: rng.randrange(100)]
            case 2:
                del content[at : at + rng.randrange(40)]
            case 3:
                content[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
            case 4:
                content[at : at + 4] = np.float32(rng.choice(_FLOATS)).tobytes()
            case _:
                content[at : at + 1] = rng.randbytes(1)
    return bytes(content)


def read(path: Path) -> None:
    """Read the image as one of a class, once by its name and once by its content."""
    content = path.read_bytes()
    for name in ("a.png", "a"):
        tree = ClassFolders(path, 1 << 20)
        tree.add(Member(("train", "cat", name), False, len(content), lambda: content))
        assert tree or name == "a"


@cache
def _choices() -> list[tuple[str, str]]:
    """Return the formats and modes that this PIL can write."""
    Image.init()
    pairs = [(kind, mode) for kind, modes in _KINDS.items() for mode in modes]
    return [(kind, mode) for kind, mode in pairs if kind.upper() in Image.SAVE]


@cache
def _image(kind: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    if mode == "F":
        image = Image.fromarray(pixels[..., 0] / np.float32(255))
    elif mode.startswith("I"):
        image = Image.fromarray(pixels[..., 0].astype(np.int32 if mode == "I" else np.uint16))
    elif mode == "LAB":
        image = Image.frombytes("LAB", (40, 24), pixels.tobytes())
    else:
        image = Image.fromarray(pixels).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
