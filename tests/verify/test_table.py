"""Rows that are not what audit.json says of them, and files that are no rows: told in one line, never a traceback."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.verify.audits import Made, made
from xai_audit import digest
from xai_audit.verify.recount import recount
from xai_audit.verify.table import FILE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made("decided", tmp_path_factory.mktemp("run"))


@pytest.fixture
def folder(run: Made, tmp_path: Path) -> Path:
    shutil.copytree(run.folder, tmp_path / "out")
    return tmp_path / "out"


def told(run: Made, folder: Path, *, trusted: bool = True) -> dict[str, str]:
    """What is broken; ``trusted``: run.rows is that of the file as it now is, as a forger would see to."""
    made = run.audit
    if trusted and (folder / FILE).is_file():
        made = made.model_copy(update={"run": {**made.run, "rows": digest.of_file(folder / FILE)}})
    return {check.subject: check.what for check in recount(made, folder) if check.kind == "broken"}


def put(folder: Path, name: str, values: pa.Array | None) -> None:
    rows = pq.read_table(folder / FILE)
    place = rows.column_names.index(name)
    rows = rows.remove_column(place)
    if values is not None:
        rows = rows.add_column(place, name, values)
    pq.write_table(rows, folder / FILE)


def test_rows_that_are_as_they_were_hold(run: Made, folder: Path) -> None:
    assert told(run, folder, trusted=False) == {}


def test_a_changed_file_is_told_by_its_digest(run: Made, folder: Path) -> None:
    rows = pq.read_table(folder / FILE)
    pq.write_table(rows, folder / FILE, compression="gzip")
    assert told(run, folder, trusted=False)[FILE].startswith("its sha256 is ")
    assert told(run, folder) == {}


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("digest", None, "has no column 'digest'"),
        ("target", None, "has no column 'target'"),
        ("prediction", None, "has no column 'prediction'"),
        ("score:1", None, "has no column 'score:1'"),
        ("group:sex", None, "has no column 'group:sex'"),
        ("row", None, "has no column 'row'"),
        ("prediction", lambda n: pa.array(["maybe"] * n), "prediction holds 'maybe', which audit.json does not name"),
        ("prediction", lambda n: pa.array([None] * n, pa.string()), "prediction has a row without a value"),
        ("prediction", lambda n: pa.array([1] * n), "prediction holds no words"),
        ("score:1", lambda n: pa.array([float("nan")] * n), "score:1 holds a value that is missing or infinite"),
        ("score:1", lambda n: pa.array(["high"] * n), "score:1 holds no numbers"),
        ("score:1", lambda n: pa.array([[0.5]] * n), "score:1 holds no numbers"),
        ("score:1", lambda n: pa.array([1.5] * n), "a score lies outside [0, 1]"),
        ("group:sex", lambda n: pa.array(["3"] * n), "group:sex holds '3', which audit.json does not name"),
        ("digest", lambda n: pa.array(["no sha"] * n), "digest holds what is no sha256"),
        ("digest", lambda n: pa.array([7] * n), "digest holds what is no sha256"),
        ("digest", lambda n: pa.array([f"{n - k:064x}" for k in range(n)]), "its rows are not in the order of their digests"),
        ("row", lambda n: pa.array([*range(1, n), 0]), "its rows are not numbered 0, 1, 2, ..."),
    ],
)  # fmt: skip
def test_a_column_that_is_not_what_it_is_called(
    run: Made, folder: Path, name: str, values: Callable[[int], pa.Array] | None, words: str
) -> None:
    n = pq.read_metadata(folder / FILE).num_rows
    put(folder, name, None if values is None else values(n))
    found = [
        check.what for check in recount(run.audit, folder) if check.kind == "broken" and check.subject == FILE
    ]
    assert any(words in what for what in found), found


def test_changed_rows_are_told_by_the_numbers_they_give(run: Made, folder: Path) -> None:
    rows = pq.read_table(folder / FILE)
    called = rows["prediction"].to_pylist()
    called[0] = "0" if called[0] == "1" else "1"
    put(folder, "prediction", pa.array(called))
    found = told(run, folder)
    assert {"accuracy", "selection_rate", "confusion_matrix", "selection_rate/sex"} <= set(found)
    assert "recomputed it is" in found["selection_rate"]
    # Scores are not decisions here: what rests on them alone still holds.
    assert "roc_auc" not in found


def test_rows_left_out_or_told_twice_are_not_the_data(run: Made, folder: Path) -> None:
    rows = pq.read_table(folder / FILE)
    for other in (rows.slice(1), pa.concat_tables([rows, rows.slice(0, 1)]), rows.slice(0, 0)):
        pq.write_table(other, folder / FILE)
        assert FILE in told(run, folder)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100, b"not a table"])
def test_what_is_no_parquet_leaves_all_unchecked(run: Made, folder: Path, content: bytes) -> None:
    (folder / FILE).write_bytes(content)
    checks = list(recount(run.audit, folder))
    assert {check.subject for check in checks if check.kind == "broken"} == {FILE}
    assert {check.subject for check in checks if check.kind == "unchecked"} == {
        piece.id for piece in run.audit.evidence if piece.kind == "metric"
    }
    (folder / FILE).unlink()
    assert "cannot be read: No such file" in told(run, folder)[FILE]


def test_no_changed_byte_is_a_traceback(run: Made, folder: Path) -> None:
    path, rng = folder / FILE, random.Random(1)
    content = path.read_bytes()
    for _ in range(20):
        place = rng.randrange(len(content))
        path.write_bytes(
            content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]
        )
        assert told(run, folder, trusted=False)[FILE]


def test_decisions_are_held_to_the_scores_of_a_model(tmp_path: Path) -> None:
    run = made("weighted", tmp_path)
    rows = pq.read_table(run.folder / FILE)
    score = np.asarray(rows["score:1"])
    put(run.folder, "score:1", pa.array(1 - score))
    put(run.folder, "score:0", pa.array(score))
    found = [check.what for check in recount(run.audit, run.folder) if check.subject == FILE]
    assert any("predictions are not those that the scores give" in what for what in found)
