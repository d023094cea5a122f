"""Rows put together from two rows, draws chosen by row content, and sums that no order changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit import digest
from xai_audit.method import Piece

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Rows, Subject

Output = Literal["score", "margin"]


@dataclass(frozen=True, eq=False)
class Share(Piece):
    """A piece that also carries what every row of it needs alike: the seed and the reference rows."""

    seed: int = 0
    reference: NDArray[np.int64] | None = None
    """Rows of the reference table (train, else test), in row order."""
    note: dict[str, Any] | None = None
    """What was decided before the map; part of the digest."""


def shared(
    pieces: list[Piece], seed: int, reference: NDArray[np.int64], table: Rows, note: dict[str, Any]
) -> list[Share]:
    """Pieces with their reference rows; the digest covers them, so a kept result is never another's."""
    alike = digest.joined([str(seed), digest.of_value(note), *(table.seed(int(row)) for row in reference)])
    return [
        Share(piece.rows, digest.joined([piece.digest, alike]), seed, reference, note) for piece in pieces
    ]  # fmt: skip


def reference_table(subject: Subject) -> tuple[Rows, str]:
    """The rows that stand for an input that is not known, and which table they are: ``train``, else ``test``."""
    return (subject.train, "train") if subject.train is not None else (subject.test, "test")


def contents(table: Rows) -> str:
    """The sha256 of a table's rows: the same for its file with the rows in another order."""
    return digest.of_bytes(table.digests.tobytes())


def smallest(table: Rows, count: int, *salt: object) -> NDArray[np.int64]:
    """The ``count`` rows with the smallest sha256 of the salt and their content, in row order; all if fewer."""
    if count >= table.n:
        return np.arange(table.n)
    prefix = ":".join(map(str, salt))
    keys = np.asarray([digest.of_bytes(f"{prefix}:{table.seed(row)}".encode()) for row in range(table.n)])
    return np.sort(np.argsort(keys, kind="stable")[:count])


def generator(*parts: object) -> np.random.Generator:
    """A generator that depends on the parts alone: seed, method, a row's content."""
    return np.random.default_rng(digest.seed(*parts))


def pooled(
    subject: Subject, rows: NDArray[np.int64], table: Rows, reference: NDArray[np.int64]
) -> pd.DataFrame:
    """The explained rows above the reference rows in one table, with the test table's columns and types."""
    import pandas as pd

    top, bottom = subject.test.frame.iloc[rows], table.frame.iloc[reference]
    columns = {}
    for name in top.columns:
        a, b = top[name], bottom[name]
        if (
            isinstance(a.dtype, pd.CategoricalDtype)
            and isinstance(b.dtype, pd.CategoricalDtype)
            and a.dtype != b.dtype
        ):
            # A level seen in one table only would turn the column into objects.
            columns[name] = pd.Series(pd.api.types.union_categoricals([a, b]))
        else:
            columns[name] = pd.concat([a, b], ignore_index=True)
    return pd.DataFrame(columns, columns=top.columns)


def assembled(pool: pd.DataFrame, index: NDArray[np.int64]) -> pd.DataFrame:
    """Rows whose column ``j`` is taken from pool row ``index[:, j]``."""
    import pandas as pd

    taken = {name: pool[name].array.take(index[:, j]) for j, name in enumerate(pool.columns)}
    return pd.DataFrame(taken, columns=pool.columns)


def exact_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis, each summed exactly and rounded once, so that no order changes a bit."""
    flat = values.reshape(len(values), -1)
    means = [math.fsum(column) / len(values) for column in flat.T.tolist()]
    return np.asarray(means, dtype=np.float64).reshape(values.shape[1:])


def plain(value: Any) -> str | int | float | bool | None:
    """A cell as JSON can hold it; None for a missing or infinite value."""
    import pandas as pd

    if value is None or value is pd.NaT or (np.ndim(value) == 0 and pd.isna(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(value)
    return str(value)
