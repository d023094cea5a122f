import json

import numpy as np
import pandas as pd
import pytest
from lime.lime_tabular import LimeTabularExplainer
from scipy import stats

from tests.explainers.bench import Bench, observe, subject
from tests.explainers.models import fitted, people
from xai_audit.evidence import Evidence
from xai_audit.explainers import lime as ours
from xai_audit.explainers.lime import METHOD
from xai_audit.explainers.tables.neighbours import draw, inputs
from xai_audit.method import Skipped


def made(name, **more):
    native, train, test, target = fitted(name)
    return subject(native, train, test, target, **more)


class Library:
    """lime as its user calls it: codes for levels, numbers as they are, re-seeded for every row."""

    def __init__(self, one, **more):
        self.one = one
        frame = one.train.frame
        self.names = list(frame.columns)
        self.levels = {
            j: sorted({str(cell) for cell in frame[name]})
            for j, name in enumerate(self.names)
            if frame[name].dtype.kind not in "iuf"
        }
        self.state = np.random.RandomState(0)
        self.explainer = LimeTabularExplainer(
            self.codes(frame),
            mode="classification" if one.classes else "regression",
            categorical_features=list(self.levels),
            random_state=self.state,
            **more,
        )

    def codes(self, frame):
        columns = []
        for j, name in enumerate(self.names):
            if j in self.levels:
                columns.append([float(self.levels[j].index(str(cell))) for cell in frame[name]])
            else:
                columns.append(frame[name].to_numpy(dtype=float))
        return np.column_stack(columns)

    def decoded(self, matrix):
        columns = {}
        for j, name in enumerate(self.names):
            kind = self.one.test.frame[name].dtype
            if j in self.levels:
                cells = [self.levels[j][int(code)] for code in matrix[:, j]]
                columns[name] = pd.Series(
                    [cell == "True" for cell in cells] if kind.kind == "b" else pd.Series(cells, dtype=kind)
                )
            else:
                columns[name] = matrix[:, j]
        return pd.DataFrame(columns)

    def answers(self, matrix):
        told = self.one.evaluate(self.decoded(matrix))
        return told if self.one.classes else told[:, 0]

    def coefficients(self, row, seed, features, samples):
        self.state.seed(seed)
        told = self.explainer.explain_instance(
            self.codes(self.one.test.frame.iloc[[row]])[0],
            self.answers,
            num_features=features,
            num_samples=samples,
        )
        out = np.zeros(len(self.names))
        for j, weight in told.local_exp[1]:
            out[j] = weight
        return told.intercept[1], out


@pytest.mark.parametrize(
    "name",
    [
        "boosting",
        "logistic in a pipeline",
        "forest in a pipeline",
        "boosting of three in a pipeline",
        "ridge in a pipeline",
        "histogram with categories",
    ],
)
@pytest.mark.parametrize("features", [None, 2])
def test_equals_the_lime_library_for_the_same_draws(name, features):
    one = made(name)
    library = Library(one)
    count = one.test.frame.shape[1]
    found = observe(METHOD, one, rows=4, samples=600, seeds=2, features=features)
    rows = Bench(one, METHOD.params(rows=4), METHOD).sample(4)[0]
    for i, row in enumerate(rows):
        intercept, weights = library.coefficients(row, ours.seed_of(0, 0), features or count, 600)
        assert np.abs(found[""].arrays["coefficients"][i] - weights).max() < 1e-9
        assert abs(found[""].arrays["intercept"][i] - intercept) < 1e-9


