# ruff: noqa: ANN001, ANN003, ANN201
"""Do the examples shown hold the mislabelled ones that were planted, and how fast are prototypes chosen?

    .venv/bin/python -m benchmarks.prototypes [--plantings 100] [--fashion 20] [--threads 2] [speed] [mislabelled]

Each planting makes its own pictures, turns three labels wrong, trains its own small network on them as they are, and
runs the explainer as a spec would. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

THREADS = "2"
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, THREADS)
ROOT = Path(__file__).resolve().parents[1]
# In place of this folder: its coverage.py would stand in for the package of that name.
sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402

from tests import deep  # noqa: E402
from xai_audit import intervals as iv  # noqa: E402
from xai_audit.explainers.attributions.overlays import picture  # noqa: E402
from xai_audit.explainers.examples.compared import PrototypesParams  # noqa: E402
from xai_audit.explainers.prototypes import METHOD  # noqa: E402
from xai_audit.measure import Settings, Step, measure  # noqa: E402
from xai_audit.mechanistic.medoids import medoids, mmd_critic  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402

FASHION = ROOT.parent / "shared" / "data" / "img_fashion_mnist_900" / "fashion_mnist_900.npz"
WRONG = 3
"""Labels turned wrong in one planting."""


def said(what, hits, n, bar=None):
    low, high = iv.rate(hits, n, [0.95])[0]
    good = bar is None or hits >= bar * n
    words = "" if bar is None else f"; bar at least {bar}: {'held' if good else 'MISSED'}"
    print(f"  {what}: {hits} of {n} = {hits / n:.3f} [{low:.3f}, {high:.3f}]{words}", flush=True)
    return good


# ------------------------------------------------------------------------------------------------ speed
def speed(threads, repeats=3):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 384))
    labels = rng.integers(0, 10, 50_000)
    points = (centres[labels] + rng.normal(size=(50_000, 384))).astype(np.float32)
    print(
        f"\n50,000 points of 384 numbers, 5 prototypes of each class, {threads} threads; seconds, median of {repeats}"
    )
    good = True
    for what, parts in (
        ("10 classes of 5,000", [points[labels == one] for one in range(10)]),
        ("one class of 50,000", [points]),
    ):
        for pick in (medoids, mmd_critic):
            wall, cpu = [], []
            for _ in range(repeats):
                started, ran = time.perf_counter(), time.process_time()
                for part in parts:
                    found = pick(part, 5, threads=threads)
                wall.append(time.perf_counter() - started)
                cpu.append(time.process_time() - ran)
            took = statistics.median(wall)
            good &= took < 10
            print(
                f"  {pick.__name__:10s} {what}: {took:5.1f} s wall [{min(wall):.1f}, {max(wall):.1f}], "
                f"{statistics.median(cpu):5.1f} s CPU ({found.how}); bar 10 s: {'held' if took < 10 else 'MISSED'}",
                flush=True,
            )
    return good


# ------------------------------------------------------------------------------------------------ pictures
def strokes(n, rng, classes=4, side=16):
    """Grey pictures of one stroke; its direction is the class."""
    labels = rng.integers(0, classes, n)
    rows, columns = np.mgrid[:side, :side]
    angle = np.pi * labels / classes + 0.12 * rng.normal(size=n)
    middle = side / 2 - 0.5 + 2 * rng.normal(size=(2, n))
    across = np.abs(
        (rows - middle[0][:, None, None]) * np.cos(angle)[:, None, None]
        - (columns - middle[1][:, None, None]) * np.sin(angle)[:, None, None]
    )
    ink = 200 * np.exp(-((across / rng.uniform(0.9, 1.6, n)[:, None, None]) ** 2))
    return np.clip(ink + 20 + 12 * rng.normal(size=ink.shape), 0, 255).astype(np.uint8), labels


def network(side, classes, seed):
    import torch
    from torch import nn

    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * (side // 4) ** 2, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )


def trained(images, labels, classes, seed, epochs):
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    module = network(images.shape[1], classes, seed)
    optimiser = torch.optim.Adam(module.parameters(), 2e-3)
    inputs, truth = torch.from_numpy(images[:, None].astype(np.float32) / 255), torch.from_numpy(labels)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for part in torch.randperm(len(truth), generator=order).split(32):
            optimiser.zero_grad()
            functional.cross_entropy(module(inputs[part]), truth[part]).backward()
            optimiser.step()
    return Network(module, deep.ImageReader(), micro=256)


def shown(images, labels, test, truth, classes, seed, epochs, **params):
    """The network trained on these labels, its audit's cases and all of its evidence."""
    one = trained(images, labels, classes, seed, epochs)
    subject = deep.subject(
        one,
        deep.rows(deep.image_frame(test), truth, name="test"),
        "image",
        classes=tuple(map(str, range(classes))),
        train=deep.rows(deep.image_frame(images), labels, name="train"),
    )
    step = Step(METHOD, PrototypesParams(**params), "prototypes")
    found = {piece.id: piece for piece in measure(subject, [step], Settings()).evidence}
    return subject, found


