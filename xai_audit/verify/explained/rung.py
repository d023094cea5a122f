"""How far a claim reaches, said again from its controls, its test and its variants: `passed`, `rung` and `adjusted`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xai_audit.evidence import Control, Evidence

_ROUNDING = 1e-9


def passes(control: Control) -> bool:
    """Whether the interval is as the claim expects: around 0, above 0, or exactly 0; an unbounded one is not."""
    ends = control.estimate.low, control.estimate.high
    if control.expectation == "positive":
        return ends[0] is not None and ends[0] > 0
    if ends[0] is None or ends[1] is None:
        return False
    return ends == (0, 0) if control.expectation == "equal" else ends[0] <= 0 <= ends[1]


def reached(piece: Evidence) -> str | None:
    """The rung of a piece of evidence; None where it claims nothing."""
    edits = [control for control in piece.controls if control.edit]
    others = [control for control in piece.controls if not control.edit]
    if not piece.controls and piece.inference is None and piece.robustness is None:
        return None
    tested = piece.inference is None or piece.inference.adjusted <= 0.05
    if not (tested and all(map(passes, others))):
        return "described"
    kinds = {control.expectation for control in edits}
    if not ({"positive", "null"} <= kinds and all(map(passes, edits))):
        return "associated"
    return "robust" if piece.robustness is not None and piece.robustness.share >= 0.8 else "intervened"


def claimed(piece: Evidence) -> list[str]:
    """What does not hold of how far a piece of evidence claims to reach."""
    found = [
        f"controls[{control.name}].passed is {control.passed}; its interval says {passes(control)}"
        for control in piece.controls
        if control.passed != passes(control)
    ]
    if piece.rung != reached(piece):
        found.append(f"rung is {piece.rung or 'none'}; its controls and test say {reached(piece) or 'none'}")
    test = piece.inference
    if test is not None:
        found += _corrected(test)
    variants = piece.robustness
    if variants is not None:
        share = variants.agreeing / variants.specifications if variants.specifications else -1.0
        if not (
            0 <= variants.agreeing <= variants.specifications and abs(share - variants.share) <= _ROUNDING
        ):
            found.append(
                f"robustness.share is {variants.share:.12g}; "
                f"{variants.agreeing} of {variants.specifications} agree"
            )
    return found


def _corrected(test: Any) -> list[str]:
    """What does not hold of a p-value and the one that is corrected for its family."""
    found = []
    if not 0 <= test.p <= test.adjusted <= 1:
        found.append(f"inference.adjusted is {test.adjusted:.12g}; it lies between p, {test.p:.12g}, and 1")
    if test.method == "Student's t of one more neutral word":
        made = min(1.0, test.m * test.p)
        if abs(made - test.adjusted) > _ROUNDING * made:
            found.append(f"inference.adjusted is {test.adjusted:.12g}; made again it is {made:.12g}")
    return found
