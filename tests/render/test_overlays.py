from __future__ import annotations

import io
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.render import specimens
from xai_audit.render import overlays


def of(values: list[list[float]]) -> overlays.Heat:
    found = overlays.heat({"width": len(values[0]), "height": len(values), "values": values})
    assert found is not None
    return found


maps = st.integers(1, 64).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(-1, 1, allow_nan=False), min_size=width, max_size=width), min_size=1, max_size=64
    )
)


@given(maps)
def test_blocks_and_ninths_keep_the_whole(values: list[list[float]]):
    seen = of(values)
    total = math.fsum(v for row in values for v in row)
    assert math.isclose(math.fsum(v for row in seen.values for v in row), total, abs_tol=1e-9)
    assert math.isclose(math.fsum(overlays.sums(seen)), total, abs_tol=1e-9)
    assert max(len(seen.values), len(seen.values[0])) <= overlays.MARKS
    for way in (1, -1):
        assert 0 <= overlays.mostly(seen, way)[1] <= 1 + 1e-9


@pytest.mark.parametrize(
    "broken",
    [None, {}, {"values": []}, {"values": [[]]}, {"values": [[1.0], [1.0, 2.0]]}, {"values": [[1.0], 2.0]}],
)
def test_what_is_no_map_is_none(broken):
    assert overlays.heat(broken) is None


@pytest.mark.parametrize("place", range(9))
def test_the_ninth_is_where_the_mark_is(place: int):
    values = [[0.0] * 9 for _ in range(9)]
    values[3 * (place // 3) + 1][3 * (place % 3) + 1] = 0.5
    assert overlays.mostly(of(values), 1) == (overlays.NINTHS[place], 1.0)
    assert overlays.mostly(of(values), -1) == ("", 0.0)


def test_the_sign_is_a_shape_and_the_area_the_amount():
    """Squares (straight lines) speak for, rings (arcs) against: no colour is needed to tell them apart."""
    drawn = str(overlays.marks(of([[1.0, 0.25], [-1.0, 0.0]]), 200, 200))
    filled, rings, holes = re.findall(r'<path d="([^"]*)" fill="(#\w+)"/>', drawn)
    assert "a" not in filled[0]
    assert filled[0].count("M") == 2
    sides = sorted(float(side) for side in re.findall(r"h(\d+\.\d)v", filled[0]))
    assert math.isclose((sides[1] / sides[0]) ** 2, 4, rel_tol=0.02)
    assert rings[0].count("a") == 2
    assert holes[1] == "#ffffff"
    assert {filled[1], rings[1]} == {overlays.FOR, overlays.AGAINST}


def luminance(colour: str) -> float:
    return sum(w * int(colour[i : i + 2], 16) / 255 for w, i in ((0.299, 1), (0.587, 3), (0.114, 5)))


def test_both_marks_stand_out_on_any_part_of_the_faded_picture():
    from xai_audit.render.palette import contrast
    from xai_audit.render.pictures import FADED

    darkest = round(255 * (1 - FADED))
    for colour in (overlays.FOR, overlays.AGAINST):
        for level in (darkest, 255):
            # A ring has its own white inside it; a square is dark all over.
            assert contrast(colour, f"#{level:02x}{level:02x}{level:02x}") >= 1.9
    assert luminance(overlays.FOR) < luminance(overlays.AGAINST)


def test_in_grey_a_square_is_dark_in_its_middle_and_a_ring_is_light():
    pytest.importorskip("weasyprint")
    pdfium = pytest.importorskip("pypdfium2")
    from weasyprint import HTML

    from xai_audit.render.pictures import framed

    seen = of([[1.0, -1.0]])
    ground = specimens.drawn(1).convert("L").resize((2, 1))
    svg = framed(ground, "two marks", [overlays.marks(seen, 240, 120)])
    page = HTML(string=f"<style>@page{{size:240px 120px;margin:0}}body{{margin:0}}</style>{svg}").write_pdf()
    image = pdfium.PdfDocument(io.BytesIO(page))[0].render(scale=4 / 3).to_pil().convert("L")
    assert image.getpixel((60, 60)) < 100
    assert image.getpixel((180, 60)) > 220
    assert image.getpixel((180, 60 - 44)) < 140  # the ring itself


def test_amounts_print_with_their_sign_and_never_as_a_signed_nothing():
    assert overlays.signed(0.1234, 2) == "+0.12"
    assert overlays.signed(-0.1234, 2) == "−0.12"
    assert overlays.signed(0.0001, 2) == "0"
    assert [overlays.digits(x) for x in (12.0, 1.2, 0.12, 0.012, 0.0)] == [2, 2, 2, 3, 2]


def test_the_table_of_ninths_has_the_same_numbers_as_the_words():
    seen = of(specimens.wave(32, 32, 1)["values"])
    table = overlays.listed(seen, "c")
    assert len(table.rows) == 9
    where, share = overlays.mostly(seen, 1)
    best = max(table.rows, key=lambda row: float(row.cells[1].sort))
    assert best.cells[0].text.lower() == where
    assert any(
        f"{100 * share:.0f}\u00a0%" in said and where in said
        for said in overlays.spoken(seen, ("against x", "for x"))
    )


def test_the_scale_stays_in_its_frame_at_both_widths():
    for svg in overlays.scale(0.3, ("against " + "x" * 99, "for y"), "t"):
        text = str(svg)
        assert "+0.300" in text
        assert "−0.075" in text
        assert "x" * 60 not in text
