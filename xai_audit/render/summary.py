"""summary.md: the outcome and what blocks, short enough for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import findings as told
from xai_audit.render import front, numbers, people
from xai_audit.render.visible import markdown, prose

if TYPE_CHECKING:
    from xai_audit.audit import Audit

ROWS = 20
"""Rules in the table; the report tells the rest."""


def render(audit: Audit) -> bytes:
    """The summary as Markdown, every name escaped."""
    found = front.states(audit)
    page = front.page(audit)
    lines = [
        f"# {markdown(people.title(audit))}: {audit.outcome}",
        "",
        f"**{markdown('; '.join(page.clauses))}.**",
        "",
        markdown(f"{page.tested} {page.sums}"),
    ]
    if page.missing:
        lines[-1] += f" {numbers.some(page.missing, 'statement')} missing."
    if page.frozen:
        lines[-1] += f" {markdown(page.frozen)}"
    lines += [""]
    telling = [finding for key in ("fail", "open", "review", "waived") for finding in found[key]]
    if telling:
        lines += ["| | Rule | Provision | Observed | Threshold |", "|---|---|---|---|---|"]
        for finding in telling[:ROWS]:
            one = told.judged(audit, finding)
            effect = "" if one.blocking else ", warns"
            cells = (
                f"{one.mark.shape} {one.word}",
                f"{one.title} ({one.rule})",
                one.clause,
                f"{one.observed}; {one.quantity}" if one.quantity else one.observed,
                f"{one.threshold} ({one.basis}{effect})",
            )
            lines.append("| " + " | ".join(markdown(cell) for cell in cells) + " |")
        if len(telling) > ROWS:
            lines.append(f"\nand {len(telling) - ROWS} more in report.html.")
        lines += [""]
    if page.changed:
        lines += [markdown(page.changed), ""]
    for reason in audit.reasons:
        lines.append(f"- {markdown(prose(reason))}")
    lines += [
        "",
        f"Evidence report of {numbers.day(audit.run.get('finished', ''))}, not a declaration of conformity.",
        "",
    ]
    return "\n".join(lines).encode("utf-8", "backslashreplace")
