from __future__ import annotations

from tests.render import audits
from xai_audit.render import renderers


def test_the_summary_has_the_outcome_and_what_blocks():
    text = renderers["summary"](audits.failing()).decode()
    assert text.startswith("# Diabetes progression triage 2.1: fail\n")
    assert "2 blocking rules failed; 2 could not be decided" in text
    assert "| ■ failed | The model reaches the declared level of accuracy (PER-01) | Article 15(3) |" in text
    assert "not a declaration of conformity" in text


def test_names_are_text_in_markdown():
    text = renderers["summary"](audits.hostile()).decode()
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert all(line.count(" | ") == 4 for line in text.splitlines() if line.startswith("| ■"))
