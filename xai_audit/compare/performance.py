"""Whether the primary metric got worse since an earlier audit: evidence that a rule can read.

The difference is turned so that negative is worse. An error in units of the target is told as a share of what it was,
since a margin in somebody's unit means nothing elsewhere.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.applying import CHANGE
from xai_audit.compare import estimates, measures, regression
from xai_audit.compare.changes import CLASS, Both, Side, number, same_answers
from xai_audit.compare.number import UndefinedError
from xai_audit.compare.rows import paired
from xai_audit.comparison import Change, turned
from xai_audit.errors import Mistake, SpecError
from xai_audit.evidence import Estimate, Evidence, Group, Groups, Sampling, Scalar, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.compare.rows import Pairs, Rows

RELATIVE = ("mean_absolute_error", "root_mean_squared_error")
"""Metrics in units of the target, whose change is told as a share."""
CITES = ("Tango 1998", "DeLong, DeLong and Clarke-Pearson 1988", "Zou and Donner 2008")


@dataclass(frozen=True, eq=False)
class Baseline:
    """An earlier audit that a new one is held to."""

    audit: Audit
    sha256: str
    """Of its audit.json."""
    path: str
    rows: Rows | None


def side(made: Audit) -> Side:
    """What an audit measured."""
    return Side(made.spec, made.subject, made.evidence)


def smallest_cell(*sides: Side) -> int:
    """The size under which neither audit shows a group."""
    return max(int(one.spec.get("report", {}).get("min_cell", 10)) for one in sides)


def comparable(baseline: Baseline, about: Mapping[str, Any], *, primary: bool = True) -> None:
    """SpecError in one line where the earlier audit is of another task, positive class or primary metric."""
    old = baseline.audit.subject
    for what, a, b in (
        ("task", old.get("task"), about.get("task")),
        ("positive class", _positive(old), _positive(about)),
        ("primary metric", old.get("primary"), about.get("primary")),
    ):
        if a != b and (primary or what != "primary metric"):
            told = f"its {what} is {a}, and this audit's is {b}: they cannot be compared"
            raise SpecError([Mistake(baseline.path, 0, 0, told)])


def _positive(about: Mapping[str, Any]) -> str | None:
    """The class that rates are about; None where there are not two."""
    classes, index = about.get("classes") or (), about.get("positive")
    return str(classes[index]) if len(classes) == 2 and isinstance(index, int) and 0 <= index < 2 else None


def record(baseline: Baseline) -> dict[str, Any]:
    """What an audit keeps of the earlier one: which it was, and what its rules said."""
    old = baseline.audit
    system = old.spec.get("system") or {}
    data = old.subject.get("data") or {}
    return {
        "sha256": baseline.sha256,
        "name": system.get("name"),
        "version": system.get("version"),
        "finished": old.run.get("finished"),
        "outcome": old.outcome,
        "model": (old.subject.get("model") or {}).get("sha256"),
        "data": {name: part.get("sha256") for name, part in sorted(data.items())},
        "spec": digest.of_value(old.spec),
        "policies": [{key: one.get(key) for key in ("id", "version", "sha256")} for one in old.policies],
        "xai_audit": old.environment.get("xai_audit"),
        "findings": {
            f"{one.policy}/{one.rule}": "waived"
            if one.kind == "fail" and one.waiver is not None and not one.waiver.expired
            else one.kind
            for one in old.findings
        },
    }  # fmt: skip


def observed(baseline: Baseline, new: Side, rows: Rows | None) -> tuple[list[Evidence], dict[str, bytes]]:
    """The change of the primary metric, overall and by sensitive column, and the arrays it can be had again from.

    ``new`` is what was measured so far.
    """
    old = side(baseline.audit)
    min_cell = smallest_cell(old, new)
    pairs = paired(baseline.rows, rows, min_cell)
    both = Both(
        old=old,
        new=new,
        pairs=pairs,
        confidence=float(new.spec.get("run", {}).get("confidence", 0.95)),
        min_cell=min_cell,
        same=same_answers(old, new, pairs),
    )
    primary = str(new.subject.get("primary"))
    columns = [
        entry["columns"][0] for entry in new.subject.get("groupings") or () if len(entry["columns"]) == 1
    ]
    found = [_piece(both, primary, "", baseline)]
    found += [
        piece
        for column in columns
        if new.get(f"{primary}/{encoded(column)}") is not None
        for piece in [_piece(both, f"{primary}/{encoded(column)}", column, baseline)]
    ]
    arrays = _arrays(pairs)
    if not arrays:
        return found, {}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    name = f"{digest.of_bytes(content)}.npz"
    kept = dict.fromkeys(sorted(arrays), name)
    by_rows = [not {"paired", "same"}.isdisjoint(piece.params.get("told", ())) for piece in found]
    return [
        piece.model_copy(update={"arrays": kept}) if used else piece
        for piece, used in zip(found, by_rows, strict=True)
    ], {name: content}


def _arrays(pairs: Pairs) -> dict[str, Any]:
    """What the old audit held of the rows in both, beside their places in this audit's rows.parquet."""
    if not pairs.any or pairs.old is None:
        return {}
    old = pairs.old.at(pairs.old_places)
    kept: dict[str, Any] = {"row": pairs.new_places}
    for name, values in (("target", old.target), ("prediction", old.prediction)):
        if values is not None:
            # Text of one width and no objects, so that nothing needs to be unpickled; "" stands for no label.
            kept[name] = (
                values
                if old.task == "regression"
                else np.array(["" if v is None else v for v in values], dtype=str)
            )
    kept |= {f"score:{label}": values for label, values in old.scores.items()}
    kept |= {
        f"group:{column}": np.array([str(v) for v in values], dtype=str)
        for column, values in old.groups.items()
    }
    return kept


