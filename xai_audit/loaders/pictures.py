"""One picture from its bytes: what Pillow reads of it as uint8 pixels, and what was changed on the way."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""Files of a folder that are taken for pictures."""
MAX_PIXELS = 50_000_000
"""More in one picture is refused before it is unpacked: a few bytes can spell a picture that fills the memory."""
MAX_FILE = 1 << 28
"""Bytes of one picture's file."""

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""

TURNED = "turned or mirrored as their EXIF orientation says"
DEEP = "of 16 bits a channel, scaled to 8"
PALETTE = "with a palette, read as colours"
ALPHA = "with an alpha channel, which is left out"
COLOURS = "in CMYK or another colour space, converted to RGB"
BLACK = "of black and white alone, read as grey"


def decoded(data: bytes) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """A picture's pixels, uint8 of shape (height, width, 1 or 3), and what was changed to get them.

    ValueError with the reason where the bytes are no whole single picture or it is too large.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings(), _whole():
        warnings.simplefilter("ignore")  # what matters of them is refused below, or said as a change
        try:
            picture: Any = Image.open(io.BytesIO(data), formats=_FORMATS)
        except Image.DecompressionBombError as error:
            message = f"refused: {_first(error)}"
            raise ValueError(message) from None
        except Exception as error:
            message = "no picture that can be read (png, jpeg, bmp, gif, webp or tiff)"
            raise ValueError(message) from error
        width, height = picture.size
        if width * height > MAX_PIXELS:
            message = f"{width:,} x {height:,} pixels; over {MAX_PIXELS:,} are refused"
            raise ValueError(message)
        if not width * height:
            message = "a picture without pixels"
            raise ValueError(message)
        # A camera's MPO holds further views behind the picture; the others are films and pages.
        if picture.format != "MPO" and getattr(picture, "is_animated", False):
            message = "several frames or pages; a single picture is asked"
            raise ValueError(message)
        deep = _deep(picture)
        try:
            picture.load()
            turned = picture.getexif().get(_ORIENTATION, 1) in range(2, 9)
            if turned:
                picture = ImageOps.exif_transpose(picture)
        except Exception as error:
            message = f"cannot be read: {_first(error)}"
            raise ValueError(message) from error
        pixels, change = _pixels(picture)
    changes = (*((TURNED,) if turned else ()), *((DEEP,) if deep else ()), *((change,) if change else ()))
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[..., None]), changes


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Pillow refuses what is cut off, whatever another library has told it: WeasyPrint lets it fill up with grey."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:150] or type(error).__name__


def _deep(picture: Any) -> bool:
    """Whether colours of 16 bits are cut to 8 by the reader itself."""
    return picture.mode in ("RGB", "RGBA", "LA") and any(
        ";16" in str(part) for tile in picture.tile for part in tile
    )


def _pixels(picture: Any) -> tuple[NDArray[np.uint8], str]:  # noqa: PLR0911 - a case each
    """Pixels of a mode, and what it took to make them grey or RGB."""
    mode = picture.mode
    if mode in ("L", "RGB"):
        return np.asarray(picture, dtype=np.uint8), ""
    if mode == "1":
        return np.asarray(picture.convert("L"), dtype=np.uint8), BLACK
    if mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            message = "32 bits a channel; 8 or 16 are asked"
            raise ValueError(message)
        return ((values + 128) // 257).astype(np.uint8), DEEP
    if mode == "F":
        message = "floating-point pixels; 8 or 16 bits a channel are asked"
        raise ValueError(message)
    if mode in ("P", "PA"):
        # By way of RGBA: colours that are transparent keep what the palette says of them.
        return np.asarray(picture.convert("RGBA").convert("RGB"), dtype=np.uint8), PALETTE
    if mode in ("LA", "La"):
        return np.asarray(picture.convert("LA").getchannel("L"), dtype=np.uint8), ALPHA
    if mode in ("RGBA", "RGBa", "RGBX"):
        return np.asarray(picture.convert("RGB"), dtype=np.uint8), "" if mode == "RGBX" else ALPHA
    return np.asarray(picture.convert("RGB"), dtype=np.uint8), COLOURS
