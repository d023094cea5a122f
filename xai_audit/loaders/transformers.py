"""Hugging Face folders: a classifier of texts or pictures from config.json and safetensors; no code, nothing fetched."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders.networks import NetworkAnswer, arguments, device, facts, quiet, sides, text_reader
from xai_audit.loaders.opened import Opened
from xai_audit.loaders.xgboost import required
from xai_audit.mechanistic.readers import ImageReader

if TYPE_CHECKING:
    import torch

    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.mechanistic.network import Reader

KINDS = {"ForSequenceClassification": "text", "ForImageClassification": "image"}
"""What the name of an architecture ends with, and what it reads."""

_BILINEAR = 2
"""Pillow's number of the only way of resizing that pictures are read with here."""


@dataclass(frozen=True)
class FolderSource:
    """A folder of a transformers model, and the digest over its files."""

    folder: str
    sha256: str
    kind: str

    def module(self) -> torch.nn.Module:
        """The model, once the folder's files are of the digest; its dropout is off and its numbers are float32."""
        module = loaded(Path(self.folder), self.kind)[0]
        if digest.of_folder(Path(self.folder)) != self.sha256:
            message = f"{Path(self.folder).name} changed while the audit ran"
            raise UnavailableError(message)
        return module


def open_model(mistakes: Mistakes, beside: Path | None = None) -> Opened:
    """The classifier of a folder; SpecError where it is not there, asks for code, or lacks weights.

    ``beside`` is the folder of its tokenizer or image processor, where that is another.
    """
    spec = mistakes.spec.model
    assert spec.path is not None
    folder = mistakes.spec.resolve(spec.path)
    sha256 = _digest(mistakes, folder)
    config = _json(mistakes, folder, "config.json")
    beside = beside or folder
    kind = _kind(mistakes, folder, config, beside)
    required("transformers", "transformers", mistakes)
    where = device(mistakes)
    module = _module(mistakes, folder, kind)
    # The bytes that were digested are the bytes that were read.
    if digest.of_folder(folder) != sha256:
        mistakes.at("model.path", f"{spec.path} changed while it was read", missing=True)
        raise SpecError(mistakes.told())
    reader = _text(mistakes, beside, module) if kind == "text" else _pictures(mistakes, beside)
    mistakes.check()
    task, classes, generic = _outcome(mistakes, module.config)
    answer = NetworkAnswer(
        FolderSource(str(folder.resolve()), sha256, kind), where, reader=reader, arguments=arguments(module)
    )
    from xai_audit.mechanistic.network import Network

    answer.made = Network(module, device=where)
    details, notes = facts(module, where, "transformers", "tokenizers")
    return Opened(
        format="transformers",
        sha256=sha256,
        answer=answer,
        output="unknown",
        stated="logits",
        takes="frame",
        task=task,  # type: ignore[arg-type]
        classes=classes,
        generic=generic,
        details={"type": type(module).__name__, "output": "unknown", **details},
        notes=notes,
    )


