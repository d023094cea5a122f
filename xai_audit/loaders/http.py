"""A model behind a URL: rows are posted as JSON in batches, and numbers come back in their order.

A request is ``{"instances": [{"age": 41, "city": "Łódź"}, ...]}``, as KServe (v1), TensorFlow Serving and Vertex AI
take it: a column each, missing cells null; a text under ``text``; a picture as base64 PNG under ``image``. The answer
is ``{"predictions": [...]}``, for each row a number, a list of one score a class, or ``{"scores": [...], "classes":
[...]}``. Nothing is sent before the data are read, and nothing but rows of the data, or changed ones, is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.errors import MethodError
from xai_audit.loaders.labels import word
from xai_audit.loaders.opened import Opened
from xai_audit.loaders.posting import (
    Post,
    Poster,
    expanded,
    faults,
    local,
    plain_url,
)

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes

KEPT = 1 << 18
"""Answers kept by their rows' content; an explainer asks for the same rows again and again."""


@dataclass(eq=False)
class HttpAnswer:
    """Asks a server; equal rows are asked once in a process, and the first batch twice."""

    url: str
    headers: Mapping[str, str]
    """As the spec has them: a variable's value is looked up when a request is sent, and kept nowhere."""
    batch: int
    timeout: float
    concurrency: int
    text: bool
    """Whether the rows are texts, which go under ``text`` whatever their column is called."""
    classes: tuple[Any, ...] | None
    """As the spec states them: the order of the score columns where a server names its classes."""
    width: int | None = None
    asked: int = 0
    """Requests sent in this process, repeated ones not counted."""
    first: tuple[int, int, float] | None = None
    """Of the first batch, asked twice: its rows, those answered otherwise, and the largest difference."""
    kept: dict[bytes, tuple[float, ...]] = field(default_factory=dict, repr=False)

    def scores(self, x: Any) -> NDArray[np.float64]:
        """What the server gives, of shape (rows, classes or 1); MethodError where it does not answer as agreed."""
        rows = self._rows(x)
        keys = [hashlib.sha256(row).digest() for row in rows]
        absent = {key: row for key, row in zip(keys, rows, strict=True) if key not in self.kept}
        found = {key: self.kept[key] for key in keys if key in self.kept}
        if absent:
            found.update(zip(absent, self._ask(list(absent.values())), strict=True))
            self.kept.update((key, found[key]) for key in absent)
            while len(self.kept) > KEPT:
                del self.kept[next(iter(self.kept))]
        return np.array([found[key] for key in keys], dtype=np.float64).reshape(len(keys), -1)

    def margin(self, x: Any) -> NDArray[np.float64] | None:  # noqa: ARG002
        """A server gives no margins."""
        return None

    def noticed(self) -> tuple[str, ...]:
        """What asking showed, once the test rows are scored."""
        sent = f"{self.asked:,} requests of at most {self.batch} rows scored the test rows; equal rows are asked once"
        if self.first is None:
            return (sent,)
        rows, other, most = self.first
        if not other:
            return (sent, f"asked twice about the first {rows} rows, the server gave the same answers")
        what = f"asked twice about the first {rows} rows, the server answered otherwise for {other}, by up to {most:.3g}"
        return (sent, f"{what}: no number that rests on it can be had again to the digit")

    def __getstate__(self) -> dict[str, Any]:
        """Without the answers, which another process asks for itself."""
        return {**self.__dict__, "kept": {}}

    def _rows(self, x: Any) -> list[bytes]:
        """Each row as the JSON it is sent as."""
        columns = [(str(name), x[name].tolist()) for name in x.columns]
        if self.text and len(columns) == 1:
            columns = [("text", columns[0][1])]
        return [
            json.dumps(
                {name: _cell(values[row]) for name, values in columns}, ensure_ascii=False, allow_nan=False
            ).encode("utf-8", "surrogatepass")
            for row in range(len(x))
        ]

    def _ask(self, rows: Sequence[bytes]) -> list[tuple[float, ...]]:
        batches = [rows[start : start + self.batch] for start in range(0, len(rows), self.batch)]
        self.asked += len(batches)
        poster = Poster(self.url, expanded(self.headers), self.timeout)
        with poster, ThreadPoolExecutor(self.concurrency) as pool:
            waiting = [pool.submit(self._answered, poster.post, batch) for batch in batches]
            try:
                answers = [future.result() for future in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            if self.first is None and len(rows) > 1:
                again = self._answered(poster.post, batches[0])
                gaps = [
                    max(map(abs, np.subtract(one, other)))
                    for one, other in zip(answers[0], again, strict=True)
                ]
                self.first = (len(gaps), sum(gap > 0 for gap in gaps), float(max(gaps)))
        return [scores for answer in answers for scores in answer]

    def _answered(self, post: Post, rows: Sequence[bytes]) -> list[tuple[float, ...]]:
        """The scores of one batch; MethodError where the answer is not what was agreed."""
        body = post(b'{"instances": [' + b", ".join(rows) + b"]}")
        try:
            answer = json.loads(body, parse_constant=_no_number)
            found = self._read(answer, len(rows))
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, _AnswerError) else "the answer is no JSON"
            raise MethodError(f"{plain_url(self.url)}: {reason}") from None
        return found

    def _read(self, answer: Any, count: int) -> list[tuple[float, ...]]:
        if not isinstance(answer, dict):
            raise _AnswerError('the answer is no JSON object with "predictions"')
        listed = answer.get("predictions", answer.get("scores"))
        if not isinstance(listed, list):
            raise _AnswerError('the answer has no list "predictions"')
        if len(listed) != count:
            raise _AnswerError(f"{count} rows are answered by {len(listed)} predictions")
        found = [self._scores(one, answer.get("classes")) for one in listed]
        widths = {len(scores) for scores in found} | ({self.width} if self.width is not None else set())
        if len(widths) != 1:
            raise _AnswerError(f"the rows are answered by different numbers of scores: {sorted(widths)}")
        (self.width,) = widths
        return found

    def _scores(self, one: Any, classes: Any) -> tuple[float, ...]:
        if isinstance(one, dict):
            classes = one.get("classes", classes)
            one = one.get("scores")
        values = one if isinstance(one, list) else [one]
        if not values or not all(isinstance(value, (int, float)) for value in values):
            raise _AnswerError("a prediction is a number, a list of numbers, or scores with their classes")
        numbers = tuple(float(value) for value in values)
        if not all(map(math.isfinite, numbers)):
            raise _AnswerError("a prediction is not finite")
        return numbers if classes is None else self._ordered(numbers, classes)

    def _ordered(self, numbers: tuple[float, ...], classes: Any) -> tuple[float, ...]:
        """Scores in the order of the classes that the spec states."""
        if not isinstance(classes, list) or len(classes) != len(numbers):
            raise _AnswerError(f"{len(numbers)} scores come with other classes than that")
        if self.classes is None:
            raise _AnswerError("the server names its classes; state model: classes: [...], all of them")
        place = {word(label): index for index, label in enumerate(classes)}
        wanted = [word(label) for label in self.classes]
        if set(place) != set(wanted) or len(place) != len(classes):
            raise _AnswerError("the server names other classes than model.classes states")
        return tuple(numbers[place[label]] for label in wanted)


