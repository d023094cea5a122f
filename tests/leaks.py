"""What a reader can compute from the files of an audit that may be published: every count of rows they state, solved.

The attacker knows how the tool works and has no row. Unknown are the numbers of rows of each combination of sensitive
groups, label and prediction. Every size, count, rate times its denominator, cell of a matrix and fact is a linear
equation in them; what the reasons say of hidden sizes are bounds. A hidden number is *exact* where it is a combination of
the equations (checked in integers modulo a prime), and *confined* where linear programming leaves it fewer whole values
than the rule of docs/how-to/small-groups.md promises. Nothing of the rule itself is used here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import sparse
from scipy.optimize import linprog

from xai_audit import audit
from xai_audit.attach import binding, card
from xai_audit.render import missing_for, renderers

Key = dict[str, str]
PRIME = 2_147_483_629
PARITIES = {
    "demographic_parity_difference": "selection_rate",
    "demographic_parity_ratio": "selection_rate",
    "equal_opportunity_difference": "true_positive_rate",
    "false_positive_rate_difference": "false_positive_rate",
    "predictive_parity_difference": "precision",
    "True positive rate": "true_positive_rate",
    "False positive rate": "false_positive_rate",
}
COUNTED: dict[str, tuple[Callable[[bool, bool], bool], Callable[[bool, bool], bool]]] = {
    # (what is counted, among what), of "is the class" and "is said to be it"
    "precision": (lambda y, p: y and p, lambda _, p: p),
    "recall": (lambda y, p: y and p, lambda y, _: y),
    "true_positive_rate": (lambda y, p: y and p, lambda y, _: y),
    "true_negative_rate": (lambda y, p: not y and not p, lambda y, _: not y),
    "false_positive_rate": (lambda y, p: not y and p, lambda y, _: not y),
    "false_negative_rate": (lambda y, p: y and not p, lambda y, _: y),
    "negative_predictive_value": (lambda y, p: not y and not p, lambda _, p: not p),
    "false_discovery_rate": (lambda y, p: not y and p, lambda _, p: p),
    "false_omission_rate": (lambda y, p: y and not p, lambda _, p: not p),
    "prevalence": (lambda y, _: y, lambda *_: True),
}
SCORES = ("roc_auc", "brier_score", "log_loss", "calibration_gap", "expected_calibration_error", "balanced_accuracy", "f1",
          "matthews_corrcoef", "abroca")  # fmt: skip
"""Metrics whose ``count`` is the rows with a valid label."""


AREAS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")


@dataclass(frozen=True)
class Leak:
    """A hidden number that is not hidden."""

    group: str
    what: str
    how: str


@dataclass
class System:
    """Equations in the numbers of rows of each combination of groups and outcome."""

    columns: list[str]
    combinations: list[tuple[str, ...]]
    outcomes: list[tuple[str | None, str | None]]
    rows: list[np.ndarray] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def inside(self, key: Mapping[str, str]) -> np.ndarray:
        """Which combinations a group holds."""
        at = [(self.columns.index(column), level) for column, level in key.items() if column in self.columns]
        return np.array([all(one[place] == level for place, level in at) for one in self.combinations])

    def of(self, event: Callable[[str | None, str | None], bool]) -> np.ndarray:
        """Which outcomes are counted."""
        return np.array([bool(event(*outcome)) for outcome in self.outcomes])

    def vector(self, inside: np.ndarray, counted: np.ndarray) -> np.ndarray:
        return np.outer(inside, counted).ravel().astype(np.int64)

    def state(self, vector: np.ndarray, value: float, source: str) -> None:
        """One equation; a rate times its denominator must come out as whole rows."""
        whole = round(value)
        assert abs(value - whole) < 1e-6 * max(1, abs(value)), (source, value)
        self.rows.append(vector)
        self.values.append(whole)
        self.sources.append(source)


def published(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "audit.json").read_text(encoding="utf-8"))


def harvest(made: Mapping[str, Any], *, backgrounds: bool = True) -> System:
    """Every exact statement on counts of rows that the audit makes."""
    about = made["subject"]
    groupings = about["groupings"]
    keys: dict[tuple[str, ...], list[Key]] = {}
    pieces: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    for piece in made["evidence"]:
        seen = piece["observation"]
        if (
            not seen
            or seen["shape"] != "groups"
            or piece["method"] == "conditional_demographic_parity_difference"
        ):
            continue
        columns = tuple(column for column in seen["by"] if any(column in one["columns"] for one in groupings))
        if columns:
            pieces.append((columns, piece))
        if columns and set(columns) not in map(set, keys):
            found = [{column: group["key"][column] for column in columns} for group in seen["groups"]]
            keys[columns] = [dict(one) for one in dict.fromkeys(tuple(one.items()) for one in found)]
    singles = [one["columns"][0] for one in groupings if len(one["columns"]) == 1]
    levels = {one["columns"][0]: one["labels"] for one in groupings if len(one["columns"]) == 1}
    tables = [listed for columns, listed in keys.items() if len(columns) > 1]
    occurring = [{tuple(key[column] for column in listed[0]): True for key in listed} for listed in tables]
    small = [
        {column: group["key"][column] for column in columns}
        for columns, piece in pieces
        for group in piece["observation"]["groups"]
        if (group["reason"] or "").startswith("n <")
    ]
    combinations = []
    for one in product(*(levels[column] for column in singles)):
        key = dict(zip(singles, one, strict=True))
        # A crossing lists the combinations that occur, but for parts of a group under the minimum: no row has another.
        if all(
            tuple(key[c] for c in listed[0]) in known
            or any(set(part) < set(listed[0]) and part.items() <= key.items() for part in small)
            for listed, known in zip(tables, occurring, strict=True)
        ):
            combinations.append(one)
    classes = [str(label) for label in about["classes"]]
    labels: list[str | None] = [*classes] if about["labels"] else [None]
    invalid = ((about.get("facts") or {}).get("invalid_labels") or {}).get("count") or 0
    if about["labels"] and invalid:
        labels.append(None)
    outcomes = [(y, p) for y in labels for p in classes]
    system = System(singles, combinations, outcomes)
    everybody = np.ones(len(combinations), dtype=bool)
    rows = about["data"]["test"]["rows"]
    system.state(system.vector(everybody, np.ones(len(outcomes))), rows, "rows")
    for grouping in groupings:
        # Labels of crossings are joined by commas; evidence has them as keys.
        if len(grouping["columns"]) == 1:
            for label, count in zip(grouping["labels"], grouping["counts"], strict=True):
                if count is not None:
                    inside = system.inside({grouping["columns"][0]: label})
                    system.state(system.vector(inside, np.ones(len(outcomes))), count, "subject.groupings")
    _facts(system, made)
    weighted = any(about["data"]["test"].get(key) for key in ("weights", "clusters"))
    spec = made["spec"]["data"]
    independent = not (weighted or spec.get("weight") or spec.get("cluster"))
    for piece in made["evidence"]:
        if piece["kind"] == "metric" and piece["observation"]:
            _piece(system, made, piece, independent=independent, backgrounds=backgrounds)
    return system


def _facts(system: System, made: Mapping[str, Any]) -> None:
    about = made["subject"]
    facts = about.get("facts") or {}
    everybody = np.ones(len(system.combinations), dtype=bool)
    for label, count in ((facts.get("base_rates") or {}).get("test") or {}).items():
        counted = system.of(lambda y, _, label=label: y == label)
        if about["labels"]:
            system.state(system.vector(everybody, counted), count, "facts.base_rates")
    missing = {
        one["columns"][0]: one["labels"][one["missing"].index(True)]
        for one in about["groupings"] if len(one["columns"]) == 1 and True in one["missing"]
    }  # fmt: skip
    for column, found in (facts.get("missing") or {}).items():
        if column in missing and found["rows"] == about["data"]["test"]["rows"]:
            vector = system.vector(system.inside({column: missing[column]}), np.ones(len(system.outcomes)))
            system.state(vector, found["count"], "facts.missing")
    for note in about["notes"]:
        told = re.match(r"([\d,]+) test rows have no '(.+)' in ", note)
        if told and told[2] in missing:
            vector = system.vector(system.inside({told[2]: missing[told[2]]}), np.ones(len(system.outcomes)))
            system.state(vector, int(told[1].replace(",", "")), "notes")


def _rate(
    system: System, made: Mapping[str, Any], method: str, of: str | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Outcomes that a rate counts, and among which."""
    about = made["subject"]
    classes = [str(label) for label in about["classes"]]
    name = PARITIES.get(method, method)
    if name == "accuracy":
        return system.of(lambda y, p: y is not None and y == p), system.of(lambda y, _: y is not None)
    if name == "selection_rate":
        one = of or classes[about["favourable"]]
        return system.of(lambda _, p: p == one), system.of(lambda *_: True)
    if name not in COUNTED:
        return None
    one = of or classes[about["positive"]]
    event, among = COUNTED[name]
    return (
        system.of(lambda y, p: y is not None and event(y == one, p == one)),
        system.of(lambda y, p: y is not None and among(y == one, p == one)),
    )


