"""Tree ensembles as plain arrays, read from scikit-learn, XGBoost and LightGBM, categories and missing values included.

What is read here is never trusted: whoever uses it compares its outputs with the model's own first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Decide = Callable[[NDArray[np.float64]], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree: children (-1 in a leaf), the encoded column each node asks, leaf values, and who goes left."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    column: NDArray[np.int64]
    value: NDArray[np.float64]
    decide: Decide
    """From a matrix of rows, whether each goes left at each node: (rows, nodes)."""
    output: int = 0
    """Which of the ensemble's raw outputs this tree adds to."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees whose leaf values add up, with an offset, to ``outputs`` raw numbers."""

    trees: tuple[Tree, ...]
    offset: NDArray[np.float64]
    links: tuple[str, ...]
    """How raw numbers may become scores, likeliest first."""

    @property
    def outputs(self) -> int:
        """How many raw numbers there are."""
        return len(self.offset)

    def decisions(self, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Whether each row goes left at each node of all trees: (rows, nodes)."""
        return np.ascontiguousarray(
            np.concatenate([tree.decide(matrix) for tree in self.trees], axis=1), dtype=np.uint8
        )

    def raw(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw outputs (rows, outputs) by walking every tree."""
        out = np.tile(self.offset, (len(matrix), 1))
        for tree in self.trees:
            goes = tree.decide(matrix)
            node = np.zeros(len(matrix), dtype=np.int64)
            while (inner := tree.left[node] >= 0).any():
                at = node[inner]
                node[inner] = np.where(goes[inner, at], tree.left[at], tree.right[at])
            out[:, tree.output] += tree.value[node]
        return out


def read(estimator: Any, positive: int) -> Ensemble | None:
    """The ensemble inside an estimator, None where it is none that is known here.

    ``positive`` is the class whose share is read from forests. What the library hides and how it rounds is the
    caller's to check: compare ``raw`` with the model's own output.
    """
    module = type(estimator).__module__.split(".")[0]
    if module in {"xgboost", "lightgbm"}:
        return _xgboost(estimator) if module == "xgboost" else _lightgbm(estimator)
    if hasattr(estimator, "_predictors") and hasattr(estimator, "_baseline_prediction"):
        return _histogram(estimator)
    if hasattr(estimator, "tree_"):
        return _forest([estimator], positive)
    members = getattr(estimator, "estimators_", None)
    if members is not None and hasattr(estimator, "learning_rate") and hasattr(estimator, "init_"):
        return _gradient(estimator)
    forests = {
        "RandomForestClassifier",
        "RandomForestRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
    }
    return _forest(members, positive) if members is not None and type(estimator).__name__ in forests else None


def _numeric(
    column: NDArray[np.int64],
    threshold: NDArray[np.float64],
    missing: NDArray[np.bool_],
    cast: Any,
    strict: bool,
) -> Decide:
    safe = np.where(column >= 0, column, 0)

    def decide(matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        values = matrix.astype(cast).astype(np.float64)[:, safe]
        with np.errstate(invalid="ignore"):
            goes = values < threshold if strict else values <= threshold
        return np.where(np.isnan(values), missing, goes)

    return decide


def _sklearn(tree: Any, value: NDArray[np.float64], output: int = 0) -> Tree:
    left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
    column = np.where(left >= 0, tree.feature, -1).astype(np.int64)
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(left))).astype(bool)
    # scikit-learn compares numbers rounded to 32 bits with thresholds of 64.
    decide = _numeric(column, tree.threshold.astype(np.float64), missing, np.float32, strict=False)
    return Tree(left, right, column, value, decide, output)


def _forest(members: Sequence[Any], positive: int) -> Ensemble:
    trees = []
    for member in members:
        value = member.tree_.value[:, 0, :].astype(np.float64)
        share = value[:, positive] / value.sum(axis=1) if hasattr(member, "classes_") else value[:, 0]
        trees.append(_sklearn(member.tree_, share / len(members)))
    return Ensemble(tuple(trees), np.zeros(1), ("identity",))


