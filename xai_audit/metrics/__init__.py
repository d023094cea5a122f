"""The table of metrics: a file for each family, its methods in a line each."""

from __future__ import annotations

from typing import Any

from xai_audit.method import Method
from xai_audit.metrics import (
    checks,
    composite,
    conditional,
    counterfactual_tokens,
    decisions,
    identity,
    parity,
    probability,
    rates,
    regression,
    unusual,
)

METRICS: tuple[Method[Any], ...] = (
    *rates.METHODS,
    *composite.METHODS,
    *probability.METHODS,
    *regression.METHODS,
    *parity.METHODS,
    *conditional.METHODS,
    *decisions.METHODS,
    *identity.METHODS,
    *counterfactual_tokens.METHODS,
    *checks.METHODS,
    *unusual.METHODS,
)
