"""The bill of materials holds to the official schema, says what was measured, and nothing that nobody said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.render import audits
from xai_audit import audit as audits_on_disk
from xai_audit.audit import Audit
from xai_audit.render import FILES, renderers

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
NAMES = ("failing", "reviewed", "passing", "unmodelled", "hostile", "multiclass", "golden")


def audit(name: str) -> Audit:
    made: Audit = audits_on_disk.read(GOLDEN) if name == "golden" else getattr(audits, name)()
    return made


def bom(made: Audit) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(renderers["cyclonedx"](made))
    return read


def model(made: Audit) -> dict[str, Any]:
    (found,) = [one for one in bom(made)["components"] if one["type"] == "machine-learning-model"]
    return found


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


@pytest.fixture(scope="module")
def validator() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.V1_7)


@pytest.mark.parametrize("name", NAMES)
def test_the_official_schema_holds(name: str, validator: JsonStrictValidator) -> None:
    text = renderers["cyclonedx"](audit(name)).decode()
    assert validator.validate_str(text) is None
    # The validator does refuse what is not in the schema.
    broken = json.loads(text)
    broken["components"][0]["modelCard"]["accuracy"] = 1
    assert validator.validate_str(json.dumps(broken)) is not None


@pytest.mark.parametrize("name", NAMES)
def test_refs_are_there_once_and_lead_somewhere(name: str) -> None:
    made = bom(audit(name))
    refs = [value for key, value in walk(made) if key == "bom-ref"]
    assert len(refs) == len(set(refs))
    asked: set[str] = set()
    for key, value in walk(made):
        if key in ("ref", "target", "requirement"):
            asked.add(value)
        if (
            key in ("claims", "counterClaims", "counterEvidence", "evidence")
            and value
            and isinstance(value[0], str)
        ):
            asked |= set(value)
    assert asked <= set(refs)
    assert "model" in refs


def test_the_same_audit_gives_the_same_bytes_and_another_one_another_number() -> None:
    first, again = renderers["cyclonedx"](audit("golden")), renderers["cyclonedx"](audit("golden"))
    assert first == again
    made = bom(audit("golden"))
    other = bom(audit("golden").model_copy(update={"reasons": ("another",)}))
    assert made["serialNumber"] != other["serialNumber"]
    assert made["metadata"]["timestamp"] == "2026-11-23T17:01:06+00:00"
    assert FILES["cyclonedx"] == "bom.cdx.json"


def test_an_audit_before_it_was_written_gives_the_same_bytes() -> None:
    made = audit("golden")

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(one) for one in value] if isinstance(value, list) else value

    other = made.model_copy(
        update={key: turned(getattr(made, key)) for key in ("run", "spec", "subject", "environment")}
    )
    assert list(other.subject) != list(made.subject)
    assert renderers["cyclonedx"](other) == renderers["cyclonedx"](made)


def test_a_library_of_others_reads_it() -> None:
    read = Bom.from_json(bom(audit("golden")))
    by_type = {component.type.value: component for component in read.components}
    found = by_type["machine-learning-model"]
    assert (found.name, found.version) == ("Golden loans", "1.0")
    (hashed,) = found.hashes
    assert hashed.content == audit("golden").subject["model"]["sha256"]
    assert str(read.serial_number) == bom(audit("golden"))["serialNumber"].removeprefix("urn:uuid:")


def test_numbers_are_strings_with_interval_and_n() -> None:
    made = audit("golden")
    metrics = model(made)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    found = {(one["type"], one["slice"]): one for one in metrics}
    assert len(found) == len(metrics) == 54
    seen = made.get("recall").observation.estimate
    one = found["recall", f"overall (n = {seen.n})"]
    assert one["value"] == repr(seen.value)
    assert one["confidenceInterval"] == {"lowerBound": repr(seen.low), "upperBound": repr(seen.high)}
    ratio = made.get("demographic_parity_ratio/gender").observation.summary.ratio
    assert found["demographic_parity_ratio", "by gender (n = 400)"]["value"] == repr(ratio.value)
    groups = {group.key["gender"]: group.estimate for group in made.get("recall/gender").observation.groups}
    assert found["recall", f"gender=woman (n = {groups['woman'].n})"]["value"] == repr(groups["woman"].value)


def test_nothing_of_suppressed_groups_and_people() -> None:
    text = renderers["cyclonedx"](audit("golden")).decode()
    assert "island" not in text
    assert "region=missing" not in text
    assert str(Path.cwd()) not in text


# ---------------------------------------------------------------------------------------------- rules
@pytest.mark.parametrize("name", NAMES)
def test_claims_are_the_decided_rules_and_no_others(name: str) -> None:
    made = audit(name)
    declared = bom(made).get("declarations", {})
    rules = {(finding.policy, finding.rule): finding for finding in made.findings}
    claims = {tuple(one["bom-ref"].split(":")[1:]): one for one in declared.get("claims", ())}
    assert set(claims) == {key for key, finding in rules.items() if finding.kind in ("pass", "fail")}
    for key, claim in claims.items():
        finding = rules[key]
        refs = [f"evidence:{one}" for one in finding.evidence]
        assert claim.get("evidence", []) == (refs if finding.kind == "pass" else [])
        assert claim.get("counterEvidence", []) == (refs if finding.kind == "fail" else [])
        assert claim["target"] == "model"
    mapped = [entry for one in declared.get("attestations", ()) for entry in one["map"]]
    assert len(mapped) == len(claims)
    for entry in mapped:
        finding = rules[tuple(entry["requirement"].split(":")[1:])]
        assert ("claims" in entry, "counterClaims" in entry) == (
            finding.kind == "pass",
            finding.kind == "fail",
        )
    # Every rule is a requirement, whatever became of it.
    standards = bom(made).get("definitions", {}).get("standards", [])
    assert sum(len(one["requirements"]) for one in standards) == len(made.findings)


def test_a_failed_rule_is_no_claim_in_favour() -> None:
    made = audit("failing")
    failed = next(finding for finding in made.findings if finding.kind == "fail")
    turned = made.model_copy(
        update={
            "findings": tuple(
                one.model_copy(update={"kind": "open"}) if one is failed else one for one in made.findings
            )
        }
    )
    ref = f"claim:{failed.policy}:{failed.rule}"
    assert ref in {claim["bom-ref"] for claim in bom(made)["declarations"]["claims"]}
    assert ref not in {claim["bom-ref"] for claim in bom(turned)["declarations"]["claims"]}
    assert not [
        value
        for key, value in walk(bom(made))
        if key in ("conformance", "confidence", "affirmation", "score")
    ]


def test_no_word_that_promises_too_much() -> None:
    for name in NAMES:
        if name != "hostile":
            text = renderers["cyclonedx"](audit(name)).decode().lower()
            assert not [word for word in ("compliant", "certified", "unbiased", "bias-free") if word in text]


# ---------------------------------------------------------------------------------------------- people
def with_statements(**statements: Any) -> Audit:
    made = audit("golden")
    system = {**made.spec["system"], "statements": statements}
    return made.model_copy(update={"spec": {**made.spec, "system": system}})


def test_considerations_are_what_named_people_said() -> None:
    said = {"text": "Applicants under 25.", "author": "A. Nowak", "date": "2026-11-01", "evidence_refs": []}
    made = with_statements(
        affected_groups=[{"key": "affected_groups", **said}],
        vulnerable_groups=[{"key": "vulnerable_groups", **said, "text": "Refused credit."}],
        trade_offs=[{"key": "trade_offs", **said, "text": "Speed for recall.", "author": None}],
        foreseeable_misuse=[{"key": "foreseeable_misuse", **said, "text": "Used for wages."}],
    )
    assert model(made)["modelCard"]["considerations"] == {
        "useCases": ["A test. Nobody here exists. (the authors of this test, 23 November 2026)".replace("23 November 2026", "23\u00a0November\u00a02026")],
        "fairnessAssessments": [
            {"groupAtRisk": "Applicants under 25. (A. Nowak, 1\u00a0November\u00a02026)"},
            {"harms": "Refused credit. (A. Nowak, 1\u00a0November\u00a02026)"},
        ],
        "ethicalConsiderations": [{"name": "Used for wages. (A. Nowak, 1\u00a0November\u00a02026)"}],
    }  # fmt: skip


def test_where_nobody_said_anything_nothing_stands() -> None:
    made = with_statements()
    system = {
        key: value
        for key, value in made.spec["system"].items()
        if key not in ("intended_purpose", "provider")
    }
    silent = model(made.model_copy(update={"spec": {**made.spec, "system": system}}))
    assert "considerations" not in silent["modelCard"]
    assert "supplier" not in silent
    assert "approach" not in silent["modelCard"]["modelParameters"]


# ---------------------------------------------------------------------------------------------- data and model
def test_data_are_components_with_their_digests() -> None:
    made = audit("golden")
    data = {one["bom-ref"]: one["data"][0] for one in bom(made)["components"] if one["type"] == "data"}
    assert set(data) == {"data:test", "data:train"}
    assert model(made)["modelCard"]["modelParameters"]["datasets"] == [
        {"ref": "data:test"},
        {"ref": "data:train"},
    ]
    test = {one["name"]: one["value"] for one in data["data:test"]["contents"]["properties"]}
    assert test == {
        "xai-audit:rows": "400",
        "xai-audit:rows.sha256": made.subject["data"]["test"]["sha256"],
        "xai-audit:file.sha256": made.run["files"]["test"]["sha256"],
    }
    assert data["data:test"]["sensitiveData"] == ["gender", "region", "age"]


@pytest.mark.parametrize("kind", ["mlflow", "torch"])
def test_a_digest_that_is_no_files_is_not_given_as_a_hash(kind: str) -> None:
    made = audit("golden")
    about = {**made.subject, "model": {**made.subject["model"], "format": kind}}
    spec = {**made.spec, "model": {**made.spec["model"], "entry": "net.py:build"}}
    found = model(made.model_copy(update={"subject": about, "spec": spec}))
    assert "hashes" not in found
    assert made.subject["model"]["sha256"] in str(found["properties"])


def test_an_audit_of_predictions_has_no_digest() -> None:
    found = model(audit("unmodelled"))
    assert "hashes" not in found
    assert "no digest is known" in str(found["properties"])
