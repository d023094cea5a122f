"""What changed between two audits, as frozen data: the only argument of what draws it. No numpy."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import ConfigDict, Field

from xai_audit.evidence import Estimate, Frozen, Kind
from xai_audit.verdict import Counts, FindingKind, Outcome, Waiver

SCHEMA = "xai-audit/comparison/1"

Better = Literal["higher", "lower", "none"]
How = Literal["paired", "unpaired", "same"]
"""``paired``: on the rows both audits hold; ``unpaired``: as of different rows; ``same``: one model, the same answers."""
Verdict = FindingKind | Literal["waived"]


class Audited(Frozen):
    """One of the two audits."""

    name: str
    version: str
    previous_version: str | None = None
    finished: str
    outcome: Outcome
    counts: Counts
    sha256: str
    """Of its audit.json."""
    rows: int | None = None
    rows_are: Literal["people", "pictures", "texts"] = "people"


class Matched(Frozen):
    """Which test rows both audits hold."""

    by: Literal["content", "id", "none"]
    """How rows were recognised: by the digest of their cells, by their id, or not at all."""
    old: int | None
    new: int | None
    common: int = 0
    used: int = 0
    """Pairs that changes are measured on; fewer than common where the rest would give single people away."""
    reason: str | None = None
    """Why rows were not matched, or not all pairs used."""

    @property
    def same(self) -> bool:
        """Whether both audits hold the same rows."""
        return self.common == self.old == self.new


class Change(Frozen):
    """One number before and after, and how far it moved."""

    evidence: str
    method: str
    kind: Kind = "metric"
    title: str
    part: Literal["overall", "group", "gap", "ratio"]
    key: dict[str, str] = Field(default_factory=dict)
    """The group, where it is of one; the class, where there are more than two."""
    by: tuple[str, ...] = ()
    """The columns that groups are by."""
    better: Better = "none"
    old: Estimate | None = None
    new: Estimate | None = None
    change: Estimate | None = None
    """New minus old; n is the number of rows it rests on."""
    how: How | None = None
    reason: str | None = None
    """Why there is no change to tell, or why it is not a paired one."""

    @property
    def direction(self) -> Literal["better", "worse", "moved", "open"]:
        """What the whole interval of the change says; ``open`` where it holds 0."""
        return direction(self.change, self.better)


def direction(change: Estimate | None, better: Better) -> Literal["better", "worse", "moved", "open"]:
    """What all of a change's interval says; ``open`` where it holds 0 or there is none."""
    if change is None:
        return "open"
    up = change.low is not None and change.low > 0
    down = change.high is not None and change.high < 0
    if not (up or down):
        return "open"
    if better == "none":
        return "moved"
    return "better" if up == (better == "higher") else "worse"


def turned(estimate: Estimate) -> Estimate:
    """The estimate of minus the quantity."""

    def flip(low: float | None, high: float | None) -> tuple[float | None, float | None]:
        return None if high is None else 0.0 - high, None if low is None else 0.0 - low

    low, high = flip(estimate.low, estimate.high)
    limits = (
        None if estimate.limits is None else {level: flip(*ends) for level, ends in estimate.limits.items()}
    )
    return Estimate(value=0.0 - estimate.value, low=low, high=high, n=estimate.n, limits=limits)


class Ranked(Frozen):
    """One entry of a ranking before and after."""

    evidence: str
    title: str
    name: str
    unit: str | None = None
    old: Estimate | None = None
    new: Estimate | None = None
    old_rank: tuple[int, int] | None = None
    new_rank: tuple[int, int] | None = None
    change: Estimate | None = None
    how: How | None = None

    @property
    def moved(self) -> bool:
        """Whether it holds other ranks than before: the ranges do not overlap."""
        if self.old_rank is None or self.new_rank is None:
            return False
        return self.old_rank[1] < self.new_rank[0] or self.new_rank[1] < self.old_rank[0]


class GroupSize(Frozen):
    """A group's rows before and after; None where the number may not be shown."""

    column: str
    group: str
    kind: Literal["new", "gone", "kept"]
    old: int | None = None
    new: int | None = None


class Drift(Frozen):
    """Something about the data or the answers as a whole, before and after."""

    what: str
    kind: Literal["column", "share", "mean", "distribution", "decisions"]
    old: str | None = None
    """In words, where it is no number."""
    new: str | None = None
    change: Estimate | None = None
    """Difference of shares or means, a distance of distributions, or a share of decisions."""
    p: float | None = None
    test: str | None = None
    n_old: int | None = None
    n_new: int | None = None


class Digest(Frozen):
    """What a digest or a version tells: whether something is the same."""

    what: str
    old: str | None
    new: str | None

    @property
    def changed(self) -> bool:
        """Whether it differs."""
        return self.old != self.new


class KeyChange(Frozen):
    """A key of the spec that says something else now; None where it was or is absent."""

    key: str
    old: str | None
    new: str | None


class WaiverChange(Frozen):
    """A waiver that came, went, changed or ran out."""

    kind: Literal["new", "gone", "changed", "expired"]
    rule: str
    old: Waiver | None = None
    new: Waiver | None = None


class VerdictChange(Frozen):
    """A rule that says something else than before, with all that differs in what it looked at."""

    policy: str
    rule: str
    title: str
    clause: str
    old: Verdict | None
    """None where no policy of that audit held the rule."""
    new: Verdict | None
    blocking: bool
    reasons: tuple[str, ...]


class Comparison(Frozen):
    """All that changed between two audits."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: str = Field(SCHEMA, alias="schema")
    old: Audited
    new: Audited
    confidence: float = 0.95
    matched: Matched
    primary: str
    """The evidence id of the primary metric of the new audit."""
    changes: tuple[Change, ...] = ()
    not_compared: tuple[str, ...] = ()
    """Evidence that one audit alone has, or that is no number, with the reason."""
    rankings: tuple[Ranked, ...] = ()
    groups: tuple[GroupSize, ...] = ()
    drift: tuple[Drift, ...] = ()
    digests: tuple[Digest, ...] = ()
    spec: tuple[KeyChange, ...] = ()
    waivers: tuple[WaiverChange, ...] = ()
    verdicts: tuple[VerdictChange, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing that is compared differs."""
        return not (
            any(digest.changed for digest in self.digests)
            or any(one.change is None or one.change.value or one.direction != "open" for one in self.changes)
            or any(one.moved or one.old != one.new for one in self.rankings)
            or any(group.kind != "kept" or group.old != group.new for group in self.groups)
            or any(one.change is None or one.change.value for one in self.drift)
            or self.spec
            or self.waivers
            or self.verdicts
        )

    @property
    def leading(self) -> tuple[Change, ...]:
        """The primary metric's change over all rows: one, or one for each class."""
        return tuple(one for one in self.changes if one.evidence == self.primary and one.part == "overall")

    def to_json(self) -> str:
        """The same bytes for the same content: sorted keys, no NaN."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
