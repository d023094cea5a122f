"""Runs methods: seeds, clocks, failures, caching, resuming and workers are dealt with here and nowhere else."""

from __future__ import annotations

import functools
import io
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.errors import MethodError, UnmetNeedError, UnwrittenError, said
from xai_audit.evidence import LEVELS, Estimate, Evidence, Sampling, identifier
from xai_audit.method import PIECE, Method, NoParams, Piece, Skipped
from xai_audit.pieces import Mapped, mapped
from xai_audit.rungs import held, rung
from xai_audit.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.evidence import Frozen
    from xai_audit.mechanistic.sites import Site
    from xai_audit.method import Context, Measured, Need
    from xai_audit.subject import Rows, Subject
    from xai_audit.workers import Pool


@dataclass(frozen=True)
class Step:
    """One method to run, with its parameters, under the name its evidence will carry."""

    method: Method[Any]
    params: Frozen
    name: str
    asked: bool = True
    """Whether the spec names it; the rest is run because a rule reads it or every audit makes it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How methods are run; nothing here but seed, confidence and the minima changes a number."""

    seed: int = 0
    confidence: float = 0.95
    min_n: int = 30
    min_label: int = 10
    min_cell: int = 10
    jobs: int = 1
    backend: str = "loky"
    work: Path | None = None
    """Where finished pieces are kept until the audit is whole; None keeps none."""
    debug: bool = False


@dataclass
class Progress:
    """Told how far a run is; the command line draws it."""

    def step(self, name: str, number: int, of: int) -> None:
        """A method begins."""

    def pieces(self, done: int, of: int) -> None:
        """So many pieces of the present method are done."""


@dataclass
class Outcome:
    """What a run of methods gave."""

    evidence: list[Evidence] = field(default_factory=list)
    arrays: dict[str, bytes] = field(default_factory=dict)
    """Files for evidence/, by name."""
    resumed: int = 0
    """Pieces that an earlier run had finished."""
    activations: dict[Any, NDArray[np.float32]] = field(default_factory=dict)
    """What flowed through a site for a table's rows, captured once and shared by every method."""
    seconds: dict[str, float] = field(default_factory=dict)
    maps: list[Mapped] = field(default_factory=list)
    """What every piece answered, by digest."""


def measure(
    subject: Subject, steps: Sequence[Step], settings: Settings, progress: Progress | None = None
) -> Outcome:
    """Run every step; what fails or does not apply becomes evidence with its reason."""
    from threadpoolctl import threadpool_limits

    progress = progress or Progress()
    outcome = Outcome()
    with threadpool_limits(limits=1), _workers(subject, settings) as workers:
        for number, step in enumerate(steps):
            progress.step(step.name, number, len(steps))
            started = time.perf_counter()
            context = _Context(subject, step, settings, workers, outcome, progress)
            outcome.evidence.extend(_observed(subject, step, settings, context, outcome))
            outcome.seconds[step.name] = time.perf_counter() - started
    outcome.resumed = workers.resumed
    return outcome


def again(
    subject: Subject, step: Step, settings: Settings, pool: Pool, given: Sequence[Evidence] = ()
) -> tuple[list[Evidence], dict[str, bytes]]:
    """One step once more, its maps carried out by ``pool``: its evidence, and its arrays by file name.

    ``given`` is evidence of the steps before it.
    """
    from threadpoolctl import threadpool_limits

    outcome = Outcome(evidence=list(given))
    with threadpool_limits(limits=1):
        context = _Context(subject, step, settings, pool, outcome, Progress())
        return list(_observed(subject, step, settings, context, outcome)), outcome.arrays


def for_store(subject: Subject, settings: Settings) -> Context:
    """What a store of units is built with: rows and draws as a method of that name would have them."""
    step = Step(_STORE, NoParams(), _STORE.id)
    return _Context(subject, step, settings, _workers(subject, settings), Outcome(), Progress())


_STORE: Method[NoParams] = Method(
    id="neurons",
    kind="explainer",
    title="Neuron store",
    measures="A store of units",
    params=NoParams,
    run=lambda *_: iter(()),
)


