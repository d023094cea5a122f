"""On another machine last digits may differ; what is further off is said."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np

from tests.rerun.audits import again, all_hold, broken, rewritten, with_arrays, with_record, with_rows


def test_elsewhere_last_digits_may_differ_and_what_is_further_off_is_said(copy: Path):
    def elsewhere(content: dict) -> None:
        content["run"]["host"] = "auditor\x1b[31m"
        content["environment"]["packages"]["numpy"] = "1.0"

    rewritten(copy, elsewhere)
    assert all_hold(again(copy))
    with_rows(copy, lambda frame: frame.__setitem__("score:1", frame["score:1"] * (1 + 1e-9)))
    checks = again(copy, 1)
    (rows,) = [check for check in checks if check.subject == "evidence/rows.parquet"]
    assert rows.kind == "holds"
    assert "scores to 1e-06 of the largest (here 1e-09)" in rows.what
    with_rows(copy, lambda frame: frame.__setitem__("score:1", frame["score:1"] * (1 + 1e-5)))
    ((_, what),) = broken(again(copy, 1))
    assert "numpy 1.0 there and" in what
    assert "\x1b" not in what


def test_elsewhere_an_unequal_answer_is_left_open_unless_the_evidence_holds_it(copy: Path):
    def edit(record: dict) -> None:
        for one in record["maps"]:
            for piece in one["pieces"]:
                piece["answer"] = "0" * 64

    rewritten(copy, lambda content: content["run"].update(host="another"))
    with_record(copy, edit)
    checks = again(copy)
    assert not broken(checks)
    told = [check for check in checks if check.subject == "shap" and "pieces" in check.what]
    assert told[0].kind == "holds"
    assert "other last digits, and to 1e-06 what the evidence holds" in told[0].what
    left = [
        check for check in checks if check.subject == "permutation_importance" and check.kind == "unchecked"
    ]
    assert len(left) == 8
    assert f"the run was on host 'another', this is {socket.gethostname()!r}" in left[0].what

    def off(values: np.ndarray) -> np.ndarray:
        values[17] *= 1.001
        return values

    with_arrays(copy, "shap", "phi", off)
    assert any(check.kind == "unchecked" and "array phi holds another" in check.what for check in again(copy))