def _piece(
    system: System, made: Mapping[str, Any], piece: Mapping[str, Any], *, independent: bool, backgrounds: bool
) -> None:
    seen, method, where = piece["observation"], piece["method"], piece["id"]
    everybody = np.ones(len(system.combinations), dtype=bool)
    valid = system.of(lambda y, _: y is not None)
    if seen["shape"] == "matrix" and method == "confusion_matrix":
        for label, line in zip(seen["rows"], seen["values"], strict=True):
            for said, count in zip(seen["columns"], line, strict=True):
                counted = system.of(lambda y, p, label=label, said=said: (y, p) == (label, said))
                system.state(system.vector(everybody, counted), count, where)
    if seen["shape"] == "scalar" and _rate(system, made, method, None) and "/" not in where:
        _stated(
            system,
            made,
            method,
            None,
            everybody,
            seen["estimate"],
            seen["estimate"]["n"],
            where,
            independent=independent,
        )
    if seen["shape"] != "groups":
        return
    if method == "conditional_demographic_parity_difference":
        _conditional(system, piece)
        return
    known = all(column in system.columns for column in seen["by"] if column not in ("class", "rate"))
    if not known:
        return  # terms in a text: no part of these tables
    for group in seen["groups"]:
        if group["n"] is None:
            continue
        inside = system.inside(group["key"])
        of, which = group["key"].get("class"), group["key"].get("rate")
        if set(seen["by"]) != {"class"}:
            # The areas of identity.py count the rows with a label alone.
            rows = valid if method in AREAS else np.ones(len(system.outcomes))
            system.state(system.vector(inside, rows), group["n"], f"{where} n")
        if method in AREAS:
            if backgrounds and group["count"]:
                _background(system, made, piece, group, inside)
        elif method in SCORES and group["count"]:
            system.state(system.vector(inside, valid), group["count"], f"{where} count")
        elif method == "predicted_positive_share":
            classes = [str(label) for label in made["subject"]["classes"]]
            one = of or classes[made["subject"]["positive"]]
            counted = system.of(lambda _, p, one=one: p == one)
            if group["estimate"] and independent:
                system.state(system.vector(everybody, counted), group["count"], f"{where} count")
                system.state(
                    system.vector(inside, counted), group["estimate"]["value"] * group["count"], where
                )
        elif _rate(system, made, which or method, of):
            _stated(
                system,
                made,
                which or method,
                of,
                inside,
                group["estimate"],
                group["count"],
                where,
                independent=independent,
            )
    summary = seen["summary"]
    for name in ("difference", "ratio"):
        told = (summary or {}).get(name)
        measured = [
            group["count"]
            for group in seen["groups"]
            if group["status"] == "measured" and not group["missing"]
        ]
        if told and method != "equalized_odds_sum" and "class" not in seen["by"] and "rate" not in seen["by"]:
            assert told["n"] <= sum(measured), (where, "a summary counts rows that no shown group has")


