"""The shipped policies: every rule decides its own examples, and says nothing that is not so."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from xai_audit.judge import example_finding
from xai_audit.policy import Policy, Rule
from xai_audit.reading.policies import read_policy
from xai_audit.records import RECORDS
from xai_audit.resources import folder
from xai_audit.statements import BY_KEY

DEFAULT, RESEARCH = folder("policies") / "eu-ai-act.yaml", folder("policies") / "research.yaml"
SHIPPED = sorted(folder("policies").glob("*.yaml"))

RESEARCH_HEADER = """\
# The rules of eu-ai-act, none of which blocks: for looking, not for gating. The outcome is always review.
#
# Written from eu-ai-act.yaml by `python -m tests.test_policies`; a test keeps it fresh. Change that file, not this one.
id: research
version: 1
title: The rules of eu-ai-act, as warnings
"""


def load(path: Path) -> Policy:
    return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def as_research(text: str) -> str:
    """eu-ai-act.yaml with every rule a warning and another head."""
    body = text[text.index("author:") :].replace("level: error", "level: warning")
    return RESEARCH_HEADER + re.sub(r"^    (release: true|on_open: warn)\n", "", body, flags=re.MULTILINE)


RULES = [pytest.param(rule, id=f"{path.stem}-{rule.id}") for path in SHIPPED for rule in load(path).rules]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_decides_its_own_examples(rule: Rule) -> None:
    assert {example.expect: example_finding(rule, example) for example in rule.examples}
    for example in rule.examples:
        assert example_finding(rule, example) == example.expect, example


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_case_of_each_kind(rule: Rule) -> None:
    kinds = {example.expect for example in rule.examples}
    # An absent statement is open and never fails, so an attested rule has no case of failing.
    assert {"pass", "open"} <= kinds
    assert rule.attested is not None or "fail" in kinds


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_whole(rule: Rule) -> None:
    assert rule.title
    assert rule.why
    assert rule.tip
    assert re.match(r"(Articles? \d|Annex )", rule.clause)
    assert rule.applies_from is not None
    assert not rule.title.endswith(".")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_policy_reads_without_a_mistake(path: Path) -> None:
    policy, digest = read_policy(path)
    assert len(digest) == 64
    assert policy == load(path)


def test_the_default_holds_30_of_the_33_starred_rules() -> None:
    rules = {rule.id: rule for rule in load(DEFAULT).rules}
    assert set(rules) == {
        "GOV-01", "GOV-02", "GOV-03", "GOV-04", "GOV-05", "GOV-06", "GOV-09", "GOV-10",
        "DAT-01", "DAT-03", "DAT-05", "DAT-06", "DAT-10", "DAT-11",
        "PER-01", "PER-02", "PER-05", "GRP-01", "GRP-02",
        "FAI-01", "FAI-03", "FAI-04", "FAI-07", "FAI-09",
        "XAI-01", "XAI-02", "XAI-03", "ROB-02", "SEC-03", "OVS-01",
    }  # fmt: skip
    later = {"XAI-04", "XAI-05", "ROB-01"}
    assert not later & set(rules)
    assert {rule.id for rule in rules.values() if rule.release} == {
        "GOV-04",
        "GOV-05",
        "GOV-06",
        "DAT-11",
        "OVS-01",
    }
    warnings = {rule.id for rule in rules.values() if rule.level == "warning"}
    assert warnings == {"DAT-05", "DAT-06", "GRP-02", "XAI-03"}


def test_open_conventions_about_groups_warn() -> None:
    for rule in load(DEFAULT).rules:
        if rule.id.startswith(("FAI", "GRP", "PER-05")) and rule.attested is None:
            assert rule.opened == "warn", rule.id
        elif rule.level == "error":
            assert rule.opened == "review", rule.id


def test_research_is_the_default_with_nothing_that_blocks() -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    assert RESEARCH.read_text(encoding="utf-8") == as_research(text), "run python -m tests.test_policies"
    strict, mild = load(DEFAULT).rules, load(RESEARCH).rules
    assert {rule.level for rule in mild} == {"warning"}
    same = {"level": "warning", "release": False, "on_open": None}
    assert [rule.model_copy(update=same) for rule in strict] == [
        rule.model_copy(update=same) for rule in mild
    ]


def test_what_a_rule_reads_exists() -> None:
    from xai_audit.reading.policies import ATTESTED

    for path in SHIPPED:
        for rule in load(path).rules:
            keys = (rule.attested,) if isinstance(rule.attested, str) else rule.attested or ()
            for key in (*keys, *((rule.explained_by,) if rule.explained_by else ())):
                assert key in BY_KEY or key in ATTESTED, rule.id
    read = {rule.evidence.partition("/")[0] for rule in load(DEFAULT).rules if rule.evidence}
    assert set(RECORDS) <= read, "a record that no rule reads"


# The traps of the regulation fact sheet that concern policies.


def test_the_deleted_article_is_not_cited() -> None:
    for path in SHIPPED:
        text = path.read_text(encoding="utf-8")
        assert "10(5)" not in text
        assert "4a" in text


def test_dates_are_data_and_today_s() -> None:
    old = ("2 August 2026", "2026-08-02", "August 2027", "2027-08-02")
    for path in SHIPPED:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in old if word in text]
        policy = load(path)
        for rule in policy.rules:
            # Article 4a is in force; the duties of Annex III systems start on one day.
            assert rule.applies_from == (date(2026, 7, 27) if "4a" in rule.clause else date(2027, 12, 2)), (
                rule.id
            )
        assert policy.as_of >= date(2026, 11, 22)


def test_words_are_plain_and_claim_nothing() -> None:
    never = (
        r"\b(compliant|compliance|certif\w+|unbiased|bias-free|transparent|safe|ensures?|guarantees?|EEOC)\b"
    )
    for path in SHIPPED:
        policy = load(path)
        told = [
            policy.title,
            *(text for rule in policy.rules for text in (rule.title, rule.why, rule.tip, rule.note or "")),
        ]
        assert not [text for text in told if re.search(never, text, re.IGNORECASE)]
        assert not [rule.title for rule in policy.rules if re.search(r"AI Act .*threshold", rule.title)]


def test_a_number_that_is_a_custom_is_never_called_law() -> None:
    rules = {rule.id: rule for rule in load(DEFAULT).rules}
    for name in (
        "PER-02",
        "PER-05",
        "GRP-02",
        "FAI-01",
        "FAI-03",
        "FAI-04",
        "FAI-07",
        "DAT-05",
        "DAT-06",
        "XAI-03",
    ):
        assert rules[name].basis == "convention"
    assert rules["PER-01"].basis == "provider"
    assert "not EU law" in (rules["FAI-01"].note or "")
    for rule in rules.values():
        if rule.basis == "law":
            numbers = [rule.at_least, rule.at_most]
            assert rule.id == "GOV-09" or not any(isinstance(n, float) and 0 < n < 1 for n in numbers), (
                rule.id
            )


def test_sex_and_age_are_not_called_special_categories() -> None:
    rule = next(rule for rule in load(DEFAULT).rules if rule.id == "DAT-10")
    assert "Sex and age are not special categories" in (rule.note or "")


if __name__ == "__main__":
    RESEARCH.write_text(as_research(DEFAULT.read_text(encoding="utf-8")), encoding="utf-8")
