# ruff: noqa: ANN001, ANN201, ANN202, B023
"""How fast the explainers are beside shap and lime, in one run: medians of several, and the limit the model sets.

    .venv/bin/python benchmarks/explainers.py [--rows 500] [--repeats 5]

Times are CPU seconds of one thread. The compiled kernels and the libraries' own are called once before they are
timed. `limit` is the time that the answers alone take which the method must ask of the model.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# In place of this folder: its coverage.py would stand in for the package of that name that numba asks for.
sys.path[0] = str(Path(__file__).resolve().parents[1])
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from tests.explainers.bench import observe, subject  # noqa: E402
from xai_audit.explainers import lime, shap  # noqa: E402
from xai_audit.explainers.rows import pooled, smallest  # noqa: E402
from xai_audit.explainers.tables import engine, pairs  # noqa: E402
from xai_audit.explainers.tables.encoding import encode  # noqa: E402


def table(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    numbers = {f"x{j}": rng.normal(size=n).astype(np.float32).astype(float) for j in range(10)}
    frame = pd.DataFrame(numbers)
    signal = frame["x0"] + frame["x1"] * frame["x2"] + np.sin(frame["x3"]) + 0.5 * rng.normal(size=n)
    return frame, (signal > 0).astype(int).to_numpy(), signal.to_numpy()


def models():
    from sklearn import ensemble as e
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    yield "logistic regression", LogisticRegression()
    yield "gradient boosting", e.GradientBoostingClassifier(random_state=0)
    yield "histogram boosting", e.HistGradientBoostingClassifier(random_state=0)
    yield "random forest", e.RandomForestClassifier(max_depth=8, random_state=0)
    yield "neural net", MLPClassifier((32, 32), max_iter=60, random_state=0)


def timed(call, repeats):
    call()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def trees(rows, repeats):
    """Interventional TreeSHAP of sums of leaves: shap.TreeExplainer and the pair kernel of ours."""
    import shap as library
    from sklearn import ensemble as e

    frame, y, signal = table()
    print(f"\nTreeSHAP, interventional, {rows} rows, CPU s (median of {repeats})")
    for name, native, target, output in (
        ("gradient boosting, margin", e.GradientBoostingClassifier(random_state=0), y, "margin"),
        ("histogram boosting, margin", e.HistGradientBoostingClassifier(random_state=0), y, "margin"),
        ("random forest d8, probability", e.RandomForestClassifier(max_depth=8, random_state=0), y, "score"),
        ("boosting of numbers", e.GradientBoostingRegressor(random_state=0), signal, "score"),
    ):
        one = subject(native.fit(frame[:700], target[:700]), frame[:700], frame[700 : 700 + rows])
        for size in (100, 500):
            reference = smallest(one.train, size, 0, "background")
            plan = engine.plan(one, output, "auto", np.arange(rows), one.train, reference, None, 10**9)
            matrix = encode(one.model, pooled(one, np.arange(rows), one.train, reference))
            masker = library.maskers.Independent(matrix[rows:], max_samples=size)
            explainer = library.TreeExplainer(
                native, masker, feature_perturbation="interventional", model_output="raw"
            )
            ensemble = engine._ensemble(native, 1)  # noqa: SLF001
            theirs = timed(lambda: explainer.shap_values(matrix[:rows], check_additivity=False), repeats)
            note = plan.note
            ours = timed(
                lambda: engine._read_pairs(ensemble, native, matrix, rows, 10, note).mean(axis=1),  # noqa: SLF001
                repeats,
            )
            print(
                f"  {name:32s} background {size:4d}: shap {theirs:7.3f}  ours {ours:7.3f}  ratio {theirs / ours:5.1f}"
            )


def whole(rows, repeats):
    """The whole of `shap` as a spec runs it, with its redraws and checks, against the exact answers it replaces."""
    frame, y, _ = table()
    print(
        f"\nshap as a spec runs it: {rows} rows, background 100, 10 inputs, probability, CPU s (median of {repeats})"
    )
    for name, native in models():
        if name == "neural net":
            continue
        one = subject(native.fit(frame[:700], y[:700]), frame[:700], frame[700 : 700 + rows])
        taken = timed(lambda: observe(shap.METHOD, one, rows=rows), repeats)
        block = frame[:256]
        limit = timed(lambda: one.output(block), repeats) / 256 * rows * 100 * 2**10
        print(
            f"  {name:24s} {taken:7.2f}   asking for every subset would take {limit:9.1f}   ratio {limit / taken:8.1f}"
        )


def black_box(repeats):
    """All subsets asked of a model that shows nothing of its inside."""
    import shap as library

    frame, y, _ = table()
    rows = 8
    native = dict(models())["neural net"].fit(frame[:700].to_numpy(), y[:700])
    one = subject(native, frame[:700], frame[700 : 700 + rows], shows=False)
    shown = subject(native, frame[:700], frame[700 : 700 + rows])
    reference = smallest(one.train, 100, 0, "background")
    background = one.train.frame.iloc[reference].to_numpy()
    masker = library.maskers.Independent(background, max_samples=100)
    exact = library.explainers.Exact(lambda x: native.predict_proba(x)[:, 1], masker)
    matrix = one.test.frame.to_numpy()
    theirs = timed(lambda: exact(matrix), repeats)
    ours = timed(lambda: observe(shap.METHOD, one, background=100, resamples=2), repeats)
    answers = rows * 100 * (2**10 - 2)
    inside = timed(lambda: observe(shap.METHOD, shown, background=100, resamples=2), repeats)
    many = np.repeat(background, 64, axis=0)
    limit = timed(lambda: native.predict_proba(many), repeats) / len(many) * answers
    print(f"\nall subsets of a neural net, {rows} rows x 100 x 2^10, CPU s (median of {repeats})")
    print(f"  shap Exact {theirs:6.2f}  limit {limit:6.2f}")
    print(f"  ours through the adapter {ours:6.2f}  ratio {theirs / ours:4.2f}")
    print(f"  ours through the last estimator {inside:6.2f}  ratio {theirs / inside:4.2f}")


def local_fits(rows, repeats):
    """LIME with 5,000 neighbours: the library, re-seeded for every row, and one shared pool."""
    from lime.lime_tabular import LimeTabularExplainer

    frame, y, _ = table(n=max(1500, 700 + rows))
    print(f"\nLIME, 5,000 neighbours, {rows} rows, CPU s (median of {repeats}; lime on 10 rows, scaled)")
    for name, native in models():
        one = subject(native.fit(frame[:700].to_numpy(), y[:700]), frame[:700], frame[700 : 700 + rows])
        state = np.random.RandomState(0)
        library = LimeTabularExplainer(one.train.frame.to_numpy(), random_state=state)
        matrix = one.test.frame.to_numpy()
        for features in (None, 5):

            def theirs(features=features, library=library, matrix=matrix, state=state, native=native):
                for row in matrix[:10]:
                    state.seed(1)
                    library.explain_instance(row, native.predict_proba, num_features=features or 10)

            def ours(features=features, one=one):
                lime._POOLS.clear()  # noqa: SLF001
                observe(lime.METHOD, one, rows=rows, features=features, seeds=2)

            slow = timed(theirs, 1 if features else repeats) / 10 * rows
            fast = timed(ours, repeats)
            pool = one.train.frame.sample(5000, replace=True, random_state=0)
            limit = 2 * timed(lambda one=one, pool=pool: one.output(pool), repeats)
            what = "all" if features is None else str(features)
            print(
                f"  {name:24s} inputs {what:3s}: lime {slow:8.2f}  ours (two pools, fidelity, stability) {fast:6.2f}"
                f"  ratio {slow / fast:6.1f}  limit {limit:5.2f}"
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    print("kernels:", ", ".join(pairs.LINKS), "| one thread")
    trees(chosen.rows, chosen.repeats)
    whole(chosen.rows, chosen.repeats)
    black_box(chosen.repeats)
    local_fits(chosen.rows, chosen.repeats)


if __name__ == "__main__":
    main()
