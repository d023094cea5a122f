"""Rows that units were searched on, as a run kept them: whose they are, which find, for which a predicate holds, what each
unit said.

Which rows were drawn follows from the test rows and the seed, and so does which of them find and which judge.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest, predicate
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece, shaped

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
ASKED = {
    "sparse_probing": ("predicates", "sites", "k", "method", "rows", "permutations", "inputs", "random_units"),
    "neuron_search": (
        "predicates", "triggers", "sites", "top", "rows", "permutations", "inputs", "random_units", "planted",
    ),
}  # fmt: skip
"""The parameters of each method, which seed its draws."""
_WHOLE = re.compile(r"-?[0-9]{1,15}")
OLD = "this audit keeps no activations, as earlier versions did not: which rows find and what units said is not made again"
HOLDS = "the rows for which a predicate holds"


def draw(piece: Piece, *names: str) -> np.random.Generator:
    """The random numbers that a method drew for something of these names."""
    spec = {key: piece.params[key] for key in ASKED[piece.evidence.method]}
    seeds = piece.seed, piece.evidence.method, digest.of_value(spec)
    return np.random.default_rng(digest.seed(*seeds, *names))


def digests(piece: Piece, name: str) -> list[str]:
    """Whose rows an array is of."""
    given = shaped(name, piece.array(name, 2), -1, 32)
    if given.dtype != np.uint8:
        raise ContradictionError(f"array {name} holds no digests")
    return [bytes(one).hex() for one in given]


class Population:
    """Rows with the predicates that were asked of them; ContradictionError where draws and halves are not the seed's."""

    def __init__(self, piece: Piece, number: int) -> None:
        self.number = number
        self.names = piece.words(f"names_{number}")
        self.finds: Flags = piece.array(f"finds_{number}", 1).astype(bool)
        rows = len(self.finds)
        told = shaped(f"labels_{number}", piece.array(f"labels_{number}", 2), len(self.names), rows)
        self.labels: dict[str, Flags] = dict(zip(self.names, told.astype(bool), strict=True))
        widths = piece.whole(f"widths_{number}", 1)
        sites = shaped(f"sites_{number}", piece.array(f"sites_{number}", 1), len(widths)).tolist()
        starts = (np.cumsum(widths) - widths).tolist()
        self.sites = {
            str(site): slice(start, start + width)
            for site, start, width in zip(sites, starts, widths.tolist(), strict=True)
        }
        self.digests = digests(piece, f"digests_{number}")
        if len(self.digests) != rows:
            raise ContradictionError(f"array digests_{number} is not of the rows of labels_{number}")
        self.activations: NDArray[Any] | None = None
        if piece.has(f"activations_{number}"):
            held = piece.array(f"activations_{number}", 2)
            self.activations = shaped(f"activations_{number}", held, rows, int(widths.sum()))
            if held.dtype.kind != "f" or not np.isfinite(held).all():
                raise ContradictionError(f"array activations_{number} holds what is no number")
        self.rows: NDArray[np.int64] | None = None
        """Which test rows they are; None for rows of sets."""
        self._tied(piece)
        self.seen = [name for name in self.names if self._as_grouped(piece, name)]
        """Predicates whose rows the groups in evidence/rows.parquet give again."""

    def at(self, site: str) -> Floats | None:
        """(rows, units): what the units of a site said; None where not all activations are kept."""
        if site not in self.sites:
            raise ContradictionError(f"nothing of {site} is kept")
        return None if self.activations is None else self.activations[:, self.sites[site]].astype(np.float64)

    def halves(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that judge: for which a predicate holds, and the others."""
        label = self.labels[name]
        return np.flatnonzero(label & ~self.finds), np.flatnonzero(~label & ~self.finds)

    def _tied(self, piece: Piece) -> None:
        known = {str(one["name"]): one for one in piece.params["predicates"]}
        own = [known.get(name) for name in self.names]
        conditions = [one is not None and one.get("where") is not None for one in own]
        if (
            None in own
            or not own
            or any(conditions) != all(conditions)
            or (len(own) > 1 and not conditions[0])
        ):
            raise ContradictionError(
                f"array names_{self.number} is not of predicates that are asked of the same rows"
            )
        groups: list[Any] | None = None
        if conditions[0]:
            self.rows, _ = piece.sampled()
            if self.digests != [piece.rows.digests[int(row)] for row in self.rows]:
                raise ContradictionError(f"array digests_{self.number} is not of the rows that were drawn")
            groups = piece.rows.beside("cluster", self.rows)
        else:
            self._of_sets(piece, own[0] or {})
        # Equal rows, and rows of one cluster, find or judge together.
        every, place = np.unique(np.asarray(groups or self.digests), return_inverse=True)
        order = draw(piece, "halves", *(() if conditions[0] else self.names)).permutation(len(every))
        side = np.zeros(len(every), dtype=bool)
        side[order[: len(every) // 2]] = True
        if not np.array_equal(side[place], self.finds):
            raise ContradictionError(f"array finds_{self.number} is not the half that the seed gives")

    def _as_grouped(self, piece: Piece, name: str) -> bool:
        """Whether a condition asks for groups alone; ContradictionError where it holds for other rows than is kept."""
        if self.rows is None:
            return True
        asked = next(str(one["where"]) for one in piece.params["predicates"] if one["name"] == name)
        holds = _by_group(piece, asked, self.rows)
        if holds is not None and not np.array_equal(holds, self.labels[name]):
            raise ContradictionError(f"array labels_{self.number} is not of the rows for which {name} holds")
        return holds is not None

    def _of_sets(self, piece: Piece, asked: dict[str, Any]) -> None:
        """The positive set's rows come first; a set that is taken whole is the one whose digest stands in the audit."""
        most, start = piece.settled("rows"), 0
        label = self.labels[self.names[0]]
        for side, name in ((True, asked["positive"]), (False, asked["negative"])):
            about = piece.about["sets"][name]
            count = int(about["rows"]) if most is None else min(int(about["rows"]), max(int(most) // 2, 1))
            own = self.digests[start : start + count]
            if len(own) != count or (label[start : start + count] != side).any():
                raise ContradictionError(
                    f"array labels_{self.number} does not hold for the rows of {asked['positive']}"
                )
            if count == about["rows"] and digest.of_bytes(bytes.fromhex("".join(own))) != about["sha256"]:
                raise ContradictionError(f"array digests_{self.number} is not of the rows of {name}")
            start += count
        if start != len(label):
            raise ContradictionError(f"array labels_{self.number} is not of the rows of both sets")


def _by_group(piece: Piece, where: str, rows: NDArray[np.int64]) -> Flags | None:
    """For which rows a condition holds, from their groups; None where it asks for more, or for cells that were cut."""
    import pandas as pd

    condition = predicate.parse(where)
    whole = {
        str(one["column"])
        for one in (piece.made.spec.get("data") or {}).get("sensitive") or ()
        if one.get("bins") is None and one.get("file") is None
    }
    columns: dict[str, Any] = {}
    for name in condition.columns:
        group = f"group:{name}"
        if name not in whole or not piece.rows.has(group):
            return None
        cells = [piece.rows.words(group)[int(row)] for row in rows]
        if any(cell in ("missing", "missing value") for cell in cells):
            return None
        numbers = all(_WHOLE.fullmatch(cell) for cell in cells)
        columns[name] = np.asarray(cells, dtype=float) if numbers else np.asarray(cells, dtype=object)
    try:
        return np.asarray(condition.holds(pd.DataFrame(columns)), dtype=bool)
    except ValueError:
        return None  # text of digits, or true and false


def populations_of(piece: Piece) -> list[Population]:
    """Those of one use of a method, read once; none in audits of earlier versions."""
    key = f"{piece.evidence.id.partition('/')[0]}/populations"
    if key not in piece.kept.remembered:
        found: list[Population] = []
        while piece.has(f"digests_{len(found)}"):
            found.append(Population(piece, len(found)))
        piece.kept.remembered[key] = found
    made: list[Population] = piece.kept.remembered[key]
    return made


def population_of(piece: Piece, name: str) -> Population | None:
    """The rows that a predicate was asked of; None in audits of earlier versions."""
    every = populations_of(piece)
    found = [one for one in every if name in one.labels]
    if every and len(found) != 1:
        raise ContradictionError(f"no rows of {name} are kept")
    return found[0] if found else None
