"""Pieces of work in this process or in others: each is computed once, and kept until the audit is whole."""

from __future__ import annotations

import functools
import io
import os
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from xai_audit import audit, digest
from xai_audit.archives import BROKEN
from xai_audit.errors import UnwrittenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.evidence import Frozen
    from xai_audit.method import Piece
    from xai_audit.subject import Subject

    Answer = Mapping[str, NDArray[Any]]
    Work = Callable[[Subject, Any, Piece, int], Answer]

WORKER_LEFT = "A worker stopped while some jobs were given to the executor"
"""How loky's warning begins."""


class Counted(Protocol):
    """Told how many pieces are done, of how many."""

    def pieces(self, done: int, of: int) -> None:
        """Called after each."""
        ...


class Pool(Protocol):
    """What carries out a step's maps."""

    def map(
        self, work: Work, params: Frozen, pieces: Sequence[Piece], seeds: Sequence[int], progress: Counted
    ) -> list[Answer]:
        """The answer of ``work(subject, params, piece, seed)`` for every piece, in their order."""
        ...


class Workers:
    """A map over pieces: in this process or in workers, each piece computed once and kept until the audit is whole."""

    def __init__(self, subject: Subject, *, jobs: int, backend: str, work: Path | None) -> None:
        """``jobs`` workers of joblib's ``backend``; what is done is kept under ``work``, None for nowhere."""
        self._subject = subject
        self._jobs, self._backend, self._work = jobs, backend, work
        self._file: Path | None = None
        self.resumed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def map(
        self, work: Work, params: Frozen, pieces: Sequence[Piece], seeds: Sequence[int], progress: Counted
    ) -> list[Answer]:
        """The answer of ``work(subject, params, piece, seed)`` for every piece, in their order."""
        done: dict[int, Answer] = {}
        files = [self._kept(work, seed) for seed in seeds]
        for index, file in enumerate(files):
            if file is not None and (kept := _read(file)) is not None:
                done[index] = kept
        self.resumed += len(done)
        progress.pieces(len(done), len(pieces))
        todo = [index for index in range(len(pieces)) if index not in done]
        for index, answer in self._computed(work, params, pieces, seeds, todo):
            done[index] = answer
            file = files[index]
            if file is not None:
                buffer = io.BytesIO()
                np.savez(buffer, **dict(answer))  # type: ignore[arg-type]
                audit.write(file, buffer.getvalue())
            progress.pieces(len(done), len(pieces))
        return [done[index] for index in range(len(pieces))]

    def _computed(
        self,
        work: Work,
        params: Frozen,
        pieces: Sequence[Piece],
        seeds: Sequence[int],
        todo: Sequence[int],
    ) -> Iterator[tuple[int, Answer]]:
        if self._jobs == 1 or len(todo) < 2:
            for index in todo:
                yield index, work(self._subject, params, pieces[index], seeds[index])
            return
        from joblib import Parallel, delayed, parallel_config

        # Workers leave after some idle minutes, and new ones come. Where pieces arrive just then, loky warns in the thread
        # that would call them; made an error there, the warning ends that thread, and the pieces are waited for forever.
        warnings.filterwarnings("ignore", message=WORKER_LEFT, category=UserWarning)
        shared = str(self._shared())
        tasks = (delayed(_task)(shared, work, params, pieces[index], seeds[index], index) for index in todo)
        with parallel_config(backend=self._backend, n_jobs=self._jobs, inner_max_num_threads=1):
            yield from Parallel(return_as="generator_unordered")(tasks)

    def _shared(self) -> Path:
        # The subject goes to disk once and is read once by each worker, instead of once with every piece.
        if self._file is None:
            import tempfile

            import cloudpickle

            # It holds people's rows, so it lies with the run's own work, which is discarded with it.
            work = self._work
            try:
                if work is not None:
                    work.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(prefix="xai-audit-", suffix=".subject", dir=work)
                self._file = Path(name)
                with os.fdopen(handle, "wb") as stream:
                    cloudpickle.dump(self._subject, stream)
            except OSError as error:
                message = (
                    f"{error.filename or self._file or work}: cannot be written: {error.strerror or error}"
                )
                raise UnwrittenError(message) from None
        return self._file

    def _kept(self, work: Callable[..., Any], seed: int) -> Path | None:
        if self._work is None:
            return None
        subject = self._subject
        content = digest.of_value(
            [
                seed,
                work.__module__,
                work.__qualname__,
                subject.model.sha256 if subject.model else "",
                subject.test.sha256,
                subject.train.sha256 if subject.train else "",
                # Of a set, what is left of its file after its condition.
                [
                    [name, digest.of_bytes(rows.digests.tobytes())]
                    for name, rows in sorted(subject.sets.items())
                ],
                [column.name for column in subject.columns],
                subject.positive,
                subject.threshold,
            ]
        )
        return self._work / "pieces" / f"{content}.npz"


def _read(file: Path) -> Answer | None:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except BROKEN:
        return None  # absent, or no longer what was written: computed again


@functools.lru_cache(maxsize=1)
def _subject_of(file: str) -> Subject:
    with Path(file).open("rb") as stream:
        subject: Subject = pickle.load(stream)  # noqa: S301  # written by this run for its own workers
    return subject


def _task(
    shared: str,
    work: Work,
    params: Frozen,
    piece: Piece,
    seed: int,
    index: int,
) -> tuple[int, Answer]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return index, work(_subject_of(shared), params, piece, seed)
