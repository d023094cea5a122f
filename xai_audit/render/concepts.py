"""Concepts inside the model: what changes when an activation moves towards one, and what a random move does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.evidence import Scalar
from xai_audit.render import charts, numbers, rungs
from xai_audit.render.beside import limits, margin
from xai_audit.render.ink import Threshold
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, Table
from xai_audit.render.visible import anchor, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence

KEYS = ("concept", "site", "class")
"""What the parameters of a claim on a concept hold."""
DRAWN = 3
"""Classes whose picture paper has; a screen has all."""
MOST = 3
"""Decimals of a share."""
NAMED = 2
"""Evidence ids beside a picture or a table of claims; the register has all."""
TOLD = 8
"""Claims that paper tells in sentences, the furthest reaching first; a screen has all."""


def concerns(piece: Evidence) -> bool:
    """Whether a piece of evidence is a claim on a concept: one number, with concept, site and class."""
    return all(key in piece.params for key in KEYS) and (
        piece.status != "measured" or isinstance(piece.observation, Scalar)
    )


def slot(piece: Evidence, key: str) -> str:
    """A word of a claim as printed; a concept may be given as a mapping with a name."""
    found = piece.params.get(key)
    if isinstance(found, dict):
        found = found.get("name") or found.get("path")
    if not found and key == "site":
        return "the output"
    return name("" if found is None else found, 60)


def strength(piece: Evidence) -> tuple[int, float]:
    """What claims are sorted by: the highest rung first, then the largest amount."""
    estimate = rungs.over(piece)
    return (-rungs.step(piece.rung) if piece.rung else 0, -abs(estimate.value) if estimate else 0.0)


# ------------------------------------------------------------------------------------------------ sentences
def sentence(piece: Evidence) -> str:
    """A claim in full: what was done, what came of it, how sure, beside what, in what family.

    From the rung ``intervened`` on it says that the move changed the output; below, that outputs differed.
    """
    estimate = rungs.over(piece)
    if estimate is None:
        return ""
    concept, site, of_class = (slot(piece, key) for key in KEYS)
    unit = _unit(piece)
    amount = rungs.estimated(estimate, sign=True)
    size = f"n{numbers.NBSP}={numbers.NBSP}{estimate.n:,}"
    if rungs.causal(piece):
        said = (
            f"Raising “{concept}” at {site} from the random mean to the concept mean "
            f"changed the {unit} of {of_class} by {amount} ({size})"
        )
    else:
        said = (
            f"With “{concept}” at {site} at the concept mean instead of the random mean, "
            f"the {unit} of {of_class} differed by {amount} ({size})"
        )
    beside = [part for part in (_score(piece), _tested(piece), _accuracy(piece), _random(piece)) if part]
    text = "; ".join([said, *beside])
    why = rungs.halted(piece)
    return f"{text}.{f' It stands no higher because {why}.' if why and not rungs.causal(piece) else ''}"


def _unit(piece: Evidence) -> str:
    unit = piece.observation.unit if isinstance(piece.observation, Scalar) else None
    return name((unit or "score").removeprefix("change in "), 40)


def _score(piece: Evidence) -> str:
    found = rungs.read(piece.params.get("sign_score"))
    return f"sign score {_share(found)}" if found is not None else ""


def _tested(piece: Evidence) -> str:
    sets = piece.params.get("random_sets")
    drawn = f" ({sets:,} random sets)" if isinstance(sets, int) and piece.inference is not None else ""
    said = rungs.tested(piece)
    return f"{name(piece.inference.method, 80)}: {said}{drawn}" if said and piece.inference else ""


def _accuracy(piece: Evidence) -> str:
    found, chance = (rungs.read(piece.params.get(key)) for key in ("cav_accuracy", "cav_accuracy_null"))
    if found is None:
        return ""
    beside = f" (random sets {rungs.estimated(chance)})" if chance is not None else ""
    return f"held-out accuracy of the concept's direction {rungs.estimated(found)}{beside}"


def _random(piece: Evidence) -> str:
    found, own = rungs.read(piece.params.get("random_direction")), rungs.over(piece)
    if found is None or own is None:
        return ""
    # As many digits as the difference that they stand beside.
    return (
        f"random directions of equal length {rungs.estimated(found, sign=True, places=numbers.decimals(own))}"
    )


# ------------------------------------------------------------------------------------------------ exhibits
def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Annex H: for each class a picture of all concepts by site, one table, then the claims in sentences."""
    from xai_audit.render.exhibits import general

    own = [piece for piece in pieces if concerns(piece) and isinstance(piece.observation, Scalar)]
    others = [piece for piece in pieces if piece not in own]
    made: list[Exhibit] = []
    classes = sorted({slot(piece, "class") for piece in own})
    for place, of_class in enumerate(classes):
        drawn = _drawn(audit, [piece for piece in own if slot(piece, "class") == of_class], of_class)
        made += [replace(one, screen=True) if place >= DRAWN else one for one in drawn]
    if own:
        made.append(Exhibit(table=_tabled(own, limits(own)), margin=margin(audit, own, most=NAMED)))
        made += _told(own)
    return [*made, *(_again(one) if own else one for one in general(audit, others))]


