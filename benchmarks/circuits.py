# ruff: noqa: ANN001, ANN201, ANN202
"""What is claimed of circuits, measured: planted programs and gates, trained heads, feature circuits, speed.

    .venv/bin/python -m benchmarks.circuits [programs] [gates] [heads] [features] [speed] [--quick]

Each part prints its figures with their bars; the exit code is 1 where a bar is missed. --quick takes fewer seeds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests.mechanistic.circuits import planted_features, programs, repeats  # noqa: E402
from tests.mechanistic.circuits.gates import SHARE, gated  # noqa: E402
from xai_audit.mechanistic.circuits import attribution, patching  # noqa: E402
from xai_audit.mechanistic.circuits.acdc import acdc, swept  # noqa: E402
from xai_audit.mechanistic.circuits.features import Coded, FeatureGraph, edge_effects, feature_circuit  # noqa: E402
from xai_audit.mechanistic.circuits.nodes import NodeGraph, Nodes  # noqa: E402
from xai_audit.mechanistic.circuits.recovery import recovery, truth_of  # noqa: E402
from xai_audit.mechanistic.circuits.residual import ResidualGraph  # noqa: E402
from xai_audit.mechanistic.circuits.specs import edge_spec  # noqa: E402
from xai_audit.mechanistic.circuits.task import Task, others  # noqa: E402
from xai_audit.mechanistic.circuits.testable import untestable  # noqa: E402
from xai_audit.mechanistic.dictionaries.recipe import Recipe  # noqa: E402
from xai_audit.mechanistic.dictionaries.recovery import cosines  # noqa: E402
from xai_audit.mechanistic.dictionaries.training import train  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402

MISSED: list[str] = []
SCORES = {
    "EAP": attribution.eap,
    "EAP-IG": attribution.eap_ig,
    "mask gradient": attribution.mask_gradient,
    "exact": patching.exact,
}
TAUS = (1e-3, 1e-2, 1e-1, 1.0)


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


# ---------------------------------------------------------------------------------------------------------- a) programs
def written(name, ablation, rows=32, seed=11):
    made = programs.program(name, np.random.default_rng(seed))
    prompts = made.prompts(np.random.default_rng([5, seed]), rows)
    graph = ResidualGraph(made.model, edge_spec(made.model))
    return (
        made,
        prompts,
        Task(graph, prompts.clean, others(graph, prompts.clean, prompts.corrupted, ablation), prompts.metric),
    )


def sized(task):
    yield from ((name, attribution.mean_absolute(method(task))) for name, method in SCORES.items())
    yield "ACDC", swept(task, TAUS)


def hand_set(_):
    for name in programs.NAMES:
        made, prompts, task = written(name, "zero")
        truth = truth_of(task.graph, made.truth)
        with torch.no_grad():
            right = float(prompts.right(made.model(prompts.clean)).double().mean())
        found = {method: recovery(scores, truth) for method, scores in sized(task)}
        figure = ", ".join(f"{method} {one.auroc:.3f}/{one.ap:.3f}" for method, one in found.items())
        told(
            f"{name}, zero ablation, {truth.sum()} of {len(truth)} edges, AUROC/AP", figure, "1.000/1.000, program right",
            holds=right == 1 and all(one.auroc == one.ap == 1 for one in found.values()),
        )  # fmt: skip
        made, prompts, task = written(name, "resample")
        hidden = truth_of(task.graph, made.hidden)
        found = {method: recovery(scores, truth).auroc for method, scores in sized(task)}
        hiding = untestable(task.graph, prompts.clean, task.other)
        figure = ", ".join(f"{method} {one:.3f}" for method, one in found.items())
        named = [str(one) for one, is_ in zip(task.graph.elements, hiding, strict=True) if is_]
        figure += f"; not testable: {', '.join(named)}"
        if name == "induction":
            holds = all(abs(one - 6 / 7) < 1e-9 for one in found.values()) and (hiding == hidden).all()
            told(f"{name}, resample", figure, "0.857 exactly, both position edges named", holds=bool(holds))
        else:
            share = (truth & ~hidden).sum() / truth.sum()
            expected = share + (1 - share) / 2
            told(
                f"{name}, resample", figure, f"{expected:.3f}: {hidden.sum()} true edges are the same in all prompts",
                holds=all(abs(one - expected) < 1e-9 for one in found.values()),
            )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- b) gates
def gates(quick):
    table = {}
    ratios, edges = [], []
    for seed in range(5 if quick else 20):
        made = gated(np.random.default_rng([7, seed]))
        task, truth = made.task(), truth_of(made.graph, made.truth)
        ratios.append(made.ratio)
        edges.append(int(truth.sum()))
        for method, scores in sized(task):
            table.setdefault(method, []).append(recovery(scores, truth).auroc)
        table.setdefault("signed-mean EAP", []).append(
            recovery(attribution.signed_mean(attribution.eap(task)), truth).auroc
        )
        table.setdefault("signed-mean EAP-IG", []).append(
            recovery(attribution.signed_mean(attribution.eap_ig(task)), truth).auroc
        )
    print(f"     {len(ratios)} networks of 440 edges, {min(edges)} to {max(edges)} true; strongest other / weakest true "
          f"exact effect {min(ratios):.3f} to {max(ratios):.3f}")  # fmt: skip
    told("other edges' exact effect", f"{max(ratios):.3f}", f"<= {SHARE}", holds=max(ratios) <= SHARE)
    for method, found in table.items():
        print(f"     {method}: mean {np.mean(found):.4f}, min {min(found):.4f}")
    ours = table["EAP-IG"]
    told("EAP-IG, per input, mean AUROC", f"{np.mean(ours):.4f}", ">= .99", holds=np.mean(ours) >= 0.99)
    told("EAP-IG, per input, min AUROC", f"{min(ours):.4f}", ">= .95", holds=min(ours) >= 0.95)
    signed = np.mean(table["signed-mean EAP"])
    told(
        "above the signed mean", f"{np.mean(ours):.4f} to {signed:.4f}", "above", holds=np.mean(ours) > signed
    )
    twins = []
    for seed in range(3):
        made = gated(np.random.default_rng([7, seed]))
        rng = np.random.default_rng([8, seed])
        with torch.no_grad():
            for one in made.network.parameters():
                one.copy_(one.flatten()[torch.from_numpy(rng.permutation(one.numel()))].reshape(one.shape))
        scores = attribution.mean_absolute(attribution.eap_ig(made.task()))
        twins.append(recovery(scores, truth_of(made.graph, made.truth)).ap)
    told("random twin, AP (prevalence about .03)", f"{max(twins):.3f}", "<= .3", holds=max(twins) <= 0.3)


# ------------------------------------------------------------------------------------------------------------- c) heads
NAMED = 0.05
"""A head is named where its edge to the output scores at least this share of the largest such edge."""


def heads(quick, only=(0, 1, 2)):
    """In one trained freely every later head matches prefixes; one charged for each head keeps the few that it needs."""
    for seed in only[:1] if quick else only:
        of_one("trained freely", repeats.trained(seed), 4, seed)
        of_one("charged for heads", repeats.trained(seed, heads=8, penalty=repeats.LASSO), 8, seed)


def of_one(kind, model, width, seed):
    what = f"seed {seed}, {kind}"
    names = [f"a{layer}.h{head}" for layer in range(repeats.LAYERS) for head in range(width)]
    ids, periods = repeats.repeated(np.random.default_rng([5, seed]), 48)
    other, _ = repeats.repeated(np.random.default_rng([6, seed]), 48)
    graph = ResidualGraph(model, edge_spec(model))
    graph.check(ids)
    task = Task(graph, ids, others(graph, ids, other, "resample"), repeats.log_likelihood(ids, periods))
    scores = attribution.mean_absolute(attribution.eap_ig(task))
    direct = {
        one.source: (place, scores[place])
        for place, one in enumerate(graph.elements)
        if one.target == "output"
    }
    most = max(direct[name][1] for name in names)
    named = [name for name in names if direct[name][1] >= NAMED * most]
    match = dict(zip(names, repeats.prefix_matching(model, ids, periods), strict=True))
    figure = f"{', '.join(named)}; prefix matching {', '.join(f'{name} {match[name]:.2f}' for name in names)}"
    told(
        f"{what}: heads named",
        figure,
        "those above 0.5",
        holds=named == [name for name in names if match[name] > 0.5],
    )

    rest = [name for name in names if name not in named]
    count = min(len(named), len(rest))
    drawn = drawings(rest, count, np.random.default_rng([9, seed]))
    masks = np.zeros((1 + len(drawn), task.size))
    for mask, chosen in zip(masks, [named, *drawn], strict=True):
        mask[[direct[name][0] for name in chosen]] = 1
    raised = task.full().mean() - task.measured(masks).mean(axis=1)
    told(
        f"{what}, loss on repeated tokens {-task.full().mean():.3f}: their edges to the output ablated",
        f"+{raised[0]:.2f} nats; as many random other heads' at most {raised[1:].max():+.3f}",
        ">= 1 nat and >= 20 times",
        holds=raised[0] >= 1 and raised[0] >= 20 * np.abs(raised[1:]).max(),
    )
    own = drawings(named, count, np.random.default_rng([10, seed]))
    for ablation in ("mean", "resample"):
        whole_heads(
            what, model, names, (own, drawn), (ids, periods, other), ablation, bar=kind != "trained freely"
        )


def drawings(names, count, rng):
    """All sets of so many, or a hundred at random where there are more."""
    found = list(itertools.islice(itertools.combinations(names, count), 101))
    return found if len(found) <= 100 else [rng.choice(names, size=count, replace=False) for _ in range(100)]


def whole_heads(what, model, names, sides, inputs, ablation, *, bar):
    """What a head writes, to all that read it, replaced: the named ones against as many of the others."""
    ids, periods, other = inputs
    width = len(names) // repeats.LAYERS
    sites = (Nodes(Site(f"blocks.{layer}.attn.o_proj", "in"), width) for layer in range(repeats.LAYERS))
    nodes = NodeGraph(model, tuple(sites))
    whole = Task(nodes, ids, others(nodes, ids, other, ablation), repeats.log_likelihood(ids, periods))
    masks = [np.isin(names, chosen).astype(float) for side in sides for chosen in side]
    singles = np.eye(len(names))
    raised = whole.full().mean() - whole.measured(np.concatenate([masks, singles])).mean(axis=1)
    own, drawn, alone = np.split(raised, [len(sides[0]), len(masks)])
    looks = repeats.previous_token(model, ids)
    others_that_count = [
        f"{name} +{by:.2f}, which looks at the token before with {look:.2f}"
        for name, by, look in zip(names, alone, looks, strict=True)
        if by > 1 and not any(name in chosen for chosen in sides[0])
    ]
    figure = (
        f"{len(sides[0][0])} named +{own.mean():.2f} nats, as many of the other {len(names) - len(set().union(*sides[0]))} "
        f"+{drawn.mean():.2f} in the mean and {np.median(drawn):+.3f} in the median of {len(drawn)} sets "
        f"(one alone: {'; '.join(others_that_count) or 'none more than +1'})"
    )
    if bar:
        holds = own.mean() >= 1 and own.mean() >= 3 * drawn.mean() and np.median(drawn) < 0.05
        told(
            f"{what}, whole heads, {ablation}",
            figure,
            ">= 1 nat, three times the mean, median < 0.05",
            holds=holds,
        )
    else:
        print(f"     {what}, whole heads, {ablation}: {figure}", flush=True)


# ---------------------------------------------------------------------------------------------------------- d) features
def feature_circuits(quick):
    for seed in range(1 if quick else 3):
        start = time.perf_counter()
        network = planted_features.superposed(np.random.default_rng([3, seed]))
        inputs = planted_features.inputs(np.random.default_rng([4, seed]), 60_000)
        with torch.no_grad():
            first = network.mix(inputs)
            second = network.mix_2(network.wire(network.unmix(first)))
        coded, matched = [], []
        for site, values, width, true in (
            ("mix", first, 56, network.first),
            ("mix_2", second, 40, network.second),
        ):
            recipe = Recipe(
                variant="batchtopk", width=width, k=4, tokens=400_000, batch=512, lr=3e-3, dead_after=50_000
            )

            def batch(step, values=values, seed=seed, size=recipe.batch):
                rows = np.random.default_rng([10, seed, step]).integers(0, len(values), size)
                return values[torch.from_numpy(rows)]

            dictionary = train(batch, recipe, torch.Generator().manual_seed(100 + seed)).dictionary
            coded.append(Coded(Site(site), dictionary, dictionary.m))
            likeness = cosines(true, dictionary.w_dec)
            matched.append(np.where(likeness.max(axis=0) > 0.9, likeness.argmax(axis=0), -1))
        graph = FeatureGraph(network, tuple(coded))
        clean, corrupted = planted_features.contrast(network, np.random.default_rng([5, seed]), 128)
        task = Task(graph, clean, others(graph, clean, corrupted, "resample"), lambda out, _: out[:, 0])
        found = feature_circuit(task, node_threshold=0.05)
        wired, chosen = network.sources.numpy(), network.chosen.numpy()
        one, two = matched
        needed = wired[chosen].any(axis=0)
        true_one, true_two = (one >= 0) & needed[one], (two >= 0) & np.isin(two, chosen)
        truth = np.concatenate([true_one, [False], true_two, [False]])
        latents = ~graph.errors
        nodes = recovery(found.nodes[latents], truth[latents])
        into = np.arange(graph.slices[1].start, graph.slices[1].stop - 1)
        effects = edge_effects(task, into)
        table = np.stack(
            [
                effects[node][1].mean(axis=0)[:-1] if node in effects else np.zeros(coded[0].latents)
                for node in into
            ]
        )
        pairs = true_two[:, None] & (one >= 0)[None] & wired[two][:, one]
        edges = recovery(table.ravel(), pairs.ravel())
        took = time.perf_counter() - start
        told(
            f"seed {seed}, feature circuit: AUROC of latents, of edges",
            f"{nodes.auroc:.3f} (AP {nodes.ap:.3f}), {edges.auroc:.3f} (AP {edges.ap:.3f}); "
            f"{truth.sum()} and {pairs.sum()} true, "
            f"{found.kept.sum()} nodes and {len(found.edges)} edges kept, faithfulness {found.faithfulness:.2f}, "
            f"complement {found.completeness:.2f}", ">= .95",
            holds=min(nodes.auroc, edges.auroc) >= 0.95 and pairs.sum() > 0,
        )  # fmt: skip
        told(
            f"seed {seed}, dictionaries, graph, pruning, ablation", f"{took:.1f} s", "< 60 s", holds=took < 60
        )


# ------------------------------------------------------------------------------------------------------------- e) speed
def clocked(work, times):
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return float(np.median(found))


def speed(quick):
    times = 3 if quick else 5
    made, prompts, task = written("once", "zero", rows=8)

    def plain():
        prompts.metric(made.model(prompts.clean), torch.arange(task.rows)).sum().backward()

    one, five = clocked(plain, times), clocked(lambda: attribution.eap_ig(task, 5), times)
    # Five passes with masks of every edge; six times would be the limit, and small networks are far from it.
    print(f"     EAP-IG of 5 steps over one forward and backward: {five / one:.1f}")
    batched, serial = (
        clocked(lambda: patching.exact(task), times),
        clocked(lambda: patching.serial(task), times),
    )
    print(
        f"     exact patching of {task.size} edges, one by one over batched with kept stages: {serial / batched:.1f}"
    )
    pruned = clocked(lambda: acdc(task, 1e-2, ahead=1), 1)
    ahead = clocked(lambda: acdc(task, 1e-2, ahead=16), 1)
    print(
        f"     ACDC at one threshold, one by one over ahead: {pruned / ahead:.1f}; over EAP-IG: {pruned / five:.0f}"
    )


PARTS = {"programs": hand_set, "gates": gates, "heads": heads, "features": feature_circuits, "speed": speed}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for part in asked.parts or PARTS:
        print(f"-- {part}", flush=True)
        PARTS[part](asked.quick)
    print(f"{len(MISSED)} bars missed" if MISSED else "every bar met")
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
