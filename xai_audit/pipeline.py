"""The steps in order, from a spec to a folder; the only file that knows them all."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import (
    applying,
    audit,
    card,
    catalog,
    compare,
    digest,
    freezing,
    judged,
    log,
    pieces,
    writing,
)
from xai_audit.audit import Audit
from xai_audit.evidence import Evidence
from xai_audit.folder import alone
from xai_audit.measure import Settings, Step, measure
from xai_audit.policy import Policy, as_applied
from xai_audit.render import missing_for
from xai_audit.spec import Spec
from xai_audit.writing import Stage

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from xai_audit.applying import Task
    from xai_audit.method import Method


DEFAULT_METRICS = {
    "classification": ("accuracy", "balanced_accuracy", "recall", "precision", "roc_auc"),
    "regression": ("mean_absolute_error", "root_mean_squared_error", "r2"),
}
"""Measured where the spec names no metric."""

ALWAYS = ("prevalence", "selection_rate")
"""Measured in every classification audit beside what is asked, since the report compares groups by them."""


@dataclass(frozen=True)
class Options:
    """How one run is carried out."""

    jobs: int | None = None
    resume: bool = False
    debug: bool = False
    signers: tuple[CryptoSigner, ...] = ()
    """Keys that sign the audit; without one it is unsigned, and says so."""
    baseline: Path | None = None
    """The folder of an earlier audit to compare with."""


def run(
    spec: Spec,
    policies: Sequence[tuple[Policy, str]],
    folder: Path,
    options: Options,
    progress: Stage | None = None,
) -> Audit:
    """Carry out one audit into a folder: evidence, verdict, reports and manifest."""
    progress = progress or Stage()
    started = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    clock = time.perf_counter()
    with alone(folder):
        place = log.path_of(spec)
        logged = None if place is None else _logged(spec, place)
        frozen = freezing.read(freezing.beside(spec.file)) if spec.file else None
        work = folder / audit.WORK
        if not options.resume:
            shutil.rmtree(work, ignore_errors=True)
        from xai_audit.loaders import load

        progress.stage("load")
        earlier = None if options.baseline is None else compare.baseline(options.baseline)
        subject = load(spec)
        about = card.describe(subject, spec)
        if earlier is not None:
            compare.comparable(earlier, about)
        steps = plan(spec, [policy for policy, _ in policies], subject.task)
        settings = replace(
            settings_of(spec, [policy for policy, _ in policies]),
            jobs=options.jobs or spec.run.jobs,
            backend=spec.run.backend,
            work=work,
            debug=options.debug,
        )
        outcome = measure(subject, steps, settings, progress)
        files = {
            **outcome.arrays,
            "rows.parquet": card.rows_file(subject),
            pieces.FILE: pieces.Record(maps=tuple(outcome.maps)).to_bytes(),
        }
        evidence = [publishable(piece, spec, files) for piece in outcome.evidence]
        evidence += _reports(spec)
        asked, applied = published(spec), tuple(as_applied(policy, sha256) for policy, sha256 in policies)
        if frozen is not None:
            evidence.append(freezing.observed(frozen, asked, applied))
        else:
            evidence += freezing.absent(applied)
        progress.stage("judge")
        before: dict[str, Any] = {}
        if earlier is not None:
            rows = compare.of_bytes(files["rows.parquet"], about, "rows.parquet")
            moved, arrays = compare.observed(earlier, compare.Side(asked, about, tuple(evidence)), rows)
            evidence += moved
            files |= arrays
            before = {"baseline": compare.record(earlier)}
        verdict, recorded = judged.decide(
            spec, policies, evidence, about, today=started.date(), started=started.date()
        )
        made = Audit(
            **before,
            outcome=verdict.outcome,
            reasons=verdict.reasons,
            counts=verdict.counts,
            run={
                "started": started.isoformat(),
                "finished": datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
                "seconds": round(time.perf_counter() - clock, 1),
                "host": socket.gethostname(),
                "jobs": settings.jobs,
                "backend": settings.backend,
                "resumed": outcome.resumed,
                "files": card.files(subject),
                "spec": card.spec_file(spec),
                "rows": digest.of_bytes(files["rows.parquet"]),
                **({} if logged is None else {"log": logged}),
                **_drawn(spec),
                # Under run, for answers hold last digits that evidence rounds away: audits may be the same without.
                "pieces": digest.of_bytes(files[pieces.FILE]),
                "steps": {name: round(seconds, 2) for name, seconds in sorted(outcome.seconds.items())},
            },
            spec=asked,
            policies=applied,
            subject=about,
            environment=card.environment(),
            evidence=tuple(sorted((*evidence, *recorded), key=lambda piece: piece.id)),
            findings=verdict.findings,
            not_examined=card.not_examined(spec, subject, evidence),
        )
        arrays = {f"evidence/{name}": content for name, content in files.items()}
        kept = {} if frozen is None else {freezing.FILE: frozen}
        writing.write(
            folder, made, {**arrays, **kept}, signers=options.signers, log_file=place, progress=progress
        )
        shutil.rmtree(work, ignore_errors=True)
    return made


def _logged(spec: Spec, place: Path) -> dict[str, Any]:
    """What the project's log was when the run began; UnavailableError where it is broken or may not be written."""
    found = log.ready(place)
    return {"path": spec.run.log, "lines": len(found.entries), "head": found.head}


