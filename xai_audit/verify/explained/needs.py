"""Whether a method that was not run could not have been: what it needs, against what audit.json says of model and data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence


def unmet(piece: Evidence, made: Audit) -> Check | None:
    """The check of a method that was skipped as a whole for what it needs; None where that is not so."""
    own = [one for one in made.evidence if one.id.partition("/")[0] == piece.id]
    if piece.status != "skipped" or len(own) != 1:
        return None
    reason = piece.reason or ""
    for start, lacks in _KNOWN.items():
        if reason.startswith(start):
            if lacks(made.subject):
                return Check("holds", piece.id, "skipped, as model and data say")
            return Check("broken", piece.id, f"skipped: {reason!r}, which model and data do not say")
    return None


def _lacks(name: str) -> Any:
    return lambda about: not about.get(name)


_KNOWN = {
    "it needs a model": _lacks("model"),
    "it needs labels; the data have no target": _lacks("labels"),
    "it needs scores": _lacks("scores"),
    "it needs probabilities": lambda about: not about.get("scores") or not about.get("probabilities"),
    "it needs sensitive columns": _lacks("groupings"),
    "it is defined for two classes": lambda about: len(about.get("classes") or ()) != 2,
    "it is defined for classification": lambda about: about.get("task") != "classification",
    "it is defined for regression": lambda about: about.get("task") != "regression",
    "it needs training data": lambda about: "train" not in about.get("data", {}),
    "it needs features": _lacks("columns"),
    "it is defined for tables": lambda about: about.get("modality", "table") != "table",
    "it is defined for images and texts": lambda about: about.get("modality", "table") == "table",
    "it needs checkpoints": _lacks("checkpoints"),
    "it needs a torch module": lambda about: (
        (about.get("model") or {}).get("format") not in ("torch", "transformers")
    ),
}
"""How a reason begins, and whether the subject that audit.json describes says the same."""