def _stated(
    system: System, made: Mapping[str, Any], method: str, of: str | None, inside: np.ndarray,
    estimate: Mapping[str, Any] | None, count: int | None, where: str, *, independent: bool,
) -> None:  # fmt: skip
    found = _rate(system, made, method, of)
    assert found is not None
    event, among = found
    if count is not None:
        system.state(system.vector(inside, among), count, f"{where} count")
    if estimate is not None and independent:
        system.state(system.vector(inside, event), estimate["value"] * (count or estimate["n"]), where)
    elif estimate is not None and estimate["value"] in (0, 1):
        # A weighted share says no number, but that it is nobody, or everybody, among them.
        gone = event if estimate["value"] == 0 else among & ~event
        system.state(system.vector(inside, gone), 0, where)


def _background(
    system: System,
    made: Mapping[str, Any],
    piece: Mapping[str, Any],
    group: Mapping[str, Any],
    inside: np.ndarray,
) -> None:
    about = made["subject"]
    one = str(about["classes"][about["positive"]])
    positive = system.of(lambda y, _: y == one)
    negative = system.of(lambda y, _: y is not None and y != one)
    outside = ~inside
    if not group["missing"]:
        for other in piece["observation"]["groups"]:
            if other["missing"] and other["n"] is not None:
                outside = outside & ~system.inside(other["key"])
    whose = {"subgroup_auc": (inside, inside), "bpsn_auc": (outside, inside), "bnsp_auc": (inside, outside)}
    has, lacks = whose[piece["method"]]
    vector = system.vector(has, positive) + system.vector(lacks, negative)
    system.state(vector, group["count"], f"{piece['id']} count")


