from __future__ import annotations

import pytest

from tests.render import audits, specimens
from xai_audit.render import given


def test_pictures_with_their_size_and_texts_with_their_lengths():
    data = {
        "test": {
            "rows": 288,
            "sha256": "a" * 64,
            "path": "t",
            "width": {"min": 32, "max": 32},
            "height": {"min": 28, "max": 32},
            "channels": {"min": 1, "max": 1},
            "distinct_shapes": 2,
        }
    }
    (row,) = given.given(audits.audit([], [], "review", subject=specimens.subject("image", data=data))).rows
    assert [cell.text for cell in row.cells] == [
        "Test data",
        "288",
        "32 by 28 to 32 pixels; 1 channel; distinct shapes: 2",
    ]
    data = {"test": {"rows": 9, "characters": {"5%": 12, "50%": 96, "95%": 1640}}}
    (row,) = given.given(audits.audit([], [], "review", subject=specimens.subject("text", data=data))).rows
    assert (
        row.cells[2].text.replace("\u00a0", " ")
        == "characters: 12, 96 and 1,640 at 5 %, 50 % and 95 % of them"
    )


def test_a_table_is_told_by_its_columns_as_before():
    assert given.given(audits.failing()).rows == ()
    assert given.sets(audits.failing()).rows == ()


def test_sets_stand_with_their_digests():
    table = given.sets(specimens.images())
    assert [[cell.text.replace("\u00a0", " ") for cell in row.cells] for row in table.rows] == [
        ["random", "5,000", "ba17 c3f9", "pool"],
        ["stripes", "50", "9f3c 71ab", "concepts/stripes"],
    ]


@pytest.mark.parametrize("broken", [None, [], "x", {"stripes": None}])
def test_what_is_no_set_is_passed_over(broken):
    assert (
        given.sets(audits.audit([], [], "review", subject=specimens.subject("image", sets=broken))).rows == ()
    )
