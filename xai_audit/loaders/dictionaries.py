"""Sparse dictionaries that lie on disk, with the sites they are of: a folder in SAELens' format, or an audit's.

No pickle is opened. What a spec names is held to the network before a method runs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import audit, digest
from xai_audit.errors import MethodError, UnavailableError
from xai_audit.loaders.mistakes import Mistakes
from xai_audit.mechanistic.dictionaries import saelens
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.sites import Site, feature_axis
from xai_audit.subject import SavedDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from xai_audit.evidence import Evidence
    from xai_audit.mechanistic.network import Network
    from xai_audit.spec import Spec
    from xai_audit.subject import Model

TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec")
AUDIT = "audit.json"


# ------------------------------------------------------------------------------------------------- the command line
def dictionaries(asked: str, model: str) -> list[tuple[Site, Dictionary]]:
    """``SITE=FOLDER`` of a folder that the toolkit or SAELens wrote, or the folder of an audit of the model of this sha256.

    UnavailableError where there is none that can be read.
    """
    try:
        if Path(asked).is_dir():
            return [(site, dictionary) for site, dictionary, _ in _of_folder(Path(asked), None, model)]
        # A site may hold an equals sign, as in @head=2.
        site, _, folder = asked.rpartition("=")
        if not site or not folder:
            raise UnavailableError(f"{asked}: there is no such folder; a dictionary is named as SITE=FOLDER")
        found = _of_folder(Path(folder), Site.parse(site), model)
        return [(place, dictionary) for place, dictionary, _ in found]
    except MethodError as error:
        raise UnavailableError(str(error)) from None


# ------------------------------------------------------------------------------------------------- a spec
def folders(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By site, path and declared sha256 of the folders that a method's parameters name.

    Those of an audit that is doubted may be anything: what is no path is passed over.
    """
    trained = params.get("dictionaries")
    named = trained.get("folders") if isinstance(trained, dict) else None
    each = named.items() if isinstance(named, dict) else ()
    told = {site: one if isinstance(one, dict) else {"path": one} for site, one in each}
    return {site: one for site, one in told.items() if isinstance(one.get("path"), str)}


def named(spec: Spec, model: Model | None, frame: pd.DataFrame) -> tuple[SavedDictionary, ...]:
    """Every dictionary that a spec names, each once; ``frame`` has a row by which the network tells its sites' sizes.

    SpecError with each that cannot be had, cannot be read, or does not fit its site.
    """
    mistakes, network = Mistakes(spec), None if model is None else model.network
    found: dict[tuple[str, str], SavedDictionary] = {}
    for place, use in enumerate(spec.explainers):
        for site, one in folders(use.params).items():
            key = f"explainers.{place}.{use.method}.dictionaries.folders.{site}"
            try:
                read = _read(spec, site, one, "" if model is None else model.sha256)
                if network is not None and network.reader is not None and network.opaque is None:
                    _fits(read, network, frame)
            except UnavailableError as error:
                mistakes.at(key, str(error), missing=True)
            except MethodError as error:
                mistakes.at(key, str(error))
            except OSError as error:
                mistakes.at(key, f"{error.filename} cannot be read: {error.strerror or error}", missing=True)
            else:
                found[read.site, read.path] = read
    mistakes.check()
    return tuple(found[key] for key in sorted(found))


def look(folder: Path) -> None:
    """UnavailableError or MethodError where a folder holds no dictionary that can be read; no weights are opened."""
    if not folder.is_dir():
        if folder.exists() and saelens.pickled(folder):
            raise MethodError(
                f"{folder}: a pickle can run code and is not opened; name a folder with {saelens.CONFIG} and "
                f"{saelens.WEIGHTS}"
            )
        what = "this is a file; a folder is asked" if folder.exists() else "there is no such folder"
        raise UnavailableError(f"{folder}: {what}")
    if (folder / saelens.CONFIG).is_file():
        try:
            saelens.looked_at(folder)
        except saelens.UnreadableError as error:
            raise UnavailableError(str(error)) from None
    elif not (folder / AUDIT).is_file():
        pickles = sorted(one.name for one in folder.iterdir() if saelens.pickled(one))
        if pickles:
            raise MethodError(f"{folder / pickles[0]}: a pickle can run code and is not opened")
        raise UnavailableError(f"{folder}: there is no {saelens.CONFIG} and no {AUDIT} in this folder")


