"""metrics.txt: the verdict and the measured numbers in OpenMetrics text, for GitLab's metrics report or a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.evidence import Groups, Scalar
from xai_audit.judge import exit_code
from xai_audit.render import people
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence

FAMILIES = (
    ("xai_audit_exit_code", "What the gate exits with: 0 pass, 1 fail, 3 review, 4 error."),
    ("xai_audit_rules", "How many rules there are of each state."),
    ("xai_audit_value", "A measured number; its interval and rows stand under the same labels."),
    ("xai_audit_low", "The lower limit of the interval."),
    ("xai_audit_high", "The upper limit of the interval."),
    ("xai_audit_n", "Rows the number rests on."),
)


def render(audit: Audit) -> bytes:
    """The families with their samples; what was not measured has no sample."""
    samples: dict[str, list[str]] = {family: [] for family, _ in FAMILIES}
    system = people.title(audit)
    samples["xai_audit_exit_code"].append(
        _sample("xai_audit_exit_code", exit_code(audit.outcome), system=system)
    )
    for state, count in audit.counts.model_dump(mode="json").items():
        samples["xai_audit_rules"].append(_sample("xai_audit_rules", count, state=state, system=system))
    for piece in audit.evidence:
        for quantity, estimate in _numbers(piece):
            labels = {"evidence": visible(piece.id), "quantity": quantity, "system": system}
            for family, number in (
                ("xai_audit_value", estimate.value),
                ("xai_audit_low", estimate.low),
                ("xai_audit_high", estimate.high),
                ("xai_audit_n", estimate.n),
            ):
                if number is not None:
                    samples[family].append(_sample(family, number, **labels))
    lines = []
    for family, about in FAMILIES:
        lines += [f"# TYPE {family} gauge", f"# HELP {family} {about}", *samples[family]]
    return "\n".join([*lines, "# EOF", ""]).encode()


def _numbers(piece: Evidence) -> Iterator[tuple[str, Estimate]]:
    """The numbers of a piece of evidence that stand for it as a whole."""
    observation = piece.observation
    if isinstance(observation, Scalar):
        yield "estimate", observation.estimate
    elif isinstance(observation, Groups) and observation.summary is not None:
        if observation.summary.difference is not None:
            yield "difference", observation.summary.difference
        if observation.summary.ratio is not None:
            yield "ratio", observation.summary.ratio


def _sample(family: str, number: float, **labels: str) -> str:
    told = ",".join(f'{key}="{_label(text)}"' for key, text in sorted(labels.items()))
    return f"{family}{{{told}}} {number!r}"


def _label(text: str) -> str:
    return name(text, 400).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
