"""The record of what pieces answered: canonical, small, and never a reason to import anything."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from xai_audit import digest, pieces
from xai_audit.pieces import Answered, Mapped, Record


def test_the_digest_of_arrays_is_that_of_their_names_types_shapes_and_little_endian_bytes():
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    expected = [["x", "<f8", [2, 3], hashlib.sha256(array.astype("<f8").tobytes()).hexdigest()]]
    assert pieces.of_arrays({"x": array}) == digest.of_value(expected)


@pytest.mark.parametrize(
    "other",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0).reshape(2, 3).astype(">f8"),
        np.repeat(np.arange(6.0).reshape(2, 3), 2, axis=1)[:, ::2],
    ],
    ids=["column order", "big-endian", "strided"],
)
def test_how_an_array_lies_in_memory_is_no_content(other):
    assert pieces.of_arrays({"x": other}) == pieces.of_arrays({"x": np.arange(6.0).reshape(2, 3)})


def test_the_bits_of_a_nan_are_no_content():
    negative = np.array([0xFFF8000000000000, 0x3FF0000000000000], dtype=np.uint64).view(np.float64)
    assert np.signbit(negative[0])
    assert pieces.of_arrays({"x": negative}) == pieces.of_arrays({"x": np.array([np.nan, 1.0])})


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.array([1.0, np.nextafter(2.0, 3)])},
        {"x": np.array([1.0, 2.0], dtype=np.float32)},
        {"x": np.array([1, 2])},
        {"x": np.array([[1.0, 2.0]])},
        {"y": np.array([1.0, 2.0])},
        {"x": np.array([1.0, 2.0]), "y": np.array([])},
        {},
    ],
)
def test_anything_else_is_content(other):
    assert pieces.of_arrays(other) != pieces.of_arrays({"x": np.array([1.0, 2.0])})


def test_objects_have_no_digest_and_scalars_keep_their_shape():
    assert pieces.of_arrays({"x": np.array([object()])}) is None
    assert pieces.of_arrays({"x": np.float64(1)}) != pieces.of_arrays({"x": np.array([1.0])})


def record() -> Record:
    one = Answered(piece="a" * 64, seed="0" * 32, answer="b" * 64)
    return Record(maps=(Mapped(step="shap", work="m:f", pieces=(one, one)),))


def test_a_record_comes_back_as_it_was_written_and_its_bytes_are_canonical():
    content = record().to_bytes()
    assert pieces.read(content) == record()
    assert content == (digest.canonical(json.loads(content)) + "\n").encode()
    assert json.loads(content)["schema"] == "xai-audit/pieces/1"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"[]", b"{}" * 2, b'{"schema": "xai-audit/pieces/2"}', b'{"maps": [{"step": 1}]}',
        b'{"maps": [], "more": 1}', b"[" * 100_000, b"null",
    ],
)  # fmt: skip
def test_what_is_no_record_is_told_in_one_line(content):
    with pytest.raises(ValueError) as caught:
        pieces.read(content)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200
