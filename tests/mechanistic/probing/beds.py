"""Units that fire on a predicate among units that do not: GELU of noise, shifted on the planted ones."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from scipy.special import erf


@dataclass(frozen=True, eq=False)
class Planted:
    activations: Any
    """(rows, units)."""
    labels: Any
    """(rows, predicates)."""
    units: Any
    """(predicates, planted): which units fire on each."""


def planted(seed, rows=2000, units=400, predicates=4, each=1, shift=1.5, share=0.3) -> Planted:
    """The truth is drawn from one stream, the noise from another."""
    truth, noise = (np.random.default_rng([seed, part]) for part in (11, 12))
    chosen = truth.permutation(units)[: predicates * each].reshape(predicates, each)
    labels = truth.random((rows, predicates)) < share
    labels[0], labels[1] = True, False
    before = noise.normal(size=(rows, units))
    for predicate, own in enumerate(chosen):
        before[:, own] += shift * labels[:, [predicate]]
    return Planted((before * (1 + erf(before / sqrt(2))) / 2).astype(np.float32), labels, chosen)
