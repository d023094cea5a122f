# ruff: noqa: ANN001, ANN201, ANN204, D102, E501, PD011, PLC0206
"""What regularisers change, measured: bed 3.11 of twelve latent concepts, six of them used, over seeds as paired differences.

    .venv/bin/python -m benchmarks.by_design [--seeds 5] [--kinds activations weights concepts reasons locality]

Each seed trains the same network from the same start on the same data without and with each regulariser. Prints every
measure before and after with its paired interval; the exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from xai_audit.explainers.design import measured  # noqa: E402
from xai_audit.mechanistic.design import deltas, locality, penalties  # noqa: E402
from xai_audit.mechanistic.design.sparsity import Annealing, WeightSparse  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402
from xai_audit.mechanistic.readers import TableReader  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402

CONCEPTS, USED, WIDE, HIDDEN, ROWS = 12, 6, 48, 64, 3000
COLUMNS = tuple(f"x{place}" for place in range(WIDE))
STEPS, BATCH = 500, 256
MISSED: list[str] = []


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


class Bed:
    """Concepts mixed into inputs; the label is whether any of three pairs of concepts holds together."""

    def __init__(self, seed):
        # The truth has a stream of its own: nothing of a learner is drawn from it.
        rng = np.random.default_rng([seed, 731])
        mixing = rng.normal(size=(CONCEPTS, WIDE)) / np.sqrt(CONCEPTS)
        self.z = rng.random((2 * ROWS, CONCEPTS)) < 0.5
        x = self.z @ mixing + 0.05 * rng.normal(size=(2 * ROWS, WIDE))
        self.x = torch.from_numpy((x - x.mean(axis=0)).astype(np.float32))
        used = self.z[:, :USED].reshape(-1, 3, 2)
        self.y = torch.from_numpy(used.all(axis=2).any(axis=1).astype(np.int64))

    def asked(self):
        rows = slice(ROWS, 2 * ROWS)
        first = np.zeros(ROWS, dtype=bool)
        first[::2] = True
        return measured.Asked(
            pd.DataFrame(self.x[rows].numpy(), columns=list(COLUMNS)),
            self.y[rows].numpy(),
            {f"concept {place}": self.z[rows, place] for place in range(USED)},
            first,
            Site("act"),
            deltas.AGREEMENT,
        )


def network(seed):
    made = nn.Sequential()
    made.add_module("hidden", nn.Linear(WIDE, HIDDEN))
    made.add_module("act", nn.ReLU())
    made.add_module("read", nn.Linear(HIDDEN, 2))
    generator = torch.Generator().manual_seed(seed + 10_007)
    with torch.no_grad():
        for one in made.parameters():
            bound = 1 / (WIDE if one.shape[-1] == WIDE else HIDDEN) ** 0.5
            one.uniform_(-bound, bound, generator=generator)
    return made


def trained(bed, seed, kind):
    """The network of a seed after training; the order of batches is the seed's, whatever the kind."""
    module = network(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=5e-3, weight_decay=0.01)
    sparse = (
        WeightSparse(optimizer, Annealing(0.15, begin=STEPS // 8, end=STEPS // 2))
        if kind == "weights"
        else None
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
    order = torch.Generator().manual_seed(seed + 20_011)
    concepts = torch.from_numpy(bed.z[:, :USED].astype(np.float32))
    irrelevant = None
    if kind == "reasons":
        # Inputs that carry none of the used concepts beyond the others: the quarter with the smallest mixing weight.
        size = np.abs(np.linalg.lstsq(bed.z.astype(float), bed.x.numpy(), rcond=None)[0][:USED]).sum(axis=0)
        irrelevant = torch.from_numpy((size <= np.quantile(size, 0.25)).astype(np.float32))
    with penalties.Captured(module, ["hidden", "act"]) as seen:
        for step in range(STEPS):
            rows = torch.randint(0, ROWS, (BATCH,), generator=order)
            x = bed.x[rows]
            if irrelevant is not None:
                x = x.clone().requires_grad_()
            logits = module(x)
            loss = nn.functional.cross_entropy(logits, bed.y[rows])
            if kind == "activations":
                loss = loss + 3e-3 * penalties.activation_sparsity(seen["act"])
            elif kind == "concepts":
                loss = loss + penalties.concept_alignment(seen["hidden"], concepts[rows])
            elif kind == "reasons":
                loss = loss + 1e-3 * penalties.right_reasons(x, logits, irrelevant)
            elif kind == "locality":
                loss = loss + 2e-4 * locality.wiring([module.hidden, module.read])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            (sparse or optimizer).step()
            schedule.step()
            if kind == "locality" and step % 100 == 99:
                state = optimizer.state
                moments = [
                    state[p][key]
                    for p in (module.hidden.weight, module.hidden.bias)
                    for key in ("exp_avg", "exp_avg_sq")
                ]
                locality.settle([module.hidden, module.read], states=moments)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", default=["activations", "weights", "concepts"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    found = {kind: [] for kind in ("plain", *asked.kinds)}
    for seed in range(asked.seeds):
        bed = Bed(seed)
        rows = bed.asked()
        for kind in found:
            net = Network(trained(bed, seed, kind), TableReader(COLUMNS), micro=2048)
            found[kind].append(measured.measure(net, rows, np.random.default_rng([seed, 5])))
    print(
        "plain:",
        {
            name: round(float(np.mean([one.values[name] for one in found["plain"]])), 4)
            for name in measured.MEASURES
        },
    )
    pairs = {}
    for kind in asked.kinds:
        print(f"{kind}, {asked.seeds} pairs:")
        for measure, label in measured.MEASURES.items():
            both = [[one.values[measure] for one in found[which]] for which in ("plain", kind)]
            one = pairs[kind, measure] = deltas.paired(*both)
            limits = "" if one.low is None else f" [{one.low:+.4g}, {one.high:+.4g}]"
            print(
                f"    {label}: {one.before:.4g} -> {one.after:.4g}, {one.difference:+.4g}{limits}, p {one.p:.2g}"
            )
    took = time.process_time() - began
    if "weights" in asked.kinds:
        size, right = pairs["weights", "circuit_size"], pairs["weights", "accuracy"]
        told(
            "weight sparsity: circuit after over before",
            f"{size.after / size.before:.2f}",
            "<= 0.5",
            holds=size.after <= size.before / 2,
        )
        told(
            "weight sparsity: accuracy lost",
            f"{-100 * right.difference:.2f} points",
            "<= 0.5",
            holds=-right.difference <= 0.005,
        )
    if "activations" in asked.kinds:
        best, active = pairs["activations", "best_unit_auroc"], pairs["activations", "active_units"]
        told(
            "activation L1: fewer active units",
            f"{active.before:.1f} -> {active.after:.1f}",
            "high < 0",
            holds=(active.high or 0) < 0,
        )
        told(
            "activation L1: best-unit AUROC, as it is",
            f"{best.before:.3f} -> {best.after:.3f}",
            "high < 0: it fell",
            holds=(best.high or 0) < 0,
        )
    if "concepts" in asked.kinds:
        told(
            "concept alignment: best-unit AUROC",
            f"{pairs['concepts', 'best_unit_auroc'].after:.3f}",
            ">= 0.99",
            holds=pairs["concepts", "best_unit_auroc"].after >= 0.99,
        )
    shuffled = np.mean([one.shuffled for kind in found for one in found[kind]])
    told(
        "best-unit AUROC of shuffled concepts",
        f"{shuffled:.3f}",
        "0.5 +- 0.02",
        holds=abs(shuffled - 0.5) <= 0.02,
    )
    beyond = min(one.beyond for kind in found for one in found[kind])
    told("circuits above random ones of their size, least", f"{beyond:.3f}", "> 0", holds=beyond > 0)
    told("CPU seconds", f"{took:.1f}", "< 60", holds=took < 60)
    sys.exit(1 if MISSED else 0)


if __name__ == "__main__":
    main()
