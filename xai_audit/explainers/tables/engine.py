"""Which engine computes Shapley values of a model, tried before it is trusted, and the engines that ask the model.

Players are the user's columns, the value of a set is the mean output over reference rows that fill in the rest
(interventional; Janzing et al. 2020, AISTATS). Trees and linear models are read from the model itself and checked
against its outputs; anything else is asked about mixtures of rows: all of them, or sampled orders of inputs.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from xai_audit.errors import MethodError, said
from xai_audit.explainers.rows import assembled, generator, pooled
from xai_audit.explainers.tables import pairs, trees
from xai_audit.explainers.tables.asking import all_subsets, asked_through, asker, different, sampled_orders
from xai_audit.explainers.tables.encoding import PROBES, Encoding, encode, last_estimator, taken_apart

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.explainers.rows import Output
    from xai_audit.subject import Rows, Subject

EXACT_COLUMNS = 12
"""Up to so many inputs every subset is computed."""
TABLE_CELLS = 2_000_000_000
"""Cells of subset tables that a structural engine may fill before orders are sampled instead."""
TOLERANCE = 1e-6
"""Largest difference, relative to the outputs, between what was read from a model and what the model says."""
SINGLE_TOLERANCE = 1e-5
"""The same for XGBoost, which adds its leaves in 32 bits."""
GAP = 1e-6
"""Largest difference, relative to the outputs' range, between the shap library's values and ours on any row."""
SPOT, SPOT_INPUTS = 4, 10
"""Rows, and inputs that move in them, on which an engine that was read is compared with asking the model."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How values will be computed: what a piece needs to know, and in words why."""

    note: dict[str, Any]
    """JSON: engine, link, sign, output, encoded, player, rounds, library."""
    reasons: tuple[str, ...]


