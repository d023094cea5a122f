"""Whether the trees of a boosting library's file stay inside their own arrays; see trees.py for why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.trees import FaultyTreeError

_PARAMETER = re.compile(r"\[[a-z0-9_]+: [^\[\]]*\]")
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_PER_NODE = (
    "split_gain",
    "threshold",
    "decision_type",
    "internal_value",
    "internal_weight",
    "internal_count",
)
_LEAF = -1
_XGBOOST_PER_NODE = (
    *("right_children", "split_indices", "split_conditions", "base_weights", "default_left", "loss_changes"),
    *("parents", "sum_hessian", "split_type"),
)
_CATEGORY = 1
"""The bit of LightGBM's decision_type that says a split is by category."""
_WORD = 32


def check_lightgbm(text: str) -> None:
    """Raise FaultyTreeError where a LightGBM text file points outside itself, its trees or its features."""
    head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    fields = _fields(head)
    features = int(fields["max_feature_idx"]) + 1
    per_iteration = int(fields["num_tree_per_iteration"])
    counts = {len(fields["feature_names"].split(" ")), len(fields["feature_infos"].split(" "))}
    if features < 1 or counts != {features} or per_iteration not in {1, int(fields["num_class"])}:
        _refuse()
    if not blocks or len(blocks) % per_iteration:
        _refuse()
    _check_sizes(text, fields.get("tree_sizes", ""), len(blocks))
    _check_parameters(text)
    for place, block in enumerate(blocks):
        if block.partition("\n")[0] != str(place):
            _refuse()
        _check_block(_fields(block), features)


def _check_sizes(text: str, sizes: str, count: int) -> None:
    """LightGBM jumps to each tree by the sizes stated before the first."""
    if not sizes:
        return
    data = text.encode()
    start = data.index(b"\nTree=0\n") + 1
    stated = [int(size) for size in sizes.split()]
    if len(stated) != count:
        _refuse()
    for place, size in enumerate(stated):
        if size < 1 or not data.startswith(b"Tree=%d\n" % place, start):
            _refuse()
        start += size
    if not data.startswith(b"end of trees", start):
        _refuse()


def _check_parameters(text: str) -> None:
    """Every parameter is ``[name: value]``; LightGBM reads past the end of a line without a colon."""
    _, found, rest = text.partition("\nparameters:\n")
    if not found:
        return
    body, ended, _ = rest.partition("\nend of parameters")
    if not ended or any(line and not _PARAMETER.fullmatch(line) for line in body.split("\n")):
        _refuse()


def _check_block(fields: Mapping[str, str], features: int) -> None:
    leaves = int(fields["num_leaves"])
    if leaves < 1:
        _refuse()
    for name, count in (
        *dict.fromkeys(_PER_LEAF, leaves).items(),
        *dict.fromkeys(_PER_NODE, leaves - 1).items(),
    ):
        # A tree of one leaf states some of these and not others.
        if name in fields and leaves > 1 and len(fields[name].split()) != count:
            _refuse()
    if len(fields.get("leaf_value", "").split()) != leaves:
        _refuse()
    if fields.get("is_linear", "0") != "0":
        message = "linear trees are not read"
        raise FaultyTreeError(message)
    if leaves == 1:
        return
    left, right = (_integers(fields, name, leaves - 1) for name in ("left_child", "right_child"))
    place = np.arange(leaves - 1)
    # A child is an inner node from 0 up, or the complement of a leaf.
    for child in (left, right):
        inner = child >= 0
        if (inner & ((child <= place) | (child >= leaves - 1))).any() or (~inner & (~child >= leaves)).any():
            _refuse()
    feature = _integers(fields, "split_feature", leaves - 1)
    if (feature < 0).any() or (feature >= features).any():
        _refuse()
    _check_categories(fields, leaves - 1)


