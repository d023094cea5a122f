# ruff: noqa: ANN001, ANN003, ANN201, ANN202, ANN204, D102
"""What is claimed of TCAV, measured: false positives, power, unused concepts, agreement with captum, speed.

    .venv/bin/python -m benchmarks.tcav [calibration] [power] [unused] [direction] [captum] [speed] [--quick]

Each part prints its figures with their bars; the exit code is 1 where a bar is missed. --quick takes a tenth of the
repetitions.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections import Counter

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests import deep  # noqa: E402
from tests.explainers import concept_beds as beds  # noqa: E402
from xai_audit.explainers import tcav  # noqa: E402
from xai_audit.measure import Settings, Step, measure  # noqa: E402
from xai_audit.mechanistic import concepts, flows, permutation  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402

SETS, EXAMPLES, POOL, ROWS = 250, 50, 500, 200
MISSED: list[str] = []


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


def audited(subject, **params):
    chosen = {"concepts": ["planted"], "random": "pool", "sites": ["mix"], "random_sets": SETS, **params}
    step = Step(tcav.METHOD, tcav.METHOD.params.model_validate(chosen), "tcav")
    return measure(subject, [step], Settings(debug=True)).evidence


# ------------------------------------------------------------------------------------------------------- a) calibration
def architectures():
    """A network, 30,000 rows of one distribution as vectors at two sites, and 200 inputs, for each of three kinds."""
    rng = np.random.default_rng(77)
    bed = beds.planted(5, spread=1.5)
    yield "MLP", bed.network, bed.frame, ("mix", "read")
    yield "CNN", beds.image_network(1), lambda n: beds.pictures(rng, n), ("first", "inner")
    yield "transformer", beds.text_network(2), lambda n: beds.texts(rng, n), ("value", "inner")


def calibration(quick):
    reps = 100 if quick else 1000
    for kind, network, draw, names in architectures():
        sites = [flows.flow(network, draw(2), Site.parse(name), pooled=None) for name in names]
        bank = flows.activations(network, draw(30_000), sites)
        slopes = flows.mean_score_gradients(network, flows.built(network, draw(ROWS)), sites, 1)
        along = np.stack([bank[site] @ slopes[site].mean(axis=0) for site in sites])
        single, family, classical = [], [], []
        for rep in range(reps):
            rng = np.random.default_rng([rep, 9])
            rows = rng.choice(along.shape[1], 3 * EXAMPLES + POOL, replace=False)
            pool = rows[3 * EXAMPLES :]
            values = [
                along[:, np.concatenate([rows[k * EXAMPLES : (k + 1) * EXAMPLES], pool])] for k in range(3)
            ]
            found = permutation.tested(values, [EXAMPLES] * 3, SETS, rng.spawn(3))
            single.append(found[0].p[0])
            family.append(min(one.adjusted.min() for one in found))
        for alpha in (0.05, 0.005):
            bar = alpha + 3 * (alpha * (1 - alpha) / reps) ** 0.5
            for what, ps in (("one concept", single), ("family of 3 concepts x 2 sites", family)):
                rate = float(np.mean(np.asarray(ps) <= alpha))
                told(
                    f"{kind}, {what}, alpha {alpha}",
                    f"{rate:.4f}, n = {reps}",
                    f"<= {bar:.4f}",
                    holds=rate <= bar,
                )
        classical.extend(
            usual_test(network, draw, sites[0], bank[sites[0]], rep) for rep in range(min(reps, 200))
        )
        print(
            f"     {kind}, the usual t-test of 10 random sets on the same: "
            f"{np.mean(np.asarray(classical) <= 0.05):.3f} at 0.05, {np.mean(np.asarray(classical) <= 0.005):.3f} at "
            f"0.005, n = {len(classical)}",
            flush=True,
        )


def usual_test(network, draw, site, bank, rep, sets=10):
    """The p of scipy's t-test of 10 scores of a null concept against 10 of random sets, as TCAV packages make it."""
    from scipy.stats import ttest_ind

    rng = np.random.default_rng([rep, 10])
    if not hasattr(usual_test, "kept") or usual_test.kept[0] is not network:
        rows = flows.class_gradients(network, draw(ROWS), [site], np.ones(ROWS, dtype=np.int64))[site]
        usual_test.kept = (network, rows)
    rows = rng.choice(len(bank), (2 * sets + 1) * EXAMPLES, replace=False).reshape(-1, EXAMPLES)
    examples = bank[rows.ravel()]
    place = np.arange(rows.size).reshape(rows.shape)
    kernel, cross = concepts.gram(examples), usual_test.kept[1] @ examples.T
    own = concepts.fit(kernel, np.broadcast_to(place[0], (sets, EXAMPLES)), place[1 : sets + 1])
    null = concepts.fit(kernel, place[sets + 1 :], place[1 : sets + 1])
    p = ttest_ind(
        concepts.sign_score(own.derivatives(cross)), concepts.sign_score(null.derivatives(cross))
    ).pvalue
    return 1.0 if np.isnan(p) else float(p)


