"""What a network's outputs are: logits, probabilities, decision values or numbers; stated, else read off the test rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.opened import two_sided

if TYPE_CHECKING:
    from typing import Literal

    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Output
    from xai_audit.mechanistic.network import Link

    Stated = Literal["logits", "probabilities", "margins"]

SUM = 1e-5
"""How far probabilities of one row may be from adding up to one; float32 graphs are."""


def settled(
    outputs: NDArray[np.float64], k: int, stated: Stated | None, mistakes: Mistakes
) -> tuple[Link, Output, tuple[str, ...]]:
    """The link of outputs (rows, columns) of a network for k classes, what it gives, and what was decided.

    A mistake is told where what is stated cannot be, or where nothing is stated and the rows do not tell.
    """
    width = outputs.shape[1]
    if width != k and not (width == 1 and k == 2):
        what = f"the network gives {width} outputs a row for {k} classes"
        if width != 1:
            what += "; state model: classes: [...], one label for each output, in their order"
        mistakes.at("model.classes", what)
        return "none", "unknown", ()
    bounded = bool(((outputs >= 0) & (outputs <= 1)).all())
    sums = outputs.sum(axis=1)
    whole = bounded and (width == 1 or bool(np.allclose(sums, 1.0, rtol=0, atol=SUM)))
    notes: tuple[str, ...] = ()
    if stated is None:
        if whole:
            stated, why = "probabilities", "lie in [0, 1]" + (" and add up to one" if width > 1 else "")
        elif bounded:
            what = (
                "the network's outputs lie in [0, 1] and do not add up to one: state outputs: logits, probabilities or "
                "margins"
            )
            mistakes.at("model.outputs", what)
            return "none", "unknown", ()
        else:
            stated, why = "logits", "are no probabilities"
        notes = (f"the network's outputs {why}: they are taken for {stated}",)
    if stated == "probabilities":
        if not whole:
            low, high = (
                (float(outputs.min()), float(outputs.max())) if not bounded else (sums.min(), sums.max())
            )
            which = "add up to" if bounded else "lie"
            what = f"probabilities are stated, and those of the test rows {which} between {low:.6g} and {high:.6g}"
            mistakes.at("model.outputs", what)
        return ("pair" if width == 1 else "none"), "probabilities", notes
    if stated == "margins":
        if k == 2 and width == 2:
            what = "margins of two classes are one output a row; the network gives two: state logits"
            mistakes.at("model.outputs", what)
        return ("sides" if width == 1 else "none"), "decision", notes
    return ("sigmoid" if width == 1 else "softmax"), "probabilities", notes


def linked(outputs: NDArray[np.float64], link: Link) -> NDArray[np.float64]:
    """Scores (rows, classes or 1) of outputs, as mechanistic.network links them, without torch."""
    if link == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if link in ("sigmoid", "sides"):
        sides = two_sided(outputs[:, 0])
        return sides if link == "sides" else np.exp(-np.logaddexp(0, -sides))
    if link == "pair":
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs


def margins(outputs: NDArray[np.float64], link: Link) -> NDArray[np.float64] | None:
    """Outputs before the link, ``[-m, m]`` for two classes (m the difference of two logits); None without a link."""
    if link == "softmax" and outputs.shape[1] == 2:
        return two_sided(outputs[:, 1] - outputs[:, 0])
    if link in ("sigmoid", "sides") and outputs.shape[1] == 1:
        return two_sided(outputs[:, 0])
    return outputs if link == "softmax" else None