def _gradient(estimator: Any) -> Ensemble:
    stages = estimator.estimators_
    offset = np.zeros(stages.shape[1])
    if estimator.init_ != "zero":
        blank = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        offset = np.asarray(estimator._raw_predict_init(blank), dtype=np.float64)[0]  # noqa: SLF001
    trees = tuple(
        _sklearn(stage[k].tree_, stage[k].tree_.value[:, 0, 0] * estimator.learning_rate, k)
        for stage in stages
        for k in range(stages.shape[1])
    )
    return Ensemble(trees, offset, ("identity", "sigmoid", "softmax", "sigmoid2"))


def _histogram(estimator: Any) -> Ensemble:
    known, index = estimator._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001
    trees = []
    for stage in estimator._predictors:  # noqa: SLF001
        for k, predictor in enumerate(stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            column = np.where(leaf, -1, nodes["feature_idx"].astype(np.int64))
            missing = nodes["missing_go_to_left"].astype(bool)
            numeric = _numeric(
                column, nodes["num_threshold"].astype(np.float64), missing, np.float64, strict=False
            )
            sets: dict[int, tuple[NDArray[np.float64], NDArray[np.float64] | None]] = {
                int(node): (
                    _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]),
                    _members(known[index[column[node]]]),
                )
                for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
            }
            left = np.where(leaf, -1, nodes["left"].astype(np.int64))
            right = np.where(leaf, -1, nodes["right"].astype(np.int64))
            value = np.where(leaf, nodes["value"], 0.0).astype(np.float64)
            trees.append(Tree(left, right, column, value, _with_sets(numeric, column, sets, missing), k))
    offset = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)  # noqa: SLF001
    return Ensemble(tuple(trees), offset, ("identity", "sigmoid", "softmax", "exp"))


def _members(bits: NDArray[np.uint32]) -> NDArray[np.float64]:
    return np.asarray(
        [32 * word + bit for word in range(len(bits)) for bit in range(32) if int(bits[word]) >> bit & 1],
        dtype=np.float64,
    )


def _with_sets(
    numeric: Decide,
    column: NDArray[np.int64],
    sets: dict[int, tuple[NDArray[np.float64], NDArray[np.float64] | None]],
    missing: NDArray[np.bool_],
) -> Decide:
    """Who goes left where some nodes ask for membership: in the first set left, in the second right, else as missing."""
    if not sets:
        return numeric

    def decide(matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        goes = numeric(matrix)
        for node, (left, known) in sets.items():
            values = matrix[:, column[node]]
            whole = np.trunc(values)
            inside = np.isin(whole, left)
            other = ~inside if known is None else np.isin(whole, known) & ~inside
            absent = np.isnan(values) | (values < 0)
            goes[:, node] = np.where(absent | ~(inside | other), missing[node], inside)
        return goes

    return decide


def _xgboost(estimator: Any) -> Ensemble | None:
    booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    gradient = learner["gradient_booster"]
    weights = gradient.get("weight_drop")
    gradient = gradient.get("gbtree", gradient)
    if "model" not in gradient or "trees" not in gradient["model"]:
        return None
    objective = learner["objective"]["name"]
    base = learner["learner_model_param"]["base_score"]
    scores = np.atleast_1d(np.asarray(json.loads(base), dtype=np.float64))
    if objective in {"binary:logistic", "reg:logistic"}:
        scores = np.log(scores / (1 - scores))
    elif objective in {"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"}:
        scores = np.log(scores)
    groups = max(int(learner["learner_model_param"]["num_class"]), 1)
    offset = (
        np.broadcast_to(scores, (groups,)).astype(np.float64)
        if len(scores) in {1, groups}
        else np.zeros(groups)
    )
    best = booster.attr("best_iteration")
    trees = gradient["model"]["trees"]
    if best is not None and "iteration_indptr" in gradient["model"]:
        trees = trees[: gradient["model"]["iteration_indptr"][int(best) + 1]]
    found = []
    for number, tree in enumerate(trees):
        left = np.asarray(tree["left_children"], dtype=np.int64)
        leaf = left < 0
        condition = np.asarray(tree["split_conditions"], dtype=np.float32).astype(np.float64)
        column = np.where(leaf, -1, np.asarray(tree["split_indices"], dtype=np.int64))
        missing = np.asarray(tree["default_left"]).astype(bool)
        numeric = _numeric(column, condition, missing, np.float32, strict=True)
        sets: dict[int, tuple[NDArray[np.float64], NDArray[np.float64] | None]] = {}
        for node, start, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        ):
            # XGBoost sends the categories it lists to the right, and those it does not to the left.
            sets[node] = (np.asarray(tree["categories"][start : start + size], dtype=np.float64), None)
        decide = _flipped(_with_sets(numeric, column, sets, ~missing), sets)
        weight = 1.0 if weights is None else float(weights[number])
        value = np.where(leaf, condition, 0.0) * weight
        right = np.asarray(tree["right_children"], dtype=np.int64)
        found.append(Tree(left, right, column, value, decide, int(gradient["model"]["tree_info"][number])))
    return Ensemble(tuple(found), offset, ("identity", "sigmoid", "softmax", "exp"))


