"""The network of the example: a one-layer transformer of two numbers, as the toolkit builds it."""

from __future__ import annotations

from typing import Any

from xai_audit.mechanistic.dynamics.addition import transformer

MODULUS = 53


def build() -> Any:
    """The network before its weights are loaded."""
    return transformer(MODULUS)
