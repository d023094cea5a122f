"""Tables of evidence: overall numbers, rates by group, crossings, confusion, rankings, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.evidence import Groups, Scalar
from xai_audit.render import findings as told
from xai_audit.render import numbers, people, thresholds
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import anchor, name, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence, Group
    from xai_audit.render.ink import Threshold

SHORT = 12
"""Letters of column names that a picture's labels still carry."""
AT_ONCE = 3
"""Rates beside each other in a table by group."""

COUNTED = {
    "recall": "Positives",
    "true_positive_rate": "Positives",
    "false_negative_rate": "Positives",
    "equal_opportunity_difference": "Positives",
    "false_positive_rate": "Negatives",
    "true_negative_rate": "Negatives",
    "false_positive_rate_difference": "Negatives",
    "precision": "Predicted pos.",
    "false_discovery_rate": "Predicted pos.",
    "predictive_parity_difference": "Predicted pos.",
    "negative_predictive_value": "Predicted neg.",
    "false_omission_rate": "Predicted neg.",
}
"""What a rate's denominator counts, by method."""
RATE_OF = {
    "demographic_parity_difference": "Selection rate",
    "demographic_parity_ratio": "Selection rate",
    "equal_opportunity_difference": "True positive rate",
    "false_positive_rate_difference": "False positive rate",
    "predictive_parity_difference": "Precision",
    "calibration_gap": "Score minus share positive",
    "equalized_odds_difference": "True and false positive rate",
    "equalized_odds_sum": "True and false positive rate",
    "abroca": "Area under the ROC curve",
    "subgroup_auc": "Subgroup AUC",
    "bpsn_auc": "BPSN AUC",
    "bnsp_auc": "BNSP AUC",
}
"""The rate that a comparison compares, by method."""
NOT_ENOUGH = "†"


def mark_of(audit: Audit, identifier: str) -> Cell:
    """The heaviest verdict of the rules that read a piece of evidence, with its rule."""
    for finding in sorted(audit.findings, key=told.weight):
        if identifier in finding.evidence:
            own = next((part.kind for part in finding.parts if part.evidence == identifier), None)
            kind = told.state(finding) if own in {None, finding.kind} else own
            if kind is None:
                continue
            mark = VERDICTS[kind]
            return Cell(
                text=mark.word, mark=mark, sub=finding.rule, href=f"#{told.place(finding)}", sort=mark.word
            )
    return Cell(text="no rule", muted=True)


def overall(audit: Audit, pieces: Sequence[Evidence]) -> Table | None:
    """Single numbers: what, observed, n, threshold, verdict."""
    rows = []
    for piece in pieces:
        if not isinstance(piece.observation, Scalar):
            continue
        estimate = piece.observation.estimate
        held = thresholds.held(audit, piece.id) or thresholds.declared(audit, piece.method)
        rows.append(
            Line(
                cells=(
                    Cell(text=name(piece.title, 140), sub=visible(piece.measures)),
                    Cell(
                        text=numbers.number(estimate),
                        sub=name(piece.observation.unit or "", 40),
                        sort=str(estimate.value),
                    ),
                    _number_of(piece.observation),
                    demand(held),
                    mark_of(audit, piece.id),
                )
            )
        )
    if not rows:
        return None
    return Table(
        caption=f"Measured over all {told.rows(audit, 2)}",
        columns=(
            Column(head="Measure"),
            Column(head="Observed", numeric=True),
            Column(head="n", numeric=True),
            Column(head="Threshold"),
            Column(head="Verdict"),
        ),
        rows=tuple(rows),
        full=True,
        kind="overall",
    )


def _number_of(seen: Scalar) -> Cell:
    """How many, and of what where they are no rows of the data; a count of nothing has none."""
    n = seen.estimate.n
    if not n and seen.unit:
        return Cell(text="–", muted=True, sort="0")
    what = numbers.counted(n, seen.unit)
    return Cell(text=f"{n:,}", sub="" if "=" in what else what.partition("\u00a0")[2], sort=str(n))


def demand(held: Threshold | None) -> Cell:
    """``at least 0.80``, and below it where that number comes from."""
    return Cell(text="none", muted=True) if held is None else Cell(text=held.words, sub=held.basis)


def label(group: Group, columns: Sequence[str]) -> str:
    """A group's printable name with its column: ``sex 2``, ``age <30, class setosa``."""
    return ", ".join(
        level if key == "rate" else f"{name(key, 30)} {name(level, 60)}"
        for key, level in ((key, group.key.get(key, "")) for key in columns)
    )