# ------------------------------------------------------------------------------------------------------------- b) power
def power(quick):
    reps = 40 if quick else 200
    for spread in (0.2, 0.35, 0.5, 1.0):
        found = 0
        for seed in range(reps):
            bed = beds.calibrated(1000 + seed, 0.05, spread=spread)
            piece = audited(beds.subject(bed), rows=ROWS, directions=5)[0]
            found += piece.inference is not None and piece.inference.p <= 0.05
        what = (
            f"power at 0.05, true effect 0.05, {ROWS} inputs, {EXAMPLES} examples, logit's other sd {spread}"
        )
        if spread <= 0.35:
            told(what, f"{found / reps:.3f}, n = {reps}", ">= 0.95", holds=found / reps >= 0.95)
        else:
            print(f"     {what}: {found / reps:.3f}, n = {reps} (no bar)", flush=True)


# ------------------------------------------------------------------------------------------------------------ c) unused
def unused(quick):
    reps = 20 if quick else 200
    for what, more in (("", {}), (", noise leans to what is read", {"tilt": 2.0})):
        rungs, ps, covered = Counter(), [], []
        for seed in range(reps):
            bed = beds.planted(seed, spread=1.5, **more)
            piece = audited(beds.subject(bed))[0]
            rungs[piece.rung or piece.status] += 1
            if piece.inference:
                ps.append(piece.inference.adjusted)
                estimate = piece.observation.estimate
                covered.append(estimate.low <= beds.true_effect(bed, 4000) <= estimate.high)
        share = (rungs["intervened"] + rungs["robust"]) / reps
        told(
            f"separable, unused concept{what}: intervened",
            f"{share:.3f}, n = {reps}; {dict(rungs)}; p <= 0.05 in {np.mean(np.asarray(ps) <= 0.05):.3f}; interval "
            f"holds the true effect in {np.mean(covered):.3f}",
            "<= 0.05",
            holds=share <= 0.05,
        )
    rungs = Counter(
        (piece := audited(beds.subject(beds.planted(seed, used=5.0, spread=1.0)))[0]).rung or piece.status
        for seed in range(reps)
    )
    share = (rungs["intervened"] + rungs["robust"]) / reps
    told(
        "used concept (5 in the logit, the rest varies by 1): intervened",
        f"{share:.3f}; {dict(rungs)}",
        ">= 0.95",
        holds=share >= 0.95,
    )


