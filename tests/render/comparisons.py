"""Comparisons made by hand, so that their page can be judged without two audits."""

from __future__ import annotations

from tests.render.audits import between
from xai_audit.comparison import (
    Audited,
    Change,
    Comparison,
    Digest,
    Drift,
    GroupSize,
    Matched,
    Ranked,
    VerdictChange,
)
from xai_audit.evidence import exactly
from xai_audit.verdict import Counts

HOSTILE = "<script>alert(1)</script>|`a` [x](javascript:1)\n# h"
COUNTS = Counts(rules=1, blocking=1, failed=0, open=0, review=0, passed=1, waived=0, not_applicable=0)


def side(version: str, **more: object) -> Audited:
    words = {"name": "Loans", "finished": "2026-11-22T00:00:00+00:00", "outcome": "pass", "counts": COUNTS}
    return Audited.model_validate({**words, "version": version, "sha256": "ab" * 32, "rows": 500, **more})


def change(value: float, low: float, high: float, **more: object) -> Change:
    words = {
        "evidence": "accuracy",
        "method": "accuracy",
        "title": "Accuracy",
        "part": "overall",
        "better": "higher",
    }
    return Change.model_validate(
        {
            **words, "old": between(0.8, 0.77, 0.83, 500), "new": between(0.8 + value, 0.77, 0.83, 500),
            "change": between(value, low, high, 500), "how": "paired", **more,
        }
    )  # fmt: skip


def made(*changes: Change, **more: object) -> Comparison:
    matched = Matched(by="content", old=500, new=500, common=500, used=500)
    return Comparison(
        old=side("1"), new=side("2"), matched=matched, primary="accuracy", changes=changes, **more
    )


def worse() -> Comparison:
    """Something in every part, with names as bad as they get."""
    groups = [
        change(-0.05 + i / 50, -0.09 + i / 50, -0.01 + i / 50, part="group", evidence="accuracy/region", key={"region": label}, by=("region",))
        for i, label in enumerate(("north of the river", "south", HOSTILE, "x" * 300))
    ]  # fmt: skip
    return made(
        change(-0.03, -0.05, -0.01),
        change(0.004, -0.001, 0.009, evidence="brier_score", method="brier_score", title="Brier score", better="lower"),
        change(0.0, 0.0, 0.0, evidence="invalid_labels", method="invalid_labels", title="Missing or unknown labels", change=exactly(0, 500), how="unpaired"),
        *groups,
        change(0.02, 0.01, 0.03, part="gap", evidence="accuracy/region", by=("region",), better="lower"),
        rankings=tuple(
            Ranked(evidence="shap", title="Mean absolute contribution", name=label, unit="change in score", old=between(0.1, 0.09, 0.11, 60), new=between(0.2, 0.18, 0.22, 60), old_rank=(1 + i, 2 + i), new_rank=(3, 4), change=between(0.1, 0.08, 0.12, 60), how="paired")
            for i, label in enumerate(("income", HOSTILE))
        ),
        groups=(GroupSize(column="region", group="isle", kind="new", new=None), GroupSize(column="region", group="south", kind="kept", old=90, new=120)),
        drift=(
            Drift(what="rows decided otherwise", kind="decisions", change=between(0.1, 0.08, 0.13, 500), n_old=500, n_new=500),
            Drift(what="distribution of score of 1", kind="distribution", change=exactly(0.12, 400), p=0.0004, test="Kolmogorov-Smirnov", n_old=500, n_new=400),
            Drift(what="column income", kind="column", old="number", new=None),
        ),
        digests=(Digest(what="model", old="ab" * 32, new="cd" * 32), Digest(what="xai-audit", old="0.1.0", new="0.1.0")),
        verdicts=(
            VerdictChange(policy="p", rule="PER-01", title="t", clause="Article 15(1)", old="pass", new="fail", blocking=True, reasons=("the evidence changed: " + "accuracy 0.80 [0.77, 0.83] before, " * 9,)),
            VerdictChange(policy="p", rule="FAI-01", title=HOSTILE, clause="c", old="fail", new="waived", blocking=True, reasons=(HOSTILE,)),
        ),
        not_compared=("shap/local: cases, which is not one number",),
        notes=("The old audit is the later one by its date.",),
    )  # fmt: skip
