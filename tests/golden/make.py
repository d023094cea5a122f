"""Make a golden audit of invented people: ``python tests/golden/make.py v2``. A folder that is there stays as it is.

The folders beside this file are kept as the version that made them wrote them, so that every later version can be
held to reading them. They are never made again; a new shape of audit.json gets a new folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from xai_audit import pipeline
from xai_audit.reading import read_policies, read_specs

HERE = Path(__file__).parent
FEATURES = ["income", "years", "housing"]
SPEC = """\
version: 1
system:
  name: Golden loans
  version: "1.0"
  provider: {name: The authors of this test}
  intended_purpose: {text: A test. Nobody here exists., author: the authors of this test, date: 2026-11-23}
  classification: {annex_iii_point: "5(b)", profiling: true}
  statements:
    declared_levels: [{metric: accuracy, at_least: 0.60}]
    data_gaps: {text: "Łódź, Αθήνα, София: invented.", author: the authors of this test, date: 2026-11-23}
  waivers: [{rule: FAI-01, reason: The groups are planted to differ., approver: the authors, expires: 2027-03-01}]
model: {path: model.skops, positive: 1}
data:
  train: {path: train.csv}
  test: {path: test.csv}
  target: repaid
  features: [income, years, housing]
  categorical: [housing]
  id: person
  sensitive: [gender, region, {column: age, bins: [30, 50]}]
explainers:
  - shap: {rows: 30, background: 30}
  - lime: {rows: 12, samples: 300}
  - permutation_importance: {rows: 100, repeats: 3}
  - partial_dependence: {rows: 60, points: 6}
metrics:
  - accuracy: {primary: true}
  - recall
  - roc_auc
  - expected_calibration_error
policies: [eu-ai-act]
report: {formats: [html], examples: true}
"""


def people(count: int, seed: int) -> pd.DataFrame:
    """Invented people; one region is too small to be published, and some people's region is not known."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "person": [f"p{number:04d}" for number in range(count)],
            "years": rng.integers(0, 30, count),
            "housing": rng.choice(["rents", "owns", "with family"], count, p=[0.5, 0.35, 0.15]),
            "gender": rng.choice(["woman", "man"], count),
            "region": rng.choice(["north", "south", "west"], count, p=[0.5, 0.3, 0.2]).astype(object),
            "age": rng.integers(18, 76, count),
        }
    )
    # The groups are planted to differ: men earn more, and income decides.
    table["income"] = rng.lognormal(7.6 + 0.4 * (table["gender"] == "man"), 0.4).round(2)
    table.loc[:5, "region"] = "island"
    table.loc[6:25, "region"] = None
    score = (
        2 * (np.log(table["income"]) - 7.8) / 0.4
        + 0.05 * (table["years"] - 15)
        + 1.5 * (table["gender"] == "man")
    )
    table["repaid"] = (rng.random(count) < 1 / (1 + np.exp(-score))).astype(int)
    return table


def main(name: str) -> int:
    """Write the folder of that name beside this file, but for an existing one."""
    if (HERE / name).exists():
        print(f"{HERE / name} is there and is not made again")  # noqa: T201
        return 1
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        train, test = people(400, 1), people(400, 2)
        coded = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["income", "years"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["housing"]),
        )
        model = make_pipeline(coded, LogisticRegression()).fit(train[FEATURES], train["repaid"])
        skops.io.dump(model, folder / "model.skops")
        train.to_csv(folder / "train.csv", index=False)
        test.to_csv(folder / "test.csv", index=False)
        (folder / "audit.yaml").write_text(SPEC, encoding="utf-8")
        (spec,) = read_specs([folder / "audit.yaml"])
        pipeline.run(spec, read_policies(spec.policies, folder), folder / "out", pipeline.Options(jobs=1))
        shutil.copytree(folder / "out", HERE / name, ignore=shutil.ignore_patterns(".*"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
