"""Whether what is published is what was made again: number by number, with the place of the first that is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RELATIVE = 1e-9
"""By how much two ways to compute one number may differ."""
ROUNDING = 1e-12
"""The same for what is left of numbers of a larger size that cancel, as a share of that size."""


@dataclass(frozen=True)
class Near:
    """A number that was rounded when it was published, to so many digits, and is known no further."""

    value: float
    slack: float
    digits: int


@dataclass(frozen=True)
class Open:
    """A published number that nothing in the folder gives again, and why."""

    reason: str


@dataclass(frozen=True)
class Stated:
    """What is no result, such as a cell of a row that is shown: it stands as the run gave it."""

    what: str
    fits: Callable[[Any], bool] | None = None
    """Whether it can be such a thing at all."""


@dataclass(frozen=True)
class Beside:
    """A value that must stand there, and what of its making nothing in the folder gives again."""

    value: Any
    told: Open | Stated


@dataclass(frozen=True)
class Among:
    """A sentence that must stand in a list of sentences."""

    sentence: str


@dataclass(frozen=True)
class Told:
    """What comparing brings up: a contradiction, a number left open, or something as stated."""

    kind: str
    what: str


def compared(published: Any, expected: Any, path: str, size: float = 0.0) -> Iterator[Told]:
    """Every place where the two part, and every place that nothing was expected of.

    Mappings must have the same keys, but for published ones that are None. ``size`` is that of the numbers that may
    have cancelled.
    """
    if isinstance(expected, Beside):
        yield from compared(published, expected.value, path, size)
        yield from compared(published, expected.told, path)
    elif isinstance(expected, Open):
        if published is not None:
            yield Told("open", f"{path}: {expected.reason}")
    elif isinstance(expected, Stated):
        if expected.fits is not None and not expected.fits(published):
            yield Told("broken", f"{path} is not what is shown there: {expected.what}")
        yield Told("stated", expected.what)
    elif isinstance(expected, Near):
        rounded = _number(published) and published == float(f"{published:.{expected.digits}g}")
        if not rounded or abs(published - expected.value) > expected.slack:
            yield Told("broken", _apart(path, published, expected.value))
    elif isinstance(expected, Mapping):
        yield from _mappings(published, expected, path, size)
    elif isinstance(expected, (list, tuple)):
        yield from _lists(published, expected, path, size)
    elif not same(published, expected, size):
        yield Told("broken", _apart(path, published, expected))


def _mappings(published: Any, expected: Mapping[str, Any], path: str, size: float) -> Iterator[Told]:
    if not isinstance(published, Mapping):
        yield Told("broken", _apart(path, published, "several numbers"))
        return
    for key, value in published.items():
        if key not in expected and value is not None:
            yield Told("broken", f"{path}.{key} is {_shown(value)}; nothing gives it")
    if "value" in expected:
        size = max(size if "limits" not in expected else 0.0, largest(expected))
    for key, value in expected.items():
        yield from compared(published.get(key), value, f"{path}.{key}" if path else key, size)


def _lists(published: Any, expected: Sequence[Any], path: str, size: float) -> Iterator[Told]:
    if any(isinstance(one, Among) for one in expected):
        lacking = [one.sentence for one in expected if one.sentence not in (published or ())]
        for sentence in lacking:
            yield Told("broken", f"{path} does not say {sentence!r}")
        return
    if not isinstance(published, (list, tuple)) or len(published) != len(expected):
        there = len(published) if isinstance(published, (list, tuple)) else 0
        yield Told("broken", f"{path} has {there} entries; {len(expected)} were made again")
        return
    for place, (one, other) in enumerate(zip(published, expected, strict=True)):
        name = other.get("name") if isinstance(other, Mapping) else None
        where = name if isinstance(name, str) else str(place)
        yield from compared(one, other, f"{path}[{where}]", size)


def same(published: Any, expected: Any, size: float = 0.0) -> bool:
    """Whether two leaves say the same: numbers to RELATIVE, all else exactly."""
    if isinstance(expected, bool) or isinstance(published, bool) or not _number(expected):
        return type(published) is type(expected) and bool(published == expected)
    if not _number(published):
        return False
    if isinstance(expected, int) and isinstance(published, int):
        return bool(published == expected)
    return bool(abs(published - expected) <= RELATIVE * abs(expected) + ROUNDING * size)


def largest(expected: Any, *, limits: bool = True) -> float:
    """The largest size among the numbers, counts apart."""
    if isinstance(expected, Beside):
        return largest(expected.value, limits=limits)
    if isinstance(expected, float):
        return abs(expected) if math.isfinite(expected) else 0.0
    if isinstance(expected, Mapping):
        return max(
            (largest(value, limits=limits) for key, value in expected.items() if limits or key != "limits"),
            default=0.0,
        )
    if isinstance(expected, (list, tuple)):
        return max((largest(value, limits=limits) for value in expected), default=0.0)
    return 0.0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _apart(path: str, published: Any, made: Any) -> str:
    return f"{path} is {_shown(published)}; made again it is {_shown(made)}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
