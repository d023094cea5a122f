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


def write(dictionary: Dictionary, folder: str | Path) -> Path:
    """Write a dictionary into a folder, which is made where it is not there; gives the folder.

    ``metadata`` goes under that key of cfg.json as it is.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "W_enc": dictionary.w_enc,
        "b_enc": dictionary.b_enc,
        "W_dec": dictionary.w_dec,
        "b_dec": dictionary.b_dec,
    }
    if dictionary.threshold is not None:
        tensors["threshold"] = dictionary.threshold
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
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


def read(folder: str | Path) -> Dictionary:
    """The dictionary in a folder, on the processor in float32.

    Decoder biases that are not taken from the input, and latents that are scaled by the decoder's lengths, are folded
    into the weights. MethodError where a file is missing or broken, tensors do not fit, or the architecture or its
    normalisation has no such value.
    """
    folder = Path(folder)
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
    tensors = _tensors(folder / WEIGHTS)
    missing = [one for one in _NEEDED if one not in tensors]
    if name == "jumprelu" and "threshold" not in tensors:
        missing.append("threshold")
    if missing:
        raise MethodError(f"{folder / WEIGHTS}: there is no {', no '.join(missing)}")
    shapes = {one: tensor.ndim for one, tensor in tensors.items()}
    if any(shapes[one] != (2 if one.startswith("W_") else 1) for one in shapes if one in (*_NEEDED, "b_enc")):
        raise MethodError(f"{folder / WEIGHTS}: W_enc and W_dec have two axes, biases one")
    return _built(folder, config, name, tensors)


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
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise MethodError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise MethodError(f"{path}: a mapping is asked, this is {type(found).__name__}")
    return found


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise MethodError(f"{path}: {error}") from None
