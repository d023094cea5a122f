"""MLflow model folders, read without MLflow: which file holds the model, and the format that reads it.

MLmodel names a folder's flavors. The first that is read here decides; its file is opened by that format's own
loader under that format's own rules, so a pickle needs ``trust: true`` and the digest of the folder.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.errors import SpecError
from xai_audit.loaders import MODELS
from xai_audit.loaders.mistakes import Mistakes, shown

if TYPE_CHECKING:
    from xai_audit.loaders.cells import Kind
    from xai_audit.loaders.opened import Opened

FILE = "MLmodel"
_LARGEST = 1_000_000
_KINDS: Mapping[str, Kind] = {
    "boolean": "boolean",
    "integer": "number",
    "long": "number",
    "float": "number",
    "double": "number",
    "string": "text",
    "datetime": "date",
}
"""What a column of a signature's type holds."""


@dataclass(frozen=True)
class Inside:
    """The file or folder of a model folder that holds the model itself."""

    flavor: str
    format: str
    path: str
    """Relative to the model folder."""
    beside: str | None = None
    """The folder of what makes a text or a picture the model's input."""


class UnreadableError(ValueError):
    """A model folder that is not read, and why."""


def open_model(mistakes: Mistakes) -> Opened:
    """The model of an MLflow folder; SpecError where no flavor is read, the digest differs or trust is not stated.

    ``sha256`` is that of the folder (``digest.of_folder``). The signature's columns are the features of a model that
    does not know them by name, and their types are held against the data.
    """
    spec = mistakes.spec.model
    assert spec.path is not None
    folder = mistakes.spec.resolve(spec.path)
    try:
        hashes = {path: digest.of_file(path) for path in digest.files_of(folder)}
        root = digest.root(hashes.values())
        if spec.sha256 is not None and spec.sha256 != root:
            mistakes.at(
                "model.path", f"{spec.path} has sha256 {root}, not the declared {spec.sha256}", missing=True
            )
            raise SpecError(mistakes.told())
        described = read(folder)
        inside = found(described, folder)
        within = _within(folder, inside.path)
    except OSError as error:
        mistakes.at("model.path", f"{spec.path} cannot be read: {error.strerror or error}", missing=True)
        raise SpecError(mistakes.told()) from None
    except UnreadableError as error:
        mistakes.at("model.path", f"{spec.path}: {error}")
        raise SpecError(mistakes.told()) from None
    except ValueError as error:
        mistakes.at("model.path", f"{spec.path} is no MLflow model folder: {error}", missing=True)
        raise SpecError(mistakes.told()) from None
    if carries_code(inside) and not (spec.trust and spec.sha256):
        mistakes.at("model.trust", untrusted(spec.path, inside, root, trust=spec.trust))
        raise SpecError(mistakes.told())
    opened = _opened(mistakes, inside, _digest_within(within, hashes))
    if inside.beside is not None and digest.of_folder(folder) != root:
        mistakes.at("model.path", f"{spec.path} changed while it was read", missing=True)
        raise SpecError(mistakes.told())
    names, kinds, note = _signature(described, opened)
    return replace(
        opened,
        format="mlflow",
        inside=opened.format,
        sha256=root,
        features=opened.features if opened.features is not None else names,
        kinds=kinds,
        words=opened.words | {name for name, kind in kinds.items() if kind == "text"},
        details={
            **opened.details,
            "flavor": inside.flavor,
            "file": inside.path,
            "mlflow": str(described.get("mlflow_version", "unknown"))[:40],
        },
        notes=(*opened.notes, *note),
    )


def read(folder: Path) -> dict[str, Any]:
    """What MLmodel says; ValueError where it is no YAML mapping, OSError where it is not there."""
    import yaml

    file = folder / FILE
    if file.stat().st_size > _LARGEST:
        message = f"{FILE} is over {_LARGEST:,} bytes"
        raise ValueError(message)
    try:
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{FILE} is no YAML: {(str(error).splitlines() or [''])[0][:120]}"
        raise ValueError(message) from None
    if not isinstance(described, dict) or not isinstance(described.get("flavors"), dict):
        message = f"{FILE} names no flavors"
        raise ValueError(message)  # noqa: TRY004 - one kind of error says that the folder is none
    return described


