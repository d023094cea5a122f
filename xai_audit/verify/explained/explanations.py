"""Every published number of the explainers, made again from the audit's folder alone: a function for each method.

What is shared with measuring: the seeds of draws (``digest``), how a condition is read (``predicate``), and which rows of
a file are whose. All else, intervals,
orders, tests and rules, is written again here, through other functions where there are some.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.verify.checks import Check
from xai_audit.verify.explained import (
    asked,
    attributed,
    circuits,
    concept_claims,
    dictionaries,
    inputs,
    probing,
    prototypes,
    rung,
    training,
)
from xai_audit.verify.explained.agreement import Told, compared, largest
from xai_audit.verify.explained.kept import ContradictionError, Kept, LackingError
from xai_audit.verify.explained.needs import unmet
from xai_audit.verify.explained.piece import Made, Piece

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence


def _shap(piece: Piece) -> Made:
    return inputs.shap(piece) if piece.modality == "table" else attributed.shap(piece)


def _lime(piece: Piece) -> Made:
    table = piece.modality == "table"
    made = inputs.lime(piece) if table else attributed.lime(piece)
    if "observation" not in made:
        return made
    width = {"image": 0.25, "text": 25.0}.get(piece.modality, 0.75 * math.sqrt(len(piece.columns)))
    about: dict[str, Any] = {"kernel_width_used": float(piece.params.get("kernel_width") or width)}
    if table:
        rows, calls = len(piece.sampled()[0]), piece.params["seeds"] * (piece.params["samples"] - 1)
        about["answers_of_the_model"] = rows + (calls if piece.params["draws"] == "shared" else calls * rows)
    return {**made, "params": {**about, **made.get("params", {})}}


AGAIN: Mapping[str, Callable[[Piece], Made]] = {
    "shap": _shap,
    "lime": _lime,
    "integrated_gradients": attributed.integrated_gradients,
    "gradient_shap": attributed.gradient_shap,
    "occlusion": attributed.occlusion,
    "permutation_importance": inputs.permutation_importance,
    "partial_dependence": inputs.partial_dependence,
    "prototypes": prototypes.prototypes,
    "tcav": concept_claims.tcav,
    "sparse_autoencoder": dictionaries.sparse_autoencoder,
    "sparse_probing": probing.sparse_probing,
    "neuron_search": probing.neuron_search,
    "circuit_discovery": circuits.circuit_discovery,
    "progress_measures": training.progress_measures,
    "design_delta": training.design_delta,
}
"""How each method's evidence is made again, by the method's id."""
_SHAPELESS = (ArithmeticError, AttributeError, IndexError, KeyError, MemoryError, TypeError, ValueError)
"""What computing with numbers of a wrong shape or kind raises."""
SHOWN = 3
"""Contradictions that are told of one piece of evidence; more are counted."""


def explained(made: Audit, folder: Path) -> Iterator[Check]:
    """A check for every explainer's evidence, for every claim, and for all that is not there."""
    kept = Kept(made, folder)
    try:
        yield from list(asked.present(made))
    except _SHAPELESS as error:
        yield Check("broken", "audit.json", f"spec, subject or parameters cannot be read ({_words(error)})")
    for piece in made.evidence:
        if piece.kind == "explainer":
            yield checked(piece, made, kept)
        elif piece.controls or piece.inference or piece.robustness or piece.rung:
            yield _of_claim(piece)
    for name in kept.unnamed():
        yield Check("broken", f"evidence/{name}", "no evidence in audit.json names this file")


def _of_claim(piece: Evidence) -> Check:
    found = rung.claimed(piece)
    return (
        _broken(piece, found)
        if found
        else Check("holds", piece.id, "its controls and rung follow from its numbers")
    )


def checked(piece: Evidence, made: Audit, kept: Kept) -> Check:
    """One piece of an explainer's evidence, made again and compared."""
    found = rung.claimed(piece)
    computed: frozenset[str] = frozenset()
    told: list[Told] = []
    open_ = ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            kept.arrays(piece)
            if piece.method not in AGAIN:
                open_ = f"there is no recomputation of {piece.method}"
            elif piece.status == "failed":
                open_ = f"the method failed: {piece.reason}"
            elif (whole := unmet(piece, made)) is not None:
                return whole
            else:
                again = AGAIN[piece.method](Piece(piece, made, kept))
                computed = frozenset(again.get("params") or {})
                told = list(_compared(piece, kept, again))
    except ContradictionError as error:
        found.append(str(error))
    except LackingError as error:
        open_ = str(error)
    except _SHAPELESS as error:
        # What is published may be of any shape: what cannot even be computed with does not hold.
        found.append(f"nothing can be made again from what it holds ({_words(error)})")
    found += [one.what for one in told if one.kind == "broken"]
    try:
        found += asked.contradictions(made, piece, computed)
    except _SHAPELESS as error:
        found.append(f"its parameters cannot be held to the spec ({_words(error)})")
    if found:
        return _broken(piece, found)
    left = list(dict.fromkeys(one.what for one in told if one.kind == "open"))
    if open_ or left:
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        return Check("unchecked", piece.id, open_ or f"{left[0]}{more}; all else holds")
    stated = sorted({one.what for one in told if one.kind == "stated"})
    but = f"; {', '.join(stated)} stand as the run gave them" if stated else ""
    return Check("holds", piece.id, f"made again from the folder's arrays{but}")


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())[:80]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _broken(piece: Evidence, found: list[str]) -> Check:
    rest = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Check("broken", piece.id, "; ".join(found[:SHOWN]) + rest)


def _compared(piece: Evidence, kept: Kept, again: Made) -> Iterator[Told]:
    """Where what is published is not what was made again."""
    skipped = again.get("skipped")
    published = piece.model_dump(mode="json")
    apart = kept.cases(piece)
    if apart is not None and piece.observation is None:
        published = {**published, "observation": apart}
    elif piece.status == "skipped":
        if skipped is None:
            yield Told("broken", f"skipped ({piece.reason}), though its numbers can be made again")
        elif skipped != piece.reason:
            yield Told("broken", f"reason is {piece.reason!r}; made again it is {skipped!r}")
        return
    if skipped is not None:
        yield Told("broken", f"it has numbers, though there are none: {skipped}")
        return
    for name in ("observation", "controls", "inference", "robustness", "selftest", "sampling", "limits"):
        if name in again:
            yield from compared(published[name], again[name], name, _size(again[name]))
        elif name not in ("sampling", "limits") and published[name]:
            yield Told("broken", f"{name} is there; nothing gives it")
    for name, value in (again.get("params") or {}).items():
        yield from compared(published["params"].get(name), value, f"params.{name}", _size(value))
    yield from _cases(published["observation"], kept.arrays(piece))


def _cases(observation: Any, arrays: Mapping[str, Any]) -> Iterator[Told]:
    """Single rows that are not those whose digests are kept."""
    if "case_sha256" not in arrays or not isinstance(observation, dict):
        return
    kept = [bytes(one).hex() for one in arrays["case_sha256"]]
    told = observation.get("cases") or []
    if len(kept) != len(told):
        yield Told("broken", f"observation.cases shows {len(told)} single rows; {len(kept)} were kept")
        return
    for place, (case, own) in enumerate(zip(told, kept, strict=True)):
        if digest.of_value(case) != own:
            yield Told(
                "broken",
                f"observation.cases[{place}] is not the single row that was kept: its sha256 is another",
            )


def _size(expected: Any) -> float:
    return largest(expected, limits=False)
