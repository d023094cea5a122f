from __future__ import annotations

from datetime import date

import pytest

from tests.render import audits
from xai_audit.render import alarms
from xai_audit.verdict import Finding, Waiver


def finding(kind: str, **more: object) -> Finding:
    return audits.finding("ONE-01", kind, "A title", "Article 1", "law", "a message", **more)


WAIVER = Waiver(rule="ONE-01", reason="r", approver="a", expires=date(2027, 1, 1))
WARNS = {"level": "warning", "blocking": False, "on_open": "warn"}


@pytest.mark.parametrize(
    ("made", "loud", "stops"),
    [
        (finding("fail"), "error", True),
        (finding("fail", waiver=WAIVER), None, False),
        (finding("fail", waiver=WAIVER.model_copy(update={"expired": True})), "error", True),
        (finding("fail", **WARNS), "warning", False),
        (finding("fail", level="note", blocking=False), "note", False),
        (finding("open"), "warning", True),
        (finding("open", on_open="warn"), "note", False),
        (finding("open", **WARNS), "note", False),
        (finding("review"), "warning", True),
        (finding("review", on_open="warn"), "warning", True),
        (finding("review", **WARNS), "note", False),
        (finding("pass"), None, False),
        (finding("notApplicable"), None, False),
        (finding("informational"), None, False),
    ],
)
def test_how_loud_a_finding_is_and_whether_it_stops_the_gate(
    made: Finding, loud: str | None, stops: bool
) -> None:
    assert alarms.loudness(made) == loud
    assert alarms.stops(made) is stops


def test_the_loudest_come_first() -> None:
    found = alarms.alarms(audits.failing())
    assert [one.rule for _, one in found] == [
        "PER-01", "ROB-02", "FAI-01", "FAI-03", "XAI-03", "GOV-04", "GOV-05", "OVS-01",
    ]  # fmt: skip
    assert [loud for loud, _ in found] == ["error"] * 2 + ["note"] * 6


def test_a_rule_that_two_policies_share_is_told_with_its_policy() -> None:
    told = [
        finding("pass", policy="a"),
        finding("fail", policy="b"),
        audits.finding("TWO-01", "pass", "t", "c", "law", "m", policy="b"),
    ]
    ids = alarms.identifiers(audits.audit(told, [], "fail"))
    assert ids == {("a", "ONE-01"): "a/ONE-01", ("b", "ONE-01"): "b/ONE-01", ("b", "TWO-01"): "TWO-01"}


def test_what_to_do_is_said_where_there_is_something_to_do() -> None:
    assert alarms.said(finding("fail", tip="mend it")) == "A message. Next: Mend it."
    assert alarms.said(finding("pass", tip="mend it")) == "A message."
