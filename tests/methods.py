"""Small methods for tests of the runner, at module level so that worker processes can find them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xai_audit.evidence import Frozen, Scalar, exactly
from xai_audit.measure import exact_mean
from xai_audit.method import Measured, Method, Skipped


class Params(Frozen):
    folder: str = ""
    """Where pieces are noted, and where a file called stop interrupts the run at row 50."""


def drawn(subject, params, piece, seed):
    """A random number for each row, seeded by the row; the piece is noted where a log is asked for."""
    if params.folder:
        folder = Path(params.folder)
        if (folder / "stop").exists() and 50 in piece.rows.tolist():
            raise KeyboardInterrupt
        with (folder / "log").open("a") as stream:
            stream.write(f"{piece.digest}\n")
    draws = [
        np.random.default_rng([seed, int(subject.test.seed(int(row))[:64], 16)]).random()
        for row in piece.rows
    ]
    return {"draws": np.asarray(draws)}


def _mean_draw(subject, params, context):
    rows, sampling = context.sample(None)
    answers = context.map(drawn, context.pieces(rows))
    values = np.concatenate([answer["draws"] for answer in answers])
    yield Measured(
        observation=Scalar(estimate=exactly(exact_mean(values), len(values))),
        arrays={"draws": values},
        sampling=sampling,
    )


def _half(subject, params, context):
    yield Measured(observation=Scalar(estimate=exactly(1.0, 1)), name="first")
    yield Skipped(reason="no second", name="second")
    raise RuntimeError("broke\n   half-way")


def method(identifier, run, **more):
    return Method(id=identifier, kind="metric", title=identifier, measures="", params=Params, run=run, **more)


MEAN_DRAW = method("mean_draw", _mean_draw)
HALF = method("half", _half)
NEEDY = method("needy", _mean_draw, needs=("model",))
