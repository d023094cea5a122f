"""Single pictures and texts as they are shown: under their marks, or beside the examples nearest to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.evidence import Cases
from xai_audit.render import marked, numbers, overlays, pictures
from xai_audit.render.beside import margin
from xai_audit.render.claims import explainer
from xai_audit.render.panels import Frame, Gallery, Pictures, Token, Words
from xai_audit.render.shown import Cell, Column, Exhibit, Line, Table
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

    Case = Mapping[str, Any]

EACH = 6
"""Pictures or texts of one explainer on the page; audit.json holds all that may be shown."""
GALLERIES = 12
"""Galleries of one method."""
PRINTED = 5
"""Pictures, and galleries of one method, that are on paper; a screen has all of these."""
BYTES = 1_600_000
"""What all pictures may add to a page, so that the file stays under 3 MB."""
SIDE_BY_SIDE = 3
"""Explainers beside each other under one picture."""
CUT = 400
"""Letters of an example text that are printed."""
KINDS = {"image", "text", "prototypes"}


def kind(case: Case) -> str:
    """What a case shows: ``image``, ``text``, ``prototypes``; empty for a row of a table."""
    found = case.get("kind")
    return found if found in KINDS else ""


def shown(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Every picture, text and gallery of some evidence, as far as the page has room; what is left out is said."""
    allowed = within(audit)
    kept = {
        piece.id: piece.observation.cases[: allowed.get(piece.id, 0)]
        for piece in pieces
        if isinstance(piece.observation, Cases)
    }
    made = _images(audit, pieces, kept)
    made += _texts(audit, pieces, kept)
    made += _galleries(audit, pieces, kept)
    whole = sum(len(p.observation.cases) for p in pieces if isinstance(p.observation, Cases) and p.id in kept)
    rest = whole - sum(map(len, kept.values()))
    if made and rest > 0:
        made.append(
            Exhibit(
                lead=f"{numbers.some(rest, 'more example')} of this section {'stands' if rest == 1 else 'stand'} "
                "in audit.json alone, so that this file stays small."
            )
        )
    return made


def within(audit: Audit) -> dict[str, int]:
    """How many cases of each piece of evidence a page shows, in the order of the audit, until its room is used."""
    if not audit.spec.get("report", {}).get("examples", False):
        return {}
    room = BYTES
    allowed: dict[str, int] = {}
    for piece in audit.evidence:
        if not isinstance(piece.observation, Cases):
            continue
        most = GALLERIES if any(kind(case) == "prototypes" for case in piece.observation.cases) else EACH
        count = 0
        for case in piece.observation.cases[:most]:
            room -= pictures.weight(case)
            if room < 0:
                break
            count += 1
        allowed[piece.id] = count
    return allowed


# ------------------------------------------------------------------------------------------------ words of a case
def ways(case: Case) -> tuple[str, str]:
    """What marks speak against and for."""
    explained = str(case.get("explained") or "")
    if explained in {"", "the score", "the prediction"}:
        what = "prediction" if explained == "the prediction" else "score"
        return f"towards a lower {what}", f"towards a higher {what}"
    return f"against {name(explained, 40)}", f"for {name(explained, 40)}"


def why(case: Case) -> str:
    """Why this one is shown, as a sentence begins."""
    text = name(case.get("why") or "one example", 240)
    return text[0].upper() + text[1:]


