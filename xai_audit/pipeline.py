"""The steps in order, from a spec to a folder; the only file that knows them all."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import applying, audit, card, catalog, digest, records
from xai_audit.audit import Audit
from xai_audit.errors import UnavailableError
from xai_audit.evidence import Evidence
from xai_audit.folder import alone, put
from xai_audit.judge import judge
from xai_audit.measure import Progress, Settings, Step, measure
from xai_audit.policy import Policy, as_applied
from xai_audit.render import FILES, missing_for, renderers
from xai_audit.spec import Spec

if TYPE_CHECKING:
    from xai_audit.applying import Task
    from xai_audit.method import Method
    from xai_audit.verdict import Verdict


DEFAULT_METRICS = {
    "classification": ("accuracy", "balanced_accuracy", "recall", "precision", "roc_auc"),
    "regression": ("mean_absolute_error", "root_mean_squared_error", "r2"),
}
"""Measured where the spec names no metric."""

ROWS = {"image": "pictures", "text": "texts"}
"""What messages call rows that are not people's cells in a table."""

ALWAYS = ("prevalence", "selection_rate")
"""Measured in every classification audit beside what is asked, since the report compares groups by them."""


@dataclass(frozen=True)
class Options:
    """How one run is carried out."""

    jobs: int | None = None
    resume: bool = False
    debug: bool = False


class Stage(Progress):
    """Progress of a run, told also of the stages around measuring."""

    def stage(self, name: str) -> None:
        """A stage begins: load, judge, or a format's name."""


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
        work = folder / audit.WORK
        if not options.resume:
            shutil.rmtree(work, ignore_errors=True)
        from xai_audit.loaders import load

        progress.stage("load")
        subject = load(spec)
        steps = plan(spec, [policy for policy, _ in policies], subject.task)
        settings = Settings(
            seed=spec.run.seed,
            confidence=spec.run.confidence,
            min_n=max((policy.min_n for policy, _ in policies), default=30),
            min_label=max((policy.min_label for policy, _ in policies), default=10),
            min_cell=spec.report.min_cell,
            jobs=options.jobs or spec.run.jobs,
            backend=spec.run.backend,
            work=work,
            debug=options.debug,
        )
        outcome = measure(subject, steps, settings, progress)
        files = {**outcome.arrays, "rows.parquet": card.rows_file(subject)}
        evidence = [_publishable(piece, spec, files) for piece in outcome.evidence]
        evidence += _reports(spec)
        about = card.describe(subject, spec)
        progress.stage("judge")
        verdict, recorded = decide(
            spec, policies, evidence, about, today=started.date(), started=started.date()
        )
        made = Audit(
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
                "steps": {name: round(seconds, 2) for name, seconds in sorted(outcome.seconds.items())},
            },
            spec=published(spec),
            policies=tuple(as_applied(policy, sha256) for policy, sha256 in policies),
            subject=about,
            environment=card.environment(),
            evidence=tuple(sorted((*evidence, *recorded), key=lambda piece: piece.id)),
            findings=verdict.findings,
            not_examined=card.not_examined(spec, subject, evidence),
        )
        _write(folder, made, files, spec.report.formats, progress)
        shutil.rmtree(work, ignore_errors=True)
    return made


def published(spec: Spec) -> dict[str, Any]:
    """The spec as audit.json keeps it; how the run was carried out stands under ``run``."""
    content = spec.model_dump(mode="json", exclude_none=True)
    for how in ("jobs", "backend"):
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


def decide(
    spec: Spec,
    policies: Sequence[tuple[Policy, str]],
    evidence: Sequence[Evidence],
    about: dict[str, Any],
    *,
    today: datetime.date,
    started: datetime.date,
    fixed: Collection[str] | None = None,
) -> tuple[Verdict, tuple[Evidence, ...]]:
    """The verdict, and what the run itself knows (records), which rules may read.

    ``fixed`` are the fingerprints of the policies that the run was made with, where others are judged by.
    """
    rules = [policy for policy, _ in policies]
    measured = [piece for piece in evidence if piece.kind != "record" or piece.method == "report"]
    if spec.data.features is None:
        # Which columns are inputs was found when loading; rules on sensitive inputs need to know.
        inputs = tuple(column["name"] for column in about["columns"])
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"features": inputs})})
    spec = spec.model_copy(update={"rows_are": ROWS.get(about.get("modality", ""), "people")})
    recorded = records.observe(spec, rules, measured, about, started=started, fixed=fixed)
    return judge(rules, (*measured, *recorded), spec, today=today), tuple(recorded)


def judge_again(made: Audit, policies: Sequence[tuple[Policy, str]], today: datetime.date) -> Audit:
    """A saved audit under these policies, without the model; nothing is written."""
    spec = Spec.model_validate(made.spec)
    started = datetime.datetime.fromisoformat(made.run["started"]).date()
    fixed = [records.fingerprint(policy) for policy in policies_of(made)]
    verdict, recorded = decide(
        spec, policies, made.evidence, made.subject, today=today, started=started, fixed=fixed
    )
    kept = [piece for piece in made.evidence if piece.kind != "record" or piece.method == "report"]
    return made.model_copy(
        update={
            "outcome": verdict.outcome,
            "reasons": verdict.reasons,
            "counts": verdict.counts,
            "findings": verdict.findings,
            "policies": tuple(as_applied(policy, sha256) for policy, sha256 in policies),
            "evidence": tuple(sorted((*kept, *recorded), key=lambda piece: piece.id)),
        }
    )


def policies_of(made: Audit) -> list[Policy]:
    """The policies an audit was judged by, as it keeps them."""
    return [
        Policy.model_validate({key: value for key, value in rules.items() if key != "sha256"})
        for rules in made.policies
    ]


def render(made: Audit, formats: Sequence[str], progress: Stage | None = None) -> dict[str, bytes]:
    """The reports of an audit, by their names in its folder."""
    progress = progress or Stage()
    pages = {}
    for name in formats:
        progress.stage(name)
        pages[FILES[name]] = renderers[name](made)
    return pages


def write_pages(folder: Path, formats: Sequence[str] = ()) -> list[Path]:
    """Write the reports of a saved audit again (those of its spec where none is named); the paths written."""
    if not folder.is_dir():
        audit.read(folder)  # tells that nothing is there, before a folder is made to hold
    with alone(folder):
        made = audit.read(folder)
        asked = list(formats) or ["summary", *made.spec["report"]["formats"]]
        check_formats(asked)
        pages = render(made, asked)
        put(folder, {**pages, "manifest.json": audit.manifest_file(folder, pages)})
    return [folder / name for name in pages]


def _write(
    folder: Path, made: Audit, arrays: dict[str, bytes], formats: Sequence[str], progress: Stage
) -> None:
    files = {f"evidence/{name}": content for name, content in arrays.items()}
    files["audit.json"] = made.to_json().encode()
    possible = [name for name in formats if missing_for(name) is None]
    files |= render(made, ["summary", *(name for name in possible if name != "summary")], progress)
    stale = [name for name in audit.written(folder) if name not in files]
    files["manifest.json"] = audit.manifest_file(folder, files, stale)
    put(folder, files, stale)


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


def _publishable(piece: Evidence, spec: Spec, files: dict[str, bytes]) -> Evidence:
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


def check_formats(formats: Sequence[str]) -> None:
    """UnavailableError where a format asked for on the command line cannot be written here."""
    for name in formats:
        reason = missing_for(name)
        if reason is not None:
            raise UnavailableError(reason)
