from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from tests.compare.versions import BINARY, Version, audited, people
from xai_audit import audit, compare
from xai_audit.comparison import Comparison
from xai_audit.errors import SpecError


def compared(old: Path, new: Path) -> Comparison:
    return compare.compare(compare.opened(old), compare.opened(new))


@pytest.fixture(scope="module")
def made(two: tuple[Path, Path]) -> Comparison:
    return compared(*two)


def test_every_number_of_the_rows_is_compared_row_by_row(made: Comparison) -> None:
    assert made.matched.by == "id"  # the scores are columns of the rows, so their digests differ
    assert made.matched.same
    unpaired = {one.method for one in made.changes if one.how == "unpaired" and one.part != "ratio"}
    checks = {
        "baseline_improvement",
        "invalid_labels",
        "target_leak",
        "train_test_overlap",
        "unusual_input_failures",
    }
    assert unpaired - checks == {"expected_calibration_error"}
    assert {one.part for one in made.changes} == {"overall", "group", "gap", "ratio"}
    assert any(len(one.by) == 2 for one in made.changes)


def test_values_are_those_of_both_audits_and_their_difference(
    made: Comparison, two: tuple[Path, Path]
) -> None:
    tables = [
        pd.read_parquet(folder / "evidence" / "rows.parquet").set_index("id").sort_index() for folder in two
    ]
    y = tables[0].target == "1"
    for method, of in (
        ("accuracy", lambda t: sk.accuracy_score(t.target, t.prediction)),
        ("f1", lambda t: sk.f1_score(y, t.prediction == "1")),
        ("matthews_corrcoef", lambda t: sk.matthews_corrcoef(y, t.prediction == "1")),
        ("roc_auc", lambda t: sk.roc_auc_score(y, t["score:1"])),
        ("log_loss", lambda t: sk.log_loss(y, t["score:1"])),
        ("brier_score", lambda t: sk.brier_score_loss(y, t["score:1"])),
    ):
        change = next(one for one in made.changes if one.evidence == method and one.part == "overall")
        assert change.how == "paired"
        assert change.change is not None
        assert change.change.value == pytest.approx(of(tables[1]) - of(tables[0]), abs=1e-12)
        assert change.direction == "better", method
    brier = next(
        one for one in made.changes if one.evidence == "brier_score" and one.part == "overall"
    ).change
    reference = stats.ttest_rel(
        (tables[1]["score:1"] - y) ** 2, (tables[0]["score:1"] - y) ** 2
    ).confidence_interval(0.95)
    assert (brier.low, brier.high) == pytest.approx(tuple(reference))


def test_swapped_audits_say_the_opposite(made: Comparison, two: tuple[Path, Path]) -> None:
    other = compared(two[1], two[0])
    turned = {(one.evidence, one.part, tuple(one.key.items())): one for one in other.changes}
    assert len(turned) == len(made.changes)
    for one in made.changes:
        back = turned[one.evidence, one.part, tuple(one.key.items())]
        assert (one.old, one.new) == (back.new, back.old)
        assert back.how == one.how
        assert one.change is not None
        assert back.change is not None
        assert back.change.value == pytest.approx(-one.change.value, abs=1e-12)
        assert back.change.low == pytest.approx(-one.change.high, abs=1e-9)
        assert back.change.high == pytest.approx(-one.change.low, abs=1e-9)
    assert {one.rule for one in other.verdicts} == {one.rule for one in made.verdicts}