def labelled(case: Case) -> str:
    """``Label dog, predicted cat.``"""
    label, predicted = case.get("label"), case.get("predicted")
    parts = [f"label {name(label, 40)}" if label else "no label"]
    if predicted:
        parts.append(f"predicted {name(predicted, 40)}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def scored(case: Case) -> str:
    """``Probability of dog 0.91, from 0.10 for the reference.``"""
    score, base = _number(case.get("score")), _number(case.get("base"))
    if score is None:
        return ""
    places = max(overlays.digits(abs(score)), 2) if abs(score) < 1 else 2
    explained = str(case.get("explained") or "")
    unit = name(case.get("unit") or "score", 40).removeprefix("change in ")
    of = f" of {name(explained, 40)}" if explained not in {"", "the score", "the prediction"} else ""
    text = f"{unit[0].upper()}{unit[1:]}{of} {numbers.plain(score, min(places, 4))}"
    if base is not None:
        text += f", from {numbers.plain(base, min(places, 4))} for the reference"
    return f"{text}."


def _number(found: Any) -> float | None:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


# ------------------------------------------------------------------------------------------------ pictures
def _images(audit: Audit, pieces: Sequence[Evidence], kept: Mapping[str, Sequence[Case]]) -> list[Exhibit]:
    """One exhibit for each picture and class explained, with the maps of all explainers that have one of it."""
    found: dict[tuple[str, str], list[tuple[Evidence, Case]]] = {}
    for piece in pieces:
        for case in kept.get(piece.id, ()):
            if kind(case) == "image":
                key = (str(case.get("picture")), str(case.get("explained")))
                found.setdefault(key, []).append((piece, case))
    groups = [
        entries[start : start + SIDE_BY_SIDE]
        for entries in found.values()
        for start in range(0, len(entries), SIDE_BY_SIDE)
    ]
    # Pictures that several explainers explain first: there a reader sees whether they agree.
    made = [one for group in sorted(groups, key=lambda group: -len(group)) for one in _image(audit, group)]
    return [replace(one, screen=True) if place >= PRINTED else one for place, one in enumerate(made)]


def _image(audit: Audit, entries: Sequence[tuple[Evidence, Case]]) -> list[Exhibit]:
    seen = [(p, c, h) for p, c in entries if (h := overlays.heat(c.get("map"))) is not None]
    if not seen:
        return []
    piece, case, first = seen[0]
    said = ways(case)
    image = pictures.read(case.get("picture"))
    alone = len(seen) == 1
    where, share = overlays.mostly(first, 1)
    title = f"{why(case)}: nothing speaks {said[1]}"
    if where:
        many = f"{numbers.percent(share)} of what speaks {said[1]} lies in the {where}"
        title = f"{why(case)}: {many}" + ("" if alone else f", by {explainer(piece.method)}")
    if said[1].startswith("towards"):
        title = title.replace("speaks towards", "points towards")
    lines = (
        [f"The picture, {numbers.count(image.width)} by {numbers.count(image.height)} pixels"]
        if image
        else []
    )
    frames = [
        Frame(
            svg=pictures.framed(image, f"{lines[0]}, as it is. {labelled(case)}") if image else None,
            text="" if image else "This picture cannot be read.",
            lines=("As it is",),
        )
    ]  # fmt: skip
    for own, one, seen_here in seen:
        told = "; ".join(overlays.spoken(seen_here, said))
        alt = f"The same picture in grey under the marks of {explainer(own.method)}. {told[0].upper()}{told[1:]}."
        frames.append(
            Frame(
                svg=_overlay(image, seen_here, alt),
                lines=(explainer(own.method), *(() if alone else (_largest(seen_here, one),))),
            )
        )
    block = max(h.block for _, _, h in seen)
    sub = [labelled(case), scored(case) if alone else ""]
    if block > 1:
        sub.append(f"A mark sums {block} by {block} cells of the map.")
    sub.append("The area of a mark is the amount.")
    panel = Pictures(
        title=title,
        subtitle=" ".join(part for part in sub if part),
        frames=tuple(frames),
        scale=overlays.scale(
            first.most if alone else None, said, _legend(said, first.most if alone else None)
        ),
    )
    table = overlays.listed(first, f"{explainer(piece.method)}: contributions by part of the picture")
    beside = margin(audit, [own for own, _, _ in seen])
    return [Exhibit(panel=panel, table=table, margin=beside)]


def _overlay(image: Any, seen: overlays.Heat, alt: str) -> Any:
    """The faded picture under its marks; the marks alone on light grey where the picture cannot be read."""
    if image is None:
        from PIL import Image

        ground = Image.new("L", (len(seen.values[0]), len(seen.values)), 228)
    else:
        ground = pictures.faded(image)
    width, height = pictures.size(ground)
    return pictures.framed(ground, alt, [overlays.marks(seen, width, height)])


def _largest(seen: overlays.Heat, case: Case) -> str:
    unit = name(case.get("unit") or "", 30)
    amount = numbers.plain(seen.most, overlays.digits(seen.most))
    return f"largest mark {amount}{f' {unit}' if unit else ''}"


def _legend(said: tuple[str, str], most: float | None) -> str:
    amount = "" if most is None else f"; the largest is {numbers.plain(most, overlays.digits(most))}"
    return f"Scale: open rings {said[0]}, filled squares {said[1]}, the larger the more{amount}."


# ------------------------------------------------------------------------------------------------ texts
def _texts(audit: Audit, pieces: Sequence[Evidence], kept: Mapping[str, Sequence[Case]]) -> list[Exhibit]:
    made: list[Exhibit] = []
    first: dict[str, str] = {}
    for piece in pieces:
        for case in kept.get(piece.id, ()):
            if kind(case) != "text":
                continue
            tokens = marked.pieces(case)
            whole = "".join(str(token["text"]) for token in tokens)
            # A second explainer of the same text is for the screen; paper has the first.
            again = first.setdefault(whole, piece.id) != piece.id
            exhibit = _text(audit, piece, case, tokens)
            made.append(replace(exhibit, screen=True) if again else exhibit)
    return made


def _text(audit: Audit, piece: Evidence, case: Case, tokens: Sequence[Mapping[str, Any]]) -> Exhibit:
    said = ways(case)
    fold, stop, words = marked.parted(tokens)
    drawn = marked.marked(tokens[:stop])
    folded = min(words, marked.LONGEST) - marked.AT_ONCE
    beyond = words - marked.LONGEST
    verb = "point" if said[1].startswith("towards") else "speak"
    strongest = [(way, own) for way in (1, -1) if (own := marked.leaders(tokens, way)[:2])]
    strongest.sort(key=lambda entry: -abs(marked.phi(entry[1][0]) or 0.0))
    title = f"{why(case)}: no word is surely {said[1]} or {said[0]}"
    if strongest:
        way, own = strongest[0]
        named = numbers.joined(dict.fromkeys(map(marked.quoted, own)))
        one = "s" if len(set(map(marked.quoted, own))) == 1 else ""
        title = f"{why(case)}: {named} {verb}{one} most {said[1] if way > 0 else said[0]}"
    panel = Words(
        title=title,
        subtitle=f"{explainer(piece.method)}. {labelled(case)} {scored(case)} {numbers.some(words, 'word')}.",
        tokens=tuple(drawn[:fold]),
        rest=tuple(drawn[fold:]),
        more=f"{numbers.some(folded, 'more word')}" if folded > 0 else "",
        beyond=f"{numbers.some(beyond, 'more word')}" if beyond > 0 else "",
        leading=marked.leading(tokens, said),
        key=(Token(text=said[0], way="against", level=3), Token(text=said[1], way="for", level=3)),
    )
    table = marked.listed(tokens, f"{explainer(piece.method)}: the words with the largest contributions")
    return Exhibit(panel=panel, table=table, margin=margin(audit, [piece]))


# ------------------------------------------------------------------------------------------------ galleries
def _galleries(audit: Audit, pieces: Sequence[Evidence], kept: Mapping[str, Sequence[Case]]) -> list[Exhibit]:
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
    score = _number(case.get("score"))
    nearest = [one for one in case.get("nearest") or () if isinstance(one, dict)]
    of_class = name(case.get("class") or "", 40)
    parts = [f"Score of {of_class} {numbers.plain(score, 2)}."] if score is not None else []
    if nearest and not isinstance(case.get("query"), dict):
        parts.append(f"{why(case)}.")
    if any(_number(one.get("distance")) is not None for one in _examples(case)):
        where = name(piece.params.get("compared_at") or "", 60)
        parts.append(f"Distances{f' at {where}' if where else ''}: less is nearer.")
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
    found = [d for one in _examples(case) if (d := _number(one.get("distance"))) is not None]
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
    distance = _number(one.get("distance"))
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
    for head, found in parts:
        for place, one in enumerate(one for one in found if isinstance(one, dict)):
            distance = _number(one.get("distance"))
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
                        Cell(
                            text=numbers.plain(distance, places) if distance is not None else "–",
                            sort=str(distance),
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
            Column(head="Distance", numeric=True),
        ),
        rows=tuple(rows),
        notes=(_about(piece, case),),
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