def listed(found, part, one, side):
    return [
        example["picture"]["png"]
        for case in found[f"prototypes/{part}"].observation.cases
        if case["query"] is None and case["class"] == str(one)
        for example in case[side]
    ]


def surfaced(images, labels, found, wrong, planted):
    """Of each planted example: is it among the counter-prototypes of its true class, among the suspects of its label?"""
    counters = [
        picture(images[row][..., None])["png"] in listed(found, "examples", labels[row], "counter")
        for row in wrong
    ]
    suspects = [
        picture(images[row][..., None])["png"] in listed(found, "suspect_examples", planted[row], "counter")
        for row in wrong
    ]
    return counters, suspects


def mislabelled(plantings, fashion):
    counts = dict.fromkeys(("all counters", "all either", "examples"), 0)
    accuracy, fidelity, flagged = [], [], []
    print(
        f"\n{plantings} plantings of {WRONG} wrong labels among 600 strokes of 4 directions, trained on as they are"
    )
    for number in range(plantings):
        rng = np.random.default_rng([1, number])
        images, labels = strokes(600, rng)
        test, truth = strokes(150, rng)
        wrong, planted = plant(labels, 4, rng)
        subject, found = shown(images, planted, test, truth, 4, number, 12)
        counters, suspects = surfaced(images, labels, found, wrong, planted)
        counts["all counters"] += all(counters)
        counts["all either"] += all(a or b for a, b in zip(counters, suspects, strict=True))
        counts["examples"] += sum(counters)
        accuracy.append(float((subject.prediction == truth).mean()))
        fidelity.append(found["prototypes"].observation.estimate.value)
        flagged.append(found["prototypes/suspects"].params["suspects"])
    print(
        f"  the networks' mean accuracy {statistics.mean(accuracy):.3f}, fidelity {statistics.mean(fidelity):.3f}, "
        f"suspects a planting {statistics.mean(flagged):.1f}"
    )
    said("single planted examples among their true class's five", counts["examples"], WRONG * plantings)
    good = said("plantings with all of them there", counts["all counters"], plantings, bar=0.95)
    said("plantings with all there or among the suspects of their label", counts["all either"], plantings)
    if fashion and FASHION.is_file():
        real(fashion)
    return good


def plant(labels, classes, rng):
    wrong = rng.choice(len(labels), WRONG, replace=False)
    planted = labels.copy()
    planted[wrong] = (labels[wrong] + rng.integers(1, classes, WRONG)) % classes
    return wrong, planted


def real(plantings):
    stored = np.load(FASHION)
    hits, either = 0, 0
    for number in range(plantings):
        rng = np.random.default_rng([2, number])
        order = rng.permutation(900)
        images, labels = stored["images"][order], stored["labels"][order].astype(np.int64)
        wrong, planted = plant(labels[:700], 10, rng)
        _, found = shown(images[:700], planted, images[700:], labels[700:], 10, number, 12)
        counters, suspects = surfaced(images, labels, found, wrong, planted)
        hits += sum(counters)
        either += sum(a or b for a, b in zip(counters, suspects, strict=True))
    print(f"  Fashion-MNIST, 700 pictures, 10 classes that truly overlap, {plantings} plantings (no bar)")
    said("single planted examples among their true class's five", hits, WRONG * plantings)
    said("there or among the suspects of their label", either, WRONG * plantings)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="speed, mislabelled; both where none is named")
    parser.add_argument("--plantings", type=int, default=100)
    parser.add_argument("--fashion", type=int, default=20)
    parser.add_argument("--threads", type=int, default=int(THREADS))
    asked = parser.parse_args()
    parts = asked.parts or ["speed", "mislabelled"]
    good = True
    if "speed" in parts:
        good &= speed(asked.threads)
    if "mislabelled" in parts:
        good &= mislabelled(asked.plantings, asked.fashion)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