def short_label(group: Group, columns: Sequence[str]) -> str:
    """The same for a picture's narrow column: long column names leave the room to the levels."""
    known = [key for key in columns if key in group.key]
    if sum(map(len, known)) > SHORT:
        return ", ".join(name(group.key[key], 60) for key in known)
    return label(group, columns)


def ordered(groups: Sequence[Group]) -> list[Group]:
    """Groups by value, lowest first; those without a value last; missing values last of all."""
    return sorted(
        groups,
        key=lambda g: (
            g.estimate is None,
            g.missing,
            g.estimate.value if g.estimate else 0.0,
            tuple(g.key.values()),
        ),
    )


def shown(group: Group | None, places: int, *, sized: bool = False) -> Cell:
    """A group's number, or the word that stands for it; a small group's number carries a dagger."""
    if group is None:
        return Cell(text="–", muted=True, sort="")
    if group.estimate is None:
        return Cell(text=name(group.reason or group.status, 40), muted=True, sort="")
    small = group.status == "insufficient"
    text = numbers.number(group.estimate, places) + (f"\u00a0{NOT_ENOUGH}" if small else "")
    sub = numbers.size(group.estimate.n) if sized else ""
    return Cell(text=text, sub=sub, muted=small, sort=str(group.estimate.value))


def places_of(pieces: Sequence[Evidence]) -> int:
    """The decimals of a column over several tables."""
    return numbers.shared_decimals(
        group.estimate
        for piece in pieces
        if isinstance(piece.observation, Groups)
        for group in piece.observation.groups
    )


def rate_title(piece: Evidence) -> str:
    """What a group's number is: the rate compared, else the evidence's own title."""
    if "compared_at" in piece.params:
        return "Share near a prototype"
    return RATE_OF.get(piece.method, piece.title)


def by_group(
    caption: str,
    blocks: Sequence[tuple[tuple[str, ...], Sequence[Evidence]]],
    whole: dict[str, Estimate],
    over: str = "All rows",
) -> Table:
    """Rates side by side, a block of rows for each sensitive column, lowest first by the first rate."""
    methods = list(dict.fromkeys(piece.method for _, pieces in blocks for piece in pieces))
    first = {
        method: next(p for _, pieces in blocks for p in pieces if p.method == method) for method in methods
    }
    places = {m: places_of([p for _, pieces in blocks for p in pieces if p.method == m]) for m in methods}
    counted = list(dict.fromkeys(COUNTED[m] for m in methods if m in COUNTED))
    counter = {word: next(m for m in methods if COUNTED.get(m) == word) for word in counted}
    rows: list[Line] = []
    if any(method in whole for method in methods):
        cells = [Cell(text=over), Cell(text=f"{max(e.n for e in whole.values()):,}")]
        cells += [Cell(text=f"{whole[counter[w]].n:,}" if counter[w] in whole else "–") for w in counted]
        cells += [
            Cell(text=numbers.number(whole[m], places[m]), sort=str(whole[m].value))
            if m in whole
            else Cell(text="–")
            for m in methods
        ]
        rows.append(Line(cells=tuple(cells)))
    for columns, pieces in blocks:
        tables = {
            p.method: {tuple(g.key.items()): g for g in p.observation.groups}
            for p in pieces
            if isinstance(p.observation, Groups)
        }
        leading = next(iter(tables.values()), {})
        keys = {key: group for found in tables.values() for key, group in found.items()}
        for index, group in enumerate(ordered([leading.get(key, group) for key, group in keys.items()])):
            key = tuple(group.key.items())
            size = f"{group.n:,}" if group.n is not None else name(group.reason or "withheld", 20)
            cells = [
                Cell(text=label(group, columns)),
                Cell(text=size, muted=group.n is None, sort=str(group.n or 0)),
            ]
            for word in counted:
                peer = tables.get(counter[word], {}).get(key)
                cells.append(Cell(text="–" if peer is None or peer.count is None else f"{peer.count:,}"))
            cells += [shown(tables.get(m, {}).get(key), places[m]) for m in methods]
            rows.append(Line(cells=tuple(cells), begins=index == 0 and bool(rows)))
    return Table(
        caption=caption,
        columns=(
            Column(head="Group"),
            Column(head="n", numeric=True),
            *(Column(head=word, numeric=True) for word in counted),
            *(Column(head=rate_title(first[m]), numeric=True) for m in methods),
        ),
        rows=tuple(rows),
        notes=dagger(rows),
    )


def dagger(rows: Sequence[Line]) -> tuple[str, ...]:
    """What the dagger means, where one stands."""
    if any(NOT_ENOUGH in cell.text for row in rows for cell in row.cells):
        return (f"{NOT_ENOUGH} Too few to compare: shown, never a reference, decides nothing.",)
    return ()


