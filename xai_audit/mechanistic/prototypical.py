"""Prototypical networks: an embedding in which the nearest class mean is the class (Snell et al. 2017, NeurIPS)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from xai_audit.errors import MethodError
from xai_audit.mechanistic.episodes import Plan, Pool, drawn, drawn_many

if TYPE_CHECKING:
    import torch

Augment = "Callable[[torch.Tensor, torch.Generator], torch.Tensor]"


def squared_distances(rows: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances, (..., rows, centres); never below zero."""
    found: torch.Tensor = (
        (rows * rows).sum(-1, keepdim=True)
        + (centres * centres).sum(-1).unsqueeze(-2)
        - 2 * rows @ centres.transpose(-1, -2)
    )
    return found.clamp_min(0)


def class_means(embedded: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The classes in rising order, (classes,), and the mean embedding of each, (classes, d)."""
    import torch

    distinct, codes = torch.unique(labels, return_inverse=True)
    sums = torch.zeros(len(distinct), embedded.shape[1], dtype=embedded.dtype, device=embedded.device)
    sums.index_add_(0, codes, embedded)
    return distinct, sums / torch.bincount(codes, minlength=len(distinct))[:, None]


@dataclass(frozen=True, eq=False)
class Classified:
    """What the nearest class means say of some queries."""

    classes: torch.Tensor
    """(classes,), in rising order."""
    probabilities: torch.Tensor
    """(queries, classes): softmax over negative squared distances."""
    distances: torch.Tensor
    """(queries, classes), squared Euclidean."""

    @property
    def labels(self) -> torch.Tensor:
        """The class of the nearest mean for each query."""
        return self.classes[self.distances.argmin(dim=1)]


def classify(
    encoder: torch.nn.Module | None,
    support: torch.Tensor,
    labels: torch.Tensor,
    queries: torch.Tensor,
    batch: int = 256,
) -> Classified:
    """Classes of queries by the nearest mean of an embedded support set; None for inputs embedded already."""
    import torch

    with torch.no_grad():
        classes, means = class_means(embed(encoder, support, batch), labels)
        distances = squared_distances(embed(encoder, queries, batch), means)
        return Classified(classes, torch.softmax(-distances, dim=1), distances)


def embed(encoder: torch.nn.Module | None, inputs: torch.Tensor, batch: int = 256) -> torch.Tensor:
    """Embeddings (rows, d) in evaluation mode: no row's depends on the rows beside it."""
    import torch

    if encoder is None:
        return inputs.flatten(1)
    was = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            return torch.cat([encoder(part).flatten(1) for part in inputs.split(batch)])
    finally:
        encoder.train(was)


def episode_loss(embedded: torch.Tensor, shot: int, *, splits: int = 1) -> tuple[torch.Tensor, float]:
    """Mean negative log probability of the queries' classes, and their accuracy, for (way, shot + query, d).

    The first ``shot`` examples of each class are its support. ``splits`` more ways to cut the same embedded
    examples, the support moving on cyclically by one, are averaged at next to no cost.
    """
    import torch
    from torch.nn import functional

    way, each, width = embedded.shape
    if not 1 <= splits <= each or not 1 <= shot < each:
        raise MethodError("an episode needs support and query examples, and no more splits than examples")
    truth = torch.arange(way, device=embedded.device).repeat_interleave(each - shot)
    losses, right = [], 0
    for step in range(splits):
        turned = embedded.roll(-step, dims=1)
        means = turned[:, :shot].mean(dim=1)
        scores = -squared_distances(turned[:, shot:].reshape(-1, width), means)
        losses.append(functional.cross_entropy(scores, truth))
        right += int((scores.argmax(dim=1) == truth).sum())
    return torch.stack(losses).mean(), right / (splits * len(truth))


def conv4(
    channels: int = 1, width: int = 64, norm: Literal["batch", "group"] = "batch"
) -> torch.nn.Sequential:
    """The encoder of Snell et al.: four times 3x3 convolution, normalisation, ReLU and 2x2 maximum, then flat.

    ``batch`` normalises by running statistics when it evaluates, ``group`` (eight groups) each picture by itself.
    """
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    for before in (channels, width, width, width):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=norm == "group"),
            nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(math.gcd(8, width), width),
            # The maximum of rectified values is the rectified maximum, at a quarter of the cost.
            nn.MaxPool2d(2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Flatten()).to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Training:
    """How an encoder is trained: episodes, steps and when to stop."""

    plan: Plan = field(default_factory=lambda: Plan(way=20, shot=1, query=5))
    splits: int = 1
    """Ways to cut each embedded episode into support and query, see `episode_loss`."""
    episodes: int = 1000
    rate: float = 1e-3
    """Of Adam, falling along half a cosine to a hundredth of it."""
    weight_decay: float = 0.0
    every: int = 100
    """Episodes between two looks at the validation classes."""
    patience: int = 10
    """Looks without a better accuracy after which training stops."""
    validation: Plan = field(default_factory=lambda: Plan(way=5, shot=1, query=5))
    validation_episodes: int = 200
    seconds: float | None = None
    """CPU seconds after which training stops whatever it has reached; None for no limit."""


