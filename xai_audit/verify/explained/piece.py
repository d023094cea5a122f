"""One explainer's evidence with what it is made again from: its own arrays, its other parts', the test rows, the spec."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.audit import Audit
from xai_audit.evidence import Evidence
from xai_audit.verify.explained.asked import of
from xai_audit.verify.explained.kept import ContradictionError, Kept, LackingError, Rows
from xai_audit.verify.explained.spread import levels_of

Made = dict[str, Any]
"""What should stand in a piece of evidence: parts of its tree, each leaf made again."""
OLD = "this audit does not keep {}; xai-audit of that time did not write it"


@dataclass(frozen=True, eq=False)
class Piece:
    """One piece of evidence that is made again."""

    evidence: Evidence
    made: Audit
    kept: Kept

    # ------------------------------------------------------------------------------------------- what it is
    @property
    def part(self) -> str:
        """What follows the method's name in the id."""
        return self.evidence.id.partition("/")[2]

    @property
    def params(self) -> dict[str, Any]:
        """As published."""
        return self.evidence.params

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """The level shown, then those that rules read."""
        return levels_of(float(self.made.spec["run"].get("confidence", 0.95)))

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.made.spec["run"].get("seed", 0))

    @property
    def min_cell(self) -> int:
        """Fewer people than this are not shown."""
        return int((self.made.spec.get("report") or {}).get("min_cell", 10))

    @property
    def min_n(self) -> int:
        """Groups of fewer rows are not compared."""
        return max((int(policy.get("min_n", 30)) for policy in self.made.policies), default=30)

    # ------------------------------------------------------------------------------------------- the subject
    @property
    def about(self) -> dict[str, Any]:
        """Model and data as audit.json tells of them."""
        return self.made.subject

    @property
    def modality(self) -> str:
        """table, image or text."""
        return str(self.about.get("modality", "table"))

    @property
    def classes(self) -> list[str]:
        """Class labels."""
        return [str(label) for label in self.about["classes"]]

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return self.about["task"] == "classification" and len(self.classes) == 2

    @property
    def columns(self) -> list[str]:
        """The inputs, in their order."""
        return [str(column["name"]) for column in self.about["columns"]]

    @property
    def rows(self) -> Rows:
        """The test rows."""
        return self.kept.rows

    def explained(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which score is explained for some rows: the positive class's, or of more than two the predicted one's."""
        scores = self.rows.scores
        if self.about["task"] == "regression" or scores is None or scores.shape[1] == 1:
            return np.zeros(len(rows), dtype=np.int64)
        if len(self.classes) == 2:
            return np.full(len(rows), int(self.about["positive"]), dtype=np.int64)
        return self.rows.codes("prediction")[rows]

    # ------------------------------------------------------------------------------------------- arrays
    @cached_property
    def _own(self) -> dict[str, NDArray[Any]]:
        return self.kept.arrays(self.evidence)

    def has(self, name: str) -> bool:
        """Whether this part or another of the same method keeps such an array."""
        return name in self._own or any(name in one.arrays for one in self._others())

    def array(self, name: str, axes: int | None = None) -> NDArray[Any]:
        """An array of this part, else of another part of the same method; LackingError where no part keeps it."""
        found = self._own.get(name)
        if found is None:
            for one in self._others():
                if name in one.arrays:
                    found = self.kept.arrays(one)[name]
                    break
        if found is None:
            raise LackingError(OLD.format(f"the array {name}"))
        if axes is not None and found.ndim != axes:
            raise ContradictionError(f"array {name} has {found.ndim} axes, not {axes}")
        if found.dtype.kind not in "biufU":
            raise ContradictionError(f"array {name} holds no numbers")
        return found

    def numbers(self, name: str, axes: int) -> NDArray[np.float64]:
        """The same, as numbers in double precision."""
        found = self.array(name, axes)
        if found.dtype.kind == "U":
            raise ContradictionError(f"array {name} holds no numbers")
        return found.astype(np.float64)

    def whole(self, name: str, axes: int) -> NDArray[np.int64]:
        """The same, as whole numbers."""
        found = self.array(name, axes)
        if found.dtype.kind not in "biu":
            raise ContradictionError(f"array {name} holds no whole numbers")
        return found.astype(np.int64)

    def words(self, name: str) -> list[str]:
        """The same, as words."""
        return [str(word) for word in self.array(name, 1).tolist()]

    def sibling(self, part: str) -> Evidence | None:
        """Another part of the same method."""
        name = of(self.evidence)
        return self.made.get(f"{name}/{part}" if part else name)

    def _others(self) -> list[Evidence]:
        return [
            one for one in self.made.evidence if of(one) == of(self.evidence) and one is not self.evidence
        ]

    # ------------------------------------------------------------------------------------------- which rows
    def settled(self, key: str) -> Any:
        """A parameter as the run settled it; a part that was skipped says only what was asked for."""
        if self.evidence.status == "measured" or "cases" in self.evidence.arrays:
            return self.params.get(key)
        told = [one for one in self._others() if one.status == "measured" and key in one.params]
        return told[0].params[key] if told else self.params.get(key)

    def sampled(self) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """The rows that the method was given, and what ``sampling`` must say."""
        wanted = self.settled("rows")
        if wanted is not None and not isinstance(wanted, int):
            raise ContradictionError("params.rows is no number of rows")
        return self.rows.sample(wanted, self.seed)

    def explained_rows(self) -> NDArray[np.int64]:
        """The rows that got an explanation, by the digests beside their arrays; they must be among those sampled."""
        given = self.array("row_sha256", 2)
        if given.dtype != np.uint8 or given.shape[1] != 32:
            raise ContradictionError("array row_sha256 holds no digests")
        digests = [bytes(one).hex() for one in given]
        asked, _ = self.sampled()
        found, place = [], 0
        for one in digests:
            while place < len(asked) and self.rows.digests[int(asked[place])] != one:
                place += 1
            if place == len(asked):
                raise ContradictionError("array row_sha256 names a row that was not drawn for this method")
            found.append(int(asked[place]))
            place += 1
        return np.asarray(found, dtype=np.int64)

    def agreeing(self, name: str, own: NDArray[np.float64], other: NDArray[np.float64], slack: float) -> None:
        """ContradictionError where an array is not what the test rows, or another array, say it is."""
        if own.shape != other.shape:
            raise ContradictionError(f"array {name} has the shape {own.shape}, not {other.shape}")
        both = np.isfinite(own) & np.isfinite(other)
        size = float(np.max(np.abs(other[both]), initial=0.0))
        off = np.where(both, np.abs(own - other), 0.0)
        if (np.isfinite(own) != np.isfinite(other)).any() or float(off.max(initial=0.0)) > slack * size:
            place = np.unravel_index(int(np.argmax(off)), off.shape) if off.size else ()
            raise ContradictionError(
                f"array {name} says {own[place]:.12g} where {other[place]:.12g} stands elsewhere in the folder"
            )


def shaped(name: str, found: NDArray[Any], *shape: int) -> NDArray[Any]:
    """The array, which must have this shape (-1: any length)."""
    if len(shape) != found.ndim or any(
        one not in (-1, own) for one, own in zip(shape, found.shape, strict=True)
    ):
        wanted = " x ".join("any" if one < 0 else str(one) for one in shape)
        raise ContradictionError(f"array {name} has the shape {found.shape}, not {wanted}")
    return found
