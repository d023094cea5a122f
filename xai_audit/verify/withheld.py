"""Which groups an audit may show: the rule of suppression, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def reasons(keys: Sequence[Mapping[str, str]], counts: Sequence[int], least: int) -> list[str]:
    """Why each cell of a table is withheld, or ``""``; cells by their key, with their rows.

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
