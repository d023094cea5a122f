from __future__ import annotations

import pytest

from tests.explainers.games import text_subject
from tests.render import specimens
from xai_audit import card


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            (),
            "Whether explanations follow a randomised model, and whether the named inputs matter: not measured in this run.",
        ),
        (
            ("deletion", "insertion"),
            "Whether explanations follow a randomised model: not measured in this run.",
        ),
        (("twin",), "Whether the named inputs matter: not measured in this run."),
        (("twin", "deletion"), None),
    ],
)
def test_what_checks_of_explanations_answered_is_no_longer_said_to_be_open(parts, said):
    one = text_subject(n=12)
    piece = specimens.concept("stripes", "layer3", 0.1, "described")
    evidence = [piece.model_copy(update={"id": f"integrated_gradients/{part}"}) for part in parts]
    assert card._unasked(one, evidence) == ((said,) if said else ())
    skipped = [piece.model_copy(update={"status": "skipped", "reason": "none"}) for piece in evidence]
    assert len(card._unasked(one, skipped)) == 1
