"""What was seen: one number, one table or one claim each, and how to get it again."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEVELS = ("0.9", "0.95", "0.99", "0.995", "0.998", "0.999", "0.9995", "0.9999")
"""The two-sided levels at which an estimate that a rule may read carries limits."""


class Frozen(BaseModel):
    """A value that does not change, knows its keys and holds no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Level = Annotated[str, Field(pattern=r"^0\.[0-9]{1,8}$")]
"""A two-sided level as a key: every part of the program that reads one takes it for a number."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""How many rows: a number that a float holds exactly."""


class Estimate(Frozen):
    """One number with its interval and the number of rows it rests on.

    An exact quantity has ``low == high == value``; an unbounded limit is None. ``limits`` maps two-sided
    levels (keys of LEVELS) to ``(low, high)``, for estimates that a rule may read.
    """

    value: float
    low: float | None
    high: float | None
    n: Count
    limits: dict[Level, tuple[float | None, float | None]] | None = None

    @property
    def exact(self) -> bool:
        """Whether the number carries no sampling error."""
        return self.low == self.value == self.high


def exactly(value: float, n: int) -> Estimate:
    """An estimate without sampling error."""
    number = float(value)
    return Estimate(value=number, low=number, high=number, n=n)


class Contrast(Frozen):
    """A group's difference or ratio to another rate, with a p-value adjusted over the pairs shown."""

    to: str
    difference: Estimate | None = None
    ratio: Estimate | None = None
    p: float | None = None


CellStatus = Literal["measured", "insufficient", "suppressed", "undefined"]


class Group(Frozen):
    """One group's row: its key, its size and what could be said of it."""

    key: dict[str, str]
    n: Count | None
    status: CellStatus
    reason: str | None = None
    """Why there is no number, in words: ``no positives``, ``n < 10``, ``withheld``."""
    estimate: Estimate | None = None
    count: Count | None = None
    """Rows in the rate's denominator, where that is not n (positives for recall)."""
    contrasts: dict[Literal["best", "worst", "overall"], Contrast] = Field(default_factory=dict)
    missing: bool = False
    """Whether this is the group of rows without a value: shown, never a reference."""

    @model_validator(mode="after")
    def _consistent(self) -> Group:
        if self.status == "measured" and self.estimate is None:
            message = "a measured group has an estimate"
            raise ValueError(message)
        if self.status in ("suppressed", "undefined") and self.estimate is not None:
            message = f"a group that is {self.status} carries no number"
            raise ValueError(message)
        return self


class Summary(Frozen):
    """The largest difference and the smallest ratio over all pairs, with simultaneous intervals."""

    difference: Estimate | None = None
    ratio: Estimate | None = None
    between: tuple[str, str] | None = None
    """The labels of the lowest and the highest group."""
    pairs: int = 0
    insufficient: int = 0
    """Groups left out of the comparison because they are too small."""


class Scalar(Frozen):
    """One number."""

    shape: Literal["scalar"] = "scalar"
    estimate: Estimate
    unit: str | None = None


class Item(Frozen):
    """One entry of a ranking; equal rank ranges are a tie."""

    name: str
    estimate: Estimate
    rank_low: int
    rank_high: int
    detail: dict[str, Any] | None = None


class Ranking(Frozen):
    """Named numbers in order, largest first, with the ranks each may hold."""

    shape: Literal["ranking"] = "ranking"
    items: tuple[Item, ...]
    unit: str | None = None


class Groups(Frozen):
    """A rate by group, each with contrasts, and a summary over all pairs."""

    shape: Literal["groups"] = "groups"
    by: tuple[str, ...] = Field(min_length=1)
    groups: tuple[Group, ...]
    summary: Summary | None = None
    overall: Estimate | None = None

    @model_validator(mode="after")
    def _keyed(self) -> Groups:
        if not all(group.key.keys() >= set(self.by) for group in self.groups):
            message = f"every group has a key for each of {', '.join(self.by)}"
            raise ValueError(message)
        return self


class Point(Frozen):
    """One point of a series; x may be a number or a category."""

    x: float | str
    estimate: Estimate


