"""An audit's verdict: what the run knows of itself, and every rule held to the evidence; as often as one likes."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from xai_audit import applying, records
from xai_audit.judge import judge
from xai_audit.policy import Policy, as_applied
from xai_audit.spec import Spec

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.verdict import Verdict

ROWS = {"image": "pictures", "text": "texts"}
"""What messages call rows that are not people's cells in a table."""

KEPT = ("report", "freeze")
"""Records that are seen once, when the run is made; every other one is computed again with the verdict."""


def decide(
    spec: Spec,
    policies: Sequence[tuple[Policy, str]],
    evidence: Sequence[Evidence],
    about: dict[str, Any],
    *,
    today: datetime.date,
    started: datetime.date,
    fixed: Collection[str] | None = None,
) -> tuple[Verdict, tuple[Evidence, ...]]:
    """The verdict, and what the run itself knows (records), which rules may read.

    ``fixed`` are the fingerprints of the policies that the run was made with, where others are judged by.
    """
    rules = [policy for policy, _ in policies]
    measured = [piece for piece in evidence if piece.kind != "record" or piece.method in KEPT]
    if spec.data.features is None:
        # Which columns are inputs was found when loading; rules on sensitive inputs need to know.
        inputs = tuple(column["name"] for column in about["columns"])
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"features": inputs})})
    compared = any(piece.method == applying.CHANGE for piece in evidence)
    spec = spec.model_copy(
        update={"rows_are": ROWS.get(about.get("modality", ""), "people"), "baseline": compared}
    )
    recorded = records.observe(spec, rules, measured, about, started=started, fixed=fixed)
    return judge(rules, (*measured, *recorded), spec, today=today), tuple(recorded)


def again(made: Audit, policies: Sequence[tuple[Policy, str]], today: datetime.date) -> Audit:
    """A saved audit under these policies, without the model; nothing is written."""
    spec = Spec.model_validate(made.spec)
    started = datetime.datetime.fromisoformat(made.run["started"]).date()
    fixed = [records.fingerprint(policy) for policy in policies_of(made)]
    verdict, recorded = decide(
        spec, policies, made.evidence, made.subject, today=today, started=started, fixed=fixed
    )
    kept = [piece for piece in made.evidence if piece.kind != "record" or piece.method in KEPT]
    return made.model_copy(
        update={
            "outcome": verdict.outcome,
            "reasons": verdict.reasons,
            "counts": verdict.counts,
            "findings": verdict.findings,
            "policies": tuple(as_applied(policy, sha256) for policy, sha256 in policies),
            "evidence": tuple(sorted((*kept, *recorded), key=lambda piece: piece.id)),
        }
    )


def policies_of(made: Audit) -> list[Policy]:
    """The policies an audit was judged by, as it keeps them."""
    return [
        Policy.model_validate({key: value for key, value in rules.items() if key != "sha256"})
        for rules in made.policies
    ]
