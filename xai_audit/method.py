"""The one protocol of explainers and metrics: a named way to observe a subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from xai_audit.evidence import (
    Control,
    Estimate,
    Evidence,
    Frozen,
    Inference,
    Robustness,
    Sampling,
    Selftest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from xai_audit.evidence import Cases, Curve, Graph, Groups, Matrix, Ranking, Scalar
    from xai_audit.mechanistic.sites import Site
    from xai_audit.subject import Rows, Subject

Need = Literal[
    "model",
    "labels",
    "scores",
    "probabilities",
    "groups",
    "binary",
    "classification",
    "regression",
    "train",
    "features",
    "table",
    "images or text",
    "network",
    "checkpoints",
]
"""What a method may need; checked before it runs, an unmet one is ``skipped`` with its reason."""

PIECE = 16
"""Rows in one piece of a map over rows: never computed twice, never cut."""


class NoParams(Frozen):
    """A method without parameters."""


class MetricParams(Frozen):
    """A metric's parameters."""

    primary: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """One number, one table or one claim: what was seen, not who saw it."""

    observation: Scalar | Ranking | Groups | Curve | Matrix | Cases | Graph
    name: str = ""
    """``""`` overall, a sensitive column, columns joined by ``+`` for a crossing, or a part such as ``additivity``."""
    columns: tuple[str, ...] = ()
    """The sensitive columns this is by; sets the name."""
    title: str | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    sampling: Sampling | None = None
    controls: tuple[Control, ...] = ()
    inference: Inference | None = None
    robustness: Robustness | None = None
    selftest: Selftest | None = None
    limits: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Libraries that did the work, by name: {"engine": ..., "shap": "0.51.0"}."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen at run time beside the spec's parameters: engine, background rows, value function."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A part of a method that does not apply here, with the reason."""

    reason: str
    name: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Piece:
    """A fixed set of test rows to work on, and the digest of their content."""

    rows: NDArray[np.int64]
    digest: str


class Context(Protocol):
    """What a run gives a method."""

    seed: int
    levels: tuple[float, ...]
    """The spec's confidence first, then evidence.LEVELS as numbers."""
    min_n: int
    min_label: int
    min_cell: int

    def rng(self, *piece: str) -> np.random.Generator:
        """A generator seeded by seed, method, parameters and the piece's content digest."""
        ...

    def map(
        self, work: Callable[[Subject, Any, Piece, int], Mapping[str, NDArray[Any]]], pieces: Sequence[Piece]
    ) -> list[Mapping[str, NDArray[Any]]]:
        """Run ``work(subject, params, piece, seed)``, a module-level function, on every piece; cached and resumable."""
        ...

    def sample(self, rows: int | None) -> tuple[NDArray[np.int64], Sampling]:
        """Test rows to use, the k smallest digests of seed and content, in row order; all where rows is None."""
        ...

    def pieces(self, rows: NDArray[np.int64]) -> list[Piece]:
        """Rows cut into pieces of PIECE rows."""
        ...

    def activations(self, rows: Rows, sites: Sequence[Site]) -> dict[Site, NDArray[np.float32]]:
        """What flows through each site of the model's network for every row of a table; kept for all methods."""
        ...

    def given(self, identifier: str) -> Evidence | None:
        """Earlier evidence of this run, or None."""
        ...

    def estimate(
        self, value: float, intervals: Sequence[tuple[float | None, float | None]], n: int
    ) -> Estimate:
        """An estimate from intervals at ``levels``, in their order."""
        ...


P = TypeVar("P", bound=Frozen)


@dataclass(frozen=True, kw_only=True)
class Method(Generic[P]):
    """A named way to observe a subject: a value, not a base class."""

    id: str
    kind: Literal["explainer", "metric"]
    title: str
    measures: str
    """One sentence, printed in the report."""
    params: type[P]
    run: Callable[[Subject, P, Context], Iterator[Measured | Skipped]]
    limits: tuple[str, ...] = ()
    """What it cannot show, printed beside the number."""
    cites: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    parts: tuple[str, ...] = ()
    """Names of parts its evidence may carry; a sensitive column so named is a mistake of the spec."""
    better: Literal["higher", "lower", "zero", "one", "none"] = "none"
    selectable: bool = True
    """Whether a spec may name it; the small checks every audit makes are not named."""
