import subprocess
import sys

import numpy as np
import pytest

from tests.explainers.bench import Adapter
from tests.explainers.models import fitted
from xai_audit.explainers.tables import pairs, trees
from xai_audit.explainers.tables.encoding import encode, last_estimator, taken_apart

READ = {
    "tree": "identity",
    "forest": "identity",
    "forest in a pipeline": "identity",
    "boosting": "sigmoid",
    "boosting, exponential": "sigmoid2",
    "boosting of three in a pipeline": "softmax",
    "histogram": "sigmoid",
    "histogram with categories": "sigmoid",
    "histogram, gamma": "exp",
    "xgboost": "sigmoid",
    "xgboost with categories": "sigmoid",
    "xgboost of numbers": "identity",
    "lightgbm": "sigmoid",
    "lightgbm with categories": "sigmoid",
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read_answers_as_the_model(name):
    native, _, test, _ = fitted(name)
    ensemble = trees.read(last_estimator(native), 1)
    raw = ensemble.raw(encode(Adapter(native), test))
    mine = pairs.linked(raw, READ[name], 1, 1 if raw.shape[1] > 1 else 0)
    theirs = native.predict_proba(test)[:, 1] if hasattr(native, "predict_proba") else native.predict(test)
    assert np.abs(mine - theirs).max() <= 1e-6 * max(1.0, np.abs(theirs).max())


def test_what_is_no_ensemble_is_not_read():
    assert trees.read(last_estimator(fitted("linear")[0]), 1) is None
    assert trees.read(last_estimator(fitted("neural net in a pipeline")[0]), 1) is None


@pytest.mark.parametrize(
    ("name", "players"),
    [
        ("boosting", [0, 1, 2]),
        ("forest in a pipeline", [0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5]),
        ("dropped column", [3, 3, 3, 3, 2]),
        ("histogram with categories", [3, 4, 0, 1, 2, 5]),
    ],
)
def test_encoded_columns_know_their_input(name, players):
    native, train, _, _ = fitted(name)
    found = taken_apart(Adapter(native), train.reset_index(drop=True))
    assert found.player.tolist() == players
    assert found.direct == (name == "boosting")


@pytest.mark.parametrize("name", ["linear over products", "linear over components"])
def test_encodings_that_mix_inputs_are_refused(name):
    native, train, _, _ = fitted(name)
    assert "several inputs" in taken_apart(Adapter(native), train.reset_index(drop=True))


def test_the_table_of_explainers_loads_nothing_heavy():
    code = "import sys; import xai_audit.explainers; print([m for m in ('shap', 'lime', 'sklearn', 'pandas', 'scipy', 'numba', 'matplotlib') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
