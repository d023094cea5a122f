"""Make 5,000 people and a model that treats them well, so that there is an audit that passes.

Nobody here exists. Income, debt, savings and years in work decide whether a loan is repaid; sex and age decide nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
NUMBERS = ["income", "debt", "savings", "years_in_work"]


def people(count: int, seed: int) -> pd.DataFrame:
    """So many generated people; the seed of the training people is not that of the audited ones."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "income": rng.lognormal(7.8, 0.4, count).round(2),
            "debt": rng.lognormal(8.5, 0.9, count).round(2),
            "savings": rng.lognormal(7.0, 1.2, count).round(2),
            "years_in_work": rng.integers(0, 30, count),
            "housing": rng.choice(["rents", "owns", "with family"], count, p=[0.5, 0.35, 0.15]),
            "sex": rng.choice(["female", "male"], count),
            "age": rng.integers(25, 66, count),
        }
    )
    score = (
        2.6 * (np.log(table["income"]) - 7.8) / 0.4
        - 2.2 * (np.log(table["debt"]) - 8.5) / 0.9
        + 1.4 * (np.log(table["savings"]) - 7.0) / 1.2
        + 0.8 * (table["years_in_work"] - 15) / 9
        + 0.5 * (table["housing"] == "owns")
    )
    table["repaid"] = (rng.random(count) < 1 / (1 + np.exp(-score))).astype(int)
    return table


def main() -> None:
    """Write train.csv, test.csv, model.skops and its digest (prepared.yaml) beside this file."""
    train, test = people(5000, seed=1), people(5000, seed=2)
    logs = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    levels = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    model = make_pipeline(
        ColumnTransformer(
            [("numbers", logs, [f"log_{name}" for name in NUMBERS]), ("levels", levels, ["housing"])]
        ),
        LogisticRegression(max_iter=1000),
    )
    for table in (train, test):
        for name in NUMBERS:
            table[f"log_{name}"] = np.log1p(table.pop(name)).round(6)
    features = [*(f"log_{name}" for name in NUMBERS), "housing"]
    model.fit(train[features], train["repaid"])
    train.to_csv(HERE / "train.csv", index=False)
    test.to_csv(HERE / "test.csv", index=False)
    skops.io.dump(model, HERE / "model.skops")
    # The digest of a skops file differs from one writing to the next, so the spec takes it from here.
    digest = hashlib.sha256((HERE / "model.skops").read_bytes()).hexdigest()
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {digest}}}\n")


if __name__ == "__main__":
    main()