def plan(
    subject: Subject, output: Output, method: str, rows: NDArray[np.int64], table: Rows, reference: NDArray[np.int64],
    rounds: int | None, max_evals: int,
) -> Plan:  # fmt: skip
    """The engine for these rows: read from the model where that reproduces it, else all subsets, else sampled orders."""
    pool = pooled(subject, rows, table, reference)
    count = pool.shape[1]
    work = len(rows) * len(reference)
    native = subject.model.native if subject.model is not None else None
    reasons: list[str] = []
    encoding: Encoding | str = "the model shows nothing of its inside"
    if native is not None:
        encoding = taken_apart(subject.model, pool)
    if isinstance(encoding, str):
        reasons.append(f"computed by asking the model: {encoding}")
        found = None
    else:
        found, why = structure(subject, output, pool, encoding)
        reasons.extend(why)
    if found is not None and method in {"auto", "exact", found["engine"].removesuffix("s")}:
        if found["link"] == "identity" or count <= EXACT_COLUMNS or work << count <= TABLE_CELLS:
            return Plan(found, tuple(reasons))
        reasons.append(f"{count} inputs behind a link: too many subsets for exact values")
    elif method in {"tree", "linear"}:
        raise MethodError(
            f"method: {method} does not apply to this model ({'; '.join(reasons) or 'it is of another kind'})"
        )
    player = encoding.player.tolist() if isinstance(encoding, Encoding) else None
    asked = asked_through(subject, output, pool, encoding)
    note: dict[str, Any] = {"engine": "subsets", "encoded": asked, "player": player}
    evals = work << min(count, 60)
    if method == "exact" or (method == "auto" and count <= EXACT_COLUMNS and evals <= max_evals):
        return Plan(note, tuple(reasons))
    if method == "auto":
        why_not = (
            f"more than {EXACT_COLUMNS} inputs"
            if count > EXACT_COLUMNS
            else f"all subsets would take {evals:,} answers of the model, over max_evals {max_evals:,}"
        )
        reasons.append(f"orders of inputs were sampled, not all computed: {why_not}")
    each = work * 2 * max(count - 1, 1)
    chosen = rounds if rounds is not None else int(min(max(max_evals // max(each, 1), 2), 10))
    if rounds is None and each * chosen > max_evals:
        reasons.append(
            f"two sampled orders a pair of rows, the fewest that show an error, take {each * chosen:,} answers, "
            f"over max_evals {max_evals:,}"
        )
    return Plan({**note, "engine": "permutation", "rounds": chosen}, tuple(reasons))


def structure(
    subject: Subject, output: Output, pool: pd.DataFrame, encoding: Encoding
) -> tuple[dict[str, Any] | None, list[str]]:
    """Trees or weights that reproduce the model's output on a pool of rows and on mixtures of them, or why not."""
    try:
        ensemble = _ensemble(encoding.estimator, subject.positive)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError) as error:
        return None, [f"its trees could not be read ({type(error).__name__}: {said(error)[:100]})"]
    weights = _weights(encoding.estimator) if ensemble is None else None
    if ensemble is None and weights is None:
        return None, []
    index = generator("structure", *pool.shape).integers(0, len(pool), size=(PROBES, pool.shape[1]))
    index = np.concatenate([np.repeat(np.arange(len(pool))[:, None], pool.shape[1], axis=1), index])
    told = subject.output(assembled(pool, index), output)
    mixed = encoding.mixed(index)
    if ensemble is not None:
        raw, links, engine = ensemble.raw(mixed), ensemble.links, "trees"
    else:
        assert weights is not None
        raw, links, engine = (
            _raw_linear(weights, mixed),
            ("identity", "sigmoid", "softmax", "sigmoid2", "exp"),
            "linear",
        )
    own = subject.positive if raw.shape[1] > 1 else 0
    scale = max(1.0, float(np.max(np.abs(told), initial=0.0)))
    single = type(encoding.estimator).__module__.split(".")[0] == "xgboost"
    tolerance = scale * (SINGLE_TOLERANCE if single else TOLERANCE)
    for link in links if output == "score" else ("identity",):
        for sign in (1, -1) if link != "softmax" else (1,):
            if np.max(np.abs(pairs.linked(raw, link, sign, own) - told), initial=0.0) <= tolerance:
                note = {
                    "engine": engine,
                    "link": link,
                    "sign": sign,
                    "own": own,
                    "player": encoding.player.tolist(),
                }
                note["library"] = _library(encoding, ensemble, link)
                off = _spot(subject, output, note, ensemble, encoding, pool)
                if off <= tolerance:
                    return {**note, "spot_check": off}, []
                off_by = f"on {SPOT} rows it differs by {off:.3g} from all subsets asked of the model"
                return None, [f"the {engine} engine was REJECTED: {off_by}"]
    kind = "trees" if ensemble is not None else "weights"
    return None, [f"{kind} were read from the model but do not reproduce its output; they were not used"]


def _spot(
    subject: Subject,
    output: Output,
    note: dict[str, Any],
    ensemble: trees.Ensemble | None,
    encoding: Encoding,
    pool: pd.DataFrame,
) -> float:
    """Largest difference between the engine that was read and all subsets asked of the model, on a few mixed rows.

    The rows explained differ from one reference row in a few inputs only, so that subsets stay few for any model.
    """
    draw = generator("spot", *pool.shape)
    count = pool.shape[1]
    index = np.repeat(draw.integers(0, len(pool), size=2 * SPOT)[:, None], count, axis=1)
    for row in range(SPOT):
        kept = draw.permutation(count)[SPOT_INPUTS:]
        index[row, kept] = index[SPOT, kept]
    frame = assembled(pool, index)
    told = subject.output(frame, output)
    fx, fb = told[:SPOT], told[SPOT:]
    movers = different(frame, SPOT)
    movers[:, 1:] = False  # only the first reference row shares inputs with the rows
    asked = all_subsets(lambda mixed: subject.output(assembled(frame, mixed), output), movers, SPOT, fx, fb)
    own = _read_pairs(ensemble, encoding.estimator, encoding.mixed(index), SPOT, count, note)
    return float(np.max(np.abs(asked[:, 0] - own[:, 0]), initial=0.0))


def _read_pairs(
    ensemble: trees.Ensemble | None,
    estimator: Any,
    matrix: NDArray[np.float64],
    n: int,
    count: int,
    note: dict[str, Any],
) -> NDArray[np.float64]:
    """Values of the first ``n`` encoded rows against each of the rest, from trees or weights."""
    player = np.asarray(note["player"], dtype=np.int64)
    if ensemble is None:
        return _linear(estimator, matrix, player, count, n, note)
    goes = ensemble.decisions(matrix)
    return pairs.tree_pairs(
        ensemble, player, count, goes[:n], goes[n:], note["link"], note["sign"], note["own"]
    )


def _library(encoding: Encoding, ensemble: trees.Ensemble | None, link: str) -> bool:
    """Whether the shap library's own tree algorithm is right here: plain sums of leaves over the user's own columns."""
    if ensemble is None or link != "identity" or not encoding.direct:
        return False
    is_categorical = getattr(encoding.estimator, "is_categorical_", None)
    return is_categorical is None or not np.any(is_categorical)


def _weights(estimator: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if not (hasattr(estimator, "coef_") and hasattr(estimator, "intercept_")):
        return None
    coefficients = np.asarray(estimator.coef_)
    if coefficients.dtype == object or coefficients.ndim > 2 or hasattr(estimator, "support_vectors_"):
        return None
    coefficients = np.atleast_2d(coefficients.astype(np.float64))
    return coefficients, np.broadcast_to(
        np.asarray(estimator.intercept_, dtype=np.float64), (len(coefficients),)
    )


def _raw_linear(
    weights: tuple[NDArray[np.float64], NDArray[np.float64]], matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.stack([(matrix * w).sum(axis=1) + b for w, b in zip(*weights, strict=True)], axis=1)


@dataclass(frozen=True, eq=False)
class Solved:
    """Shapley values of each row against each reference row, and what they must add up to."""

    pairs: NDArray[np.float64]
    """Of shape (rows, reference, inputs)."""
    sampling: NDArray[np.float64]
    """Standard error by sampled orders of the mean over the reference: (rows, inputs); zero where exact."""
    library: NDArray[np.float64] | None
    """The shap library's own values (rows, inputs), where they apply."""
    outputs: NDArray[np.float64]
    reference: NDArray[np.float64]
    """The model's outputs of the rows and of the reference rows."""


def solve(
    subject: Subject, output: Output, note: dict[str, Any], rows: NDArray[np.int64], table: Rows,
    reference: NDArray[np.int64], seed: int,
) -> Solved:  # fmt: skip
    """Values of some rows by the planned engine; each row's depend on its own content and the reference alone."""
    pool = pooled(subject, rows, table, reference)
    n, count = len(rows), pool.shape[1]
    told = subject.output(pool, output)
    fx, fb = told[:n], told[n:]
    exact = np.zeros((n, count))
    if note["engine"] in {"trees", "linear"}:
        assert subject.model is not None
        matrix = encode(subject.model, pool)
        estimator = last_estimator(subject.model.native)
        ensemble = _ensemble(estimator, subject.positive) if note["engine"] == "trees" else None
        values = _read_pairs(ensemble, estimator, matrix, n, count, note)
        library = (
            _shap_library(estimator, matrix[:n], matrix[n:], note["sign"], subject.positive)
            if note["library"]
            else None
        )
        return Solved(values, exact, library, fx, fb)
    ask = asker(subject, output, note, pool)
    if note["engine"] == "subsets":
        return Solved(all_subsets(ask, different(pool, n), n, fx, fb), exact, None, fx, fb)
    draws = [generator(seed, "shap", "orders", subject.test.seed(int(row))) for row in rows]
    values, error = sampled_orders(ask, draws, note["rounds"], count, fx, fb)
    return Solved(values, error, None, fx, fb)


_READ: WeakKeyDictionary[Any, dict[int, trees.Ensemble | None]] = WeakKeyDictionary()


def _ensemble(estimator: Any, positive: int) -> trees.Ensemble | None:
    # Every piece of a map asks for the same model's trees; they are read once a process.
    kept = _READ.setdefault(estimator, {})
    if positive not in kept:
        kept[positive] = trees.read(estimator, positive)
    return kept[positive]


def _linear(
    estimator: Any,
    matrix: NDArray[np.float64],
    player: NDArray[np.int64],
    count: int,
    n: int,
    note: dict[str, Any],
) -> NDArray[np.float64]:
    weights = _weights(estimator)
    assert weights is not None
    coefficients, offset = weights[0], weights[1].copy()
    parts = np.zeros((len(matrix), len(offset), count))
    for column, owner in enumerate(player):
        if owner >= 0:
            parts[:, :, owner] += matrix[:, [column]] * coefficients[:, column]
        else:
            offset += matrix[0, column] * coefficients[:, column]
    return pairs.linear_pairs(parts[:n], parts[n:], offset, note["link"], note["sign"], note["own"])


def _shap_library(
    estimator: Any, rows: NDArray[np.float64], reference: NDArray[np.float64], sign: int, positive: int
) -> NDArray[np.float64] | None:
    """Values by shap.TreeExplainer, told not to cut the background; None where it refuses the model."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import shap

            masker = shap.maskers.Independent(reference, max_samples=len(reference))
            explainer = shap.TreeExplainer(
                estimator, masker, feature_perturbation="interventional", model_output="raw"
            )
            values = np.asarray(explainer.shap_values(rows, check_additivity=False), dtype=np.float64)
    except Exception:  # noqa: BLE001  # whatever a library raises on a model it does not know
        return None
    if values.ndim == 3:
        values = values[:, :, positive]
    return sign * values if values.shape == rows.shape else None


def chosen(
    plan: Plan, found: dict[str, NDArray[Any]], fb: NDArray[np.float64]
) -> tuple[NDArray[np.float64], str, dict[str, str], list[str]]:
    """The values reported, who computed them, and what must be said about it."""
    own = {
        "trees": "xai-audit, exact over trees",
        "linear": "xai-audit, exact over a linear model",
        "subsets": "xai-audit, all subsets of inputs",
        "permutation": "xai-audit, sampled orders of inputs",
    }[plan.note["engine"]]
    said = list(plan.reasons)
    if plan.note["engine"] == "permutation":
        said.append(
            "values carry a sampling error (array order_error); mean sizes of inputs near zero are overstated by it"
        )
    versions = {"engine": own, "numpy": np.__version__}
    if plan.note["engine"] in {"trees", "linear"}:
        versions["numba"] = version("numba")
    if not plan.note.get("library"):
        return found["phi"], own, versions, said
    versions["shap"] = version("shap")
    theirs = found["library"]
    scale = float(np.ptp(np.concatenate([found["outputs"], fb]))) or 1.0
    gap = float(np.max(np.abs(theirs - found["phi"]))) if np.isfinite(theirs).all() else math.inf
    if gap <= GAP * scale:
        name = f"shap.TreeExplainer {versions['shap']}, interventional"
        versions["engine"] = name
        said.append(f"a second engine of our own agrees on every row (largest difference {gap:.2g})")
        return theirs, name, versions, said
    what = f"differs from ours by {gap:.3g}" if math.isfinite(gap) else "gave no finite values for every row"
    said.append(
        f"shap.TreeExplainer {versions['shap']} was REJECTED for this model: it {what}; our engine's values are shown"
    )
    return found["phi"], own, versions, said