# --------------------------------------------------------------------------------------------------------- direction
def direction(quick):
    """Moving along the difference of the means, or along the vector: the effect of an unused concept is 0."""
    reps = 10 if quick else 50
    for tilt in (0.0, 2.0):
        errors = {"mean difference": [], "ridge vector": [], "logistic vector": []}
        for seed in range(reps):
            bed = beds.planted(seed, spread=1.5, tilt=tilt)
            one = flows.Flow(Site.parse("mix"))
            own, pool = (
                flows.activations(bed.network, frame, [one])[one].astype(float)
                for frame in (bed.frame(400, concept=True), bed.frame(400))
            )
            batches = flows.built(bed.network, bed.frame(ROWS))
            both = np.concatenate([own, pool])
            index = np.arange(400)[None]
            truth = beds.true_effect(bed, 4000)
            ways = {"mean difference": own.mean(0) - pool.mean(0)}
            ways |= {
                f"{estimator} vector": concepts.concept_vectors(
                    both, index, index + 400, estimator, held_out=0.01
                )[0][0]
                for estimator in ("ridge", "logistic")
            }
            for way, v in ways.items():
                unit = v / np.linalg.norm(v)
                ends = [
                    flows.held_scores(bed.network, batches, one, unit, float(mean @ unit))[:, 1].mean()
                    for mean in (pool.mean(0), own.mean(0))
                ]
                errors[way].append(ends[1] - ends[0] - truth)
        for way, found in errors.items():
            print(
                f"     unused concept, 400 examples, tilt {tilt}, along the {way}: effect off by "
                f"{np.sqrt(np.mean(np.square(found))):.3f} (root mean square, n = {reps})",
                flush=True,
            )


# ------------------------------------------------------------------------------------------------------------ d) captum
def captum_scores(module, layer, inputs, concept, randoms, folder):
    """The library's vectors, sign counts and magnitudes of one concept against several random sets, and seconds."""
    from captum.concept import TCAV, Concept

    made = [Concept(0, "planted", batches(concept))]
    made += [Concept(1 + k, f"random{k}", batches(one)) for k, one in enumerate(randoms)]
    tested = TCAV(module, [layer], save_path=folder)
    pairs = [[made[0], one] for one in made[1:]]
    scores = tested.interpret(inputs, pairs, target=1)
    out = []
    for k in range(len(randoms)):
        key = f"0-{1 + k}"
        vector = tested.cavs[key][layer].stats["weights"][0].numpy()
        found = scores[key][layer]
        out.append((vector, float(found["sign_count"][0]), float(found["magnitude"][0])))
    # Again, with the activations on disk, where the library keeps them.
    started = time.process_time()
    tested.compute_cavs(pairs, force_train=True)
    taken = time.process_time() - started
    return out, taken


def batches(tensor):
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(tensor), batch_size=50, collate_fn=stacked
    )


def stacked(rows):
    return torch.stack([row[0] for row in rows])


class TwoColumns(torch.nn.Module):
    """One logit as two outputs, as captum's target asks."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        out = self.module(x)
        return torch.cat([-out, out], dim=1)


def captum(quick):
    sets = 10 if quick else 30
    bed = beds.planted(11, used=2.0, spread=1.5, shift=5.0, d=512, width=512)
    module = TwoColumns(bed.network.module)
    one = flows.Flow(Site.parse("mix"))
    concept, inputs = bed.frame(EXAMPLES, concept=True), bed.frame(ROWS)
    randoms = [bed.frame(EXAMPLES) for _ in range(sets)]
    acts = flows.activations(bed.network, bed_concat([concept, *randoms]), [one])[one]
    gradients = flows.class_gradients(bed.network, inputs, [one], np.ones(ROWS, dtype=np.int64))[one]
    with tempfile.TemporaryDirectory() as folder:
        theirs, taken = captum_scores(
            module, "module.mix", tensor(inputs), tensor(concept), [tensor(x) for x in randoms], folder
        )
    worst = 0.0
    for vector, count, size in theirs:
        along = gradients.astype(np.float64) @ vector.astype(np.float64)[:, None]
        worst = max(
            worst, abs(concepts.sign_score(along)[0] - count), abs(concepts.magnitude(along)[0] - size)
        )
    told(
        "captum's own vectors: sign count and magnitude differ by",
        f"{worst:.1e}, n = {sets}",
        "<= 1e-6",
        holds=worst <= 1e-6,
    )
    positive = np.broadcast_to(np.arange(EXAMPLES), (SETS, EXAMPLES))
    print(
        f"     captum 0.9.0: {1e3 * taken / sets:.2f} ms a CAV (compute_cavs, DefaultClassifier, activations on disk, CPU)"
    )
    direct = captum_fit_only(acts, sets)
    print(
        f"     captum 0.9.0, its classifier alone on the same activations: {1e3 * direct:.2f} ms a CAV (CPU, d 512)"
    )
    # As in the explainer: a pool of ten times the examples.
    acts = acts[: 11 * EXAMPLES]
    negative = EXAMPLES + permutation.random_sets(
        EXAMPLES, len(acts) - EXAMPLES, SETS, np.random.default_rng(1)
    )
    for estimator in ("ridge", "logistic", "mean_difference"):
        concepts.fit(concepts.gram(acts), positive, negative, estimator)
        runs = []
        for _ in range(5):
            started = time.process_time()
            concepts.fit(concepts.gram(acts), positive, negative, estimator)
            runs.append((time.process_time() - started) / SETS)
        each = min(runs)
        what = f"{estimator} per CAV, Gram matrix counted, beside captum's on the same activations"
        figure = (
            f"{taken / sets / each:.0f} times compute_cavs, {direct / each:.0f} times its classifier alone "
            f"({1e3 * each:.3f} ms CPU, min of 5)"
        )
        if estimator == "ridge":
            told(what, figure, ">= 50 times compute_cavs", holds=taken / sets / each >= 50)
        else:
            print(f"     {what}: {figure} (no bar)")
    scikit(quick)


def captum_fit_only(acts, sets):
    """Seconds of captum's DefaultClassifier for one CAV, its data loader ready; the least of several."""
    from captum.concept._utils.classifier import DefaultClassifier

    runs = []
    for k in range(min(sets, 10)):
        rows = np.concatenate([acts[:EXAMPLES], acts[(1 + k) * EXAMPLES : (2 + k) * EXAMPLES]])
        data = torch.utils.data.TensorDataset(
            torch.from_numpy(rows), torch.repeat_interleave(torch.tensor([0, 1]), EXAMPLES)
        )
        loader = torch.utils.data.DataLoader(data, batch_size=20, shuffle=False)
        classifier = DefaultClassifier()
        started = time.process_time()
        classifier.train_and_eval(loader, test_split_ratio=0.33, verbose=False)
        classifier.weights()
        runs.append(time.process_time() - started)
    return min(runs)


