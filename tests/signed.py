"""Keys and small real audits, signed and not, for tests of what travels with an audit."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from xai_audit import pipeline, signing
from xai_audit.reading import read_policies, read_specs

POLICY = """\
id: small
version: 1
as_of: 2026-11-01
rules:
  - id: ONE-01
    title: Accuracy is high enough
    clause: Article 15(1)
    basis: convention
    evidence: accuracy
    at_least: 0.6
    level: error
    examples:
      - {low: 0.7, high: 1, expect: pass}
      - {low: 0, high: 0.01, expect: fail}
      - {low: 0, high: 1, expect: open}
"""

SPEC = """\
version: 1
system: {name: A small audit, version: "3"}
model: {format: predictions, score: score, positive: 1}
data: {test: {path: rows.csv}, target: y, sensitive: [g]}
metrics: [accuracy, roc_auc, demographic_parity_ratio]
policies: [eu-ai-act, small.yaml]
report: {formats: [html]}
"""


def key(folder: Path, name: str = "key", algorithm: str = "ed25519", *more: str) -> tuple[Path, Path]:
    """The private and the public half of a new key, made by OpenSSL."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    made = ["openssl", "genpkey", "-algorithm", algorithm, *more, "-out", str(private)]
    subprocess.run(made, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)],
        check=True,
        capture_output=True,
    )
    return private, public


def project(folder: Path, seed: int = 0) -> Path:
    """A folder with a spec, its policy and its rows; the spec's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 240)
    score = np.clip(0.5 + (y - 0.5) * 0.6 + rng.normal(scale=0.3, size=240), 0, 1).round(3)
    rows = pd.DataFrame({"score": score, "y": y, "g": rng.choice(["a", "b"], 240)})
    rows.to_csv(folder / "rows.csv", index=False)
    (folder / "small.yaml").write_text(POLICY)
    (folder / "audit.yaml").write_text(SPEC)
    return folder / "audit.yaml"


def run(spec_file: Path, out: Path, *keys: Path, formats: tuple[str, ...] | None = None) -> Path:
    """The folder of an audit that was run now."""
    (spec,) = read_specs([spec_file])
    if formats is not None:
        spec = spec.model_copy(update={"report": spec.report.model_copy(update={"formats": formats})})
    policies = read_policies(spec.policies, spec_file.parent)
    options = pipeline.Options(jobs=1, signers=tuple(signing.signer(one) for one in keys))
    pipeline.run(spec, policies, out, options)
    return out


@functools.cache
def _made() -> Path:
    place = Path(tempfile.mkdtemp(prefix="xai-audit-tests-"))
    spec, (private, _) = project(place), key(place)
    run(spec, place / "out", private)
    return place


def signed(folder: Path) -> Path:
    """A copy of one signed audit with all that made it: ``out``, ``audit.yaml``, ``key.pem`` and ``key.pub``."""
    shutil.copytree(_made(), folder, dirs_exist_ok=True)
    return folder
