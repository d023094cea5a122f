"""Every metric of an audit made again from its rows: which evidence holds, and exactly which number does not."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from xai_audit import digest
from xai_audit.evidence import Evidence, identifier
from xai_audit.policy import Policy
from xai_audit.spec import Spec
from xai_audit.verify import asked, compared, table
from xai_audit.verify.checks import Check
from xai_audit.verify.groups import Minima
from xai_audit.verify.recounts import RECOUNTS
from xai_audit.verify.recounts.bench import Bench, LackingError, Observation, Recounted, Seen, Skip, Stored, Unknown

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verify.asked import Asked
    from xai_audit.verify.table import Subject, Table


def recount(audit: Audit, folder: Path) -> Iterator[Check]:
    """One check for each piece of evidence that is a metric, and for the rows that it rests on."""
    try:
        spec = Spec.model_validate(audit.spec)
        policies = [
            Policy.model_validate({key: value for key, value in rules.items() if key != "sha256"})
            for rules in audit.policies
        ]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        yield Check("broken", "audit.json", f"its {error.title.lower()} cannot be read: {where}: {first['msg']}")
        return
    subject = table.subject_of(audit)
    if isinstance(subject, Check):
        yield subject
        return
    rows, checks = table.read(audit, subject, spec, folder)
    yield from checks
    metrics = [piece for piece in audit.evidence if piece.kind == "metric"]
    if rows is None:
        for piece in metrics:
            yield Check("unchecked", piece.id, f"{table.FILE} cannot be used")
        return
    minima = Minima(
        confidence=spec.run.confidence,
        min_n=max((policy.min_n for policy in policies), default=30),
        min_label=max((policy.min_label for policy in policies), default=10),
        min_cell=spec.report.min_cell,
    )
    run = _Run(audit, folder, spec, subject, rows, minima)
    wanted = asked.asked(spec, policies, subject)
    for one in wanted:
        yield from _metric(run, one)
    yield from _not_asked(metrics, run, {one.name for one in wanted})


@dataclass(frozen=True, eq=False)
class _Run:
    """One verification, and what it has made again so far."""

    audit: Audit
    folder: Path
    spec: Spec
    subject: Subject
    table: Table
    minima: Minima
    made: dict[str, Observation] = field(default_factory=dict)
    looked_at: set[str] = field(default_factory=set)

    def pieces(self, name: str) -> list[Evidence]:
        """Evidence of that id; more than one where a method failed after it had begun."""
        return [piece for piece in self.audit.evidence if piece.id == name and piece.kind == "metric"]


class _WrongError(Exception):
    """A file of evidence/ that is not what it is called."""


def _metric(run: _Run, one: Asked) -> Iterator[Check]:
    recount = RECOUNTS.get(one.method)
    if recount is None:
        # A method that somebody plugged in: nothing here knows what it measures.
        for piece in run.audit.evidence:
            if piece.kind == "metric" and piece.method == one.method:
                run.looked_at.add(piece.id)
                yield Check("unchecked", piece.id, f"{one.method} is no metric of this program; it is not recomputed")
        return
    params = {**recount.defaults, **one.params}
    bench = Bench(
        table=run.table,
        subject=run.subject,
        spec=run.spec,
        minima=run.minima,
        seed=run.spec.run.seed,
        method=one.method,
        params=params,
        stored=lambda part: _stored(run, identifier(one.name, part) if part else one.name),
        given=run.made.get,
    )
    reason = asked.unmet(recount.needs, run.subject)
    try:
        if reason is not None:
            found: list[Recounted] = [Skip(reason=reason)]
        else:
            found = list(recount.run(bench))
    except LackingError as error:
        found = [Unknown(reason=str(error))]
    except _WrongError as error:
        run.looked_at.update(piece.id for piece in run.audit.evidence if piece.method == one.method)
        yield Check("broken", one.name, str(error))
        return
    except (ArithmeticError, ValueError, LookupError, TypeError) as error:
        # Rows on which a formula has no answer; the run recorded a failure for them as well.
        found = [Unknown(reason=f"its rows give no number: {type(error).__name__}: {error}")]
    for item in found:
        yield from _held(run, one, params, item)


def _held(run: _Run, one: Asked, params: Mapping[str, Any], item: Recounted) -> Iterator[Check]:
    """One piece of evidence held to what was made again in its place."""
    name = one.name
    if item.columns:
        name = identifier(one.name, *item.columns)
    elif item.part:
        name = f"{one.name}/{item.part}"
    run.looked_at.add(name)
    if isinstance(item, Seen):
        run.made[name] = item.observation
    pieces = run.pieces(name)
    whole = next((piece for piece in run.pieces(one.name) if piece.status == "failed"), None)
    if not pieces and whole is not None:
        yield Check("unchecked", name, f"it is not there: {one.name} failed in the run: {whole.reason}")
    elif not pieces and not (isinstance(item, Unknown) and not item.always):
        yield Check("broken", name, "it is not there as a metric, and the spec or a policy asks for it")
    if len([piece for piece in pieces if piece.status != "failed"]) > 1:
        yield Check("broken", name, "it is there more than once")
    for piece in pieces:
        yield _compared(run, one, params, item, piece)


def _compared(run: _Run, one: Asked, params: Mapping[str, Any], item: Recounted, piece: Evidence) -> Check:
    for what, stated, right in (("method", piece.method, one.method), ("seed", piece.seed, run.spec.run.seed)):
        if stated != right:
            return Check("broken", piece.id, f"{what} is {stated!r}; the spec says {right!r}")
    if piece.status == "failed":
        had = isinstance(item, Seen)
        more = "; from the rows it can be had" if had else ""
        return Check("unchecked", piece.id, f"it failed in the run: {piece.reason}{more}")
    if isinstance(item, Unknown):
        return Check("unchecked", piece.id, item.reason)
    if isinstance(item, Skip):
        if piece.status != "skipped":
            return Check("broken", piece.id, f"status is {piece.status}; by the spec and the rows it is skipped: {item.reason}")
        if piece.reason != item.reason or piece.observation is not None:
            return Check("broken", piece.id, f"reason is {piece.reason!r}; by the spec and the rows it is {item.reason!r}")
        return Check("holds", piece.id, f"skipped, as it must be: {item.reason}")
    if piece.status != "measured":
        return Check("broken", piece.id, f"status is {piece.status}: {piece.reason}; from the rows it can be had")
    wrong = _differences(piece, item, {**params, **item.params})
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return Check("broken", piece.id, wrong[0] + more)
    count = compared.numbers(item.observation.model_dump(mode="json"))
    source = "counts that audit.json states of what was loaded" if item.from_facts else "the rows"
    return Check("holds", piece.id, f"{count} number{'s' * (count != 1)} recomputed from {source}")


def _differences(piece: Evidence, item: Seen, params: Mapping[str, Any]) -> list[str]:
    """All that is not as it was made again, the observation's own numbers first."""
    assert piece.observation is not None
    found = [
        *compared.differences(piece.observation.model_dump(mode="json"), item.observation.model_dump(mode="json")),
        *compared.differences(piece.params, dict(params), "params"),
    ]
    sizes = [
        None if sampling is None else (sampling.available, sampling.used) for sampling in (piece.sampling, item.sampling)
    ]
    if sizes[0] != sizes[1]:
        found.append(f"sampling is {sizes[0]}; recomputed it is {sizes[1]} (rows available, used)")
    claims = [
        {
            "controls": [control.model_dump(mode="json") for control in controls],
            "inference": None if inference is None else inference.model_dump(mode="json"),
            "rung": rung,
        }
        for controls, inference, rung in (
            (piece.controls, piece.inference, piece.rung),
            (item.controls, item.inference, _rung(item)),
        )
    ]
    found += compared.differences(*claims)
    if piece.robustness is not None or piece.selftest is not None:
        found.append("it tells of variants or a self-test; a metric has none")
    return found


