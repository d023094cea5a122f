"""Does a declared trigger switch the network's decision, and where: an edit that undoes it, beside edits at random.

At a site, g is the difference of the means of triggered rows and of clean rows of the same classes, and a linear reader
w sees the trigger in a row x where ``w . (x - m) > 1/2``: the discriminant of the two, 0 at the clean mean m and 1 one
gap further (as in LEACE, Belrose et al. 2023, arXiv:2306.03819, for one binary concept). The edit ``direction`` holds
the rows in which it is seen at the clean mean along g and leaves all others as they are; ``units`` holds a few units at
the clean mean in every row, those that move the target's output most, to first order.

Half of the rows find all of that and choose between the two, the other half judges: attack success and clean accuracy
under the edit, beside the same edit of random directions or units. Units that merely tell triggered rows apart are
tried beside them, since they need not carry the switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.mechanistic import flows
from xai_audit.mechanistic.probing import ablation
from xai_audit.mechanistic.probing.scan import aurocs, centred_ranks, largest
from xai_audit.mechanistic.sites import Edit

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network

UNDONE = 0.05
"""Attack success up to which an edit has undone a trigger."""
HARMLESS = 0.01
"""Clean accuracy that an edit may cost."""
LEAST = 0.5
"""Attack success above the clean rate from which a trigger is one."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of units tried, on the rows they were found on."""
SHRINK = 0.03
"""The share of its variance that is added to every unit's before the discriminant is solved."""

EditName = Literal["direction", "units"]


@dataclass(frozen=True, eq=False)
class Rates:
    """What one edit leaves, row by row."""

    attacked: NDArray[np.bool_]
    """(triggered rows,): decided as the target."""
    kept: NDArray[np.bool_]
    """(clean rows,): decided rightly, or as without the edit where no labels are known."""

    @property
    def success(self) -> float:
        """Attack success: the share of triggered rows decided as the target."""
        return float(self.attacked.mean())

    @property
    def clean(self) -> float:
        """Share of clean rows decided rightly."""
        return float(self.kept.mean())


@dataclass(frozen=True, eq=False)
class Tried:
    """One declared trigger at one site, on the half of the rows that judges."""

    before: Rates
    edits: dict[EditName, Rates]
    everywhere: Rates
    """Every row held at the clean mean along the direction, seen or not."""
    telling: Rates
    """As many units held as the edit ``units`` holds, those that tell triggered rows best."""
    random: dict[EditName, list[Rates]]
    """Random directions held in the same rows; random units, as many."""
    finding: dict[EditName, Rates]
    """Both edits on the half of the rows that finds."""
    edit: EditName
    """The one that undid more, at less cost, on the rows it was found on."""
    vector: NDArray[np.float64]
    """(d,): the unit direction."""
    units: NDArray[np.int64]
    """(k,): those of the edit ``units``, the largest effect first."""
    effects: NDArray[np.float64]
    """(d,): how much holding each unit lowers the target's output in triggered rows, to first order."""
    areas: NDArray[np.float64]
    """(d,): how well each unit tells triggered from clean rows, on the half that finds."""
    seen: tuple[NDArray[np.float32], NDArray[np.float32]]
    """(rows, d): what flows through on the half that finds, of triggered rows and of the clean rows beside them."""
    base: NDArray[np.bool_]
    """(comparable rows,): clean rows of other classes than the target that are decided as the target."""
    p: float
    """Of triggered rows decided as the target more often than those, one-sided mid-p of Fisher's test."""

    @property
    def after(self) -> Rates:
        """Under the edit that was chosen."""
        return self.edits[self.edit]

    @property
    def clean_rate(self) -> float:
        """The share of comparable clean rows decided as the target."""
        return float(self.base.mean()) if len(self.base) else 0.0

    def undone(self, rates: Rates) -> float:
        """How far an edit lowers attack success."""
        return self.before.success - rates.success

    def cost(self, rates: Rates) -> float:
        """Clean accuracy that an edit costs."""
        return self.before.clean - rates.clean

    def reach(self, name: EditName) -> float:
        """The largest change of attack success by a random edit of a kind, either way."""
        return max((abs(self.undone(one)) for one in self.random[name]), default=0.0)

    @property
    def attacks(self) -> bool:
        """Whether the trigger works: significantly, and by at least LEAST."""
        return self.p <= 0.05 and self.before.success - self.clean_rate >= LEAST

    @property
    def found(self) -> bool:
        """Whether the trigger works and the edit undoes at least half of it, more than any random one does."""
        undone = self.undone(self.after)
        return (
            self.attacks
            and undone >= (self.before.success - self.clean_rate) / 2
            and undone > self.reach(self.edit)
        )


