"""What a signature on an audit says: an in-toto statement over model, data, spec, policies, tool and folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.judge import waived

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding, Outcome

FILE = "attestation.json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"

_RESULT: Mapping[Outcome, str] = {"pass": "PASSED", "fail": "FAILED", "review": "WARNED", "error": "FAILED"}

_FOLDERS = ("transformers", "mlflow")
"""Formats whose model digest is already the root over its files."""


def statement(audit: Audit, manifest: bytes) -> bytes:
    """The statement as canonical JSON; it depends on audit.json and manifest.json alone.

    The subjects are the model (by the root digest that OpenSSF model signing gives it, and by its file's own
    sha256), the files of the data, the spec, the policies, the tool and manifest.json, which holds for every other
    file. The predicate is test-result v0.1: one name a rule, ``policy/rule``; what does not apply is in no list.
    """
    described = list(_subjects(audit))
    content = {
        "_type": STATEMENT,
        "subject": [*described, _resource("manifest.json", digest.of_bytes(manifest))],
        "predicateType": PREDICATE,
        "predicate": {
            "result": _RESULT[audit.outcome],
            "configuration": [one for one in described if one["name"].startswith(("policy/", "spec/"))],
            **_tests(audit),
        },
    }
    return digest.canonical(content).encode()


def model_root(audit: Audit) -> str | None:
    """The root digest of the model's files as OpenSSF model signing has it; None where there is no model."""
    model = audit.subject.get("model") or {}
    found = model.get("sha256")
    if not found or model.get("format") == "http":
        return None
    if model.get("format") in _FOLDERS or _several(model):
        return str(found)
    return digest.root([found])


def _several(model: Mapping[str, Any]) -> bool:
    """Whether the digest is the root over weights and entry together."""
    return "entry_sha256" in (model.get("details") or {})


def _subjects(audit: Audit) -> Iterator[dict[str, Any]]:
    model = audit.subject.get("model") or {}
    root = model_root(audit)
    if root is not None:
        yield _resource("model", root)
        if root != model["sha256"]:
            yield _resource(f"model/{model.get('path') or model.get('format')}", model["sha256"])
    for name, file in sorted((audit.run.get("files") or {}).items()):
        if file.get("sha256"):
            yield _resource(f"data/{name}/{file.get('path')}", file["sha256"])
    spec = audit.run.get("spec") or {}
    if spec.get("sha256"):
        yield _resource(f"spec/{spec.get('path')}", spec["sha256"])
    for policy in audit.policies:
        yield _resource(f"policy/{policy['id']}", policy["sha256"])
    tool = audit.environment.get("tool")
    if tool:
        yield _resource(f"tool/xai-audit {audit.environment.get('xai_audit')}", tool)


def _resource(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}


def _tests(audit: Audit) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for finding in audit.findings:
        key = _list_of(finding)
        if key is not None:
            lists[key].append(f"{finding.policy}/{finding.rule}")
    return {key: sorted(names) for key, names in lists.items()}


def _list_of(finding: Finding) -> str | None:
    if finding.kind in ("notApplicable", "informational"):
        return None
    if finding.kind == "pass":
        return "passedTests"
    stops = finding.kind == "fail" and finding.blocking and not waived(finding)
    return "failedTests" if stops else "warnedTests"
