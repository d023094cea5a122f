"""A torch network as a model: rows read for it, its outputs made scores, built anew from its files in a worker process."""

from __future__ import annotations

import contextlib
import inspect
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders.links import margins
from xai_audit.loaders.mistakes import content
from xai_audit.loaders.xgboost import required, version_of
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import ImageReader, TableReader, TextReader

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Seen
    from xai_audit.mechanistic.network import Link, Reader
    from xai_audit.spec import Preprocess

MICRO = {"table": 256, "image": 32, "text": 16}
"""Rows in one pass, by what they are."""


class Source(Protocol):
    """Where a network comes from; can be pickled."""

    def module(self) -> torch.nn.Module:
        """The network built from its files; UnavailableError where they are not of their digests now."""
        ...


@dataclass(eq=False)
class NetworkAnswer:
    """Asks a network for its scores; a worker process builds its own from the same files."""

    source: Source
    device: str
    link: Link = "none"
    """Set when the test rows have shown what the outputs are; until then scores are the outputs themselves."""
    reader: Reader | None = None
    opaque: str | None = None
    fixed: int | None = None
    """Rows the network insists on, None where it takes any."""
    arguments: tuple[str, ...] = ()
    """Names of the network's own arguments, as far as it tells them."""
    made: Network | None = field(default=None, repr=False)

    @property
    def network(self) -> Network | None:
        """The network for what looks inside; None where every batch must be of one size."""
        return None if self.fixed is not None else self.asked()

    def asked(self) -> Network:
        """The network with its reader and link."""
        if self.made is None:
            self.made = Network(self.source.module(), device=self.device, opaque=self.opaque)
        self.made.reader, self.made.link = self.reader, self.link
        if self.reader is not None:
            self.made.micro = MICRO[self.reader.kind]
        return self.made

    def scores(self, x: pd.DataFrame) -> NDArray[np.float64]:
        """Scores (rows, classes or 1) by the link."""
        return self.linked(self.outputs(x))

    def linked(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of outputs, by the link."""
        import torch

        found: NDArray[np.float64] = self.asked().linked(torch.from_numpy(outputs)).numpy()
        return found

    def margin(self, x: pd.DataFrame) -> NDArray[np.float64] | None:
        """Outputs before the link, ``[-m, m]`` for two classes; None where they are probabilities or numbers."""
        return margins(self.outputs(x), self.link)

    def outputs(self, x: pd.DataFrame) -> NDArray[np.float64]:
        """Outputs (rows, classes or 1) before the link."""
        network = self.asked()
        if self.fixed is None:
            return network.outputs(x)
        parts = []
        for start in range(0, len(x), self.fixed):
            piece = x.iloc[start : start + self.fixed]
            real = len(piece)
            piece = piece.iloc[[*range(real), *[0] * (self.fixed - real)]]
            assert self.reader is not None
            ran = network.run(self.reader.batch(piece))
            parts.append(ran.outputs[:real].double().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 1))

    def seen(self, seen: Seen, mistakes: Mistakes) -> tuple[str, ...]:
        """Takes the reader for rows of this kind; returns what was decided. Mistakes where preprocess does not fit."""
        self.reader, notes = reader(seen, mistakes, self.arguments, self.reader)
        return notes

    def __getstate__(self) -> dict[str, Any]:
        """Without the network, which is built anew."""
        return {**self.__dict__, "made": None}


def reader(
    seen: Seen, mistakes: Mistakes, arguments: Sequence[str] = (), given: Reader | None = None
) -> tuple[Reader | None, tuple[str, ...]]:
    """What turns rows of this kind into batches, by ``model.preprocess`` or as the model's folder says (``given``)."""
    if given is not None and given.kind != seen.modality:
        what = f"this model reads {_WORDS[given.kind]}, and the test data are {_WORDS[seen.modality]}"
        mistakes.at("data.test", what + _ADVICE.get((given.kind, seen.modality), ""))
        return None, ()
    if given is None:
        _fitting(seen, mistakes)
    if seen.modality == "text":
        made = given if isinstance(given, TextReader) else _text_reader(seen, mistakes, arguments)
        if made is None:
            return None, ()
        made.column = seen.columns[0]
        return made, cut(made, seen)
    if seen.modality == "image":
        return _image_reader(seen, mistakes, given)
    for name in seen.words:
        what = (
            "a column of text, and a network takes numbers alone; encode it as when the network was trained"
        )
        mistakes.cell(seen.path, None, name, what, kind="text")
    return TableReader(seen.columns), ()


def _fitting(seen: Seen, mistakes: Mistakes) -> None:
    """Mistakes where preprocess is about other rows than there are."""
    preprocess = mistakes.spec.model.preprocess
    kinds = {"tokenizer": "text", "max_length": "text"}
    kinds |= dict.fromkeys(("size", "channels", "mean", "std"), "image")
    for key, kind in kinds.items():
        if preprocess is not None and getattr(preprocess, key) is not None and seen.modality != kind:
            what = f"this is about {_WORDS[kind]}, and the test data are {_WORDS[seen.modality]}"
            mistakes.at(f"model.preprocess.{key}", what + _ADVICE.get((kind, seen.modality), ""))


def _image_reader(seen: Seen, mistakes: Mistakes, given: Reader | None) -> tuple[Reader, tuple[str, ...]]:
    column, preprocess = seen.columns[0], mistakes.spec.model.preprocess
    if isinstance(given, ImageReader):
        return replace(given, column=column), ()
    if preprocess is None:
        note = "no model.preprocess is stated: pictures are scaled to [0, 1] and given as they are"
        return ImageReader(column), (note,)
    return ImageReader(column, sides(preprocess), preprocess.mean, preprocess.std, preprocess.channels), ()


def sides(preprocess: Preprocess) -> tuple[int, int] | None:
    """Height and width of the pictures that are asked for."""
    size = preprocess.size
    return (size, size) if isinstance(size, int) else size


_WORDS = {"table": "a table", "image": "pictures", "text": "texts"}
_ADVICE = {
    ("text", "table"): "; name the column of texts as text: under data.test",
    ("image", "table"): "; a folder of pictures is asked as data.test",
}


def _text_reader(seen: Seen, mistakes: Mistakes, arguments: Sequence[str]) -> TextReader | None:
    preprocess = mistakes.spec.model.preprocess
    if preprocess is None or preprocess.tokenizer is None:
        what = "texts need a tokenizer; write preprocess: {tokenizer: tokenizer.json} under model"
        mistakes.at("model.preprocess", what)
        return None
    name = preprocess.tokenizer
    try:
        data, _ = content(
            mistakes.spec.resolve(name),
            name,
            None,
            "model.preprocess.tokenizer",
            type(mistakes)(mistakes.spec),
        )
    except SpecError as error:
        mistakes.add(error.mistakes)
        return None
    made = text_reader(data, name, seen.columns[0], preprocess.max_length, mistakes)
    if made is None:
        return None
    made.names = _names(arguments)
    made.full = len(made.names) == 1
    if made.full and preprocess.max_length is None:
        what = (
            "this network takes no attention mask and would see how texts are padded; state max_length, to which "
            "all are padded then"
        )
        mistakes.at("model.preprocess.max_length", what)
    return made


def _names(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments for ids and mask: by their usual names, else the first one for ids alone."""
    if not arguments:
        return "input_ids", "attention_mask"
    ids = next((name for name in ("input_ids", "ids", "tokens") if name in arguments), arguments[0])
    mask = [name for name in ("attention_mask", "mask") if name in arguments and name != ids]
    return (ids, *mask[:1])


def text_reader(
    data: bytes, name: str, column: str, max_length: int | None, mistakes: Mistakes, pad: int | None = None
) -> TextReader | None:
    """A reader of the bytes of a tokenizer.json; None, with a mistake told, where they are none."""
    key = "model.preprocess.tokenizer" if mistakes.spec.model.preprocess is not None else "model.path"
    library = required("tokenizers", "torch", mistakes)
    try:
        text = data.decode()
        made = library.Tokenizer.from_str(text)
        held = json.loads(text).get("padding")
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        reason = (str(error).splitlines() or [""])[0][:150]
        mistakes.at(key, f"{name} cannot be read as a tokenizer.json: {reason}", missing=True)
        return None
    if pad is None and isinstance(held, dict):
        pad = held.get("pad_id")
    known = [made.token_to_id(word) for word in ("[PAD]", "<pad>", "<|pad|>")]
    found = next((one for one in (pad, *known) if isinstance(one, int)), 0)
    return TextReader(column, text, max_length, pad=found)


def cut(reader: TextReader, seen: Seen) -> tuple[str, ...]:
    """A note on texts that are longer than what the model reads."""
    if reader.max_length is None:
        return ()
    texts = [cell if isinstance(cell, str) else "" for cell in seen.frame[reader.column]]
    count = reader.cut(texts)
    if not count:
        return ()
    longer = f"{count:,} of {len(texts):,} test texts are longer than {reader.max_length:,} tokens"
    return (f"{longer}; the model reads their beginning alone",)


def arguments(module: torch.nn.Module) -> tuple[str, ...]:
    """The names of what a network's forward takes, without those that only collect."""
    try:
        found = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


def many(module: torch.nn.Module) -> bool:
    """Whether the last linear layer has several outputs, as that of a classifier does."""
    widths = [
        one.out_features for one in module.modules() if isinstance(getattr(one, "out_features", None), int)
    ]
    return bool(widths) and widths[-1] > 1


def device(mistakes: Mistakes) -> str:
    """Where the spec lets torch run; a mistake where it asks for CUDA and there is none."""
    import torch

    asked = mistakes.spec.model.device
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        what = "cuda is asked and torch finds no CUDA device here; write device: auto or cpu"
        mistakes.at("model.device", what)
        raise SpecError(mistakes.told())
    return "cuda" if asked == "cuda" or (asked == "auto" and there) else "cpu"


def facts(module: torch.nn.Module, device: str, *libraries: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Details of a network for the audit, and a note where it runs on CUDA."""
    import torch

    parameters = list(module.parameters())
    details = {
        "parameters": sum(one.numel() for one in parameters),
        "precision": sorted({str(one.dtype).removeprefix("torch.") for one in parameters}),
        "device": device,
        "versions": {name: version_of(name) for name in ("torch", *libraries)},
    }
    if device == "cpu":
        return details, ()
    name = torch.cuda.get_device_name(0)
    return details, (f"the network runs on CUDA ({name}); a processor may give other last digits",)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without warnings of torch about its own future, which arise in its reading of files."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        yield