def _drawn(spec: Spec) -> dict[str, Any]:
    """What draws the PDF, where one is asked for and can be drawn."""
    if "pdf" not in spec.report.formats or missing_for("pdf") is not None:
        return {}
    from xai_audit.render import pdf

    return {"drawn": pdf.drawn_with()}


def settings_of(spec: Spec, policies: Sequence[Policy]) -> Settings:
    """What of the spec and its policies changes a number."""
    return Settings(
        seed=spec.run.seed,
        confidence=spec.run.confidence,
        min_n=max((policy.min_n for policy in policies), default=30),
        min_label=max((policy.min_label for policy in policies), default=10),
        min_cell=spec.report.min_cell,
    )


def published(spec: Spec) -> dict[str, Any]:
    """The spec as audit.json keeps it; how the run was carried out stands under ``run``."""
    content = spec.model_dump(mode="json", exclude_none=True)
    for how in ("jobs", "backend", "log"):
        content["run"].pop(how, None)
    return content


def plan(spec: Spec, policies: Sequence[Policy], task: Task) -> list[Step]:
    """The methods to run: those the spec names, those a rule reads, and the checks every audit makes."""
    table = catalog.methods()
    uses = [(use.method, use.params, use.name, True) for use in spec.metrics]
    if not uses:
        uses = [(name, {}, name, False) for name in DEFAULT_METRICS[task]]
    named_primary = applying.primary_of(spec, task)
    primary = next((use.method for use in spec.metrics if use.name == named_primary), named_primary)
    named = {name for _, _, name, _ in uses} | {use.name for use in spec.explainers}
    wanted = [primary, *(ALWAYS if task == "classification" else ())]
    wanted += applying.methods_read(policies, spec)
    for name in dict.fromkeys(wanted):
        method = table.get(name)
        if method is not None and method.kind == "metric" and method.selectable and name not in named:
            uses.append((name, {}, name, False))
    uses += [
        (method.id, {"metric": primary} if method.id == "baseline_improvement" else {}, method.id, False)
        for method in table.values()
        if method.kind == "metric" and not method.selectable and _applies(method, task)
    ]
    uses += [(use.method, use.params, use.name, True) for use in spec.explainers]
    return [
        Step(table[method], table[method].params.model_validate(params), name, asked)
        for method, params, name, asked in uses
    ]


def _applies(method: Method[Any], task: Task) -> bool:
    other = "regression" if task == "classification" else "classification"
    return other not in method.needs and not (task == "regression" and "binary" in method.needs)


def against(made: Audit, folder: Path, baseline: Path) -> Audit:
    """A saved audit with the change since an earlier one in its evidence, in place of any it holds.

    Raises:
        UnavailableError: where the earlier audit or the rows of either cannot be read.
        SpecError: where it is of another task, positive class or primary metric.
    """
    earlier = compare.baseline(baseline)
    compare.comparable(earlier, made.subject)
    kept = tuple(piece for piece in made.evidence if piece.method != applying.CHANGE)
    now = compare.Side(made.spec, made.subject, kept)
    moved, _ = compare.observed(earlier, now, compare.of_folder(folder, made))
    # Nothing is written, so there is no file that arrays could be had from.
    bare = (piece.model_copy(update={"arrays": {}}) for piece in moved)
    return made.model_copy(update={"evidence": (*kept, *bare), "baseline": compare.record(earlier)})


def _reports(spec: Spec) -> list[Evidence]:
    found = []
    for name in spec.report.formats:
        reason = missing_for(name)
        if reason is not None:
            found.append(
                Evidence(
                    id=f"report/{name}", method="report", kind="record", title=f"Report as {name}",
                    status="skipped", reason=reason,
                )
            )  # fmt: skip
    return found


def publishable(piece: Evidence, spec: Spec, files: dict[str, bytes]) -> Evidence:
    """Single rows go to evidence/ unless the spec says they may be shown."""
    if piece.observation is None or piece.observation.shape != "cases" or spec.report.examples:
        return piece
    content = json.dumps(piece.observation.model_dump(mode="json"), sort_keys=True).encode()
    name = f"{digest.of_bytes(content)}.json"
    files[name] = content
    return piece.model_copy(
        update={
            "status": "skipped",
            "reason": "single rows are kept in evidence/ and not shown; report.examples: true shows them",
            "observation": None,
            "arrays": {**piece.arrays, "cases": name},
        }
    )