def _digest(mistakes: Mistakes, folder: Path) -> str:
    """The folder's digest; SpecError (exit 4) where it cannot be had or is another."""
    spec = mistakes.spec.model
    if not folder.is_dir():
        what = "is a file; format transformers is a folder" if folder.exists() else "no such folder"
        told = f"{spec.path} {what}" if folder.exists() else f"{what}: {spec.path}"
        mistakes.at("model.path", told, missing=True)
        raise SpecError(mistakes.told())
    try:
        found = digest.of_folder(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        mistakes.at("model.path", f"{spec.path} cannot be read: {reason}", missing=True)
        raise SpecError(mistakes.told()) from None
    if spec.sha256 is not None and found != spec.sha256:
        what = f"{spec.path} has sha256 {found} over its files, not the declared {spec.sha256}"
        mistakes.at("model.path", what, missing=True)
        raise SpecError(mistakes.told())
    return found


def _json(mistakes: Mistakes, folder: Path, name: str) -> dict[str, Any]:
    path = mistakes.spec.model.path
    try:
        found = json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        mistakes.at("model.path", f"{path} has no {name}: it is no folder of transformers", missing=True)
    except (OSError, ValueError) as error:
        mistakes.at("model.path", f"{path}/{name} cannot be read: {str(error)[:150]}", missing=True)
    else:
        if isinstance(found, dict):
            return found
        mistakes.at("model.path", f"{path}/{name} holds no keys and values", missing=True)
    raise SpecError(mistakes.told())


def _kind(mistakes: Mistakes, folder: Path, config: Mapping[str, Any], beside: Path) -> str:
    """What the model reads; mistakes where it brings code, has no safetensors, or classifies nothing."""
    path = mistakes.spec.model.path
    if config.get("auto_map"):
        what = f"{path} asks for code of its own (auto_map in config.json), which is not run; use a class of transformers"
        mistakes.at("model.path", f"{what}, or format torch with an entry")
    names = [path.name for path in folder.iterdir()]
    if not any(name.endswith(".safetensors") for name in names):
        old = [name for name in names if name.endswith((".bin", ".pt", ".h5"))]
        what = f"{path} has no weights in safetensors"
        if old:
            what += (
                f", only {old[0]}, which may hold code; where you trust it, save it again with transformers: "
                "model.save_pretrained(folder)"
            )
        mistakes.at("model.path", what, missing=not old)
    stated = config.get("architectures") or ["nothing"]
    kind = next((kind for ending, kind in KINDS.items() if str(stated[0]).endswith(ending)), "")
    if not kind:
        what = f"config.json of {path} names {stated[0]} as architecture; a sequence or image classifier is asked"
        mistakes.at("model.path", what)
    elif kind == "text" and not (beside / "tokenizer.json").is_file():
        what = f"{path} has no tokenizer.json; save the tokenizer as a fast one, with tokenizer.save_pretrained(folder)"
        mistakes.at("model.path", what, missing=True)
    mistakes.check()
    return kind


def loaded(folder: Path, kind: str) -> tuple[torch.nn.Module, Mapping[str, Any]]:
    """The model of a folder from local safetensors alone, in float32, and which weights it lacks."""
    import torch
    import transformers

    auto: Any = (
        transformers.AutoModelForSequenceClassification
        if kind == "text"
        else transformers.AutoModelForImageClassification
    )
    with quiet(), _silent():
        module, told = auto.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    return module, told


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The library without its bars and lines on the terminal; what it would say is read from what it returns."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _module(mistakes: Mistakes, folder: Path, kind: str) -> torch.nn.Module:
    path = mistakes.spec.model.path
    try:
        module, told = loaded(folder, kind)
    except Exception as error:  # noqa: BLE001 - transformers raises many types
        reason = " ".join(str(error).split())[:200]
        what = f"{path} cannot be opened by transformers: {type(error).__name__}: {reason}"
        mistakes.at("model.path", what, missing=True)
        raise SpecError(mistakes.told()) from None
    lacking = sorted(map(str, told.get("missing_keys") or ()))
    other = sorted(str(one[0]) for one in told.get("mismatched_keys") or ())
    if lacking or other:
        listed = ", ".join([*lacking, *other][:3]) + (", ..." if len(lacking) + len(other) > 3 else "")
        what = (
            f"{path} has no fitting weights for {listed}, which would be random; is it a trained classifier?"
        )
        mistakes.at("model.path", what)
        raise SpecError(mistakes.told())
    return module


def _text(mistakes: Mistakes, folder: Path, module: Any) -> Reader | None:
    """The tokenizer, and the longest text: as the spec says, else what tokenizer and model can take."""
    preprocess, config = mistakes.spec.model.preprocess, module.config
    if preprocess is not None and preprocess.tokenizer is not None:
        what = "a folder of transformers brings its own tokenizer; take the key out"
        mistakes.at("model.preprocess.tokenizer", what)
    longest = None if preprocess is None else preprocess.max_length
    known = [getattr(config, "max_position_embeddings", None)]
    if (folder / "tokenizer_config.json").is_file():
        known.append(_json(mistakes, folder, "tokenizer_config.json").get("model_max_length"))
    # RoBERTa counts positions from after its padding's.
    offset = 2 if "roberta" in str(config.model_type) or config.model_type == "camembert" else 0
    limits = [int(one) for one in known if isinstance(one, (int, float)) and 0 < one < 1e6]
    most = (
        min(limits, default=None) if not offset else min((one - offset for one in limits[:1]), default=None)
    )
    if longest is not None and limits and longest > limits[0] - offset:
        what = f"the model has {limits[0] - offset} positions"
        mistakes.at("model.preprocess.max_length", what)
    name = f"{mistakes.spec.model.path}/tokenizer.json"
    data = (folder / "tokenizer.json").read_bytes()
    return text_reader(data, name, "", longest or most, mistakes, config.pad_token_id)


def _pictures(mistakes: Mistakes, folder: Path) -> Reader | None:
    """What preprocessor_config.json says, where it is no more than resizing, scaling and standardising."""
    preprocess = mistakes.spec.model.preprocess
    if preprocess is not None:
        return ImageReader("image", sides(preprocess), preprocess.mean, preprocess.std, preprocess.channels)
    found = _json(mistakes, folder, "preprocessor_config.json")
    size = found.get("size")
    height, width = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
    resized = bool(found.get("do_resize", True))
    plain = {
        "do_center_crop": not found.get("do_center_crop"),
        "size": not resized or (isinstance(height, int) and isinstance(width, int)),
        "resample": not resized or found.get("resample", _BILINEAR) == _BILINEAR,
        "rescale_factor": found.get("do_rescale", True)
        and abs(found.get("rescale_factor", 1 / 255) - 1 / 255) < 1e-9,
    }
    strange = [key for key, good in plain.items() if not good]
    if strange:
        what = (
            f"preprocessor_config.json asks for {', '.join(strange)} in a way that is not available in this version; "
            "state preprocess: {size: ..., mean: [...], std: [...]} for what comes nearest"
        )
        mistakes.at("model.path", what)
        return None
    normal = bool(found.get("do_normalize", True))
    return ImageReader(
        "image",
        (int(height or 0), int(width or 0)) if resized else None,
        tuple(found["image_mean"]) if normal and found.get("image_mean") else None,
        tuple(found["image_std"]) if normal and found.get("image_std") else None,
        3,
    )


def _outcome(mistakes: Mistakes, config: Any) -> tuple[str, tuple[Any, ...] | None, bool]:
    """The task, the classes in the order of the outputs, and whether these are bare numbers."""
    kind = getattr(config, "problem_type", None)
    if kind == "multi_label_classification":
        what = "this model gives several labels to one row (multi_label_classification); one class a row is asked"
        mistakes.at("model.path", what)
        raise SpecError(mistakes.told())
    names = config.id2label or {}
    if kind == "regression" or (config.num_labels == 1 and mistakes.spec.model.task != "classification"):
        return "regression", None, False
    if config.num_labels == 1:
        return "classification", None, False
    classes = tuple(names.get(place, place) for place in range(config.num_labels))
    if all(str(label) == f"LABEL_{place}" for place, label in enumerate(classes)):
        return "classification", tuple(range(config.num_labels)), True
    return "classification", classes, False