def scikit(quick):
    """Sign scores of strong concepts beside scikit-learn's logistic regression on the same examples."""
    from sklearn.linear_model import LogisticRegression

    gaps: dict[str, list[float]] = {"ridge": [], "logistic": [], "mean_difference": []}
    scores = []
    for seed in range(5 if quick else 30):
        bed = beds.planted(seed, used=4.0, spread=1.5, shift=6.0)
        one = flows.Flow(Site.parse("mix"))
        acts = flows.activations(
            bed.network, bed_concat([bed.frame(EXAMPLES, concept=True), bed.frame(POOL)]), [one]
        )[one]
        rows = flows.class_gradients(bed.network, bed.frame(ROWS), [one], np.ones(ROWS, dtype=np.int64))[one]
        positive = np.broadcast_to(np.arange(EXAMPLES), (30, EXAMPLES))
        negative = EXAMPLES + permutation.random_sets(EXAMPLES, POOL, 30, np.random.default_rng(seed))
        kernel, cross = concepts.gram(acts), rows @ acts.T
        for estimator, kept in gaps.items():
            found = concepts.fit(kernel, positive, negative, estimator)
            theirs = []
            for members in found.members:
                half = len(members) // 2
                model = LogisticRegression(max_iter=1000).fit(acts[members], np.repeat([1, 0], half))
                theirs.append(float((rows @ model.coef_[0] > 0).mean()))
            scores.append(float(np.mean(theirs)))
            kept.append(abs(concepts.sign_score(found.derivatives(cross)).mean() - np.mean(theirs)))
    print(f"     scikit-learn's sign scores: {min(scores):.3f} to {max(scores):.3f}")
    for estimator, kept in gaps.items():
        what = f"{estimator}, sign score beside scikit-learn, mean of 30 sets, {len(kept)} strong concepts"
        near = int(np.sum(np.asarray(kept) <= 0.02))
        figure = f"largest gap {max(kept):.4f}, mean {np.mean(kept):.4f}, {near} of {len(kept)} within 0.02"
        if estimator == "logistic":
            told(what, figure, "<= 0.02", holds=max(kept) <= 0.02)
        else:  # other estimators, whose vectors differ where a concept is nearly at right angles to the gradient
            print(f"     {what}: {figure} (no bar)")


