"""Every metric of an audit made again from its rows: which evidence holds, and exactly which number does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from xai_audit.applying import CHANGE
from xai_audit.evidence import Evidence, identifier
from xai_audit.policy import Policy
from xai_audit.spec import Spec
from xai_audit.verify import agreeing, asked, compared, kept, stated, table
from xai_audit.verify.checks import Check
from xai_audit.verify.groups import Minima
from xai_audit.verify.recounts import RECOUNTS
from xai_audit.verify.recounts.bench import (
    Bench,
    ForgedError,
    LackingError,
    Observation,
    Recount,
    Recounted,
    Seen,
    Skip,
    Unknown,
)

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verify.asked import Asked

ALPHA = 0.05
"""The adjusted p up to which a claim is more than a description."""


def recount(audit: Audit, folder: Path) -> Iterator[Check]:
    """One check for each piece of evidence that is a metric, and for the rows that it rests on."""
    return held(audit, again(audit, folder))


@dataclass(frozen=True, eq=False)
class Made:
    """One piece of evidence as the spec and the rows give it."""

    id: str
    asked: Asked
    params: Mapping[str, Any]
    seed: int
    item: Recounted


@dataclass(frozen=True, eq=False)
class Again:
    """All that an audit's spec, policies and rows give, whatever its evidence says."""

    checks: tuple[Check, ...]
    """What was found of the spec, the subject and the rows."""
    made: tuple[Made, ...] | None = None
    """None where the rows cannot be used."""
    not_ours: frozenset[str] = frozenset()
    """Names of metrics that somebody plugged in."""
    forged: Mapping[str, str] | None = None
    """Metrics whose kept arrays contradict themselves, by the name of their evidence."""


# ------------------------------------------------------------------------------------------ made again
def again(audit: Audit, folder: Path) -> Again:
    """Every metric that the spec and the policies of an audit ask for, made again from its folder."""
    try:
        spec = Spec.model_validate(audit.spec)
        policies = [
            Policy.model_validate({key: value for key, value in rules.items() if key != "sha256"})
            for rules in audit.policies
        ]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((error.title.lower(), *map(str, first["loc"])))
        return Again((Check("broken", "audit.json", f"{where} cannot be read: {first['msg']}"),))
    subject = stated.subject_of(audit)
    if isinstance(subject, Check):
        return Again((subject,))
    rows, checks = table.read(audit, subject, spec, folder)
    if rows is None:
        return Again(tuple(checks))
    checks += agreeing.disagreements(rows, subject, spec)
    if not checks:
        checks = [Check("holds", table.FILE, f"{rows.n:,} rows, as audit.json tells of them")]
    minima = Minima(
        confidence=spec.run.confidence,
        min_n=max((policy.min_n for policy in policies), default=30),
        min_label=max((policy.min_label for policy in policies), default=10),
        min_cell=spec.report.min_cell,
    )
    made: list[Made] = []
    seen: dict[str, Observation] = {}
    forged: dict[str, str] = {}
    wanted = asked.asked(spec, policies, subject)
    for one in wanted:
        if one.method not in RECOUNTS:
            continue
        rule = RECOUNTS[one.method]
        params = {**rule.defaults, **one.params}
        bench = Bench(
            table=rows,
            subject=subject,
            spec=spec,
            minima=minima,
            method=one.method,
            params=params,
            stored=lambda part, name=one.name: kept.arrays(
                audit, folder, identifier(name, *([part] if part else []))
            ),  # type: ignore[misc]
            given=seen.get,
        )
        try:
            for item in _recounted(rule, bench):
                name = _name(one, item)
                made.append(Made(name, one, params, spec.run.seed, item))
                if isinstance(item, Seen):
                    seen[name] = item.observation
        except ForgedError as error:
            forged[one.name] = str(error)
    not_ours = frozenset(one.name for one in wanted if one.method not in RECOUNTS)
    return Again(tuple(checks), tuple(made), not_ours, forged)


def _recounted(rule: Recount, bench: Bench) -> Sequence[Recounted]:
    reason = asked.unmet(rule.needs, bench.subject)
    if reason is not None:
        return [Skip(reason=reason)]
    try:
        # What forged rows overflow is not a number, and found to be none below.
        with np.errstate(all="ignore"):
            return list(rule.run(bench))
    except LackingError as error:
        return [Unknown(reason=str(error))]
    except (ArithmeticError, ValueError, LookupError, TypeError, RuntimeError) as error:
        # Rows on which a formula has no answer; the run recorded a failure for them as well.
        return [Unknown(reason=f"its rows give no number: {type(error).__name__}: {error}")]


def _name(one: Asked, item: Recounted) -> str:
    if item.columns:
        return identifier(one.name, *item.columns)
    return f"{one.name}/{item.part}" if item.part else one.name


