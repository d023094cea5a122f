"""Sixty mangled data and model files load or are refused in located lines; `make proof` runs 2,000."""

from __future__ import annotations

import secrets

from benchmarks.fuzz_data import run


def test_mangled_files():
    seed = secrets.randbelow(2**31)
    told: list[str] = []
    counts = run(range(seed, seed + 60), told.append)
    assert told == []
    assert counts["loaded"] + counts["refused"] == 60
    assert counts["refused"]
