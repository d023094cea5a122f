"""A scaling law made again: its grid of errors, what it recommends and within which limits, dead latents by size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped
from xai_audit.verify.explained.summed import curve, ratio, share

Floats = NDArray[np.float64]
LAW = ("a", "b_k", "b_n", "g", "z", "h")


def scaling(piece: Piece) -> Made:
    """The grid of errors and the law over it."""
    if piece.evidence.status == "skipped":
        raise LackingError("why no law was fitted is not kept")
    grid = piece.params["scaling"]
    width, k = piece.numbers("width", 1), piece.numbers("k", 1)
    errors, spreads = piece.numbers("errors", 2), piece.numbers("spreads", 2)
    law, refits = shaped("law", piece.numbers("law", 1), 6), piece.numbers("refits", 2)
    shaped("refits", refits, -1, 6)
    shaped("spreads", spreads, len(width), -1)
    fvu = np.asarray(
        [math.fsum(a) / math.fsum(b) for a, b in zip(errors.tolist(), spreads.tolist(), strict=True)]
    )
    piece.agreeing("fvu", shaped("fvu", piece.numbers("fvu", 1), len(width)), fvu, 1e-9)
    series = []
    for one in sorted(set(k)):
        here = sorted((width[at], at) for at in np.flatnonzero(k == one))
        points = [
            {"x": float(wide), "estimate": ratio(piece, errors[at], spreads[at], low=0.0)}
            for wide, at in here
        ]
        series.append((f"k = {int(one)}", points))
    target = np.log(fvu)
    _fitted(law, width, k, target)
    left = (target - np.log(_law(law, width, k))) * math.sqrt(len(target) / max(len(target) - 6, 1))
    low, high = np.quantile(refits, [0.025, 0.975], axis=0)
    best = _recommended(law, refits, sorted(set(width)), sorted(set(k)))
    expected = [float(best[0]), float(best[1]), float(best[2])]
    sentence = (
        f"Over {len(width)} trainings of {grid['tokens']:,} activations the law recommends {int(best[3]):,} latents of "
        f"which {int(best[4])} fire, with an expected FVU of {expected[0]:.3f} [{expected[1]:.3f}, {expected[2]:.3f}]: "
        f"{best[5]}."
    )
    return {
        "observation": curve("latents", "FVU", series),
        "params": {
            "parameters": {
                name: [float(law[at]), float(low[at]), float(high[at])] for at, name in enumerate(LAW)
            },
            "residual_spread": float(left.std()),
            "recommended_latents": int(best[3]),
            "recommended_k": int(best[4]),
            "expected_fvu": expected,
            "sentence": sentence,
        },
    }


def _law(law: Floats, width: Any, k: Any) -> Floats:
    a, b_k, b_n, g, z, h = law
    n, few = np.log(width), np.log(k)
    return np.asarray(np.exp(a + b_k * few + b_n * n + g * few * n) + np.exp(np.clip(z + h * few, -60, 60)))


def _fitted(law: Floats, width: Floats, k: Floats, target: Floats) -> None:
    """ContradictionError where another law nearby fits clearly better."""
    from scipy.optimize import minimize

    def lost(at: Floats) -> float:
        return float(((np.log(_law(at, width, k)) - target) ** 2).sum())

    here = lost(law)
    better = min(
        float(minimize(lost, law, method=way, options={"maxiter": 500}).fun)
        for way in ("BFGS", "Nelder-Mead")
    )
    if better < here * 0.9 - 1e-12:
        raise ContradictionError(f"array law leaves {here:.6g}; another law leaves {better:.6g}")


def _recommended(law: Floats, refits: Floats, widths: Any, ks: Any) -> tuple[Any, ...]:
    """The first pair from which neither twice the latents nor twice the k lowers the error by a twentieth."""
    chosen = (widths[-1], ks[-1])
    reason = "the largest that was tried: twice the latents or k still lowers the error by 5 %"
    for k in ks:
        for width in widths:
            here = _law(law, width, k)
            if min(_law(law, 2 * width, k), _law(law, width, 2 * k)) > 0.95 * here and reason.startswith(
                "the"
            ):
                chosen = (width, k)
                reason = "neither twice the latents nor twice the k lowers the error by 5 %"
    low, high = np.quantile([float(_law(one, *chosen)) for one in refits], [0.025, 0.975])
    return float(_law(law, *chosen)), low, high, *chosen, reason


def dead_by_size(piece: Piece) -> Made:
    """Dead latents of every training of the grid."""
    width, k, never = (piece.whole(name, 1) for name in ("width", "k", "never"))
    shaped("never", never, len(width))
    series = []
    for one in sorted(set(k.tolist())):
        here = sorted((int(width[at]), int(never[at])) for at in np.flatnonzero(k == one))
        points = [{"x": float(wide), "estimate": share(piece, dead, wide)} for wide, dead in here]
        series.append((f"k = {one}", points))
    return {"observation": curve("latents", "share of latents that never fired", series)}
