"""A store is written for its owner alone, in the place of an older one and of nothing else."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from tests.mechanistic.probing.stores import large
from xai_audit.errors import UnavailableError
from xai_audit.mechanistic.probing import building


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return large(tmp_path_factory.mktemp("stores") / "store", 400)


def test_contexts_are_the_rows_on_which_a_unit_is_largest(made):
    store, _ = made
    hit = store.by_predicate("p0", 1).hits[0]
    assert len(hit.contexts) == building.CONTEXTS
    assert store.rows(hit.contexts[:2]) == [f"row {place}" for place in hit.contexts[:2]]


def test_the_folder_is_its_owners_alone_and_knows_its_files(made):
    store, _ = made
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert store.damaged() == []


def test_a_store_is_replaced_and_nothing_else_is(tmp_path):
    folder = tmp_path / "here"
    large(folder, 100)
    store, _ = large(folder, 120)
    assert len(store) == 120
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(UnavailableError, match="something else"):
        large(other, 100)
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    assert replace(store.by_predicate("p0", 1).hits[0], p=None).p is None
