"""Prototypes as pictures and words: a class with its examples, a row with its neighbours, examples out of place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.explainers.attributions.overlays import picture
from xai_audit.explainers.rows import plain
from xai_audit.mechanistic import medoids

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.explainers.examples.support import Rule, Support, Suspicion
    from xai_audit.subject import Rows, Subject

FEW = 5
"""Examples beside each other."""
LETTERS = 400
"""Of a text shown; one that is cut ends with [...]."""
Side = tuple["NDArray[np.int64]", "NDArray[np.float64]"]
"""Places in the support, and how far each lies."""
_NONE: Side = (np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Told:
    """A case, and the examples in it as the evidence folder keeps them."""

    told: dict[str, Any]
    query: int
    """The test row's place among those compared; -1 where the case is of a class."""
    places: tuple[NDArray[np.int64], NDArray[np.int64]]
    """In the support, of the nearest examples and of the counterexamples."""
    distances: tuple[NDArray[np.float64], NDArray[np.float64]]


def kept(cases: Sequence[Told]) -> dict[str, NDArray[Any]]:
    """The examples of some cases, case after case and nearest before counterexamples, with how many each side has."""
    sides = [(place, far) for one in cases for place, far in zip(one.places, one.distances, strict=True)]
    return {
        "case_query": np.asarray([one.query for one in cases], dtype=np.int64),
        "case_sizes": np.asarray([[len(place) for place in one.places] for one in cases], dtype=np.int64),
        "case_place": np.concatenate([np.zeros(0, dtype=np.int64), *(place for place, _ in sides)]),
        "case_distance": np.concatenate([np.zeros(0), *(far for _, far in sides)]),
    }