def found(described: Mapping[str, Any], folder: Path) -> Inside:
    """The file that holds the model, by the first flavor that is read; UnreadableError with the reason."""
    flavors: Mapping[str, Any] = described["flavors"]
    for name, inside in _FLAVORS.items():
        options = flavors.get(name)
        if isinstance(options, dict):
            return inside(options)
    if isinstance(flavors.get("pytorch"), dict):
        return _pytorch(flavors["pytorch"], folder)
    if set(flavors) == {"python_function"}:
        options = flavors["python_function"]
        module = options.get("loader_module") if isinstance(options, dict) else None
        what = (
            f"the flavor python_function alone (loader_module {shown(module)}) is Python code of its own, with "
            "all it imports; save the model itself with its own flavor, or serve it and audit it with format: http"
        )
        raise UnreadableError(what)
    listed = ", ".join(sorted(map(str, flavors)))
    raise UnreadableError(f"none of the flavors {listed} is read; {', '.join(_FLAVORS)}, pytorch are")


def _file(options: Mapping[str, Any], key: str) -> str:
    path = options.get(key)
    if not isinstance(path, str) or not path:
        message = f"{FILE} does not say {key!r} of its flavor"
        raise ValueError(message)
    return path


def _sklearn(options: Mapping[str, Any], flavor: str = "sklearn", key: str = "pickled_model") -> Inside:
    path = _file(options, key)
    return Inside(flavor, "skops" if path.endswith(".skops") else "pickle", path)


def _xgboost(options: Mapping[str, Any]) -> Inside:
    return Inside("xgboost", "xgboost", _file(options, "data"))


def _lightgbm(options: Mapping[str, Any]) -> Inside:
    path = _file(options, "data")
    if path.endswith((".skops", ".pkl", ".pickle")):
        return _sklearn(options, "lightgbm", "data")
    return Inside("lightgbm", "lightgbm", path)


def _catboost(options: Mapping[str, Any]) -> Inside:
    kind = options.get("save_format", "cbm")
    if kind != "cbm":
        raise UnreadableError(f"CatBoost saved as {shown(kind)} is not read; save_format cbm is")
    return Inside("catboost", "catboost", _file(options, "data"))


def _onnx(options: Mapping[str, Any]) -> Inside:
    return Inside("onnx", "onnx", _file(options, "data"))


def _transformers(options: Mapping[str, Any]) -> Inside:
    path = _file(options, "model_binary")
    parts = options.get("components")
    readers = ("tokenizer", "image_processor", "feature_extractor")
    reader = next((part for part in readers if part in (parts if isinstance(parts, list) else ())), None)
    return Inside("transformers", "transformers", path, None if reader is None else f"components/{reader}")


def _pytorch(options: Mapping[str, Any], folder: Path) -> Inside:
    """An exported program or a TorchScript of the flavor's folder; a pickled module is refused."""
    data = _file(options, "model_data")
    if options.get("serialization_format") == "pt2" or (folder / data / "model.pt2").is_file():
        return Inside("pytorch", "torch", f"{data}/model.pt2")
    path = f"{data}/model.pth"
    if _scripted(_within(folder, path)):
        return Inside("pytorch", "torch", path)
    what = (
        f"the flavor pytorch keeps a pickled module ({path}), whose code is not in the folder; save it with "
        "serialization_format='pt2', or audit its weights with format: torch and an entry"
    )
    raise UnreadableError(what)


