"""Examples side by side: pictures in rows, the one explained at the left; texts in a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers, overlays, pictures
from xai_audit.render.beside import margin
from xai_audit.render.case_words import kind, number, why
from xai_audit.render.panels import Frame, Gallery
from xai_audit.render.shown import Cell, Column, Exhibit, Line, Table
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

    Case = Mapping[str, Any]

PRINTED = 5
"""Galleries of one piece of evidence that are on paper; a screen has all that are drawn."""
CUT = 400
"""Letters of an example text that are printed."""


def exhibits(audit: Audit, pieces: Sequence[Evidence], kept: Mapping[str, Sequence[Case]]) -> list[Exhibit]:
    """Each gallery of some evidence: pictures side by side, texts in a table."""
    made: list[Exhibit] = []
    for piece in pieces:
        own = [case for case in kept.get(piece.id, ()) if kind(case) == "prototypes"]
        for place, case in enumerate(own):
            pictured = any("picture" in one for one in _examples(case))
            exhibit = _gallery(audit, piece, case) if pictured else _neighbours(audit, piece, case)
            made.append(replace(exhibit, screen=True) if place >= PRINTED else exhibit)
    return made


def _examples(case: Case) -> list[Case]:
    each = [case.get("query"), *(case.get("nearest") or ()), *(case.get("counter") or ())]
    return [one for one in each if isinstance(one, dict)]


def _heading(case: Case) -> str:
    """What the nearest examples are, as a finding."""
    of_class = name(case.get("class") or "", 40)
    nearest = [one for one in case.get("nearest") or () if isinstance(one, dict)]
    labels = Counter(str(one.get("label") or one.get("predicted") or "") for one in nearest)
    if not nearest:
        others = [one for one in case.get("counter") or () if isinstance(one, dict)]
        reason = why(case)
        return f"{numbers.some(len(others), 'example')}: {reason[0].lower()}{reason[1:]}"
    own = labels[str(case.get("class"))]
    if isinstance(case.get("query"), dict):
        if own == len(nearest):
            many = (
                "the one nearest example is"
                if own == 1
                else "both nearest examples are"
                if own == 2
                else f"all {own} nearest examples are"
            )
            return f"{why(case)}: {many} labelled {of_class}"
        return f"{why(case)}: {own} of the {len(nearest)} nearest examples are labelled {of_class}"
    verb = "stands" if len(nearest) == 1 else "stand"
    return f"{numbers.some(len(nearest), 'example')} that {verb} for {of_class}"


def _about(piece: Evidence, case: Case) -> str:
    score = number(case.get("score"))
    nearest = [one for one in case.get("nearest") or () if isinstance(one, dict)]
    of_class = name(case.get("class") or "", 40)
    parts = [f"Score of {of_class} {numbers.plain(score, 2)}."] if score is not None else []
    if nearest and not isinstance(case.get("query"), dict):
        parts.append(f"{why(case)}.")
    if any(number(one.get("distance")) is not None for one in _examples(case)):
        where = name(piece.params.get("compared_at") or "", 60)
        parts.append(f"Distances{f' at {where}' if where else ''}: less is nearer.")
    if any("picture" in one for one in _examples(case)):
        parts.append("Below each example: its label, and what the model predicts where that differs.")
    return " ".join(parts)


def _gallery(audit: Audit, piece: Evidence, case: Case) -> Exhibit:
    query = case.get("query")
    of_class = name(case.get("class") or "", 40)
    asked = isinstance(query, dict)
    near = "Nearest" if asked else "Examples"
    other = "Nearest of other classes" if asked else "Labelled otherwise, yet among them"
    if not case.get("nearest") and not asked:
        other = f"Labelled {of_class}"
    places = _places(case)
    rows = [
        (head, tuple(_card(one, role, places) for one in case.get(key) or () if isinstance(one, dict)))
        for key, head, role in (
            ("nearest", f"{near} of {of_class}" if of_class else near, "Nearest example"),
            ("counter", other, "Example of another class" if case.get("nearest") else "Example"),
        )
    ]
    panel = Gallery(
        title=_heading(case),
        subtitle=_about(piece, case),
        query=_card(query, "The picture explained", places) if isinstance(query, dict) else None,
        rows=tuple((head, frames) for head, frames in rows if frames),
    )
    return Exhibit(panel=panel, margin=margin(audit, [piece]))


def _places(case: Case) -> int:
    """The decimals of all distances of a gallery."""
    found = [d for one in _examples(case) if (d := number(one.get("distance"))) is not None]
    return min(4, overlays.digits(max(map(abs, found)))) if any(found) else 2


def _card(one: Case, role: str, places: int) -> Frame:
    image = pictures.read(one.get("picture"))
    lines = _lines(one, places)
    alt = f"{role}: {', '.join(lines)}."
    return Frame(
        svg=pictures.framed(image, alt) if image else None,
        text="" if image else "cannot be read",
        lines=tuple(lines),
    )


def _lines(one: Case, places: int) -> list[str]:
    label, predicted = one.get("label"), one.get("predicted")
    lines = [name(label, 30)] if label else []
    if predicted and predicted != label:
        lines.append(f"predicted {name(predicted, 30)}")
    distance = number(one.get("distance"))
    if distance is not None:
        lines.append(f"at {numbers.plain(distance, places)}")
    return lines


def _neighbours(audit: Audit, piece: Evidence, case: Case) -> Exhibit:
    """Example texts as a table: the one explained, the nearest, the nearest of other classes."""
    rows: list[Line] = []
    places = _places(case)
    parts = (
        ("The text itself", [case.get("query")]),
        ("Nearest", case.get("nearest") or ()),
        ("Of another class" if case.get("nearest") else "Example", case.get("counter") or ()),
    )
    measured = any(number(one.get("distance")) is not None for one in _examples(case))
    about = _about(piece, case)
    for head, found in parts:
        for place, one in enumerate(one for one in found if isinstance(one, dict)):
            distance = number(one.get("distance"))
            label, predicted = one.get("label"), one.get("predicted")
            rows.append(
                Line(
                    cells=(
                        Cell(text=head if not place else f"{place + 1}", muted=bool(place)),
                        Cell(text=_cut(str(one.get("text") or ""))),
                        Cell(
                            text=name(label, 40) if label else "no label",
                            sub=f"predicted {name(predicted, 40)}"
                            if predicted and predicted != label
                            else "",
                        ),
                        *(
                            [Cell(text="–" if distance is None else numbers.plain(distance, places))]
                            if measured
                            else []
                        ),
                    ),
                    begins=not place and bool(rows),
                )
            )
    table = Table(
        caption=_heading(case),
        columns=(
            Column(head="Which"),
            Column(head="Text"),
            Column(head="Label"),
            *([Column(head="Distance", numeric=True)] if measured else []),
        ),
        rows=tuple(rows),
        notes=(about,) if about else (),
        full=True,
        kind="neighbours",
    )
    return Exhibit(table=table, margin=margin(audit, [piece]))


def _cut(text: str) -> str:
    """A text as far as it is printed, with how many letters it has where that is not all."""
    flat = " ".join(text.split())
    if len(flat) <= CUT:
        return visible(flat)
    return f"{visible(flat[:CUT].rstrip())}… ({len(flat):,} characters)"
