"""What audit.json tells of model, data and machine: digests, counts and shapes, no row; and the restricted rows."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import __version__, applying, digest, resources
from xai_audit.loaders.cells import digest_of
from xai_audit.metrics.grouped import sizes
from xai_audit.withholding import RULE

if TYPE_CHECKING:
    from xai_audit.evidence import Evidence
    from xai_audit.spec import Spec
    from xai_audit.subject import Modality, Rows, Subject

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "shap",
    "lime",
    "skops",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "onnxruntime",
    "joblib",
    "weasyprint",
    "pydantic",
    "jinja2",
    "pillow",
)
"""Libraries whose version may change a number or a page."""


def describe(subject: Subject, spec: Spec) -> dict[str, Any]:
    """The model and the data as audit.json tells of them: digests, counts and shapes, no row."""
    minimum = spec.report.min_cell
    groupings = []
    known = subject.withholding(minimum)
    for grouping in subject.groupings:
        covered = subject.hidden(grouping, minimum)
        listed = [place for place, key in enumerate(grouping.keys) if known.listed(key)]
        labels, counts = grouping.labels(), sizes(grouping).tolist()
        groupings.append(
            {
                "columns": list(grouping.columns),
                "labels": [labels[place] for place in listed],
                "counts": [None if covered[place] else counts[place] for place in listed],
                "missing": [grouping.missing[place] for place in listed],
                "special_category": grouping.special_category,
                "explanatory": grouping.explanatory,
            }
        )
    model = subject.model
    return {
        "model": None
        if model is None
        else {
            "format": model.format,
            "sha256": model.sha256,
            "path": spec.model.path,
            "probabilities": model.probabilities,
            "details": _json(dict(model.details)),
        },
        "data": {
            name: _table(rows, subject.modality)
            for name, rows in (("train", subject.train), ("test", subject.test))
            if rows is not None
        },
        **_sets(subject, spec),
        "task": subject.task,
        "classes": [str(label) for label in subject.classes],
        "positive": subject.positive,
        "favourable": subject.favourable,
        "threshold": subject.threshold,
        "primary": applying.primary_of(spec, subject.task),
        "labels": subject.test.target is not None,
        "scores": subject.scores is not None,
        "probabilities": subject.probabilities,
        "columns": [
            {"name": column.name, "kind": column.kind, "levels": len(column.levels)}
            for column in subject.columns
        ],
        "groupings": groupings,
        "withholding": RULE,
        "sensitive_inputs": list(subject.sensitive_inputs),
        "notes": [*subject.notes, *([known.note] if known.note else [])],
        "facts": _json(subject.facts),
    }


def _sets(subject: Subject, spec: Spec) -> dict[str, Any]:
    """What a row is where it is no row of a table, the named examples and the checkpoints; nothing where there are none."""
    sets = {}
    for name, rows in sorted(subject.sets.items()):
        where = spec.data.sets[name].where if name in spec.data.sets else None
        kept = {} if where is None else {"where": where}
        sets[name] = {**_table(rows, subject.modality), **kept}
    return {
        **({} if subject.modality == "table" else {"modality": subject.modality}),
        **({"sets": sets} if sets else {}),
        **({"checkpoints": _checkpoints(subject)} if subject.checkpoints else {}),
        **({"dictionaries": dictionaries(subject)} if subject.dictionaries else {}),
    }


def _checkpoints(subject: Subject) -> list[dict[str, Any]]:
    """Each pattern's files: how many, their numbers, and the root of their digests in the order of the numbers."""
    return [
        {
            "name": name,
            "numbers": [one.number for one in found],
            "sha256": digest.root(one.sha256 for one in found),
        }
        for name, found in sorted(subject.checkpoints.items())
    ]


def dictionaries(subject: Subject) -> list[dict[str, Any]]:
    """The sparse dictionaries that the spec names: their sites, the digests of their files, and what they are."""
    return [
        {
            "site": one.site,
            "path": one.path,
            "sha256": one.sha256,
            "latents": one.dictionary.m,
            "activation": one.dictionary.activation,
            "k": one.dictionary.k,
        }
        for one in subject.dictionaries
    ]


def _table(rows: Rows, modality: Modality) -> dict[str, Any]:
    return {"sha256": content(rows), "path": rows.path, "rows": rows.n, **_sizes(rows, modality)}


def content(rows: Rows) -> str:
    """The sha256 of a table's rows in content order, the same for a file with the same rows in another order.

    The digest of the file itself stands under ``run``.
    """
    return digest.of_bytes(b"".join(bytes(row).ljust(32, b"\0") for row in rows.digests))


def _sizes(rows: Rows, modality: Modality) -> dict[str, Any]:
    """Sizes of pictures, or lengths of texts in characters, over the whole table."""
    import numpy as np

    if modality == "table":
        return {}
    cells = rows.frame.iloc[:, 0]
    if modality == "image":
        shapes = np.array([picture.shape for picture in cells], dtype=np.int64)
        low, high = shapes.min(axis=0).tolist(), shapes.max(axis=0).tolist()
        ranges = {
            name: {"min": low[axis], "max": high[axis]}
            for axis, name in enumerate(("height", "width", "channels"))
        }
        return {**ranges, "distinct_shapes": len(np.unique(shapes, axis=0))}
    lengths = np.array([len(text) for text in cells], dtype=np.int64)
    quantiles = np.quantile(lengths, (0.05, 0.5, 0.95), method="inverted_cdf").astype(int).tolist()
    named = dict(zip(("5%", "50%", "95%"), quantiles, strict=True))
    return {"characters": named, "empty_texts": int((lengths == 0).sum())}


