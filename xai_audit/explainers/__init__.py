"""The table of explainers: a file for each, a line for each."""

from __future__ import annotations

from typing import Any

from xai_audit.explainers import (
    circuit_discovery,
    design_delta,
    gradient_shap,
    integrated_gradients,
    lime,
    neuron_search,
    occlusion,
    partial_dependence,
    permutation_importance,
    progress_measures,
    prototypes,
    shap,
    sparse_autoencoder,
    sparse_probing,
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
    sparse_probing.METHOD,
    neuron_search.METHOD,
    circuit_discovery.METHOD,
    progress_measures.METHOD,
    design_delta.METHOD,
)