def test_equals_the_lime_library_with_deciles_many_inputs_and_another_width():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 9)), columns=list("abcdefghi"))
    from sklearn.ensemble import RandomForestRegressor

    native = RandomForestRegressor(10, random_state=0).fit(
        frame[:90], (frame["a"] * frame["b"] + frame["c"])[:90]
    )
    one = subject(native, frame[:90], frame[90:])
    library = Library(one, discretizer="decile", kernel_width=2.0)
    for features in (None, 7):
        found = observe(
            METHOD,
            one,
            rows=3,
            samples=400,
            seeds=2,
            discretize="decile",
            kernel_width=2.0,
            features=features,
        )
        rows = Bench(one, METHOD.params(rows=3), METHOD).sample(3)[0]
        for i, row in enumerate(rows):
            _, weights = library.coefficients(row, ours.seed_of(0, 0), features or 9, 400)
            assert np.abs(found[""].arrays["coefficients"][i] - weights).max() < 1e-9


def test_rows_that_draw_for_themselves_equal_the_library_seeded_by_the_row():
    one = made("boosting")
    library = Library(one)
    found = observe(METHOD, one, rows=3, samples=400, seeds=2, draws="row")
    rows = Bench(one, METHOD.params(rows=3), METHOD).sample(3)[0]
    for i, row in enumerate(rows):
        _, weights = library.coefficients(row, ours.seed_of(0, 0, one.test.seed(row)), 3, 400)
        assert np.abs(found[""].arrays["coefficients"][i] - weights).max() < 1e-9
    assert not any("share the same neighbours" in words for words in found[""].limits)


def test_a_bin_of_one_value_gives_that_value_where_lime_gives_zero():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": np.where(rng.random(200) < 0.6, 5.0, 5 + rng.random(200)), "z": rng.normal(size=200)}
    )
    known = inputs(frame, "quartile")
    assert [one.degenerate for one in known] == [True, False]
    pool = draw(known, frame, 2000, np.random.RandomState(0))
    assert pool.frame["x"].iloc[1:].min() == 5
    from sklearn.linear_model import LinearRegression

    one = subject(LinearRegression().fit(frame, frame["x"]), frame[:150], frame[150:])
    library = Library(one)
    library.state.seed(0)
    _, drawn = library.explainer._LimeTabularExplainer__data_inverse(frame.to_numpy()[0], 2000)
    assert (drawn[1:, 0] == 0).mean() > 0.4
    found = observe(METHOD, one, rows=5, samples=200)
    assert found[""].params["bins_of_one_value"] == ["x"]
    assert any("would draw 0" in words and "(x)" in words for words in found[""].limits)


def test_missing_numbers_and_unseen_levels_are_their_own():
    frame, _ = people()
    frame.loc[::4, "income"] = np.nan
    frame["never"] = np.nan
    frame["region"] = frame["region"].astype("category")
    train, test = frame[frame["region"] != "west"][:200], frame[280:300]
    from sklearn.linear_model import LinearRegression

    def call(rows):
        return rows["income"].fillna(-3).to_numpy() + (rows["region"] == "north").to_numpy()

    one = subject(LinearRegression(), train, test, scores=call, shows=False)
    found = observe(METHOD, one, samples=1500)
    sizes = {item.name: item.estimate.value for item in found[""].observation.items}
    assert sizes["never"] < 1e-9
    assert sizes["income"] > sizes["age"]
    assert any("missing numbers are a bin of their own" in words for words in found[""].limits)
    labels = {item["condition"] for case in found["local"].observation.cases for item in case["items"]}
    assert any("never missing" in label for label in labels)


def test_fidelity_is_one_where_the_model_is_what_is_fitted():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.choice(["u", "v"], 300) for name in "abcd"})
    from sklearn.linear_model import LinearRegression

    one = subject(
        LinearRegression(),
        frame[:200],
        frame[200:],
        scores=lambda rows: 2.0 * (rows["a"] == "u") - 1.0 * (rows["b"] == "v"),
        shows=False,
    )
    found = observe(METHOD, one, rows=20)
    assert found["fidelity"].observation.estimate.value > 0.9999
    items = {item.name: item.estimate.value for item in found[""].observation.items}
    assert items["a"] == pytest.approx(2, abs=0.02)
    assert items["b"] == pytest.approx(1, abs=0.02)
    noise = subject(
        LinearRegression(),
        frame[:200],
        frame[200:],
        scores=lambda rows: sum((rows[c] == "u").astype(int) for c in "abcd") % 2,
        shows=False,
    )
    assert observe(METHOD, noise, rows=20)["fidelity"].observation.estimate.value < 0.6


