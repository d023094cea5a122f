import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.explainers.bench import Bench, brute_force, observe, subject
from tests.explainers.models import fitted, people
from xai_audit.errors import MethodError
from xai_audit.evidence import Evidence
from xai_audit.explainers.rows import reference_table, smallest
from xai_audit.explainers.shap import METHOD
from xai_audit.explainers.tables import engine


def made(name, **more):
    native, train, test, target = fitted(name)
    return subject(native, train, test, target, **more)


def background_of(one, size, seed=0):
    table, _ = reference_table(one)
    return table.frame.iloc[smallest(table, size, seed, "background")].reset_index(drop=True)


def by_definition(one, rows, size, output="score"):
    background = background_of(one, size)
    # Straight to the model, past the engine: every subset, every reference row.
    return np.stack(
        [
            brute_force(lambda frame: one.output(frame, output), one.test.frame.iloc[row], background)
            for row in rows
        ]
    )


EXACT = {
    "linear": "linear",
    "ridge in a pipeline": "linear",
    "poisson": "linear",
    "logistic in a pipeline": "linear",
    "multinomial in a pipeline": "linear",
    "tree": "shap",
    "forest": "shap",
    "forest of three": "shap",
    "forest in a pipeline": "trees",
    "boosting": "trees",
    "boosting of numbers": "shap",
    "boosting, exponential": "trees",
    "boosting of three in a pipeline": "trees",
    "histogram": "trees",
    "histogram with categories": "trees",
    "histogram, gamma": "trees",
    "xgboost": "trees",
    "xgboost of numbers": "shap",
    "xgboost with categories": "trees",
    "xgboost of three": "trees",
    "lightgbm": "trees",
    "lightgbm with categories": "trees",
    "neural net in a pipeline": "subsets",
    "neighbours": "subsets",
    "linear over products": "subsets",
    "linear over components": "subsets",
    "voting in a pipeline": "subsets",
    "search over a pipeline": "trees",
    "dropped column": "trees",
}


@pytest.mark.parametrize("name", EXACT)
def test_equals_the_definition_over_all_subsets(name):
    one = made(name)
    found = observe(METHOD, one, rows=3, background=12)
    rows = Bench(one, METHOD.params(rows=3), METHOD).sample(3)[0]
    expected = by_definition(one, rows, 12)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(found[""].arrays["phi"] - expected).max() <= 1e-6 * scale
    engine_name = found[""].versions["engine"]
    words = {
        "linear": "linear model",
        "trees": "over trees",
        "subsets": "all subsets",
        "shap": "shap.TreeExplainer",
    }
    assert words[EXACT[name]] in engine_name
    assert found["additivity"].observation.estimate.value <= 1e-6
    assert found["coverage"].observation.estimate.value == 1


@pytest.mark.parametrize(
    "name",
    [
        "boosting",
        "histogram with categories",
        "lightgbm with categories",
        "xgboost with categories",
        "logistic in a pipeline",
    ],
)
def test_margins_equal_the_definition(name):
    one = made(name)
    found = observe(METHOD, one, rows=3, background=12, output="margin")
    rows = Bench(one, METHOD.params(rows=3), METHOD).sample(3)[0]
    expected = by_definition(one, rows, 12, "margin")
    assert np.abs(found[""].arrays["phi"] - expected).max() <= 2e-6 * max(1.0, np.abs(expected).max())


def test_the_other_class_has_the_opposite_contributions():
    first, second = made("boosting", positive=1), made("boosting", positive=0)
    a = observe(METHOD, first, rows=5, background=20)[""].arrays["phi"]
    b = observe(METHOD, second, rows=5, background=20)[""].arrays["phi"]
    assert np.abs(a + b).max() < 1e-12


def test_a_linear_model_has_the_closed_form():
    one = made("linear")
    found = observe(METHOD, one, rows=40, background=30)[""]
    weights = one.model.native.coef_
    rows = Bench(one, METHOD.params(rows=40), METHOD).sample(40)[0]
    expected = weights * (
        one.test.frame.iloc[rows].to_numpy() - background_of(one, 30).to_numpy().mean(axis=0)
    )
    assert np.abs(found.arrays["phi"] - expected).max() < 1e-12


