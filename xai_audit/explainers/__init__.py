"""The table of explainers: a file for each, a line for each."""

from __future__ import annotations

from typing import Any

from xai_audit.explainers import lime, partial_dependence, permutation_importance, shap
from xai_audit.method import Method

EXPLAINERS: tuple[Method[Any], ...] = (
    shap.METHOD,
    lime.METHOD,
    permutation_importance.METHOD,
    partial_dependence.METHOD,
)
