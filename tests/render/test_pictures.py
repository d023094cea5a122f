from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, PngImagePlugin

from tests.render import specimens
from xai_audit.render import pictures


def inside(svg: str) -> Image.Image:
    found = re.search(r'href="data:image/png;base64,([^"]+)"', svg)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found.group(1))))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_any_kind_of_png_is_read(mode: str):
    read = pictures.read({"png": specimens.encoded(specimens.drawn(1).convert(mode))})
    assert read is not None
    assert read.mode in {"L", "RGB"}
    assert read.size == (32, 32)


def test_what_shows_through_is_paper():
    read = pictures.read({"png": specimens.encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)))})
    assert read is not None
    assert read.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"png": None},
        {"png": "no base64"},
        {"png": base64.b64encode(b"<svg onload=alert(1)>").decode()},
        {"png": specimens.encoded(specimens.drawn(1))[:80]},
        {"png": specimens.encoded(Image.new("L", (pictures.LARGEST + 1, 1)))},
    ],
)
def test_what_is_no_small_png_is_not_read(broken):
    assert pictures.read(broken) is None


def test_nothing_but_pixels_is_handed_on():
    secret = PngImagePlugin.PngInfo()
    secret.add_text("Author", "Erika Mustermann")
    out = io.BytesIO()
    specimens.drawn(1).save(out, "PNG", pnginfo=secret)
    read = pictures.read({"png": base64.b64encode(out.getvalue()).decode()})
    assert read is not None
    again = base64.b64decode(pictures.address(read).removeprefix(pictures.SCHEME))
    assert b"Mustermann" in out.getvalue()
    assert b"Mustermann" not in again
    assert Image.open(io.BytesIO(again)).tobytes() == specimens.drawn(1).tobytes()


def test_pixels_stay_pixels_and_the_frame_keeps_the_shape():
    image = specimens.drawn(1).resize((32, 16))
    svg = str(pictures.framed(image, "A <picture>"))
    root = ET.fromstring(svg)
    assert root[0].text == "A <picture>"
    assert root.get("viewBox") == f"0 0 {pictures.FRAME} {pictures.FRAME / 2:g}"
    assert root[1].get("image-rendering") == "pixelated"
    assert inside(svg).size == (32, 16)


def test_under_marks_a_picture_is_light_grey():
    grey = pictures.faded(specimens.drawn(3))
    assert grey.mode == "L"
    assert min(grey.tobytes()) >= 255 * (1 - pictures.FADED) - 1
