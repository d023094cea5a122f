"""Small pictures for the page: read from audit.json, made anew without anything but their pixels."""

from __future__ import annotations

import base64
import binascii
import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from xai_audit.render.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from PIL.Image import Image as Loaded

LARGEST = 512
"""Pixels on a side over which nothing is read: methods write at most 96."""
FADED = 0.4
"""How much of a picture's grey stays under the marks."""
FRAME = 240
"""Units of the longer side of a frame."""
SCHEME = "data:image/png;base64,"


@lru_cache(maxsize=512)
def _read(content: str) -> Loaded | None:
    """The picture behind some base64; None where it is no PNG of a size that methods write."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = io.BytesIO(base64.b64decode(content, validate=True))
        checked = Image.open(data, formats=["PNG"])
        if max(checked.size) > LARGEST:
            return None
        # Every chunk to the end: whether a cut file loads is a switch that other libraries turn.
        checked.verify()
        data.seek(0)
        opened: Image.Image = Image.open(data, formats=["PNG"])
        opened.load()
    except (binascii.Error, OSError, SyntaxError, UnidentifiedImageError, ValueError):
        return None
    if opened.mode in {"LA", "PA"} or "transparency" in opened.info:
        opened = opened.convert("RGBA")
    if opened.mode == "RGBA":
        # What shows through is paper.
        ground = Image.new("RGBA", opened.size, (255, 255, 255, 255))
        opened = Image.alpha_composite(ground, opened).convert("RGB")
    return opened if opened.mode == "L" else opened.convert("RGB")


def read(picture: Any) -> Loaded | None:
    """A case's picture ``{width, height, png}``; None where it holds none that can be read."""
    content = picture.get("png") if isinstance(picture, dict) else None
    return _read(content) if isinstance(content, str) else None


def address(image: Loaded) -> str:
    """An image as a data address: pixels alone, nothing that a camera or a program wrote beside them."""
    from PIL import Image

    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    out = io.BytesIO()
    bare.save(out, "PNG", optimize=True)
    return SCHEME + base64.b64encode(out.getvalue()).decode("ascii")


def faded(image: Loaded) -> Loaded:
    """The picture in light grey, so that marks of any colour stand out on any part of it."""
    table = [round(255 - (255 - level) * FADED) for level in range(256)]
    return image.convert("L").point(table)


def size(image: Loaded) -> tuple[float, float]:
    """Width and height of a picture's frame, its longer side FRAME."""
    width, height = image.size
    unit = FRAME / max(width, height)
    return width * unit, height * unit


def framed(image: Loaded, said: str, marks: Iterable[Markup] = ()) -> Markup:
    """A picture with its pixels as they are, marks over it, and the words that stand for both."""
    width, height = size(image)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
        '<title>{t}</title><image width="{w}" height="{h}" image-rendering="{r}" href="{u}"/>{m}</svg>'
    ).format(
        w=f"{width:g}",
        h=f"{height:g}",
        t=visible(said),
        # A photograph cut to 96 pixels may be smoothed; what the model sees in 32 may not.
        r="pixelated" if max(image.size) <= 64 else "auto",
        u=address(image),
        m=Markup("").join(marks),
    )


def weight(case: Mapping[str, Any]) -> int:
    """About how many bytes of a page a case's pictures take."""
    kind = case.get("kind")
    if kind == "image":
        # Once as it is, once in grey under the marks.
        return 2 * _bytes(case.get("picture")) + 12_000
    if kind == "prototypes":
        shown = [case.get("query"), *(case.get("nearest") or ()), *(case.get("counter") or ())]
        return sum(_bytes(one.get("picture")) for one in shown if isinstance(one, dict))
    return 0


def _bytes(picture: Any) -> int:
    return len(str(picture.get("png") or "")) if isinstance(picture, dict) else 0