def _conditional(system: System, piece: Mapping[str, Any]) -> None:
    seen = piece["observation"]
    (within,) = seen["by"]
    column = next(one for one in piece["id"].partition("/")[2].split("+") if one != within)
    between = (seen["summary"] or {}).get("between")
    if not between:
        return
    pair = [system.inside({column: label}) for label in between]
    every = np.ones(len(system.outcomes))
    for group in seen["groups"]:
        if group["n"] is not None:
            inside = system.inside({within: group["key"][within]})
            system.state(system.vector((pair[0] | pair[1]) & inside, every), group["n"], f"{piece['id']} n")
    pooled = (seen["summary"] or {}).get("difference")
    if pooled:
        # A level that is not shown has both groups, or it would be no cell of a crossing under the minimum.
        undefined = [group["key"][within] for group in seen["groups"] if group["status"] == "undefined"]
        hidden = [group["key"][within] for group in seen["groups"] if group["status"] == "suppressed"]
        left_out = [
            *undefined,
            *(hidden if "Levels that are not shown are not pooled." in piece["limits"] else []),
        ]
        away = (
            np.any([system.inside({within: label}) for label in left_out], axis=0)
            if left_out
            else np.zeros_like(pair[0])
        )
        system.state(
            system.vector((pair[0] | pair[1]) & ~away, every), pooled["n"], f"{piece['id']} summary n"
        )


@dataclass(frozen=True)
class Hidden:
    """A group that is not shown, and what the reader is told of its size."""

    key: tuple[tuple[str, str], ...]
    reason: str
    listed: bool = True
    """Whether a table names it; what is part of a group under the minimum may have nobody."""

    @property
    def label(self) -> str:
        return ", ".join(f"{column} {level}" for column, level in self.key)


def hidden(made: Mapping[str, Any], system: System) -> list[Hidden]:
    found: dict[tuple[tuple[str, str], ...], Hidden] = {}
    for piece in made["evidence"]:
        seen = piece["observation"]
        if piece["kind"] != "metric" or not seen or seen["shape"] != "groups":
            continue
        if piece["method"] == "conditional_demographic_parity_difference":
            continue
        for group in seen["groups"]:
            key = tuple(sorted((c, level) for c, level in group["key"].items() if c in system.columns))
            if group["status"] == "suppressed" and key:
                found[key] = Hidden(key, group["reason"])
    minimum = made["spec"]["report"]["min_cell"]
    small = [dict(key) for key, one in found.items() if one.reason.startswith("n <")]
    for grouping in made["subject"]["groupings"]:
        places = [system.columns.index(column) for column in sorted(grouping["columns"])]
        for one in system.combinations:
            key = tuple((system.columns[place], one[place]) for place in places)
            if any(set(part.items()) < set(key) for part in small):
                found[tuple(sorted(key))] = Hidden(tuple(sorted(key)), f"n < {minimum}", listed=False)
    return list(found.values())


def shown(made: Mapping[str, Any], system: System) -> list[Key]:
    found = {}
    for piece in made["evidence"]:
        seen = piece["observation"]
        if piece["kind"] == "metric" and seen and seen["shape"] == "groups":
            for group in seen["groups"]:
                key = {c: level for c, level in group["key"].items() if c in system.columns}
                if (
                    group["n"] is not None
                    and key
                    and piece["method"] != "conditional_demographic_parity_difference"
                ):
                    found[tuple(sorted(key.items()))] = key
    return list(found.values())


