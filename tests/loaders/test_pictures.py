"""Single pictures of every kind people have, and those that are refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xai_audit.loaders import pictures
from xai_audit.loaders.pictures import ALPHA, BLACK, COLOURS, DEEP, PALETTE, TURNED, decoded

RGB = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
GREY = RGB[..., :1]


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(ValueError) as caught:
        decoded(data)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_what_keeps_every_bit_is_read_as_it_is(kind: str) -> None:
    pixels, changes = decoded(saved(Image.fromarray(RGB), kind))
    assert changes == ()
    np.testing.assert_array_equal(pixels, RGB)
    pixels, changes = decoded(saved(Image.fromarray(GREY[..., 0]), kind))
    assert (pixels.shape, pixels.dtype, changes) == ((6, 4, 1), np.dtype(np.uint8), ())
    np.testing.assert_array_equal(pixels, GREY)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_kinds(kind: str, options: dict) -> None:
    smooth = Image.fromarray(np.full((6, 4, 3), 120, np.uint8))
    pixels, _ = decoded(saved(smooth, kind, **options))
    assert pixels.shape in ((6, 4, 3), (6, 4, 1))
    assert abs(pixels.astype(int) - 120).max() <= 2


def test_a_camera_that_was_held_sideways() -> None:
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        pixels, changes = decoded(saved(Image.fromarray(RGB), exif=exif))
        expected = {
            1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.transpose(1, 0, 2),
            6: np.rot90(RGB, -1), 7: np.rot90(RGB.transpose(1, 0, 2), 2), 8: np.rot90(RGB),
        }[orientation]  # fmt: skip
        np.testing.assert_array_equal(pixels, expected, err_msg=str(orientation))
        assert changes == ((TURNED,) if orientation > 1 else ())


def test_an_orientation_that_is_none_turns_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 42
    pixels, changes = decoded(saved(Image.fromarray(RGB), exif=exif))
    np.testing.assert_array_equal(pixels, RGB)
    assert changes == ()


def test_sixteen_bits_become_eight() -> None:
    deep = np.array([[0, 128, 129, 257], [32896, 65406, 65407, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels, changes = decoded(saved(Image.fromarray(deep), kind))
        assert changes == (DEEP,)
        # The nearest of 256 levels: 65535 is 255, and 257 of them make one.
        np.testing.assert_array_equal(pixels[..., 0], np.rint(deep / 257).astype(np.uint8))


def test_sixteen_bits_of_colour_are_told() -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", 65535, 0, 256, 1, 2, 3) for _ in range(2))
    pixels, changes = decoded(png(2, 2, 16, 2, zlib.compress(rows)))
    assert changes == (DEEP,)
    assert pixels.shape == (2, 2, 3)
    assert pixels[0, 0].tolist() == [255, 0, 1]


def png(width: int, height: int, bits: int, colour: int, content: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "kind", "change"),
    [
        ("P", "PNG", PALETTE),
        ("1", "PNG", BLACK),
        ("LA", "PNG", ALPHA),
        ("RGBA", "PNG", ALPHA),
        ("CMYK", "TIFF", COLOURS),
        ("CMYK", "JPEG", COLOURS),
        ("LAB", "TIFF", COLOURS),
    ],
)
def test_other_modes_become_grey_or_rgb_and_it_is_said(mode: str, kind: str, change: str) -> None:
    flat = Image.fromarray(np.full((6, 4, 3), 255, np.uint8))
    image = flat.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else None
    if image is None:
        image = Image.new("LAB", (4, 6), (255, 128, 128)) if mode == "LAB" else flat.convert(mode)
    pixels, changes = decoded(saved(image, kind))
    assert changes == (change,)
    assert pixels.shape == (6, 4, 1 if mode in ("1", "LA") else 3)
    assert pixels.min() >= 250


def test_what_is_behind_transparency_stays() -> None:
    image = Image.fromarray(np.concatenate([RGB, np.zeros((6, 4, 1), np.uint8)], axis=-1), "RGBA")
    pixels, changes = decoded(saved(image))
    np.testing.assert_array_equal(pixels, RGB)
    assert changes == (ALPHA,)


def test_a_palette_with_transparent_colours() -> None:
    image = Image.fromarray(RGB).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    expected = np.asarray(image.convert("RGB"))
    pixels, changes = decoded(saved(image, transparency=bytes([0, 128, 255])))
    np.testing.assert_array_equal(pixels, expected)
    assert changes == (PALETTE,)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_films_and_pages_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (0, 120, 250)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert refusal(data) == "several frames or pages; a single picture is asked"


def test_floating_point_and_32_bits_are_refused() -> None:
    assert "floating-point" in refusal(saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"))
    assert "32 bits" in refusal(saved(Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), "TIFF"))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = png(60_000, 60_000, 8, 0, zlib.compress(b"\0" * 1000))
    assert len(bomb) < 200
    assert "refused" in refusal(bomb)
    side = int(pictures.MAX_PIXELS**0.5) + 1
    assert f"over {pictures.MAX_PIXELS:,} are refused" in refusal(png(side, side, 8, 0, b""))


def test_a_bomb_of_words_beside_the_picture() -> None:
    text = zlib.compress(b"a" * (1 << 28))
    chunk = b"zTXt" + b"k\0\0" + text
    data = saved(Image.fromarray(RGB))
    bomb = (
        data[:33]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[33:]
    )
    assert refusal(bomb)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"no picture at all", b"%PDF-1.4", b"<svg/>", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture(data: bytes) -> None:
    assert refusal(data).startswith("no picture that can be read")


def test_what_is_cut_off_is_refused() -> None:
    data = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    assert refusal(data[: len(data) // 2]).startswith("cannot be read: ")


def test_what_another_library_told_pillow_does_not_matter(monkeypatch) -> None:
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint does when it is imported
    data = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    assert refusal(data[: len(data) // 2]).startswith("cannot be read: ")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_a_picture_or_refused_and_nothing_else(data) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    content = bytearray(saved(Image.fromarray(RGB), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels, _ = decoded(bytes(content))
    except ValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[-1] in (1, 3)


def test_the_further_views_of_a_camera_are_left_behind_the_picture() -> None:
    first, second = (Image.new("RGB", (16, 8), shade) for shade in ((120, 0, 0), (0, 0, 120)))
    pixels, _ = decoded(saved(first, "MPO", save_all=True, append_images=[second]))
    assert pixels.shape == (8, 16, 3)
    assert (pixels[0, 0] > 60).tolist() == [True, False, False]
