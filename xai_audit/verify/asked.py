"""What the spec and the policies of an audit ask to be measured, by this package's own reading of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_audit import applying
from xai_audit.verify.recounts import RECOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.policy import Policy
    from xai_audit.spec import Spec
    from xai_audit.verify.recounts.bench import Need
    from xai_audit.verify.stated import Subject

DEFAULT = {
    "classification": ("accuracy", "balanced_accuracy", "recall", "precision", "roc_auc"),
    "regression": ("mean_absolute_error", "root_mean_squared_error", "r2"),
}
"""Measured where the spec names no metric."""
ALWAYS = ("prevalence", "selection_rate")
"""Measured of every classifier."""


@dataclass(frozen=True)
class Asked:
    """One metric to be measured, under the name its evidence carries."""

    method: str
    name: str
    params: Mapping[str, Any]


def asked(spec: Spec, policies: Sequence[Policy], subject: Subject) -> list[Asked]:
    """The metrics that an audit must hold, in the order in which they are measured."""
    found = [Asked(use.method, use.name, use.params) for use in spec.metrics]
    if not found:
        found = [Asked(name, name, {}) for name in DEFAULT[subject.task]]
    label = applying.primary_of(spec, subject.task)
    primary = next((use.method for use in spec.metrics if use.name == label), label)
    names = {one.name for one in found} | {use.name for use in spec.explainers}
    more = [primary, *(ALWAYS if subject.task == "classification" else ())]
    for name in (*more, *applying.methods_read(policies, spec)):
        recount = RECOUNTS.get(name)
        if recount is not None and recount.asked and name not in names:
            found.append(Asked(name, name, {}))
            names.add(name)
    for name, recount in RECOUNTS.items():
        if not recount.asked and _of_task(recount.needs, subject.task):
            found.append(Asked(name, name, {"metric": primary} if name == "baseline_improvement" else {}))
    return found


def _of_task(needs: Sequence[Need], task: str) -> bool:
    if task == "regression":
        return "classification" not in needs and "binary" not in needs
    return "regression" not in needs


def unmet(needs: Sequence[Need], subject: Subject) -> str | None:
    """Why a metric cannot be measured of this subject, in the words of the evidence; None where it can."""
    reasons = dict(_unmet(subject))
    return next((reasons[need] for need in needs if need in reasons), None)


def _unmet(subject: Subject) -> Iterator[tuple[Need, str]]:
    if subject.model is None:
        yield "model", "it needs a model; this audit has predictions only"
    if not subject.labels:
        yield "labels", "it needs labels; the data have no target"
    if not subject.scores:
        yield "scores", "it needs scores; the model gives decisions only"
    if not (subject.scores and subject.probabilities):
        yield "probabilities", "it needs probabilities; these scores are a ranking, not within [0, 1]"
    if not subject.groupings:
        yield "groups", "it needs sensitive columns; the spec names none"
    if not subject.binary:
        yield "binary", "it is defined for two classes"
    if subject.task != "classification":
        yield "classification", "it is defined for classification"
    if subject.task != "regression":
        yield "regression", "it is defined for regression"
    if "train" not in subject.data:
        yield "train", "it needs training data; the spec names none"
    if not subject.columns:
        yield "features", "it needs features; the data have none"
    if subject.modality == "table":
        yield "images or text", "it is defined for images and texts; these rows are a table"
