"""Two versions of one system on the same invented people, audited from their predictions, quickly and for real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from xai_audit import pipeline
from xai_audit.audit import Audit
from xai_audit.reading import read_policies, read_specs

SPEC = """\
version: 1
system: {{name: Loans, version: "{version}"{system}}}
model: {{format: predictions, {model}}}
data: {{test: {{path: {path}}}, target: y, id: person, sensitive: [{sensitive}]{data}}}
metrics: [{metrics}]
policies: [{policies}]
report: {{formats: [{formats}]}}
"""
BINARY = (
    "accuracy, recall, precision, negative_predictive_value, f1, matthews_corrcoef, balanced_accuracy, roc_auc, "
    "brier_score, log_loss, calibration_gap, expected_calibration_error, selection_rate, demographic_parity_ratio, "
    "demographic_parity_difference, equal_opportunity_difference, equalized_odds_difference"
)


@dataclass(frozen=True)
class Version:
    """A spec's words."""

    version: str = "1"
    system: str = ""
    model: str = "score: score, positive: 1"
    sensitive: str = "sex, region"
    data: str = ""
    metrics: str = "accuracy, recall, precision, roc_auc"
    policies: str = "eu-ai-act"
    formats: str = ""


def people(rows: int, seed: int = 0, *, better: float = 0.0) -> pd.DataFrame:
    """People with a true outcome, two groupings, and a score; ``better`` brings the score nearer to the outcome."""
    truth, noise, own = (
        np.random.default_rng([seed, 0]),
        np.random.default_rng([seed, 1]),
        np.random.default_rng([seed, 2]),
    )
    y = truth.integers(0, 2, rows)
    shared = noise.normal(scale=0.25, size=rows)
    score = 0.5 + (y - 0.5) * (0.5 + better) + shared + own.normal(scale=0.08, size=rows) * bool(better)
    return pd.DataFrame(
        {
            "person": [f"p{i:05d}" for i in range(rows)],
            "y": y,
            "score": np.clip(score, 0.01, 0.99).round(4),
            "sex": truth.choice(["f", "m"], rows),
            "region": truth.choice(["north", "south", "west", "isle"], rows, p=[0.45, 0.35, 0.19, 0.01]),
        }
    )


def audited(
    folder: Path, table: pd.DataFrame, words: Version = Version(), baseline: Path | None = None
) -> Audit:
    """Write the table and the spec beside the folder, and run the audit into it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f"{folder.name}.csv"
    table.to_csv(path, index=False)
    spec = folder.parent / f"{folder.name}.yaml"
    spec.write_text(SPEC.format(path=path.name, **vars(words)), encoding="utf-8")
    (read,) = read_specs((str(spec),), ())
    policies = read_policies(read.policies, folder.parent)
    return pipeline.run(read, policies, folder, pipeline.Options(baseline=baseline))
