"""A method said not to apply is held to what audit.json says of model and data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.verify.explained import runs
from xai_audit.verify.explained.explanations import explained
from xai_audit.verify.explained.needs import unmet


@pytest.fixture(scope="module")
def skipped():
    """A run on rows without labels: one method does not apply."""
    subject = runs.table("linear")
    unlabelled = replace(subject, test=replace(subject.test, target=None))
    return runs.audited(
        unlabelled, [("permutation_importance", {}), ("partial_dependence", {"rows": 9, "points": 3})]
    )


def test_a_need_that_was_not_met_holds(skipped):
    made, folder = skipped
    found = {check.subject: check for check in explained(made, folder)}
    assert made.get("permutation_importance").status == "skipped"
    assert found["permutation_importance"].kind == "holds"
    assert {check.kind for check in found.values()} == {"holds"}


@pytest.mark.parametrize(
    "reason",
    [
        "it needs a model; this audit has predictions only",
        "it needs scores; the model gives decisions only",
        "it needs features; the data have none",
        "it is defined for regression",
        "it is defined for tables; these rows are images",
        "it needs training data; the spec names none",
    ],
)
def test_a_need_that_was_met_does_not_hold(skipped, reason):
    made, folder = skipped
    said = runs.replaced(made, "permutation_importance", lambda one: {**one, "reason": reason})
    about = {**made.subject, "task": "classification"} if "regression" in reason else made.subject
    said = said.model_copy(update={"subject": about})
    check = unmet(said.get("permutation_importance"), said)
    if "regression" in reason:
        assert check.kind == "holds"
        return
    assert check.kind == "broken"
    found = {check.subject: check.kind for check in explained(said, folder)}
    assert found["permutation_importance"] == "broken"


def test_a_reason_that_the_folder_cannot_tell_is_unchecked_or_broken(skipped):
    made, folder = skipped
    said = runs.replaced(made, "permutation_importance", lambda one: {**one, "reason": "the moon was full"})
    (check,) = [one for one in explained(said, folder) if one.subject == "permutation_importance"]
    assert check.kind != "holds"
