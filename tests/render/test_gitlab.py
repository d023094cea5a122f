from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.render import audits
from xai_audit.audit import Audit
from xai_audit.render import renderers


def issues(made: Audit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(renderers["gitlab"](made))
    for one in found:
        # What GitLab asks of an issue, key by key.
        assert set(one) == {"check_name", "description", "fingerprint", "location", "severity"}
        assert one["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert isinstance(one["location"]["path"], str)
        assert one["location"]["path"]
        assert type(one["location"]["lines"]["begin"]) is int
        assert one["location"]["lines"]["begin"] >= 1
    assert len({one["fingerprint"] for one in found}) == len(found)
    return found


def test_alarms_are_issues_at_their_lines() -> None:
    found = issues(audits.located(audits.failing(), policies=[20, 3]))
    assert [(one["check_name"], one["severity"]) for one in found] == [
        ("xai-audit/PER-01", "blocker"),
        ("xai-audit/ROB-02", "blocker"),
        *(
            (f"xai-audit/{rule}", "info")
            for rule in ("FAI-01", "FAI-03", "XAI-03", "GOV-04", "GOV-05", "OVS-01")
        ),
    ]
    assert found[0]["location"] == {"path": "models/audit.yaml", "lines": {"begin": 20}}


@pytest.mark.parametrize(
    ("kind", "more", "severity"),
    [
        ("fail", {}, "blocker"),
        ("review", {}, "critical"),
        ("open", {}, "critical"),
        ("open", {"on_open": "warn"}, "info"),
        ("fail", {"level": "warning", "blocking": False}, "major"),
        ("fail", {"level": "note", "blocking": False}, "minor"),
    ],
)
def test_severities(kind: str, more: dict[str, Any], severity: str) -> None:
    made = audits.audit([audits.finding("A-1", kind, "t", "c", "law", "m", **more)], [], "review")
    assert [one["severity"] for one in issues(made)] == [severity]


def test_a_fingerprint_holds_when_lines_move_and_is_the_spec_s_own() -> None:
    def prints(made: Audit) -> list[str]:
        return [one["fingerprint"] for one in issues(made)]

    first = prints(audits.located(audits.failing(), policies=[20, 3]))
    assert prints(audits.located(audits.failing(), policies=[2, 1])) == first
    assert not set(prints(audits.located(audits.failing(), "other.yaml"))) & set(first)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_any_name(text: str) -> None:
    assert len(issues(audits.named(text))) == 2
