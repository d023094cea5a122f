from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.render import audits
from xai_audit import audit
from xai_audit.audit import Audit
from xai_audit.render import github, renderers

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
LINE = re.compile(r"::(error|warning|notice)(?: ([^:]*))?::(.*)")


def unescaped(text: str, *, inside: bool = False) -> str:
    """A value as the runner reads it."""
    signs = {"%0D": "\r", "%0A": "\n", **({"%3A": ":", "%2C": ","} if inside else {})}
    for escape, sign in signs.items():
        text = text.replace(escape, sign)
    return text.replace("%25", "%")


def read(made: Audit) -> list[tuple[str, dict[str, str], str]]:
    """The annotations as a runner reads them, each line one command."""
    found = []
    for line in renderers["github"](made).decode().splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        kind, properties, message = match.groups()
        pairs = [pair.partition("=") for pair in (properties or "").split(",") if pair]
        found.append(
            (kind, {key: unescaped(value, inside=True) for key, _, value in pairs}, unescaped(message))
        )
    return found


def test_each_alarm_is_an_annotation_at_its_line() -> None:
    made = audits.located(audits.failing(), policies=[20, 3])
    found = read(made)
    assert [kind for kind, _, _ in found] == ["error"] * 2 + ["notice"] * 6
    _, properties, message = found[0]
    assert properties == {
        "file": "models/audit.yaml", "line": "20", "col": "3",
        "title": "PER-01: The model reaches the declared level of accuracy",
    }  # fmt: skip
    assert message == (
        "Recall 0.67 [0.57, 0.75] is below the declared 0.80. Next: Lower the flagging threshold, or declare the level "
        "that is met.\nArticle 15(3), policy eu-ai-act"
    )


def test_a_passing_audit_says_nothing() -> None:
    assert renderers["github"](audits.passing()) == b""


def test_an_old_audit_has_no_file() -> None:
    assert all("file" not in properties for _, properties, _ in read(audit.read(GOLDEN)))


def many(count: int, level: str) -> list[audits.Finding]:
    return [
        audits.finding(
            f"{level[0].upper()}-{i}", "fail", "t", "c", "law", "m", level=level, blocking=level == "error"
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [9, 10, 11, 60])
def test_at_most_ten_of_a_type_and_the_last_says_how_many_more(count: int) -> None:
    found = read(audits.audit([*many(count, "warning"), *many(2, "error")], [], "fail"))
    assert [kind for kind, _, _ in found] == ["error"] * 2 + ["warning"] * min(count, github.MOST)
    titles = [properties["title"] for _, properties, _ in found]
    if count > github.MOST:
        left = count - github.MOST + 1
        assert titles[-1] == f"{left} more of this kind"
        told = found[-1][2]
        assert len(re.findall(r"W-\d+", told)) == min(left, 20)
        assert (f"and {left - 20} others" in told) == (left > 20)
    else:
        assert not [title for title in titles if "more of this kind" in title]


def test_a_command_is_one_line_whatever_it_says() -> None:
    line = github.command("error", "a\r\nb %0A ::c", title="x:y,z%2C\n", file="", line=0)
    assert line == "::error title=x%3Ay%2Cz%252C%0A::a%0D%0Ab %250A ::c"


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=80) | st.sampled_from([*audits.HOSTILE, "::add-mask::a", "%0A::error::x", "a,line=1::b"])
)
def test_no_name_ends_a_command_or_begins_one(text: str) -> None:
    found = read(audits.named(text))
    assert [kind for kind, _, _ in found] == ["error", "notice"]
    for _, properties, _ in found:
        assert set(properties) <= {"file", "line", "col", "title"}
        assert properties["title"].startswith("ONE-0")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_escapes_come_back(message: str, title: str) -> None:
    match = LINE.fullmatch(github.command("error", message, title=title or "t"))
    assert (
        match
        or any(sign in message for sign in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
        or "\n" not in message
    )
    line = github.command("error", message, title=title or "t")
    assert "\n" not in line
    assert "\r" not in line
    kind, _, rest = line[2:].partition(" ")
    properties, _, data = rest.partition("::")
    assert (kind, unescaped(data)) == ("error", message)
    assert unescaped(properties.removeprefix("title="), inside=True) == (title or "t")