def _workers(subject: Subject, settings: Settings) -> Workers:
    return Workers(subject, jobs=settings.jobs, backend=settings.backend, work=settings.work)


def _observed(
    subject: Subject, step: Step, settings: Settings, context: _Context, outcome: Outcome
) -> Iterator[Evidence]:
    record = functools.partial(_evidence, step, settings)
    try:
        _check_needs(subject, step.method.needs)
        for found in step.method.run(subject, step.params, context):
            name = identifier(step.name, *found.columns) if found.columns else _part(step.name, found.name)
            if isinstance(found, Skipped):
                yield record(name, status="skipped", reason=found.reason)
                continue
            controls = tuple(held(control) for control in found.controls)
            yield record(
                name,
                status="measured",
                title=found.title or step.method.title,
                params={**step.params.model_dump(mode="json"), **found.params},
                limits=(*step.method.limits, *found.limits),
                versions=dict(found.versions),
                arrays={**_stored(found.arrays, outcome), **_stored(_case_digests(found), outcome)},
                observation=found.observation,
                sampling=found.sampling,
                controls=controls,
                inference=found.inference,
                robustness=found.robustness,
                selftest=found.selftest,
                rung=rung(controls, found.inference, found.robustness),
            )
    except UnmetNeedError as error:
        yield record(step.name, status="skipped", reason=str(error))
    except MemoryError:
        yield record(step.name, status="failed", reason="ran out of memory")
    except UnwrittenError:
        raise  # the disk is full or closed: no evidence of the model, and the audit cannot be written either
    except Exception as error:
        # A crash is evidence too, never a pass: the one place that catches everything.
        if settings.debug:
            raise
        yield record(step.name, status="failed", reason=_reason(error))


def _evidence(step: Step, settings: Settings, name: str, **fields: Any) -> Evidence:
    method = step.method
    given = {
        "title": method.title,
        "params": step.params.model_dump(mode="json"),
        "limits": method.limits,
        **fields,
    }
    return Evidence(
        id=name,
        method=method.id,
        kind=method.kind,
        seed=settings.seed,
        measures=method.measures,
        cites=method.cites,
        **given,
    )


def _part(step: str, name: str) -> str:
    return f"{step}/{name}" if name else step


def _reason(error: Exception) -> str:
    if isinstance(error, MethodError):
        return str(error)
    return f"{type(error).__name__}: {said(error)[:300]}"


def _check_needs(subject: Subject, needs: Sequence[Need]) -> None:
    unmet = {
        "model": subject.model is None and "it needs a model; this audit has predictions only",
        "labels": subject.test.target is None and "it needs labels; the data have no target",
        "scores": subject.scores is None and "it needs scores; the model gives decisions only",
        "probabilities": (subject.scores is None or not subject.probabilities)
        and "it needs probabilities; these scores are a ranking, not within [0, 1]",
        "groups": not subject.groupings and "it needs sensitive columns; the spec names none",
        "binary": not subject.binary and "it is defined for two classes",
        "classification": subject.task != "classification" and "it is defined for classification",
        "regression": subject.task != "regression" and "it is defined for regression",
        "train": subject.train is None and "it needs training data; the spec names none",
        "features": not subject.columns and "it needs features; the data have none",
        "table": subject.modality != "table"
        and f"it is defined for tables; these rows are {_WORDS[subject.modality]}",
        "images or text": subject.modality == "table"
        and "it is defined for images and texts; these rows are a table",
        "network": (subject.model is None or subject.model.network is None)
        and "it needs a torch module that can be looked into; "
        + (
            "this audit has predictions only"
            if subject.model is None
            else f"format {subject.model.format} is asked for predictions alone"
        ),
        "checkpoints": not subject.checkpoints
        and 'it needs checkpoints; name them as checkpoints: "ckpt/*.safetensors" under model',
    }
    for need in needs:
        if unmet[need]:
            raise UnmetNeedError(unmet[need])


_WORDS = {"table": "cells of a table", "image": "images", "text": "texts"}


