"""comparison.html: what changed between two audits, in one file that opens anywhere and needs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from xai_audit.render import fonts, palette
from xai_audit.render.comparison import page
from xai_audit.render.html import script_digest, source, templates

if TYPE_CHECKING:
    from xai_audit.comparison import Comparison


def render(comparison: Comparison) -> bytes:
    """The page as one HTML file."""
    script = source("tables.js")
    # Safe: files of our own, no user's text among them.
    style = palette.sheet() + source("report.css") + source("screen.css")
    head = {"style": Markup(style), "script": Markup(script), "digest": script_digest(script)}  # noqa: S704
    template, made = templates().get_template("comparison.html.j2"), page(comparison)
    bare = template.render(page=made, faces="", media="screen", **head)
    faces = Markup(fonts.embedded(bare))  # noqa: S704
    return template.render(page=made, faces=faces, media="screen", **head).encode("utf-8", "backslashreplace")
