"""What prototypes are judged by: the space, the examples, the test rows and the rule, with shares and controls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from xai_audit import intervals as iv
from xai_audit.errors import MethodError
from xai_audit.evidence import Control, Estimate, Frozen, Point, Sampling
from xai_audit.explainers.examples import embedding
from xai_audit.explainers.examples.embedding import Pool, Space
from xai_audit.explainers.examples.few_shot_head import Head
from xai_audit.explainers.examples.support import Rule, Select, Support, support
from xai_audit.intervals_rows import clustered_mean, effective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.examples.embedding import Columns
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject


class PrototypesParams(Frozen):
    """Where rows are compared, and with how many examples."""

    site: str | None = None
    """A site of the network; ``input`` for a table's own columns; null for the input of the last linear layer."""
    pool: Pool | None = None
    """flat or mean (over space or positions); null: mean for texts, flat otherwise."""
    k: int = Field(5, ge=1, le=100)
    """Prototypes of each class."""
    select: Select = "medoids"
    support: int | None = Field(2000, ge=10)
    """Examples to choose from; null for all."""
    rows: int | None = Field(500, ge=10)
    """Test rows compared with them; null for all."""
    neighbours: int = Field(10, ge=1)
    """Nearest examples that say what a neighbourhood is."""
    radius: float = Field(0.95, gt=0, lt=1)
    """The share of held-out examples that lie as near to a prototype as a covered row."""
    twins: int = Field(1, ge=1, le=50)
    """Networks with permuted weights; fidelity is held against the best of them."""
    head: Head | None = None
    """Train a few-shot head on the embedding as well: ``head: {}`` for its defaults."""


@dataclass(frozen=True, eq=False)
class Found:
    """All that the parts below look at."""

    subject: Subject
    params: PrototypesParams
    context: Context
    space: Space | Columns
    support: Support
    embedded: NDArray[np.float32]
    """Of the support."""
    asked: NDArray[np.float32]
    """Of the test rows."""
    rule: Rule
    prediction: NDArray[np.int64]
    """The audited model's class for each test row."""
    common: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Class labels as words."""
        return [str(name) for name in self.subject.classes]

    @property
    def commonest(self) -> NDArray[np.bool_]:
        """Test rows that get the most frequent prediction."""
        labels, counts = np.unique(self.prediction, return_counts=True)
        return np.asarray(self.prediction == labels[int(np.argmax(counts))])

    def share(self, event: NDArray[np.bool_], rows: NDArray[np.bool_] | None = None) -> Estimate:
        """A share of the test rows with its interval; weights and clusters count."""
        among = np.ones(len(event), dtype=bool) if rows is None else rows
        test, queries = self.subject.test, self.support.queries[among]
        count = int(among.sum())
        successes, n = effective(
            event[among].astype(np.float64),
            None if test.weights is None else test.weights[queries],
            None if test.clusters is None else test.clusters[queries],
        )
        return self.context.estimate(successes / n, iv.rate(successes, n, self.context.levels), count)

    def point(self, x: float | str, event: NDArray[np.bool_], rows: NDArray[np.bool_] | None = None) -> Point:
        """The same as one point of a curve."""
        return Point(x=x, estimate=self.share(event, rows).model_copy(update={"limits": None}))

    def beyond(self, name: str, event: NDArray[np.bool_], null: NDArray[np.bool_]) -> Control:
        """A share less another one over the same rows, paired."""
        test, queries = self.subject.test, self.support.queries
        value, limits = clustered_mean(
            event.astype(np.float64) - null.astype(np.float64),
            None if test.weights is None else test.weights[queries],
            None if test.clusters is None else test.clusters[queries],
            self.context.levels[:1],
        )
        low, high = limits[0]
        estimate = Estimate(value=value, low=low, high=high, n=len(event))
        return Control(name=name, expectation="positive", estimate=estimate)


def compared(subject: Subject, params: PrototypesParams, context: Context) -> Found:
    """Embed both tables, choose prototypes, and say what was done; MethodError or UnmetNeedError where it cannot be."""
    rows, _ = context.sample(params.rows)
    basis = support(subject, rows, params.support, context)
    reference = basis.table.frame.iloc[basis.rows]
    space = embedding.space(subject, params.site, params.pool, reference)
    embedded = finite(space.of(basis.table, basis.rows, context), "examples")
    asked = finite(space.of(subject.test, basis.queries, context), "test rows")
    chosen = Rule.chosen(embedded[~basis.held], basis.labels[~basis.held], params.k, params.select)
    # Places among those that chose become places in the whole support.
    rule = replace(chosen, places=np.nonzero(~basis.held)[0][chosen.places])
    assert subject.prediction is not None
    about: dict[str, Any] = {
        "compared_at": str(space.site) if isinstance(space, Space) else space.chosen,
        "site_chosen": space.chosen,
        "pooled": space.pool if isinstance(space, Space) else None,
        "width": int(embedded.shape[1]),
        "distance": "Euclidean; rules and choices by its square",
        "examples_from": basis.source,
        "examples_classed_by": basis.classed,
        "examples": len(basis.rows),
        "examples_held_out": int(basis.held.sum()),
        "prototypes": {
            str(subject.classes[one]): int((rule.classes == one).sum()) for one in np.unique(rule.classes)
        },
        "prototypes_chosen": sorted(set(rule.how)),
    }
    absent = [str(subject.classes[one]) for one in range(len(subject.classes)) if one not in rule.classes]
    said = basis.said()
    if absent:
        said.append(f"no example of {', '.join(absent)}: the rules never say so")
    available = subject.test.n
    common = {
        "params": about,
        "limits": tuple(said),
        "versions": {"engine": "xai-audit", "numpy": np.__version__},
        "sampling": Sampling(
            available=available,
            used=len(basis.queries),
            how="all rows"
            if len(basis.queries) == available
            else "the smallest sha256 of seed and row content",
        ),
    }
    prediction = np.asarray(subject.prediction[basis.queries], dtype=np.int64)
    return Found(subject, params, context, space, basis, embedded, asked, rule, prediction, common)


def finite(embedded: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    """The embeddings as they are; MethodError where one is not finite."""
    broken = int((~np.isfinite(embedded)).any(axis=1).sum())
    if broken:
        raise MethodError(f"{broken} {what} have embeddings that are not finite")
    return embedded


def row_digests(table: Rows, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The sha256 of some rows, (rows, 32)."""
    content = b"".join(bytes(table.digests[row]).ljust(32, b"\0") for row in rows)
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, 32)