def gaps(audit: Audit, pieces: Sequence[Evidence]) -> Table | None:
    """The widest gap of every comparison over all its pairs: between whom, how large, against what."""
    within = people.explanatory(audit)

    def explains(piece: Evidence) -> str:
        return ", which others are compared within" if set(piece.observation.by) <= within else ""  # type: ignore[union-attr]

    rows = []
    for piece in pieces:
        summary = piece.observation.summary if isinstance(piece.observation, Groups) else None
        if summary is None:
            continue
        estimate = summary.ratio if piece.method.endswith("_ratio") else summary.difference or summary.ratio
        held = thresholds.held(audit, piece.id)
        between = (
            f"{name(summary.between[0], 40)} and {name(summary.between[1], 40)}" if summary.between else ""
        )
        small = f"; {summary.insufficient} too small" if summary.insufficient else ""
        rows.append(
            Line(
                cells=(
                    Cell(text=name(piece.title, 60), sub=f"by {told.by(piece.id)}{explains(piece)}"),
                    Cell(text=between or "–", sub=f"{numbers.some(summary.pairs, 'pair')}{small}"),
                    Cell(
                        text=numbers.number(estimate) if estimate else "not compared",
                        sub=numbers.size(estimate.n) if estimate else "",
                        muted=estimate is None,
                        sort=str(estimate.value) if estimate else "",
                    ),
                    demand(held),
                    mark_of(audit, piece.id),
                ),
                anchor=anchor("gap", piece.id),
            )
        )
    if not rows:
        return None
    return Table(
        caption="The widest gap of each comparison, over all pairs of groups",
        columns=(
            Column(head="Comparison"),
            Column(head="Lowest and highest"),
            Column(head="Observed", numeric=True),
            Column(head="Threshold"),
            Column(head="Verdict"),
        ),
        rows=tuple(rows),
        full=True,
        kind="gaps",
    )


def contrasts(pieces: Sequence[Evidence]) -> Table | None:
    """Each group's rate against the best one, a block for each column: ratio, difference, adjusted p."""
    found = [(piece, piece.observation) for piece in pieces if isinstance(piece.observation, Groups)]
    if not found:
        return None
    places = places_of(pieces)
    title = rate_title(found[0][0])
    ratios = any("ratio" in _kinds(group) for _, seen in found for group in seen.groups)
    rows: list[Line] = []
    for _, seen in found:
        for index, group in enumerate(ordered(seen.groups)):
            best = group.contrasts.get("best")
            tested = best is not None and best.p is not None
            cells = [
                Cell(text=label(group, seen.by)),
                Cell(
                    text=f"{group.n:,}" if group.n is not None else name(group.reason or "", 20),
                    muted=group.n is None,
                ),
                shown(group, places),
                *([_quotient(best.ratio if best else None, group)] if ratios else []),
                _quotient(best.difference if best else None, group),
                Cell(
                    text=told.chance(best.p).split("\u00a0", 1)[1].removeprefix("=\u00a0")
                    if tested and best and best.p is not None
                    else "–"
                ),
            ]
            rows.append(Line(cells=tuple(cells), begins=index == 0 and bool(rows)))
    lowest = any(
        best.difference is not None and best.difference.value > 0
        for _, seen in found
        for group in seen.groups
        if (best := group.contrasts.get("best")) is not None
    )
    which = "lowest" if lowest else "highest"
    ratio_column = [Column(head="Ratio", numeric=True)] if ratios else []
    return Table(
        caption=f"{title} of each group, and against the {which}",
        columns=(
            Column(head="Group"),
            Column(head="n", numeric=True),
            Column(head=title, numeric=True),
            *ratio_column,
            Column(head="Difference", numeric=True),
            Column(head="p", numeric=True),
        ),
        rows=tuple(rows),
        notes=(
            *dagger(rows),
            f"The reference is the group with the {which} rate among those large enough; p is adjusted over all pairs.",
        ),
        full=ratios,
    )


def _kinds(group: Group) -> set[str]:
    best = group.contrasts.get("best")
    return (
        set()
        if best is None
        else {kind for kind in ("ratio", "difference") if getattr(best, kind) is not None}
    )


def _quotient(estimate: Estimate | None, group: Group) -> Cell:
    if estimate is not None:
        return Cell(text=numbers.number(estimate), sort=str(estimate.value))
    return Cell(
        text="reference" if group.status == "measured" and "worst" in group.contrasts else "–", muted=True
    )