def files(subject: Subject) -> dict[str, Any]:
    """Tables, sets and dictionaries as they lay on disk: their paths and the digests of the files or folders."""
    tables = (("train", subject.train), ("test", subject.test))
    named = ((f"sets.{name}", rows) for name, rows in sorted(subject.sets.items()))
    latents = ((f"dictionaries.{one.site}={one.path}", one) for one in subject.dictionaries)
    found = (*tables, *named, *latents)
    return {name: {"path": one.path, "sha256": one.sha256} for name, one in found if one is not None}


def spec_file(spec: Spec) -> dict[str, Any]:
    """The spec as it lay on disk: its path as seen from here, its digest, and where each key stands in it."""
    path = Path(spec.file)
    try:
        shown = path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        shown = path.name  # what lies elsewhere on this machine is nobody else's business
    found = {"path": shown, "places": {key: list(place) for key, place in sorted(spec.places.items())}}
    return {**found, "sha256": digest.of_file(path)} if path.is_file() else found


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def environment() -> dict[str, Any]:
    """Versions that may change a number or a page; the same for every run on this machine."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "xai_audit": __version__,
        "tool": resources.tool_digest(),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": packages,
    }


def _unasked(subject: Subject, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Which of the two questions to explanations no measured piece of evidence answers."""
    parts = {piece.id.partition("/")[2] for piece in evidence if piece.status == "measured"}
    asked = [
        question
        for question, answers in (
            ("whether explanations follow a randomised model", {"twin"}),
            ("whether the named inputs matter", {"deletion", "insertion"}),
        )
        if not answers & parts
    ]
    why = "not built into this version" if subject.modality == "table" else "not measured in this run"
    said = ", and ".join(asked)
    return (f"{said[0].upper()}{said[1:]}: {why}.",) if said else ()


def not_examined(spec: Spec, subject: Subject, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """What a reader might look for and this run did not look at."""
    notes = []
    if subject.model is None:
        notes.append(
            "The model itself: only its predictions were given, so nothing about explanations or unusual inputs."
        )
    elif not spec.explainers:
        notes.append("Explanations: the spec names no explainer.")
    if subject.train is None:
        notes.append("Training data: none was given, so overlap, drift and representation are unknown.")
    if subject.test.target is None:
        notes.append("Errors: the data have no target, so only selection was measured.")
    if not subject.groupings:
        notes.append("Groups: the spec names no sensitive column, so no bias was looked for.")
    elif spec.data.crossings == "none":
        notes.append("Crossings of sensitive columns: the spec says none.")
    notes += [
        "Robustness to noise, shift and attack (Article 15(4) and (5)): not built into this version.",
        *_unasked(subject, evidence),
        "Privacy attacks and poisoning (Article 15(5)): not built into this version.",
        "Sensitive attributes that are not in the data.",
    ]
    failed = [piece for piece in evidence if piece.status == "failed"]
    notes += [f"{piece.title}: failed, {piece.reason}." for piece in failed]
    return tuple(notes)


def rows_file(subject: Subject) -> bytes:
    """evidence/rows.parquet: rows in content order with id, target, prediction, scores and groups.

    Of a picture or a text it holds the sha256 as ``content``, and nothing of the picture or text itself.
    """
    import io

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    test = subject.test
    columns: dict[str, Any] = {"row": pa.array(np.arange(test.n), pa.int64())}
    columns["digest"] = pa.array([bytes(value).ljust(32, b"\0").hex() for value in test.digests])
    if subject.modality != "table":
        columns["content"] = pa.array([digest_of(cell).hex() for cell in test.frame.iloc[:, 0]])
    if test.ids is not None:
        columns["id"] = pa.array([None if value is None else str(value) for value in test.ids])
    names = [str(label) for label in subject.classes]
    for name, values in (("target", test.target), ("prediction", subject.prediction)):
        if values is None:
            continue
        if subject.task == "classification":
            columns[name] = pa.array([names[int(value)] if value >= 0 else None for value in values])
        else:
            columns[name] = pa.array(np.asarray(values, dtype=float))
    if subject.scores is not None:
        for index in range(subject.scores.shape[1]):
            label = names[index] if subject.scores.shape[1] > 1 else "score"
            columns[f"score:{label}" if subject.scores.shape[1] > 1 else "score"] = pa.array(
                subject.scores[:, index]
            )
    for grouping in subject.groupings:
        if len(grouping.columns) == 1:
            labels = grouping.labels()
            columns[f"group:{grouping.columns[0]}"] = pa.array([labels[code] for code in grouping.codes])
    for name, extra in (("weight", test.weights), ("cluster", test.clusters)):
        if extra is not None:
            columns[name] = pa.array(extra)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()
