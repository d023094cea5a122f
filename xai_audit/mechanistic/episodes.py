"""Few-shot episodes: classes and examples drawn anew each time, and how well an embedding does on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """What an episode holds: ``way`` classes, ``shot`` support and ``query`` query examples of each."""

    way: int = 5
    shot: int = 1
    query: int = 15

    def __post_init__(self) -> None:
        if self.way < 2 or self.shot < 1 or self.query < 1:
            raise MethodError(
                "an episode has at least two classes and one support and one query example of each"
            )

    @property
    def each(self) -> int:
        """Examples of a class in one episode."""
        return self.shot + self.query


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples by class, from which episodes are drawn."""

    inputs: torch.Tensor
    """(examples, ...)."""
    labels: torch.Tensor
    """(examples,) of int64."""

    def members(self) -> tuple[torch.Tensor, ...]:
        """The indices of each class's examples, classes in rising order."""
        import torch

        return tuple(torch.nonzero(self.labels == one)[:, 0] for one in torch.unique(self.labels))

    def of(self, classes: Sequence[int]) -> Pool:
        """The examples of some classes alone."""
        import torch

        inside = torch.isin(self.labels, torch.as_tensor(list(classes)))
        return Pool(self.inputs[inside], self.labels[inside])


def rotated(pool: Pool) -> Pool:
    """The pool with every class turned by 90, 180 and 270 degrees as three more classes (Santoro et al. 2016)."""
    import torch

    distinct, codes = torch.unique(pool.labels, return_inverse=True)
    turned = [torch.rot90(pool.inputs, quarter, dims=(-2, -1)) for quarter in range(4)]
    return Pool(
        torch.cat(turned).contiguous(), torch.cat([codes + quarter * len(distinct) for quarter in range(4)])
    )


def halves(pool: Pool, share: float, generator: torch.Generator) -> tuple[Pool, Pool]:
    """The pool cut by class, so that no class is in both parts; ``share`` of the classes go to the second."""
    import torch

    distinct = torch.unique(pool.labels)
    order = distinct[torch.randperm(len(distinct), generator=generator)].tolist()
    held = max(round(share * len(order)), 1)
    return pool.of(order[held:]), pool.of(order[:held])


def drawn(members: Sequence[torch.Tensor], plan: Plan, generator: torch.Generator) -> torch.Tensor:
    """Indices of one episode's examples, (way, shot + query); the first ``shot`` are its support.

    Raises MethodError where there are too few classes with enough examples.
    """
    import torch

    able = [place for place, one in enumerate(members) if len(one) >= plan.each]
    if len(able) < plan.way:
        raise MethodError(
            f"an episode of {plan.way} classes with {plan.each} examples each; "
            f"{len(able)} of {len(members)} classes have so many"
        )
    chosen = torch.randperm(len(able), generator=generator)[: plan.way].tolist()
    return torch.stack(
        [
            members[able[place]][torch.randperm(len(members[able[place]]), generator=generator)[: plan.each]]
            for place in chosen
        ]
    )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Accuracy of each episode and the classes it held."""

    accuracy: NDArray[np.float64]
    """(episodes,)."""
    classes: NDArray[np.int64]
    """(episodes, way): places in the pool's classes in rising order."""

    @property
    def n(self) -> int:
        """How many episodes there were."""
        return len(self.accuracy)

    @property
    def mean(self) -> float:
        """Mean accuracy over episodes."""
        return math.fsum(self.accuracy.tolist()) / self.n

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's t over episodes: what other episodes of these same classes would give."""
        from scipy.special import stdtrit

        if self.n < 2:
            return 0.0, 1.0
        half = (
            float(stdtrit(self.n - 1, (1 + level) / 2))
            * float(np.std(self.accuracy, ddof=1))
            / math.sqrt(self.n)
        )
        return max(self.mean - half, 0.0), min(self.mean + half, 1.0)

    def interval_over_classes(self, level: float = 0.95) -> tuple[float, float]:
        """What other classes of the same kind would give: jackknife over classes, t with one df less than classes.

        Each class is left out with every episode that holds it, so drawing finitely many episodes widens the
        interval (Arvesen 1969, Ann Math Stat 40:2076). (0, 1) where no episode is without some class.
        """
        from scipy.special import stdtrit

        found = []
        distinct = np.unique(self.classes)
        for one in distinct:
            without = self.accuracy[~(self.classes == one).any(axis=1)]
            if not len(without):
                return 0.0, 1.0
            found.append(math.fsum(without.tolist()) / len(without))
        count = len(distinct)
        centre = math.fsum(found) / count
        error = math.sqrt((count - 1) / count * math.fsum((value - centre) ** 2 for value in found))
        half = float(stdtrit(count - 1, (1 + level) / 2)) * error
        return max(self.mean - half, 0.0), min(self.mean + half, 1.0)


def evaluate(
    embedded: torch.Tensor,
    labels: torch.Tensor,
    plan: Plan,
    episodes: int,
    generator: torch.Generator,
    *,
    support: torch.Tensor | None = None,
) -> Evaluation:
    """Accuracy of the nearest class mean (squared Euclidean) over episodes of embedded examples, (examples, d).

    ``support`` embeds the same examples another way where they serve as support, for instance as means over
    distortions. Embeddings are made before episodes are drawn, so no query sees another one.
    """
    import torch

    from xai_audit.mechanistic.prototypical import squared_distances

    members = Pool(embedded, labels).members()
    other = embedded if support is None else support
    accuracies, held = [], []
    code = torch.unique(labels, return_inverse=True)[1]
    truth = torch.arange(plan.way).repeat_interleave(plan.query)
    for index in drawn_many(members, plan, episodes, generator):
        means = other[index[:, : plan.shot]].mean(dim=1)
        queries = embedded[index[:, plan.shot :].reshape(-1)]
        nearest = squared_distances(queries, means).argmin(dim=1)
        accuracies.append(float((nearest == truth).double().mean()))
        held.append(code[index[:, 0]].numpy())
    return Evaluation(np.asarray(accuracies), np.asarray(held, dtype=np.int64))


def drawn_many(
    members: Sequence[torch.Tensor], plan: Plan, episodes: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """So many episodes, one after the other, as `drawn` gives them."""
    for _ in range(episodes):
        yield drawn(members, plan, generator)


def distorted(
    pictures: torch.Tensor,
    generator: torch.Generator,
    *,
    degrees: float = 10.0,
    shear: float = 0.15,
    scale: float = 0.15,
    shift: float = 0.08,
) -> torch.Tensor:
    """Each picture (n, c, h, w) turned, sheared, scaled and moved a little at random; outside it is 0.

    Angles are normal with so many degrees of standard deviation, the rest uniform within plus and minus its bound
    (``shift`` as a share of the side).
    """
    import torch
    from torch.nn import functional

    n = len(pictures)

    def within(bound: float) -> Any:
        return (torch.rand(n, generator=generator) * 2 - 1) * bound

    angle = torch.randn(n, generator=generator) * math.radians(degrees)
    skew, across, down = within(shear), 1 + within(scale), 1 + within(scale)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # The map from places of the result to places of the picture: turn times shear, then scale.
    rows = [
        torch.stack([cos * across, (cos * skew - sin) * down, 2 * within(shift)], dim=1),
        torch.stack([sin * across, (sin * skew + cos) * down, 2 * within(shift)], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False)


__all__ = [
    "Evaluation",
    "Plan",
    "Pool",
    "distorted",
    "drawn",
    "drawn_many",
    "evaluate",
    "halves",
    "rotated",
]
