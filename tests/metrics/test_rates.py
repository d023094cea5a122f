from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.subjects import classifier, crossing, grouping, observed
from xai_audit.measure import Settings

AEQUITAS = {
    "fpr": "false_positive_rate", "fnr": "false_negative_rate", "fdr": "false_discovery_rate", "for": "false_omission_rate",
    "npv": "negative_predictive_value", "precision": "precision", "tpr": "true_positive_rate", "tnr": "true_negative_rate",
    "pprev": "selection_rate", "ppr": "predicted_positive_share", "prev": "prevalence",
}  # fmt: skip
ALL_SHOWN = Settings(debug=True, min_cell=0, min_n=1, min_label=0)


@pytest.fixture(scope="module")
def compas(shared_data: Path) -> pd.DataFrame:
    return pd.read_csv(shared_data / "compas" / "compas_two_years.csv")


def values(evidence, by):
    return {tuple(group.key.values()): group for group in evidence[by].observation.groups}


def test_compas_gives_propublicas_error_rates_with_intervals(compas: pd.DataFrame) -> None:
    subject = classifier(
        compas["two_year_recid"],
        (compas["decile_score"] >= 5).astype(int),
        [grouping("race", compas["race"])],
    )
    found = observed(subject, "false_positive_rate", "false_negative_rate")
    fpr, fnr = values(found, "false_positive_rate/race"), values(found, "false_negative_rate/race")
    published = {"African-American": (0.4485, 0.2799), "Caucasian": (0.2345, 0.4772)}
    for race, (positive, negative) in published.items():
        for group, rate in ((fpr[(race,)], positive), (fnr[(race,)], negative)):
            assert round(group.estimate.value, 4) == rate
            assert group.estimate.low < rate < group.estimate.high
            assert group.status == "measured"


def test_compas_tiny_groups_are_insufficient_and_never_a_reference(compas: pd.DataFrame) -> None:
    subject = classifier(
        compas["two_year_recid"],
        (compas["decile_score"] >= 5).astype(int),
        [grouping("race", compas["race"])],
    )
    found = observed(subject, "false_positive_rate", "false_negative_rate")
    for metric in ("false_positive_rate", "false_negative_rate"):
        table = values(found, f"{metric}/race")
        assert table[("Native American",)].status == "insufficient"
        references = {contrast.to for group in table.values() for contrast in group.contrasts.values()}
        assert not references & {"Native American"}
        assert "Native American" not in found[f"{metric}/race"].observation.summary.between
    # 32 people, 9 of whom reoffended: too few positives to say anything of misses.
    assert values(found, "false_negative_rate/race")[("Asian",)].status == "insufficient"


def test_aequitas_published_cells_are_reproduced(shared_data: Path) -> None:
    folder = shared_data / "aequitas_reference"
    rows = pd.read_csv(folder / "compas_for_aequitas.csv")
    published = pd.read_csv(folder / "published_compas_group_metrics.csv")
    columns = ("race", "sex", "age_cat")
    subject = classifier(rows["label_value"], rows["score"], [grouping(name, rows[name]) for name in columns])
    # The small groups are shown here, since the published table shows them.
    found = observed(subject, *dict.fromkeys(AEQUITAS.values()), settings=ALL_SHOWN)
    cells = 0
    for _, row in published.iterrows():
        groups = {
            short: values(found, f"{metric}/{row['attribute_name']}")[(row["attribute_value"],)]
            for short, metric in AEQUITAS.items()
        }
        ours = {short: group.estimate.value for short, group in groups.items()}
        # Counts are the published rates' numerators and denominators, as kept beside ours.
        ours |= {
            "group_size": groups["pprev"].n,
            "group_label_pos": groups["tpr"].count,
            "group_label_neg": groups["fpr"].count,
            "pp": groups["precision"].count,
            "pn": groups["npv"].count,
        }
        for short, rate in (("tp", "tpr"), ("fn", "fnr"), ("fp", "fpr"), ("tn", "tnr")):
            ours[short] = groups[rate].estimate.value * groups[rate].count
        for short in published.columns.drop(["attribute_name", "attribute_value"]):
            assert ours[short] == pytest.approx(row[short], abs=5e-7), (short, row["attribute_value"])
            cells += 1
    assert cells == 220


def test_published_base_rates_of_the_shared_tables(shared_data: Path) -> None:
    german = pd.read_csv(shared_data / "german_credit" / "german_credit.csv")
    subject = classifier(
        german["good_credit"], german["good_credit"],
        [grouping("sex", german["sex"]), grouping("old", np.where(german["age"] > 25, "over 25", "25 or under"))],
    )  # fmt: skip
    found = observed(subject, "prevalence")
    assert values(found, "prevalence/sex")[("male",)].estimate.value == pytest.approx(0.7232, abs=5e-5)
    assert values(found, "prevalence/sex")[("female",)].estimate.value == pytest.approx(0.6484, abs=5e-5)
    assert values(found, "prevalence/old")[("25 or under",)].estimate.value == pytest.approx(0.5789, abs=5e-5)


