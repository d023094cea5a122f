"""What changed between two audits, in words: sentences, signed numbers, verdicts before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import numbers
from xai_audit.render.numbers import NBSP
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.comparison import Audited, Change, Comparison, Digest, Matched, Verdict
    from xai_audit.evidence import Estimate

HOW = {"paired": "paired", "unpaired": "unpaired", "same": "same model"}
"""How a change was told, by its word."""
_BAD = ("fail", "open", "review")


def signed(estimate: Estimate | None, places: int | None = None) -> str:
    """A change as printed: ``+0.012 [−0.003, 0.027]``; one that is exactly nothing as ``0``."""
    if estimate is None:
        return "–"
    if estimate.exact and not estimate.value:
        return "0"
    digits = numbers.decimals(estimate) if places is None else places
    value = numbers.plain(estimate.value, digits)
    plus = "+" if estimate.value > 0 and any(digit in value for digit in "123456789") else ""
    return NBSP.join(part for part in (f"{plus}{value}", numbers.interval(estimate, digits)) if part)


def audited(side: Audited, other: Audited) -> str:
    """An audit's name where two are spoken of: by its version, or by its day where versions are alike."""
    if side.version and side.version != other.version:
        return name(side.version, 40)
    return f"the audit of {numbers.day(side.finished)}"


def system(comparison: Comparison) -> str:
    """What the two audits are of."""
    new = comparison.new
    return name(new.name, 80) or "a system without a name"


def rows(matched: Matched, who: str) -> str:
    """Which rows both audits hold, as a sentence."""
    if matched.old is None or matched.new is None:
        return f"Which {who} both audits hold is not known: {matched.reason}. All changes are told as of different rows."
    if matched.same and matched.used == matched.new:
        return f"Both audits hold the same {matched.new:,} {who}, so changes are measured row by row."
    text = f"{matched.common:,} of {matched.old:,} {who} before and {matched.new:,} now are the same"
    by = ", recognised by their id" if matched.by == "id" else ""
    if not matched.used:
        return f"{text}: changes are told as of different rows."
    aside = f" ({matched.reason})" if matched.reason else ""
    return f"{text}{by}; changes are measured row by row on {matched.used:,} of them{aside}."


def direction(change: Change) -> str:
    """``better``, ``worse``, ``moved`` or what an interval that holds 0 leaves."""
    if change.change is None:
        return "not comparable"
    if change.how == "same" or (change.change.exact and not change.change.value):
        return "unchanged"
    return {"open": "within chance"}.get(change.direction, change.direction)


def of(change: Change) -> str:
    """What a number is of: its group, or the measure."""
    keys = [(column, label) for column, label in change.key.items() if column != "rate"]
    told = ", ".join(f"{name(column, 30)} {name(label, 60)}" for column, label in keys)
    rate = change.key.get("rate")
    return ", ".join(part for part in (told, name(rate, 60).lower() if rate else "") if part)


def title(change: Change) -> str:
    """What was measured, and of whom."""
    said = name(change.title or change.method.replace("_", " "), 100)
    if change.part in {"gap", "ratio"}:
        extreme = "largest difference" if change.part == "gap" else "smallest ratio"
        columns = numbers.joined(name(column, 40) for column in change.by if column not in {"class", "rate"})
        return f"{said}, {extreme} by {columns}" if columns else f"{said}, {extreme}"
    group = of(change)
    return f"{said}, {group}" if group else said


def leading(comparison: Comparison) -> str:
    """The primary metric's change as a clause: ``accuracy is worse: −0.015 [−0.025, −0.006]``."""
    found = comparison.leading
    if not found:
        return "the primary metric cannot be compared"
    if len(found) > 1:
        worse = sum(change.direction == "worse" for change in found)
        better = sum(change.direction == "better" for change in found)
        what = name(found[0].title or found[0].method, 60)
        return f"{_lowered(what)} is worse for {worse} and better for {better} of {len(found)} classes"
    change = found[0]
    what = _lowered(name(change.title or change.method, 60))
    if change.change is None:
        return f"{what} cannot be compared"
    if direction(change) == "unchanged":
        return f"{what} is unchanged"
    number = signed(change.change)
    if change.direction == "open":
        return f"{what} moved by {number}, which chance alone could make"
    return f"{what} is {change.direction if change.direction != 'moved' else 'different'}: {number}"


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def clauses(comparison: Comparison) -> tuple[str, ...]:
    """The outcome of a comparison, a clause each."""
    if comparison.same:
        return ("Nothing that is compared has changed",)
    first = leading(comparison)
    made = [first[0].upper() + first[1:]]
    falls = [one for one in comparison.verdicts if one.new in _BAD and one.old in {"pass", "waived"}]
    rises = [one for one in comparison.verdicts if one.old in _BAD and one.new == "pass"]
    if falls:
        made.append(f"{numbers.some(len(falls), 'rule')} {'is' if len(falls) == 1 else 'are'} met no more")
    if rises:
        made.append(f"{numbers.some(len(rises), 'rule')} {'passes' if len(rises) == 1 else 'pass'} now")
    rest = len(comparison.verdicts) - len(falls) - len(rises)
    if rest:
        other = " other" if falls or rises else ""
        said = "says" if rest == 1 else "say"
        made.append(f"{numbers.some(rest, f'{other.strip()} rule'.strip())} {said} something else")
    if not comparison.verdicts:
        made.append("every rule says what it said")
    return tuple(made)


def chance(changes: Sequence[Change], confidence: float) -> str:
    """How many changes lie beyond their interval, beside how many would by chance."""
    told = [one for one in changes if one.change is not None and not one.change.exact]
    moved = [one for one in told if one.direction != "open"]
    if not told:
        return ""
    expected = max(round(len(told) * (1 - confidence)), 1)
    level = f"{confidence:.0%}".replace("%", f"{NBSP}%")
    verb = "numbers lies" if len(moved) == 1 else "numbers lie"
    return (
        f"{len(moved)} of {len(told):,} {verb} beyond {'its' if len(moved) == 1 else 'their'} {level} interval of no "
        f"change; of so many, about {expected} would by chance alone had nothing changed."
    )


def changed(digests: Sequence[Digest]) -> str:
    """What is another and what is the same, in a sentence."""
    said = [digest for digest in digests if digest.old is not None or digest.new is not None]
    other = [name(one.what, 40) for one in said if one.changed]
    same = [name(one.what, 40) for one in said if not one.changed]
    parts = []
    if other:
        parts.append(f"Changed: {numbers.joined(other)}")
    if same:
        parts.append(f"{'the same' if other else 'The same'}: {numbers.joined(same)}")
    return "; ".join(parts) + "." if parts else ""


def verdict(kind: Verdict | None) -> Cell:
    """What a rule said, with its mark."""
    if kind is None:
        return Cell(text="no rule", muted=True)
    mark = VERDICTS[kind]
    return Cell(text=mark.word, mark=mark, sort=mark.word)