def test_a_constant_model_has_no_fidelity_and_says_why():
    frame, _ = people(60)
    from sklearn.linear_model import LinearRegression

    one = subject(
        LinearRegression(), frame[:40], frame[40:], scores=lambda rows: np.full(len(rows), 0.7), shows=False
    )
    found = observe(METHOD, one, samples=200)
    assert isinstance(found["fidelity"], Skipped)
    assert found["fidelity"].reason.startswith("the model's answers do not vary")
    assert {(item.rank_low, item.rank_high) for item in found[""].observation.items} == {(1, frame.shape[1])}


def test_stability_is_the_mean_rank_correlation_between_draws():
    one = made("boosting")
    found = observe(METHOD, one, rows=6, samples=300, seeds=3)
    note = Bench(one, METHOD.params(rows=6, samples=300, seeds=3), METHOD)
    rows = note.sample(6)[0]
    library = Library(one)
    sizes = np.abs(
        [
            [library.coefficients(row, ours.seed_of(0, repeat), 3, 300)[1] for repeat in range(3)]
            for row in rows
        ]
    )
    pairs = [
        stats.spearmanr(one_row[a], one_row[b]).statistic
        for one_row in sizes
        for a, b in ((0, 1), (1, 2), (2, 0))
    ]
    assert found["stability"].observation.estimate.value == pytest.approx(np.mean(pairs), abs=1e-9)


def test_shared_draws_ask_the_model_few_times():
    one = made("boosting")
    one.model.calls = 0
    observe(METHOD, one, rows=50, samples=1000, seeds=2)
    assert one.model.calls <= 2 * 1024 + 50 * 256 / 16 + 256


def essence(found):
    return {
        name: json.loads(one.observation.model_dump_json())
        for name, one in found.items()
        if not isinstance(one, Skipped)
    }


@pytest.mark.parametrize("draws", ["shared", "row"])
@pytest.mark.parametrize("name", ["boosting of three in a pipeline", "logistic in a pipeline"])
def test_same_bytes_whatever_the_order_and_the_cut(name, draws):
    native, train, test, _ = fitted(name)
    doubled = pd.concat([test[:20], test[:4]])
    order = np.random.default_rng(1).permutation(len(doubled))
    more = {"samples": 200, "seeds": 2, "draws": draws}
    first = observe(METHOD, subject(native, train, doubled), **more)
    second = observe(
        METHOD, subject(native, train.sample(frac=1, random_state=3), doubled.iloc[order]), piece=5, **more
    )
    assert essence(first) == essence(second)
    for key, value in first[""].arrays.items():
        assert value.tobytes() == second[""].arrays[key].tobytes(), key


def test_one_row_one_input_and_no_training_rows():
    from sklearn.linear_model import LinearRegression

    one = subject(
        LinearRegression(), None, pd.DataFrame({"x": [2.0]}), scores=lambda rows: rows["x"], shows=False
    )
    found = observe(METHOD, one, samples=50)
    item = found[""].observation.items[0]
    assert (item.estimate.low, item.estimate.high, item.rank_low, item.rank_high) == (0, None, 1, 1)
    assert found["coverage"].observation.estimate.value == 1
    assert any("no training rows" in words for words in found[""].limits)


def test_everything_becomes_evidence():
    found = observe(METHOD, made("boosting"), rows=30, samples=200)
    assert set(found) == {"", *METHOD.parts} - {"deletion", "insertion"}  # those are of images and texts
    for name, one in found.items():
        record = Evidence(
            id=f"lime/{name}",
            method="lime",
            kind="explainer",
            title=one.title,
            status="measured",
            observation=one.observation,
            params=dict(one.params),
        )
        assert Evidence.model_validate_json(record.model_dump_json()) == record