def _flipped(decide: Decide, sets: dict[int, Any]) -> Decide:
    if not sets:
        return decide

    def flipped(matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        goes = decide(matrix)
        nodes = list(sets)
        goes[:, nodes] = ~goes[:, nodes]
        return goes

    return flipped


def _lightgbm(estimator: Any) -> Ensemble:
    booster = getattr(estimator, "booster_", estimator)
    dump = booster.dump_model()
    count = dump["num_tree_per_iteration"]
    iterations = max(len(dump["tree_info"]) // max(count, 1), 1)
    scale = 1.0 / iterations if dump.get("average_output") else 1.0
    trees = tuple(
        _leafwise(info["tree_structure"], info["tree_index"] % count, scale) for info in dump["tree_info"]
    )
    return Ensemble(trees, np.zeros(count), ("identity", "sigmoid", "softmax", "exp"))


def _leafwise(root: dict[str, Any], output: int, scale: float) -> Tree:
    nodes = list(_preorder(root))
    place = {id(node): number for number, node in enumerate(nodes)}
    left, right, column = (np.full(len(nodes), -1, dtype=np.int64) for _ in range(3))
    value, threshold = np.zeros(len(nodes)), np.zeros(len(nodes))
    default, zero, nan = (np.zeros(len(nodes), dtype=bool) for _ in range(3))
    sets: dict[int, tuple[NDArray[np.float64], NDArray[np.float64] | None]] = {}
    for number, node in enumerate(nodes):
        if "split_feature" not in node:
            value[number] = node["leaf_value"] * scale
            continue
        left[number], right[number] = place[id(node["left_child"])], place[id(node["right_child"])]
        column[number] = node["split_feature"]
        if node["decision_type"] == "==":
            sets[number] = (np.asarray([float(part) for part in str(node["threshold"]).split("||")]), None)
            continue  # a missing category goes right
        threshold[number] = node["threshold"]
        zero[number], nan[number] = node["missing_type"] == "Zero", node["missing_type"] == "NaN"
        default[number] = node["default_left"]
    safe = np.where(column >= 0, column, 0)

    def numeric(matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        values = matrix[:, safe]
        absent = np.isnan(values)
        filled = np.where(absent & ~nan, 0.0, values)
        with np.errstate(invalid="ignore"):
            goes = filled <= threshold
            tiny = zero & (np.abs(filled) <= 1e-35)
        return np.where(tiny | (absent & nan), default, goes)

    return Tree(
        left,
        right,
        column,
        value,
        _with_sets(numeric, column, sets, np.zeros(len(nodes), dtype=bool)),
        output,
    )


def _preorder(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if "split_feature" in node:
            stack += [node["right_child"], node["left_child"]]
