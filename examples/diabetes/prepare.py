"""Make the demo's model and data from the 442 diabetes patients that come with scikit-learn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingClassifier

HERE = Path(__file__).parent


def main() -> None:
    """Write train.csv, test.csv, model.skops and its digest (prepared.yaml) beside this file."""
    patients = load_diabetes(as_frame=True, scaled=False).frame
    # "Progression above 140, about the median": the measure one year after baseline has its median at 140.5.
    patients["progressed"] = (patients.pop("target") > 140).astype(int)
    patients["sex"] = patients["sex"].astype(int)
    # The split is fixed and documented: a permutation by generator PCG64 with seed 0; the first 221 train.
    order = np.random.default_rng(0).permutation(len(patients))
    train, test = patients.iloc[order[:221]], patients.iloc[order[221:]]
    model = GradientBoostingClassifier(n_estimators=60, max_depth=2, learning_rate=0.08, random_state=0)
    model.fit(train.drop(columns="progressed"), train["progressed"])
    train.to_csv(HERE / "train.csv", index=False)
    test.to_csv(HERE / "test.csv", index=False)
    skops.io.dump(model, HERE / "model.skops")
    # The digest of a skops file differs from one writing to the next, so the spec takes it from here.
    digest = hashlib.sha256((HERE / "model.skops").read_bytes()).hexdigest()
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {digest}}}\n")


if __name__ == "__main__":
    main()
