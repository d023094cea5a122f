from __future__ import annotations

from tests.render import audits, specimens
from xai_audit.evidence import Sampling
from xai_audit.render import beside


def test_the_margin_says_rung_evidence_and_how_rows_were_chosen():
    piece = specimens.concept("stripes", "layer3", 0.12, "robust").model_copy(
        update={"sampling": Sampling(available=1000, used=200, how="the smallest digests")}
    )
    audit = audits.audit([], [piece], "review", subject=specimens.subject("image"))
    assert [note.text for note in beside.margin(audit, [piece], "first")] == [
        "first",
        "Rung 4 of 4: robust",
        "tcav/stripes-layer3",
        "200 of 1,000 pictures: the smallest digests",
    ]


def test_rows_of_a_table_are_still_rows():
    audit = audits.failing()
    piece = next(e for e in audit.evidence if e.sampling)
    assert beside.margin(audit, [piece])[-1].text.startswith("50 of 221 rows")


def test_limits_are_said_once_each():
    pieces = [specimens.concept("a", "s", 0.1, "robust"), specimens.concept("b", "s", 0.1, "robust")]
    assert beside.limits(pieces) == ("It speaks of these examples of the concept, not of the word.",)
