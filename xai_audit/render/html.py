"""report.html: one file that opens anywhere, asks nothing of the network and works without JavaScript."""

from __future__ import annotations

import base64
import hashlib
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
    """A name that may break after a slash, a dot or an underscore, so that it fits a narrow column."""
    safe = Markup("").join([Markup.escape(str(text))])
    for sign in ("/", "_", "+"):
        safe = Markup(str(safe).replace(sign, f"{sign}<wbr>"))  # noqa: S704  # escaped above; only <wbr> is added
    return safe


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
    head = {"style": style, "script": Markup(script), "digest": _hash(script), "faces": ""}  # noqa: S704
    bare = page(audit, media="screen", head=head)
    head["faces"] = Markup(fonts.embedded(bare))  # noqa: S704
    return page(audit, media="screen", head=head).encode("utf-8", "backslashreplace")


def _hash(script: str) -> str:
    """What the page's content policy knows its one script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
