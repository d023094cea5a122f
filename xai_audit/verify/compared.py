"""Two observations held against each other: the path of what differs, and both numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CLOSE = 1e-9
"""Numbers nearer than this, relative to themselves, are one."""
DUST = 1e-12
"""Of an estimate's largest number: what rounding leaves of a zero beside it."""


def differences(stated: Any, found: Any, path: str = "", scale: float = 0.0) -> Iterator[str]:
    """Where what is stated is not what was found, as sentences: ``groups[sex=f].n is 12; the rows give 13``."""
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        if "value" in found:
            scale = max(_sizes(found), default=0.0)
        for key in sorted(stated.keys() | found.keys()):
            place = _level(path, key) if path.endswith("limits") else f"{path}.{key}" if path else str(key)
            if key not in found or key not in stated:
                yield f"{place} is {'not there' if key in found else 'there and should not be'}"
            else:
                yield from differences(stated[key], found[key], place, scale)
    elif isinstance(stated, list) and isinstance(found, list):
        yield from _listed(stated, found, path, scale)
    elif not same(stated, found, scale):
        yield f"{path} is {_shown(stated)}; recomputed it is {_shown(found)}"


def same(stated: Any, found: Any, scale: float = 0.0) -> bool:
    """Whether two leaves are one: numbers to 1e-9 of themselves, all else exactly."""
    numbers = [isinstance(one, int | float) and not isinstance(one, bool) for one in (stated, found)]
    if all(numbers):
        if isinstance(stated, int) and isinstance(found, int):
            return stated == found
        return math.isclose(stated, found, rel_tol=CLOSE, abs_tol=DUST * scale)
    return type(stated) is type(found) and bool(stated == found)


def numbers(found: Any) -> int:
    """How many numbers an observation holds."""
    if isinstance(found, Mapping):
        return sum(map(numbers, found.values()))
    if isinstance(found, list):
        return sum(map(numbers, found))
    return int(isinstance(found, int | float) and not isinstance(found, bool))


def _listed(stated: Sequence[Any], found: Sequence[Any], path: str, scale: float) -> Iterator[str]:
    names = [[_name(one) for one in every] for every in (stated, found)]
    if (
        path.rpartition(".")[2] in ("groups", "series", "items", "points", "controls")
        and None not in names[0]
        and len(set(names[1])) == len(names[1])
    ):
        # Entries are known by their key, not by their place; but points of a curve may lie too close to have one.
        for name in dict.fromkeys(one for one in names[0] if names[0].count(one) > 1):
            yield f"{path}[{name}] is there more than once"
        by_name = [
            dict(zip(named, every, strict=True)) for named, every in zip(names, (stated, found), strict=True)
        ]
        for name in dict.fromkeys([*names[1], *names[0]]):
            if name not in by_name[0]:
                yield f"{path}[{name}] is not there"
            elif name not in by_name[1]:
                yield f"{path}[{name}] is there and should not be"
            else:
                yield from differences(by_name[0][name], by_name[1][name], f"{path}[{name}]", scale)
        return
    if len(stated) != len(found):
        yield f"{path} has {len(stated)} entries; recomputed it has {len(found)}"
        return
    ends = ("low", "high") if path.endswith("]") and "limits[" in path else range(len(stated))
    for end, one, other in zip(ends, stated, found, strict=False):
        yield from differences(
            one, other, f"{path}.{end}" if isinstance(end, str) else f"{path}[{end}]", scale
        )


def _name(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return None
    if isinstance(entry.get("key"), Mapping):
        return ", ".join(f"{column}={level}" for column, level in sorted(entry["key"].items()))
    if "name" in entry:
        return str(entry["name"])
    return f"{entry['x']:g}" if isinstance(entry.get("x"), float) else None


def _level(path: str, level: str) -> str:
    return f"{path}[{level}]"


def _sizes(estimate: Mapping[str, Any]) -> Iterator[float]:
    ends = [estimate.get(name) for name in ("value", "low", "high")]
    for both in (estimate.get("limits") or {}).values():
        ends += both
    return (abs(end) for end in ends if isinstance(end, int | float))


def _shown(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else repr(value)