class _AnswerError(ValueError):
    """An answer that is not what was agreed."""


def _no_number(_: str) -> float:
    raise _AnswerError("a prediction is not finite")


def _cell(value: Any) -> Any:
    """A cell as JSON has it: missing is null, moments are ISO texts, a picture is a base64 PNG."""
    if isinstance(value, np.ndarray):
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(value[..., 0] if value.ndim == 3 and value.shape[2] == 1 else value).save(
            buffer, "PNG"
        )
        return base64.b64encode(buffer.getvalue()).decode("ascii")
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT differ from themselves
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def open_model(mistakes: Mistakes) -> Opened:
    """The server that a spec names, not yet asked; SpecError where a variable of its headers is not set."""
    spec = mistakes.spec.model
    for key, what in faults(spec):
        mistakes.at(key, what)
    mistakes.check()
    assert spec.url is not None
    shown = plain_url(spec.url)
    notes: tuple[str, ...] = ("the model stands behind a URL and may change: its digest is of the URL alone",)
    if not spec.url.lower().startswith("https:") and not local(spec.url):
        notes = (*notes, f"rows are sent to {shown} unencrypted (http, not https)")
    return Opened(
        format="http",
        sha256=digest.of_value({"url": spec.url}),
        answer=HttpAnswer(
            url=spec.url,
            headers=dict(spec.headers),
            batch=spec.batch,
            timeout=spec.timeout,
            concurrency=spec.concurrency,
            text=mistakes.spec.data.test.text is not None,
            classes=spec.classes,
        ),
        output="values" if spec.task == "regression" else "unknown",
        takes="frame",
        task=spec.task,
        details={
            "type": "model behind a URL",
            "output": "unknown",
            "url": shown,
            "batch": spec.batch,
            "versions": {},
        },
        notes=notes,
    )
