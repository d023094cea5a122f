"""What a model does with inputs it was not made for: missing cells, numbers out of range, black pictures, empty texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import said
from xai_audit.evidence import Item, Ranking, Scalar, exactly
from xai_audit.method import Context, Measured, Method, NoParams, Skipped

if TYPE_CHECKING:
    import pandas as pd

    from xai_audit.subject import Subject

TEXTS = (
    ("empty", ""),
    ("only spaces", "   "),
    ("one word said 2,000 times", "word " * 2000),
    ("a word of 5,000 letters", "a" * 5000),
    ("emoji alone", "\U0001f642\U0001f3f3\ufe0f\u200d\U0001f308"),
    ("other scripts", "\u0645\u0631\u062d\u0628\u0627 \u4f60\u597d \u03b3\u03b5\u03b9\u03ac"),
    ("control characters", "a\x00b\x07\u202ec\ufffd"),
)
"""Texts that come in use and that few training sets hold."""


def _unusual_input_failures(subject: Subject, _: NoParams, context: Context) -> Iterator[Measured | Skipped]:
    """Each column in turn missing or far outside its range, odd pictures and texts; a crash or no number fails."""
    rows, sampling = context.sample(50)
    frame = subject.test.frame.iloc[rows].reset_index(drop=True)
    asked, failed = [], []
    reasons: dict[str, int] = {}
    for column in subject.columns:
        for kind, changed in _unusual(frame, column.name, column.kind):
            asked.append(f"{column.name} {kind}")
            reason = _failure(subject, changed)
            if reason:
                failed.append(asked[-1])
                reasons[reason] = reasons.get(reason, 0) + 1
    notes = [
        f"{count} of {len(asked)}: {reason}"
        for reason, count in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))
    ]
    yield Measured(
        observation=Scalar(
            estimate=exactly(len(failed) / len(asked) if asked else 0.0, len(asked)),
            unit="share of kinds of input",
        ),
        sampling=sampling,
        arrays={
            "asked": np.array(asked, dtype=str),
            "failed": np.array([name in failed for name in asked], dtype=bool),
        },
        limits=(*notes[:5], *((f"and {len(notes) - 5} more reasons",) if len(notes) > 5 else ())),
    )
    if failed:
        items = tuple(
            Item(name=name, estimate=exactly(1.0, 1), rank_low=1, rank_high=len(failed))
            for name in sorted(failed)
        )
        yield Measured(name="inputs", title="Inputs the model cannot score", observation=Ranking(items=items))


def _unusual(frame: pd.DataFrame, name: str, kind: str) -> Iterator[tuple[str, pd.DataFrame]]:
    import pandas as pd

    if kind == "image":
        yield from _pictures(frame, name)
        return
    if kind == "text":
        for word, text in TEXTS:
            yield word, pd.DataFrame({name: pd.Series([text], dtype=object)})
        return
    missing = frame.copy()
    if kind == "categorical":
        missing[name] = pd.Series([None] * len(frame), dtype=frame[name].dtype)
    elif kind == "numeric":
        missing[name] = np.full(len(frame), np.nan)
    else:
        missing[name] = pd.Series([None] * len(frame), dtype=object)
    yield "missing", missing
    if kind == "numeric":
        values = frame[name].astype(float)
        spread = float(values.max() - values.min()) or 1.0
        for word, value in (
            ("far above its range", values.max() + 1000 * spread),
            ("far below its range", values.min() - 1000 * spread),
        ):
            extreme = frame.copy()
            extreme[name] = np.full(len(frame), float(value))
            yield word, extreme


def _pictures(frame: pd.DataFrame, name: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Pictures of the same size without content, and the same pictures in another size, turned or without colour."""
    import pandas as pd

    given = list(frame[name])
    noise = np.random.default_rng(0)  # the same noise in every audit
    kinds = {
        "all black": [np.zeros_like(one) for one in given],
        "all white": [np.full_like(one, 255) for one in given],
        "noise": [noise.integers(0, 256, one.shape, dtype=np.uint8) for one in given],
        "upside down": [one[::-1] for one in given],
        "half as large": [one[::2, ::2] for one in given],
        "one pixel": [one[:1, :1] for one in given],
        "with colour taken away or added": [_other_channels(one) for one in given],
    }
    for word, made in kinds.items():
        column = np.empty(len(made), dtype=object)
        for place, one in enumerate(made):
            column[place] = np.ascontiguousarray(one)
        yield word, pd.DataFrame({name: pd.Series(column, dtype=object)})


def _other_channels(picture: Any) -> Any:
    return picture[..., :1] if picture.shape[-1] > 1 else np.repeat(picture, 3, axis=-1)


def _failure(subject: Subject, frame: pd.DataFrame) -> str:
    try:
        scores = subject.evaluate(frame)
    except Exception as error:  # noqa: BLE001  # a crash on unusual input is what is being measured
        return f"{type(error).__name__}: {said(error)[:120]}"
    return "" if np.isfinite(scores).all() else "a score that is not a number"


METHODS: tuple[Method[Any], ...] = (
    Method(
        id="unusual_input_failures",
        kind="metric",
        title="Failures on unusual input",
        measures="The share of unusual inputs (a column missing, a number out of range, a black picture, an empty text) "
        "that crash it or give no number.",
        params=NoParams,
        run=_unusual_input_failures,
        selectable=False,
        needs=("model", "features"),
        limits=(
            "A score given without a warning may be worse than a refusal; it does not count as a failure here.",
        ),
        parts=("inputs",),
    ),
)
