"""Numbers as printed: as many digits as the interval supports, never alone, never a bare 0 for what is unknown."""

from __future__ import annotations

import math
from datetime import date, datetime
from statistics import median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xai_audit.evidence import Estimate

NBSP = "\u00a0"
MINUS = "−"
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def decimals(estimate: Estimate) -> int:
    """How many decimals an interval supports: its last digit is worth about a fifth of the width or less."""
    low, high = estimate.low, estimate.high
    bound = max(abs(x) for x in (estimate.value, low or 0.0, high or 0.0))
    if estimate.exact or low is None or high is None or high <= low:
        if estimate.exact:
            # Trailing zeros of an exact number claim nothing.
            return next((d for d in range(3) if round(estimate.value, d) == estimate.value), 3)
        return 3 if bound < 10 else 1
    places = math.ceil(-math.log10((high - low) / 5) - 1e-9)
    # A rate or a ratio with two decimals is what people compare, however wide the interval.
    floor = 2 if bound <= 3 else (1 if bound < 10 else 0)
    return min(max(places, floor), 6)


def shared_decimals(estimates: Iterable[Estimate | None]) -> int:
    """The decimals of a whole column: those that its middle interval supports."""
    each = sorted(decimals(estimate) for estimate in estimates if estimate is not None)
    return median_low(each) if each else 2


def plain(value: float, places: int) -> str:
    """A number with a real minus sign and commas for thousands; never a negative zero."""
    text = f"{abs(value):,.{places}f}"
    negative = value < 0 and any(digit in text for digit in "123456789")
    return f"{MINUS if negative else ''}{text}"


def value(estimate: Estimate, places: int | None = None) -> str:
    """The number alone; one that would round to a false zero prints as ``below 0.01``."""
    digits = decimals(estimate) if places is None else places
    text = plain(estimate.value, digits)
    if estimate.value > 0 and not any(digit in text for digit in "123456789"):
        return f"below{NBSP}{plain(10**-digits, digits)}"
    return text


def interval(estimate: Estimate, places: int | None = None) -> str:
    """The interval in brackets, its parts joined by no-break spaces; empty for an exact number."""
    if estimate.exact:
        return ""
    digits = decimals(estimate) if places is None else places
    low = f"({MINUS}∞" if estimate.low is None else f"[{plain(estimate.low, digits)}"
    high = "∞)" if estimate.high is None else f"{plain(estimate.high, digits)}]"
    return f"{low},{NBSP}{high}"


def number(estimate: Estimate, places: int | None = None, *, n: bool = False) -> str:
    """An estimate as printed, ``0.72 [0.58, 0.89]``, with ``, n = 442`` on demand."""
    parts = [value(estimate, places), interval(estimate, places)]
    text = NBSP.join(part for part in parts if part)
    return f"{text}, {size(estimate.n)}" if n else text


def counted(n: int, unit: str | None) -> str:
    """``30 kinds of input`` for a share of something that is no row of the data; else ``n = 30``."""
    what = (unit or "").removeprefix("share of ")
    if not unit or not unit.startswith("share of ") or what.split()[-1] in {"rows", "people"}:
        return size(n)
    return f"{n:,}\u00a0{what}"


def size(n: int) -> str:
    """A number of rows, ``n = 442``."""
    return f"n{NBSP}={NBSP}{n:,}"


def count(n: int) -> str:
    """A whole number with commas for thousands."""
    return f"{n:,}"


def about(n: int) -> str:
    """A number of rows to two figures, ``3,300``, for what is only roughly known."""
    if n < 100:
        return f"{n:,}"
    step = 10 ** (len(str(n)) - 2)
    return f"{math.ceil(n / step) * step:,}"


def percent(share: float) -> str:
    """A share as a whole number of hundredths, ``38 %``."""
    return f"{plain(100 * share, 0)}{NBSP}%"


def some(n: int, one: str, many: str | None = None) -> str:
    """``1 rule``, ``3 rules``: a count and its noun, unbroken."""
    return f"{n:,}{NBSP}{one if n == 1 else (many or one + 's')}"


def day(moment: object) -> str:
    """A date as printed, ``14 November 2026``, from a date, a datetime or ISO text; the text itself otherwise."""
    if isinstance(moment, str):
        try:
            read: object = datetime.fromisoformat(moment)
        except ValueError:
            return moment
    else:
        read = moment
    return (
        f"{read.day}{NBSP}{MONTHS[read.month - 1]}{NBSP}{read.year}" if isinstance(read, date) else str(read)
    )


def joined(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    each = list(words)
    return each[0] if len(each) == 1 else f"{', '.join(each[:-1])} and {each[-1]}" if each else ""


def short(digest: str | None) -> str:
    """The first eight characters of a digest in two groups, ``9f3c 71ab``."""
    return f"{digest[:4]}{NBSP}{digest[4:8]}" if digest else "none"
