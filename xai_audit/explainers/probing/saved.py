"""Sparse dictionaries that lie on disk, with the sites they are of: a folder in SAELens' format, or an audit's."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import audit, digest
from xai_audit.errors import MethodError, UnavailableError
from xai_audit.mechanistic.dictionaries import saelens
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from xai_audit.evidence import Evidence

TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec")


def dictionaries(asked: str, model: str) -> list[tuple[Site, Dictionary]]:
    """``SITE=FOLDER`` of a folder that the toolkit or SAELens wrote, or the folder of an audit of the model of this sha256.

    UnavailableError where there is none that can be read.
    """
    try:
        if Path(asked).is_dir():
            return _of_folder(Path(asked), None, model)
        # A site may hold an equals sign, as in @head=2.
        site, _, folder = asked.rpartition("=")
        if not site or not folder:
            raise UnavailableError(f"{asked}: there is no such folder; a dictionary is named as SITE=FOLDER")
        if not Path(folder).is_dir():
            raise UnavailableError(f"{folder}: there is no such folder")
        return _of_folder(Path(folder), Site.parse(site), model)
    except MethodError as error:
        raise UnavailableError(str(error)) from None


def _of_folder(folder: Path, site: Site | None, model: str) -> list[tuple[Site, Dictionary]]:
    if (folder / saelens.CONFIG).is_file():
        if site is None:
            raise UnavailableError(
                f"{folder}: this folder does not say where the dictionary is of; name SITE={folder}"
            )
        return [(site, saelens.read(folder))]
    if not (folder / "audit.json").is_file():
        raise UnavailableError(f"{folder}: there is no {saelens.CONFIG} and no audit.json in this folder")
    made = audit.read(folder)
    if (made.subject.get("model") or {}).get("sha256") != model:
        raise UnavailableError(f"{folder}: this audit is of another model than the spec names")
    found = [
        (Site.parse(str(piece.params.get("site"))), _kept(folder, piece))
        for piece in made.evidence
        if piece.method == "sparse_autoencoder" and "W_dec" in piece.arrays
    ]
    found = [one for one in found if site is None or one[0] == site]
    if not found:
        raise UnavailableError(
            f"{folder}: this audit keeps no dictionary{'' if site is None else f' of {site}'}"
        )
    return found


def _kept(folder: Path, piece: Evidence) -> Dictionary:
    """The dictionary whose tensors stand among the arrays of a piece of evidence."""
    import numpy as np
    import torch

    name = piece.arrays["W_dec"]
    path = folder / "evidence" / Path(name).name
    try:
        content = path.read_bytes()
        if f"{digest.of_bytes(content)}.npz" != name:
            raise UnavailableError(f"{path}: its content is not what its name says")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            tensors: dict[str, Any] = {
                one: torch.from_numpy(arrays[one].astype(np.float32))
                for one in (*TENSORS, "threshold")
                if one in arrays.files
            }
        w_enc, b_enc, w_dec, b_dec = (tensors[one] for one in TENSORS)
    except (OSError, ValueError, KeyError) as error:
        raise UnavailableError(f"{path}: the dictionary cannot be read: {error}") from None
    threshold = tensors.get("threshold")
    if threshold is not None:
        return Dictionary(w_enc, b_enc, w_dec, b_dec, "jumprelu", threshold=threshold)
    if piece.params.get("variant") == "topk":
        return Dictionary(w_enc, b_enc, w_dec, b_dec, "topk", int(piece.params["k"]))
    return Dictionary(w_enc, b_enc, w_dec, b_dec, "relu")
