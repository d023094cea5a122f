"""A network of handwritten digits with one layer of units."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

PIXELS, UNITS, DIGITS = 64, 64, 10


def build() -> nn.Module:
    """The network before its weights are loaded."""
    return nn.Sequential(
        OrderedDict(hidden=nn.Linear(PIXELS, UNITS), act=nn.ReLU(), read=nn.Linear(UNITS, DIGITS))
    )