def _again(exhibit: Exhibit) -> Exhibit:
    """What tells the same numbers once more, for the screen."""
    table = exhibit.table
    return replace(exhibit, table=replace(table, folded=True, screen=True)) if table else exhibit


def _sites(pieces: Sequence[Evidence]) -> list[str]:
    """Sites in the order of the network where the evidence says so, else of their names with numbers as numbers."""
    import re

    def key(site: str) -> list[Any]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", site)]

    return sorted({slot(piece, "site") for piece in pieces}, key=key)


def _drawn(audit: Audit, pieces: Sequence[Evidence], of_class: str) -> list[Exhibit]:
    """Dots on their intervals, a block for each site; as many pictures as the rows take."""
    rows: list[charts.Row] = []
    sites = _sites(pieces)
    # What is the same in every row stands in the title; a label of one word fits.
    kept = _telling(pieces)
    for site in sites:
        own = sorted(
            (piece for piece in pieces if slot(piece, "site") == site),
            key=lambda piece: -(rungs.over(piece).value if rungs.over(piece) else 0.0),  # type: ignore[union-attr]
        )
        for index, piece in enumerate(own):
            rows.append(
                charts.Row(
                    label=", ".join(slot(piece, key) for key in kept),
                    estimate=rungs.over(piece),
                    n=numbers.count(_n(piece)),
                    strong=rungs.causal(piece),
                    gap=index == 0,
                )
            )
    unit = _unit(pieces[0])
    made = []
    said = _finding(pieces, of_class)
    for start in range(0, len(rows), charts.ROWS):
        part = rows[start : start + charts.ROWS]
        title = said if not start else f"{said} (continued)"
        figure = Figure(
            title=title,
            subtitle=f"Difference in the {unit} of {of_class} between the concept mean and the random mean, "
            "with 95 % interval. Dark: the claim is intervened or robust. Grey: it is not.",
            drawing=charts.dots(
                part,
                title,
                heads=(", ".join(kept).capitalize(), "n"),
                unit=f"difference in {unit}",
                threshold=Threshold(0.0, "0", "at_least", "no difference"),
            ),
        )
        made.append(Exhibit(figure=figure, margin=margin(audit, pieces, most=NAMED) if not start else ()))
    return made


def _telling(pieces: Sequence[Evidence]) -> tuple[str, ...]:
    """Which of concept and site tell rows apart; the concept where neither does."""
    several = [key for key in ("concept", "site") if len({slot(piece, key) for piece in pieces}) > 1]
    return tuple(several) or ("concept",)


def _n(piece: Evidence) -> int:
    estimate = rungs.over(piece)
    return estimate.n if estimate else 0


def _finding(pieces: Sequence[Evidence], of_class: str) -> str:
    """Which concepts the output for a class was shown to depend on."""
    shown = list(dict.fromkeys(slot(p, "concept") for p in sorted(pieces, key=strength) if rungs.causal(p)))
    tried = len({slot(piece, "concept") for piece in pieces})
    if not shown and tried == 1:
        return f"{of_class}: “{slot(pieces[0], 'concept')}” does not stand out from random directions"
    if not shown:
        return f"{of_class}: none of the {tried} concepts tried stands out from random directions"
    if len(shown) > 3:
        return f"{of_class}: {len(shown)} of {tried} concepts change the output"
    verb = "changes" if len(shown) == 1 else "change"
    return f"{of_class}: {numbers.joined(f'“{concept}”' for concept in shown)} {verb} the output"


