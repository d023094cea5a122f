"""What can be known before a run: which blocking rules cannot pass at this number of rows, however fair the
model.

Normal approximations at the rates of an ordinary model (40 % of people deserve and get the outcome, 75 % of
those who deserve it are found, 20 % of the others are flagged). They tell what to expect, and no rule is
judged by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit import applying, wording
from xai_audit.deciding import POWER, quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.policy import Policy, Rule
    from xai_audit.spec import Sensitive, Spec


@dataclass(frozen=True)
class _Ordinary:
    """A rate as an ordinary model has it, and the share of rows it is taken over."""

    rate: float
    among: float = 1.0


_RATES: Mapping[str, _Ordinary] = {
    "demographic_parity_ratio": _Ordinary(0.4),
    "demographic_parity_difference": _Ordinary(0.4),
    "equal_opportunity_difference": _Ordinary(0.75, among=0.4),
    "false_positive_rate_difference": _Ordinary(0.2, among=0.6),
}


def undecidable(
    spec: Spec, policies: Sequence[Policy], rows: int, groups: Mapping[str, Mapping[str, int]] | None = None
) -> list[str]:
    """One line for each blocking statistical rule that cannot pass with so many test rows, in the policies'
    order.

    ``groups`` holds the rows of each group by sensitive column, where they are known; else two equal groups,
    or as many as ``bins`` make, are taken.
    """
    task = applying.task_of(spec, ())
    lines = []
    for policy in policies:
        for rule in policy.rules:
            if rule.level != "error" or (rule.release and spec.system.stage == "development"):
                continue
            if applying.not_applicable(rule, spec, task) is not None or rule.evidence is None:
                continue
            lines += _too_few(rule, policy, spec, rows, groups or {})
    return lines


def _too_few(
    rule: Rule, policy: Policy, spec: Spec, rows: int, groups: Mapping[str, Mapping[str, int]]
) -> list[str]:
    method, _, part = (rule.evidence or "").partition("/")
    if method == "primary" and not part:
        return _declared(rule, policy, spec, rows)
    ordinary, level = _RATES.get(method), rule.at_least if rule.at_least is not None else rule.at_most
    if ordinary is None or part != "*" or not isinstance(level, int | float):
        return []
    lines = []
    for column in spec.data.protected:
        sizes = _sizes(column, rows, groups)
        able = sorted(
            size for size in sizes if size >= policy.min_n and _label(ordinary, size) >= policy.min_label
        )
        if len(able) < 2:
            of = "two groups" if len(sizes) < 3 else f"{len(sizes)} groups"
            lines.append(
                f"{rule.id}: {column.column} would have fewer than two groups of {policy.min_n} rows or more "
                f"(expected: {of} in {rows:,} rows), so it cannot be decided"
            )
            continue
        needed = _needed(ordinary, level, able, policy, ratio=rule.at_least is not None)
        if needed[0] > 1:
            enough = wording.about(math.ceil(rows * needed[1]))
            alike = f"a model that treats the groups of {column.column} alike; about {enough} rows would do"
            lines.append(f"{rule.id}: with {rows:,} test rows it cannot pass even for {alike}")
    return lines


def _label(ordinary: _Ordinary, size: float) -> float:
    return size * ordinary.among if ordinary.among < 1 else math.inf


def _sizes(column: Sensitive, rows: int, groups: Mapping[str, Mapping[str, int]]) -> list[float]:
    known = groups.get(column.column)
    if known:
        return [float(size) for size in known.values()]
    number = len(column.bins) + 1 if column.bins else 2
    return [rows / number] * number


def _needed(
    ordinary: _Ordinary, level: float, sizes: Sequence[float], policy: Policy, *, ratio: bool
) -> tuple[float, float]:
    """Times the present rows for a bound that meets the level at no observed gap, and for one that does so
    mostly.
    """
    pairs = len(sizes) * (len(sizes) - 1) // 2
    p = ordinary.rate
    # The two smallest groups make the widest interval, and every pair must meet the threshold.
    inverse = sum(1 / (size * ordinary.among) for size in sizes[:2])
    error = math.sqrt((1 - p) / p * inverse) if ratio else math.sqrt(p * (1 - p) * inverse)
    room = -math.log(level) if ratio else level
    if not 0 < room < math.inf:
        return 0.0, 0.0
    z = quantile(1 - (1 - policy.confidence) / pairs)
    return (z * error / room) ** 2, ((z + quantile(POWER)) * error / room) ** 2


def _declared(rule: Rule, policy: Policy, spec: Spec, rows: int) -> list[str]:
    """A declared share that even a model without an error could not show with so few rows."""
    name = applying.primary_of(spec, applying.task_of(spec, ()))
    z = quantile(policy.confidence)
    best = rows / (rows + z * z)  # Wilson's lower bound where every row is right
    for declared in spec.system.declared_levels:
        if declared.metric == name and declared.at_least is not None and best < declared.at_least <= 1:
            asked = f"a {name} of {wording.level(declared.at_least)}"
            return [f"{rule.id}: with {rows:,} test rows even a model without an error cannot show {asked}"]
    return []
