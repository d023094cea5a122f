"""Fetch the 48,842 people of the Adult census table from OpenML and train a model on two thirds of them.

This is the one example that uses the network. Without it, it says so and ends with code 75.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import skops.io
from sklearn.compose import make_column_transformer
from sklearn.datasets import fetch_openml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

HERE = Path(__file__).parent


def main() -> None:
    """Write train.parquet, test.parquet, model.skops and its digest (prepared.yaml) beside this file."""
    try:
        people = fetch_openml("adult", version=2, as_frame=True).frame
    except (OSError, ValueError) as error:
        print(f"openml.org cannot be reached ({type(error).__name__}), so this example is skipped")
        sys.exit(75)
    people["income"] = people.pop("class").astype(str)
    words = list(people.drop(columns="income").select_dtypes("category"))
    people[words] = people[words].astype(object)
    train, test = train_test_split(people, test_size=1 / 3, random_state=0)
    coded = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), words),
        remainder="passthrough",
    )
    model = make_pipeline(coded, HistGradientBoostingClassifier(random_state=0))
    model.fit(train.drop(columns="income"), train["income"])
    train.to_parquet(HERE / "train.parquet", index=False)
    test.to_parquet(HERE / "test.parquet", index=False)
    skops.io.dump(model, HERE / "model.skops")
    digest = hashlib.sha256((HERE / "model.skops").read_bytes()).hexdigest()
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {digest}}}\n")


if __name__ == "__main__":
    main()
