"""The table of metrics: a file for each family, a line for each metric."""

from __future__ import annotations

from typing import Any

from xai_audit.method import Method

METRICS: tuple[Method[Any], ...] = ()