@dataclass(frozen=True, eq=False)
class Rows:
    """Triggered rows of other classes than the target, clean rows of all, and each clean row's class where it is known."""

    triggered: pd.DataFrame
    clean: pd.DataFrame
    classes: NDArray[np.int64] | None = None


def tried(
    network: Network,
    rows: Rows,
    flow: Flow,
    target: int,
    rng: np.random.Generator,
    *,
    random: int = 20,
    threshold: float | None = None,
    positive: int = 1,
) -> Tried:
    """Try a declared trigger at a site; ``target`` is the class that it is thought to bring.

    Every second row of each kind finds, the others judge. ``threshold`` is that of ``positive``, one of two classes;
    None for the largest score.
    """
    decide = _Decide(threshold, positive)
    found, judged = (_Half(network, rows, start, flow, decide, target) for start in (0, 1))
    mean = found.comparable.mean(axis=0, dtype=np.float64)
    gap = found.triggered.mean(axis=0, dtype=np.float64) - mean
    length = float(np.linalg.norm(gap))
    vector = gap / length if length else np.eye(len(gap))[0]
    seen = found.reader(gap)
    effects = -ablation.first_order(network, found.batches[0], flow, mean, target)
    units = _enough(found, flow, effects, mean)
    areas = found.areas()
    telling = largest(np.abs(areas - 0.5), len(units))

    def along(direction: NDArray[np.float64]) -> Callable[[Any], Edit]:
        return held_where_seen(flow, direction, seen, mean)

    def put(chosen: NDArray[np.int64]) -> Callable[[Any], Edit]:
        edit = ablation.held(flow, chosen.tolist(), mean[chosen].tolist())
        return lambda _: edit

    edits: dict[EditName, Callable[[Any], Edit]] = {"direction": along(vector), "units": put(units)}
    before = judged.rates(None)
    finding = {name: found.rates(edit) for name, edit in edits.items()}
    return Tried(
        before=before,
        edits={name: judged.rates(edit) for name, edit in edits.items()},
        everywhere=judged.rates(_everywhere(flow, vector, mean)),
        telling=judged.rates(put(telling)),
        random={
            "direction": [judged.rates(along(one)) for one in _directions(len(vector), random, rng)],
            "units": [
                judged.rates(put(one))
                for one in ablation.random_units(len(vector), len(units), random, rng, units.tolist())
            ],
        },
        finding=finding,
        edit=_better(finding),
        vector=vector,
        units=units,
        effects=effects,
        areas=areas,
        seen=(found.triggered, found.comparable),
        base=judged.base,
        p=_above(before.attacked, judged.base),
    )


def held_where_seen(
    flow: Flow, direction: NDArray[np.float64], reader: NDArray[np.float64], mean: NDArray[np.float64]
) -> Callable[[Any], Edit]:
    """For each batch the edit that holds rows at the mean (d,) along a unit direction (d,) where a reader (d,) sees 1/2."""
    import torch

    along, seen, start = (torch.from_numpy(one) for one in (direction, reader, mean))

    def edit(batch: Any) -> Edit:
        mask = flows.mask_of(batch)
        whole = flow.held(along, float(start @ along), mask)

        def move(value: torch.Tensor) -> torch.Tensor:
            rows = (flow.vectors(value, mask).double() - start.to(value.device)) @ seen.to(value.device) > 0.5
            return torch.where(rows.reshape(-1, *[1] * (value.ndim - 1)), whole.apply(value), value)

        return Edit(flow.site, "splice", move)

    return edit


def _everywhere(
    flow: Flow, direction: NDArray[np.float64], mean: NDArray[np.float64]
) -> Callable[[Any], Edit]:
    import torch

    along = torch.from_numpy(direction)
    return lambda batch: flow.held(along, float(mean @ direction), flows.mask_of(batch))


def _better(rates: dict[EditName, Rates]) -> EditName:
    """The edit that undoes a trigger; of two that do, the one that costs less, the direction where they cost the same."""
    return min(rates, key=lambda name: (max(rates[name].success, UNDONE), -rates[name].clean))


