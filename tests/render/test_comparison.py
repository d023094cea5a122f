from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compare.versions import Version, audited, people
from tests.render.audits import between
from tests.render.comparisons import HOSTILE, change, made
from xai_audit import audit, compare
from xai_audit.audit import Audit
from xai_audit.comparison import (
    Comparison,
    Ranked,
    VerdictChange,
    direction,
    turned,
)
from xai_audit.evidence import exactly
from xai_audit.render import comparison_html, comparison_text, html, moved, since, summary, terminal
from xai_audit.render.comparison import page


def test_a_change_is_worse_only_where_all_of_its_interval_is() -> None:
    assert change(-0.03, -0.05, -0.01).direction == "worse"
    assert change(-0.03, -0.06, 0.01).direction == "open"
    assert change(-0.03, -0.05, -0.01, better="lower").direction == "better"
    assert change(-0.03, -0.05, -0.01, better="none").direction == "moved"
    assert direction(None, "higher") == "open"
    assert turned(between(-0.03, -0.05, -0.01, 5)) == between(0.03, 0.01, 0.05, 5)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (between(0.0123, -0.003, 0.027, 9), "+0.012 [−0.003, 0.027]"),
        (between(-0.5, -0.9, -0.1, 9), "−0.50 [−0.90, −0.10]"),
        (exactly(0, 9), "0"),
        (None, "–"),
    ],
)
def test_changes_carry_their_sign(estimate, text: str) -> None:
    assert moved.signed(estimate).replace("\u00a0", " ") == text


def test_the_clauses_say_what_matters_first() -> None:
    told = made(
        change(-0.03, -0.05, -0.01),
        verdicts=(
            VerdictChange(
                policy="p",
                rule="PER-01",
                title="t",
                clause="c",
                old="pass",
                new="fail",
                blocking=True,
                reasons=("why",),
            ),
        ),
    )
    text = "; ".join(moved.clauses(told)).replace("\u00a0", " ")
    assert text == "Accuracy is worse: −0.030 [−0.050, −0.010]; 1 rule is met no more"
    quiet = made(change(0.001, -0.01, 0.012))
    assert "which chance alone could make" in moved.clauses(quiet)[0]
    assert moved.clauses(made(change(0, 0, 0, change=exactly(0, 500), how="same"))) == (
        "Nothing that is compared has changed",
    )


def test_how_many_would_move_by_chance_is_said() -> None:
    many = [change(-0.03, -0.05, -0.01), *[change(0.0, -0.02, 0.02)] * 39]
    text = moved.chance(many, 0.95).replace("\u00a0", " ")
    assert text.startswith("1 of 40 numbers lies beyond its 95 % interval")
    assert "about 2 would by chance" in text


def test_names_of_others_are_shown_and_never_run() -> None:
    told = made(
        change(-0.03, -0.05, -0.01, title=HOSTILE),
        change(
            -0.03, -0.05, -0.01, part="group", evidence="accuracy/x", key={HOSTILE: HOSTILE}, by=(HOSTILE,)
        ),
        rankings=(Ranked(evidence="shap", title=HOSTILE, name=HOSTILE, old_rank=(1, 1), new_rank=(2, 3)),),
        verdicts=(
            VerdictChange(
                policy="p",
                rule="A-1",
                title=HOSTILE,
                clause="c",
                old="pass",
                new=None,
                blocking=False,
                reasons=(HOSTILE,),
            ),
        ),
        not_compared=(f"x: {HOSTILE}",),
        notes=(HOSTILE,),
    )
    page_text = comparison_html.render(told).decode()
    assert page_text.count("<script>") == 1
    assert "alert(1)&lt;/script" in page_text.replace("<wbr>", "")
    markdown = comparison_text.markdown(told).decode()
    assert "<script>" not in markdown
    assert "\n# h" not in markdown
    assert re.search(r"(?<!\\)\]\(javascript", markdown) is None
    assert len(comparison_text.screen(told).splitlines()) < 40


def test_the_page_asks_nothing_of_the_network_and_opens_without_a_script() -> None:
    text = comparison_html.render(made(change(-0.03, -0.05, -0.01))).decode()
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert "prefers-color-scheme:dark" in text
    assert page(made(change(-0.03, -0.05, -0.01))).parts[0].id == "performance"


def test_the_same_comparison_is_the_same_page() -> None:
    told = made(change(-0.03, -0.05, -0.01))
    assert comparison_html.render(told) == comparison_html.render(told)


# ------------------------------------------------------------------------------------------------------- what a report says
@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Audit, Comparison]:
    folder = tmp_path_factory.mktemp("since")
    words = {"metrics": "accuracy, brier_score", "sensitive": "sex"}
    audited(folder / "old", people(500, better=0.3), Version(version="1.0", **words))
    audited(folder / "new", people(500), Version(version="1.1", **words), baseline=folder / "old")
    told = compare.compare(compare.opened(folder / "old"), compare.opened(folder / "new"))
    return audit.read(folder / "old"), audit.read(folder / "new"), told


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<wbr>|<[^>]+>", "", text).replace("\u00a0", " "))


def test_page_1_says_what_changed_in_a_sentence_or_two(pair: tuple[Audit, Audit, Comparison]) -> None:
    _, new, _ = pair
    words = since.words(new).replace("\u00a0", " ")
    assert words.startswith("Since version 1.0, audited on ")
    assert "accuracy is worse by 0." in words
    assert "on the same 500 people" in words
    assert "The same: " not in words
    assert "the same: policy eu-ai-act" in words
    shown = plain(html.render(new).decode())
    for text in (
        shown,
        summary.render(new).decode().replace("\\", ""),
        terminal.summary(new, 110, color=False),
    ):
        assert "accuracy is worse by" in " ".join(text.split())


def test_a_section_tells_all_of_it_where_there_is_a_baseline(pair: tuple[Audit, Audit, Comparison]) -> None:
    old, new, _ = pair
    with_baseline, without = (plain(html.render(made).decode()) for made in (new, old))
    assert "What changed since the last audit" in with_baseline
    assert "What went into the two audits" in with_baseline
    assert "no change" in with_baseline
    assert "What changed since the last audit" not in without
    assert "no earlier audit is given" in without  # the rule that does not apply is still told


def test_a_version_before_that_was_not_given_is_told_loudly(pair: tuple[Audit, Audit, Comparison]) -> None:
    old, _, _ = pair
    spec = {**old.spec, "system": {**old.spec["system"], "previous_version": "0.9"}}
    named = old.model_copy(update={"spec": spec})
    assert "version 0.9 came before" in since.words(named)
    assert "No earlier audit was given" in plain(html.render(named).decode())
    assert "No earlier audit was given" in " ".join(terminal.summary(named, 110, color=False).split())
    assert since.words(old) == ""


def test_a_real_comparison_has_all_of_its_parts(
    pair: tuple[Audit, Audit, Comparison], tmp_path: Path
) -> None:
    told = pair[2]
    parts = [part.id for part in page(told).parts]
    assert parts == ["rules", "performance", "groups", "data", "asked", "rest"]
    text = plain(comparison_html.render(told).decode())
    for words in ("Brier score", "sex f", "rows decided otherwise", "system.version", "the same 500 people"):
        assert words in text
    screen = comparison_text.screen(told, 100)
    assert all(len(line) <= 100 for line in screen.splitlines())
