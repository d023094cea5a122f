"""Methods as a spec names them: a name, or a name with parameters, and what each is to be called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xai_audit import catalog
from xai_audit.errors import Mistake
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.source import shown
from xai_audit.spec import Use

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from xai_audit.source import Node, Place

RESERVED: dict[str, tuple[str, ...]] = {
    "explainer": (
        "shap",
        "lime",
        "integrated_gradients",
        "gradient_shap",
        "occlusion",
        "permutation_importance",
        "partial_dependence",
        "counterfactuals",
        "tcav",
        "prototypes",
        "sparse_autoencoder",
        "sparse_probing",
        "neuron_search",
        "circuit_discovery",
        "progress_measures",
        "design_delta",
    ),
    "metric": (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "log_loss",
        "brier_score",
        "matthews_corrcoef",
        "mean_absolute_error",
        "root_mean_squared_error",
        "r2",
        "expected_calibration_error",
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
        "negative_predictive_value",
        "false_discovery_rate",
        "false_omission_rate",
        "prevalence",
        "predicted_positive_share",
        "selection_rate",
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equal_opportunity_difference",
        "false_positive_rate_difference",
        "equalized_odds_difference",
        "equalized_odds_sum",
        "predictive_parity_difference",
        "calibration_gap",
        "abroca",
    ),
}
"""Every name the format reserves; those without a method in the catalog are refused as not there yet."""

MECHANISTIC = frozenset(
    {
        "sparse_autoencoder",
        "sparse_probing",
        "neuron_search",
        "circuit_discovery",
        "progress_measures",
        "design_delta",
    }
)
"""What looks inside a network: too young to carry, alone, a rule that the law asks for."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def selectable(kind: Literal["explainer", "metric"]) -> list[str]:
    """The methods of a kind that a spec may name."""
    return [method.id for method in catalog.methods().values() if method.kind == kind and method.selectable]


def uses(node: Node | None, kind: Literal["explainer", "metric"], mistakes: list[Mistake]) -> tuple[Use, ...]:
    """The methods asked for, in order, with parameters checked by each method's own model."""
    if node is None:
        return ()
    key = f"{kind}s"
    if node.kind != "list":
        mistakes.append(node.place.mistake(f"{key}: a list of names is asked"))
        return ()
    found: list[Use] = []
    for index, entry in enumerate(node.value):
        use = _use(entry, kind, f"{key}[{index}]", mistakes)
        if use is None:
            continue
        if any(use.name == earlier.name for earlier in found):
            what = f"{key}: {use.name!r} stands here twice; give the second a name of its own with 'as'"
            mistakes.append(entry.place.mistake(what))
            continue
        found.append(use)
    return tuple(found)


def _use(
    entry: Node, kind: Literal["explainer", "metric"], where: str, mistakes: list[Mistake]
) -> Use | None:
    if entry.kind in ("list", "null"):
        mistakes.append(entry.place.mistake(f"{where}: a name, or a name with its parameters, is asked"))
        return None
    if entry.kind != "mapping":
        return _checked(entry.raw, entry.place, None, None, kind, where, mistakes)
    names = [key for key in entry.value if key != "as"]
    if len(names) != 1:
        what = f"one name with its parameters is asked, not {len(names)}; a second method is a second entry"
        mistakes.append(entry.place.mistake(f"{where}: {what}"))
        return None
    (name,) = names
    return _checked(name, entry.keys[name], entry.get(name), entry.get("as"), kind, where, mistakes)


def _checked(
    name: str,
    place: Place,
    params: Node | None,
    label: Node | None,
    kind: Literal["explainer", "metric"],
    where: str,
    mistakes: list[Mistake],
) -> Use | None:
    method = catalog.methods().get(name)
    if method is None or method.kind != kind or not method.selectable:
        mistakes.append(place.mistake(unknown(name, kind)))
        return None
    called = name
    if label is not None:
        called = label.raw
        if label.kind in ("mapping", "list") or not _NAME.fullmatch(called):
            what = f"{where}.as: a name of letters, digits, _ and - is asked, not {shown(called)}"
            mistakes.append(label.place.mistake(what))
            return None
        if called != name and called in catalog.methods():
            mistakes.append(label.place.mistake(f"{where}.as: {called!r} is another method's name"))
            return None
    if params is None:
        fitted = method.params()
    else:
        before = fit(params, method.params, mistakes, where=name)
        if before is None:
            return None
        fitted = before
    return Use(
        method=name,
        params=fitted.model_dump(mode="json", exclude_unset=True),
        name=called,
        line=place.line,
        column=place.column,
    )


def unknown(name: str, kind: Literal["explainer", "metric"]) -> str:
    """Why a name is not that of an explainer or a metric one may ask for."""
    method = catalog.methods().get(name)
    if method is not None and method.kind != kind:
        return f"{name!r} is {_a(method.kind)}; it stands under {method.kind}s"
    if method is not None:
        return f"{name!r} is measured in every audit and not named in a spec"
    if name in RESERVED[kind]:
        return f"{kind}s: {name}: {UNAVAILABLE}"
    other = next((other for other, names in RESERVED.items() if other != kind and name in names), None)
    if other is not None:
        return f"{name!r} is {_a(other)}; it stands under {other}s"
    return f"no {kind} named {shown(name)}{meant(name, selectable(kind))}"


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def primary(uses: Sequence[Use], node: Node | None, mistakes: list[Mistake]) -> str | None:
    """The metric marked ``primary: true``, else the first; two marked are a mistake."""
    marked = [use for use in uses if use.params.get("primary")]
    for second in marked[1:]:
        file = "" if node is None else node.place.file
        what = f"{second.name!r} is marked primary, and so is {marked[0].name!r}; one metric is"
        mistakes.append(Mistake(file, second.line, second.column, what))
    return next((use.name for use in (*marked, *uses)), None)
