"""Decode the bytes of one image file into 32x32 RGB pixels, by one rule per kind of image.

- 8 bits: grey, palette, CMYK and other colour spaces become RGB as PIL converts them; transparency
  is dropped, as torchvision's ImageFolder does.
- 16-bit grey is divided by 257, floating point from 0 to 1 multiplied by 255, both rounded down.
  Other numbers have no known range and are refused.
- The EXIF orientation is applied. Of an animation or a file of several pages the first is taken.
- Of an image that is not square the middle square is taken; other sizes than 32x32 are resized
  (bilinear, which averages when it shrinks).
"""

import warnings
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from stages.pipeline.dataset import IMAGE_SHAPE

Pixels: TypeAlias = npt.NDArray[np.uint8]

MOST_PIXELS = 1 << 26  # 8192 x 8192; some 500 MB while one image is converted
# PIL starts Ghostscript for EPS, and cannot decode the others by itself.
_NOT_READ = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")
# Formats whose first bytes are not those of any text or table: read whatever the name of the file.
_BY_CONTENT = ("PNG", "JPEG", "GIF", "TIFF", "WEBP")
_ORIENTATION, _BITS = 0x0112, 0x0102  # EXIF and TIFF tags
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnfitImageError(ValueError):
    """An image that is damaged, too large or of an unknown range; the message is its fault."""


@dataclass(frozen=True)
class Decoded:
    """Pixels uint8 [32, 32, 3]; whether other sizes were resized, and cropped to a square."""

    pixels: Pixels
    resized: bool
    cropped: bool


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case with their dots, of the formats that PIL decodes."""
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in known if name in _formats())


def decode(content: bytes, named: bool) -> Decoded | None:
    """Return the decoded image; None if it is none and its name (`named`) does not say it is one.

    UnfitImageError for a damaged image, one of too many pixels, and one of an unknown range.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters of PIL's warnings is checked below
        try:
            image: Image.Image = Image.open(BytesIO(content), formats=_formats(named))
        except UnidentifiedImageError:
            if not named:
                return None
            raise UnfitImageError("cannot be decoded as an image") from None
        except Image.DecompressionBombError:
            raise UnfitImageError(f"has more than {MOST_PIXELS} pixels") from None
        except Exception as error:  # decoders raise nearly every exception on damaged files
            raise _undecodable(error) from error
        width, height = image.size
        if not 0 < width * height <= MOST_PIXELS:
            raise UnfitImageError(f"has {width} x {height} pixels, not 1 to {MOST_PIXELS}")
        try:
            image.load()
            image = _eight_bits(_upright(image))
            if image.has_transparency_data:
                image = image.convert("RGBA")  # the palette may have transparent entries
            return _sized(image.convert("RGB"))
        except UnfitImageError:
            raise
        except Exception as error:
            raise _undecodable(error) from error


@cache
def _formats(named: bool = True) -> tuple[str, ...]:
    """Return the names of PIL's formats that are tried on a file."""
    Image.init()  # load all of PIL's plugins
    return tuple(name for name in Image.ID if name not in _NOT_READ) if named else _BY_CONTENT


def _undecodable(error: Exception) -> UnfitImageError:
    return UnfitImageError(f"cannot be decoded as an image ({type(error).__name__})")


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF data says; damaged EXIF data is ignored."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as for damaged images
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits per channel; UnfitImageError where the range is unknown."""
    if image.mode == "F":
        values = np.asarray(image, np.float64)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):  # not a number: false
            raise UnfitImageError(
                f"has floating-point values from {low:g} to {high:g}; only 0 to 1 have a meaning"
            )
        return Image.fromarray((values * 255).astype(np.uint8))
    if not image.mode.startswith("I"):
        return image
    tags: Any = getattr(image, "tag_v2", {})  # TIFF also stores 12, 32 and signed 16 bits so
    bits = tags.get(_BITS, (16,))
    if bits != (16,) or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise UnfitImageError("has whole numbers that are not of 8 or 16 bits; save it with 8")
    return Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))


def _sized(image: Image.Image) -> Decoded:
    """Return the middle square of an RGB image, resized to 32x32."""
    (width, height), size = image.size, IMAGE_SHAPE[:2]
    side = min(width, height)
    if width != height:  # cropped first, because resize() also reads what is beside its `box`
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if side != size[0]:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return Decoded(np.array(image), (width, height) != size, width != height)