def library(one, kind, size, output="raw"):
    """The shap library called plainly by its user, with the background it was not allowed to cut."""
    import shap

    background = background_of(one, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masker = shap.maskers.Independent(background.to_numpy(dtype=float), max_samples=size)
        if kind == "linear":
            return shap.LinearExplainer(one.model.native, masker).shap_values
        return shap.TreeExplainer(
            one.model.native, masker, feature_perturbation="interventional", model_output=output
        ).shap_values


@pytest.mark.parametrize(
    ("name", "kind", "output"),
    [
        ("linear", "linear", "score"),
        ("tree", "tree", "score"),
        ("forest", "tree", "score"),
        ("boosting", "tree", "margin"),
        ("boosting of numbers", "tree", "score"),
        ("histogram", "tree", "margin"),
        ("xgboost", "tree", "margin"),
        ("xgboost of numbers", "tree", "score"),
        ("lightgbm", "tree", "margin"),
    ],
)
@pytest.mark.parametrize("size", [25, 150])
def test_equals_the_shap_library(name, kind, output, size):
    one = made(name)
    found = observe(METHOD, one, rows=20, background=size, output=output)[""]
    rows = Bench(one, METHOD.params(rows=20), METHOD).sample(20)[0]
    values = np.asarray(library(one, kind, size)(one.test.frame.iloc[rows].to_numpy(dtype=float)))
    values = values[:, :, 1] if values.ndim == 3 else values
    assert np.abs(found.arrays["phi"] - values).max() <= 1e-6 * max(1.0, np.abs(values).max())


def small():
    """A black box of three inputs, our values and what shap needs."""
    import shap

    one = made("neighbours")
    found = observe(METHOD, one, rows=6, background=20)[""]
    rows = Bench(one, METHOD.params(rows=6), METHOD).sample(6)[0]
    background = background_of(one, 20).to_numpy()

    def call(x):
        return one.output(pd.DataFrame(x, columns=one.test.frame.columns))

    return shap, found.arrays["phi"], call, background, one.test.frame.iloc[rows].to_numpy()


def test_small_models_equal_the_kernel_explainer_of_shap_over_all_subsets():
    shap, phi, call, background, rows = small()
    theirs = shap.KernelExplainer(call, background).shap_values(rows, l1_reg=0, silent=True)
    assert np.abs(phi - theirs).max() < 1e-9


@pytest.mark.proof  # shap compiles for seconds before its first answer
def test_small_models_equal_the_exact_explainer_of_shap():
    shap, phi, call, background, rows = small()
    masker = shap.maskers.Independent(background, max_samples=20)
    theirs = shap.explainers.Exact(call, masker)(rows)
    assert np.abs(phi - np.asarray(theirs.values)).max() < 1e-9


def test_the_shap_library_is_wrong_where_ours_is_used():
    # Histogram boosting with categories: no exception, values that do not add up.
    one = made("histogram with categories")
    matrix = one.test.frame[:20].copy()
    for name in ("region", "job"):
        matrix[name] = matrix[name].cat.codes.astype(float)
    background = background_of(one, 25).copy()
    for name in ("region", "job"):
        background[name] = background[name].cat.codes.astype(float)
    import shap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.TreeExplainer(
            one.model.native, shap.maskers.Independent(background.to_numpy(dtype=float), max_samples=25)
        )
        theirs = explainer.shap_values(matrix.to_numpy(dtype=float), check_additivity=False)
    margin = one.output(one.test.frame[:20], "margin")
    assert np.abs(theirs.sum(axis=1) + explainer.expected_value - margin).max() > 0.1
    ours = observe(METHOD, one, rows=20, background=25, output="margin")
    assert ours["additivity"].observation.estimate.value < 1e-9


def test_probabilities_of_boosted_trees_are_no_sum_so_the_library_is_not_used():
    # shap rescales margins to probabilities: it adds up, but is not the Shapley value of the probability.
    one = made("boosting")
    rows = Bench(one, METHOD.params(rows=5), METHOD).sample(5)[0]
    theirs = np.asarray(
        library(one, "tree", 12, "probability")(one.test.frame.iloc[rows].to_numpy(dtype=float))
    )
    expected = by_definition(one, rows, 12)
    ours = observe(METHOD, one, rows=5, background=12)[""].arrays["phi"]
    assert np.abs(ours - expected).max() < 1e-12
    assert np.abs(theirs - expected).max() > 1e-4


def test_values_on_a_threshold_are_misrouted_by_the_library_and_it_is_rejected():
    # shap keeps thresholds in 32 bits; a value of the data may be one of histogram boosting's.
    one = made("histogram of fine numbers")
    rows = Bench(one, METHOD.params(rows=8), METHOD).sample(8)[0]
    call = library(one, "tree", 150)
    theirs = np.asarray(call(one.test.frame.iloc[rows].to_numpy(dtype=float), check_additivity=False))
    found = observe(METHOD, one, rows=8, background=150)[""]
    expected = by_definition(one, rows, 150)
    assert np.abs(theirs - expected).max() > 1e-4
    assert np.abs(found.arrays["phi"] - expected).max() < 1e-12
    assert any("REJECTED" in words for words in found.limits)


def test_backgrounds_beyond_a_hundred_rows_are_used_whole():
    one = made("boosting of numbers")
    found = observe(METHOD, one, rows=5, background=250)
    assert found[""].params["background_rows"] == 250
    base = one.output(background_of(one, 250)).mean()
    assert found[""].arrays["base"][0] == pytest.approx(base, abs=1e-12)
    assert found["additivity"].observation.estimate.value < 1e-6


def test_no_input_is_left_out_beyond_ten():
    # KernelExplainer keeps 10 features by default; here 11 equal ones share alike.
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 11)), columns=[f"x{j}" for j in range(11)])
    from sklearn.neighbors import KNeighborsRegressor

    native = KNeighborsRegressor(1).fit(frame, frame.sum(axis=1))
    one = subject(
        native, frame[:40], frame[40:], scores=lambda rows: np.tanh(rows.to_numpy().sum(axis=1)), shows=False
    )
    found = observe(METHOD, one, rows=2, background=3)[""]
    assert "all subsets" in found.versions["engine"]
    assert (np.abs(found.arrays["phi"]) > 1e-6).all()


