"""The change since an earlier audit, had again from the arrays in evidence/ and the rows of this audit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.applying import CHANGE
from xai_audit.evidence import LEVELS, Estimate, Groups, Scalar
from xai_audit.verify import paired
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.verify.paired import Found, Limits

ERRORS = {"mean_absolute_error": 1.0, "root_mean_squared_error": 0.5}
"""Errors told as a share of what they were, and the power their mean is raised to."""
DOWN = {
    "false_positive_rate",
    "false_negative_rate",
    "false_discovery_rate",
    "false_omission_rate",
    "log_loss",
    "brier_score",
}
"""Metrics of which less is better, whose change is turned."""
AMONG = {
    "recall": (True, True), "true_positive_rate": (True, True), "false_negative_rate": (True, False),
    "true_negative_rate": (False, False), "false_positive_rate": (False, True),
}  # fmt: skip
"""Rates of rows of a label: which label, and what the prediction must be to count."""


class _UnlikeError(Exception):
    """What the evidence says is the same and is not."""


class _UnknownError(Exception):
    """What cannot be had again here, and why."""


def changed(audit: Audit, folder: Path) -> Iterator[Check]:
    """One check for each number of ``performance_change``: holds, broken with both numbers, or unchecked."""
    for piece in audit.evidence:
        if piece.method != CHANGE:
            continue
        if piece.status != "measured":
            yield Check("unchecked", piece.id, f"it was not measured: {piece.reason}")
            continue
        try:
            held = _Held(audit, piece, folder)
        except (OSError, KeyError, ValueError, _UnknownError) as error:
            yield Check("unchecked", piece.id, f"its arrays cannot be read: {error}")
            continue
        for key, told, estimate in held.numbers():
            name = f"{piece.id}{''.join(f' {column} {label}' for column, label in key.items())}"
            try:
                found = held.again(key, told, with_limits=estimate.limits is not None)
            except _UnlikeError as error:
                yield Check("broken", name, str(error))
                continue
            except (_UnknownError, ValueError, ZeroDivisionError, KeyError) as error:
                yield Check("unchecked", name, f"its change cannot be had again: {error}")
                continue
            wrong = _differs(estimate, found, estimate.limits is not None)
            if wrong:
                yield Check("broken", name, wrong)
            else:
                how = {"same": "from equal answers", "paired": "row by row"}.get(
                    told, "from both audits' numbers"
                )
                yield Check("holds", name, f"the change of {estimate.value:.6g} was had again {how}")


class _Held:
    """What the folder holds of one piece of evidence."""

    def __init__(self, audit: Audit, piece: Evidence, folder: Path) -> None:
        self.audit, self.piece = audit, piece
        self.metric = str(piece.params.get("metric"))
        self.levels = (float(audit.spec.get("run", {}).get("confidence", 0.95)), *map(float, LEVELS))
        self.column = piece.id.partition("/")[2]
        self.old: dict[str, NDArray[Any]] = {}
        self.new: dict[str, NDArray[Any]] = {}
        if piece.arrays:
            self._read(folder)

    def _read(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        (name,) = set(self.piece.arrays.values())
        with np.load(folder / "evidence" / name, allow_pickle=False) as kept:
            self.old = {key: kept[key] for key in kept.files}
        table = pq.ParquetFile(folder / "evidence" / "rows.parquet").read(use_threads=False)
        places = self.old.pop("row")
        if len(np.unique(places)) != len(places) or places.max(initial=-1) >= table.num_rows:
            raise _UnknownError("its pairs are no rows of this audit")
        for key in table.column_names:
            values = table.column(key).to_pylist()
            text = any(isinstance(value, str) for value in values)
            column = (
                np.array(["" if v is None else v for v in values])
                if text
                else np.array([math.nan if v is None else v for v in values])
            )
            self.new[key] = column[places]
        if "score" in self.new:
            classes, positive = self.audit.subject.get("classes") or (), self.audit.subject.get("positive")
            self.new[f"score:{classes[positive] if classes else ''}"] = self.new["score"]

    def numbers(self) -> Iterator[tuple[Mapping[str, str], str, Estimate]]:
        """Each number with its key and how it was told."""
        told = list(self.piece.params.get("told") or ())
        seen = self.piece.observation
        if isinstance(seen, Scalar):
            yield {}, told[0] if told else "", seen.estimate
        elif isinstance(seen, Groups):
            for group, how in zip(seen.groups, told, strict=True):
                if group.estimate is not None:
                    yield group.key, how or "", group.estimate

    def again(self, key: Mapping[str, str], told: str, *, with_limits: bool) -> Found:
        """The change from its definition, turned as the evidence is."""
        levels = self.levels if with_limits else self.levels[:1]
        if told == "unpaired":
            found = self._apart(key, levels)
        else:
            mine = (
                np.ones(len(next(iter(self.new.values()))), dtype=bool)
                if self.new
                else np.zeros(0, dtype=bool)
            )
            for column, label in key.items():
                if column != "class":
                    mine &= (self.new[f"group:{column}"] == label) & (self.old[f"group:{column}"] == label)
            if not set(key) - {"class"}:
                # So that the few rows in one audit alone cannot be told by subtraction, the first pairs stand aside.
                params = self.piece.params
                mine[: int(params["rows_common"]) - int(params["rows_paired"])] = False
            if not mine.any():
                raise _UnknownError("no pair of rows is kept")
            if told == "same":
                return self._same(mine, levels)
            found = self._paired(mine, key.get("class"), levels)
        turned = self.metric in DOWN or self.metric in ERRORS
        return _turned(found) if turned else found

    def _same(self, mine: NDArray[np.bool_], levels: Sequence[float]) -> Found:
        for name in ("prediction", *(key for key in self.old if key.startswith("score:"))):
            if name in self.old and not np.array_equal(
                self.old[name][mine], self.new[name][mine], equal_nan=self.old[name].dtype.kind == "f"
            ):
                raise _UnlikeError(f"{name} differs between the audits, and the evidence says it is the same")
        return 0.0, [(0.0, 0.0)] * len(levels)

    def _apart(self, key: Mapping[str, str], levels: Sequence[float]) -> Found:
        primary = str(self.audit.subject.get("primary"))
        now = self.audit.get(f"{primary}/{self.column}" if self.column else primary)
        seen = now.observation if now is not None else None
        new = seen.estimate if isinstance(seen, Scalar) else None
        if isinstance(seen, Groups):
            new = next((group.estimate for group in seen.groups if group.key == dict(key)), None)
        old = next((one["estimate"] for one in self.piece.params["old"] if one["key"] == dict(key)), None)
        if new is None or old is None:
            raise _UnknownError("one of the two numbers is not in audit.json")
        sides = [
            (estimate.value, [_ends(estimate, level, self.levels[0]) for level in levels])
            for estimate in (Estimate.model_validate({"low": None, "high": None, **old}), new)
        ]
        if self.metric not in ERRORS:
            return paired.apart(sides[0], sides[1])
        logs = [
            (
                math.log(value),
                [tuple(math.log(end) if end and end > 0 else None for end in ends) for ends in limits],
            )
            for value, limits in sides
        ]
        value, limits = paired.apart(*logs)  # type: ignore[arg-type]
        return math.expm1(value), [
            (None if a is None else math.expm1(a), None if b is None else math.expm1(b)) for a, b in limits
        ]

    def _paired(  # noqa: PLR0911  # a return for each family of metrics
        self, mine: NDArray[np.bool_], label: str | None, levels: Sequence[float]
    ) -> Found:
        about = self.audit.subject
        old, new = ({key: values[mine] for key, values in side.items()} for side in (self.old, self.new))
        if about.get("task") == "regression":
            return self._regression(old, new, levels)
        classes = [str(one) for one in about.get("classes") or ()]
        which = "favourable" if self.metric == "selection_rate" else "positive"
        label = label if label is not None else classes[about[which]]
        known = new["target"] != "" if "target" in new else np.ones(len(new["prediction"]), dtype=bool)
        old, new = ({key: values[known] for key, values in side.items()} for side in (old, new))
        calls = [np.asarray(side["prediction"] == label) for side in (old, new)]
        weights = new.get("weight"), new.get("cluster")
        if self.metric == "selection_rate":
            return self._share(calls[0], calls[1], weights, levels)
        true = new["target"] == label
        if self.metric == "accuracy":
            return self._share(
                old["prediction"] == old["target"], new["prediction"] == new["target"], weights, levels
            )
        if self.metric in AMONG:
            of, call = AMONG[self.metric]
            some = true == of
            cut = tuple(None if extra is None else extra[some] for extra in weights)
            return self._share(calls[0][some] == call, calls[1][some] == call, cut, levels)
        if self.metric == "balanced_accuracy":
            each = [new["target"] == one for one in classes]
            return paired.mean_of(
                [
                    paired.share(old["prediction"][rows] == one, new["prediction"][rows] == one, levels)
                    for rows, one in zip(each, classes, strict=True)
                ]
            )
        if self.metric in paired.TABLES:
            of_table, most = paired.TABLES[self.metric]
            return paired.table(true, calls[0], calls[1], of_table, levels, most)
        if self.metric == "roc_auc":
            return paired.auc(true, old[f"score:{label}"], new[f"score:{label}"], levels)
        if self.metric in {"brier_score", "log_loss"}:
            losses = [self._loss(side, classes, label) for side in (old, new)]
            return self._mean(losses[1] - losses[0], weights, levels)
        raise _UnknownError(f"verify does not know {self.metric}")

    def _loss(
        self, side: Mapping[str, NDArray[Any]], classes: Sequence[str], label: str
    ) -> NDArray[np.float64]:
        if self.metric == "brier_score":
            return np.asarray((side[f"score:{label}"] - (side["target"] == label)) ** 2)
        given = {one: side[f"score:{one}"] for one in classes if f"score:{one}" in side}
        if len(given) == 1:
            ((one, score),) = given.items()
            given[next(other for other in classes if other != one)] = 1 - score
        tiny = np.finfo(float).eps
        clipped = {one: np.clip(score, tiny, 1 - tiny) for one, score in given.items()}
        total = np.sum(list(clipped.values()), axis=0)
        own = np.select([side["target"] == one for one in classes], [clipped[one] for one in classes], 1.0)
        return np.asarray(-np.log(own / total))

    def _regression(
        self, old: Mapping[str, NDArray[Any]], new: Mapping[str, NDArray[Any]], levels: Sequence[float]
    ) -> Found:
        known = np.isfinite(new["target"].astype(float))
        truth = new["target"][known]
        wrong = [truth - side["prediction"][known] for side in (old, new)]
        if self.metric in ERRORS:
            power = ERRORS[self.metric]
            sides = [np.abs(one) ** (1 / power) for one in wrong]
            return paired.logged(sides[0], sides[1], power, levels)
        if self.metric == "r2":
            spread = (truth - truth.mean()) ** 2
            saved = (wrong[0] ** 2 - wrong[1] ** 2) / spread.mean()
            value = float(saved.mean())
            return paired.rows(saved - value * spread / spread.mean(), value, levels)
        raise _UnknownError(f"verify does not know {self.metric}")

    def _share(self, old: Any, new: Any, weights: tuple[Any, ...], levels: Sequence[float]) -> Found:
        if all(extra is None for extra in weights):
            return paired.share(np.asarray(old), np.asarray(new), levels)
        return self._mean(np.asarray(new, dtype=float) - old, weights, levels)

    def _mean(self, moved: NDArray[np.float64], weights: tuple[Any, ...], levels: Sequence[float]) -> Found:
        if all(extra is None for extra in weights):
            return paired.rows(moved, float(moved.mean()), levels)
        return paired.clustered(moved, weights[0], weights[1], levels)


def _ends(estimate: Estimate, level: float, shown: float) -> tuple[float | None, float | None]:
    if level == shown:
        return estimate.low, estimate.high
    if estimate.limits and str(level) in estimate.limits:
        return estimate.limits[str(level)]
    if estimate.low == estimate.value == estimate.high:
        return estimate.value, estimate.value
    raise _UnknownError(f"one of the two numbers has no limits at {level:g}")


def _turned(found: Found) -> Found:
    value, limits = found
    return -value, [(None if high is None else -high, None if low is None else -low) for low, high in limits]


def _differs(estimate: Estimate, found: Found, limits: bool) -> str:
    """What is told and what was had again, where they differ; empty where they agree."""
    value, again = found
    told: Limits = [(estimate.low, estimate.high)]
    told += [(estimate.limits or {}).get(level, (None, None)) for level in LEVELS] if limits else []
    if not _close(estimate.value, value):
        return f"the change is told as {estimate.value:.9g} and comes out as {value:.9g}"
    for level, ends, mine in zip(("shown", *LEVELS), told, again, strict=False):
        for end, own in zip(ends, mine, strict=True):
            if not _close(end, own):
                return f"a limit ({level}) is told as {_text(end)} and comes out as {_text(own)}"
    return ""


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-7)


def _text(number: float | None) -> str:
    return "unbounded" if number is None else f"{number:.9g}"
