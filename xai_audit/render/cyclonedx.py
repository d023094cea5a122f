"""bom.cdx.json: the audit as a CycloneDX 1.7 bill of materials with a model card, and as claims held to evidence.

Measured numbers are strings with their interval, as the format asks. What only people can say comes from statements
with a name; where nobody said it, the field is not there.
"""

from __future__ import annotations

import json
import uuid
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.render import cyclonedx_claims, numbers, people, slices
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.audit import Audit

SCHEMA = "http://cyclonedx.org/schema/bom-1.7.schema.json"
MODEL = "model"
"""The bom-ref of the model."""
PREFIX = "xai-audit:"
"""Begins the names of properties that are ours."""

_FOLDERS = ("mlflow", "transformers")
"""Model formats that are folders; their digest is OpenSSF model signing's root."""


def render(audit: Audit) -> bytes:
    """The bill of materials; the same bytes for the same audit."""
    sha256 = digest.of_bytes(audit.to_json().encode("utf-8", "surrogatepass"))
    bom = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:sha256:{sha256}')}",
        "metadata": _metadata(audit),
        "components": [_model(audit, sha256), *_data(audit)],
        **cyclonedx_claims.parts(audit, MODEL),
    }
    return (json.dumps(bom, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _metadata(audit: Audit) -> dict[str, Any]:
    tool = {
        "type": "application",
        "name": "xai-audit",
        "version": str(audit.environment.get("xai_audit", "")),
    }
    finished = audit.run.get("finished")
    return {**({"timestamp": finished} if finished else {}), "tools": {"components": [tool]}}


def _model(audit: Audit, sha256: str) -> dict[str, Any]:
    about = people.system(audit)
    model = audit.subject.get("model") or {}
    known = model.get("sha256")
    version = visible(str(about.get("version", "")))
    provider = people.provider(audit)
    judged_by = (
        f"{name(rules['id'])} {rules['version']}, sha256 {rules['sha256']}" for rules in audit.policies
    )
    properties = {
        "outcome": audit.outcome,
        "audit.json": f"sha256 {sha256}",
        "policies": "; ".join(judged_by),
        "model": f"sha256 {known}, {_digest_of(audit)}"
        if known
        else "no file was seen, so no digest is known",
        "note": "evidence, judged by the policies named here; not a declaration of conformity",
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": name(about.get("name", "")) or "unnamed",
        **({"version": version} if version else {}),
        **({"supplier": {"name": provider}} if provider else {}),
        **({"hashes": [_sha256(known)]} if known and _digest_of(audit) == "of the file" else {}),
        "modelCard": {
            "modelParameters": _parameters(audit),
            "quantitativeAnalysis": {"performanceMetrics": [_metric(one) for one in slices.numbers(audit)]},
            **_considerations(audit),
        },
        "properties": [_property(key, value) for key, value in properties.items() if value],
    }


def _digest_of(audit: Audit) -> str:
    """What the model's digest is of; only a file's is a hash of what is shipped."""
    model = audit.subject.get("model") or {}
    if model.get("format") in _FOLDERS:
        return "of the folder by OpenSSF model signing's root"
    entry = (audit.spec.get("model") or {}).get("entry")
    return "of the weights and the code that builds the network" if entry else "of the file"


def _sha256(content: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": content}


def _property(key: str, value: object) -> dict[str, str]:
    return {"name": f"{PREFIX}{key}", "value": str(value)}


def _parameters(audit: Audit) -> dict[str, Any]:
    subject = audit.subject
    details = (subject.get("model") or {}).get("details") or {}
    kind = details.get("type")
    return {
        "task": str(subject.get("task", "")),
        **({"modelArchitecture": name(kind)} if kind else {}),
        "datasets": [{"ref": _ref(key)} for key in _tables(audit)],
        "inputs": [{"format": _inputs(subject)}],
        "outputs": [{"format": _outputs(subject)}],
    }


def _inputs(subject: Mapping[str, Any]) -> str:
    modality = subject.get("modality", "table")
    if modality != "table":
        return str(modality)
    kinds: dict[str, int] = {}
    for column in subject.get("columns") or ():
        kinds[column["kind"]] = kinds.get(column["kind"], 0) + 1
    counted = numbers.joined(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    return f"table, columns: {counted}" if counted else "table"


def _outputs(subject: Mapping[str, Any]) -> str:
    classes = subject.get("classes") or ()
    if subject.get("task") != "classification":
        return "number"
    kind = "probabilities" if subject.get("probabilities") else "scores" if subject.get("scores") else "label"
    return f"{kind} of {len(classes)} classes"


def _metric(one: slices.Number) -> dict[str, Any]:
    """A number of the card; it has no field for n, so the slice says it."""
    estimate = one.estimate
    bounds = {"lowerBound": estimate.low, "upperBound": estimate.high}
    return {
        "type": one.piece.method,
        "value": json.dumps(estimate.value),
        "slice": f"{one.slice} (n = {estimate.n})",
        "confidenceInterval": {key: json.dumps(bound) for key, bound in bounds.items() if bound is not None},
    }


# ---------------------------------------------------------------------------------------------- data
def _tables(audit: Audit) -> dict[str, Mapping[str, Any]]:
    """The data an audit saw, by what they were for."""
    sets = audit.subject.get("sets") or {}
    # Sorted as audit.json is, so that a run and a later rendering write the same bytes.
    return dict(
        sorted(
            {
                **(audit.subject.get("data") or {}),
                **{f"sets.{key}": rows for key, rows in sets.items()},
            }.items()
        )
    )


def _ref(key: str) -> str:
    return f"data:{name(key)}"


def _data(audit: Audit) -> list[dict[str, Any]]:
    return [_dataset(audit, key, rows) for key, rows in _tables(audit).items()]


def _dataset(audit: Audit, key: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """One data set as a component: digests and counts, no row."""
    file = (audit.run.get("files") or {}).get(key) or {}
    sensitive = [_sensitive(column) for column in (audit.spec.get("data") or {}).get("sensitive") or ()]
    here = {"rows": rows.get("rows"), "rows.sha256": rows.get("sha256"), "file.sha256": file.get("sha256")}
    named = name(PurePath(str(rows.get("path") or key)).name)
    known = [_property(what, value) for what, value in here.items() if value is not None]
    inner = {
        "type": "dataset",
        "name": named,
        "contents": {"properties": known},
        **({"sensitiveData": sensitive} if sensitive and key in ("train", "test") else {}),
    }
    return {"type": "data", "bom-ref": _ref(key), "name": f"{name(key)} data, {named}", "data": [inner]}


def _sensitive(column: Mapping[str, Any]) -> str:
    special = " (special category)" if column.get("special_category") else ""
    return f"{name(column['column'])}{special}"


# ---------------------------------------------------------------------------------------------- statements
def _considerations(audit: Audit) -> dict[str, Any]:
    """What people have stated under their names; nothing is written on anybody's behalf."""
    texts = {
        "useCases": _said(audit, "intended_purpose"),
        "technicalLimitations": _said(audit, "data_gaps"),
        "performanceTradeoffs": _said(audit, "trade_offs"),
    }
    fair = [{"groupAtRisk": text} for text in _said(audit, "affected_groups")]
    fair += [{"harms": text} for text in _said(audit, "vulnerable_groups")]
    ethical = [
        {"name": text} for key in ("foreseeable_misuse", "risk_register") for text in _said(audit, key)
    ]
    found: dict[str, Any] = {key: said for key, said in texts.items() if said}
    found |= {"fairnessAssessments": fair} if fair else {}
    found |= {"ethicalConsiderations": ethical} if ethical else {}
    return {"considerations": found} if found else {}


def _said(audit: Audit, key: str) -> list[str]:
    """The parts of a statement that somebody stands behind, each with who and when."""
    return [
        f"{entry.label}: {entry.text} ({entry.author})" if entry.label else f"{entry.text} ({entry.author})"
        for entry in people.said(audit, key)
        if entry.attributed and not entry.absent
    ]
