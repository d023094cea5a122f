"""The tables of model and data formats; ``load`` makes a subject of a spec, ``probe`` looks at a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from xai_audit.spec import Spec
    from xai_audit.subject import Subject

__all__ = ["DATA", "MODELS", "Format", "folder_format", "load", "probe"]


@dataclass(frozen=True)
class Format:
    """A file format that can be read."""

    id: str
    suffixes: tuple[str, ...]
    title: str
    needs: str | None = None
    """The extra to install for it; None where the plain installation reads it."""
    code: bool = False
    """Whether opening it runs code, so that trust and a sha256 are asked."""
    marker: str = ""
    """The file by which a folder of this format is known."""


MODELS: Mapping[str, Format] = {
    item.id: item
    for item in (
        Format("skops", (".skops",), "scikit-learn and alike, without code"),
        Format("joblib", (".joblib",), "scikit-learn and alike, pickled by joblib", code=True),
        Format("pickle", (".pkl", ".pickle"), "any Python object with predict", code=True),
        Format("xgboost", (".json", ".ubj"), "XGBoost boosters", needs="boosting"),
        Format("lightgbm", (".txt", ".lgb"), "LightGBM boosters", needs="boosting"),
        Format("catboost", (".cbm",), "CatBoost models", needs="boosting"),
        Format("onnx", (".onnx",), "ONNX graphs, run by onnxruntime", needs="onnx"),
        Format(
            "torch",
            (".safetensors", ".pt", ".pth", ".pt2", ".ts"),
            "PyTorch: weights with the entry that builds their module, torch.export, TorchScript",
            needs="torch",
            code=True,
        ),
        Format(
            "transformers",
            (),
            "Hugging Face folders: classifiers of texts or pictures in safetensors",
            needs="transformers",
            marker="config.json",
        ),
        Format("python", (".py",), "a function of a table: module.py:function", code=True),
        Format(
            "mlflow",
            (),
            "MLflow model folders, read without MLflow: skops, boosters, ONNX, pickles with trust",
            marker="MLmodel",
        ),
        Format("http", (), "a model behind a URL: rows are posted as JSON"),
        Format("predictions", (), "score and decision columns of the test data, no model"),
    )
}

DATA: Mapping[str, Format] = {
    item.id: item
    for item in (
        Format("csv", (".csv", ".tsv"), "comma, semicolon or tab separated text in UTF-8, also gzipped"),
        Format("parquet", (".parquet", ".pq"), "Apache Parquet"),
        Format("arrow", (".arrow", ".feather", ".ipc"), "Arrow IPC files and streams, Feather"),
        Format("jsonl", (".jsonl", ".ndjson"), "one JSON object a line, also gzipped"),
        Format(
            "npz", (".npz",), "NumPy arrays X, y and feature_names, one array a column, or pictures as images"
        ),
        Format("txt", (".txt",), "one text a line"),
        Format(
            "images",
            (),
            "a folder of png, jpeg, bmp, gif, webp or tiff: labels: a table, or a folder a class",
        ),
        Format("sklearn", (), "data sets that come with scikit-learn: sklearn:diabetes"),
    )
}


def folder_format(folder: Path) -> str | None:
    """The model format of a folder, by the file that marks it; None for a file and for other folders."""
    marked = (item for item in MODELS.values() if item.marker and (folder / item.marker).is_file())
    return next((item.id for item in marked), None)


def load(spec: Spec) -> Subject:
    """The model and data of a spec in memory; SpecError with every mistake found."""
    from xai_audit.loaders.loading import load as run

    return run(spec)


def probe(path: str | Path) -> dict[str, Any]:
    """Columns, kinds, distinct counts and first cells of a table; see loaders.probing."""
    from xai_audit.loaders.probing import probe as run

    return run(path)
