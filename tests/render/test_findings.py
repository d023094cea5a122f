from __future__ import annotations

from tests.render import audits
from xai_audit.evidence import exactly
from xai_audit.render import findings


def test_an_id_reads_as_its_parts_were_named():
    assert findings.read("tcav/stripes%40layer3%40zebra") == "tcav/stripes@layer3@zebra"
    assert findings.read("recall/age+sex") == "recall/age+sex"
    assert findings.read("recall/a%0Ab") == r"recall/a\nb"


def test_a_check_of_an_explainer_is_by_no_column():
    made = audits.failing()
    check = audits.scalar("shap/stability", exactly(0.9, 8), "Same order", "", kind="explainer")
    made = made.model_copy(update={"evidence": (*made.evidence, check)})
    part = audits.Part(
        evidence="shap/stability", kind="open", estimate=check.observation.estimate, quantity="same order"
    )
    group = audits.Part(
        evidence="recall/age", kind="open", estimate=check.observation.estimate, quantity="recall"
    )
    finding = audits.findings_fail()[0]
    assert "by stability" not in findings._quantity(made, finding, part)
    assert "recall by age" in findings._quantity(made, finding, group)
    assert findings._which(made, part) == "shap/stability"
    assert findings._which(made, group) == "age"
