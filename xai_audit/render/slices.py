"""The numbers of an audit that cards and bills of materials hold: each with the slice of the data that it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xai_audit import digest
from xai_audit.evidence import Groups, Scalar
from xai_audit.render.visible import CAP, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence

PERFORMANCE = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier_score",
    "matthews_corrcoef", "mean_absolute_error", "root_mean_squared_error", "r2", "expected_calibration_error",
    "true_positive_rate", "true_negative_rate", "false_positive_rate", "false_negative_rate",
    "negative_predictive_value", "false_discovery_rate", "false_omission_rate", "selection_rate",
)  # fmt: skip
"""Metrics told overall and by group."""

COMPARISONS = (
    "demographic_parity_ratio", "demographic_parity_difference", "equal_opportunity_difference",
    "false_positive_rate_difference", "equalized_odds_difference", "equalized_odds_sum",
    "predictive_parity_difference", "calibration_gap", "abroca",
)  # fmt: skip
"""Metrics that compare the groups of a column, in one number."""

OVERALL = "overall"


@dataclass(frozen=True)
class Number:
    """One number of an audit with the slice it is of."""

    slice: str
    """``overall``, ``sex=female`` or ``by sex``."""
    of: Literal["all", "group", "between"]
    """All rows, one group, or the difference or ratio between the groups of a column."""
    estimate: Estimate
    piece: Evidence


def numbers(made: Audit) -> tuple[Number, ...]:
    """Measured numbers overall, by group and between the groups of single columns.

    Groups that are suppressed, too small to be compared or without a denominator are left out, and so are
    crossings of columns, which audit.json and the report hold.
    """
    found = [number for piece in made.evidence for number in _of(piece)]
    order = {at: place for place, at in enumerate(dict.fromkeys(one.slice for one in found))}
    return tuple(sorted(found, key=lambda one: (one.of != "all", order[one.slice])))


def _of(piece: Evidence) -> Iterator[Number]:
    seen = piece.observation
    alias, _, part = piece.id.partition("/")
    if piece.status != "measured" or piece.kind != "metric" or not alias:
        return
    if isinstance(seen, Scalar) and piece.method in PERFORMANCE and not part:
        yield Number(OVERALL, "all", seen.estimate, piece)
    if not isinstance(seen, Groups):
        return
    columns = [column for column in seen.by if column != "class"]
    if len(columns) > 1:
        return
    if piece.method in PERFORMANCE:
        for group in seen.groups:
            if group.status == "measured" and group.estimate is not None:
                yield Number(_slice(group.key), "group", group.estimate, piece)
    elif piece.method in COMPARISONS and seen.summary is not None and columns:
        compared = seen.summary.ratio if piece.method.endswith("_ratio") else seen.summary.difference
        if compared is not None:
            yield Number(f"by {_short(columns[0])}", "between", compared, piece)


def _slice(key: Mapping[str, str]) -> str:
    return ",".join(f"{_short(column)}={_short(label)}" for column, label in key.items())


def _short(text: str) -> str:
    """A name on one line; of a long one the beginning and a digest, so that two slices never share a name."""
    if len(text) <= CAP:
        return visible(text)
    return f"{visible(text[:40])}… {digest.of_value(text)[:12]}"
