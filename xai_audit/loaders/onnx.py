"""ONNX graphs, run by onnxruntime on one CPU thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders.links import linked, margins
from xai_audit.loaders.mistakes import content
from xai_audit.loaders.networks import MICRO, reader
from xai_audit.loaders.opened import Opened, Output, one_hot
from xai_audit.loaders.xgboost import required, version_of
from xai_audit.mechanistic.readers import ImageReader, TextReader

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Seen
    from xai_audit.mechanistic.network import Link, Reader
    from xai_audit.subject import Modality

_TYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@dataclass(eq=False)
class SessionAnswer:
    """Asks a session; a worker process opens its own from the same file, after checking its digest."""

    file: str
    sha256: str
    inputs: tuple[tuple[str, str], ...]
    """Name and type of each input: one matrix, or a column each."""
    result: str
    """The output that is read."""
    output: Output
    classes: tuple[Any, ...]
    batch: int | None
    """Rows the graph insists on, None where it takes any."""
    session: Any = field(default=None, repr=False)
    modality: Modality = "table"
    sides: tuple[int | None, ...] = ()
    """Sizes of the input after the batch, where the graph states them."""
    reader: Reader | None = None
    link: Link = "none"
    """Set when the test rows have shown what the outputs are."""

    def scores(self, x: Any) -> NDArray[np.float64]:
        """The graph's probabilities or numbers, of shape (rows, classes or 1), by the link."""
        return linked(self.outputs(x), self.link)

    def linked(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of outputs, by the link."""
        return linked(outputs, self.link)

    def outputs(self, x: Any) -> NDArray[np.float64]:
        """What the graph gives, (rows, classes or 1)."""
        rows = len(x)
        step = self.batch or (rows if self.reader is None else min(rows, MICRO[self.reader.kind]))
        parts = []
        for start in range(0, rows, step):
            piece = x.iloc[start : start + step]
            real = len(piece)
            if real < step:
                piece = piece.iloc[[*range(real), *[0] * (step - real)]]
            parts.append(self._ask(piece)[:real])
        return np.concatenate(parts)

    def margin(self, x: Any) -> NDArray[np.float64] | None:
        """Outputs before the link; None where a graph has none."""
        return None if self.link == "none" else margins(self.outputs(x), self.link)

    def seen(self, seen: Seen, mistakes: Mistakes) -> tuple[str, ...]:
        """Takes the reader for pictures or texts; mistakes where the graph reads something else."""
        if seen.modality != self.modality:
            what = f"this graph reads {_READS[self.modality]}, and the test data are {_READS[seen.modality]}"
            mistakes.at("data.test", what)
        if mistakes.found or self.modality == "table":
            return ()
        found, notes = reader(seen, mistakes, tuple(name for name, _ in self.inputs))
        if isinstance(found, ImageReader):
            channels, height, width = self.sides
            size = found.size or (None if height is None or width is None else (height, width))
            found = replace(found, size=size, channels=found.channels or channels)
        elif isinstance(found, TextReader) and self.sides[:1] != (None,):
            # The graph has one length of text.
            found.max_length, found.full = self.sides[0], True
        self.reader = found
        return notes

    def _ask(self, x: Any) -> NDArray[np.float64]:
        if self.session is None:
            self.session = opened(Path(self.file).read_bytes(), self.sha256)
        found = self.session.run([self.result], self._feed(x))[0]
        if isinstance(found, list):
            return np.array(
                [[float(row[label]) for label in self.classes] for row in found], dtype=np.float64
            )
        found = np.asarray(found)
        if self.output == "labels":
            place = {label: index for index, label in enumerate(self.classes)}
            return one_hot(
                np.array([place[label] for label in found.reshape(-1).tolist()]), len(self.classes)
            )
        return found.astype(np.float64).reshape(len(found), -1)

    def _feed(self, x: Any) -> dict[str, Any]:
        if isinstance(self.reader, ImageReader):
            name, kind = self.inputs[0]
            return {name: self.reader.array(x).astype(_TYPES[kind], copy=False)}
        if isinstance(self.reader, TextReader):
            given = self.reader.arrays(x)
            blank = np.zeros_like(next(iter(given.values())))
            return {
                name: given.get(name, blank).astype(_TYPES[kind], copy=False) for name, kind in self.inputs
            }
        if len(self.inputs) == 1:
            name, kind = self.inputs[0]
            return {name: np.ascontiguousarray(x.to_numpy(), dtype=_TYPES[kind])}
        feed = {}
        for place, (name, kind) in enumerate(self.inputs):
            values = x.iloc[:, place].to_numpy()
            if kind == "tensor(string)":
                values = np.array([value if isinstance(value, str) else "" for value in values], dtype=object)
            feed[name] = values.astype(_TYPES[kind]).reshape(-1, 1)
        return feed

    def __getstate__(self) -> dict[str, Any]:
        """Without the session, which cannot be pickled."""
        return {**self.__dict__, "session": None}


def opened(data: bytes, sha256: str) -> Any:
    """A session of one thread over a graph; UnavailableError where the file is not of that digest now."""
    if digest.of_bytes(data) != sha256:
        message = "the ONNX file changed while the audit ran"
        raise UnavailableError(message)
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # No fallback: there is nothing to fall back to, and trying prints on stdout.
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=False)


def open_model(mistakes: Mistakes) -> Opened:
    """The graph of an ONNX file; SpecError where onnxruntime refuses it or its inputs are none of these.

    Inputs are one matrix of numbers in feature order, or one of shape (rows, 1) by the name of each column; pictures
    (rows, channels, height, width); or texts as ``input_ids`` and what goes with them.
    Outputs are probabilities of shape (rows, classes) or as maps (ZipMap), labels, or one number a row.
    """
    spec = mistakes.spec.model
    assert spec.path is not None
    file = mistakes.spec.resolve(spec.path)
    data, sha256 = content(file, spec.path, spec.sha256, "model.path", mistakes)
    required("onnxruntime", "onnx", mistakes)
    try:
        session = opened(data, sha256)
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a type of its own for every reason
        reason = " ".join(str(error).split())[:200]
        mistakes.at("model.path", f"{spec.path} cannot be run as ONNX: {reason}", missing=True)
        raise SpecError(mistakes.told()) from None
    inputs = session.get_inputs()
    modality = _modality(inputs)
    for item in inputs:
        if item.type not in _TYPES or (len(inputs) == 1 and item.type == "tensor(string)"):
            mistakes.at(
                "model.path",
                f"the input {item.name!r} takes {item.type}; a matrix of numbers or single columns are asked",
            )
    for item in inputs if modality == "table" else ():
        if len(item.shape) != 2 or (
            len(inputs) > 1 and item.shape[1] not in (1, None) and not isinstance(item.shape[1], str)
        ):
            mistakes.at(
                "model.path", f"the input {item.name!r} has shape {item.shape}; (rows, features) is asked"
            )
    mistakes.check()
    width = inputs[0].shape[1] if len(inputs) == 1 else len(inputs)
    batch = inputs[0].shape[0] if isinstance(inputs[0].shape[0], int) and inputs[0].shape[0] > 0 else None
    answer, task, classes = _answer(session, str(file.resolve()), sha256, batch, mistakes)
    answer.modality = modality
    answer.sides = tuple(side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape[1:])
    metadata = session.get_modelmeta()
    return Opened(
        format="onnx",
        sha256=sha256,
        answer=answer,
        output=answer.output,
        # One matrix has no names: the features' order is the spec's. A column each goes by name.
        takes="frame",
        task=task,  # type: ignore[arg-type]
        classes=classes,
        generic=classes is not None and list(classes) == list(range(len(classes))),
        features=None if len(inputs) == 1 or modality != "table" else tuple(item.name for item in inputs),
        n_features=width if modality == "table" and isinstance(width, int) and width > 0 else None,
        words=frozenset(item.name for item in inputs if item.type == "tensor(string)"),
        details={
            "type": "ONNX graph",
            "output": answer.output,
            "producer": str(metadata.producer_name),
            "inputs": [[item.name, item.type, [str(side) for side in item.shape]] for item in inputs],
            "outputs": [[item.name, item.type] for item in session.get_outputs()],
            "versions": {"onnxruntime": version_of("onnxruntime")},
        },
    )


_READS = {"table": "a table", "image": "pictures", "text": "texts"}


def _modality(inputs: Any) -> Modality:
    """What a graph reads: one input of four axes is pictures, ``input_ids`` is texts, else it is a table."""
    if (
        len(inputs) == 1
        and len(inputs[0].shape) == 4
        and inputs[0].type in ("tensor(float)", "tensor(double)")
    ):
        return "image"
    names = {item.name for item in inputs}
    if "input_ids" in names and names <= {"input_ids", "attention_mask", "token_type_ids"}:
        return "text"
    return "table"


def _answer(
    session: Any, file: str, sha256: str, batch: int | None, mistakes: Mistakes
) -> tuple[SessionAnswer, str | None, tuple[Any, ...] | None]:
    """The output to read, the task it says, and the classes where the graph tells them."""
    inputs = tuple((item.name, item.type) for item in session.get_inputs())
    outputs = session.get_outputs()
    scores = [item for item in outputs if item.type.startswith(("tensor(float)", "tensor(double)"))]
    maps = [item for item in outputs if item.type.startswith("seq(map")]
    names = [item for item in outputs if item.type in ("tensor(int64)", "tensor(string)", "tensor(int32)")]
    stated = mistakes.spec.model.classes

    def answer(result: Any, output: Output, classes: tuple[Any, ...] = ()) -> SessionAnswer:
        return SessionAnswer(file, sha256, inputs, result.name, output, classes, batch, session)

    if maps:
        # The maps of one made-up row name the classes; zeros do, as no number is read.
        feed = {
            name: _blank(kind, item.shape, batch)
            for (name, kind), item in zip(inputs, session.get_inputs(), strict=True)
        }
        keys = tuple(session.run([maps[0].name], feed)[0][0])
        return answer(maps[0], "probabilities", keys), "classification", keys
    if scores:
        width = scores[0].shape[-1] if len(scores[0].shape) == 2 else 1
        task = (
            "classification" if names or (isinstance(width, int) and width > 1) else mistakes.spec.model.task
        )
        if task is None:
            what = (
                "the graph gives one number a row: state task: classification (of two classes) or regression"
            )
            mistakes.at("model.task", what)
            mistakes.check()
        classes = (
            tuple(range(width)) if task == "classification" and isinstance(width, int) and width > 1 else None
        )
        return answer(scores[0], "values" if task == "regression" else "unknown"), task, classes
    if names:
        if stated is None:
            mistakes.at(
                "model.classes",
                "the graph gives labels alone; state model: classes: [...] with all it can give",
            )
            mistakes.check()
        return answer(names[0], "labels", tuple(stated or ())), "classification", tuple(stated or ())
    mistakes.at(
        "model.path", f"no output is a table of numbers or labels: {', '.join(item.type for item in outputs)}"
    )
    raise SpecError(mistakes.told())


def _blank(kind: str, shape: Any, batch: int | None) -> Any:
    width = shape[1] if isinstance(shape[1], int) and shape[1] > 0 else 1
    return np.full((batch or 1, width), "" if kind == "tensor(string)" else 0, dtype=_TYPES[kind])
