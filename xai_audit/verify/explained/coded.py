"""The dictionaries of a circuit of latents made again from their sums over held-out documents."""

from __future__ import annotations

import math
from typing import Any

from xai_audit.verify.explained.agreement import Stated
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece

_TRAINED = Stated("what was trained")


def coding(piece: Piece, place: int, one: dict[str, Any]) -> dict[str, Any]:
    """One dictionary: of a trained one its FVU; of a named one also what fires, and that audit.json names its files."""
    site = str(one["site"])
    if site not in {_plain(text) for text in piece.params["sites"]}:
        raise ContradictionError(f"trained has a dictionary of {site!r}, which is none of the sites")
    found = {"site": site, "latents": one["latents"], "fvu": _fvu(piece, place)}
    folder = _folder(piece, site)
    if folder is None:
        return {**found, "trained_on": _TRAINED}
    files = [
        file for file in piece.about.get("dictionaries", ()) if (file["site"], file["path"]) == (site, folder)
    ]
    if len(files) != 1:
        raise ContradictionError(f"the dictionary of {site} is none of those that the subject names")
    fires, counts = piece.numbers(f"fires_{place}", 1), piece.whole(f"counts_{place}", 1)
    l0 = math.fsum(fires.tolist()) / int(counts.sum())
    return {
        **found,
        "latents": files[0]["latents"],
        "folder": folder,
        "sha256": files[0]["sha256"],
        "measured_on": _TRAINED,
        "l0": l0,
        "twins_k": files[0]["k"] or max(1, round(l0)),
    }


def _plain(site: str) -> str:
    """A site as evidence writes it: an output is what is meant where nothing is said."""
    return site.strip().removesuffix("#out")


def _folder(piece: Piece, site: str) -> str | None:
    asked = (piece.params.get("dictionaries") or {}).get("folders") or {}
    for text, given in asked.items():
        if _plain(text) == site:
            return str(given["path"] if isinstance(given, dict) else given)
    return None


def _fvu(piece: Piece, place: int) -> float:
    errors, spreads = (piece.numbers(f"{name}_{place}", 1) for name in ("errors", "spreads"))
    return math.fsum(errors.tolist()) / math.fsum(spreads.tolist())