class Series(Frozen):
    """A named line of points."""

    name: str
    points: tuple[Point, ...]


class Curve(Frozen):
    """One or more series over an axis; ``x`` names the axis."""

    shape: Literal["curve"] = "curve"
    x: str
    y: str | None = None
    series: tuple[Series, ...]


class Matrix(Frozen):
    """Numbers in rows and columns; None is a cell that is not shown."""

    shape: Literal["matrix"] = "matrix"
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    row_title: str | None = None
    column_title: str | None = None

    @model_validator(mode="after")
    def _rectangular(self) -> Matrix:
        if [len(values) for values in self.values] != [len(self.columns)] * len(self.rows):
            message = "a matrix has a value for each row and column"
            raise ValueError(message)
        return self


class Cases(Frozen):
    """Single rows; published only where the spec allows it."""

    shape: Literal["cases"] = "cases"
    cases: tuple[dict[str, Any], ...]


class Node(Frozen):
    """A unit, feature or input of a graph."""

    id: str
    site: str | None = None
    label: str | None = None
    estimate: Estimate | None = None


class Edge(Frozen):
    """A directed influence."""

    source: str
    target: str
    estimate: Estimate


class Graph(Frozen):
    """Nodes and edges with their effects."""

    shape: Literal["graph"] = "graph"
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


Observation = Annotated[
    Scalar | Ranking | Groups | Curve | Matrix | Cases | Graph, Field(discriminator="shape")
]
"""The closed union of shapes an observation may have."""


class Control(Frozen):
    """A comparison that a claim must survive."""

    name: str
    expectation: Literal["null", "positive", "equal"]
    """What the claim asks of it: an interval that holds 0, one above 0, or exact equality with 0."""
    estimate: Estimate
    passed: bool = False
    """Set from expectation and estimate when the evidence is recorded; a method does not set it."""
    edit: bool = False
    """Whether an edit inside the model gave it: an intervention needs one that works and one that does not."""


class Inference(Frozen):
    """A test of a claim and the family it was corrected over."""

    p: float
    adjusted: float
    method: str
    family: str
    m: int


class Robustness(Frozen):
    """How many declared specifications agree with the claim."""

    specifications: int
    agreeing: int
    share: float


class Selftest(Frozen):
    """What the method found on planted truth of this size."""

    bed: str
    passed: bool
    estimate: Estimate


class Sampling(Frozen):
    """Which part of the data was used, and how it was chosen."""

    available: Count
    used: Count
    how: str


Kind = Literal["metric", "explainer", "record"]
Status = Literal["measured", "skipped", "failed"]
Rung = Literal["described", "associated", "intervened", "robust"]


class Evidence(Frozen):
    """An observation, or the reason there is none, and what is needed to get it again."""

    id: str
    method: str
    kind: Kind
    title: str
    status: Status
    reason: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    measures: str = ""
    limits: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    arrays: dict[str, str] = Field(default_factory=dict)
    """Names of arrays in evidence/ by their file name, which is their digest."""
    observation: Observation | None = None
    sampling: Sampling | None = None
    controls: tuple[Control, ...] = ()
    inference: Inference | None = None
    robustness: Robustness | None = None
    selftest: Selftest | None = None
    rung: Rung | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Evidence:
        if self.status == "measured" and self.observation is None:
            message = f"{self.id}: measured evidence has an observation"
            raise ValueError(message)
        if self.status != "measured" and not self.reason:
            message = f"{self.id}: {self.status} evidence says why"
            raise ValueError(message)
        return self


_SAFE = "_-"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def encoded(name: str) -> str:
    """A column or part name as it stands in an evidence id: percent-encoded but for letters, digits, _ and -."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe=_SAFE).replace(".", "%2E").replace("~", "%7E")


def identifier(method: str, *columns: str) -> str:
    """The evidence id of a method over some columns: ``method``, ``method/sex``, ``method/age+sex``."""
    if not columns:
        return method
    return f"{method}/{'+'.join(encoded(column) for column in sorted(columns))}"
