from __future__ import annotations

import json
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fair
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.model_selection import train_test_split

from tests.metrics.subjects import classifier, grouping, observed
from xai_audit.measure import Settings


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(20)
    n = 3000
    group = rng.choice(["a", "b", "c"], n)
    true = rng.integers(0, 2, n)
    predicted = (rng.random(n) < 0.2 + 0.4 * true + 0.1 * (group == "b")).astype(int)
    return true, predicted, group


@pytest.mark.parametrize(
    ("ours", "theirs", "number"),
    [
        ("demographic_parity_difference", fair.demographic_parity_difference, "difference"),
        ("demographic_parity_ratio", fair.demographic_parity_ratio, "ratio"),
        ("equalized_odds_difference", fair.equalized_odds_difference, "difference"),
        ("equal_opportunity_difference", fair.equal_opportunity_difference, "difference"),
    ],
)
def test_fairlearn_gives_the_same_number(people, ours, theirs, number) -> None:
    true, predicted, group = people
    subject = classifier(true, predicted, [grouping("g", group.tolist())])
    estimate = getattr(observed(subject, ours)[f"{ours}/g"].observation.summary, number)
    assert estimate.value == pytest.approx(theirs(true, predicted, sensitive_features=group), abs=1e-12)
    assert estimate.low <= estimate.value <= estimate.high


def test_a_ratio_never_exceeds_one_and_a_difference_is_never_negative(people) -> None:
    true, predicted, group = people
    subject = classifier(true, predicted, [grouping("g", group.tolist())])
    found = observed(subject, "demographic_parity_ratio", "demographic_parity_difference")
    ratio = found["demographic_parity_ratio/g"].observation.summary.ratio
    gap = found["demographic_parity_difference/g"].observation.summary.difference
    assert all(high <= 1 for _, high in ratio.limits.values())
    assert all(low >= 0 for low, _ in gap.limits.values())
    assert found["demographic_parity_ratio/g"].observation.summary.between == ("a", "b") or ratio.value < 1


def test_wider_levels_hold_narrower_ones(people) -> None:
    true, predicted, group = people
    subject = classifier(true, predicted, [grouping("g", group.tolist())])
    gap = observed(subject, "equal_opportunity_difference")[
        "equal_opportunity_difference/g"
    ].observation.summary.difference
    limits = list(gap.limits.values())
    assert all(outer[0] <= inner[0] and inner[1] <= outer[1] for inner, outer in pairwise(limits))


def test_resume_callbacks_and_ricci_give_their_published_ratios(shared_data: Path) -> None:
    resumes = pd.read_csv(shared_data / "resume_callbacks" / "resume_callbacks.csv")
    called = (resumes["call"].astype(str).str.lower().isin(["yes", "1", "true"])).astype(int)
    subject = classifier(None, called, [grouping("ethnicity", resumes["ethnicity"].tolist())])
    table = observed(subject, "demographic_parity_ratio")["demographic_parity_ratio/ethnicity"].observation
    # Bertrand and Mullainathan 2004: 6.45 % of Black-sounding names were called back, 9.65 % of white-sounding.
    rates = {group.key["ethnicity"]: group.estimate.value for group in table.groups}
    assert sorted(round(100 * rate, 2) for rate in rates.values()) == [6.45, 9.65]
    assert table.summary.ratio.value == pytest.approx(157 / 235, abs=1e-3)


def test_ricci_and_adult_base_rates(shared_data: Path) -> None:
    ricci = pd.read_csv(shared_data / "ricci" / "ricci.csv")
    subject = classifier(None, ricci["Promoted"], [grouping("race", ricci["Race"].tolist())])
    table = observed(subject, "demographic_parity_ratio")["demographic_parity_ratio/race"].observation
    assert table.summary.ratio.value == pytest.approx(0.4976, abs=5e-5)
    adult = pd.read_csv(shared_data / "adult" / "adult.csv.gz")
    subject = classifier(
        None, (adult["income"] == ">50K").astype(int), [grouping("sex", adult["sex"].tolist())]
    )
    found = observed(subject, "demographic_parity_ratio", "demographic_parity_difference")
    assert found["demographic_parity_ratio/sex"].observation.summary.ratio.value == pytest.approx(
        0.3597, abs=5e-5
    )
    assert found["demographic_parity_difference/sex"].observation.summary.difference.value == pytest.approx(
        0.1945, abs=5e-5
    )


