"""Subjects made from arrays, for tests that need no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from xai_audit import catalog
from xai_audit.evidence import Evidence
from xai_audit.measure import Settings, Step, measure
from xai_audit.subject import Grouping, Rows, Subject


def grouping(name: str, values: Sequence[Any]) -> Grouping:
    """A grouping by one column; None is missing."""
    labels = sorted({str(value) for value in values if value is not None})
    missing = any(value is None for value in values)
    keys = [*labels, *(["missing"] if missing else [])]
    place = {label: index for index, label in enumerate(keys)}
    codes = np.array([place["missing" if value is None else str(value)] for value in values])
    return Grouping(
        columns=(name,),
        keys=tuple({name: key} for key in keys),
        codes=codes,
        missing=tuple(missing and key == "missing" for key in keys),
    )


def crossing(one: Grouping, other: Grouping) -> Grouping:
    """Two groupings crossed; only combinations that occur."""
    pairs = sorted(set(zip(one.codes.tolist(), other.codes.tolist(), strict=True)))
    place = {pair: index for index, pair in enumerate(pairs)}
    codes = np.array([place[pair] for pair in zip(one.codes.tolist(), other.codes.tolist(), strict=True)])
    return Grouping(
        columns=(*one.columns, *other.columns),
        keys=tuple({**one.keys[a], **other.keys[b]} for a, b in pairs),
        codes=codes,
        missing=tuple(one.missing[a] or other.missing[b] for a, b in pairs),
    )


def classifier(
    true: Sequence[int] | None,
    predicted: Sequence[int],
    groupings: Sequence[Grouping] = (),
    scores: Sequence[float] | None = None,
    classes: tuple[Any, ...] = (0, 1),
    **more: Any,
) -> Subject:
    """Predictions of a classifier, without a model."""
    n = len(predicted)
    both = None
    if scores is not None:
        positive = np.asarray(scores, dtype=float)
        both = np.column_stack([1 - positive, positive])
    return Subject(
        model=None,
        task="classification",
        columns=(),
        test=rows(n, None if true is None else np.asarray(true), **more),
        classes=classes,
        groupings=tuple(groupings),
        scores=both,
        prediction=np.asarray(predicted),
    )


def rows(n: int, target: Any, **more: Any) -> Rows:
    """Rows of n distinct contents."""
    return Rows(
        frame=pd.DataFrame(index=range(n)),
        digests=np.array([index.to_bytes(32, "big") for index in range(1, n + 1)], dtype="S32"),
        occurrence=np.zeros(n, dtype=np.int64),
        target=target,
        **more,
    )


def observed(
    subject: Subject, *names: str, settings: Settings | None = None, **params: Mapping[str, Any]
) -> dict[str, Evidence]:
    """Run methods by name and give their evidence by id."""
    table = catalog.methods()
    steps = [
        Step(table[name], table[name].params.model_validate(params.get(name, {})), name) for name in names
    ]
    outcome = measure(subject, steps, settings or Settings(debug=True))
    return {piece.id: piece for piece in outcome.evidence}