def _tabled(pieces: Sequence[Evidence], notes: tuple[str, ...]) -> Table:
    rows = []
    ordered = sorted(pieces, key=lambda p: (slot(p, "class"), *strength(p), slot(p, "concept")))
    places = numbers.shared_decimals(rungs.over(piece) for piece in ordered)
    last = None
    for piece in ordered:
        estimate = rungs.over(piece)
        assert estimate is not None
        accuracy, chance, score, random = (
            rungs.read(piece.params.get(key))
            for key in ("cav_accuracy", "cav_accuracy_null", "sign_score", "random_direction")
        )
        rows.append(
            Line(
                cells=(
                    Cell(
                        text=slot(piece, "concept"),
                        sub=f"{slot(piece, 'site')}, {slot(piece, 'class')}, {numbers.size(estimate.n)}",
                    ),
                    _difference(estimate, places),
                    _difference(random, places),
                    _shared(score),
                    _aside(accuracy),
                    _aside(chance),
                    Cell(
                        text=piece.rung or "no claim",
                        sub=_adjusted(piece),
                        muted=not rungs.causal(piece),
                        sort=str(rungs.step(piece.rung)) if piece.rung else "0",
                    ),
                ),
                anchor=anchor("concept", piece.id),
                begins=last is not None and slot(piece, "class") != last,
            )
        )
        last = slot(piece, "class")
    return Table(
        caption="Concepts: difference, random direction, sign score, accuracy of the direction, test and rung",
        columns=(
            Column(head="Concept; site, class"),
            Column(head="Difference", numeric=True),
            Column(head="Random direction", numeric=True),
            Column(head="Sign score", numeric=True),
            Column(head="Accuracy", numeric=True),
            Column(head="Accuracy, random", numeric=True),
            Column(head="Rung, test"),
        ),
        rows=tuple(rows),
        full=True,
        kind="concepts",
        limits=notes,
    )


def _adjusted(piece: Evidence) -> str:
    found = piece.inference
    return "" if found is None else rungs.chance(found.adjusted, "adjusted p" if found.m > 1 else "p")


def _difference(estimate: Estimate | None, places: int) -> Cell:
    """A difference over its interval; it may be nothing, so its digits are those of the column."""
    if estimate is None:
        return Cell(text="–", muted=True, sort="")
    text = numbers.plain(estimate.value, places)
    return Cell(text=text, sub=numbers.interval(estimate, places), sort=str(estimate.value))


def _aside(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(text="–", muted=True, sort="")
    return Cell(text=numbers.value(estimate), sub=numbers.interval(estimate), sort=str(estimate.value))


def _shared(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(text="–", muted=True, sort="")
    text, sub = _parts(estimate)
    return Cell(text=text, sub=sub, sort=str(estimate.value))


def _share(estimate: Estimate) -> str:
    """A share with its interval in at most three decimals."""
    return numbers.NBSP.join(part for part in _parts(estimate) if part)


def _parts(estimate: Estimate) -> tuple[str, str]:
    """A share and its interval: ``> 0.999`` and not a false 1; an interval cut to three decimals is no narrower."""
    if numbers.decimals(estimate) <= MOST:
        return numbers.value(estimate), numbers.interval(estimate)
    unit = 10.0**-MOST
    if 1 - unit / 2 <= estimate.value < 1:
        text = f">{numbers.NBSP}{numbers.plain(1 - unit, MOST)}"
    elif 0 < estimate.value < unit / 2:
        text = f"<{numbers.NBSP}{numbers.plain(unit, MOST)}"
    else:
        text = numbers.plain(estimate.value, MOST)
    wider = {
        "low": None if estimate.low is None else math.floor(estimate.low / unit + 1e-9) * unit,
        "high": None if estimate.high is None else math.ceil(estimate.high / unit - 1e-9) * unit,
    }
    return text, numbers.interval(estimate.model_copy(update=wider), MOST)


def _told(pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Each claim in its sentence, the furthest reaching first; paper has the first few."""
    ordered = sorted(pieces, key=lambda piece: (*strength(piece), piece.id))
    made = [
        Exhibit(table=rungs.told(ordered[:TOLD], sentence, "The claims in full, the furthest reaching first"))
    ]
    if ordered[TOLD:]:
        rest = rungs.told(
            ordered[TOLD:], sentence, f"The other {numbers.some(len(ordered) - TOLD, 'claim')} in full"
        )
        made.append(Exhibit(table=replace(rest, folded=True, screen=True)))
    return made
