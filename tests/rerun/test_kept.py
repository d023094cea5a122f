"""What units said, kept by an audit and given by the model elsewhere: last digits may differ, activations may not."""

from __future__ import annotations

import io

import numpy as np
import pytest

from xai_audit import digest
from xai_audit.evidence import Evidence
from xai_audit.rerun import kept


def piece(folder, **arrays):
    """Evidence with its arrays, in the folder and by file name."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    name = f"{digest.of_bytes(buffer.getvalue())}.npz"
    (folder / "evidence").mkdir(exist_ok=True)
    (folder / "evidence" / name).write_bytes(buffer.getvalue())
    made = Evidence.model_validate(
        {
            "id": "sparse_probing", "method": "sparse_probing", "kind": "explainer", "title": "t", "status": "skipped",
            "reason": "it is only looked at", "params": {}, "seed": 0, "limits": [], "arrays": dict.fromkeys(arrays, name),
        }
    )  # fmt: skip
    return made, {name: buffer.getvalue()}


SAID = np.random.default_rng(5).normal(size=(30, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("there", "what"),
    [
        (SAID * np.float32(1 + 1e-5), None),
        (SAID[::-1], "array activations_0 holds other activations than the model gives"),
        (SAID + np.float32(0.1), "array activations_0 holds other activations than the model gives"),
        (SAID[:-1], "array activations_0 has another shape or type here"),
        (SAID.astype(np.float64), "array activations_0 has another shape or type here"),
    ],
)
def test_activations_are_compared_to_a_share_of_the_largest(tmp_path, there, what):
    here, files = piece(tmp_path, activations_0=SAID, null=np.zeros(3))
    audited, _ = piece(tmp_path, activations_0=there, null=np.ones(3))
    assert kept.units_apart(tmp_path, audited, here, files) == what


def test_activations_that_are_not_there_or_cannot_be_read_are_named(tmp_path):
    here, files = piece(tmp_path, activations_0=SAID)
    without, _ = piece(tmp_path, null=np.ones(3))
    assert kept.units_apart(tmp_path, without, here, files) == "array activations_0 is not in the audit"
    audited, _ = piece(tmp_path, activations_0=SAID + 1)
    (tmp_path / "evidence" / audited.arrays["activations_0"]).write_bytes(b"no archive")
    assert kept.units_apart(tmp_path, audited, here, files) == "array activations_0 cannot be read"
