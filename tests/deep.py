"""Subjects with a torch module behind them, made in memory: pictures, texts and tables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import ImageReader, TableReader, TextReader
from xai_audit.subject import Column, Rows, Subject, filled, in_blocks


@dataclass(eq=False)
class DeepModel:
    """What loaders/torch.py gives, without a file."""

    network: Network
    classes: tuple[Any, ...] | None
    format: str = "torch"
    sha256: str = "0" * 64
    probabilities: bool = True
    features: tuple[str, ...] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    native: Any = None

    def scores(self, frame):
        return self.network.scores(frame)

    def margin(self, frame):
        return self.network.outputs(frame)


def rows(frame: pd.DataFrame, target=None, side=None, name: str = "") -> Rows:
    """A table in the order given (not sorted by digest: tests keep their own order)."""
    digests = np.array(
        [
            hashlib.sha256(b"".join(_bytes(cell) for cell in row) + str(index).encode()).digest()
            for index, row in enumerate(frame.itertuples(index=False))
        ],
        dtype="S32",
    ).reshape(-1)
    return Rows(
        frame=frame.reset_index(drop=True),
        digests=digests,
        occurrence=np.zeros(len(frame), dtype=np.int64),
        target=target,
        sha256=hashlib.sha256(name.encode() + digests.tobytes()).hexdigest(),
        side=side,
    )


def _bytes(cell: Any) -> bytes:
    return cell.tobytes() if isinstance(cell, np.ndarray) else repr(cell).encode()


def image_frame(images) -> pd.DataFrame:
    """uint8 pictures (n, h, w) or (n, h, w, c) as one object column."""
    column = np.empty(len(images), dtype=object)
    for place, image in enumerate(images):
        column[place] = image[..., None] if image.ndim == 2 else image
    return pd.DataFrame({"image": column})


def text_frame(texts, column: str = "text") -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(list(texts), dtype=object)})


def subject(
    network: Network, test: Rows, modality, *, classes=("0", "1"), train=None, sets=None, **more
) -> Subject:
    """A scored subject: prediction by the largest score."""
    model = DeepModel(network, tuple(classes), native=network.module)
    scores = in_blocks(model.scores, test.frame, filled(model))
    columns = (
        tuple(Column(str(name), "numeric") for name in test.frame.columns)
        if modality == "table"
        else (Column(str(test.frame.columns[0]), modality),)
    )
    return Subject(
        model=model,
        task="classification",
        columns=columns,
        test=test,
        train=train,
        modality=modality,
        sets=sets or {},
        classes=tuple(classes),
        positive=1,
        favourable=1,
        scores=scores,
        prediction=scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] >= 0.5).astype(np.int64),
        **more,
    )


__all__ = [
    "DeepModel",
    "ImageReader",
    "TableReader",
    "TextReader",
    "image_frame",
    "rows",
    "subject",
    "text_frame",
]
