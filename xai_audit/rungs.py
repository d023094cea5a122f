"""How far a claim reaches: from its controls, its test and its variants alone, the same way for every method."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.evidence import Control, Inference, Robustness, Rung


def held(control: Control) -> Control:
    """The control with ``passed`` as its estimate says: an interval around 0, above 0, or exactly 0."""
    low, high = control.estimate.low, control.estimate.high
    if low is None or high is None:
        passed = control.expectation == "positive" and low is not None and low > 0
    else:
        passed = {"null": low <= 0 <= high, "positive": low > 0, "equal": low == high == 0}[
            control.expectation
        ]
    return control.model_copy(update={"passed": passed})


ALPHA = 0.05
"""The adjusted p at which a claim is more than a description."""
AGREEING = 0.8
"""The share of declared specifications that must agree for a claim to be robust."""


def rung(
    controls: Sequence[Control], inference: Inference | None, robustness: Robustness | None
) -> Rung | None:
    """How far a claim reaches, from its controls, inference and robustness alone; None where there is no claim.

    ``described`` is a number; ``associated`` held on data it was not found on, beyond its null; ``intervened``: an
    edit inside the model changed its output and an edit at random did not; ``robust``: at least 80 % of the
    declared specifications agree as well. Each asks all that the one before asks.
    """
    if not (controls or inference or robustness):
        return None
    seen = all(control.passed for control in controls if not control.edit)
    if not seen or (inference is not None and inference.adjusted > ALPHA):
        return "described"
    edits = [control for control in controls if control.edit]
    works = any(control.expectation == "positive" for control in edits)
    random = any(control.expectation == "null" for control in edits)
    if not (works and random and all(control.passed for control in edits)):
        return "associated"
    return "robust" if robustness is not None and robustness.share >= AGREEING else "intervened"