def _read(spec: Spec, site: str, one: Mapping[str, Any], model: str) -> SavedDictionary:
    import torch

    folder, asked = spec.resolve(one["path"]), Site.parse(site)
    found = _of_folder(folder, asked, model)
    if len(found) > 1:
        raise MethodError(
            f"{folder}: this audit keeps {len(found)} dictionaries of {site}, and nothing says which is asked"
        )
    _, dictionary, sha256 = found[0]
    if one.get("sha256") not in (None, sha256):
        raise UnavailableError(
            f"{folder}: the dictionary has sha256 {sha256}, not the declared {one['sha256']}"
        )
    for name, tensor in saelens.tensors(dictionary).items():
        if not bool(torch.isfinite(tensor).all()):
            raise MethodError(f"{folder}: {name} holds numbers that are not finite")
    return SavedDictionary(str(asked), one["path"], sha256, dictionary)


def _fits(one: SavedDictionary, network: Network, frame: pd.DataFrame) -> None:
    """MethodError where the network has no such site, or one of another size."""
    site = Site.parse(one.site)
    network.check(site)
    for _, batch in network.batches(frame.iloc[:1]):
        value = network.run(batch, capture=[site]).captured[site]
        width = int(value.shape[feature_axis(value)])
        if width != one.dictionary.n:
            raise MethodError(
                f"{one.path}: a dictionary of {one.dictionary.n:,} features; {one.site} has {width:,}"
            )


# ------------------------------------------------------------------------------------------------- folders
def _of_folder(folder: Path, site: Site | None, model: str) -> list[tuple[Site, Dictionary, str]]:
    """Sites, dictionaries and the sha256 of the files that each was read from.

    Of SAELens' format that is the root over cfg.json and the weights, as of a folder of these two; of an audit, of the
    file of evidence/ that holds the tensors.
    """
    look(folder)
    if (folder / saelens.CONFIG).is_file():
        if site is None:
            raise UnavailableError(
                f"{folder}: this folder does not say where the dictionary is of; name SITE={folder}"
            )
        return [(site, *_of_saelens(folder))]
    made = audit.read(folder)
    if (made.subject.get("model") or {}).get("sha256") != model:
        raise MethodError(f"{folder}: this audit is of another model than the spec names")
    found = [
        (Site.parse(str(piece.params.get("site"))), *_kept(folder, piece))
        for piece in made.evidence
        if piece.method == "sparse_autoencoder" and "W_dec" in piece.arrays
    ]
    found = [one for one in found if site is None or one[0] == site]
    if not found:
        raise MethodError(f"{folder}: this audit keeps no dictionary{'' if site is None else f' of {site}'}")
    return found


def _of_saelens(folder: Path) -> tuple[Dictionary, str]:
    def files() -> str:
        return digest.root(digest.of_file(folder / name) for name in (saelens.CONFIG, saelens.WEIGHTS))

    try:
        before = files()
        dictionary = saelens.read(folder)
        if files() != before:
            raise UnavailableError(f"{folder}: it changed while it was read")
    except saelens.UnreadableError as error:
        raise UnavailableError(str(error)) from None
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be read: {error.strerror or error}") from None
    return dictionary, before


def _kept(folder: Path, piece: Evidence) -> tuple[Dictionary, str]:
    """The dictionary whose tensors stand among the arrays of a piece of evidence."""
    import numpy as np
    import torch

    name = piece.arrays["W_dec"]
    path = folder / "evidence" / Path(name).name
    try:
        content = path.read_bytes()
        sha256 = digest.of_bytes(content)
        if f"{sha256}.npz" != name:
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
        return Dictionary(w_enc, b_enc, w_dec, b_dec, "jumprelu", threshold=threshold), sha256
    if piece.params.get("variant") == "topk":
        return Dictionary(w_enc, b_enc, w_dec, b_dec, "topk", int(piece.params["k"])), sha256
    return Dictionary(w_enc, b_enc, w_dec, b_dec, "relu"), sha256
