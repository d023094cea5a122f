"""What a comparison asks of a number: its value in one audit, its intervals, and how far it moved on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xai_audit.compare.rows import Rows
    from xai_audit.intervals import Interval
    from xai_audit.intervals_rows import Measured


class UndefinedError(Exception):
    """There is no such number for these rows, and why."""


@dataclass(frozen=True)
class Number:
    """A number over rows, for a class where it is about one."""

    value: Callable[[Rows, str], float]
    """UndefinedError where there is none."""
    at: Callable[[Rows, str, Sequence[float]], list[Interval]]
    """Its own intervals, where one pair of groups is ruled out against another."""
    change: Callable[[Rows, Rows, str, Sequence[float]], Measured]
    """New less old, of two audits' rows that are the same line by line."""
    of: str = "positive"
    """Which class it is about where there are two: positive or favourable; empty where it is about all."""
    counted: Callable[[Rows, str], int] = lambda rows, _: int(np.count_nonzero(rows.known))
    """Rows it rests on."""