# ------------------------------------------------------------------------------------------ held to
def held(audit: Audit, found: Again) -> Iterator[Check]:
    """The evidence of an audit held to what was made again."""
    yield from found.checks
    # What changed since an earlier audit rests on that audit too; it has a recomputation of its own (verify.changes).
    metrics = [piece for piece in audit.evidence if piece.kind == "metric" and piece.method != CHANGE]
    if found.made is None:
        for piece in metrics:
            yield Check("unchecked", piece.id, "the rows that it rests on cannot be used")
        return
    pieces: dict[str, list[Evidence]] = {}
    for piece in metrics:
        pieces.setdefault(piece.id, []).append(piece)
    for one in found.made:
        yield from _held(one, pieces.get(one.id, []), _failure(pieces, one.asked.name))
    forged = found.forged or {}
    for name, what in forged.items():
        yield Check("broken", name, what)
    expected = {one.id for one in found.made}
    for piece in metrics:
        name = piece.id.partition("/")[0]
        if piece.id in expected or name in forged:
            continue
        if name in found.not_ours:
            yield Check(
                "unchecked", piece.id, f"{piece.method} is no metric of this program, and not recomputed"
            )
        elif piece.status == "failed" and name in {one.asked.name for one in found.made}:
            yield Check("unchecked", piece.id, f"it failed in the run: {piece.reason}")
        else:
            yield Check(
                "broken",
                piece.id,
                "neither the spec nor a policy asks for it, or its method gives no such part",
            )


def _failure(pieces: Mapping[str, Sequence[Evidence]], name: str) -> str | None:
    """Why a method failed half-way, where it did."""
    return next((piece.reason for piece in pieces.get(name, ()) if piece.status == "failed"), None)


def _held(one: Made, pieces: Sequence[Evidence], failure: str | None) -> Iterator[Check]:
    there = [piece for piece in pieces if piece.status != "failed"]
    if len(there) > 1:
        yield Check("broken", one.id, "it is there more than once")
    elif not there and failure is not None:
        had = "; from the rows it can be had" if isinstance(one.item, Seen) else ""
        yield Check("unchecked", one.id, f"{one.asked.name} failed in the run: {failure}{had}")
    elif pieces and not there:
        yield Check("broken", one.id, "it is marked as failed; what fails is a method as a whole")
    elif not there and not (isinstance(one.item, Unknown) and not one.item.always):
        yield Check("broken", one.id, "it is not there as a metric, and the spec or a policy asks for it")
    elif there:
        yield _compared(one, there[0])


def _compared(one: Made, piece: Evidence) -> Check:
    item = one.item
    if isinstance(item, Unknown):
        return Check("unchecked", piece.id, item.reason)
    wrong = list(_differences(one, item, piece))
    if wrong:
        return Check(
            "broken", piece.id, wrong[0] + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
        )
    return Check("holds", piece.id, _recomputed(item))


def _recomputed(item: Seen | Skip) -> str:
    if isinstance(item, Skip):
        return f"skipped, as it must be: {item.reason}"
    count = compared.numbers(item.observation.model_dump(mode="json"))
    source = "counts that audit.json states of what was loaded" if item.from_facts else "the rows"
    return f"{count} number{'s' * (count != 1)} recomputed from {source}"


def _differences(one: Made, item: Seen | Skip, piece: Evidence) -> Iterator[str]:
    """All that is not as it was made again."""
    if isinstance(item, Skip) and (piece.status != "skipped" or piece.reason != item.reason):
        what = f"it is {piece.status}{f': {piece.reason}' if piece.reason else ''}"
        yield f"{what}; by the spec and the rows it is skipped: {item.reason}"
        return
    if isinstance(item, Seen) and piece.status != "measured":
        yield f"it is skipped: {piece.reason}; from the rows it can be had"
        return
    for name, told, right in (("method", piece.method, one.asked.method), ("seed", piece.seed, one.seed)):
        if told != right:
            yield f"{name} is {told!r}; by the spec it is {right!r}"
    if isinstance(item, Skip):
        if piece.observation or piece.sampling or piece.controls or piece.inference or piece.rung:
            yield "it is skipped and tells of something seen"
        yield from compared.differences(piece.params, dict(one.params), "params")
        return
    assert piece.observation is not None
    yield from compared.differences(
        piece.observation.model_dump(mode="json"), item.observation.model_dump(mode="json")
    )
    yield from compared.differences(piece.params, {**one.params, **item.params}, "params")
    yield from compared.differences(_claimed(piece, piece.rung), _claimed(item, _rung(item)))
    if piece.robustness is not None or piece.selftest is not None:
        yield "it tells of variants or of a self-test; a metric has neither"


def _claimed(claim: Seen | Evidence, rung: str | None) -> dict[str, Any]:
    """What stands beside a number. How rows were chosen is told in words; how many there were is not."""
    sampling, inference = claim.sampling, claim.inference
    return {
        "sampling": None if sampling is None else sampling.model_dump(mode="json", exclude={"how"}),
        "controls": [control.model_dump(mode="json") for control in claim.controls],
        "inference": None if inference is None else inference.model_dump(mode="json"),
        "rung": rung,
    }


def _rung(item: Seen) -> str | None:
    """How far a metric's claim reaches: nothing is edited, so controls and a test make it associated at most."""
    if not item.controls and item.inference is None:
        return None
    seen = item.inference is None or item.inference.adjusted <= ALPHA
    return "associated" if seen and all(control.passed for control in item.controls) else "described"