def test_an_audit_beside_itself_has_not_changed(two: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(two[0], copy)
    made = compared(two[0], copy)
    assert made.same
    assert {one.how for one in made.changes if one.how != "unpaired"} == {"same"}
    assert all(one.change is not None and one.change.value == 0 for one in made.changes)
    assert not made.verdicts
    assert not made.spec


def test_another_order_of_rows_changes_nothing(
    two: tuple[Path, Path], made: Comparison, tmp_path: Path
) -> None:
    shuffled = people(600, better=0.3).sample(frac=1, random_state=1)
    audited(tmp_path / "new", shuffled, Version(version="2", metrics=BINARY))
    again = compared(two[0], tmp_path / "new")
    assert again.changes == made.changes
    assert again.drift == made.drift


def test_small_groups_stay_hidden(made: Comparison, two: tuple[Path, Path]) -> None:
    """What neither audit shows, the comparison does not tell either, in its numbers or in its text."""
    hidden = {
        (piece.id, tuple(group.key.items()))
        for folder in two
        for piece in audit.read(folder).evidence
        if piece.observation is not None and piece.observation.shape == "groups"
        for group in piece.observation.groups
        if group.status == "suppressed"
    }
    assert hidden
    assert not hidden & {(one.evidence, tuple(one.key.items())) for one in made.changes}
    ids = pd.read_parquet(two[0] / "evidence" / "rows.parquet")["id"]
    text = made.to_json()
    assert not [one for one in ids if one in text]


def test_a_group_with_a_few_more_people_is_told_from_published_numbers_alone(tmp_path: Path) -> None:
    """Were the change told on the common rows, the few that left could be had by subtraction."""
    table = people(400)
    audited(tmp_path / "old", table)
    gone = table[table.sex == "f"].head(4).index
    audited(tmp_path / "new", people(400, better=0.3).drop(gone), Version(version="2"))
    made = compared(tmp_path / "old", tmp_path / "new")
    assert (made.matched.common, made.matched.used) == (396, 390)
    women = next(one for one in made.changes if one.evidence == "accuracy/sex" and one.key == {"sex": "f"})
    assert women.how == "unpaired"
    assert "fewer than 10" in (women.reason or "")
    men = next(one for one in made.changes if one.evidence == "accuracy/sex" and one.key == {"sex": "m"})
    assert men.how == "paired"


def test_other_people_are_compared_as_such(two: tuple[Path, Path], tmp_path: Path) -> None:
    table = people(500, seed=9)
    table["person"] = [f"q{i}" for i in range(500)]
    audited(tmp_path / "new", table, Version(version="2"))
    made = compared(two[0], tmp_path / "new")
    assert made.matched.by == "none"
    assert {one.how for one in made.changes} == {"unpaired"}
    accuracy = next(one for one in made.changes if one.evidence == "accuracy" and one.part == "overall")
    old, new = accuracy.old, accuracy.new
    assert accuracy.change.low == pytest.approx(
        new.value - old.value - np.hypot(new.value - new.low, old.high - old.value)
    )
    kinds = {one.what: one for one in made.drift}
    score = kinds["distribution of score of 1"]
    tables = [pd.read_parquet(folder / "evidence" / "rows.parquet") for folder in (two[0], tmp_path / "new")]
    reference = stats.ks_2samp(tables[0]["score:1"], tables[1]["score:1"], method="asymp")
    assert (score.change.value, score.p) == (
        pytest.approx(reference.statistic),
        pytest.approx(reference.pvalue),
    )
    assert (score.n_old, score.n_new) == (600, 500)
    label = kinds["share of label 1"]
    assert label.change.low <= label.change.value <= label.change.high


def test_without_its_rows_an_audit_is_compared_by_what_it_publishes(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "old"
    shutil.copytree(two[0], copy)
    shutil.rmtree(copy / "evidence")
    made = compared(copy, two[1])
    assert {one.how for one in made.changes} == {"unpaired"}
    assert "the old audit is not there" in (made.matched.reason or "")


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut off", b"", b"\x93NUMPY\x01\x00"])
def test_arrays_that_cannot_be_read_are_not_there(content: bytes, tmp_path: Path) -> None:
    copy, golden = tmp_path / "new", Path(__file__).parents[1] / "golden" / "v1"
    shutil.copytree(golden, copy)
    for file in (copy / "evidence").glob("*.npz"):
        file.write_bytes(content)
    ranked = compared(golden, copy).rankings
    assert ranked
    assert "paired" not in {one.how for one in ranked}


def test_reasons_name_what_differs(two: tuple[Path, Path], tmp_path: Path) -> None:
    policy = (Path(__file__).parents[2] / "policies" / "eu-ai-act.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(
        policy.replace("at_least: 0.8\n", "at_least: 0.999\n").replace("id: eu-ai-act", "id: mine")
    )
    (tmp_path / "mine2.yaml").write_text(
        policy.replace("at_least: 0.8\n", "at_least: 0.2\n").replace("id: eu-ai-act", "id: mine")
    )
    audited(tmp_path / "old", people(600), Version(policies="mine.yaml"))
    waiver = ", waivers: [{rule: DAT-06, reason: known, approver: A. Person, expires: 2099-01-01}]"
    words = ", provider: {name: P}, statements: {data_gaps: {text: None that matter., author: P, date: 2026-11-01}}"
    audited(tmp_path / "new", people(600), Version(version="1", policies="mine2.yaml", system=waiver + words))
    made = compared(tmp_path / "old", tmp_path / "new")
    reasons = {one.rule: " ".join(one.reasons) for one in made.verdicts}
    assert "the policy changed: at_least 0.999 before, 0.2 now" in reasons["FAI-01"]
    assert "data_gaps is stated now" in reasons["DAT-11"]
    assert "waived until 2099-01-01 by A. Person" in reasons["DAT-06"]
    assert [(one.kind, one.rule) for one in made.waivers] == [("new", "DAT-06")]
    assert {digest.what for digest in made.digests if digest.changed} >= {"spec", "policy mine"}
    assert any(key.key.startswith("system.statements.data_gaps") for key in made.spec)


def test_a_waiver_that_ran_out_is_expired(two: tuple[Path, Path], tmp_path: Path) -> None:
    sides = []
    for name, day in (("old", "2027-01-01"), ("new", "2027-06-01")):
        copy = tmp_path / name
        shutil.copytree(two[0], copy)
        content = json.loads((copy / "audit.json").read_text())
        content["run"]["started"] = f"{day}T00:00:00+00:00"
        content["spec"]["system"]["waivers"] = [
            {"rule": "DAT-06", "reason": "known", "approver": "A", "expires": "2027-03-01", "expired": False}
        ]
        (copy / "audit.json").write_text(json.dumps(content))
        sides.append(copy)
    assert [one.kind for one in compared(*sides).waivers] == ["expired"]
    assert "later one" in compared(*sides[::-1]).notes[0]


def test_another_task_or_positive_class_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    audited(tmp_path / "other", people(300), Version(model="score: score, positive: 0"))
    with pytest.raises(SpecError, match="its positive class is 1, and this audit's is 0"):
        compared(two[0], tmp_path / "other")
    table = people(200).assign(pred=lambda t: t.score * 3)
    audited(
        tmp_path / "numbers", table.drop(columns="score").assign(y=table.score.to_numpy()[::-1]),
        Version(model="prediction: pred, task: regression", metrics="mean_absolute_error"),
    )  # fmt: skip
    with pytest.raises(SpecError, match="its task is classification, and this audit's is regression") as told:
        compared(two[0], tmp_path / "numbers")
    assert told.value.exit_code == 2


def test_the_same_comparison_is_the_same_bytes(two: tuple[Path, Path], made: Comparison) -> None:
    text = made.to_json()
    assert compared(*two).to_json() == text
    content = json.loads(text)
    assert content["schema"] == "xai-audit/comparison/1"
    assert Comparison.model_validate(content) == made


# ------------------------------------------------------------------------------------------------------------ real people
F = ["age", "priors_count", "juv_fel_count", "juv_misd_count", "c_charge_degree"]


def test_two_real_models_on_compas(shared_data: Path, tmp_path: Path) -> None:
    import skops.io
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from xai_audit import pipeline
    from xai_audit.reading import read_policies, read_specs

    table = pd.read_csv(shared_data / "compas" / "compas_two_years.csv")[[*F, "sex", "two_year_recid"]]
    train, test = table.iloc[::2], table.iloc[1::2].head(1200)
    test.to_csv(tmp_path / "test.csv", index=False)
    for name, strength in (("old", 1.0), ("new", 0.0005)):
        columns = make_column_transformer((OneHotEncoder(), ["c_charge_degree"]), remainder=StandardScaler())
        model = make_pipeline(columns, LogisticRegression(C=strength)).fit(train[F], train.two_year_recid)
        skops.io.dump(model, tmp_path / f"{name}.skops")
        (tmp_path / f"{name}.yaml").write_text(
            f"version: 1\nsystem: {{name: Recidivism, version: '{name}'}}\nmodel: {{path: {name}.skops, positive: 1}}\n"
            f"data: {{test: {{path: test.csv}}, target: two_year_recid, features: [{', '.join(F)}], sensitive: [sex]}}\n"
            "explainers: [{shap: {rows: 60, background: 20}}]\nmetrics: [accuracy, roc_auc]\npolicies: [eu-ai-act]\n"
            "report: {formats: []}\n"
        )
        (spec,) = read_specs((str(tmp_path / f"{name}.yaml"),), ())
        baseline = tmp_path / "out-old" if name == "new" else None
        policies = read_policies(spec.policies, tmp_path)
        pipeline.run(spec, policies, tmp_path / f"out-{name}", pipeline.Options(baseline=baseline))
    made = compared(tmp_path / "out-old", tmp_path / "out-new")
    assert made.matched.by == "content"
    assert made.matched.same
    rows = [
        pd.read_parquet(tmp_path / f"out-{name}" / "evidence" / "rows.parquet") for name in ("old", "new")
    ]
    assert rows[0].digest.equals(rows[1].digest)
    right = [(t.target == t.prediction).to_numpy() for t in rows]
    (leading,) = made.leading
    assert leading.how == "paired"
    assert leading.change.value == pytest.approx(right[1].mean() - right[0].mean())
    decided = next(one for one in made.drift if one.what == "rows decided otherwise")
    assert decided.change.value == pytest.approx((rows[0].prediction != rows[1].prediction).mean())
    shap = [one for one in made.rankings if one.evidence == "shap"]
    assert {one.how for one in shap} == {"paired"}
    assert {one.name for one in shap} == set(F)
    # So strong a penalty shrinks what every input moves the score by.
    age = next(one for one in shap if one.name == "age")
    assert age.change.high < 0
    # The run with a baseline says the same of the primary metric, in its own evidence.
    kept = audit.read(tmp_path / "out-new").get("performance_change")
    assert kept.observation.estimate.value == leading.change.value
    assert (kept.observation.estimate.low, kept.observation.estimate.high) == (
        leading.change.low,
        leading.change.high,
    )
