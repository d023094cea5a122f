"""The ``model-index`` results of a model card: overall and by group, each number with its interval and n."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from xai_audit.render.slices import Number, numbers
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from xai_audit.audit import Audit

MARK = "xai_audit"
"""The key under ``dataset.args`` that makes a result ours; its value is the sha256 of audit.json."""

HUB: Mapping[str, str] = {
    "matthews_corrcoef": "matthews_correlation",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "r2": "r_squared",
}
"""Metrics that the hub knows under another name than scikit-learn."""


def results(made: Audit, audit_sha256: str) -> list[dict[str, Any]]:
    """The results of an audit as the hub's ``model-index`` holds them, a slice each, marked as ours."""
    by_config: dict[str, list[Number]] = {}
    for number in numbers(made):
        by_config.setdefault(number.slice, []).append(number)
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
            "metrics": [_metric(number, confidence) for number in each],
        }
        for config, each in by_config.items()
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