def _check_categories(fields: Mapping[str, str], nodes: int) -> None:
    split = (_integers(fields, "decision_type", nodes) & _CATEGORY) > 0
    thresholds = fields.get("threshold", "").split()
    count = int(fields.get("num_cat", "0"))
    if len(thresholds) != nodes or (split.any() and count < 1):
        _refuse()
    if count < 1:
        return
    bounds = _integers(fields, "cat_boundaries", count + 1)
    _integers(fields, "cat_threshold", int(bounds[-1]))
    index = np.array([float(word) for word in thresholds])[split]
    if bounds[0] != 0 or (np.diff(bounds) < 0).any() or (index < 0).any() or (index >= count).any():
        _refuse()


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _integers(fields: Mapping[str, str], name: str, count: int) -> NDArray[np.int64]:
    found = np.array([int(word) for word in fields.get(name, "").split()], dtype=np.int64)
    if len(found) != count:
        _refuse()
    return found


def check_xgboost(learner: Mapping[str, Any]) -> None:
    """Raise FaultyTreeError where a tree of an XGBoost learner, as its JSON has it, points outside itself."""
    features = int(learner["learner_model_param"]["num_feature"])
    groups = max(int(learner["learner_model_param"]["num_class"]), 1)
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        weights = booster["model"]["weights"]
        if len(weights) != (features + 1) * groups:
            _refuse()
        return
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    trees, rounds = model["trees"], [int(place) for place in model.get("iteration_indptr", [])]
    if booster["name"] == "dart" and len(booster["weight_drop"]) != len(trees):
        _refuse()
    if len(model["tree_info"]) != len(trees) or any(
        not 0 <= int(group) < groups for group in model["tree_info"]
    ):
        _refuse()
    if rounds and (rounds[0] != 0 or rounds[-1] != len(trees) or rounds != sorted(rounds)):
        _refuse()
    for tree in trees:
        _check_tree(tree, features)


def _check_tree(tree: Mapping[str, Any], features: int) -> None:
    left, right = (np.array(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    nodes = len(left)
    feature = np.array(tree["split_indices"], dtype=np.int64)
    per_node = [tree[name] for name in _XGBOOST_PER_NODE if name in tree]
    if nodes < 1 or len(right) != nodes or any(len(values) != nodes for values in per_node):
        _refuse()
    if int(tree["tree_param"]["num_nodes"]) != nodes or int(tree["tree_param"].get("num_deleted", 0)) > nodes:
        _refuse()
    # -1 and nothing else says leaf.
    inner = left != _LEAF
    for child in (left[inner], right[inner]):
        if (child < 0).any() or (child >= nodes).any():
            _refuse()
    if (right[~inner] != _LEAF).any() or (feature[inner] < 0).any() or (feature[inner] >= features).any():
        _refuse()
    _check_ends(left, right, inner)
    starts, sizes = (
        np.array(tree.get(f"categories_{name}", []), dtype=np.int64) for name in ("segments", "sizes")
    )
    owners = np.array(tree.get("categories_nodes", []), dtype=np.int64)
    count = len(tree.get("categories", []))
    if not len(starts) == len(sizes) == len(owners) or (starts < 0).any() or (sizes < 0).any():
        _refuse()
    if (starts + sizes > count).any() or (owners < 0).any() or (owners >= nodes).any():
        _refuse()
    by_category = np.flatnonzero(np.array(tree.get("split_type", [0] * nodes)) == 1)
    if not set(by_category[inner[by_category]].tolist()) <= set(owners.tolist()):
        _refuse()


def _check_ends(left: NDArray[np.int64], right: NDArray[np.int64], inner: NDArray[np.bool_]) -> None:
    """No node is reached twice, so every walk ends."""
    seen: set[int] = set()
    stack: list[int] = [0]
    while stack:
        node = stack.pop()
        if node in seen:
            _refuse()
        seen.add(node)
        if inner[node]:
            children: Sequence[int] = (int(left[node]), int(right[node]))
            stack.extend(children)


def _refuse() -> None:
    message = "a tree points outside its own arrays"
    raise FaultyTreeError(message)
