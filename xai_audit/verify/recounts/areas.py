"""Areas again: between the ROC curves of groups, and of a group's rows among all others."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from xai_audit import digest
from xai_audit.evidence import Estimate, Summary
from xai_audit.verify import groups, limits_roc
from xai_audit.verify.groups import Cell
from xai_audit.verify.limits import Limit, shared
from xai_audit.verify.limits_roc import Sides
from xai_audit.verify.recounts.bench import Bench, LackingError, Need, Recount, Recounted, Seen, Skip, Unknown
from xai_audit.verify.recounts.statistics import SINGLE
from xai_audit.verify.table import Mask

TERMS, TERM = "terms", "term"


def _sides(bench: Bench, positives: Mask, negatives: Mask) -> Sides:
    """Scores of the positives among some rows, and of the negatives among others."""
    score, true = bench.positive_scores(), bench.table.true(bench.subject.positive)
    return score[positives & true], score[negatives & ~true]


def _cell(
    key: dict[str, str], inside: Mask, sides: Sides, reasons: tuple[str, str], *, missing: bool
) -> Cell:
    n, count = int(np.count_nonzero(inside)), len(sides[0]) + len(sides[1])
    for side, reason in zip(sides, reasons, strict=True):
        if not len(side):
            return Cell(key=key, n=n, undefined=reason, count=count, missing=missing)
    value, at = limits_roc.auc(sides)
    labels = (len(sides[0]), len(sides[1]))
    return Cell(key=key, n=n, found=(value, functools.cache(at)), count=count, labels=labels, missing=missing)


# ------------------------------------------------------------------------------------------ between curves
def _abroca(bench: Bench) -> Iterator[Recounted]:
    if not bench.table.plain:
        yield Skip(reason=SINGLE)
        return
    valid = bench.table.valid
    for grouping in bench.table.groupings:
        cells: list[Cell] = []
        compared: dict[str, Sides] = {}
        for key, inside, missing, withheld in bench.groups(grouping):
            if withheld:
                cells.append(
                    Cell(key=key, n=int(np.count_nonzero(inside)), withheld=withheld, missing=missing)
                )
                continue
            sides = _sides(bench, inside & valid, inside & valid)
            # An area stands for all rows of its group, with or without a valid label.
            cells.append(_cell(key, inside, sides, ("no positives", "no negatives"), missing=missing))
            if cells[-1].able(bench.minima) and not missing:
                compared[cells[-1].label] = sides
        made = groups.table(bench.minima, grouping.columns, cells, better="higher", summary=False)
        small = sum(cell.found is not None and not cell.missing for cell in cells) - len(compared)
        yield Seen(
            observation=made.model_copy(update={"summary": _largest(bench, compared, small)}),
            columns=grouping.columns,
            sampling=bench.labelled,
            params=bench.minima.stated,
        )


def _largest(bench: Bench, compared: dict[str, Sides], small: int) -> Summary:
    """The largest area between two curves, with limits that hold for all pairs."""
    pairs = list(combinations(sorted(compared), 2))
    if not pairs:
        return Summary(insufficient=small)
    asked = digest.of_value(dict(bench.params))
    drawn = {
        label: limits_roc.drawn(sides, digest.seed(bench.spec.run.seed, bench.method, asked, "abroca", label))
        for label, sides in compared.items()
    }
    areas = [limits_roc.abroca(compared[one], compared[other]) for one, other in pairs]
    ends = [
        limits_roc.abroca_limits(compared[one], compared[other], (drawn[one], drawn[other]))
        for one, other in pairs
    ]

    def at(level: float) -> Limit:
        found = [limits(shared(level, len(pairs))) for limits in ends]
        return max(low for low, _ in found), max(high for _, high in found)

    widest = areas.index(max(areas))
    n = sum(len(side) for label in pairs[widest] for side in compared[label])
    return Summary(
        difference=bench.minima.read(areas[widest], at, n),
        between=pairs[widest],
        pairs=len(pairs),
        insufficient=small,
    )


# ------------------------------------------------------------------------------------------ among all others
@dataclass(frozen=True)
class Area:
    """Whose positives are ranked against whose negatives: the group's own, or those of everybody else."""

    own_positives: bool
    own_negatives: bool