def _scripted(file: Path) -> bool:
    """Whether a file of torch is TorchScript, by the names in its archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


_FLAVORS = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "onnx": _onnx,
    "sklearn": _sklearn,
    "transformers": _transformers,
}
"""Those whose own file says most come first; a folder has one beside python_function."""


def carries_code(inside: Inside) -> bool:
    """Whether the file inside runs code when it is opened."""
    return MODELS[inside.format].code


def digest_of(folder: Path) -> str:
    """The folder's digest, or what stands for it where it cannot be had."""
    try:
        return digest.of_folder(folder)
    except (OSError, ValueError):
        return "<the sha256 of the folder>"


def untrusted(path: str, inside: Inside, sha256: str, *, trust: bool) -> str:
    """What must stand in the spec for a flavor whose file is code."""
    lines = " and ".join(["`sha256: " + sha256 + "`"] if trust else ["`trust: true`", f"`sha256: {sha256}`"])
    return (
        f"{path}: the flavor {inside.flavor} keeps a {inside.format} ({inside.path}), which runs code when it is "
        f"opened; if you know where the folder comes from, write {lines} under model"
    )


def _within(folder: Path, path: str) -> Path:
    """A file or folder inside the model folder; ValueError where MLmodel points out of it."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or ":" in path:
        raise ValueError(f"{FILE} points to {shown(path)}, out of the folder")
    within = folder / path
    if not within.exists():
        raise ValueError(f"{FILE} names {shown(path)}, which is not there")
    return within


def _digest_within(within: Path, hashes: Mapping[Path, str]) -> str:
    """The digest that the folder's own digest was made with, so that the bytes opened are the bytes digested."""
    if within in hashes:
        return hashes[within]
    return digest.root(hashes[path] for path in digest.files_of(within))


def _opened(mistakes: Mistakes, inside: Inside, sha256: str) -> Opened:
    """The model of the file inside, as its own format's loader opens it."""
    from importlib import import_module

    spec = mistakes.spec
    given = {"path": f"{spec.model.path}/{inside.path}", "format": inside.format, "sha256": sha256}
    inner = Mistakes(spec.model_copy(update={"model": spec.model.model_copy(update=given)}))
    module: Any = import_module(
        f"xai_audit.loaders.{'joblib' if inside.format == 'pickle' else inside.format}"
    )
    if inside.beside is None:
        opened: Opened = module.open_model(inner)
    else:
        opened = module.open_model(inner, _within(spec.resolve(str(spec.model.path)), inside.beside))
    inner.check()
    return opened


def _signature(
    described: Mapping[str, Any], opened: Opened
) -> tuple[tuple[str, ...] | None, dict[str, Kind], tuple[str, ...]]:
    """The signature's column names, what each column holds, and what of it does not fit the model itself."""
    signature = described.get("signature")
    try:
        listed = json.loads(signature["inputs"]) if isinstance(signature, dict) else []
        columns = {str(item["name"]): str(item["type"]) for item in listed if "name" in item}
        whole = len(columns) == len(listed) > 0 and "tensor" not in columns.values()
    except (ValueError, KeyError, TypeError):
        return None, {}, ("the folder's signature cannot be read and is not held against the data",)
    if not whole:
        return None, {}, ()
    kinds = {name: _KINDS[kind] for name, kind in columns.items() if kind in _KINDS}
    names = tuple(columns)
    if opened.features is None and list(kinds.values()) == ["text"]:
        # One column of text: an estimator that knows no names takes a list of texts, not a table.
        return None, {}, ()
    if opened.features is not None and set(opened.features) != set(names):
        differ = sorted(set(opened.features) ^ set(names))
        what = f"the folder's signature and the model itself differ in {', '.join(map(shown, differ[:5]))}"
        return None, kinds, (f"{what}{', ...' if len(differ) > 5 else ''}; the model's own columns count",)
    if opened.n_features is not None and opened.n_features != len(names):
        what = f"the folder's signature has {len(names)} columns and the model takes {opened.n_features}"
        return None, {}, (what,)
    return names, kinds, ()
