"""The table of formats: from an audit to a file's bytes, and from nothing else."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xai_audit.audit import Audit


def _lazy(name: str) -> Callable[[Audit], bytes]:
    """A format's ``render(audit) -> bytes``, its module and libraries loaded when it is first called."""

    def render(audit: Audit) -> bytes:
        made: bytes = import_module(f"xai_audit.render.{name}").render(audit)
        return made

    return render


renderers: Mapping[str, Callable[[Audit], bytes]] = {
    "html": _lazy("html"),
    "pdf": _lazy("pdf"),
    "summary": _lazy("summary"),
    "cyclonedx": _lazy("cyclonedx"),
    "sarif": _lazy("sarif"),
    "junit": _lazy("junit"),
    "github": _lazy("github"),
    "gitlab": _lazy("gitlab"),
    "openmetrics": _lazy("openmetrics"),
    "json": _lazy("json_"),
    "badge": _lazy("badge"),
}
"""A format by its name; each raises UnavailableError where a library it needs is missing."""

FILES: Mapping[str, str] = {
    "html": "report.html",
    "pdf": "report.pdf",
    "summary": "summary.md",
    "cyclonedx": "bom.cdx.json",
    "sarif": "results.sarif",
    "junit": "junit.xml",
    "github": "annotations.txt",
    "gitlab": "gl-code-quality-report.json",
    "openmetrics": "metrics.txt",
    "json": "verdict.json",
    "badge": "badge.svg",
}
"""What each format's file is called in the output folder."""


def missing_for(name: str) -> str | None:
    """Why a format cannot be made here, with what to install; None where it can."""
    if name != "pdf":
        return None
    reason: str | None = import_module("xai_audit.render.pdf").missing()
    return reason
