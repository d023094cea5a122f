from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from xai_audit import audit, compare
from xai_audit.compare.rows import Rows, of_bytes, paired
from xai_audit.errors import UnavailableError


def rows(names: list[str], ids: list[str] | None = None) -> Rows:
    digest = np.array([hashlib.sha256(name.encode()).hexdigest() for name in names], dtype="S64")
    return Rows(
        digest=digest, task="classification", classes=("0", "1"), target=np.array(["0"] * len(names), dtype=object),
        prediction=np.array(["1"] * len(names), dtype=object), scores={}, groups={},
        ids=None if ids is None else np.array(ids, dtype=object),
    )  # fmt: skip


def many(count: int, start: int = 0) -> list[str]:
    return [f"row {i}" for i in range(start, start + count)]


def test_equal_rows_are_matched_by_occurrence() -> None:
    old, new = rows(["a", "a", "b", *many(40)]), rows(["a", "b", "b", *many(40)])
    found = paired(old, new, 0)
    assert (found.matched.common, found.matched.by) == (42, "content")
    assert [bytes(x) for x in old.digest[found.old_places]] == [
        bytes(x) for x in new.digest[found.new_places]
    ]
    assert len(set(found.old_places.tolist())) == 42


def test_the_order_of_rows_is_no_matter() -> None:
    names = many(60)
    backwards = paired(rows(names), rows(names[::-1]), 10)
    assert backwards.matched.same
    assert backwards.old_places.tolist() == list(range(60))[::-1]


def test_a_few_rows_more_are_hidden_among_pairs_left_out() -> None:
    found = paired(rows(many(100)), rows(many(97)), 10)
    assert (found.matched.common, found.matched.used) == (97, 90)
    assert "subtraction" in (found.matched.reason or "")
    assert paired(rows(many(100)), rows(many(90)), 10).matched.used == 90
    assert paired(rows(many(100)), rows(many(100)), 10).matched.used == 100


def test_too_few_common_rows_are_no_pairs() -> None:
    found = paired(rows(many(100)), rows(many(100, start=60)), 10)
    assert not found.any
    assert (found.matched.common, found.matched.by) == (40, "none")
    assert "40 of 100" in (found.matched.reason or "")
    assert not paired(rows(many(20)), rows(many(20)[:-1]), 0).any


def test_rows_whose_cells_changed_are_recognised_by_their_id() -> None:
    ids = [f"p{i}" for i in range(50)]
    found = paired(rows(many(50), ids), rows(many(50, start=900), ids[::-1]), 10)
    assert (found.matched.by, found.matched.used) == ("id", 50)
    assert found.old_places.tolist() == list(range(50))[::-1]
    # An id that comes twice recognises nobody.
    assert not paired(rows(many(50), ["p"] * 50), rows(many(50, start=900), ids), 10).any


def test_without_rows_nothing_is_matched_and_why_is_said() -> None:
    assert "the old audit" in (paired(None, rows(many(40)), 10).matched.reason or "")
    assert "either audit" in (paired(None, None, 10).matched.reason or "")


def test_rows_of_another_audit_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = (audit.read(folder) for folder in two)
    content = (two[0] / "evidence" / "rows.parquet").read_bytes()
    assert len(of_bytes(content, old.subject, "rows.parquet")) == 600
    with pytest.raises(UnavailableError, match="not the rows that audit"):
        of_bytes(content, new.subject, "rows.parquet")
    with pytest.raises(UnavailableError, match="no rows of an audit"):
        of_bytes(content[:500], old.subject, "rows.parquet")
    with pytest.raises(UnavailableError, match="there is no audit here"):
        compare.opened(tmp_path)
