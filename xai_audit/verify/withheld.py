"""Which groups an audit may show, by the rule it was made with: fed from its rows.

``subject.withholding`` names the rule by which all tables were protected together: `xai_audit.withholding`, which
verifying shares. An audit that names none was made before there was such a rule: each of its tables was protected by
itself, and that rule is written again here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from xai_audit.feasible import Key, Outcome
from xai_audit.withholding import Withholding, withhold


def together(
    levels: Mapping[str, Sequence[str]],
    tables: Collection[tuple[str, ...]],
    explanatory: Collection[str],
    outcomes: Sequence[Outcome],
    least: int,
) -> Withholding:
    """The groups that all tables together may not show.

    ``levels`` are the words of each sensitive column row by row, ``tables`` the columns of each that is shown; those that
    cross another column with an explanatory one are shown by what compares within its levels.
    """
    columns = sorted(levels)
    people = Counter(zip(zip(*(levels[column] for column in columns), strict=True), outcomes, strict=True))
    within = {tuple(sorted((one, other))) for one in levels for other in explanatory if one != other}
    return withhold(columns, people, {tuple(sorted(table)) for table in tables} | within, least)


def in_line(counts: Sequence[int], least: int) -> list[bool]:
    """Which cells of one line may not be shown, where nobody is known by anything but the line's sum."""
    names = [(f"{place:04d}",) for place in range(len(counts))]
    people: dict[tuple[Key, Outcome], int] = {
        (name, (None, None)): count for name, count in zip(names, counts, strict=True) if count
    }
    reasons = withhold(["cell"], people, [["cell"]], least).reasons["cell",]
    return [bool(reasons.get(name)) for name in names]


def by_outcome(column: str, of: Sequence[str], outcomes: Sequence[Outcome], least: int) -> Mapping[str, str]:
    """Why each group of one column may not be shown beside what its rows are, or ``""``; by the group's name."""
    people: Counter[tuple[Key, Outcome]] = Counter(zip([(one,) for one in of], outcomes, strict=True))
    return {
        key[0]: why for key, why in withhold([column], people, [[column]], least).reasons[column,].items()
    }


def apart(keys: Sequence[Mapping[str, str]], counts: Sequence[int], least: int) -> list[str]:
    """Why each cell of a table is withheld, or ``""``; cells by their key, with their rows. The rule of earlier audits.

    A cell of fewer than ``least`` rows is. So is the smallest shown cell of a margin that has exactly one withheld
    cell, since the margin's total is printed; until no margin has.
    """
    found = [f"n < {least}" if count < least else "" for count in counts]
    margins: dict[tuple[object, ...], list[int]] = {}
    for column in keys[0] if keys else ():
        for place, key in enumerate(keys):
            rest = tuple((other, level) for other, level in key.items() if other != column)
            margins.setdefault((column, rest), []).append(place)
    alone = True
    while alone:
        alone = False
        for margin in margins.values():
            shown = [place for place in margin if not found[place]]
            if shown and len(margin) - len(shown) == 1:
                found[min(shown, key=lambda place: (counts[place], place))] = "withheld"
                alone = True
    return found
