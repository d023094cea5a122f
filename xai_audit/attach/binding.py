"""What ties a card or a registry entry to one audit: digests, outcome, policies and date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit import audit, digest
from xai_audit.render.people import title
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from pathlib import Path

    from xai_audit.audit import Audit

UNKNOWN = "unknown"
"""In the place of a digest where the audit saw no model file: predictions alone, or a model behind a URL."""


@dataclass(frozen=True)
class Binding:
    """One audit as other places name it."""

    system: str
    outcome: str
    policies: tuple[str, ...]
    """Each as ``eu-ai-act 1``."""
    policy_sha256: tuple[str, ...]
    model_sha256: str | None
    audit_sha256: str
    """Of the file audit.json as it lies on disk."""
    data_sha256: str
    """Of the test rows, in the order of their content."""
    finished: str
    """When the run ended, in ISO 8601."""


def read(folder: Path) -> tuple[Audit, Binding]:
    """The audit in a folder and what binds to it; UnavailableError where there is none that can be read."""
    made = audit.read(folder)
    return made, binding(made, digest.of_file(folder / "audit.json"))


def binding(made: Audit, audit_sha256: str) -> Binding:
    """What binds to an audit whose file has this digest."""
    model = made.subject.get("model") or {}
    return Binding(
        system=title(made),
        outcome=made.outcome,
        policies=tuple(f"{name(rules['id'])} {rules['version']}" for rules in made.policies),
        policy_sha256=tuple(str(rules["sha256"]) for rules in made.policies),
        model_sha256=model.get("sha256"),
        audit_sha256=audit_sha256,
        data_sha256=str(made.subject["data"]["test"]["sha256"]),
        finished=str(made.run.get("finished", "")),
    )
