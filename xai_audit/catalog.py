"""A method by its name: ours and those of installed plug-ins."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from xai_audit.explainers import EXPLAINERS
from xai_audit.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.method import Method


@cache
def methods() -> Mapping[str, Method[Any]]:
    """Every method by its id; ValueError where two share one."""
    table: dict[str, Method[Any]] = {}
    plugged = (entry.load() for entry in entry_points(group="xai_audit.methods"))
    for method in (*EXPLAINERS, *METRICS, *plugged):
        if method.id in table:
            message = f"two methods are called {method.id!r}"
            raise ValueError(message)
        table[method.id] = method
    return table
