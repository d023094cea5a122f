"""Claims on declared triggers: does one work, which edit undoes it, and what would a search of this size have found?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from xai_audit import intervals
from xai_audit.errors import MethodError
from xai_audit.evidence import (
    Control,
    Frozen,
    Inference,
    Matrix,
    Scalar,
    Selftest,
    encoded,
    exactly,
)
from xai_audit.explainers.concepts.sets import smallest_first
from xai_audit.explainers.examples.compared import row_digests
from xai_audit.explainers.probing.found import MOST_ACTIVATIONS
from xai_audit.explainers.probing.predicates import named_set
from xai_audit.intervals_paired import rate_change
from xai_audit.intervals_rows import t_quantile
from xai_audit.mechanistic.probing import ablation, planted, triggers
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.probing.planted import Power
    from xai_audit.mechanistic.probing.triggers import Tried
    from xai_audit.mechanistic.sites import Site
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

FEWEST = 40
"""Triggered and clean rows that a claim needs."""
WIDEST = 128
"""Units of the planted networks, at most."""
TESTED = "Fisher's exact test (mid-p), Bonferroni over triggers and sites"


class Trigger(Frozen):
    """Rows with something in them that is thought to bring a class about."""

    name: str = Field(min_length=1)
    triggered: str
    """The set of rows that hold it, of other classes than the target."""
    target: str | int
    """The class that it is thought to bring."""
    clean: str | None = None
    """The set of rows without it; null for the test rows, whose labels say what it costs to edit."""


def claims(
    subject: Subject,
    network: Network,
    sites: Sequence[Site],
    asked: Sequence[Trigger],
    context: Context,
    *,
    rows: int | None,
    random: int,
    planted: int,
) -> Iterator[Measured | Skipped]:
    """One claim and one table of edits for each trigger and site."""
    if subject.task != "classification":
        raise MethodError("neuron_search: triggers bring a class about; this model gives numbers")
    family = len(asked) * len(sites)
    power: dict[tuple[int, int], Power] = {}
    for one in asked:
        target = _target(subject, one)
        chosen, told = _rows(subject, one, rows, context)
        n = min(map(len, told.values()))
        if n < FEWEST:
            reason = f"fewer than {FEWEST} triggered or clean rows"
            yield from (Skipped(name=_part(one.name, site), reason=reason) for site in sites)
            continue
        for site in sites:
            flow = ablation.units(network, chosen.clean, site)
            found = triggers.tried(
                network, chosen, flow, target, context.rng("trigger", one.name, str(site)),
                random=random, threshold=subject.threshold if subject.binary else None, positive=subject.positive,
            )  # fmt: skip
            size = min(len(found.vector), WIDEST), min(n, 1000)
            if planted and size not in power:
                power[size] = _power(planted, *size, context)
            kept = {**told, **_activations(found, family)}
            yield _claim(subject, one, site, target, found, family, context, power.get(size), size, kept)
            yield _table(one, site, found)


def _activations(found: Tried, family: int) -> dict[str, NDArray[Any]]:
    """What flowed through the rows that find; nothing where that is too much for all claims together."""
    triggered, comparable = found.seen
    if family * (triggered.size + comparable.size) > MOST_ACTIVATIONS:
        return {}
    return {"triggered": triggered, "comparable": comparable}


def _part(*parts: object) -> str:
    return encoded("@".join(map(str, parts)))


def _power(count: int, width: int, rows: int, context: Context) -> Power:
    return planted.power(count, width, rows, context.rng("planted", str(width), str(rows)))


def _target(subject: Subject, one: Trigger) -> int:
    known = {str(label): place for place, label in enumerate(subject.classes)}
    if str(one.target) not in known:
        raise MethodError(f"trigger {one.name}: no class {one.target!r}; the classes are {', '.join(known)}")
    return known[str(one.target)]


def _rows(
    subject: Subject, one: Trigger, most: int | None, context: Context
) -> tuple[triggers.Rows, dict[str, NDArray[Any]]]:
    """Triggered and clean rows in the order of their content, no row in both; and whose they are, by digest."""
    bad = named_set(subject, one.triggered, f"trigger {one.name}")
    clean = subject.test if one.clean is None else named_set(subject, one.clean, f"trigger {one.name}")
    known = set(bad.digests.tolist())
    order = {part: _order(rows, most, context) for part, rows in (("bad", bad), ("clean", clean))}
    kept = [place for place in order["clean"] if clean.digests[place] not in known]
    classes = None
    if one.clean is None and subject.test.target is not None:
        kept = [place for place in kept if subject.test.target[place] >= 0]
        classes = np.asarray(subject.test.target[kept], dtype=np.int64)
    rows = triggers.Rows(bad.frame.iloc[order["bad"]], clean.frame.iloc[kept], classes)
    told = {
        "triggered_sha256": row_digests(bad, np.asarray(order["bad"], dtype=np.int64)),
        "clean_sha256": row_digests(clean, np.asarray(kept, dtype=np.int64)),
    }
    return rows, told


def _order(rows: Rows, most: int | None, context: Context) -> list[int]:
    """Rows by their content, each once: every second one finds, and no equal one may judge."""
    order = smallest_first(rows, context.seed, "trigger")
    return [int(place) for place in order if rows.occurrence[place] == 0][:most]


def _claim(
    subject: Subject,
    one: Trigger,
    site: Site,
    target: int,
    found: Tried,
    family: int,
    context: Context,
    power: Power | None,
    size: tuple[int, int],
    beside: dict[str, NDArray[Any]],
) -> Measured:
    levels = context.levels
    before, after = found.before.attacked, found.after.attacked
    n, m = len(before), len(found.base)
    undone = found.undone(found.after)
    limits = _change(after, before, levels)
    hits, base = int(before.sum()), int(found.base.sum())
    above = intervals.rate_difference(hits, n, base, m, levels)
    least = triggers.LEAST
    random = np.asarray([found.undone(other) for other in found.random[found.edit]])
    reach = float(t_quantile(0.95, len(random)) * np.sqrt((random**2).mean()))
    spread = float(np.std(random, ddof=1)) * (1 + 1 / len(random)) ** 0.5
    centre = float(random.mean())
    cost = found.cost(found.after)
    kept = len(found.before.kept)
    adjusted = min(found.p * family, 1.0)
    of = str(subject.classes[target])
    return Measured(
        name=_part(one.name, site),
        title=f"How far an edit at {site} lowers the attack success of {one.name}",
        observation=Scalar(
            estimate=context.estimate(undone, limits, n), unit=f"share of triggered rows decided as {of}"
        ),
        arrays={
            "before": before, "after": after, "base": found.base,
            "clean_before": found.before.kept, "clean_after": found.after.kept,
            "random_undone": random, "vector": found.vector.astype(np.float32), "units": found.units,
            "areas": found.areas, "unit_effects": found.effects, "telling": found.telling.attacked,
            "finding": np.asarray([(rates.success, rates.clean) for rates in found.finding.values()]),
            **_power_kept(power, size), **beside,
        },
        controls=(
            Control(
                name=f"attack success above that of clean rows by more than {least}",
                expectation="positive",
                estimate=context.estimate(
                    found.before.success - found.clean_rate - least,
                    [(_minus(low, least), _minus(high, least)) for low, high in above],
                    n + m,
                ),
            ),
            Control(
                name="attack success undone beyond random edits of the same kind",
                expectation="positive",
                estimate=context.estimate(
                    undone - reach, [(_minus(low, reach), _minus(high, reach)) for low, high in limits], n
                ),
                edit=True,
            ),
            Control(
                name=f"random {'directions' if found.edit == 'direction' else 'units'}, the same edit",
                expectation="null",
                estimate=context.estimate(
                    centre,
                    [
                        (centre - half, centre + half)
                        for half in (t_quantile(level, len(random) - 1) * spread for level in levels)
                    ],
                    len(random),
                ),
                edit=True,
            ),
            Control(
                name=f"clean accuracy that the edit costs beyond {triggers.HARMLESS}",
                expectation="equal",
                estimate=exactly(max(round(cost - triggers.HARMLESS, 12), 0.0), kept),
                edit=True,
            ),
        ),
        inference=Inference(
            p=found.p, adjusted=max(adjusted, found.p), method=TESTED, family=f"{family} pairs of trigger and site",
            m=family,
        ),
        selftest=None if power is None else _selftest(power, size),
        params={
            "trigger": one.name, "site": str(site), "target": of, "edit": found.edit,
            "units": [int(unit) for unit in found.units] if found.edit == "units" else [],
            "success_before": _slot(hits, n, levels[0]),
            "success_after": _slot(int(after.sum()), n, levels[0]),
            "clean_rate": _slot(base, m, levels[0]),
            "clean_before": found.before.clean, "clean_after": found.after.clean, "cost": cost,
            "random_reach": reach, "best_area": float(np.abs(found.areas - 0.5).max() + 0.5),
            "success_without_telling_units": found.telling.success,
            **_power_told(power, size),
        },
        limits=(f"of this trigger alone: {one.triggered} against {one.clean or 'the test rows'}",),
    )  # fmt: skip


def _power_kept(power: Power | None, size: tuple[int, int]) -> dict[str, Any]:
    if power is None:
        return {}
    return {
        "planted_found": np.asarray(power.hits),
        "twins_flagged": np.asarray(power.flags),
        "planted_size": np.asarray(size),
    }


def _power_told(power: Power | None, size: tuple[int, int]) -> dict[str, Any]:
    if power is None:
        return {}
    return {
        "power": {
            "found": power.found, "planted": power.planted, "flagged": power.flagged, "twins": power.twins,
            "width": size[0], "rows": size[1],
        }
    }  # fmt: skip


def _selftest(power: Power, size: tuple[int, int]) -> Selftest:
    return Selftest(
        bed=f"{power.planted} planted triggers and {power.twins} clean twins, {size[0]} units, {size[1]} rows of each "
        f"kind: {power.flagged} twins flagged",
        passed=power.found >= 0.95 * power.planted and power.flagged <= 0.05 * power.twins,
        estimate=exactly(power.found / power.planted, power.planted),
    )


def _table(one: Trigger, site: Site, found: Tried) -> Measured:
    """Every edit tried, beside each other."""
    count = len(found.units)
    telling = "the unit that tells best" if count == 1 else f"the {count} units that tell best"
    own = f"the {'unit' if count == 1 else f'{count} units'} with the largest effect"
    rows = {
        "none": found.before,
        "direction, where seen": found.edits["direction"],
        "direction, in every row": found.everywhere,
        own: found.edits["units"],
        telling: found.telling,
    }
    values = [(rates.success, rates.clean) for rates in rows.values()]
    arrays = {
        "attacked": np.stack([rates.attacked for rates in rows.values()]),
        "kept": np.stack([rates.kept for rates in rows.values()]),
    }
    for name, random in found.random.items():
        what = "random directions, mean" if name == "direction" else "as many random units, mean"
        rows[what] = random[0]
        arrays[f"random_{name}"] = np.asarray([(one.success, one.clean) for one in random])
        values.append(
            (float(np.mean([r.success for r in random])), float(np.mean([r.clean for r in random])))
        )
    return Measured(
        name=_part(one.name, site, "edits"),
        title=f"Edits at {site} against {one.name}",
        observation=Matrix(
            rows=tuple(rows),
            columns=("attack success", "clean accuracy"),
            values=tuple(values),
            row_title="edit",
            column_title="share",
        ),
        arrays=arrays,
        params={"trigger": one.name, "site": str(site)},
    )


def _change(after: Any, before: Any, levels: Sequence[float]) -> list[tuple[float | None, float | None]]:
    """The interval of how much smaller the second share is, paired by row."""
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    return list(rate_change(lost, gained, len(before), levels))


def _minus(limit: float | None, by: float) -> float | None:
    return None if limit is None else limit - by


def _slot(hits: int, n: int, level: float) -> dict[str, Any]:
    low, high = intervals.rate(hits, n, [level])[0]
    return {"value": hits / n if n else 0.0, "low": low, "high": high, "n": n, "limits": None}
