"""The ``model-index`` results of a model card: overall and by group, each number with its interval and n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.evidence import Groups, Scalar
from xai_audit.render.visible import CAP, name, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence

MARK = "xai_audit"
"""The key under ``dataset.args`` that makes a result ours; its value is the sha256 of audit.json."""

HUB: Mapping[str, str] = {
    "matthews_corrcoef": "matthews_correlation",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "r2": "r_squared",
}
"""Metrics that the hub knows under another name than scikit-learn."""

PERFORMANCE = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier_score",
    "matthews_corrcoef", "mean_absolute_error", "root_mean_squared_error", "r2", "expected_calibration_error",
    "true_positive_rate", "true_negative_rate", "false_positive_rate", "false_negative_rate",
    "negative_predictive_value", "false_discovery_rate", "false_omission_rate", "selection_rate",
)  # fmt: skip
"""Metrics that stand in a card overall and by group."""

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

    config: str
    """``overall``, ``sex=female`` or ``by sex``."""
    estimate: Estimate
    piece: Evidence


def numbers(made: Audit) -> tuple[Number, ...]:
    """What a card may hold: measured numbers overall, by group and between the groups of single columns.

    Groups that are suppressed, too small to be compared or without a denominator are left out, and so are
    crossings of columns, which audit.json and the report hold.
    """
    found = [number for piece in made.evidence for number in _of(piece)]
    order = {config: place for place, config in enumerate(dict.fromkeys(one.config for one in found))}
    return tuple(sorted(found, key=lambda one: (one.config != OVERALL, order[one.config])))


def _of(piece: Evidence) -> Iterator[Number]:
    seen = piece.observation
    alias, _, part = piece.id.partition("/")
    if piece.status != "measured" or piece.kind != "metric" or not alias:
        return
    if isinstance(seen, Scalar) and piece.method in PERFORMANCE and not part:
        yield Number(OVERALL, seen.estimate, piece)
    if not isinstance(seen, Groups):
        return
    columns = [column for column in seen.by if column != "class"]
    if len(columns) > 1:
        return
    if piece.method in PERFORMANCE:
        for group in seen.groups:
            if group.status == "measured" and group.estimate is not None:
                yield Number(_config(group.key), group.estimate, piece)
    elif piece.method in COMPARISONS and seen.summary is not None and columns:
        compared = seen.summary.ratio if piece.method.endswith("_ratio") else seen.summary.difference
        if compared is not None:
            yield Number(f"by {_short(columns[0])}", compared, piece)


def _config(key: Mapping[str, str]) -> str:
    return ",".join(f"{_short(column)}={_short(label)}" for column, label in key.items())


def _short(text: str) -> str:
    """A name on one line; of a long one the beginning and a digest, so that two slices never share a name."""
    if len(text) <= CAP:
        return visible(text)
    return f"{visible(text[:40])}… {digest.of_value(text)[:12]}"


def results(made: Audit, audit_sha256: str) -> list[dict[str, Any]]:
    """The results of an audit as the hub's ``model-index`` holds them, a slice each, marked as ours."""
    by_config: dict[str, list[Number]] = {}
    for number in numbers(made):
        by_config.setdefault(number.config, []).append(number)
    test = made.subject["data"]["test"]
    confidence = (made.spec.get("run") or {}).get("confidence", 0.95)
    return [
        {
            "task": {"type": _task(made)},
            "dataset": {
                "type": "test-data",
                "name": f"Test data, {name(PurePath(str(test.get('path', ''))).name or 'unnamed')}",
                "config": config,
                "split": "test",
                "revision": str(test["sha256"]),
                "args": {MARK: audit_sha256},
            },
            "metrics": [_metric(number, confidence) for number in numbers],
        }
        for config, numbers in by_config.items()
    ]


def _metric(number: Number, confidence: float) -> dict[str, Any]:
    piece, estimate = number.piece, number.estimate
    return {
        "type": HUB.get(piece.method, piece.method),
        "value": estimate.value,
        "name": name(piece.title),
        "args": {
            "ci_low": estimate.low,
            "ci_high": estimate.high,
            "n": estimate.n,
            "confidence": confidence,
            "evidence": name(piece.id),
        },
    }


def _task(made: Audit) -> str:
    """The hub's name of the task; ``other`` where it has none."""
    about = (str(made.subject.get("modality", "table")), str(made.subject.get("task")))
    known = {
        ("table", "classification"): "tabular-classification",
        ("table", "regression"): "tabular-regression",
        ("image", "classification"): "image-classification",
        ("text", "classification"): "text-classification",
    }
    return known.get(about, "other")


def ours(result: object) -> bool:
    """Whether a result of a card is one that an audit wrote."""
    dataset = result.get("dataset") if isinstance(result, Mapping) else None
    args = dataset.get("args") if isinstance(dataset, Mapping) else None
    return isinstance(args, Mapping) and MARK in args
