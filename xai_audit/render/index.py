"""index.html: several audits side by side, each with its outcome and where its report is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from xai_audit.render import fonts, front, palette, people
from xai_audit.render.html import source, templates
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Line, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit

_MARKS = {"pass": "pass", "fail": "fail", "review": "review", "error": "fail"}


def html(audits: Sequence[tuple[str, Audit]]) -> bytes:
    """The index page of audits by their folder's name."""
    rows = []
    for folder, audit in audits:
        found = front.states(audit)
        test = (audit.subject.get("data") or {}).get("test") or {}
        mark = VERDICTS[_MARKS[audit.outcome]]
        blocking = sum(finding.blocking for finding in found["fail"])
        rows.append(
            Line(
                cells=(
                    Cell(
                        text=people.title(audit),
                        sub=f"{folder}/report.html",
                        href=f"{quote(folder)}/report.html",
                    ),
                    Cell(text=audit.outcome, mark=mark),
                    Cell(text=f"{test.get('rows', 0):,}"),
                    Cell(text=str(blocking)),
                    Cell(text=str(len(found["open"]))),
                    Cell(text=str(len(found["pass"]))),
                    Cell(text=str(audit.counts.statements_missing)),
                )
            )
        )
    heads = ("Rows", "Blocking failed", "Undecided", "Passed", "Statements missing")
    table = Table(
        caption=f"{len(rows)} audits",
        columns=(
            Column(head="System"),
            Column(head="Outcome"),
            *(Column(head=h, numeric=True) for h in heads),
        ),
        rows=tuple(rows),
        full=True,
    )
    # Safe: files of our own, no user's text among them.
    style = palette.sheet() + source("report.css") + source("screen.css")
    template = templates().get_template("index.html.j2")
    bare = template.render(table=table, style=Markup(style), faces="", media="screen")  # noqa: S704
    faces = Markup(fonts.embedded(bare))  # noqa: S704
    whole = template.render(table=table, style=Markup(style), faces=faces, media="screen")  # noqa: S704
    return whole.encode("utf-8", "backslashreplace")
