"""Dictionaries in the folder format of SAELens 6: ``cfg.json`` and ``sae_weights.safetensors``.

Read and written without the library. What this package has no value for is refused by name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit.errors import MethodError
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_ARCHITECTURES = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
_NEEDED = ("W_enc", "W_dec", "b_dec")
_PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib")


class UnreadableError(MethodError):
    """A file is missing or broken, so that nothing can be said of the dictionary."""


def write(dictionary: Dictionary, folder: str | Path) -> Path:
    """Write a dictionary into a folder, which is made where it is not there; gives the folder.

    ``metadata`` goes under that key of cfg.json as it is.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: tensor.cpu().contiguous() for name, tensor in tensors(dictionary).items()}
    save_file(found, folder / WEIGHTS)
    names = {ours: theirs for theirs, ours in _ARCHITECTURES.items()}
    config: dict[str, Any] = {
        "architecture": names[dictionary.activation],
        "d_in": dictionary.n,
        "d_sae": dictionary.m,
        "dtype": str(dictionary.w_enc.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": dict(dictionary.metadata),
    }
    if dictionary.activation == "topk":
        config |= {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    return folder


def tensors(dictionary: Dictionary) -> dict[str, torch.Tensor]:
    """A dictionary's tensors by SAELens' names."""
    named = {
        "W_enc": dictionary.w_enc,
        "b_enc": dictionary.b_enc,
        "W_dec": dictionary.w_dec,
        "b_dec": dictionary.b_dec,
        "threshold": dictionary.threshold,
    }
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def read(folder: str | Path) -> Dictionary:
    """The dictionary in a folder, on the processor in float32.

    Decoder biases that are not taken from the input, and latents that are scaled by the decoder's lengths, are folded
    into the weights. MethodError where tensors do not fit, or the architecture or its normalisation has no such value;
    UnreadableError, which is one, where a file is missing or broken.
    """
    folder = Path(folder)
    config = looked_at(folder)
    name = config.get("architecture", "standard")
    found = _tensors(folder / WEIGHTS)
    missing = [one for one in _NEEDED if one not in found]
    if name == "jumprelu" and "threshold" not in found:
        missing.append("threshold")
    if missing:
        raise MethodError(f"{folder / WEIGHTS}: there is no {', no '.join(missing)}")
    shapes = {one: tensor.ndim for one, tensor in found.items()}
    if any(shapes[one] != (2 if one.startswith("W_") else 1) for one in shapes if one in (*_NEEDED, "b_enc")):
        raise MethodError(f"{folder / WEIGHTS}: W_enc and W_dec have two axes, biases one")
    return _built(folder, config, name, found)


def looked_at(folder: Path) -> dict[str, Any]:
    """What cfg.json says, where it is of a dictionary that can be read and its weights are there as safetensors.

    Nothing of the weights is read. MethodError and UnreadableError as of `read`.
    """
    config = _config(folder / CONFIG)
    name = config.get("architecture", "standard")
    if not isinstance(name, str) or name not in _ARCHITECTURES:
        raise MethodError(f"{folder / CONFIG}: architecture {name!r}; there are {', '.join(_ARCHITECTURES)}")
    if config.get("normalize_activations") not in (None, "none"):
        raise MethodError(
            f"{folder / CONFIG}: normalize_activations {config['normalize_activations']!r} is not available in this "
            "version; fold it into the weights first"
        )
    if config.get("reshape_activations") not in (None, "none"):
        raise MethodError(
            f"{folder / CONFIG}: reshape_activations {config['reshape_activations']!r} is not available"
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        pickles = sorted(one.name for one in folder.iterdir() if pickled(one))
        if pickles:
            raise MethodError(
                f"{folder / pickles[0]}: a pickle can run code and is not opened; save the weights as {WEIGHTS}"
            )
        raise UnreadableError(f"{weights}: no such file")
    if pickled(weights):
        raise MethodError(
            f"{weights}: this is a pickle, which can run code and is not opened; save safetensors"
        )
    return config


def pickled(path: Path) -> bool:
    """Whether a file is a pickle, or an archive of one, by its name or its first bytes."""
    if not path.is_file():
        return False
    if path.suffix.lower() in _PICKLED:
        return True
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError:
        return False
    # A safetensors file starts with the length of its header in 8 bytes, the last ones 0, and then the header's brace.
    return start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[4:] != b"\0\0\0\0{")


def _built(
    folder: Path, config: Mapping[str, Any], name: str, tensors: dict[str, torch.Tensor]
) -> Dictionary:
    import torch

    w_enc, w_dec, b_dec = (tensors[one] for one in _NEEDED)
    b_enc = tensors.get("b_enc", torch.zeros(w_enc.shape[1]))
    k = config.get("k")
    if name == "topk" and (not isinstance(k, int) or isinstance(k, bool)):
        raise MethodError(f"{folder / CONFIG}: topk has a whole number k, not {k!r}")
    metadata = config.get("metadata", config.get("meta", {}))
    try:
        if not config.get("apply_b_dec_to_input", True):
            b_enc = b_enc + b_dec @ w_enc
        if config.get("rescale_acts_by_decoder_norm", False):
            lengths = w_dec.norm(dim=1)
            w_enc, b_enc, w_dec = w_enc * lengths, b_enc * lengths, w_dec / lengths[:, None]
        return Dictionary(
            w_enc,
            b_enc,
            w_dec,
            b_dec,
            _ARCHITECTURES[name],  # type: ignore[arg-type]
            k if name == "topk" else None,
            tensors["threshold"] if name == "jumprelu" else None,
            metadata if isinstance(metadata, dict) else {},
        )
    except (MethodError, RuntimeError) as error:
        raise MethodError(f"{folder / WEIGHTS}: {error}") from None


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise MethodError(f"{path}: a mapping is asked, this is {type(found).__name__}")
    return found


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"{path}: {error}") from None
