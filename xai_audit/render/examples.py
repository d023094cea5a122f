"""Single pictures and texts as they are shown: under their marks, or beside the examples nearest to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.evidence import Cases
from xai_audit.render import galleries, marked, numbers, overlays, pictures
from xai_audit.render.beside import margin
from xai_audit.render.case_words import kind, labelled, scored, ways, why
from xai_audit.render.claims import explainer
from xai_audit.render.panels import Frame, Pictures, Token, Words
from xai_audit.render.shown import Exhibit
from xai_audit.render.visible import name

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
"""Pictures on paper; a screen has all that are drawn."""
BYTES = 1_600_000
"""What all pictures may add to a page, so that the file stays under 3 MB."""
SIDE_BY_SIDE = 3
"""Explainers beside each other under one picture."""


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
    made += galleries.exhibits(audit, pieces, kept)
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
