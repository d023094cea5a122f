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


def test_a_step_summary_stays_under_a_mebibyte_and_says_what_is_left_out():
    told = [
        audits.finding(f"R-{i}", "fail", "t" * 5_000, "c" * 500, "law", "m" * 50_000, why="w" * 50_000)
        for i in range(3_000)
    ]
    made = audits.audit(told, [], "fail", reasons=("r" * 2_000_000,) * 3)
    content = renderers["summary"](made)
    assert len(content) < 1_048_576
    assert "and 2980 more in report.html." in content.decode()
    assert "(2,000,000 characters)" in content.decode()


def test_a_name_calls_nobody():
    text = renderers["summary"](audits.named("@octocat a@b.example")).decode()
    assert "@octocat" not in text
    assert "@<!-- -->octocat" in text
    assert "a@b.example" in text
