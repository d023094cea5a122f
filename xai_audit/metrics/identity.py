"""How a ranking treats texts and people of one group among all others: AUCs of the group and its background.

Borkan, Dixon, Sorensen, Thain and Vasserman 2019. The background of a group is every row outside it. A score that is
too high for whoever belongs to a group lowers its BPSN AUC and raises its BNSP AUC; one that is too low does the
reverse; one that orders the group's own rows badly lowers its subgroup AUC.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from xai_audit import intervals_roc as roc
from xai_audit.errors import UnmetNeedError
from xai_audit.method import Context, Measured, Method, MetricParams, Skipped
from xai_audit.metrics import grouped
from xai_audit.metrics.grouped import Cell, Limits
from xai_audit.metrics.labelled import each_group, independent, known, labelled_sampling, stated
from xai_audit.metrics.mentions import Lists, mentions, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.subject import Subject

TERMS = "terms"
"""The part of the evidence whose groups are texts that mention a term."""
TERM = "term"


class IdentityParams(MetricParams):
    """What groups are compared beside those of the sensitive columns."""

    terms: Lists = Field(default_factory=dict)
    """Texts that mention a term are a group: {gay: [gay, homosexual], muslim: [muslim, muslims]}."""


@dataclass(frozen=True)
class Area:
    """One of the three AUCs: whose positives are ranked against whose negatives."""

    id: str
    title: str
    measures: str
    positives: bool
    """Whether the positives are the group's own, not the background's."""
    negatives: bool
    limits: tuple[str, ...] = ()


_SHARED = "Groups share a background, so an interval of the gap between two is wider than it need be."
AREAS = (
    Area(
        "subgroup_auc",
        "Subgroup AUC",
        "The chance that a positive row of a group scores above a negative one of the same group, ties counted half.",
        positives=True,
        negatives=True,
        limits=("It does not see a score that is too high, or too low, for a whole group.",),
    ),
    Area(
        "bpsn_auc",
        "Background positive, subgroup negative AUC",
        "The chance that a positive row outside a group scores above a negative row of the group, ties counted half.",
        positives=False,
        negatives=True,
        limits=(
            "It is low where the group's scores are too high, and where it is hard for other reasons.",
            _SHARED,
        ),
    ),
    Area(
        "bnsp_auc",
        "Background negative, subgroup positive AUC",
        "The chance that a positive row of a group scores above a negative row outside it, ties counted half.",
        positives=True,
        negatives=False,
        limits=(
            "It is low where the group's scores are too low, and where it is hard for other reasons.",
            _SHARED,
        ),
    ),
)


def _run(area: Area) -> Callable[[Subject, IdentityParams, Context], Iterator[Measured | Skipped]]:
    def run(subject: Subject, params: IdentityParams, context: Context) -> Iterator[Measured | Skipped]:
        if not independent(subject):
            yield Skipped(reason="not available with weights or clusters")
            return
        if not subject.groupings and not params.terms:
            raise UnmetNeedError("it needs sensitive columns or terms; the spec names none")
        valid = known(subject)
        whole = _overall(subject, context, valid)
        sampling = labelled_sampling(subject)
        for grouping in subject.groupings:
            # Who has no value may belong to the group: such rows are in no other group's background, unless they may
            # not be shown: by what a background lacks they could be counted.
            shown = [not why for why in subject.hidden(grouping, context.min_cell)]
            unknown = np.isin(
                grouping.codes, np.flatnonzero(np.asarray(grouping.missing) & np.asarray(shown))
            )
            cells = [
                _cell(subject, area, key, inside & valid, valid & ~inside & ~(unknown & (not missing)), missing, covered)
                for key, inside, missing, covered in each_group(subject, grouping, context)
            ]  # fmt: skip
            yield Measured(
                observation=grouped.table(context, grouping.columns, cells, better="higher", overall=whole),
                columns=grouping.columns,
                sampling=sampling,
                params=stated(context),
            )
        if params.terms:
            texts = texts_of(subject)
            cells = []
            held = {term: mentions(texts, words) for term, words in params.terms.items()}
            for term, inside in held.items():
                size = int(np.count_nonzero(inside))
                covered = f"n < {context.min_cell}" if 0 < size < context.min_cell else ""
                cells.append(
                    _cell(
                        subject,
                        area,
                        {TERM: term},
                        inside & valid,
                        valid & ~inside,
                        missing=False,
                        covered=covered,
                    )
                )
            yield Measured(
                name=TERMS,
                title=f"{area.title}, by terms in the text",
                observation=grouped.table(context, (TERM,), cells, better="higher", overall=whole),
                sampling=sampling,
                params=stated(context),
                arrays={
                    "terms": np.array(list(held), dtype=str),
                    "mentions": np.column_stack([*held.values()]),
                },
                limits=(
                    "Texts are told apart by words, not by what they mean; one may count under several terms.",
                ),
            )

    return run


def _overall(subject: Subject, context: Context, valid: NDArray[np.bool_]) -> Estimate | None:
    positive, negative = _sides(subject, valid, valid)
    if not positive or not negative:
        return None
    value, limits = roc.auc(positive, negative, context.levels)
    return context.estimate(value, limits, len(positive) + len(negative))


def _sides(
    subject: Subject, positives: NDArray[np.bool_], negatives: NDArray[np.bool_]
) -> tuple[list[float], list[float]]:
    """Scores of the positives among some rows and of the negatives among others, in order."""
    score = subject.positive_score()
    assert score is not None
    assert subject.test.target is not None
    true = subject.test.target == subject.positive
    return sorted(score[positives & true].tolist()), sorted(score[negatives & ~true].tolist())


def _cell(
    subject: Subject,
    area: Area,
    key: dict[str, str],
    inside: NDArray[np.bool_],
    background: NDArray[np.bool_],
    missing: bool,
    covered: str,
) -> Cell:
    n = int(np.count_nonzero(inside))
    if covered:
        return Cell(key=key, n=n, hidden=covered, missing=missing)
    positive, negative = _sides(
        subject, inside if area.positives else background, inside if area.negatives else background
    )
    count = len(positive) + len(negative)
    if not positive or not negative:
        whose = area.negatives if positive else area.positives
        reason = f"no {'negatives' if positive else 'positives'}{'' if whose else ' outside the group'}"
        return Cell(key=key, n=n, undefined=reason, missing=missing, count=count)
    return Cell(
        key=key,
        n=n,
        value=roc.auc(positive, negative, (0.95,))[0],
        at=functools.partial(_at, positive, negative),
        count=count,
        labels=(len(positive), len(negative)),
        missing=missing,
    )


def _at(positive: list[float], negative: list[float], levels: Sequence[float]) -> Limits:
    return roc.auc(positive, negative, levels)[1]


METHODS: tuple[Method[Any], ...] = tuple(
    Method(
        id=area.id,
        kind="metric",
        title=area.title,
        measures=area.measures,
        params=IdentityParams,
        run=_run(area),
        needs=("binary", "labels", "scores"),
        better="higher",
        limits=area.limits,
        cites=("Borkan et al. 2019", "Dixon et al. 2018", "DeLong, DeLong and Clarke-Pearson 1988"),
        parts=(TERMS,),
    )
    for area in AREAS
)
