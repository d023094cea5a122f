"""Units inside the model: what tells a predicate, what holding it does, and which edit undoes a declared trigger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xai_audit.evidence import Ranking, Scalar
from xai_audit.render import charts, claims, listings, numbers, rungs
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Exhibit, Figure
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

NAMED = 2
"""Evidence ids beside a table; the register has all."""
UNITS = 4
"""Units named in a sentence."""


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Each claim in its sentence, the furthest reaching first; then rankings, curves and tables."""
    from xai_audit.render.exhibits import general

    told = sorted(
        (piece for piece in pieces if sentence(piece)),
        key=lambda piece: (-rungs.step(piece.rung) if piece.rung else 0, piece.id),
    )
    made: list[Exhibit] = []
    if told:
        table = rungs.told(
            told, sentence, "What was seen of units and triggers, the furthest reaching first", limits(told)
        )
        made.append(Exhibit(table=table, margin=margin(audit, told, most=NAMED)))
    made += [_ranked(audit, one, one.observation) for one in pieces if isinstance(one.observation, Ranking)]
    scalars = [piece for piece in told if isinstance(piece.observation, Scalar)]
    rest = [piece for piece in pieces if piece not in scalars and not isinstance(piece.observation, Ranking)]
    return [*made, *general(audit, rest)]


def sentence(piece: Evidence) -> str:
    """A claim in full; empty where a piece of evidence is none. A word of cause stands from ``intervened`` on."""
    if "trigger" in piece.params and isinstance(piece.observation, Scalar):
        text = _trigger(piece)
    elif "predicate" in piece.params and piece.inference is not None:
        text = _predicate(piece)
    else:
        return ""
    why = rungs.halted(piece)
    return f"{text}.{f' It stands no higher because {why}.' if why and not rungs.causal(piece) else ''}"


def _predicate(piece: Evidence) -> str:
    seen = piece.observation
    first = seen.items[0].estimate if isinstance(seen, Ranking) and seen.items else rungs.over(piece)
    if first is None:
        return ""
    site, of = (
        name(str(piece.params.get("site") or "the input"), 60),
        name(str(piece.params["predicate"]), 60),
    )
    found = piece.params.get("units") or []
    which = numbers.joined([str(unit) for unit in found[:UNITS]]) + (
        " and others" if len(found) > UNITS else ""
    )
    one = len(found) == 1
    said = (
        f"Unit{'' if one else 's'} {which} of {site} {'tells' if one else 'tell'} “{of}” with an area under the curve of "
        f"{rungs.estimated(first)} on rows not used to find {'it' if one else 'them'} "
        f"(n{numbers.NBSP}={numbers.NBSP}{first.n:,}; {rungs.tested(piece)})"
    )
    effect, reach = rungs.read(piece.params.get("effect")), piece.params.get("random_reach")
    if effect is None or not isinstance(reach, int | float):
        return said
    score = f"the {name(str(piece.params.get('output')), 20)} of {name(str(piece.params.get('class')), 40)}"
    places = numbers.decimals(effect)
    did = "narrowed" if rungs.causal(piece) else "was narrower"
    return (
        f"{said}. With {'it' if one else 'them'} held at the mean, the gap in {score} between rows for which it holds and "
        f"others {did} by {rungs.estimated(effect, sign=True)}; random units reach {numbers.plain(reach, places)}"
    )


def _trigger(piece: Evidence) -> str:
    told = piece.params
    before, after = rungs.read(told.get("success_before")), rungs.read(told.get("success_after"))
    clean = rungs.read(told.get("clean_rate"))
    if before is None or after is None or clean is None:
        return ""
    trigger, site = name(str(told["trigger"]), 60), name(str(told.get("site") or "the input"), 60)
    held = numbers.some(len(told.get("units") or []), "unit")
    what = "one direction" if told.get("edit") == "direction" else held
    verb = "stayed at" if after.value == before.value else "fell to" if rungs.causal(piece) else "went to"
    text = (
        f"With “{trigger}” {rungs.estimated(before)} of rows of other classes are decided as "
        f"{name(str(told.get('target')), 40)}, without it {rungs.estimated(clean)}. With {what} of {site} held, attack "
        f"success {verb} {rungs.estimated(after)}, at a cost of {numbers.plain(float(told.get('cost', 0)), 3)} in clean "
        f"accuracy; random edits of the same kind change it by up to {numbers.plain(float(told.get('random_reach', 0)), 3)}"
    )
    power = told.get("power")
    if isinstance(power, dict):
        text += (
            f". On planted networks of this size the search found {power.get('found')} of {power.get('planted')} triggers "
            f"and flagged {power.get('flagged')} of {power.get('twins')} clean twins"
        )
    return f"{text}. This says nothing of other triggers"


def _ranked(audit: Audit, piece: Evidence, seen: Ranking) -> Exhibit:
    said = claims.leaders(seen, "unit")
    title = name(piece.title, 80)
    figure = Figure(
        title=said,
        subtitle=f"{title}: {seen.unit or 'value'}, with intervals. Units in one bracket may trade places.",
        drawing=charts.ranking(_shortened(seen), said, "Unit"),
    )
    table = replace(listings.ranking(seen, title, "Unit"), limits=limits([piece]))
    return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]))


def _shortened(seen: Ranking) -> Ranking:
    """Units by the end of their path, where that tells them apart: a picture has no room for all of it."""
    short = [".".join(item.name.split(".")[-2:]) for item in seen.items]
    if len(set(short)) < len(short):
        return seen
    items = (item.model_copy(update={"name": one}) for item, one in zip(seen.items, short, strict=True))
    return seen.model_copy(update={"items": tuple(items)})