class Space:
    """What is a combination of the equations, and its value: elimination in integers modulo a prime."""

    def __init__(self, rows: np.ndarray, values: np.ndarray):
        work = np.column_stack([rows, values]) % PRIME
        place = 0
        self.leads: list[int] = []
        for column in range(rows.shape[1]):
            found = np.flatnonzero(work[place:, column])
            if not len(found):
                continue
            first = place + int(found[0])
            work[[place, first]] = work[[first, place]]
            work[place] = work[place] * pow(int(work[place, column]), -1, PRIME) % PRIME
            others = np.flatnonzero(work[:, column])
            others = others[others != place]
            work[others] = (work[others] - work[others, column][:, None] * work[place] % PRIME) % PRIME
            self.leads.append(column)
            place += 1
            if place == len(work):
                break
        self.lines = work[:place]

    def value(self, vector: np.ndarray) -> int | None:
        """The number, where it follows; None where it does not."""
        rest = np.append(vector, 0) % PRIME
        for lead, line in zip(self.leads, self.lines, strict=True):
            if rest[lead]:
                rest = (rest - int(rest[lead]) * line % PRIME) % PRIME
        return int(-rest[-1] % PRIME) if not rest[:-1].any() else None


@dataclass
class Found:
    """What an attack gave."""

    leaks: list[Leak]
    hidden: int
    numbers: int
    narrowest: int
    """The fewest whole values that are left to the size of a hidden group."""
    said: int
    """Numbers of hidden groups that are none or all because those of a shown group that holds them are."""
    equations: int