def _rung(item: Seen) -> str | None:
    """How far a metric's claim reaches: no edit is made, so it is associated where its controls and its test say so."""
    if not item.controls and item.inference is None:
        return None
    significant = item.inference is None or item.inference.adjusted <= 0.05
    return "associated" if significant and all(control.passed for control in item.controls) else "described"


def _stored(run: _Run, name: str) -> Stored:
    """The arrays kept with a piece of evidence, each file held to the digest that names it."""
    pieces = run.pieces(name)
    files = sorted({file for piece in pieces for file in piece.arrays.values()})
    if not files:
        raise LackingError("what it rests on is not kept in evidence/; an earlier version kept none")
    found: dict[str, Any] = {}
    for file in files:
        if "/" in file or "\\" in file or not file.endswith(".npz"):
            raise _WrongError(f"arrays names {file!r}, which is no file of evidence/")
        try:
            content = (run.folder / "evidence" / file).read_bytes()
        except OSError as error:
            raise _WrongError(f"evidence/{file} cannot be read: {error.strerror or error}") from None
        if f"{digest.of_bytes(content)}.npz" != file:
            raise _WrongError(f"evidence/{file} is not of the digest that names it")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found |= {key: arrays[key] for key in arrays.files}
        except Exception as error:  # noqa: BLE001 - a forged archive may break a reader in any way
            raise _WrongError(f"evidence/{file} holds no arrays: {type(error).__name__}") from None
    named = {key for piece in pieces for key in piece.arrays}
    return {key: value for key, value in found.items() if key in named}


def _not_asked(metrics: list[Evidence], run: _Run, names: set[str]) -> Iterator[Check]:
    """Metrics that neither spec nor policies ask for, and parts that no method gives."""
    for piece in metrics:
        if piece.id in run.looked_at:
            continue
        if piece.method not in RECOUNTS and piece.id.partition("/")[0] not in names:
            yield Check("unchecked", piece.id, f"{piece.method} is no metric of this program; it is not recomputed")
        else:
            yield Check("broken", piece.id, "neither the spec nor a policy asks for it, nor does its method give it")
