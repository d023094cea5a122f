"""What a forger changed in rows, answers, arrays and numbers, with every digest computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from tests.rerun.audits import CHECKS, again, broken, rewritten, units, with_arrays, with_record, with_rows
from xai_audit.rerun import steps


@pytest.mark.parametrize("row", [0, 57, 119])
def test_one_score_edited_with_every_digest_computed_again_is_found_by_any_draw(copy: Path, row: int):
    def edit(frame: pd.DataFrame) -> None:
        frame.loc[row, "score:1"] = np.nextafter(frame.loc[row, "score:1"], 1)

    with_rows(copy, edit)
    ((subject, what),) = broken(again(copy, 1))
    assert subject == "evidence/rows.parquet"
    assert what.startswith(f"1 of 120 rows hold another 'score:1'; the first is row {row}: ")


@pytest.mark.parametrize("column", ["prediction", "target", "group:g"])
def test_an_edited_decision_label_or_group_is_found(copy: Path, column: str):
    def edit(frame: pd.DataFrame) -> None:
        other = {"0": "1", "1": "0", "u": "v", "v": "u"}
        frame.loc[3, column] = other[frame.loc[3, column]]

    with_rows(copy, edit)
    assert "the first is row 3" in broken(again(copy, 1))[0][1]


@pytest.mark.parametrize(
    "change", [lambda f: f.iloc[1:], lambda f: f.assign(more=1), lambda f: f.drop(columns="group:g")]
)
def test_a_row_less_or_another_column_is_found(copy: Path, change: Any):
    with_rows(copy, change)
    assert broken(again(copy, 1))[0][0] == "evidence/rows.parquet"


def test_a_forged_answer_is_found_when_its_piece_or_its_step_is_drawn_and_only_then(copy: Path):
    def edit(record: dict) -> None:
        record["maps"][0]["pieces"][2]["answer"] = "0" * 64

    with_record(copy, edit)
    third = steps.Unit("shap", 0, 2)
    found = 0
    for seed in range(6):
        checks = again(copy, 6, seed=seed)
        everything = units(copy, *CHECKS)
        # A step that is drawn as a whole has all its pieces run.
        drawn = bool({third, steps.Unit("shap")} & {*steps.drawn(everything, 6, seed)})
        wrong = broken(checks)
        assert bool(wrong) == drawn, (seed, checks)
        found += drawn
        if drawn:
            assert wrong[0][1].startswith("piece 3 of 4 answers with sha256 ")
    # How often that is: 6 of 29 units are drawn.
    share = np.mean([third in steps.drawn(everything, 6, seed) for seed in range(2000)])
    low, high = binom.interval(1 - 1e-6, 2000, 6 / 29)
    assert low / 2000 <= share <= high / 2000
    assert 0 < found < 6


@pytest.mark.parametrize(
    ("identifier", "name"), [("shap", "phi"), ("lime", "coefficients"), ("lime", "fidelity")]
)
def test_a_forged_row_of_an_explanation_is_found_by_its_piece_though_the_record_is_untouched(
    copy: Path, identifier: str, name: str
):
    def edit(values: np.ndarray) -> np.ndarray:
        values[17] += 1e-9
        return values

    with_arrays(copy, identifier, name, edit)
    everything = units(copy, *CHECKS)
    second = steps.Unit(identifier, 0, 1)
    seeds = {second in steps.drawn(everything, 1, seed): seed for seed in range(500)}
    assert not broken(again(copy, 1, seed=seeds[False]))
    ((subject, what),) = broken(again(copy, 1, seed=seeds[True]))
    assert subject == identifier
    assert f"array {name} holds another answer for row" in what


@pytest.mark.parametrize(
    "identifier", ["shap", "shap/additivity", "permutation_importance", "partial_dependence/a"]
)
def test_a_forged_number_of_an_explanation_is_found_when_its_step_is_run_as_a_whole(
    copy: Path, identifier: str
):
    def edit(content: dict) -> None:
        piece = next(one for one in content["evidence"] if one["id"] == identifier)
        seen = piece["observation"]
        point = (seen.get("items") or [None])[0] or seen.get("series", [{}])[0].get("points", [seen])[0]
        point["estimate"]["value"] += 1e-6

    rewritten(copy, edit)
    wrong = broken(again(copy))
    assert [subject for subject, _ in wrong] == [identifier]
    assert "estimate.value" in wrong[0][1]


def test_evidence_that_is_said_to_be_skipped_or_is_left_out_is_found(copy: Path):
    def edit(content: dict) -> None:
        content["evidence"] = [one for one in content["evidence"] if not one["id"].startswith("lime")]
        for piece in content["evidence"]:
            if piece["id"].startswith("shap"):
                piece.update(status="skipped", reason="it needs a table", observation=None)

    rewritten(copy, edit)
    with_record(copy, lambda record: {**record, "maps": record["maps"][2:]})
    found = {subject.partition("/")[0] for subject, _ in broken(again(copy))}
    assert found == {"shap", "lime"}


def test_evidence_that_nobody_asked_for_is_found(copy: Path):
    def edit(content: dict) -> None:
        piece = next(one for one in content["evidence"] if one["id"] == "shap/additivity")
        content["evidence"].append({**piece, "id": "tcav/stripes", "method": "tcav"})
        content["evidence"].append({**piece, "id": "lime/faithfulness", "method": "lime"})

    rewritten(copy, edit)
    assert {subject for subject, _ in broken(again(copy))} == {"tcav/stripes", "lime/faithfulness"}


def test_forged_facts_of_the_data_are_found(copy: Path):
    rewritten(copy, lambda content: content["subject"]["facts"]["train_test_overlap"].update(count=3))
    assert broken(again(copy, 1)) == [
        ("subject", "'facts.train_test_overlap.count' is '3' in the audit and '0' here")
    ]