@dataclass(frozen=True)
class Trained:
    """What a training gave."""

    episodes: int
    losses: tuple[float, ...]
    """Of each episode."""
    validation: tuple[tuple[int, float], ...]
    """Episodes done and mean accuracy on validation classes, at each look."""
    best: int | None
    """Episodes done when the kept weights were reached; None where there were no validation classes."""
    seconds: float
    """CPU seconds of this process."""
    stopped: Literal["done", "patience", "seconds"]


def fit(
    encoder: torch.nn.Module,
    pool: Pool,
    training: Training,
    generator: torch.Generator,
    *,
    validation: Pool | None = None,
    augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None,
) -> Trained:
    """Train an encoder, or a head on embeddings, by episodes; the weights best on validation classes are kept.

    ``pool.inputs`` are what the encoder takes. The classes of ``validation`` must be others than those of ``pool``:
    MethodError where a class is in both, or where there are too few classes or examples for an episode. The
    encoder is left in evaluation mode.
    """
    import torch

    if validation is not None and set(validation.labels.tolist()) & set(pool.labels.tolist()):
        raise MethodError("validation classes must be others than those trained on")
    started = time.process_time()
    members = pool.members()
    optimiser = torch.optim.Adam(
        [parameter for parameter in encoder.parameters() if parameter.requires_grad],
        lr=training.rate,
        weight_decay=training.weight_decay,
    )
    fall = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: _cosine(done / training.episodes))
    looks = _Looks(training, validation, generator)
    losses: list[float] = []
    stopped: Literal["done", "patience", "seconds"] = "done"
    encoder.train()
    for index in drawn_many(members, training.plan, training.episodes, generator):
        inputs = pool.inputs[index.reshape(-1)]
        if augment is not None:
            inputs = augment(inputs, generator)
        embedded = encoder(inputs).flatten(1)
        loss, _ = episode_loss(embedded.reshape(*index.shape, -1), training.plan.shot, splits=training.splits)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        fall.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise MethodError(f"the loss is {losses[-1]} after {len(losses)} episodes; lower the rate")
        if len(losses) % training.every == 0 and looks.enough(encoder, len(losses)):
            stopped = "patience"
            break
        if training.seconds is not None and time.process_time() - started > training.seconds:
            stopped = "seconds"
            break
    looks.restore(encoder)
    encoder.eval()
    return Trained(
        len(losses), tuple(losses), tuple(looks.seen), looks.best, time.process_time() - started, stopped
    )


def _cosine(progress: float) -> float:
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


class _Looks:
    """The same validation episodes at every look, and the weights that did best on them."""

    def __init__(self, training: Training, pool: Pool | None, generator: torch.Generator) -> None:
        self._training, self._pool = training, pool
        self.seen: list[tuple[int, float]] = []
        self.best: int | None = None
        self._most = -math.inf
        self._since = 0
        self._kept: dict[str, Any] | None = None
        self._episodes: list[torch.Tensor] = []
        if pool is not None:
            members = pool.members()
            self._episodes = [
                drawn(members, training.validation, generator) for _ in range(training.validation_episodes)
            ]

    def enough(self, encoder: torch.nn.Module, done: int) -> bool:
        """Look at the validation classes, and whether training should stop."""
        if self._pool is None:
            return False
        embedded = embed(encoder, self._pool.inputs)
        shot = self._training.validation.shot
        found = [episode_loss(embedded[index], shot)[1] for index in self._episodes]
        accuracy = math.fsum(found) / len(found)
        self.seen.append((done, accuracy))
        if accuracy > self._most:
            self._most, self.best, self._since = accuracy, done, 0
            self._kept = {name: value.clone() for name, value in encoder.state_dict().items()}
        else:
            self._since += 1
        return self._since >= self._training.patience

    def restore(self, encoder: torch.nn.Module) -> None:
        """Put the best weights back."""
        if self._kept is not None:
            encoder.load_state_dict(self._kept)


__all__ = [
    "Classified",
    "Trained",
    "Training",
    "class_means",
    "classify",
    "conv4",
    "embed",
    "episode_loss",
    "fit",
    "squared_distances",
]