def _among_others(area: Area, bench: Bench) -> Iterator[Recounted]:
    table = bench.table
    if not table.plain:
        yield Skip(reason=SINGLE)
        return
    terms = dict(bench.params.get("terms", {}))
    if not table.groupings and not terms:
        yield Skip(reason="it needs sensitive columns or terms; the spec names none")
        return
    whole = _overall(bench)
    for grouping in table.groupings:
        gone = np.asarray(grouping.missing)
        if table.linked:  # by what the others lack, a group that is not shown could be counted
            gone &= [not why for why in table.withheld(grouping)]
        unknown = np.isin(grouping.codes, np.flatnonzero(gone))
        cells = []
        for key, inside, missing, withheld in bench.groups(grouping):
            # Rows without a value may be anyone's: only their own group counts them.
            others = table.valid & ~inside if missing else table.valid & ~inside & ~unknown
            cells.append(_among(area, bench, key, inside & table.valid, others, withheld, missing=missing))
        made = groups.table(bench.minima, grouping.columns, cells, better="higher", overall=whole)
        yield Seen(
            observation=made, columns=grouping.columns, sampling=bench.labelled, params=bench.minima.stated
        )
    if terms and bench.subject.modality == "text":
        yield _by_terms(area, bench, list(terms), whole)
    elif terms:
        what = {"table": "cells of a table", "image": "images"}[bench.subject.modality]
        yield Skip(reason=f"words are found in texts; these rows are {what}")


def _overall(bench: Bench) -> Estimate | None:
    sides = _sides(bench, bench.table.valid, bench.table.valid)
    if not all(map(len, sides)):
        return None
    return bench.minima.read(*limits_roc.auc(sides), len(sides[0]) + len(sides[1]))


def _among(
    area: Area,
    bench: Bench,
    key: dict[str, str],
    inside: Mask,
    others: Mask,
    withheld: str,
    *,
    missing: bool = False,
) -> Cell:
    if withheld:
        return Cell(key=key, n=int(np.count_nonzero(inside)), withheld=withheld, missing=missing)
    sides = _sides(bench, inside if area.own_positives else others, inside if area.own_negatives else others)
    reasons = (
        f"no positives{'' if area.own_positives else ' outside the group'}",
        f"no negatives{'' if area.own_negatives else ' outside the group'}",
    )
    return _cell(key, inside, sides, reasons, missing=missing)


def _by_terms(area: Area, bench: Bench, terms: list[str], whole: Estimate | None) -> Recounted:
    try:
        stored = bench.stored(TERMS)
    except LackingError as error:
        return Unknown(reason=str(error), part=TERMS)
    flags = stored.get("mentions")
    if flags is None or flags.shape != (bench.table.n, len(terms)) or flags.dtype != np.bool_:
        return Unknown(reason="which texts mention which term is not kept as it should be", part=TERMS)
    cells, least = [], bench.minima.min_cell
    for place, term in enumerate(terms):
        inside = flags[:, place]
        few = 0 < np.count_nonzero(inside) < least
        cells.append(
            _among(
                area, bench, {TERM: term}, inside & bench.table.valid, bench.table.valid & ~inside,
                f"n < {least}" if few else "",
            )
        )  # fmt: skip
    made = groups.table(bench.minima, (TERM,), cells, better="higher", overall=whole)
    return Seen(observation=made, part=TERMS, sampling=bench.labelled, params=bench.minima.stated)


_NEEDS: tuple[Need, ...] = ("binary", "labels", "scores")

RECOUNTS: dict[str, Recount] = {
    "abroca": Recount(_abroca, (*_NEEDS, "groups")),
    **{
        name: Recount(
            partial(_among_others, Area(own_positives, own_negatives)),
            _NEEDS,
            defaults={"primary": False, "terms": {}},
        )
        for name, own_positives, own_negatives in (
            ("subgroup_auc", True, True),
            ("bpsn_auc", False, True),
            ("bnsp_auc", True, False),
        )
    },
}
