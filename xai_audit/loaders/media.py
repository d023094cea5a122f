"""What holds for pictures and texts where tables have features: one kind in every table, models that can read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xai_audit.loaders import images
from xai_audit.loaders.opened import Input, Inputs, Opened
from xai_audit.subject import Column, Modality

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.loaders.cells import Cells, Medium
    from xai_audit.loaders.mistakes import Mistakes

HOLDS: Mapping[Modality, str] = {"table": "a table", "image": "pictures", "text": "texts"}
"""What a file of each kind holds, in words."""

_NETWORKS = ("torch", "transformers", "onnx", "http", "python")
READ_BY: Mapping[str, tuple[str, ...]] = {
    "image": _NETWORKS,
    "text": (*_NETWORKS, "skops", "joblib", "pickle"),
}
"""Formats of models that can read each kind; predictions read nothing."""


def agreed(mistakes: Mistakes, tables: Sequence[Cells]) -> Medium | None:
    """The pictures or texts of the test table; None for a table of features.

    Another kind in the training table is a mistake, and so are keys that name features.
    """
    data, medium = mistakes.spec.data, tables[0].medium
    for table in tables[1:]:
        if table.modality != tables[0].modality:
            what = f"holds {HOLDS[table.modality]}, and data.test holds {HOLDS[tables[0].modality]}"
            hint = "; name its column of text under text" if tables[0].modality == "text" else ""
            mistakes.at("data.train", f"{table.source or table.path} {what}{hint}")
    if medium is None:
        return None
    for key in ("features", "categorical"):
        if getattr(data, key):
            what = (
                f"names columns of a table, and the model reads {HOLDS[medium.kind]} alone; take the key out"
            )
            mistakes.at(f"data.{key}", what)
    if medium.kind == "text":
        named = [("target", data.target), ("id", data.id), ("cluster", data.cluster), ("weight", data.weight)]
        named += [
            (f"sensitive.{place}", item.column) for place, item in enumerate(data.sensitive) if not item.file
        ]
        for key, name in named:
            if name == medium.name and name not in tables[0].columns:
                mistakes.at(f"data.{key}", f"{name!r} is the text the model reads; a column is one of them")
    return medium


def with_target(mistakes: Mistakes, tables: Sequence[Cells]) -> None:
    """Where no target is named and a folder for each class is given, the class is the target."""
    spec = mistakes.spec
    medium = tables[0].medium
    if spec.data.target is None and medium is not None and medium.by_folder:
        data = spec.data.model_copy(update={"target": images.CLASS})
        mistakes.spec = spec.model_copy(update={"data": data})


def readable(mistakes: Mistakes, opened: Opened | None, medium: Medium) -> None:
    """A mistake where the model cannot read pictures or texts."""
    if opened is None:
        return
    what = HOLDS[medium.kind]
    if opened.form not in READ_BY[medium.kind]:
        able = ", ".join(READ_BY[medium.kind])
        mistakes.at(
            "model.format",
            f"{opened.form} reads rows of a table, and the data are {what}; {able} read {what}",
        )
    elif opened.features is not None and opened.features != (medium.name,):
        listed = ", ".join(map(repr, opened.features[:8])) + (", ..." if len(opened.features) > 8 else "")
        text = (
            f"the model was fitted on the columns {listed}, and it is given {what} alone, as {medium.name!r}"
        )
        mistakes.at("model.path", text)
    elif opened.n_features is not None and opened.features is None and medium.kind == "text":
        numbers = f"the model takes {opened.n_features} numbers a row, not texts"
        mistakes.at(
            "model.path", f"{numbers}; save it together with what makes numbers of texts, as a pipeline"
        )


def inputs(opened: Opened, medium: Medium) -> Inputs:
    """How pictures or texts are given to a model: as a frame of one column, texts to an estimator as a list."""
    column = Input(medium.name, medium.name)
    listed = opened.form in ("skops", "joblib", "pickle") and opened.features is None
    return Inputs((column,), "texts" if listed else "frame", plain=False)


def columns(medium: Medium) -> tuple[Column, ...]:
    """The one column."""
    return (Column(medium.name, medium.kind),)


def frame(medium: Medium, name: str, order: NDArray[np.int64]) -> pd.DataFrame:
    """Pictures or texts in row order as one object column of that name."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(medium.cells[order], dtype=object)})
