"""Subjects of pictures and texts: real small models, and plain functions where the truth must be known."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from tests.deep import ImageReader, image_frame, rows, text_frame
from tests.deep import subject as deep_subject
from xai_audit.mechanistic.network import Network
from xai_audit.subject import Column, Subject, in_blocks


@dataclass(eq=False)
class Called:
    """A function of cells as a model: scores (cells, classes or 1)."""

    call: Any
    classes: tuple[Any, ...] | None = (0, 1)
    format: str = "python"
    sha256: str = "0" * 64
    probabilities: bool = True
    features: tuple[str, ...] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    native: Any = None
    network: Any = None
    asked: int = 0
    blocks: int = 0

    def scores(self, frame):
        self.asked += len(frame)
        self.blocks += 1
        return np.asarray(self.call(frame.iloc[:, 0].tolist()), dtype=float).reshape(len(frame), -1)

    def margin(self, _frame):
        return None


def called(call, cells, modality, *, classes=(0, 1), target=None, positive=1, **more) -> Subject:
    """A subject of pictures or texts whose model is a function of a list of cells."""
    frame = image_frame(cells) if modality == "image" else text_frame(cells)
    model = Called(call, classes)
    scores = in_blocks(model.scores, frame)
    model.asked = model.blocks = 0
    many = scores.shape[1] > 1
    return Subject(
        model=model,
        task="classification" if classes else "regression",
        columns=(Column(str(frame.columns[0]), modality),),
        test=rows(frame, target),
        modality=modality,
        classes=classes or (),
        positive=positive,
        scores=scores,
        prediction=(scores.argmax(axis=1) if many else (scores[:, 0] >= 0.5).astype(np.int64))
        if classes
        else scores[:, 0],
        **more,
    )


def pictures(n=6, side=16, channels=3, seed=0):
    """Smooth blobs with some noise, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 4, channels))
    big = np.kron(coarse, np.ones((1, side // 4, side // 4, 1)))
    return np.clip(big + rng.normal(0, 8, big.shape), 0, 255).astype(np.uint8)


@cache
def network_subject(n=6, classes=3):
    """A small CNN with drawn weights on small colour pictures."""
    generator = torch.Generator().manual_seed(5)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(6 * 7 * 7, classes),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    network = Network(module, ImageReader(), micro=256)
    frame = image_frame(pictures(n))
    target = np.arange(n) % classes
    return deep_subject(network, rows(frame, target), "image", classes=tuple("abc"[:classes]))


WORDS = (
    "good", "bad", "fine", "awful", "dull", "bright", "slow", "quick", "film", "plot",
    "the", "a", "of", "and", "was", "is", "not", "very",
)  # fmt: skip


def sentences(n=40, seed=0, least=3, most=12):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        words = rng.choice(WORDS, rng.integers(least, most + 1))
        made.append(" ".join(words) + rng.choice([".", "!", " ..."]))
    return made


@cache
def text_model():
    """TF-IDF and a logistic regression on drawn sentences."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = sentences(300, seed=9)
    weight = {"good": 2, "bright": 1, "fine": 1, "bad": -2, "awful": -2, "dull": -1, "not": -0.7}
    score = np.asarray([sum(weight.get(w.strip(".! "), 0) for w in text.split()) for text in texts])
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=3.0))
    return model.fit(texts, (score + np.random.default_rng(1).normal(0, 0.5, len(texts)) > 0).astype(int))


def text_subject(n=12, seed=0, **more):
    return called(text_model().predict_proba, sentences(n, seed, **more), "text")
