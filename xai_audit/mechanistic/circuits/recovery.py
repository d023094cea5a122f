"""How well scores recover a circuit that is known: area under the ROC curve and average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.graphs import Element, Graph


@dataclass(frozen=True)
class Recovery:
    """Scores against the truth."""

    auroc: float
    """Chance is 0.5; ties count half."""
    ap: float
    """Average precision; chance is the share of true elements. Ties count as their mean order."""


def truth_of(graph: Graph, edges: AbstractSet[Element]) -> NDArray[np.bool_]:
    """(elements,): which elements of the graph are true; KeyError where one of the truth is none of the graph's."""
    missing = [str(one) for one in edges if one not in set(graph.elements)]
    if missing:
        raise KeyError(", ".join(sorted(missing)))
    return np.asarray([one in edges for one in graph.elements], dtype=bool)


def recovery(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> Recovery:
    """AUROC by ranks and average precision over distinct scores."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    true = int(truth.sum())
    false = len(truth) - true
    auroc = (ranks[truth].sum() - true * (true + 1) / 2) / (true * false)
    values, inverse = np.unique(-scores, return_inverse=True)
    hits = np.bincount(inverse, weights=truth.astype(float), minlength=len(values))
    counts = np.bincount(inverse, minlength=len(values))
    precision = hits.cumsum() / counts.cumsum()
    return Recovery(float(auroc), float((precision * hits).sum() / true))