def _encoded(table: pd.DataFrame) -> pd.DataFrame:
    made = table.copy()
    for column in made.columns:
        if not pd.api.types.is_numeric_dtype(made[column]):
            made[column] = made[column].astype(str).astype("category").cat.codes.astype(int)
    return made


def _on_a_grid(true, scores, labels, points: int) -> float:
    """The area between two groups' ROC curves, summed over a grid as the published code does."""
    grid = np.linspace(0, 1, points)
    curves = [
        np.interp(grid, *roc_curve(true[labels == label], scores[labels == label])[:2])
        for label in sorted(set(labels))
    ]
    return float(np.trapezoid(np.abs(curves[0] - curves[1]), grid))


@pytest.mark.parametrize(
    ("key", "file", "column", "protected", "positive"),
    [
        ("ricci", "ricci/ricci.csv", "Race", "Non-White", 1),
        # The positive class is "High", which sorts first and so is coded 0.
        ("student-mat", "student_performance/student_math.csv", "sex", "F", 0),
        ("student-por", "student_performance/student_portuguese.csv", "sex", "F", 0),
    ],
)
def test_le_quy_published_models_are_reproduced(
    shared_data: Path, key, file, column, protected, positive
) -> None:
    published = json.loads(
        (shared_data / "lequy2022_published_metrics" / "published_lequy2022.json").read_text()
    )[key]
    raw = pd.read_csv(shared_data / file)
    table = _encoded(raw)
    target = table.columns[-1]
    x_train, x_test, y_train, y_test = train_test_split(
        table.drop(columns=target), table[target], test_size=0.3, random_state=42
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the published protocol stops lbfgs before it has converged
        model = LogisticRegression(random_state=0).fit(x_train, y_train)
    labels = raw.loc[x_test.index, column].tolist()
    subject = classifier(
        (y_test == positive).astype(int).to_numpy(),
        (model.predict(x_test) == positive).astype(int),
        [grouping(column, labels)],
        scores=model.predict_proba(x_test)[:, list(model.classes_).index(positive)],
    )
    found = observed(
        subject, "accuracy", "balanced_accuracy", "recall", "true_negative_rate", "selection_rate",
        "equalized_odds_sum", "abroca", settings=Settings(debug=True, min_n=1, min_label=0, min_cell=0),
    )  # fmt: skip
    odds, parity = published["equalized_odds_block"], published["statistical_parity_block"]
    assert found["accuracy"].observation.estimate.value == pytest.approx(odds["accuracy"], abs=1e-6)
    assert found["balanced_accuracy"].observation.estimate.value == pytest.approx(
        odds["balanced_accuracy"], abs=1e-6
    )
    for metric, name in (("recall", "TPR"), ("true_negative_rate", "TNR")):
        for group in found[f"{metric}/{column}"].observation.groups:
            side = "protected" if group.key[column] == protected else "non_protected"
            assert group.estimate.value == pytest.approx(odds[f"{name}_{side}"], abs=1e-6)
    for group in found[f"selection_rate/{column}"].observation.groups:
        side = "prot" if group.key[column] == protected else "non_prot"
        assert group.estimate.value == pytest.approx(parity[f"Positive_{side}_pred"], abs=1e-6)
    total = found[f"equalized_odds_sum/{column}"].observation.summary.difference
    assert total.value == pytest.approx(abs(odds["fairness"]), abs=1e-6)
    area = found[f"abroca/{column}"].observation.summary.difference
    scores = model.predict_proba(x_test)[:, list(model.classes_).index(positive)]
    true = (y_test == positive).astype(int).to_numpy()
    # The published number lies on a grid of 10,000 points; on a grid a thousand times finer it is ours.
    assert _on_a_grid(true, scores, np.asarray(labels), 10_000) == pytest.approx(
        published["ABROCA"], abs=2e-6
    )
    assert area.value == pytest.approx(_on_a_grid(true, scores, np.asarray(labels), 10_000_000), abs=1e-7)
    assert area.low <= area.value <= area.high
