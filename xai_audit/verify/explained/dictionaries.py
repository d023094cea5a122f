"""Sparse dictionaries made again: sums over documents, counts of firing, cosines of seeds, losses by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import latents, scaling_law, spread
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped
from xai_audit.verify.explained.summed import curve, ratio, share, shown, slot

Floats = NDArray[np.float64]
NAMES = {"own": "trained", "frozen": "frozen decoder", "twin": "permuted weights"}
ULTRA_LOW = 1e-5
BINS = 20
MATCHED = 1e-5
"""By how much the mean cosine of two dictionaries may differ when their latents are matched again."""


def sparse_autoencoder(piece: Piece) -> Made:
    """One part: error, seeds, dead latents, density, loss, how latents are told and what they do, a law."""
    if not piece.part and piece.evidence.status == "skipped":
        return _without_site(piece)
    whole = piece.sibling("")
    if whole is not None and whole.status == "measured" and piece.evidence is not whole:
        # What one part says of the dictionary, all say.
        _about(Piece(whole, piece.made, piece.kept))
    made = {
        "": _error,
        "stability": _stability,
        "dead": _dead,
        "density": _density,
        "loss_recovered": _loss,
        "detection": latents.detection,
        "features": latents.features,
        "contexts": latents.contexts,
        "effect": _no_effect,
        "scaling": scaling_law.scaling,
        "dead_by_size": scaling_law.dead_by_size,
    }.get(piece.part)
    if made is None and piece.part.startswith("effect%40"):
        made = latents.effect
    if made is None:
        raise ContradictionError(f"sparse_autoencoder has no part {piece.part!r}")
    found = made(piece)
    if "skipped" not in found:
        found["params"] = {**_about(piece), **(found.get("params") or {})}
    return found


def _without_site(piece: Piece) -> Made:
    reason = piece.evidence.reason or ""
    if piece.params.get("site") is None and reason.startswith("name a site, as site: "):
        return {"skipped": reason}
    raise LackingError("why it was skipped asks the network again")


def _no_effect(_: Piece) -> Made:
    raise LackingError("for which rows latents fire asks the network again")


def sizes(piece: Piece) -> NDArray[np.int64]:
    """Documents and activations: of those trained on, of those held out."""
    return shaped("sizes", piece.whole("sizes", 2), 2, 2)


def _about(piece: Piece) -> dict[str, Any]:
    latents_, features = shaped("W_dec", piece.array("W_dec", 2), -1, -1).shape
    shaped("W_enc", piece.array("W_enc", 2), features, latents_)
    (_, fit), (_, held) = sizes(piece).tolist()
    batch = min(int(piece.params["batch"]), fit // 2)
    tokens = max(int(piece.params["tokens"]), batch)
    if latents_ != max(1, round(float(piece.params["expansion"]) * features)):
        raise ContradictionError(f"array W_dec has {latents_} latents; the expansion asks for others")
    if piece.whole("own_counts", 1).sum() != held:
        raise ContradictionError("array own_counts is not of the activations held out")
    data = piece.params.get("data")
    source = "the training rows" if "train" in piece.about["data"] else "the test rows"
    return {
        "rows_of": source if data is None else f"the set {data}",
        "latents": latents_,
        "site_features": features,
        "distinct_activations": fit,
        "held_out_activations": held,
        "dead_after": max(batch, min(fit, tokens) // 8),
    }


def _rows_of(piece: Piece) -> int:
    """Rows of the table that activations were taken of."""
    name = piece.params.get("data")
    about = piece.about
    if name is not None:
        return int(about["sets"][name]["rows"])
    return int(about["data"]["train" if "train" in about["data"] else "test"]["rows"])


# ------------------------------------------------------------------------------------------------ sums over documents
class Kept:
    """What one dictionary kept of held-out activations."""

    def __init__(self, piece: Piece, label: str) -> None:
        self.errors, self.spreads, self.fires = (
            piece.numbers(f"{label}_{name}", 1) for name in ("errors", "spreads", "fires")
        )
        self.counts, self.fired, self.first = (
            piece.whole(f"{label}_{name}", 1) for name in ("counts", "fired", "first")
        )
        self.tokens = int(self.counts.sum())
        documents = {len(one) for one in (self.errors, self.spreads, self.fires, self.counts)}
        if len(documents) > 1 or len(self.first) != len(self.fired):
            raise ContradictionError(
                f"arrays {label}_errors and those beside it are of other documents or latents"
            )
        never = self.first > self.tokens
        if not np.array_equal(never, self.fired == 0) or round(float(self.fires.sum())) != self.fired.sum():
            raise ContradictionError(f"arrays {label}_fired, {label}_first and {label}_fires do not agree")

    @property
    def fvu(self) -> float:
        """Squared errors over squared distances from the mean."""
        return math.fsum(self.errors.tolist()) / math.fsum(self.spreads.tolist())

    def dead(self, count: int | None = None) -> float:
        """The share of latents that did not fire within so many activations."""
        return float(np.mean(self.first > (self.tokens if count is None else count)))


def _error(piece: Piece) -> Made:
    own, frozen, twin = (Kept(piece, label) for label in NAMES)
    for number in range(1, int(piece.params["seeds"])):
        Kept(piece, f"seed_{number}")
    estimate = ratio(piece, own.errors, own.spreads, low=0.0)
    l0 = ratio(piece, own.fires, own.counts.astype(np.float64), low=0.0)
    beyond = ratio(piece, frozen.errors - own.errors, own.spreads)
    (one, error_one), (two, error_two) = (spread.ratio(kept.errors, kept.spreads) for kept in (twin, own))
    n = min(len(twin.errors), len(own.errors))
    pairs = spread.around(one - two, math.hypot(error_one, error_two), n - 1, piece.levels)
    apart = spread.estimate(one - two, pairs, n)
    distinct = apart["low"] is not None and apart["low"] > 0
    (fit, _), (held, _) = sizes(piece).tolist()
    about = _about(piece)
    told = "" if distinct else ": not told apart, so its features are not claimed to be the model’s"
    sentence = (
        f"A {piece.params['variant']} dictionary of {len(own.fired):,} latents, L0 {l0['value']:.1f} leaves "
        f"{shown(estimate)} of the variance at {piece.params['site']} unexplained; one whose decoder was never trained "
        f"leaves {frozen.fvu:.2f}, one of the same network with permuted weights {twin.fvu:.2f}{told}."
    )
    rare = (own.fired > 0) & (own.fired < ULTRA_LOW * own.tokens)
    return {
        "observation": {"shape": "scalar", "estimate": estimate, "unit": "share of variance"},
        "controls": [
            spread.control("FVU of a frozen decoder above it", "positive", beyond),
            spread.control("FVU of the network with permuted weights above it", "positive", apart),
        ],
        "sampling": {
            "available": _rows_of(piece),
            "used": fit + held,
            "how": f"{about['rows_of']} in content order until there were enough activations; the last fifth is held out",
        },
        "params": {
            "l0": slot(l0),
            "dead": own.dead(),
            "dead_of_activations": own.tokens,
            "ultra_low": float(rare.mean()),
            "frozen_fvu": frozen.fvu,
            "twin_fvu": twin.fvu,
            "frozen_dead": frozen.dead(),
            "twin_dead": twin.dead(),
            "sentence": sentence,
        },
    }


def _stability(piece: Piece) -> Made:
    if "cosines" not in piece.evidence.arrays:
        if (Kept(piece, "own").fired > 0).any() and (Kept(piece, "seed_1").fired > 0).any():
            raise ContradictionError("no cosines are kept, though latents fire")
        return {
            "observation": {"shape": "scalar", "estimate": spread.exact(0.0, 0), "unit": "mean cosine"},
            "params": {"pairs": [0.0]},
        }
    seeds = int(piece.params["seeds"])
    names = ["cosines", *(f"cosines_{number}" for number in range(1, seeds * (seeds - 1) // 2))]
    found = [piece.numbers(name, 1) for name in names]
    drawn = piece.numbers("frozen_cosines", 1)
    alive = min(int((Kept(piece, label).fired > 0).sum()) for label in ("own", "seed_1"))
    if len(found[0]) != alive or any(np.abs(one).max(initial=0.0) > 1 + 1e-5 for one in (*found, drawn)):
        raise ContradictionError("array cosines is not of the latents that fire")
    if piece.has("decoder_frozen"):
        _matched(piece, found, drawn)
    value, pairs = spread.apart(found[0], drawn, piece.levels)
    estimate = spread.mean(found[0], piece.levels)
    return {
        "observation": {"shape": "scalar", "estimate": estimate, "unit": "mean cosine"},
        "controls": [
            spread.control(
                "above directions that were not trained",
                "positive",
                spread.estimate(value, pairs, len(found[0]) + len(drawn)),
            )
        ],
        "params": {
            "pairs": [spread.centre(one) for one in found],
            "sentence": "Matched one to one, the latents of two trainings that differ by their seed have a mean cosine of "
            f"{shown(estimate)}; with directions that were drawn and not trained it is {spread.centre(drawn):.2f}.",
        },
    }


def _matched(piece: Piece, found: list[Floats], drawn: Floats) -> None:
    """ContradictionError where the cosines are not those of the decoders, matched again."""
    seeds = range(int(piece.params["seeds"]))
    decoders = [_directions(piece, "W_dec" if one == 0 else f"decoder_{one}") for one in seeds]
    alive = [Kept(piece, "own" if one == 0 else f"seed_{one}").fired > 0 for one in seeds]
    live = [rows[on] for rows, on in zip(decoders, alive, strict=True)]
    pairs = [(live[i], live[j]) for i in seeds for j in range(i)]
    pairs.append((live[1], _directions(piece, "decoder_frozen")))
    for place, ((one, other), own) in enumerate(zip(pairs, [*found, drawn], strict=True)):
        table = one @ other.T
        again = table[_assigned(table)]
        # The run matched in single precision; equal sums may be had in several ways.
        if len(again) != len(own) or abs(again.mean() - spread.centre(own)) > MATCHED:
            raise ContradictionError(
                f"the cosines of pair {place} have a mean of {spread.centre(own):.12g}; matched again it is "
                f"{again.mean():.12g}"
            )


def _directions(piece: Piece, name: str) -> Floats:
    rows = piece.numbers(name, 2)
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))


def _assigned(table: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    return np.asarray(rows), np.asarray(columns)


def _dead(piece: Piece) -> Made:
    series = []
    for label, words in NAMES.items():
        kept = Kept(piece, label)
        counts = sorted({max(1, kept.tokens // 2**halved) for halved in range(9)})
        points = [
            {"x": float(count), "estimate": share(piece, int((kept.first > count).sum()), len(kept.first))}
            for count in counts
        ]
        series.append((words, points))
    own = Kept(piece, "own")
    return {
        "observation": curve("held-out activations", "share of latents that never fired", series),
        "params": {
            "sentence": f"{100 * own.dead():.1f} % of the latents fired for none of {own.tokens:,} held-out activations."
        },
    }


def _density(piece: Piece) -> Made:
    series = []
    for label, words in NAMES.items():
        kept = Kept(piece, label)
        least = -math.log10(max(kept.tokens, 10))
        edges = np.linspace(least, 0, BINS + 1)
        alive = np.clip(np.log10(kept.fired[kept.fired > 0] / max(kept.tokens, 1)), least, 0)
        # The last bin holds its upper edge.
        place = np.minimum(np.searchsorted(edges, alive, side="right") - 1, BINS - 1)
        counts = np.bincount(place, minlength=BINS)
        middles = (edges[1:] + edges[:-1]) / 2
        points = [
            {"x": float(x), "estimate": spread.exact(int(count), len(kept.fired))}
            for x, count in zip(middles, counts, strict=True)
        ]
        series.append((words, points))
    return {"observation": curve("log10 of the share of activations", "latents", series)}


# ------------------------------------------------------------------------------------------------ loss
def _loss(piece: Piece) -> Made:
    if piece.evidence.status == "skipped":
        return _no_loss(piece)
    own, frozen = (
        {
            name: piece.numbers(f"{label}_{name}", 1)
            for name in ("original", "spliced", "mean_ablated", "zero_ablated", "kl")
        }
        for label in ("own", "frozen")
    )
    whole = own["mean_ablated"] - own["original"]
    back = own["mean_ablated"] - own["spliced"]
    estimate = ratio(piece, back, whole)
    site, means = piece.params["site"], {name: spread.centre(one) for name, one in own.items()}
    if not np.array_equal(own["original"], frozen["original"]):
        raise ContradictionError("arrays own_original and frozen_original differ")
    labelled = (
        piece.rows.n
        if piece.about["task"] != "classification"
        else int((piece.rows.codes("target") >= 0).sum())
    )
    if len(whole) > min(int(piece.params["rows"]), labelled):
        raise ContradictionError(f"array own_original is of {len(whole)} rows; there are not so many")
    return {
        "observation": {"shape": "scalar", "estimate": estimate, "unit": "share of loss"},
        "controls": [
            spread.control(
                "loss below that of the mean activation",
                "positive",
                spread.mean(back, piece.levels),
                edit=True,
            ),
            spread.control(
                "loss below that of a frozen decoder",
                "positive",
                spread.mean(frozen["spliced"] - own["spliced"], piece.levels),
            ),
        ],
        "sampling": {
            "available": piece.rows.n,
            "used": len(whole),
            "how": "labelled test rows in content order",
        },
        "params": {
            "cross_entropy": means["original"],
            "cross_entropy_spliced": means["spliced"],
            "cross_entropy_mean_ablated": means["mean_ablated"],
            "cross_entropy_zero_ablated": means["zero_ablated"],
            "delta": slot(spread.mean(own["spliced"] - own["original"], piece.levels)),
            "kl": slot(spread.mean(own["kl"], piece.levels)),
            "recovered_by_zero_ablation": _recovered(own, "zero_ablated"),
            "frozen_recovered": _recovered(frozen, "mean_ablated"),
            "sentence": f"With the dictionary's reconstruction in place of {site} the cross-entropy is "
            f"{means['spliced']:.3f} nats instead of {means['original']:.3f}; of what the mean activation loses "
            f"{shown(estimate)} is recovered.",
        },
    }


def _recovered(of: dict[str, Floats], ablated: str) -> float | None:
    whole = spread.centre(of[ablated]) - spread.centre(of["original"])
    return (spread.centre(of[ablated]) - spread.centre(of["spliced"])) / whole if whole > 0 else None


def _no_loss(piece: Piece) -> Made:
    """What model and data say against it; for want of an effect or of rows, the network would have to be asked."""
    about = piece.about
    if about["task"] != "classification":
        return {"skipped": "not applicable: it is measured by the cross-entropy of classes"}
    if not about["probabilities"]:
        return {"skipped": "not applicable: the network's scores are no probabilities"}
    if not about["labels"]:
        return {"skipped": "not applicable: there are no labels to measure the loss by"}
    raise LackingError("why it was skipped asks the network again")