def solve(made: Mapping[str, Any], system: System, actual: np.ndarray | None = None) -> Found:
    """Which hidden numbers follow from the equations, or are left too few values.

    ``actual`` is used for one thing: a combination of levels that no row has is no group that is hidden.
    """
    minimum = made["spec"]["report"]["min_cell"]
    everybody = np.ones(len(system.outcomes), dtype=bool)
    groups = [
        one for one in hidden(made, system)
        if one.listed or actual is None or system.vector(system.inside(dict(one.key)), everybody) @ actual
    ]  # fmt: skip
    rows = np.array(system.rows)
    equal, values = _unique(rows, np.array(system.values))
    space = Space(equal, values)
    sizes = [system.vector(system.inside(dict(one.key)), everybody) for one in groups]
    bounds = [
        (int(one.listed), minimum - 1) if one.reason.startswith("n <") else (minimum, None) for one in groups
    ]
    program = _Program(equal, values, sizes, bounds)
    told = _Told(made, system, space)
    leaks: list[Leak] = []
    said, narrowest, numbers = 0, 10**9, 0
    for one in groups:
        inside = system.inside(dict(one.key))
        small = one.reason.startswith("n <")
        for name, counted in _numbers(made, system):
            numbers += 1
            vector = system.vector(inside, counted)
            promised = max(2, minimum // 2) if name == "size" else 2
            if name == "size" and small:
                promised = min(promised, minimum - 1)
            if name != "size" and told.says(inside, counted):
                said += 1
                continue
            if space.value(vector) is not None and not (name == "size" and promised == 1):
                leaks.append(Leak(one.label, name, "exact"))
                continue
            low, high = program.range(vector, promised)
            left = int(np.floor(high + 1e-6) - np.ceil(low - 1e-6)) + 1
            if name == "size":
                narrowest = min(narrowest, left)
            if left < promised:
                leaks.append(Leak(one.label, name, f"{left} values left, {low:.2f} to {high:.2f}"))
    return Found(leaks, len(groups), numbers, narrowest, said, len(equal))


def _unique(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = np.unique(np.column_stack([rows, values]), axis=0)
    lines = np.unique(rows, axis=0)
    assert len(lines) == len(both), "two statements contradict each other"
    return both[:, :-1], both[:, -1]


def _numbers(made: Mapping[str, Any], system: System) -> list[tuple[str, np.ndarray]]:
    """What is hidden of a group: its size, its labels, its predictions, who is right, with two classes every outcome."""
    classes = [str(label) for label in made["subject"]["classes"]]
    found = [("size", np.ones(len(system.outcomes), dtype=bool))]
    if made["subject"]["labels"]:
        found += [(f"labelled {one}", system.of(lambda y, _, one=one: y == one)) for one in classes]
        found.append(("right", system.of(lambda y, p: y is not None and y == p)))
        if len(classes) == 2:
            found += [
                (f"{y} said to be {p}", system.of(lambda a, b, y=y, p=p: (a, b) == (y, p)))
                for y, p in product(classes, classes)
            ]
    found += [(f"predicted {one}", system.of(lambda _, p, one=one: p == one)) for one in classes]
    return found


class _Told:
    """What shown groups, and everybody, say of all their people at once."""

    def __init__(self, made: Mapping[str, Any], system: System, space: Space):
        everybody = np.ones(len(system.combinations), dtype=bool)
        self.system, self.space = system, space
        self.wholes = [everybody, *(system.inside(key) for key in shown(made, system))]
        self.bare: dict[tuple[int, bytes], bool] = {}

    def says(self, inside: np.ndarray, counted: np.ndarray) -> bool:
        """Whether a shown group that holds this one has none or nothing else: so has each of its parts."""
        for place, whole in enumerate(self.wholes):
            if (inside & ~whole).any():
                continue
            known = (place, counted.tobytes())
            if known not in self.bare:
                count, size = (
                    self.space.value(self.system.vector(whole, one))
                    for one in (counted, np.ones_like(counted))
                )
                self.bare[known] = count is not None and count in (0, size)
            if self.bare[known]:
                return True
        return False


class _Program:
    """Ranges of numbers over all tables that agree with the equations."""

    def __init__(
        self,
        equal: np.ndarray,
        values: np.ndarray,
        sizes: Sequence[np.ndarray],
        bounds: Sequence[tuple[int, int | None]],
    ):
        lines, tops = [], []
        for vector, (low, high) in zip(sizes, bounds, strict=True):
            lines.append(-vector)
            tops.append(-low)
            if high is not None:
                lines.append(vector)
                tops.append(high)
        self.equal, self.values = sparse.csr_array(equal.astype(float)), values
        self.most = sparse.csr_array(np.array(lines, dtype=float)) if lines else None
        self.tops = np.array(tops) if tops else None
        self.seen: list[np.ndarray] = []

    def range(self, vector: np.ndarray, enough: int) -> tuple[float, float]:
        """The least and the most; once enough whole values lie between tables found before, no further."""
        at = [float(one @ vector) for one in self.seen]
        low, high = (min(at), max(at)) if at else (np.inf, -np.inf)
        for sign in (1, -1):
            if at and np.floor(high + 1e-6) - np.ceil(low - 1e-6) + 1 >= enough:
                return low, high
            found = linprog(
                sign * vector, self.most, self.tops, self.equal, self.values, bounds=(0, None), method="highs"
            )
            assert found.status == 0, found.message
            self.seen.append(found.x)
            at.append(float(found.x @ vector))
            low, high = min(at), max(at)
        return low, high


# ---------------------------------------------------------------------------------------- what stands in the files
def files(folder: Path, less: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """The text of everything that may be published: the files that lie there, and every format there is but ``less``."""
    made = audit.read(folder)
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for name, render in renderers.items():
        if name not in less and missing_for(name) is None:
            contents[f"render {name}"] = render(made)
    contents["model card"] = card.attached("", *binding.read(folder)).encode()
    for name, content in contents.items():
        if content[:5] == b"%PDF-":
            yield from ((f"{name} {part}", text) for part, text in _pdf(content))
        else:
            yield name, content.decode("utf-8", errors="replace")


def _pdf(content: bytes) -> Iterator[tuple[str, str]]:
    import io

    import pikepdf
    import pypdfium2

    document = pypdfium2.PdfDocument(content)
    yield "text", "\n".join(page.get_textpage().get_text_range() for page in document)
    with pikepdf.open(io.BytesIO(content)) as opened:
        yield "metadata", str(opened.docinfo) + str(opened.open_metadata())
        for name, attached in opened.attachments.items():
            yield f"attachment {name}", attached.get_file().read_bytes().decode("utf-8", errors="replace")


def search(folder: Path, words: Sequence[str] = (), less: Collection[str] = ()) -> list[Leak]:
    """Ids, digests of rows, and the words given, wherever they stand in what may be published."""
    rows = pq.read_table(folder / "evidence" / "rows.parquet").to_pandas()
    wanted = {"row digest": rows["digest"].tolist(), "word": list(words)}
    for column in ("id", "content"):
        if column in rows:
            wanted[column] = [one for one in rows[column].dropna().astype(str).tolist() if len(one) >= 6]
    leaks = []
    for name, text in files(folder, less):
        for kind, listed in wanted.items():
            leaks += [Leak(one, kind, f"stands in {name}") for one in listed if one in text]
    return leaks


def printed(folder: Path) -> list[Leak]:
    """Numbers beside a hidden group's key, and the mean score and error of its rows wherever they stand."""
    made = published(folder)
    text = (folder / "audit.json").read_text(encoding="utf-8")
    rows = pq.read_table(folder / "evidence" / "rows.parquet").to_pandas()
    leaks = []
    for piece in made["evidence"]:
        seen = piece["observation"]
        if piece["kind"] != "metric" or not seen or seen["shape"] != "groups":
            continue
        for group in seen["groups"]:
            if group["status"] != "suppressed":
                continue
            left = {k: v for k, v in group.items() if k in ("n", "count", "estimate", "contrasts") and v}
            if left:
                leaks.append(Leak(str(group["key"]), piece["id"], f"carries {sorted(left)}"))
            columns = [column for column in group["key"] if f"group:{column}" in rows]
            if columns and piece["method"] != "conditional_demographic_parity_difference":
                inside = np.logical_and.reduce([rows[f"group:{one}"] == group["key"][one] for one in columns])
                leaks += [
                    Leak(str(group["key"]), piece["id"], f"its own {value!r} stands in audit.json")
                    for value in _own(made, rows[inside]) if len(repr(float(value))) > 14 and f"{value:.11g}"[:-1] in text
                ]  # fmt: skip
    return leaks


def _own(made: Mapping[str, Any], rows: pd.DataFrame) -> Iterator[float]:
    """Means that no other group has by chance, as shares of few rows do."""
    name = f"score:{made['subject']['classes'][made['subject']['positive']]}"
    if name in rows:
        true = rows["target"] == str(made["subject"]["classes"][made["subject"]["positive"]])
        yield from (rows[name].mean(), (rows[name] - true).mean(), ((rows[name] - true) ** 2).mean())


def truth(folder: Path, system: System) -> np.ndarray:
    """The numbers that the attacker looks for, from the restricted rows: to check the equations, not to solve them."""
    rows = pq.read_table(folder / "evidence" / "rows.parquet").to_pandas()
    place = {one: at for at, one in enumerate(system.combinations)}
    which = {one: at for at, one in enumerate(system.outcomes)}
    counts = np.zeros((len(place), len(which)), dtype=np.int64)
    keys = zip(*(rows[f"group:{column}"] for column in system.columns), strict=True)
    labels = rows["target"].to_list() if "target" in rows else [None] * len(rows)
    for key, label, said in zip(keys, labels, rows["prediction"], strict=True):
        counts[place[key], which[None if pd.isna(label) else label, said]] += 1
    return counts.ravel()


def attack(folder: Path, words: Sequence[str] = (), less: Collection[str] = ()) -> Found:
    """Everything at once: what can be computed, and what stands there, in all formats but ``less``."""
    made = published(folder)
    system = harvest(made)
    actual = truth(folder, system)
    for row, value, source in zip(system.rows, system.values, system.sources, strict=True):
        assert row @ actual == value, (
            f"{source}: the attacker reads {value} where the rows say {row @ actual}"
        )
    found = solve(made, system, actual)
    found.leaks += [*search(folder, words, less), *printed(folder)]
    return found


# --------------------------------------------------------------------------------------------------- tables to attack
def generated(seed: int, folder: Path) -> Path:
    """A spec and a table of a random shape, skewed so that some groups are small, with ids and words nobody may read."""
    draw = np.random.default_rng([seed, 7])
    n = int(draw.choice([150, 400, 900, 2500]))
    columns = {}
    for number in range(int(draw.integers(2, 5))):
        levels = [
            f"g{number}{letter}" for letter in "abcdefg"[: int(draw.integers(2, 6 if number < 2 else 4))]
        ]
        shares = draw.dirichlet(np.full(len(levels), 0.7)) * 0.97 + 0.03 / len(levels)
        columns[f"c{number}"] = draw.choice(levels, n, p=shares).astype(object)
        if draw.random() < 0.5:
            columns[f"c{number}"][draw.random(n) < draw.choice([0.005, 0.03])] = None
    classes = [f"k{place}" for place in range(int(draw.choice([2, 2, 3, 4])))]
    shares = draw.dirichlet(np.full(len(classes), 3.0))
    label = draw.choice(classes, n, p=shares).astype(object)
    said = np.where(draw.random(n) < 0.7, label, draw.choice(classes, n, p=shares))
    score = np.clip(np.where(said == classes[1], 0.75, 0.25) + draw.normal(0, 0.1, n), 0.01, 0.99)
    score = np.where((score >= 0.5) == (said == classes[1]), score, 1 - score)
    if draw.random() < 0.5:
        label[draw.choice(n, int(draw.integers(1, 4)), replace=False)] = None
    frame = pd.DataFrame({**columns, "label": label, "said": said})
    frame["person"] = [f"person-{seed:03d}-{place:06d}" for place in draw.permutation(n)]
    frame["remark"] = [f"remark {draw.integers(10**9):09d} of one" for _ in range(n)]
    if len(classes) == 2:
        frame["score"] = score
    weighted = draw.random() < 0.25
    if weighted:
        frame["weight"] = draw.integers(1, 5, n)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "test.csv", index=False)
    explanatory = draw.random() < 0.5
    sensitive = [
        f"{{column: {name}, explanatory: true}}" if explanatory and name == "c1" else name for name in columns
    ]
    metrics = ["accuracy", "recall", "precision", "selection_rate", "demographic_parity_ratio", "balanced_accuracy",
               "predicted_positive_share", "equalized_odds_difference", "prevalence"]  # fmt: skip
    if len(classes) == 2:
        metrics += ["roc_auc", "bpsn_auc", "bnsp_auc", "calibration_gap", "abroca", "false_positive_rate"]
    if explanatory:
        metrics.append("conditional_demographic_parity_difference")
    (folder / "audit.yaml").write_text(
        f"""\
version: 1
system: {{name: Table {seed}}}
model: {{format: predictions, prediction: said{", score: score" if len(classes) == 2 else ""}, classes: [{", ".join(classes)}], positive: k1}}
data:
  test: {{path: test.csv}}
  target: label
  id: person
  features: [c0, remark]
  sensitive: [{", ".join(sensitive)}]
  crossings: {draw.choice(["pairs", "all", "none"])}
{"  weight: weight" if weighted else ""}
metrics: [{", ".join(metrics)}]
policies: [eu-ai-act]
report: {{formats: [html], min_cell: {draw.choice([5, 10, 20])}, examples: false}}
""",
        encoding="utf-8",
    )
    return folder / "audit.yaml"


def compas(
    data: Path,
    folder: Path,
    crossings: str,
    *,
    minimum: int = 10,
    explainers: str = "",
    most: int | None = None,
) -> Path:
    """COMPAS with a model trained on one half of the rows and audited on the other; sex and race are inputs."""
    import skops.io
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.read_csv(data / "compas" / "compas_two_years.csv")
    frame["person"] = [f"compas-{number:06d}" for number in frame["id"]]
    numbers, words = ["age", "priors_count", "juv_fel_count"], ["sex", "race", "c_charge_degree"]
    train, test = frame[::2], frame[1::2]
    model = make_pipeline(
        make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), words)),
        LogisticRegression(max_iter=1000),
    ).fit(train[numbers + words], train["two_year_recid"])
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / "model.skops")
    columns = ["person", *numbers, *words, "age_cat", "two_year_recid", "c_jail_in"]
    train[columns].to_csv(folder / "train.csv", index=False)
    test[columns][:most].to_csv(folder / "test.csv", index=False)
    (folder / "audit.yaml").write_text(
        f"""\
version: 1
system: {{name: COMPAS}}
model: {{path: model.skops, positive: 1}}
data:
  train: {{path: train.csv}}
  test: {{path: test.csv}}
  target: two_year_recid
  id: person
  features: [{", ".join(numbers + words)}]
  categorical: [{", ".join(words)}]
  sensitive: [sex, race, age_cat]
  crossings: {crossings}
explainers: [{explainers}]
metrics: [accuracy, recall, precision, selection_rate, roc_auc, f1, false_positive_rate, demographic_parity_ratio,
          equalized_odds_difference, predicted_positive_share, bpsn_auc, bnsp_auc, calibration_gap, abroca]
policies: [eu-ai-act]
report: {{formats: [html], min_cell: {minimum}, examples: false}}
""",
        encoding="utf-8",
    )
    return folder / "audit.yaml"


def words_of(spec: Path, column: str) -> list[str]:
    """Cells of a table that stand in one row alone."""
    cells = pd.read_csv(spec.parent / "test.csv", dtype=str)[column].dropna()
    return cells[~cells.duplicated(keep=False)].tolist()


def run(spec: Path, out: Path) -> Path:
    """Carry out an audit."""
    from xai_audit import pipeline
    from xai_audit.reading import read_policies, read_specs

    (read,) = read_specs([spec])
    policies = read_policies(read.policies, spec.parent)
    pipeline.run(read, policies, out, pipeline.Options(jobs=1))
    return out
