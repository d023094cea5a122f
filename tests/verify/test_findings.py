from __future__ import annotations

from pathlib import Path

import pytest

from tests.signed import signed
from tests.verify.forging import forge, piece
from xai_audit import audit, resources
from xai_audit.policy import as_applied
from xai_audit.reading import read_policies
from xai_audit.verify import verify
from xai_audit.verify.findings import findings, policies


def broken(folder: Path) -> set[str]:
    known = {
        policy.id: as_applied(policy, sha256) for policy, sha256 in read_policies(("eu-ai-act",), Path())
    }
    made = audit.read(folder)
    return {check.subject for check in (*findings(made), *policies(made, known)) if check.kind == "broken"}


def found(content: dict, rule: str) -> dict:
    return next(one for one in content["findings"] if one["rule"] == rule)


def rule(content: dict, policy: str, name: str) -> dict:
    kept = next(one for one in content["policies"] if one["id"] == policy)
    return next(one for one in kept["rules"] if one["id"] == name)


def test_a_whole_audit_gives_its_findings_again(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    made = audit.read(out)
    checks = list(findings(made))
    assert {check.kind for check in checks} == {"holds"}
    subjects = {check.subject for check in checks}
    assert {f"{one.policy}/{one.rule}" for one in made.findings} <= subjects
    assert {one.id for one in made.evidence if one.kind == "record"} <= subjects


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (lambda c: c.update(outcome="pass"), "outcome"),
        (lambda c: c["counts"].update(passed=29), "counts"),
        (lambda c: c["findings"].pop(0), "eu-ai-act/GOV-01"),
        (lambda c: found(c, "FAI-01").update(kind="pass"), "eu-ai-act/FAI-01"),
        (lambda c: found(c, "FAI-01").update(message="all is well"), "eu-ai-act/FAI-01"),
        (lambda c: found(c, "ONE-01").update(blocking=False), "small/ONE-01"),
        (lambda c: found(c, "ONE-01")["parts"][0].update(p=0.9), "small/ONE-01"),
        (lambda c: c["findings"].append(found(c, "ONE-01")), "findings"),
        (lambda c: rule(c, "small", "ONE-01").update(at_least=0.1), "small/ONE-01"),
        (lambda c: rule(c, "eu-ai-act", "FAI-01").update(at_least=0.1), "policy/eu-ai-act"),
        (lambda c: c["policies"][0]["rules"].pop(), "eu-ai-act/OVS-01"),
        (lambda c: piece(c, "annex_iv_statements")["observation"]["estimate"].update(value=1.0), "annex_iv_statements"),
        (lambda c: c["evidence"].remove(piece(c, "log_retention")), "log_retention"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(tmp_path: Path, change, subject: str) -> None:
    out = signed(tmp_path) / "out"
    forge(out, change, pages=False)
    assert subject in broken(out)


def test_a_policy_of_another_version_cannot_be_told(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"

    def older(content: dict) -> None:
        content["environment"]["tool"] = "0" * 64
        content["policies"][0]["sha256"] = "1" * 64

    forge(out, older, pages=False)
    known = {p.id: as_applied(p, s) for p, s in read_policies(("eu-ai-act",), Path())}
    kinds = {check.subject: check.kind for check in policies(audit.read(out), known)}
    assert kinds == {"policy/eu-ai-act": "unchecked", "policy/small": "holds"}


def test_words_of_another_version_are_no_contradiction(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"

    def older(content: dict) -> None:
        content["environment"]["tool"] = "0" * 64
        found(content, "FAI-01")["message"] = "said otherwise then"

    forge(out, older, pages=False)
    assert broken(out) == set()
    forge(out, lambda content: found(content, "FAI-01").update(kind="pass"), pages=False)
    assert "eu-ai-act/FAI-01" in broken(out)


def test_the_tool_s_digest_is_that_of_its_files() -> None:
    found = resources.tool_digest()
    assert len(found) == 64
    assert found == resources.tool_digest()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["run"].pop("started"),
        lambda c: c["run"].update(started="yesterday"),
        lambda c: c.update(spec={}),
        lambda c: c["policies"][0].pop("sha256"),
        lambda c: c["policies"][0].update(rules=[{}]),
        lambda c: c.update(subject={}),
    ],
)
def test_an_audit_that_makes_no_sense_is_told_and_never_taken_to_hold(tmp_path: Path, change) -> None:
    out = signed(tmp_path) / "out"
    forge(out, change, pages=False)
    kinds = {check.kind for topic in verify(out) for check in topic.checks}
    assert kinds & {"broken", "unchecked"}
