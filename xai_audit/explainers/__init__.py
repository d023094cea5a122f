"""The table of explainers: a file for each, a line for each."""

from __future__ import annotations

from typing import Any

from xai_audit.explainers import (
    gradient_shap,
    integrated_gradients,
    lime,
    occlusion,
    partial_dependence,
    permutation_importance,
    prototypes,
    shap,
    sparse_autoencoder,
    tcav,
)
from xai_audit.method import Method

EXPLAINERS: tuple[Method[Any], ...] = (
    shap.METHOD,
    lime.METHOD,
    integrated_gradients.METHOD,
    gradient_shap.METHOD,
    occlusion.METHOD,
    permutation_importance.METHOD,
    partial_dependence.METHOD,
    prototypes.METHOD,
    tcav.METHOD,
    sparse_autoencoder.METHOD,
)