def predicted(subject: Subject, frame: pd.DataFrame) -> NDArray[np.int64]:
    """The model's class for any rows: the positive one from the threshold on, or the largest score."""
    scores = subject.evaluate(frame)
    if subject.binary:
        own = scores[:, subject.positive] if scores.shape[1] > 1 else scores[:, 0]
        scores = np.stack([own < subject.threshold, own >= subject.threshold], axis=1)
        named = np.asarray([1 - subject.positive, subject.positive], dtype=np.int64)
        return np.asarray(named[np.argmax(scores, axis=1)])
    return np.asarray(np.argmax(scores, axis=1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Shown:
    """Makes cases of places in the support and of test rows."""

    subject: Subject
    support: Support
    embedded: NDArray[np.float32]
    asked: NDArray[np.float32]

    def of_classes(self, rule: Rule, suspicion: Suspicion) -> list[Told]:
        """Each class's prototypes, and the examples of other classes that lie most among its own."""
        found = []
        for one in np.unique(rule.classes):
            mine = rule.places[rule.classes == one]
            centre = rule.means[rule.mean_classes == one][0]
            order = np.argsort(-suspicion.share[:, one], kind="stable")
            others = order[suspicion.share[order, one] > 0][:FEW]
            found.append(
                self._case(
                    "prototypes of the class, nearest its mean first; beside them examples labelled otherwise "
                    "that lie most among its own",
                    int(one),
                    _sorted(mine, self._distances(mine, centre)),
                    (others, self._distances(others, centre)),
                )
            )
        return found

    def of_suspects(self, suspicion: Suspicion) -> list[Told]:
        """For each label, up to FEW examples that lie most among another class."""
        found = []
        labels = self.support.labels
        for one in np.unique(labels):
            mine = np.nonzero(suspicion.suspect & (labels == one))[0]
            mine = mine[np.argsort(-suspicion.value[mine], kind="stable")][:FEW]
            if len(mine):
                why = f"labelled {self._name(one)}, but nearer to examples of another class"
                found.append(self._case(why, int(one), _NONE, (mine, np.full(len(mine), np.nan))))
        return found

    def of_rows(self, prediction: NDArray[np.int64]) -> list[Told]:
        """Test rows near the threshold or wrong, each with its nearest examples, and those not of the predicted class."""
        found = []
        for why, place in self._rows(prediction):
            row, one = int(self.support.queries[place]), int(prediction[place])
            sides: list[Side] = []
            for inside in (np.arange(len(self.embedded)), np.nonzero(self.support.labels != one)[0]):
                if not len(inside):
                    sides.append(_NONE)
                    continue
                index, squares = medoids.nearest(self.asked[[place]], self.embedded[inside], FEW)
                sides.append((inside[index[0]], np.sqrt(squares[0])))
            scores = self.subject.scores
            score = None if scores is None else _score(self.subject, scores[row], one)
            query = self._one(self.subject.test, row, self._label(self.subject.test.target, row), one, None)
            found.append(self._case(why, one, sides[0], sides[1], query, score, place))
        return found

    def _rows(self, prediction: NDArray[np.int64]) -> list[tuple[str, int]]:
        scores, target = self.subject.scores, self.subject.test.target
        if scores is None or not len(prediction):
            return []
        mine = scores[self.support.queries]
        if mine.shape[1] > 1 and not self.subject.binary:
            ordered = np.sort(mine, axis=1)
            near, why = ordered[:, -1] - ordered[:, -2], "the two largest scores lie nearest each other"
        else:
            own = mine[:, self.subject.positive] if mine.shape[1] > 1 else mine[:, 0]
            near, why = np.abs(own - self.subject.threshold), "nearest the decision threshold"
        chosen = {int(np.argmin(near)): why}
        if target is not None:
            truth = target[self.support.queries]
            wrong = (truth >= 0) & (truth != prediction)
            if wrong.any():
                place = int(np.argmax(np.where(wrong, near, -np.inf)))
                chosen[place] = (
                    f"{chosen[place]}; the surest mistake" if place in chosen else "the surest mistake"
                )
        return [(why, place) for place, why in chosen.items()]

    def _case(
        self,
        why: str,
        one: int,
        nearest: Side,
        counter: Side,
        query: dict[str, Any] | None = None,
        score: float | None = None,
        place: int = -1,
    ) -> Told:
        told = {
            "kind": "prototypes",
            "why": why,
            "class": self._name(one),
            "query": query,
            "score": score,
            "nearest": self._examples(*nearest),
            "counter": self._examples(*counter),
        }
        return Told(told, place, (nearest[0], counter[0]), (nearest[1], counter[1]))

    def _examples(self, places: NDArray[np.int64], distances: NDArray[np.float64]) -> list[dict[str, Any]]:
        if not len(places):
            return []
        table, rows = self.support.table, self.support.rows[places]
        said: list[int | None] = [None] * len(rows)
        if self.subject.model is not None:
            said = list(predicted(self.subject, table.frame.iloc[rows]))
        return [
            self._one(
                table,
                int(row),
                self._name(self.support.labels[place]) if self.support.classed == "labels" else None,
                one,
                float(distance) if np.isfinite(distance) else None,
            )
            for place, row, one, distance in zip(places, rows, said, distances, strict=True)
        ]

    def _one(
        self, table: Rows, row: int, label: str | None, one: int | None, distance: float | None
    ) -> dict[str, Any]:
        cells = table.frame.iloc[row]
        if self.subject.modality == "image":
            content: dict[str, Any] = {"picture": picture(cells.iloc[0])}
        elif self.subject.modality == "text":
            text = cells.iloc[0] if isinstance(cells.iloc[0], str) else ""
            content = {"text": text if len(text) <= LETTERS else f"{text[:LETTERS]} [...]"}
        else:
            told = (f"{name} {plain(cells[name])}" for name in table.frame.columns)
            content = {"text": "; ".join(told)}
        return {
            **content,
            "label": label,
            "predicted": None if one is None else self._name(one),
            "distance": distance,
        }

    def _distances(self, places: NDArray[np.int64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
        gaps = self.embedded[places].astype(np.float64) - centre
        found: NDArray[np.float64] = np.sqrt((gaps**2).sum(axis=1))
        return found

    def _name(self, one: Any) -> str:
        return str(self.subject.classes[int(one)])

    def _label(self, target: NDArray[Any] | None, row: int) -> str | None:
        return None if target is None or target[row] < 0 else self._name(target[row])


def _sorted(
    places: NDArray[np.int64], distances: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    order = np.argsort(distances, kind="stable")
    return places[order], distances[order]


def _score(subject: Subject, scores: NDArray[np.float64], one: int) -> float | None:
    if len(scores) > 1:
        return float(scores[one])
    return float(scores[0]) if one == subject.positive else None
