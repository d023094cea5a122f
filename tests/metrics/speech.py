"""Texts with identity terms and models of them that are known in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tests.deep import rows, text_frame
from xai_audit.subject import Column, Subject, in_blocks


@dataclass(eq=False)
class WordModel:
    """A logistic regression on whether each word stands in a text."""

    weights: Mapping[str, float]
    intercept: float = 0.0
    classes: tuple[Any, ...] | None = ("fine", "toxic")
    format: str = "python"
    sha256: str = "0" * 64
    probabilities: bool = True
    features: tuple[str, ...] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    native: Any = None
    network: Any = None

    def margins(self, texts: Sequence[str]) -> np.ndarray:
        held = [sorted(set(text.lower().split())) for text in texts]  # in one order in every process
        return np.array(
            [self.intercept + sum(self.weights.get(word, 0.0) for word in words) for words in held]
        )

    def scores(self, frame: pd.DataFrame) -> np.ndarray:
        second = 1 / (1 + np.exp(-self.margins(frame.iloc[:, 0].tolist())))
        return np.stack([1 - second, second], axis=1)

    def margin(self, frame: pd.DataFrame) -> np.ndarray:
        raw = self.margins(frame.iloc[:, 0].tolist())
        return np.stack([-raw, raw], axis=1)


@dataclass(eq=False)
class Estimator(WordModel):
    """A fitted pipeline of scikit-learn that takes texts."""

    weights: Mapping[str, float] = field(default_factory=dict)
    pipeline: Any = None

    def scores(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.pipeline.predict_proba(frame.iloc[:, 0].tolist()), dtype=np.float64)


def speech(model: WordModel, texts: Sequence[str], target: Sequence[int], **more: Any) -> Subject:
    """A scored subject whose rows are texts."""
    clusters = more.pop("clusters", None)
    test = rows(text_frame(texts), np.asarray(target, dtype=np.int64))
    if clusters is not None:
        from dataclasses import replace

        test = replace(test, clusters=np.asarray(clusters, dtype=np.int64))
    scores = in_blocks(model.scores, test.frame)
    return Subject(
        model=model,
        task="classification",
        columns=(Column("text", "text"),),
        test=test,
        modality="text",
        classes=("fine", "toxic"),
        scores=scores,
        prediction=(scores[:, 1] >= 0.5).astype(np.int64),
        **more,
    )
