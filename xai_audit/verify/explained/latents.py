"""Latents of a dictionary made again: how well patterns of tokens tell them, and what the output does without them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import encoded
from xai_audit.verify.explained import spread
from xai_audit.verify.explained.agreement import Stated
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped
from xai_audit.verify.explained.summed import shown

Floats = NDArray[np.float64]
ENOUGH, FEWEST = 10, 5
"""Activations for which a latent fires that is described: fitting ones, held-out ones."""
COLUMNS = [
    "density",
    "mean value",
    "distinct tokens",
    "patterns",
    "precision",
    "recall",
    "detection",
    "fuzzing",
]
CONTEXTS = Stated("the contexts in which latents fire")
NO_TEXTS = "not applicable: explanations are patterns of tokens, for networks that read texts"


def _balanced(counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Detection and fuzzing of each latent: the mean of two shares, of windows and of marks told rightly."""
    if (counts < 0).any() or (counts[:, :, 0] > counts[:, :, 1]).any():
        raise ContradictionError("array counts tells more rightly than there are")
    shares = counts[:, :, 0] / np.maximum(counts[:, :, 1], 1)
    return shares[:, :2].mean(axis=1), shares[:, 2:].mean(axis=1)


def scores(piece: Piece) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The latents that are described, with their detection and fuzzing."""
    number = piece.whole("latent", 1)
    found = _balanced(shaped("counts", piece.whole("counts", 3), len(number), 4, 2))
    for name, own in zip(("detection", "fuzzing"), found, strict=True):
        piece.agreeing(name, piece.numbers(name, 1), own, 1e-12)
    fired = piece.whole("fit_fired", 1)
    if len(set(number.tolist())) < len(number) or number.min() < 0 or number.max() >= len(fired):
        raise ContradictionError("array latent names a latent twice, or one that there is not")
    if (fired[number] < ENOUGH).any():
        raise ContradictionError("array latent names a latent that fires too seldom")
    return number, *found


def detection(piece: Piece) -> Made:
    """How well explanations tell where latents fire, beside those of other latents and of other dictionaries."""
    if piece.evidence.status == "skipped":
        if piece.modality != "text":
            return {"skipped": NO_TEXTS}
        raise LackingError("how many latents fire often enough asks the network again")
    number, own, fuzzing = scores(piece)
    null, null_fuzzing = (
        shaped(name, piece.numbers(name, 2), -1, len(number)) for name in ("null_detection", "null_fuzzing")
    )
    others = {name: piece.numbers(f"{name}_detection", 1) for name in ("frozen", "twin")}
    estimate = spread.mean(own, piece.levels)
    controls = [
        spread.control(
            "above explanations of other latents",
            "positive",
            spread.mean(own - null.mean(axis=0), piece.levels),
        )
    ]
    for name, words in (
        ("frozen", "above a frozen decoder’s latents"),
        ("twin", "above latents of the network with permuted weights"),
    ):
        if len(others[name]) > 1:
            value, pairs = spread.apart(own, others[name], piece.levels)
            found = spread.estimate(value, pairs, len(own) + len(others[name]))
            controls.append(spread.control(words, "positive", found))
    limit, fuzz_limit = (float(np.quantile(one, 0.95)) for one in (null, null_fuzzing))
    eligible = (piece.whole("fit_fired", 1) >= ENOUGH) & (piece.whole("own_fired", 1) >= FEWEST)
    means = {name: spread.centre(one) if len(one) else None for name, one in others.items()}
    beside = "; ".join(
        f"{words} {mean:.2f}"
        for words, mean in zip(
            ("of a dictionary that was not trained", "of the network with permuted weights"),
            means.values(),
            strict=True,
        )
        if mean is not None
    )
    return {
        "observation": {"shape": "scalar", "estimate": estimate, "unit": "balanced accuracy"},
        "controls": controls,
        "sampling": {
            "available": int(eligible.sum()),
            "used": len(number),
            "how": f"latents drawn among those with {ENOUGH} fitting and {FEWEST} held-out activations",
        },
        "params": {
            "null_95": limit,
            "above_null": float((own > limit).mean()),
            "fuzzing": spread.centre(fuzzing),
            "fuzzing_null_95": fuzz_limit,
            "fuzzing_above_null": float((fuzzing > fuzz_limit).mean()),
            "frozen_detection": means["frozen"],
            "twin_detection": means["twin"],
            "sentence": "Patterns of tokens tell in which held-out windows a latent fires with a balanced accuracy of "
            f"{shown(estimate)} over {len(number)} latents; explanations of other latents {spread.centre(null):.2f}"
            f"{'; ' + beside if beside else ''}.",
        },
    }


def features(piece: Piece) -> Made:
    """The table of latents."""
    number, own, fuzzing = scores(piece)
    fired, tokens = piece.whole("fit_fired", 1)[number], int(piece.whole("sizes", 2)[0, 1])
    summed = shaped("value_sum", piece.numbers("value_sum", 1), len(number))
    distinct, patterns, matched, said, fires = shaped(
        "patterns", piece.whole("patterns", 2), len(number), 5
    ).T
    if not np.array_equal(fires, fired) or (matched > np.minimum(fires, said)).any():
        raise ContradictionError("array patterns is not of the latents and how often they fire")
    columns = [
        fired / tokens,
        summed / fired,
        distinct,
        patterns,
        np.where(said > 0, matched / np.maximum(said, 1), 0.0),
        matched / fired,
        own,
        fuzzing,
    ]
    return {
        "observation": {
            "shape": "matrix",
            "rows": [str(one) for one in number.tolist()],
            "columns": COLUMNS,
            "values": np.stack(columns, axis=1).astype(float).tolist(),
            "row_title": "latent",
            "column_title": None,
        }
    }


def contexts(piece: Piece) -> Made:
    """The contexts shown are as the run gave them, held to their digests; the latents and their scores are made again."""
    number, own, _ = scores(piece)
    told = dict(zip([f"latent {one}" for one in number.tolist()], own.tolist(), strict=True))
    published = piece.kept.cases(piece.evidence)
    if published is None and piece.evidence.observation is not None:
        published = piece.evidence.observation.model_dump(mode="json")
    found: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    for case in (published or {}).get("cases") or ():
        if case.get("explained") not in told:
            raise ContradictionError(
                f"observation shows {case.get('explained')!r:.40}, which is not described"
            )
        seen[case["explained"]] += 1
        found.append(
            {
                "kind": "text",
                "rank": seen[case["explained"]],
                "why": CONTEXTS,
                "explained": case["explained"],
                "score": CONTEXTS,
                "unit": "activation",
                "detection": told[case["explained"]],
                "tokens": CONTEXTS,
            }
        )
    return {"observation": {"shape": "cases", "cases": found}}


# ------------------------------------------------------------------------------------------------ effects
def effect(piece: Piece) -> Made:
    """What the output does without a latent, beside random directions in its place."""
    taken = [int(one) for one in piece.params["taken_out"]]
    latent = int(piece.params["latent"])
    if piece.part != encoded(f"effect@{latent}") or latent not in taken or len(set(taken)) < len(taken):
        raise ContradictionError("params.latent is another than the id's, or was not taken out")
    each, random = piece.numbers("each", 1), piece.numbers("random", 2)
    shaped("random", random, int(piece.params["directions"]), len(each))
    direct = shaped("direct", piece.numbers("direct", 1), len(each))
    estimate, drawn = spread.mean(each, piece.levels), random.mean(axis=1)
    size = math.sqrt(spread.centre(drawn**2))
    reach = [spread.student(level, len(drawn)) * size for level in piece.levels]
    centre = spread.centre(drawn)
    null = spread.estimate(centre, [(centre - far, centre + far) for far in reach], len(drawn))
    beyond = abs(estimate["value"]) - reach[0]
    # Where nothing varies the interval is the mean itself.
    ends = [(estimate["low"], estimate["high"]), *map(tuple, (estimate["limits"] or {}).values())]
    pairs = [
        (
            None if low is None else beyond - (estimate["value"] - low),
            None if high is None else beyond + (high - estimate["value"]),
        )
        for low, high in ends
    ]
    m, fires = int(piece.params["effects"]), int((each != 0).sum())
    p, adjusted = _tested(piece, taken, latent)
    what, unit = _output(piece)
    sentence = (
        f"Taking out what latent {latent} writes at {piece.params['site']} changed {what} by {shown(estimate, 3, -1)} on "
        f"average over {len(each)} rows, {fires} of which it fires for; random directions of that size by up to "
        f"{reach[0]:.3f}."
    )
    return {
        "observation": {"shape": "scalar", "estimate": estimate, "unit": unit},
        "controls": [
            spread.control(
                "effect of the ablation beyond random directions",
                "positive",
                spread.estimate(beyond, pairs, len(each)),
                edit=True,
            ),
            spread.control("random directions of equal size", "null", null, edit=True),
        ],
        "inference": {
            "p": p,
            "adjusted": adjusted,
            "method": "Student's t of the change by row, Holm",
            "family": f"{m} latents taken out",
            "m": m,
        },
        "params": {
            "latent": latent,
            "taken_out": taken,
            "output": what,
            "direct_effect": spread.centre(direct),
            "rows_it_fires_for": fires,
            "sentence": sentence,
        },
    }


def _tested(piece: Piece, taken: list[int], latent: int) -> tuple[float, float]:
    """The p of one latent, and Holm's over all that were taken out."""
    ps = {}
    for one in taken:
        other = piece.sibling(encoded(f"effect@{one}"))
        if other is None:
            raise LackingError(f"latent {one} was taken out, and nothing of it is there")
        ps[one] = _student(Piece(other, piece.made, piece.kept).numbers("each", 1))
    order, most = sorted(ps, key=lambda one: (ps[one], one)), 0.0
    for left, one in zip(range(len(order), 0, -1), order, strict=True):
        most = max(most, min(1.0, left * ps[one]))
        if one == latent:
            break
    return ps[latent], most


def _student(each: Floats) -> float:
    from scipy import stats

    if not each.std() > 0:
        return 1.0
    return float(2 * stats.t.sf(abs(spread.centre(each)) / float(stats.sem(each)), len(each) - 1))


def _output(piece: Piece) -> tuple[str, str]:
    """What the latents were taken out of, and its unit."""
    if piece.about["task"] != "classification":
        return "the prediction", "score"
    label = piece.classes[int(piece.about["positive"])]
    return (
        (f"P({label})", "probability") if piece.about["probabilities"] else (f"the score of {label}", "score")
    )
