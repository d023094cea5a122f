"""report.html: one file that opens anywhere, asks nothing of the network and works without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from xai_audit import resources
from xai_audit.render import fonts, palette
from xai_audit.render.report import report

if TYPE_CHECKING:
    from jinja2 import Environment

    from xai_audit.audit import Audit


@cache
def templates() -> Environment:
    """Templates that escape everything, know every name they use, and compute nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(resources.folder("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = breakable
    return made


def breakable(text: object) -> Markup:
    """Text whose long words may break: after a slash, an underscore or a plus, else anywhere.

    No-break spaces are part of a word, so that an estimate stays on one line.
    """
    return Markup(" ").join(Markup("<wbr>").join(_pieces(word)) for word in str(text).split(" "))


def _pieces(word: str) -> list[str]:
    """A word in pieces it may break between."""
    if len(word) < LONG:
        return [word]
    # A plus before a digit is a sign, and stays with its number.
    pieces = [piece for piece in re.split(r"(?<=[/_])|(?<=\+)(?!\d)", word) if piece]
    return (
        [piece[start : start + 12] for piece in pieces for start in range(0, len(piece), 12)]
        if max(map(len, pieces)) > LONGER
        else pieces
    )


LONG = 18
"""Characters from which a word may break at its signs."""
LONGER = 30
"""Characters from which it may break anywhere."""


def source(name: str) -> str:
    """A file of templates/ as it is."""
    return (resources.folder("templates") / name).read_text(encoding="utf-8")


def page(audit: Audit, *, media: str, head: dict[str, Any]) -> str:
    """The page for ``screen`` or ``paper``; ``head`` holds its styles and its script."""
    return templates().get_template("report.html.j2").render(report=report(audit), media=media, **head)


def render(audit: Audit) -> bytes:
    """The report as one HTML file."""
    script = source("tables.js")
    # Safe: files of our own, no user's text among them.
    style = Markup(palette.sheet() + source("report.css") + source("screen.css"))  # noqa: S704
    head = {"style": style, "script": Markup(script), "digest": script_digest(script), "faces": ""}  # noqa: S704
    bare = page(audit, media="screen", head=head)
    head["faces"] = Markup(fonts.embedded(bare))  # noqa: S704
    return page(audit, media="screen", head=head).encode("utf-8", "backslashreplace")


def script_digest(script: str) -> str:
    """What the page's content policy knows its one script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