def test_a_group_without_positives_is_undefined_and_never_zero() -> None:
    true = [0] * 40 + [1] * 40
    subject = classifier(true, [0, 1] * 40, [grouping("g", ["a"] * 40 + ["b"] * 40)])
    group = values(observed(subject, "recall"), "recall/g")[("a",)]
    assert (group.status, group.reason, group.estimate) == ("undefined", "no positives", None)


def test_missing_values_are_shown_and_never_a_reference() -> None:
    rng = np.random.default_rng(4)
    labels = rng.choice(["a", "b"], 300).tolist()
    labels[:60] = [None] * 60
    subject = classifier(
        rng.integers(0, 2, 300), [1] * 60 + rng.integers(0, 2, 240).tolist(), [grouping("g", labels)]
    )
    found = observed(subject, "selection_rate")["selection_rate/g"].observation
    shown = {group.key["g"]: group for group in found.groups}
    assert shown["missing"].estimate.value == 1.0
    assert not shown["missing"].contrasts
    assert "missing" not in found.summary.between


def test_small_cells_are_suppressed_and_so_is_the_one_that_gives_them_away() -> None:
    sizes = {"a": 100, "b": 50, "c": 4}
    labels = [name for name, size in sizes.items() for _ in range(size)]
    subject = classifier([0, 1] * 77, [0, 1] * 77, [grouping("g", labels)])
    shown = values(observed(subject, "accuracy"), "accuracy/g")
    assert {name[0]: (group.status, group.reason) for name, group in shown.items()} == {
        "a": ("measured", None), "b": ("suppressed", "withheld"), "c": ("suppressed", "n < 10"),
    }  # fmt: skip
    assert all(group.n is None for group in shown.values() if group.status == "suppressed")


def test_what_a_shown_margin_leaves_of_a_line_is_nobody_or_no_small_group() -> None:
    rng = np.random.default_rng(11)
    for _ in range(30):
        one = grouping("a", rng.choice(list("xyz"), 120, p=[0.6, 0.3, 0.1]).tolist())
        other = grouping("b", rng.choice(list("uvw"), 120, p=[0.7, 0.2, 0.1]).tolist())
        subject = classifier(None, rng.integers(0, 2, 120), [one, other, crossing(one, other)])
        found = observed(subject, "selection_rate")
        table = found["selection_rate/a+b"].observation.groups
        for column in ("a", "b"):
            for margin in found[f"selection_rate/{column}"].observation.groups:
                line = [group for group in table if group.key[column] == margin.key[column]]
                hidden = [group for group in line if group.status == "suppressed"]
                if margin.n is not None:
                    left = margin.n - sum(group.n for group in line if group.n is not None)
                    assert left == 0 or left >= 10
                    assert bool(hidden) <= bool(left)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_row_order_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 200
    true, predicted = rng.integers(0, 2, n), rng.integers(0, 2, n)
    labels = rng.choice(["a", "b", "c"], n)
    order = rng.permutation(n)
    texts = []
    for index in (np.arange(n), order):
        subject = classifier(true[index], predicted[index], [grouping("g", labels[index].tolist())])
        found = observed(subject, "accuracy", "recall", "demographic_parity_ratio", "f1", "matthews_corrcoef")
        texts.append(json.dumps({key: piece.model_dump(mode="json") for key, piece in found.items()}))
    assert texts[0] == texts[1]


def test_with_three_classes_the_class_is_one_more_key() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 3, 600), rng.integers(0, 3, 600)
    subject = classifier(
        true, predicted, [grouping("g", rng.choice(["a", "b"], 600).tolist())], classes=("x", "y", "z")
    )
    found = observed(subject, "recall", "equal_opportunity_difference")
    assert [group.key for group in found["recall"].observation.groups] == [
        {"class": "x"},
        {"class": "y"},
        {"class": "z"},
    ]
    table = found["recall/g"].observation
    assert table.by == ("g", "class")
    for group in table.groups:
        index = ("x", "y", "z").index(group.key["class"])
        inside = (subject.groupings[0].codes == ("a", "b").index(group.key["g"])) & (true == index)
        assert group.estimate.value == np.mean(predicted[inside] == index)
        assert all(contrast.to.endswith(group.key["class"]) for contrast in group.contrasts.values())


def test_weights_change_the_rate_and_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    true, predicted = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    weights = rng.choice([1.0, 9.0], 400)
    plain = observed(classifier(true, predicted), "accuracy")["accuracy"].observation.estimate
    weighted = observed(classifier(true, predicted, weights=weights), "accuracy")[
        "accuracy"
    ].observation.estimate
    assert weighted.value == pytest.approx(np.average(true == predicted, weights=weights))
    assert weighted.high - weighted.low > plain.high - plain.low
