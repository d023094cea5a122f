"""How far a claim reaches, in words: its rung, what it was held against, and where it stopped.

A word of cause stands only from ``intervened`` on: below it, nothing in the record shows one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from xai_audit.evidence import Estimate, Scalar
from xai_audit.render import numbers
from xai_audit.render.shown import Cell, Column, Line, Note, Table
from xai_audit.render.visible import name, prose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xai_audit.evidence import Control, Evidence, Rung

LADDER: dict[Rung, str] = {
    "described": "A number was computed. Nothing yet shows that it is more than chance or more than the data at hand.",
    "associated": "It holds on data it was not found on, beyond what chance gives. Whether the model uses it is not shown.",
    "intervened": "An edit inside the model changed its output, and an edit at random of the same size did not.",
    "robust": "The same, and it holds in at least 80 % of the variants that were declared before the run.",
}
"""The rungs from the lowest, each with what it means."""
ASKED = {"null": "its interval holds 0", "positive": "it is above 0", "equal": "it is exactly 0"}
"""What is asked of a control, by its expectation."""
ALPHA = 0.05
"""The adjusted p over which a claim stays described; the same number as where rungs are computed."""


def step(rung: Rung) -> int:
    """Which rung from below, 1 to 4."""
    return list(LADDER).index(rung) + 1


def causal(piece: Evidence) -> bool:
    """Whether a word of cause may be said of a piece of evidence."""
    return piece.rung in {"intervened", "robust"}


def notes(pieces: Sequence[Evidence]) -> tuple[Note, ...]:
    """Margin lines on the rungs of some evidence, each with a link to what it means."""
    found = Counter(piece.rung for piece in pieces if piece.rung)
    if not found:
        return ()
    if sum(found.values()) == 1:
        rung = next(iter(found))
        return (Note(text=f"Rung {step(rung)} of {len(LADDER)}: {rung}", href="#rungs"),)
    each = ", ".join(f"{found[rung]} {rung}" for rung in LADDER if found[rung])
    return (Note(text=f"Rungs: {each}", href="#rungs"),)


def present(pieces: Iterable[Evidence]) -> tuple[tuple[str, str], ...]:
    """The ladder as printed, where any claim stands on it."""
    if not any(piece.rung for piece in pieces):
        return ()
    return tuple((f"{step(rung)} {rung}", meaning) for rung, meaning in LADDER.items())


def halted(piece: Evidence) -> str:
    """Why a claim stands no higher, from its record alone; empty where it could not."""
    if piece.rung == "described":
        return _unproved(piece)
    if piece.rung == "associated":
        return _unedited(piece)
    ran = piece.robustness
    if piece.rung is None or piece.rung == "robust":
        return ""
    return (
        f"{ran.agreeing} of {ran.specifications} declared variants agree"
        if ran
        else "no variants were declared"
    )


def _unproved(piece: Evidence) -> str:
    """Why a claim is no more than described."""
    missed = [control for control in piece.controls if not control.edit and not control.passed]
    if missed:
        return "; ".join(map(_missed, missed))
    if piece.inference is not None and piece.inference.adjusted > ALPHA:
        return f"{chance(piece.inference.adjusted, 'adjusted p')} is over {numbers.plain(ALPHA, 2)}"
    return "no control was held against it"


def _unedited(piece: Evidence) -> str:
    """Why a claim is no more than associated."""
    edits = [control for control in piece.controls if control.edit]
    missed = [control for control in edits if not control.passed]
    if missed:
        return "; ".join(map(_missed, missed))
    if not edits:
        return "no edit inside the model was made"
    kinds = {control.expectation for control in edits}
    return "no random edit was made" if "null" not in kinds else "no edit that should work was made"


def _missed(control: Control) -> str:
    asked = {"null": "does not hold 0", "positive": "is not above 0", "equal": "is not 0"}
    return f"{prose(control.name, 120)}, {estimated(control.estimate)}, {asked[control.expectation]}"


def chance(p: float, word: str = "p") -> str:
    """A p-value as printed; one that permutations bound from below keeps its digits."""
    return (
        f"{word}{numbers.NBSP}<{numbers.NBSP}0.001"
        if p < 0.001
        else f"{word}{numbers.NBSP}={numbers.NBSP}{numbers.plain(p, 3)}"
    )


def estimated(estimate: Estimate, *, sign: bool = False, places: int | None = None) -> str:
    """An estimate with its interval, unbroken; with its sign where it is a difference."""
    if not sign:
        return numbers.number(estimate, places)
    places = numbers.decimals(estimate) if places is None else places
    text = numbers.plain(estimate.value, places)
    plus = "+" if estimate.value > 0 and any(digit in text for digit in "123456789") else ""
    return numbers.NBSP.join(part for part in (f"{plus}{text}", numbers.interval(estimate, places)) if part)


def read(found: Any) -> Estimate | None:
    """A number out of ``params``, alone or as ``{value, low, high, n}``; None where there is none."""
    if isinstance(found, int | float) and not isinstance(found, bool):
        found = {"value": found}
    if not isinstance(found, dict) or not isinstance(found.get("value"), int | float):
        return None
    value = found["value"]
    told = {"value": value, "low": found.get("low", value), "high": found.get("high", value)}
    try:
        return Estimate.model_validate({**told, "n": found.get("n") or 0})
    except ValidationError:
        # What a file of others says of itself may be no estimate at all, such as one of -1 rows.
        return None


def aside(piece: Evidence) -> str:
    """Controls, multiplicity and variants of a number, in a sentence or two; empty where it has none."""
    own = over(piece)
    # A control that is the number itself, held to 0, stands in the table of controls alone.
    said = [
        f"{prose(control.name, 120)}: {estimated(control.estimate)}"
        for control in piece.controls
        if own is None or (control.estimate.value, control.estimate.low) != (own.value, own.low)
    ]
    if piece.inference is not None:
        said.append(tested(piece))
    if piece.robustness is not None:
        said.append(
            f"{piece.robustness.agreeing} of {piece.robustness.specifications} declared variants agree"
        )
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def tested(piece: Evidence) -> str:
    """A claim's test: ``p = 0.004, adjusted 0.02 over 6``."""
    found = piece.inference
    if found is None:
        return ""
    if found.m <= 1:
        return chance(found.p)
    adjusted = chance(found.adjusted, "adjusted p")
    return f"{chance(found.p)}, {adjusted} over {numbers.some(found.m, 'claim')}"