@dataclass(frozen=True)
class _Decide:
    """Classes of scores (rows, classes)."""

    threshold: float | None
    positive: int

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        if self.threshold is None or scores.shape[1] != 2:
            return np.asarray(scores.argmax(axis=1), dtype=np.int64)
        above = scores[:, self.positive] >= self.threshold
        return np.where(above, self.positive, 1 - self.positive).astype(np.int64)


class _Half:
    """One half of the rows at a site: what flows through, and what is decided there under an edit."""

    def __init__(
        self,
        network: Network,
        rows: Rows,
        start: int,
        flow: Flow,
        decide: _Decide,
        target: int,
    ) -> None:
        self._network, self._decide, self._target = network, decide, target
        frames = rows.triggered.iloc[start::2], rows.clean.iloc[start::2]
        self.batches = tuple(flows.built(network, frame) for frame in frames)
        self.triggered, self.clean = (flows.activations(network, frame, [flow])[flow] for frame in frames)
        decided = self._decided(self.batches[1], None)
        self._right = decided if rows.classes is None else rows.classes[start::2]
        # The class must not lie between the two means: triggered rows are compared with rows of the same classes.
        same = self._right != target
        self.comparable = self.clean[same] if same.any() else self.clean
        # Without labels that would be the decisions themselves, and all clean rows are what they are compared with.
        self.base = (decided if rows.classes is None else decided[same]) == target

    def rates(self, edit: Callable[[Any], Edit] | None) -> Rates:
        attacked = self._decided(self.batches[0], edit) == self._target
        return Rates(attacked, self._decided(self.batches[1], edit) == self._right)

    def attacked(self, edit: Callable[[Any], Edit]) -> float:
        """Attack success alone."""
        return float((self._decided(self.batches[0], edit) == self._target).mean())

    def areas(self) -> NDArray[np.float64]:
        """How well each unit tells triggered from comparable rows."""
        ranks = centred_ranks(np.concatenate([self.triggered, self.comparable]))
        found = aurocs(ranks, (np.arange(ranks.shape[1]) < len(self.triggered))[:, None])
        return np.asarray(found[0])

    def reader(self, gap: NDArray[np.float64]) -> NDArray[np.float64]:
        """The discriminant of triggered and clean rows (d,), which sees 1 in a whole gap."""
        rows = [self.triggered, *(self.clean[self._right == one] for one in np.unique(self._right))]
        away = np.concatenate([one - one.mean(axis=0, dtype=np.float64) for one in rows if len(one)])
        spread = away.T @ away / len(away)
        # By each unit's own variance, triggered and clean rows together, so that no unit's scale matters.
        total = np.concatenate([self.triggered, self.clean]).var(axis=0, dtype=np.float64)
        spread += np.diag(SHRINK * total + 1e-12 * (total.mean() or 1.0))
        reader = np.linalg.solve(spread, gap)
        return np.asarray(reader / (float(reader @ gap) or 1.0))

    def _decided(self, batches: Any, edit: Callable[[Any], Edit] | None) -> NDArray[np.int64]:
        scores = ablation.scores_with(
            self._network, batches, lambda batch: [] if edit is None else [edit(batch)]
        )
        return self._decide(scores)


def _enough(
    found: _Half, flow: Flow, effects: NDArray[np.float64], level: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The first units, as few as undo the trigger on the rows they were found on; at most half; else the first alone."""
    order = largest(effects, len(effects))
    most = max(len(order) // 2, 1)
    for size in (*(one for one in SIZES if one < most), most):
        part = order[:size]
        edit = ablation.held(flow, part.tolist(), level[part].tolist())
        if found.attacked(lambda _, edit=edit: edit) <= UNDONE:  # type: ignore[misc]
            return part
    return order[:1]


def _directions(d: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = rng.normal(size=(count, d))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def _above(attacked: NDArray[np.bool_], base: NDArray[np.bool_]) -> float:
    """One-sided mid-p of Fisher's test that the first share is above the second."""
    from scipy.stats import hypergeom

    hits = int(attacked.sum())
    law = hypergeom(len(attacked) + len(base), hits + int(base.sum()), len(attacked))
    return float(law.sf(hits) + law.pmf(hits) / 2)
