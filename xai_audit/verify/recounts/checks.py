"""The small checks that every audit makes, again: from rows, from what each kept, or from counts audit.json states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xai_audit.evidence import Item, Ranking, Sampling, Scalar, exactly
from xai_audit.verify.groups import rate_at
from xai_audit.verify.recounts.bench import (
    Bench,
    ForgedError,
    LackingError,
    Need,
    Recount,
    Recounted,
    Run,
    Seen,
    Skip,
    Stored,
    Unknown,
    share,
)

KINDS = {"numeric": 3, "image": 7, "text": 7}
"""Unusual inputs made of a column, by its kind; of any other kind one, where it is missing."""
SAMPLED = 50


def _count(number: float, n: int, unit: str, *, from_facts: bool = False) -> Seen:
    return Seen(observation=Scalar(estimate=exactly(number, n), unit=unit), from_facts=from_facts)


def _train_test_overlap(bench: Bench) -> Iterator[Recounted]:
    shared = bench.subject.facts.get("train_test_overlap")
    if shared is None:
        yield Skip(reason="the tables could not be compared")
        return
    count, rows = (shared.get(name) if isinstance(shared, dict) else None for name in ("count", "rows"))
    if not isinstance(count, int) or rows != bench.table.n:
        raise LackingError("subject.facts.train_test_overlap does not count the rows of the test data")
    unit = "share of test rows"
    try:
        flags = _flags(bench.stored(""), "in_training", bench.table.n)
    except LackingError:
        yield _count(count / rows, rows, unit, from_facts=True)
        return
    known = int(np.count_nonzero(flags))
    if known != count:
        raise ForgedError(f"subject.facts.train_test_overlap.count is {count}; {known} rows are kept as such")
    yield _count(known / rows, rows, unit)


def _flags(stored: Stored, name: str, n: int) -> Any:
    found = stored.get(name)
    if found is None or found.shape != (n,) or found.dtype != np.bool_:
        raise LackingError(f"{name} is not kept as it should be: true or false for each of {n} rows")
    return found


def _invalid_labels(bench: Bench) -> Iterator[Recounted]:
    yield _count(int(np.count_nonzero(~bench.table.valid)), bench.table.n, "test rows")


def _target_leak(bench: Bench) -> Iterator[Recounted]:
    names = [column.name for column in bench.subject.columns]
    roles = (bench.spec.data.target, bench.spec.data.id)
    yield _count(sum(name in names for name in roles if name), len(names), "columns")


def _artefact_safety(bench: Bench) -> Iterator[Recounted]:
    artefact = bench.subject.facts.get("artefact")
    if artefact is None:
        yield Skip(reason="the model file was not examined")
        return
    listed = [
        artefact.get(name, []) if isinstance(artefact, dict) else None for name in ("suspicious", "globals")
    ]
    if not all(isinstance(names, list) for names in listed):
        raise LackingError("subject.facts.artefact does not list the imports of the model file")
    suspicious, every = (len(names or ()) for names in listed)
    yield _count(suspicious, max(every, suspicious), "imports", from_facts=True)


def _protected_flip_rate(bench: Bench) -> Iterator[Recounted]:
    n, unit = bench.table.n, "share of rows"
    for grouping in bench.table.groupings:
        if len(grouping.columns) != 1:
            continue
        columns, column = grouping.columns, grouping.columns[0]
        if bench.subject.modality != "table":
            where = "picture" if bench.subject.modality == "image" else "text"
            what = f"{column} is a column beside the {where}"
            yield Skip(reason=f"{what}; changing it does not change what the {where} shows", columns=columns)
        elif column not in bench.subject.sensitive_inputs:
            yield Seen(observation=Scalar(estimate=exactly(0.0, n), unit=unit), columns=columns)
        else:
            try:
                flipped = _flags(bench.stored(column), "flipped", n)
            except LackingError as error:
                yield Unknown(reason=str(error), columns=columns)
                continue
            found = share(bench.table, flipped, np.ones(n, dtype=bool))
            if found is None:
                yield Skip(reason="no row has a weight", columns=columns)
                continue
            estimate = bench.minima.read(found.value, rate_at(found.counts), found.count)
            yield Seen(observation=Scalar(estimate=estimate, unit=unit), columns=columns)


def _unusual_input_failures(bench: Bench) -> Iterator[Recounted]:
    stored = bench.stored("")
    asked = stored.get("asked")
    if asked is None or asked.ndim != 1 or asked.dtype.kind != "U":
        raise LackingError("which unusual inputs were tried is not kept as it should be")
    failed = _flags(stored, "failed", len(asked))
    kinds = [column.name for column in bench.subject.columns for _ in range(KINDS.get(column.kind, 1))]
    if len(kinds) != len(asked) or not all(
        name.startswith(f"{column} ") for column, name in zip(kinds, asked.tolist(), strict=True)
    ):
        raise LackingError(
            f"{len(asked)} unusual inputs are kept, which are not those of the {len(kinds)} to be tried"
        )
    n, names = bench.table.n, sorted(asked[failed].tolist())
    used = min(SAMPLED, n)
    yield Seen(
        observation=Scalar(
            estimate=exactly(len(names) / len(asked) if len(asked) else 0.0, len(asked)),
            unit="share of kinds of input",
        ),
        sampling=Sampling(available=n, used=used, how=""),
    )
    if names:
        items = tuple(
            Item(name=name, estimate=exactly(1, 1), rank_low=1, rank_high=len(names)) for name in names
        )
        yield Seen(observation=Ranking(items=items), part="inputs")


def _check(run: Run, *needs: Need) -> Recount:
    return Recount(run, needs, asked=False, defaults={})


RECOUNTS: dict[str, Recount] = {
    "train_test_overlap": _check(_train_test_overlap, "train"),
    "invalid_labels": _check(_invalid_labels, "labels"),
    "target_leak": _check(_target_leak),
    "artefact_safety": _check(_artefact_safety, "model"),
    "protected_flip_rate": _check(_protected_flip_rate, "model", "groups"),
    "unusual_input_failures": _check(_unusual_input_failures, "model", "features"),
}
