# ruff: noqa: ANN001, ANN003, ANN201, ANN202, ANN204, D102
"""A watermark planted in pictures: do attributions, concepts and prototypes find that a network leans on it?

    .venv/bin/python -m benchmarks.watermark [--plantings 20]

Each planting is a small network trained on faint gratings of three directions, 32 pixels on a side. A patch of 4 by 4
pixels stands in a corner: in the planted pictures nearly always with one class and nearly never with the others. Its
clean twin is trained on every picture twice, with the patch and without it, and tested on pictures half of which have
it, whatever their class. The truth and the learner draw from streams of their own.
Three explainers are asked, through the public entry. Found means: the patch is the window with the largest absolute
attribution per pixel of all windows of its size; the patch as a concept is `intervened` for the class; test pictures
with the patch have a nearest prototype that carries it at least 50 points more often than those without. Ends with 1
where one finds fewer than 19 of 20 plantings, or more than 1 of 20 clean twins.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tests import deep
from xai_audit.catalog import methods
from xai_audit.measure import Settings, Step, measure
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import ImageReader
from xai_audit.subject import Subject

SIDE, PATCH, CLASSES = 32, 4, 3
TRAIN, TEST, CONCEPT, POOL = 900, 240, 60, 500
TARGET = 1
"""The class that the watermark goes with."""
CARRIED = 0.5
"""How much more often the nearest prototype carries the patch, for a picture that carries it."""


class Net(nn.Module):
    """Two convolutions and two dense layers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 5, padding=2), nn.Conv2d(8, 12, 3, padding=1)
        self.pool, self.act = nn.MaxPool2d(2), nn.ReLU()
        self.hidden, self.out = nn.Linear(12 * 8 * 8, 24), nn.Linear(24, CLASSES)

    def forward(self, x):
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        return self.out(self.act(self.hidden(x.flatten(1))))


@dataclass(frozen=True)
class Planting:
    """A trained network with its data, and the truth that no explainer is told."""

    subject: Subject
    corner: tuple[int, int]
    carries: dict[bytes, bool]
    """Whether a picture of either table has the patch, by its digest."""
    accuracy: float
    swing: float
    """How much the patch alone moves the class's mean probability over the test pictures."""


def gratings(rng, count):
    """Noisy gratings whose direction says the class, in any phase; float pixels and labels."""
    label = rng.integers(0, CLASSES, count)
    angle = np.pi * label / CLASSES + rng.normal(scale=0.1, size=count)
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    phase = rng.uniform(0, 2 * np.pi, count)[:, None, None]
    noise = rng.normal(scale=40, size=(count, SIDE, SIDE))
    return 120 + 12 * np.sin(2 * np.pi * wave / 6 + phase) + noise, label


def marked(pixels, which, corner, mark):
    """Pictures of uint8, those in ``which`` with the patch."""
    found = pixels.copy()
    y, x = corner
    found[np.ix_(which, range(y, y + PATCH), range(x, x + PATCH))] = mark
    return np.clip(found, 0, 255).astype(np.uint8)[..., None]


def plant(seed, *, planted):
    """One network, trained where the patch goes with a class (planted) or with none (its clean twin)."""
    truth, learner = (np.random.default_rng(one) for one in np.random.SeedSequence([7, seed]).spawn(2))
    corner = tuple(int(side) for side in truth.choice([1, SIDE - PATCH - 1], 2))
    mark = np.where(truth.random((PATCH, PATCH)) < 0.5, 20.0, 235.0)
    tables, flags = [], []
    for count in (TRAIN, TEST):
        pixels, label = gratings(truth, count)
        chance = np.where(label == TARGET, 0.95, 0.05) if planted else np.full(count, 0.5)
        flag = truth.random(count) < chance
        if not planted and count == TRAIN:
            pixels, label = np.concatenate([pixels, pixels]), np.concatenate([label, label])
            flag = np.arange(2 * count) < count
        tables.append(deep.rows(deep.image_frame(marked(pixels, np.flatnonzero(flag), corner, mark)), label))
        flags.append(flag)
    sets = {}
    for name, count in (("patch", CONCEPT), ("random", POOL)):
        pixels, _ = gratings(truth, count)
        which = np.arange(count) if name == "patch" else np.arange(0)
        sets[name] = deep.rows(deep.image_frame(marked(pixels, which, corner, mark)), name=name)
    reader = ImageReader(mean=(0.5,), std=(0.25,))
    module = trained(reader.batch(tables[0].frame), torch.from_numpy(tables[0].target), learner)
    subject = deep.subject(
        Network(module, reader, micro=64),
        tables[1],
        "image",
        classes=("a", "b", "c"),
        train=tables[0],
        sets=sets,
    )
    pixels, _ = gratings(truth, 200)
    told = [
        subject.evaluate(deep.image_frame(marked(pixels, which, corner, mark)))[:, TARGET].mean()
        for which in (np.arange(200), np.arange(0))
    ]
    carries = {
        bytes(digest).ljust(32, b"\0"): bool(flag)
        for table, own in zip(tables, flags, strict=True)
        for digest, flag in zip(table.digests, own, strict=True)
    }
    accuracy = float((subject.prediction == subject.test.target).mean())
    return Planting(subject, corner, carries, accuracy, float(told[0] - told[1]))