def bed_concat(frames):
    import pandas as pd

    return pd.concat(frames, ignore_index=True)


def tensor(frame):
    return torch.from_numpy(frame.to_numpy(dtype=np.float32).copy())


# ------------------------------------------------------------------------------------------------------------- e) speed
class Small(torch.nn.Module):
    """Three convolutions and a hidden layer, on pictures of 16 x 16 in colour."""

    def __init__(self):
        super().__init__()
        self.layer1 = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.layer2 = torch.nn.Conv2d(8, 16, 3, padding=1)
        self.layer3 = torch.nn.Conv2d(16, 32, 3, padding=1)
        self.layer4 = torch.nn.Linear(32 * 16, 64)
        self.head = torch.nn.Linear(64, 2)

    def forward(self, x):
        pool = torch.nn.functional.max_pool2d
        x = pool(torch.relu(self.layer1(x)), 2)
        x = pool(torch.relu(self.layer2(x)), 2)
        x = torch.relu(self.layer3(x))
        return self.head(torch.relu(self.layer4(x.flatten(1))))


def small_cnn():
    """A CNN fitted to pictures in which five of ten patterns decide; sets of all ten."""
    from xai_audit.mechanistic.network import Network

    rng = np.random.default_rng(3)
    patterns = np.stack([40 * np.sign(rng.normal(size=(16, 16, 3))) for _ in range(10)])

    def drawn(n, k=None):
        there = rng.random((n, 10)) < 0.2 if k is None else np.repeat(np.eye(10)[[k]], n, axis=0)
        values = rng.normal(128, 40, size=(n, 16, 16, 3)) + np.einsum("nk,khwc->nhwc", there, patterns)
        y = there[:, :5] @ np.array([2, 1.5, 1, -1.5, -2]) + 0.7 * rng.normal(size=n) > 0.2
        return np.clip(values, 0, 255).astype(np.uint8), y.astype(np.int64)

    torch.manual_seed(4)
    module, (x, y) = Small(), drawn(3000)
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    given, labels = torch.from_numpy(x / 255.0).float().permute(0, 3, 1, 2), torch.from_numpy(y)
    for _ in range(4):
        for start in range(0, len(x), 100):
            optimiser.zero_grad()
            part = slice(start, start + 100)
            torch.nn.functional.cross_entropy(module(given[part]), labels[part]).backward()
            optimiser.step()
    x, y = drawn(800)
    sets = {
        f"pattern{k}": deep.rows(deep.image_frame(drawn(EXAMPLES, k)[0]), name=f"k{k}") for k in range(10)
    }
    sets["pool"] = deep.rows(deep.image_frame(drawn(POOL)[0]), name="pool")
    network = Network(module, deep.ImageReader())
    return deep.subject(network, deep.rows(deep.image_frame(x), target=y, name="test"), "image", sets=sets)


def speed(quick):
    subject = small_cnn()
    asked = {"concepts": [f"pattern{k}" for k in range(10)], "sites": [f"layer{k}" for k in (1, 2, 3, 4)]}
    walls, cpus, evidence = [], [], []
    for _ in range(2 if quick else 5):
        wall, cpu = time.perf_counter(), time.process_time()
        evidence = audited(subject, **asked)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    rungs = Counter(piece.rung or piece.status for piece in evidence)
    # One thread: on a machine that does nothing else, the CPU time is the wall time.
    told(
        "10 concepts x 4 layers x 250 random sets, whole explainer, CPU of one thread",
        f"{min(cpus):.1f} s CPU, {min(walls):.1f} s wall, min of {len(walls)}; {dict(rungs)}", "< 10 s",
        holds=min(cpus) < 10,
    )  # fmt: skip


PARTS = {
    "calibration": calibration, "power": power, "unused": unused, "direction": direction, "captum": captum, "speed": speed,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for part in asked.parts or PARTS:
        started = time.perf_counter()
        print(f"== {part}", flush=True)
        PARTS[part](asked.quick)
        print(f"     {time.perf_counter() - started:.0f} s", flush=True)
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
