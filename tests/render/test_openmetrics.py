from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser

from tests.render import audits
from xai_audit import audit
from xai_audit.audit import Audit
from xai_audit.render import renderers

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


def samples(made: Audit) -> dict[tuple[str, ...], float]:
    """The samples as the reference library reads them."""
    text = renderers["openmetrics"](made).decode()
    return {
        (one.name, *(one.labels[key] for key in sorted(one.labels) if key != "system")): one.value
        for family in parser.text_string_to_metric_families(text)
        for one in family.samples
    }


def test_the_verdict_and_the_numbers() -> None:
    found = samples(audits.failing())
    assert found["xai_audit_exit_code",] == 1
    assert found["xai_audit_rules", "passed"] == 5
    assert found["xai_audit_value", "recall", "estimate"] == 72 / 108
    assert found["xai_audit_n", "recall", "estimate"] == 108
    assert (
        found["xai_audit_low", "recall", "estimate"]
        < 72 / 108
        < found["xai_audit_high", "recall", "estimate"]
    )
    assert found["xai_audit_value", "demographic_parity_ratio/sex", "ratio"] == (42 / 104) / (55 / 117)
    assert ("xai_audit_value", "abroca/sex", "estimate") not in found  # it was skipped


def test_numbers_are_those_of_the_audit() -> None:
    made = audit.read(GOLDEN)
    found = samples(made)
    values = {
        key[1]: value for key, value in found.items() if key[0] == "xai_audit_value" and key[2] == "estimate"
    }
    told = {
        piece.id: piece.observation.estimate.value
        for piece in made.evidence
        if piece.observation is not None and piece.observation.shape == "scalar"
    }
    assert values == told
    assert len(told) > 20


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80) | st.sampled_from(audits.HOSTILE))
def test_any_name(text: str) -> None:
    found = samples(audits.named(text))
    assert found["xai_audit_value", "recall", "estimate"] == 72 / 108