def claim(piece: Evidence) -> bool:
    """Whether anything was held against a piece of evidence."""
    return piece.status == "measured" and bool(
        piece.controls or piece.inference or piece.robustness or piece.selftest
    )


ROWS = 16
"""Lines of the table of controls that paper has; a longer one is for the screen."""


def told(
    pieces: Sequence[Evidence],
    sentence: Callable[[Evidence], str],
    caption: str,
    limits: tuple[str, ...] = (),
) -> Table:
    """Each claim in a sentence of its own beside its rung, in the order given."""
    rows = tuple(
        Line(
            cells=(
                Cell(text=piece.rung or "no claim", sort=str(step(piece.rung)) if piece.rung else "0"),
                Cell(text=sentence(piece)),
            )
        )
        for piece in pieces
    )
    return Table(
        caption=caption,
        columns=(Column(head="Rung"), Column(head="What was seen")),
        rows=rows,
        full=True,
        kind="claims",
        limits=limits,
    )


def controls(pieces: Sequence[Evidence]) -> Table | None:
    """What each claim was held against: a block for each, its controls, its test, its variants, its self-test."""
    rows: list[Line] = []
    for piece in pieces:
        if not claim(piece):
            continue
        block = [_control(control) for control in piece.controls]
        if piece.inference is not None:
            found = piece.inference
            family = f"{prose(found.family, 80)}, {found.m:,} in all" if found.m > 1 else "alone"
            block.append(
                (
                    prose(found.method, 120),
                    f"adjusted p at most {numbers.plain(ALPHA, 2)}",
                    f"{chance(found.p)}, {chance(found.adjusted, 'adjusted')}",
                    family,
                    found.adjusted <= ALPHA,
                )
            )
        if piece.robustness is not None:
            ran = piece.robustness
            said = f"{ran.agreeing} of {ran.specifications}"
            block.append(
                ("Declared variants", "at least 80\u00a0% agree", said, "", ran.share >= 0.8 - 1e-12)
            )
        if piece.selftest is not None:
            own = piece.selftest
            block.append(
                (
                    f"Self-test: {prose(own.bed, 100)}",
                    "planted truth is found",
                    estimated(own.estimate),
                    numbers.size(own.estimate.n),
                    own.passed,
                )
            )
        for index, (what, asked, seen, size, held) in enumerate(block):
            head = Cell(
                text=_titled(piece) if not index else "",
                sub=f"rung: {piece.rung}" if not index and piece.rung else "",
            )
            rows.append(
                Line(
                    cells=(
                        head if not index else Cell(text="as above", muted=True),
                        Cell(text=what, sub=f"asked: {asked}"),
                        Cell(text=seen, sub=size),
                        Cell(text="holds" if held else "does not hold", muted=held),
                    ),
                    begins=not index and bool(rows),
                )
            )
    if not rows:
        return None
    return Table(
        caption="What each claim was held against",
        columns=(
            Column(head="Claim"),
            Column(head="Control or test"),
            Column(head="Observed", numeric=True),
            Column(head="Outcome"),
        ),
        rows=tuple(rows),
        full=True,
        kind="controls",
        screen=len(rows) > ROWS,
    )


def _titled(piece: Evidence) -> str:
    """A claim's title, of an explainer with its name before it."""
    from xai_audit.render.claims import explainer

    title = name(piece.title, 160)
    return f"{explainer(piece.method)}: {title[0].lower()}{title[1:]}" if piece.kind == "explainer" else title


def _control(control: Control) -> tuple[str, str, str, str, bool]:
    what = prose(control.name, 120)
    asked = ASKED[control.expectation] + (", by an edit inside the model" if control.edit else "")
    seen = estimated(control.estimate)
    return what, asked, seen, numbers.size(control.estimate.n), control.passed


def over(piece: Evidence) -> Estimate | None:
    """A claim's one number; None where it is of another shape."""
    return piece.observation.estimate if isinstance(piece.observation, Scalar) else None
