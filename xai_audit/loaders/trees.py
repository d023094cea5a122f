"""Whether the trees in a skops file stay inside their own arrays.

Compiled prediction follows node and feature indices without looking, so a crafted file could make it read
anything or never end. A tree passes when its arrays have the sizes it states, every child comes after its
parent (so every walk ends) and every feature index is one of the features.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TREE = ("sklearn.tree._tree", "Tree")
_NAMES = ("TypeNode", "CachedNode")
"""How a type is named, and how a thing that was told before is pointed at."""


class FaultyTreeError(ValueError):
    """A tree points outside its own arrays."""


def check_archive(data: bytes) -> None:
    """Raise FaultyTreeError where a scikit-learn tree of a skops archive, not yet built, is out of bounds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        known: dict[Any, list[Mapping[str, Any]]] = {}
        for item in _mappings(schema):
            if item.get("__id__") and item.get("__loader__") != "CachedNode":
                known.setdefault(item["__id__"], []).append(item)
        for item in _mappings(schema):
            tree = (item.get("__module__"), item.get("__class__")) == _TREE
            # The type's own name stands in the file too, as a type, never with a state.
            if (tree or item.get("__loader__") == "TreeNode") and item.get("__loader__") not in _NAMES:
                _check_tree(item, known, archive)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _check_tree(
    item: Mapping[str, Any], known: Mapping[Any, list[Mapping[str, Any]]], archive: zipfile.ZipFile
) -> None:
    def told(node: Any) -> Any:
        """The node that skops will take for this one: the first of its id, so all of an id must be equal."""
        same = known.get(node.get("__id__"), [node])
        if any(other != same[0] for other in same):
            message = "two parts of the file share one identity"
            raise FaultyTreeError(message)
        return same[0]

    def value(node: Any) -> Any:
        node = told(node)
        if node.get("__loader__") == "JsonNode":
            return json.loads(node["content"])
        if node.get("__loader__") == "NdArrayNode" and node.get("type") == "numpy":
            return np.load(io.BytesIO(archive.read(node["file"])), allow_pickle=False)
        message = "a tree is written in a way that cannot be checked"
        raise FaultyTreeError(message)

    try:
        n_features, n_classes, n_outputs = (
            value(part) for part in told(item["__reduce__"]["args"])["content"]
        )
        state = {name: value(part) for name, part in told(item["content"])["content"].items()}
        nodes, values, count = state["nodes"], state["values"], state["node_count"]
        shape = np.asarray(n_classes).shape
        sizes = (nodes.shape, values.shape)
    except (KeyError, TypeError, AttributeError) as error:
        message = "a tree is written in a way that cannot be checked"
        raise FaultyTreeError(message) from error
    integers = all(type(number) is int for number in (n_features, n_outputs, count))
    if item.get("__loader__") != "TreeNode" or not integers or n_outputs < 1 or shape != (n_outputs,):
        message = "a tree states sizes that do not agree"
        raise FaultyTreeError(message)
    classes = np.asarray(n_classes)
    if (
        classes.dtype.kind not in "iu"
        or classes.min() < 1
        or sizes != ((count,), (count, n_outputs, int(classes.max())))
    ):
        message = "a tree states sizes that do not agree"
        raise FaultyTreeError(message)
    left, right = nodes["left_child"], nodes["right_child"]
    leaf = left == -1
    _check_walk(left, right, leaf, nodes["feature"], n_features)


def _check_walk(
    left: NDArray[Any], right: NDArray[Any], leaf: NDArray[Any], feature: NDArray[Any], n_features: int
) -> None:
    place = np.arange(len(left))
    if not len(left):
        message = "a tree has no node"
        raise FaultyTreeError(message)
    inner = ~leaf.astype(bool)
    for child in (left.astype(np.int64), right.astype(np.int64)):
        if (inner & ((child <= place) | (child >= len(place)))).any():
            message = "a tree's nodes point outside it or back"
            raise FaultyTreeError(message)
    if (inner & ((feature < 0) | (feature >= n_features))).any():
        message = "a tree asks for a feature that is not there"
        raise FaultyTreeError(message)


def check_estimator(estimator: Any) -> None:
    """Raise FaultyTreeError where trees of a loaded estimator, not yet asked, do not fit its features."""
    from xai_audit.loaders.estimators import nested

    for part in nested(estimator):
        name = type(part).__name__
        features = getattr(part, "n_features_in_", None)
        if hasattr(part, "tree_") and (features is None or part.tree_.n_features != features):
            message = "a tree takes more features than its owner"
            raise FaultyTreeError(message)
        if name.startswith("GradientBoosting"):
            _check_boosted(part, features)
        if hasattr(part, "_predictors"):
            _check_histogram(part, features)


def _check_boosted(part: Any, features: Any) -> None:
    """Gradient boosting hands its rows to every tree's compiled code itself, one number a leaf."""
    for tree in np.asarray(part.estimators_, dtype=object).reshape(-1):
        inner = getattr(tree, "tree_", None)
        if inner is None or inner.n_features != features or inner.n_outputs != 1 or inner.max_n_classes != 1:
            message = "a boosted tree does not fit its owner"
            raise FaultyTreeError(message)


def _check_histogram(part: Any, features: Any) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    binned = getattr(part, "_bin_mapper", None)
    categorical = np.asarray(getattr(binned, "is_categorical_", []))
    if not isinstance(features, (int, np.integer)) or categorical.shape != (features,):
        message = "histogram boosting states sizes that do not agree"
        raise FaultyTreeError(message)
    for tree in (tree for stage in part._predictors for tree in stage):  # noqa: SLF001
        nodes = getattr(tree, "nodes", None)
        bits: list[Any] = [
            getattr(tree, name, None) for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets")
        ]
        if not isinstance(nodes, np.ndarray) or nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1:
            message = "a histogram tree's nodes are of another type"
            raise FaultyTreeError(message)
        _check_walk(nodes["left"], nodes["right"], nodes["is_leaf"] != 0, nodes["feature_idx"], int(features))
        split = (nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0)
        for bitset in bits:
            fits = (
                isinstance(bitset, np.ndarray)
                and bitset.dtype == np.uint32
                and bitset.ndim == 2
                and bitset.shape[1] == 8
            )
            if not fits or (split.any() and int(nodes["bitset_idx"][split].max()) >= bitset.shape[0]):
                message = "a histogram tree's categories point outside it"
                raise FaultyTreeError(message)
