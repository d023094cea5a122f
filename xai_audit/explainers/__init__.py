"""The table of explainers: a file for each, a line for each."""

from __future__ import annotations

from typing import Any

from xai_audit.method import Method

EXPLAINERS: tuple[Method[Any], ...] = ()