def _piece(both: Both, identifier: str, column: str, baseline: Baseline) -> Evidence:
    old, new = both.old.get(identifier), both.new.get(identifier)
    method = new.method if new else identifier
    relative = method in RELATIVE
    fields: dict[str, Any] = {
        "id": f"{CHANGE}/{encoded(column)}" if column else CHANGE,
        "method": CHANGE,
        "kind": "metric",
        "title": _title(new.title if new and new.title else method.replace("_", " "), baseline),
        "measures": f"How far the primary metric moved since an earlier audit, {_sense(method)}: negative is worse.",
        "cites": CITES,
        "params": {"metric": method, "relative": relative, "baseline": baseline.sha256, **_sizes(both)},
    }
    reason = _unfit(identifier, old, new)
    if reason:
        return Evidence(**fields, status="skipped", reason=reason)
    assert old is not None
    assert new is not None
    told = [
        (key, group, *_oriented(both, new, key, a, b, column)) for key, group, a, b in _estimates(old, new)
    ]
    ways = [change.how for _, _, change, _ in told if change.how is not None]
    how = next((way for way in ("unpaired", "paired", "same") if way in ways), "unpaired")
    # How each number was told, in the order of the groups; the heaviest word stands for the whole.
    fields["params"] |= {
        "how": how,
        "told": [change.how for _, _, change, _ in told],
        "old": _kept(old, [key for key, _, _, estimate in told if estimate]),
    }
    fields["limits"] = _said(both, how, [change for _, _, change, _ in told])
    fields["sampling"] = _sampling(both) if how == "paired" else None
    if isinstance(new.observation, Groups):
        groups = tuple(_group(key, group, change, estimate) for key, group, change, estimate in told)
        return Evidence(**fields, status="measured", observation=Groups(by=new.observation.by, groups=groups))
    _, _, change, estimate = told[0]
    if estimate is None:
        return Evidence(**fields, status="skipped", reason=change.reason or "there is no interval for it")
    unit = "share of the earlier error" if relative else None
    return Evidence(**fields, status="measured", observation=Scalar(estimate=estimate, unit=unit))


def _title(title: str, baseline: Baseline) -> str:
    named = (baseline.audit.spec.get("system") or {}).get("version")
    lowered = title[0].lower() + title[1:] if title[1:2].islower() else title
    return f"Change in {lowered} since {named or 'the audit before'}"


def _sense(method: str) -> str:
    if method in RELATIVE:
        return "as a share of what the error was"
    return "old minus new" if measures.better(method) == "lower" else "new minus old"


def _unfit(identifier: str, old: Evidence | None, new: Evidence | None) -> str:
    """Why there is nothing to compare; empty where there is."""
    for piece, which in ((old, "the earlier"), (new, "this")):
        if piece is None:
            return f"{identifier} was not measured by {which} audit"
        if piece.status != "measured":
            return f"{identifier} was not measured by {which} audit: {piece.reason}"
    assert old is not None
    assert new is not None
    if old.method != new.method:
        return f"{identifier} was {old.method} in the earlier audit and is {new.method} now"
    return "" if _estimates(old, new) else f"no number of {identifier} is in both audits"


def _estimates(
    old: Evidence, new: Evidence
) -> list[tuple[dict[str, str], Group | None, Estimate | None, Estimate | None]]:
    if isinstance(old.observation, Scalar) and isinstance(new.observation, Scalar):
        return [({}, None, old.observation.estimate, new.observation.estimate)]
    if not isinstance(old.observation, Groups) or not isinstance(new.observation, Groups):
        return []
    before = {tuple(sorted(group.key.items())): group for group in old.observation.groups}
    found: list[tuple[dict[str, str], Group | None, Estimate | None, Estimate | None]] = []
    for group in new.observation.groups:
        other = before.get(tuple(sorted(group.key.items())))
        found.append((group.key, group, other.estimate if other else None, group.estimate))
    return found


