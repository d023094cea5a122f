"""Counts: a row of bars for each row of a matrix, so that a spread can be seen without a single person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render.ink import NARROW, SIZE, WIDE, Drawing, box, drawing, line, words
from xai_audit.render.visible import fitted, name

if TYPE_CHECKING:
    from markupsafe import Markup

    from xai_audit.evidence import Matrix
    from xai_audit.render.ink import Anchor

ROWS = 24
"""Rows in one picture; the table says how many there are."""


def strips(observation: Matrix, title: str) -> Drawing:
    """A bar for each count, a row for each row; a cell that is withheld is a short line at its foot."""
    return Drawing(_strips(observation, title, WIDE), _strips(observation, title, NARROW))


def _strips(observation: Matrix, title: str, width: float) -> Markup:
    narrow = width == NARROW
    left, right = (4.0, width - 6.0) if narrow else (152.0, width - 8.0)
    pitch = 38.0 if narrow else 20.0
    columns = observation.columns
    step = (right - left) / max(len(columns), 1)
    marks = [words(0, 12, name(observation.row_title or "", 60), ink="secondary")]
    rows = list(zip(observation.rows, observation.values, strict=True))[:ROWS]
    y, before = 16.0, ""
    for label, values in rows:
        # Rows of one input (``bmi: low values``, ``bmi: high values``) stand together.
        stem = label.partition(": ")[0]
        y += pitch + (7 if before and stem != before else 0)
        before = stem
        most = max((v for v in values if v is not None), default=0.0) or 1.0
        marks.append(line(left, y, right, y, ink="rule", width=0.8))
        marks.append(
            words(0, y - 20 if narrow else y - 2, fitted(name(label, 60), right if narrow else 144, SIZE))
        )
        for k, value in enumerate(values):
            x = left + step * k
            if value is None:
                marks.append(line(x + 1, y, x + step - 1, y, ink="context", width=1.6))
            elif value > 0:
                height = 14 * value / most
                marks.append(box(x + 0.5, y - height, step - 1, height, ink="context"))
    bottom = y
    for k in _sample(len(columns), 2 if narrow else 3):
        anchor: Anchor = "start" if k == 0 else "end" if k == len(columns) - 1 else "middle"
        x = left if k == 0 else right if anchor == "end" else left + step * (k + 0.5)
        marks.append(
            words(x, bottom + 15, fitted(name(columns[k], 40), 110, SIZE), ink="secondary", anchor=anchor)
        )
    marks.append(
        words(right, bottom + 31, name(observation.column_title or "", 60), ink="secondary", anchor="end")
    )
    return drawing(width, bottom + 37, title, marks)


def _sample(size: int, most: int) -> list[int]:
    """At most ``most`` places spread over ``size``, both ends among them."""
    if size <= most:
        return list(range(size))
    return sorted({round(k * (size - 1) / (most - 1)) for k in range(most)})