def _case_digests(found: Measured) -> dict[str, NDArray[np.uint8]]:
    """The sha256 of every single row that is shown, (cases, 32): cells, words and pictures stand in no other array."""
    if found.observation.shape != "cases" or not found.observation.cases:
        return {}
    told = b"".join(bytes.fromhex(digest.of_value(case)) for case in found.observation.cases)
    return {"case_sha256": np.frombuffer(told, dtype=np.uint8).reshape(-1, 32)}


def _stored(arrays: Mapping[str, NDArray[Any]], outcome: Outcome) -> dict[str, str]:
    if not arrays:
        return {}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})  # type: ignore[arg-type]
    content = buffer.getvalue()
    name = f"{digest.of_bytes(content)}.npz"
    outcome.arrays[name] = content
    return dict.fromkeys(sorted(arrays), name)


class _Context:
    """What one step is given."""

    def __init__(
        self,
        subject: Subject,
        step: Step,
        settings: Settings,
        workers: Pool,
        outcome: Outcome,
        progress: Progress,
    ) -> None:
        self.seed = settings.seed
        self.levels = (settings.confidence, *map(float, LEVELS))
        self.min_n, self.min_label, self.min_cell = settings.min_n, settings.min_label, settings.min_cell
        self._subject = subject
        self._step = step
        self._workers = workers
        self._outcome = outcome
        self._progress = progress

    def _seed(self, *piece: str) -> int:
        step = self._step
        return digest.seed(
            self.seed, step.method.id, digest.of_value(step.params.model_dump(mode="json")), *piece
        )

    def rng(self, *piece: str) -> np.random.Generator:
        return np.random.default_rng(self._seed(*piece))

    def map(
        self, work: Callable[[Subject, Any, Piece, int], Mapping[str, NDArray[Any]]], pieces: Sequence[Piece]
    ) -> list[Mapping[str, NDArray[Any]]]:
        seeds = [self._seed(work.__qualname__, piece.digest) for piece in pieces]
        answers = self._workers.map(work, self._step.params, pieces, seeds, self._progress)
        digests = [piece.digest for piece in pieces]
        self._outcome.maps.append(mapped(self._step.name, work, digests, seeds, answers))
        return answers

    def sample(self, rows: int | None) -> tuple[NDArray[np.int64], Sampling]:
        available = self._subject.test.n
        if rows is None or rows >= available:
            return np.arange(available), Sampling(available=available, used=available, how="all rows")
        # Which rows is decided by their content and the seed, so the file's order cannot matter.
        keys = [
            digest.of_bytes(f"{self.seed}:{self._subject.test.seed(row)}".encode())
            for row in range(available)
        ]
        chosen = np.sort(np.argsort(np.asarray(keys), kind="stable")[:rows])
        how = f"the {rows} rows with the smallest sha256 of seed {self.seed} and row content"
        return chosen, Sampling(available=available, used=rows, how=how)

    def pieces(self, rows: NDArray[np.int64]) -> list[Piece]:
        test = self._subject.test
        cut = [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]
        return [Piece(part, digest.joined(test.seed(int(row)) for row in part)) for part in cut]

    def activations(self, rows: Rows, sites: Sequence[Site]) -> dict[Site, NDArray[np.float32]]:
        model = self._subject.model
        if model is None or model.network is None:
            raise UnmetNeedError("it needs a torch module that can be looked into")
        kept = self._outcome.activations
        absent = [site for site in dict.fromkeys(sites) if (rows.sha256, id(rows), site) not in kept]
        if absent:
            for site, found in model.network.activations(rows.frame, absent).items():
                kept[rows.sha256, id(rows), site] = found
        return {site: kept[rows.sha256, id(rows), site] for site in sites}

    def given(self, identifier: str) -> Evidence | None:
        return next((piece for piece in self._outcome.evidence if piece.id == identifier), None)

    def estimate(
        self, value: float, intervals: Sequence[tuple[float | None, float | None]], n: int
    ) -> Estimate:
        low, high = intervals[0]
        limits = dict(zip(LEVELS, intervals[1:], strict=True)) if len(intervals) > 1 else None
        return Estimate(value=value, low=low, high=high, n=n, limits=limits)


def exact_mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean whose bits do not depend on the order of the values."""
    return math.fsum(values) / len(values)
