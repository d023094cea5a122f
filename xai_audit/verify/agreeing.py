"""Whether the rows, what audit.json says was examined, and the spec agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.checks import Check
from xai_audit.verify.table import FILE

if TYPE_CHECKING:
    from xai_audit.spec import Spec
    from xai_audit.verify.stated import Subject
    from xai_audit.verify.table import Table

MISSING = ("missing", "missing value")
"""What the group of rows without a value is called."""


def disagreements(table: Table, subject: Subject, spec: Spec) -> Iterator[Check]:
    """Where they do not, by the file that is wrong."""
    for what in _values(table, subject, spec):
        yield Check("broken", FILE, what)
    for what in (*_said(table, subject, spec), *_grouped(table, subject)):
        yield Check("broken", "audit.json", what)


def _values(table: Table, subject: Subject, spec: Spec) -> Iterator[str]:
    """Whether decisions are what the scores give, and scores what they are called."""
    scores = table.scores
    if scores is None:
        return
    if subject.probabilities and not ((scores >= 0) & (scores <= 1)).all():
        yield "a score lies outside [0, 1], and audit.json calls them probabilities"
    if subject.model is None and spec.model.prediction is not None and subject.task == "classification":
        return  # decisions of their own, which may differ from the scores
    if subject.task == "regression":
        decided: NDArray[Any] = scores[:, 0]
    elif subject.binary:
        score = scores[:, subject.positive] if scores.shape[1] > 1 else scores[:, 0]
        decided = np.where(score >= subject.threshold, subject.positive, 1 - subject.positive)
    else:
        decided = scores.argmax(axis=1)
    wrong = int(np.count_nonzero(decided != table.prediction))
    if wrong:
        yield f"{wrong:,} predictions are not those that the scores give"


def _said(table: Table, subject: Subject, spec: Spec) -> Iterator[str]:
    """Where audit.json's ``subject`` contradicts the spec or the rows."""
    if spec.data.target is not None and not subject.labels:
        yield "subject.labels is false; the spec names a target"
    if spec.model.task not in (None, subject.task):
        yield f"subject.task is {subject.task}; the spec says {spec.model.task}"
    if subject.task == "classification":
        positive = spec.model.positive
        for name, stated, place, default in (
            ("positive", positive, subject.positive, 1),
            ("favourable", spec.model.favourable, subject.favourable, subject.positive),
        ):
            label = subject.classes[place]
            if stated is None and place != default:
                yield f"subject.{name} is {label}; by default it is {subject.classes[default]}"
            elif stated is not None and not _means(stated, label):
                yield f"subject.{name} is {label}; the spec says {stated}"
        # Where the spec states none, decision values are cut at 0.
        if subject.threshold not in (spec.model.threshold, 0.0):
            yield f"subject.threshold is {subject.threshold:g}; the spec says {spec.model.threshold:g}"
    names = {column.name for column in subject.columns}
    inputs = tuple(one.column for one in spec.data.sensitive if one.file is None and one.column in names)
    if subject.sensitive_inputs != inputs:
        yield f"subject.sensitive_inputs are {list(subject.sensitive_inputs)}; by spec and columns they are {list(inputs)}"
    yield from _counted(table, subject)


def _counted(table: Table, subject: Subject) -> Iterator[str]:
    if table.target is None:
        return
    invalid = subject.facts.get("invalid_labels")
    count = invalid.get("count") if isinstance(invalid, dict) else None
    bad = int(np.count_nonzero(~table.valid))
    if count is not None and count != bad:
        yield f"subject.facts.invalid_labels.count is {count}; {bad} rows have no valid label"
    rates = subject.facts.get("base_rates")
    said = rates.get("test") if isinstance(rates, dict) else None
    if subject.task == "classification" and said is not None:
        seen = np.bincount(table.target[table.valid], minlength=len(subject.classes)).tolist()
        if said != dict(zip(subject.classes, seen, strict=True)):
            yield f"subject.facts.base_rates.test is {said}; the rows have {seen} of {list(subject.classes)}"


def _means(stated: object, label: str) -> bool:
    """Whether what the spec states may be this label: 1, "1", 1.0 and true may."""
    one, other = str(stated).lower(), label.lower()
    loose = {"true": "1", "false": "0"}
    if loose.get(one, one) == loose.get(other, other):
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _grouped(table: Table, subject: Subject) -> Iterator[str]:
    """Where the groups that audit.json counts are not those of the rows."""
    stated = {grouping.columns: grouping for grouping in subject.groupings}
    made = {grouping.columns: grouping for grouping in table.groupings}
    for columns in stated.keys() ^ made.keys():
        more = "names groups by" if columns in stated else "does not name the groups by"
        yield f"subject.groupings {more} {' and '.join(columns)}, which the spec does{' not' * (columns in stated)} ask for"
    for columns in stated.keys() & made.keys():
        said, grouping = stated[columns], made[columns]
        name = "subject.groupings, " + " and ".join(columns)
        covered = table.withheld(grouping)
        listed = table.listed(grouping)
        counts = [None if covered[code] else grouping.counts[code] for code in listed]
        labels, missing = ([of[code] for code in listed] for of in (grouping.labels, grouping.missing))
        if list(said.labels) != labels or list(said.missing) != missing:
            yield f"{name}: the groups are {list(said.labels)}; the rows have {labels}"
        elif list(said.counts) != counts:
            yield f"{name}: the counts are {list(said.counts)}; the rows give {counts}"
        if said.explanatory != grouping.explanatory:
            yield f"{name}: explanatory is {said.explanatory}; the spec says {grouping.explanatory}"
        flagged = [label for label, gone in zip(said.labels, said.missing, strict=True) if gone]
        if len(columns) == 1 and 0 in grouping.counts:
            yield f"{name}: no row is in {grouping.labels[grouping.counts.index(0)]!r}"
        if len(columns) == 1 and flagged and (flagged != [said.labels[-1]] or flagged[0] not in MISSING):
            yield f"{name}: {flagged} are marked as missing; that is one group, the last, called {MISSING[0]!r}"