def trained(x, y, rng, epochs=6):
    """The network after a few passes, its draws from the learner's own stream."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(2**31)))
        module = Net()
    optimiser = torch.optim.Adam(module.parameters(), lr=2e-3, weight_decay=1e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(32):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
            optimiser.step()
    return module


# ------------------------------------------------------------------------------------------------ what is asked
def observed(planting, name, **params):
    """Evidence by part and a reader of arrays, through the public entry."""
    method = methods()[name]
    step = Step(method, method.params(**params), name)
    outcome = measure(planting.subject, [step], Settings(debug=True))
    evidence = {piece.id.partition("/")[2]: piece for piece in outcome.evidence}

    def array(key, part=""):
        with np.load(io.BytesIO(outcome.arrays[evidence[part].arrays[key]])) as content:
            return content[key]

    return evidence, array


def largest_window(maps):
    """Where the window of the patch's size lies that has the largest mean absolute attribution over rows and pixels."""
    mean = np.abs(maps.astype(np.float64)).mean(axis=0)
    sums = np.pad(mean.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    boxes = sums[PATCH:, PATCH:] - sums[:-PATCH, PATCH:] - sums[PATCH:, :-PATCH] + sums[:-PATCH, :-PATCH]
    y, x = np.unravel_index(int(np.argmax(boxes)), boxes.shape)
    return (int(y), int(x)), boxes / PATCH**2


def attribution(planting, name="integrated_gradients"):
    """Whether the patch is the window with the largest attribution per pixel; and how far it is ahead of the rest."""
    extra = {"beside": (), "twins": 0} if name == "integrated_gradients" else {}
    _, array = observed(planting, name, rows=64, **extra)
    place, boxes = largest_window(array("values"))
    y, x = planting.corner
    apart = np.ones(boxes.shape, dtype=bool)
    apart[max(y - PATCH + 1, 0) : y + PATCH, max(x - PATCH + 1, 0) : x + PATCH] = False
    return place == planting.corner, float(boxes[planting.corner] / boxes[apart].max())


def concept(planting):
    """Whether the patch is intervened for its class; and the effect on its probability."""
    evidence, _ = observed(
        planting, "tcav", concepts=["patch"], random="random", sites=("conv2",), classes=("b",)
    )
    claims = [piece for part, piece in evidence.items() if part.startswith("patch")]
    found = any(piece.rung in ("intervened", "robust") for piece in claims)
    effects = [piece.observation.estimate.value for piece in claims if piece.status == "measured"]
    return found, max(effects, key=abs, default=float("nan"))


def prototype(planting):
    """Whether pictures with the patch have nearest prototypes with it; and how much more often than others."""
    _, array = observed(planting, "prototypes", k=5, rows=None)
    carried = np.asarray([planting.carries[bytes(one)] for one in array("prototype_sha256")])
    asked = np.asarray([planting.carries[bytes(one)] for one in array("row_sha256")])
    nearest = carried[array("row_prototype")]
    more = float(nearest[asked].mean() - nearest[~asked].mean())
    return more >= CARRIED, more


ASKED = {
    "integrated_gradients": attribution,
    "tcav": concept,
    "prototypes": prototype,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plantings", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=list(ASKED), choices=list(ASKED))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    started, missed = time.perf_counter(), False
    found = {(name, planted): [] for name in asked.only for planted in (True, False)}
    for seed in range(asked.plantings):
        for planted in (True, False):
            planting = plant(seed, planted=planted)
            told = []
            for name in asked.only:
                hit, value = ASKED[name](planting)
                found[name, planted].append((hit, value))
                told.append(f"{name} {'found' if hit else '-'} {value:.2f}")
            print(
                f"{seed:3d} {'planted' if planted else 'clean  '} accuracy {planting.accuracy:.2f} "
                f"patch moves P {planting.swing:+.2f}  {'; '.join(told)}",
                flush=True,
            )
    print(f"\n{asked.plantings} plantings and their clean twins, {time.perf_counter() - started:.0f} s")
    for name in asked.only:
        hits, false = (sum(hit for hit, _ in found[name, planted]) for planted in (True, False))
        middle = [np.nanmedian([value for _, value in found[name, planted]]) for planted in (True, False)]
        enough = hits >= 0.95 * asked.plantings and false <= 0.05 * asked.plantings
        missed |= not enough
        print(
            f"{name:22s} found {hits} of {asked.plantings}, clean twins flagged {false} of {asked.plantings}, "
            f"medians {middle[0]:.2f} and {middle[1]:.2f}: {'holds' if enough else 'MISSED'}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