def _oriented(
    both: Both, piece: Evidence, key: dict[str, str], old: Estimate | None, new: Estimate | None, column: str
) -> tuple[Change, Estimate | None]:
    """The change, and its estimate turned so that negative is worse."""
    if old is None or new is None:
        reason = "no number before" if old is None else "no number now"
        return Change(
            evidence=piece.id, method=piece.method, title=piece.title, part="group", key=key, reason=reason
        ), None
    by = (*((column,) if column else ()), *((CLASS,) if CLASS in key else ()))
    change = number(both, piece, old, new, key, "group" if column else "overall", by, stored=True)
    if change.change is None:
        return change, None
    if piece.method in RELATIVE:
        return _relative(both, change, old, new, key)
    if measures.better(piece.method) == "lower":
        return change, turned(change.change)
    return change, change.change


def _relative(
    both: Both, change: Change, old: Estimate, new: Estimate, key: dict[str, str]
) -> tuple[Change, Estimate | None]:
    assert change.change is not None
    if change.how == "same":
        return change, change.change
    if change.how == "paired" and both.before is not None and both.after is not None:
        before, after = both.over_all
        if key:
            inside = both.before.inside(key), both.after.inside(key)
            assert inside[0] is not None
            assert inside[1] is not None
            before, after = (rows.at(inside[0] & inside[1]) for rows in (both.before, both.after))
        try:
            moved = regression.relative(change.method, before, after, estimates.levels(both.confidence))
            return change, turned(estimates.made(moved, change.change.n))
        except UndefinedError as error:
            return change.model_copy(update={"reason": str(error), "how": None}), None
    found = estimates.ratio(old, new, both.confidences, both.confidence)
    if found is None:
        return change.model_copy(update={"reason": "an error of 0 has no relative change", "how": None}), None
    return change, turned(found)


def _group(key: dict[str, str], status: Group | None, change: Change, estimate: Estimate | None) -> Group:
    assert status is not None
    if status.status == "suppressed":
        return status.model_copy(update={"contrasts": {}})
    if estimate is None:
        reason = change.reason or "no number"
        return Group(key=key, n=status.n, status="undefined", reason=reason, missing=status.missing)
    able = status.status == "measured"
    return Group(
        key=key, n=status.n, count=estimate.n, status="measured" if able else "insufficient",
        reason=None if able else status.reason, estimate=estimate, missing=status.missing,
    )  # fmt: skip


def _sizes(both: Both) -> dict[str, Any]:
    matched = both.pairs.matched
    return {
        "rows_old": matched.old,
        "rows_new": matched.new,
        "rows_common": matched.common,
        "rows_paired": matched.used,
        "matched_by": matched.by,
    }


def _kept(old: Evidence, keys: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """The earlier audit's own numbers of what is compared, so that a difference of different rows can be had again."""
    seen = old.observation
    if isinstance(seen, Scalar):
        return [{"key": {}, "estimate": seen.estimate.model_dump(mode="json", exclude_none=True)}]
    assert isinstance(seen, Groups)
    return [
        {"key": group.key, "estimate": group.estimate.model_dump(mode="json", exclude_none=True)}
        for group in seen.groups
        if group.estimate is not None and group.key in keys
    ]


def _sampling(both: Both) -> Sampling | None:
    matched = both.pairs.matched
    if matched.new is None or matched.used >= matched.new:
        return None
    return Sampling(available=matched.new, used=matched.used, how="rows that both audits hold")


def _said(both: Both, how: str, changes: Sequence[Change]) -> tuple[str, ...]:
    matched = both.pairs.matched
    said = ["It compares two measurements; it does not say which change of the system made the difference."]
    if how == "same":
        return (
            *said,
            "The model is the same and gave the same answers: nothing changed, and nothing was estimated.",
        )
    if how == "unpaired":
        reasons = dict.fromkeys(change.reason for change in changes if change.reason)
        why = "; ".join(reasons) or matched.reason or "rows are not the same"
        said.append(f"The two audits are compared as of different rows ({why}).")
    elif not matched.same:
        sizes = f"of {matched.old:,} before and {matched.new:,} now"
        said.append(f"It holds for {matched.used:,} rows that both audits hold, {sizes}.")
    if matched.reason and how != "unpaired":
        said.append(f"{matched.reason[0].upper()}{matched.reason[1:]}.")
    return tuple(said)
