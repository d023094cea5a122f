"""The part of a card's body that is ours: an audit in a few lines between two HTML comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit import digest
from xai_audit.attach.binding import UNKNOWN
from xai_audit.render import front
from xai_audit.render import numbers as printed
from xai_audit.render.slices import numbers
from xai_audit.render.visible import markdown, prose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.attach.binding import Binding
    from xai_audit.audit import Audit

ROWS = 16
"""Numbers in the block; model-index, audit.json and the report hold the rest."""

_LINE = r"(?:\A|(?<=[\r\n]))<!-- xai-audit:{} *-->[ \t]*(?=[\r\n]|\Z)"
_BEGIN = re.compile(_LINE.format(r"begin\b([^\r\n>]*?)"))
_END = re.compile(_LINE.format("end"))
_BREAK = re.compile(r"\r\n|\r|\n")
_SAID = re.compile(r"(\w+)=([0-9a-z]+)")


class BlockError(ValueError):
    """Marks of ours that do not make one block; the message says at which line of the body."""

    def __init__(self, what: str, line: int) -> None:
        self.what, self.line = what, line
        super().__init__(what)


@dataclass(frozen=True)
class Found:
    """Our block in a body."""

    start: int
    end: int
    """Without the line end after the closing mark."""
    text: str
    said: dict[str, str]
    """What the opening mark says: the digests of model, audit and text."""

    @property
    def edited(self) -> bool:
        """Whether the text is another than its opening mark says."""
        return self.said.get("text") != _digest(_BREAK.split(self.text)[1:-1])


def find(body: str) -> Found | None:
    """Our block, or None; BlockError for two blocks, or a mark without its other."""
    begins, ends = list(_BEGIN.finditer(body)), list(_END.finditer(body))
    if not begins and not ends:
        return None
    for marks, what in ((begins, "begin"), (ends, "end")):
        if len(marks) > 1:
            raise BlockError(
                f"a second mark 'xai-audit:{what}'; a card has one block of ours, delete the other",
                _line(body, marks[1].start()),
            )
    if not begins or not ends or ends[0].start() < begins[0].end():
        mark, what = (begins[0], "begin") if begins else (ends[0], "end")
        other = "an 'xai-audit:end' after it" if begins else "an 'xai-audit:begin' before it"
        raise BlockError(f"the mark 'xai-audit:{what}' is without {other}", _line(body, mark.start()))
    start, end = begins[0].start(), ends[0].end()
    return Found(start, end, body[start:end], dict(_SAID.findall(begins[0].group(1))))


def _line(text: str, at: int) -> int:
    return len(_BREAK.findall(text[:at])) + 1


def text(made: Audit, bound: Binding, newline: str) -> str:
    """The block of an audit, without a line end after it."""
    inner = list(_lines(made, bound))
    said = f"model={bound.model_sha256 or UNKNOWN} audit={bound.audit_sha256} text={_digest(inner)}"
    return newline.join((f"<!-- xai-audit:begin {said} -->", *inner, "<!-- xai-audit:end -->"))


def _digest(lines: list[str]) -> str:
    """The sha256 of lines, whatever ends them."""
    return digest.of_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))


def _lines(made: Audit, bound: Binding) -> Iterator[str]:
    test = made.subject["data"]["test"]
    yield f"## Audit of {markdown(bound.system)}"
    yield ""
    yield f"**Outcome: {bound.outcome}.** {markdown('; '.join(front.clauses(made)))}."
    for reason in made.reasons:
        yield f"- {markdown(prose(reason))}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| Model | {_sha(bound.model_sha256)} |"
    yield f"| Evidence | audit.json, {_sha(bound.audit_sha256)} |"
    yield f"| Test data | {test['rows']:,} rows, {_sha(bound.data_sha256)} |"
    for policy, sha256 in zip(bound.policies, bound.policy_sha256, strict=True):
        yield f"| Policy | {markdown(policy)}, {_sha(sha256)} |"
    yield f"| Date | {markdown(printed.day(bound.finished))} |"
    yield ""
    yield from _numbers(made)
    yield "What this does not say:"
    yield ""
    yield from _limits(made, bound)


def _sha(sha256: str | None) -> str:
    return f"sha256 `{sha256}`" if sha256 else "no file was seen, so no digest is known"


def _numbers(made: Audit) -> Iterator[str]:
    """The numbers over all rows and between groups; single groups stand in model-index."""
    shown = [one for one in numbers(made) if one.of != "group"]
    if not shown:
        return
    yield "| Measured on the test data | Of | Value and interval | n |"
    yield "|---|---|---|---|"
    for one in shown[:ROWS]:
        value = markdown(printed.number(one.estimate))
        yield f"| {markdown(one.piece.title)} | {markdown(one.slice)} | {value} | {one.estimate.n:,} |"
    if len(shown) > ROWS:
        yield ""
        yield f"and {len(shown) - ROWS} more in audit.json."
    yield ""


def _limits(made: Audit, bound: Binding) -> Iterator[str]:
    if bound.model_sha256:
        yield "- Anything of another model file: it holds for the file or folder of this digest alone."
    else:
        yield "- Which model file it holds for: the audit saw answers and no file."
    yield "- Conformity with any law: it is evidence, judged by the policy named above, not a declaration."
    if made.counts.statements_missing:
        missing = printed.some(made.counts.statements_missing, "statement")
        yield f"- What people have not stated: {markdown(missing)} missing."
    least = (made.spec.get("report") or {}).get("min_cell", 10)
    yield f"- Anything of groups with fewer than {least} rows, which are withheld."
    for note in made.not_examined:
        yield f"- {markdown(prose(note))}"
