from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.render import audits
from xai_audit.render import renderers


def test_one_line_says_what_a_program_asks() -> None:
    made = audits.located(audits.failing(), policies=[20, 3])
    content = renderers["json"](made)
    assert content.count(b"\n") == 1
    told = json.loads(content)
    assert (told["outcome"], told["exit_code"]) == ("fail", 1)
    assert told["counts"] == made.counts.model_dump(mode="json")
    assert [one["rule"] for one in told["findings"]] == [one.rule for one in made.findings]
    first = told["findings"][0]
    assert first["place"] == {"path": "models/audit.yaml", "line": 20, "column": 3}
    assert (first["kind"], first["state"], first["loudness"], first["stops"]) == (
        "fail",
        "fail",
        "error",
        True,
    )
    states = {one["rule"]: one["state"] for one in told["findings"]}
    assert (states["FAI-02"], states["GOV-05"]) == ("waived", "absent")
    assert [one["rule"] for one in told["findings"] if one["stops"]] == ["PER-01", "ROB-02"]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_any_name_comes_back_as_it_is(text: str) -> None:
    content = renderers["json"](audits.named(text))
    assert content.isascii()
    assert json.loads(content)["findings"][0]["title"] == text
