from __future__ import annotations

import json
from pathlib import Path

from tests.render import audits
from xai_audit.render import terminal


def test_one_screen_plain_when_piped(tmp_path: Path):
    (tmp_path / "report.html").write_text("x")
    text = terminal.summary(audits.failing(), 100, color=False, folder=str(tmp_path))
    lines = text.splitlines()
    assert lines[0].startswith("FAIL  Diabetes progression triage 2.1")
    assert lines[0].endswith("policy eu-ai-act  221 people")
    assert "  ■ Article 15(3)     recall 0.67 [0.57, 0.75] is below the declared 0.80" in lines
    assert any(line.startswith("  ◆ Article 10(2)(f)  selection ratio by sex") for line in lines)
    assert "  ○ 7 statements are missing (annex A of the report lists them)" in lines
    assert lines[-1] == f"  5 rules passed. report.html in {tmp_path}/"
    assert "\033" not in text
    assert all(len(line) <= 100 for line in lines[:-1])
    assert len(lines) <= 24


def test_marks_are_coloured_on_a_terminal():
    assert "\033[31m■\033[0m" in terminal.summary(audits.failing(), 100, color=True)


def test_hostile_names_cannot_write_to_the_terminal():
    text = terminal.summary(audits.hostile(), 80, color=False)
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert "\u202e" not in text


def test_the_line_of_json_has_the_outcome_and_the_counts():
    content = json.loads(terminal.line(audits.failing(), "out"))
    assert content["outcome"] == "fail"
    assert content["counts"]["failed"] == 2
    assert content["folder"] == "out"