def test_a_library_that_disagrees_is_rejected_in_words(monkeypatch):
    one = made("boosting of numbers")
    true = engine._shap_library
    monkeypatch.setattr(engine, "_shap_library", lambda *given: true(*given) + 0.01)
    found = observe(METHOD, one, rows=5, background=20)[""]
    assert "over trees" in found.versions["engine"]
    assert any("REJECTED" in words for words in found.limits)
    assert np.abs(found.arrays["residual"]).max() < 1e-9


def test_trees_that_were_misread_are_rejected_in_words(monkeypatch):
    from xai_audit.explainers.tables import trees

    one = made("boosting of numbers")
    true = trees.read

    def wrong(estimator, positive):
        found = true(estimator, positive)
        return trees.Ensemble(found.trees[:-1], found.offset, found.links)

    monkeypatch.setattr(trees, "read", wrong)
    engine._READ.clear()
    found = observe(METHOD, one, rows=5, background=10)[""]
    engine._READ.clear()
    assert "all subsets" in found.versions["engine"]
    assert any("do not reproduce" in words for words in found.limits)


def wide(count, seed=0):
    """A smooth black box of many inputs with interactions."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(60, count)), columns=[f"x{j:02d}" for j in range(count)])
    weights = rng.normal(size=count)

    def call(rows):
        x = rows.to_numpy()
        return np.tanh(x @ weights / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.3 * np.maximum(x[:, 2] * x[:, 3], 0)

    from sklearn.linear_model import LinearRegression

    return subject(LinearRegression(), frame[:40], frame[40:], scores=call, shows=False), call


def test_sampled_orders_are_within_their_error_of_the_exact_values():
    one, _ = wide(13)
    ratios = []
    for seed in range(3):
        exact = observe(METHOD, one, rows=4, background=16, method="exact", seed=seed)[""]
        found = observe(METHOD, one, rows=4, background=16, permutations=8, seed=seed)[""]
        assert "sampled orders" in found.versions["engine"]
        assert any("more than 12 inputs" in words for words in found.limits)
        assert np.abs(found.arrays["residual"]).max() < 1e-12
        error = found.arrays["order_error"]
        assert (error > 0).all()
        ratios.append((found.arrays["phi"] - exact.arrays["phi"]) / error)
    ratios = np.concatenate(ratios)
    assert np.abs(ratios).max() < 4
    # An honest error: neither too small nor too large for what is missed.
    assert 0.8 < np.sqrt((ratios**2).mean()) < 1.25


def test_the_budget_of_answers_decides_in_words():
    one, _ = wide(8)
    found = observe(METHOD, one, rows=4, background=5, max_evals=1000)[""]
    assert "sampled orders" in found.versions["engine"]
    assert any("max_evals" in words for words in found.limits)


def game(values):
    """Shapley values from a table over subsets."""
    from xai_audit.explainers.tables.asking import from_table
    from xai_audit.explainers.tables.pairs import size_weights

    count = int(np.log2(len(values)))
    return from_table(np.asarray(values, dtype=float), count, size_weights(max(count, 1)))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6).flatmap(lambda m: st.lists(st.floats(-5, 5), min_size=2**m, max_size=2**m)))
def test_efficiency_and_additivity_of_games(values):
    phi = game(values)
    assert phi.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)
    assert game(2 * np.asarray(values) + 1) == pytest.approx(2 * phi, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_dummies_get_nothing_and_twins_the_same(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(30, 5)).round(1), columns=list("abcde"))
    frame["twin"] = frame["a"]
    from sklearn.linear_model import LinearRegression

    one = subject(
        LinearRegression(),
        frame[:20],
        frame[20:],
        scores=lambda rows: np.sin(rows["a"] + rows["twin"]) * rows["b"] + rows["c"],
        shows=False,
    )
    phi = observe(METHOD, one, rows=3, background=6, resamples=2)[""].arrays["phi"]
    names = list(frame.columns)
    assert np.abs(phi[:, names.index("d")]).max() == 0
    assert np.abs(phi[:, names.index("a")] - phi[:, names.index("twin")]).max() < 1e-12


def essence(found):
    return {
        name: json.loads(one.observation.model_dump_json())
        for name, one in found.items()
        if not hasattr(one, "reason")
    }


@pytest.mark.parametrize(
    "name",
    ["boosting of three in a pipeline", "forest", "logistic in a pipeline", "neural net in a pipeline"],
)
def test_same_bytes_whatever_the_order_and_the_cut(name):
    native, train, test, target = fitted(name)
    doubled = pd.concat([test[:30], test[:5]])
    labels = np.concatenate([target[:30], target[:5]])
    order = np.random.default_rng(1).permutation(len(doubled))
    first = observe(METHOD, subject(native, train, doubled, labels), background=15, resamples=5)
    second = observe(
        METHOD,
        subject(native, train.sample(frac=1, random_state=2), doubled.iloc[order], labels[order]),
        background=15,
        resamples=5,
        piece=7,
    )
    assert essence(first) == essence(second)
    for key, value in first[""].arrays.items():
        assert value.tobytes() == second[""].arrays[key].tobytes(), key


def test_same_bytes_of_sampled_orders():
    one, call = wide(13)
    from sklearn.linear_model import LinearRegression

    again = subject(
        LinearRegression(),
        one.train.frame.sample(frac=1, random_state=0),
        one.test.frame.sample(frac=1, random_state=0),
        scores=call,
        shows=False,
    )
    a = observe(METHOD, one, rows=10, background=3, resamples=3)
    b = observe(METHOD, again, rows=10, background=3, resamples=3, piece=3)
    assert essence(a) == essence(b)
    assert a[""].arrays["phi"].tobytes() == b[""].arrays["phi"].tobytes()


def test_hidden_native_gives_the_same_values_by_asking():
    shown, hidden = made("boosting"), made("boosting", shows=False)
    a = observe(METHOD, shown, rows=4, background=10)[""]
    b = observe(METHOD, hidden, rows=4, background=10)[""]
    assert "all subsets" in b.versions["engine"]
    assert np.abs(a.arrays["phi"] - b.arrays["phi"]).max() < 1e-12


def odd(frame, call, train=None):
    from sklearn.linear_model import LinearRegression

    return subject(LinearRegression(), train, frame, scores=call, shows=False)


def test_constant_missing_and_single_level_columns_get_exactly_nothing():
    n = 30
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "constant": 1.0,
            "missing": np.nan,
            "level": pd.Categorical(["only"] * n),
            "flag": rng.random(n) < 0.5,
        }
    )
    found = observe(METHOD, odd(frame, lambda rows: rows["x"] * (1 + rows["flag"])), background=10)
    sizes = {
        item.name: (item.estimate.value, item.rank_low, item.rank_high)
        for item in found[""].observation.items
    }
    assert [sizes[name][0] for name in ("constant", "missing", "level")] == [0, 0, 0]
    assert {sizes[name][1:] for name in ("constant", "missing", "level")} == {
        (3, 5)
    }  # a three-way tie, below the others
    assert any("background comes from the test rows" in words for words in found[""].limits)
    assert found["local"].observation.cases[0]["items"][-1]["name"] in {"constant", "missing", "level"}


def test_one_row_and_one_input():
    found = observe(
        METHOD,
        odd(pd.DataFrame({"x": [2.0]}), lambda rows: rows["x"], pd.DataFrame({"x": [0.0, 1.0]})),
        background=5,
    )
    item = found[""].observation.items[0]
    assert (item.estimate.value, item.estimate.low, item.estimate.high) == (1.5, 0.0, None)
    assert (item.rank_low, item.rank_high) == (1, 1)
    assert found["stability"].observation.estimate.value == 1
    assert found["additivity"].observation.estimate.value == 0


def test_a_constant_model_is_no_trouble():
    found = observe(METHOD, odd(people(40)[0], lambda rows: np.full(len(rows), 0.3)), background=5, rows=10)
    assert all(item.estimate.value == 0 for item in found[""].observation.items)
    assert found["stability"].observation.estimate.value == 1
    assert found["additivity"].observation.estimate.value < 1e-15


def test_rows_without_finite_output_count_against_coverage():
    frame = pd.DataFrame({"x": np.arange(20.0), "z": np.arange(20.0) ** 2})
    found = observe(METHOD, odd(frame, lambda rows: np.where(rows["x"] == 7, np.nan, rows["z"]), frame[:5]))
    share = found["coverage"].observation.estimate
    assert (share.value, share.n) == (0.95, 20)
    assert found["coverage"].sampling.available == 20


def test_what_does_not_apply_is_said():
    one = made("forest")
    with pytest.raises(MethodError, match="margin does not apply"):
        observe(METHOD, one, output="margin", rows=2)
    with pytest.raises(MethodError, match="method: tree"):
        observe(METHOD, made("neighbours"), method="tree", rows=2)


def test_everything_becomes_evidence():
    found = observe(METHOD, made("boosting"), rows=30, background=20)
    assert set(found) == {"", *METHOD.parts} - {"deletion", "insertion"}  # those are of images and texts
    for name, one in found.items():
        record = Evidence(
            id=f"shap/{name}",
            method="shap",
            kind="explainer",
            title=one.title,
            status="measured",
            observation=one.observation,
            params=dict(one.params),
        )
        assert Evidence.model_validate_json(record.model_dump_json()) == record
    swarm = found["beeswarm"].observation
    shown = [cell for row in dict(swarm)["values"] for cell in row if cell]
    assert min(shown) >= 10
    assert found["stability"].observation.estimate.limits is not None
