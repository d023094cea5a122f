"""A sequential Context, a plain model adapter and small subjects, all real."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pandas as pd

from xai_audit import digest
from xai_audit.evidence import LEVELS, Estimate, Sampling
from xai_audit.method import PIECE, Piece
from xai_audit.subject import Column, Rows, Subject

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # shap's import warns of matplotlib's plans
    import shap  # noqa: F401


class Bench:
    """Runs a method's pieces one after the other."""

    def __init__(self, subject, params, method, *, seed=0, piece=PIECE, min_cell=10):
        self.subject, self.params, self.method, self.seed, self.piece = subject, params, method, seed, piece
        self.levels = (0.95, *map(float, LEVELS))
        self.min_n, self.min_label, self.min_cell = 30, 10, min_cell

    def _seed(self, *piece):
        return digest.seed(
            self.seed, self.method.id, digest.of_value(self.params.model_dump(mode="json")), *piece
        )

    def rng(self, *piece):
        return np.random.default_rng(self._seed(*piece))

    def map(self, work, pieces):
        return [
            work(self.subject, self.params, piece, self._seed(work.__qualname__, piece.digest))
            for piece in pieces
        ]

    def sample(self, rows):
        n = self.subject.test.n
        if rows is None or rows >= n:
            return np.arange(n), Sampling(available=n, used=n, how="all rows")
        keys = [digest.of_bytes(f"{self.seed}:{self.subject.test.seed(row)}".encode()) for row in range(n)]
        return np.sort(np.argsort(np.asarray(keys), kind="stable")[:rows]), Sampling(
            available=n, used=rows, how="smallest digests"
        )

    def pieces(self, rows):
        cut = [rows[start : start + self.piece] for start in range(0, len(rows), self.piece)]
        return [Piece(part, digest.joined(self.subject.test.seed(int(row)) for row in part)) for part in cut]

    def given(self, _identifier):
        return None

    def estimate(self, value, intervals, n):
        low, high = intervals[0]
        return Estimate(
            value=value, low=low, high=high, n=n, limits=dict(zip(LEVELS, intervals[1:], strict=True))
        )


class Adapter:
    """scikit-learn's own calls, as scores and margins."""

    format = "python"

    def __init__(self, native, *, shows=True, scores=None):
        self.inner = native
        self.native = native if shows else None
        self.network = None
        self.sha256 = ""
        self.details = {}
        self.features = None
        self.classes = tuple(getattr(native, "classes_", ())) or None
        self.probabilities = self.classes is not None
        self.calls = 0
        self.own = scores

    def scores(self, frame):
        self.calls += len(frame)
        if self.own is not None:
            return np.asarray(self.own(frame), dtype=float).reshape(len(frame), -1)
        data = frame if hasattr(self.inner, "feature_names_in_") else frame.to_numpy()
        if hasattr(self.inner, "predict_proba"):
            return self.inner.predict_proba(data)
        return np.asarray(self.inner.predict(data), dtype=float).reshape(len(frame), -1)

    def margin(self, frame):
        data = frame if hasattr(self.inner, "feature_names_in_") else frame.to_numpy()
        if hasattr(self.inner, "decision_function"):
            return self.inner.decision_function(data).reshape(len(frame), -1)
        if type(self.inner).__name__ == "XGBClassifier":
            return self.inner.predict(data, output_margin=True).reshape(len(frame), -1)
        if type(self.inner).__name__ == "LGBMClassifier":
            return self.inner.predict(data, raw_score=True).reshape(len(frame), -1)
        return None if self.classes else self.scores(frame)


def table(frame, target=None):
    """Rows in content order, as loaders make them."""
    frame = frame.reset_index(drop=True)
    keys = [
        digest.of_value(
            [
                [name, None if pd.isna(row[name]) else repr(row[name])]
                for name in sorted(map(str, frame.columns))
            ]
        )
        for row in frame.to_dict("records")
    ]
    order = np.argsort(np.asarray(keys), kind="stable")
    seen, occurrence = {}, []
    for position in order:
        occurrence.append(seen.get(keys[position], 0))
        seen[keys[position]] = occurrence[-1] + 1
    return Rows(
        frame=frame.iloc[order].reset_index(drop=True),
        digests=np.asarray([bytes.fromhex(keys[position]) for position in order], dtype="S32"),
        occurrence=np.asarray(occurrence, dtype=np.int64),
        target=None if target is None else np.asarray(target)[order],
    )


def kind(series):
    if series.dtype == bool:
        return "boolean"
    return "numeric" if series.dtype.kind in "iuf" else "categorical"


def subject(native, train, test, target=None, *, shows=True, positive=1, scores=None):
    model = Adapter(native, shows=shows, scores=scores)
    classes = model.classes or ()
    made = Subject(
        model=model,
        task="classification" if classes else "regression",
        columns=tuple(Column(str(name), kind(test[name])) for name in test.columns),
        test=table(test, target),
        train=None if train is None else table(train),
        classes=classes,
        positive=positive,
        probabilities=model.probabilities,
    )
    given = made.evaluate(made.test.frame)
    return Subject(**{**made.__dict__, "scores": given})


def observe(method, made, /, *, seed=0, piece=PIECE, min_cell=10, **params):
    """What a method yields, by name."""
    chosen = method.params(**params)
    context = Bench(made, chosen, method, seed=seed, piece=piece, min_cell=min_cell)
    return {found.name: found for found in method.run(made, chosen, context)}


def brute_force(call, row, background):
    """Shapley values of one row by their definition: every subset, one at a time. ``call`` gives one number a row."""
    names = list(row.index)
    count = len(names)
    value = {}
    for size in range(count + 1):
        for chosen in combinations(range(count), size):
            mixed = background.copy()
            for j in chosen:
                mixed[names[j]] = pd.Series(
                    [row.iloc[j]] * len(mixed), index=mixed.index, dtype=background[names[j]].dtype
                )
            value[chosen] = float(np.mean(call(mixed)))
    phi = np.zeros(count)
    for j in range(count):
        rest = [k for k in range(count) if k != j]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for chosen in combinations(rest, size):
                with_j = tuple(sorted((*chosen, j)))
                phi[j] += weight * (value[with_j] - value[chosen])
    return phi
