"""Metadata of any layout are edited in place or refused; what is not ours never changes."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import HealthCheck, given, settings

from tests.attach.test_card import one_insertion
from xai_audit.attach import metadata
from xai_audit.attach.entries import ours
from xai_audit.attach.metadata import MetadataError


def result(config: str, value: float, sha256: str = "a" * 64) -> dict[str, Any]:
    return {
        "task": {"type": "tabular-classification"},
        "dataset": {"type": "test-data", "name": "n: \"'#x", "config": config, "args": {"xai_audit": sha256}},
        "metrics": [{"type": "recall", "value": value, "args": {"ci_low": 0.1, "ci_high": None, "n": 3}}],
    }


OURS = [result("overall", 0.5), result("sex=ж, [{", 1e-05)]
NEWER = [result("overall", 0.25, "b" * 64)]

words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp", "Co"), exclude_characters="\ufeff\ufffe\uffff"),
    max_size=12,
)  # fmt: skip
scalars = st.one_of(
    words, st.integers(), st.booleans(), st.none(), st.floats(), st.just("two\nlines\n"), st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
theirs = st.fixed_dictionaries(
    {
        "task": st.fixed_dictionaries({"type": words}),
        "dataset": st.fixed_dictionaries({"type": words, "name": words}),
        "metrics": st.lists(st.fixed_dictionaries({"type": words, "value": st.floats(0, 1)}, optional={"verified": st.booleans()}), min_size=1, max_size=2),
    },
    optional={"source": st.fixed_dictionaries({"name": words, "url": words})},
)  # fmt: skip
indexes = st.lists(
    st.fixed_dictionaries({"name": words, "results": st.lists(theirs, max_size=3)}), min_size=1, max_size=2
)


@st.composite
def cards(draw: st.DrawFn) -> tuple[str, str]:
    """The text between the lines, and its line end: random values, layout, comments and blank lines."""
    data = draw(st.dictionaries(words.filter(lambda key: key != metadata.KEY), values, max_size=4))
    index = draw(st.none() | indexes)
    pairs = list(data.items())
    if index is not None:
        pairs.insert(draw(st.integers(0, len(pairs))), (metadata.KEY, index))
    lines: list[str] = []
    for key, value in pairs:
        text = yaml.safe_dump(
            {key: value}, allow_unicode=True, sort_keys=False, indent=draw(st.sampled_from([2, 4])), width=draw(st.sampled_from([20, 80])),
            default_flow_style=draw(st.sampled_from([None, False])) if isinstance(value, (list, dict)) else False,
        )  # fmt: skip
        lines += draw(st.lists(st.sampled_from(["", "# a comment", "#"]), max_size=2))
        lines += text.rstrip("\n").split("\n")
    lines += draw(st.lists(st.sampled_from(["", "# the end"]), max_size=2))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "".join(f"{line}{end}" for line in lines), end


def read(text: str) -> Any:
    return yaml.safe_load(text) or {}


def foreign(data: dict[str, Any]) -> str:
    index = [
        {**model, "results": [one for one in model["results"] or [] if not ours(one)]}
        for model in data.get(metadata.KEY) or []
    ]
    kept = {key: value for key, value in data.items() if key != metadata.KEY}
    return repr((kept, [model for model in index if model["results"] or model["name"] != "OUR NAME"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cards())
def test_foreign_metadata_stay(drawn: tuple[str, str]) -> None:
    text, end = drawn
    new = metadata.replaced(text, "OUR NAME", OURS, end)
    assert one_insertion(text, new)
    assert metadata.of(new) == OURS
    assert foreign(read(new)) == foreign(read(text))
    assert metadata.replaced(new, "OUR NAME", OURS, end) == new
    # Two insertions of one thing leave the same bytes, whatever stood there between them.
    newer = metadata.replaced(new, "OUR NAME", NEWER, end)
    assert metadata.of(newer) == NEWER
    assert one_insertion(text, newer)
    assert metadata.replaced(newer, "OUR NAME", OURS, end) == new


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#,?% \n\t~<"), max_size=60).map(lambda text: text + "\n"))
def test_any_text_is_edited_or_refused(text: str) -> None:
    new = outcome = None
    try:
        new = metadata.replaced(text, "m", OURS, "\n")
    except MetadataError as error:
        outcome = error
    if new is None:
        assert "\n" not in str(outcome)
        assert outcome.line >= 1
        return
    assert one_insertion(text, new)
    after = read(new)
    assert after.pop("model-index") == [{"name": "m", "results": OURS}]
    assert repr(after) == repr(read(text))


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("- \n\rab:\ufeff`|<>!"), max_size=40))
def test_metadata_are_where_the_hub_looks_for_them(text: str) -> None:
    with contextlib.suppress(MetadataError):
        parts = metadata.split(text)
        assert parts.before + (parts.metadata or "") + parts.after == text
        found = REGEX_YAML_BLOCK.search(text.removeprefix("\ufeff"))
        if parts.metadata:
            assert parts.metadata == found.group(2) + re.match(r"\r\n|\r|\n", found.group(3)).group()
            assert parts.after[parts.body_at :] == text.removeprefix("\ufeff")[found.end() :]
        elif parts.metadata is None:
            assert found is None


@pytest.mark.parametrize(
    "text",
    [
        "model-index:\n- name: m\n  results:\n  - a: |+\n      kept\n\n\n# c\nx: 1\n",
        "model-index:\n- name: m\n  results:\n  - a: 'two\n      lines'   # c\n",
        "model-index:\n- results:   # none yet\n  name: m\nx: 1\n",
        "model-index:\n- name: m\n  results:\n",
        "model-index:\n- name: m\n",
        "model-index: # none\n\nx: 1\n",
        "model-index: []\n",
        "model-index: [{name: m}]\n",
        "{a: 1}\n",
        "{a: 1, }\n",
        "{}\n",
        "# nothing but a comment\n",
        "model-index:\n- {name: m, results: [\n  {a: 1}, # one\n  ]}\n",
        "model-index:\n-\n  name: m\n  results:\n  -\n    a: 1\n",
        "model-index:\n  - &m\n    name: m\n    results: &r\n      - {a: 1}\n",
        "  a: 1\n  model-index:\n  - name: m\n    results:\n    - a: 1\n",
    ],
)
def test_layouts(text: str) -> None:
    new = metadata.replaced(text, "m", OURS, "\n")
    assert one_insertion(text, new)
    assert [one for one in read(new)["model-index"][0]["results"] if ours(one)] == OURS
    newer = metadata.replaced(new, "m", NEWER, "\n")
    assert metadata.of(newer) == NEWER
    assert metadata.replaced(newer, "m", OURS, "\n") == new
    # Without any result of ours the hub still finds a list.
    gone = metadata.replaced(new, "m", [], "\n")
    assert metadata.of(gone) == []
    assert isinstance(read(gone)["model-index"][0]["results"], list)


def test_ours_in_the_middle_leave_their_neighbours() -> None:
    text = "model-index:\n- name: m\n  results:\n  - a: 1\n"
    new = metadata.replaced(text, "m", OURS, "\n") + "  # theirs\n  - b: 2   # last\n"
    newer = metadata.replaced(new, "m", NEWER, "\n")
    assert re.sub(r"  - task:(.|\n)*", "", newer) == text + "  # theirs\n  - b: 2   # last\n"
    assert [one for one in read(newer)["model-index"][0]["results"] if not ours(one)] == [{"a": 1}, {"b": 2}]


def test_null_is_no_list_and_becomes_one() -> None:
    new = metadata.replaced("model-index: null  # c\n", "m", OURS, "\n")
    assert read(new) == {"model-index": [{"name": "m", "results": OURS}]}
    assert new.endswith("  # c\n")
