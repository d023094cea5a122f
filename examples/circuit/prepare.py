"""Train a small transformer to say who gets the thing, and write sentences in pairs that differ in one name.

"ann and bob went home . bob gave a ring to": ann. The name that stands once is right (indirect object identification, Wang
et al. 2022). In the corrupted sentence the other name is the one that stands twice. Audited pairs of names were in no
training sentence. Each pair names its template: whether the two names stand in a sentence of their own. Half a minute.
"""

from __future__ import annotations

import csv
import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from net import LONGEST, NAMES, WORDS, Reader
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

HERE = Path(__file__).parent
SENTENCES = {
    "{x} and {y} went home . {s} gave a ring to": "two sentences",
    "then {x} met {y} . today {s} sent the book to": "two sentences",
    "{x} saw {y} at noon so {s} passed the salt to": "one sentence",
    "after lunch with {x} , {y} and {s} bought a hat for": "one sentence",
}
"""Each with its template: whether the names stand in a sentence of their own."""
STEPS, ROWS = 1800, 128

Row = tuple[str, str, str]
"""A sentence, the name that is right and the one that stands twice."""


def sentence(frame: str, first: str, second: str, twice: str) -> Row:
    """One sentence, in which ``twice`` is one of the two names."""
    right = second if twice == first else first
    return frame.format(x=first, y=second, s=twice), right, twice


def every(pairs: list[tuple[str, str]]) -> list[Row]:
    """All sentences of some pairs of names."""
    return [
        sentence(frame, *order, twice)
        for frame in SENTENCES
        for pair in pairs
        for order in (pair, pair[::-1])
        for twice in pair
    ]


def encoded(tokenizer: Tokenizer, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and the right name's place."""
    found = tokenizer.encode_batch([text for text, _, _ in rows])
    ids = torch.zeros(len(rows), LONGEST, dtype=torch.int64)
    for row, one in enumerate(found):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
    return ids, (ids != 0).long(), torch.tensor([NAMES.index(right) for _, right, _ in rows])


def trained(tokenizer: Tokenizer, rows: list[Row]) -> Reader:
    """The network, trained on these sentences."""
    torch.manual_seed(20261129)
    network = Reader()
    ids, mask, right = encoded(tokenizer, rows)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.1)
    for _ in range(STEPS):
        chosen = torch.randint(len(ids), (ROWS,))
        loss = torch.nn.functional.cross_entropy(network(ids[chosen], mask[chosen]), right[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def table(path: Path, head: list[str], rows: list[list[str]]) -> None:
    """A csv file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])


def main() -> None:
    """Write sentences, prompts, tokenizer, weights and their digest (prepared.yaml) beside this file."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(7)
    pairs = list(combinations(NAMES, 2))
    order = rng.permutation(len(pairs))
    training, audited = ([pairs[place] for place in part] for part in (order[15:], order[:15]))
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(HERE / "tokenizer.json"))
    network = trained(tokenizer, every(training))
    for name, rows in (("train", every(training)), ("test", every(audited))):
        table(HERE / f"{name}.csv", ["text", "gets"], [[text, right] for text, right, _ in rows])
        ids, mask, right = encoded(tokenizer, rows)
        with torch.no_grad():
            accuracy = float((network(ids, mask).argmax(dim=1) == right).double().mean())
        print(f"{name}: {len(rows)} sentences, accuracy {accuracy:.3f}")
    prompts = [
        [*(sentence(frame, *pair, one)[0] for one in twice), twice[1], twice[0], template]
        for frame, template in SENTENCES.items()
        for names in audited
        for pair in (names, names[::-1])
        for twice in (names, names[::-1])
    ]
    table(HERE / "ioi.csv", ["clean", "corrupted", "answer", "foil", "template"], prompts)
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()},
        HERE / "weights.safetensors",
    )
    digest = hashlib.sha256()
    for name in ("weights.safetensors", "net.py"):
        digest.update(hashlib.sha256((HERE / name).read_bytes()).digest())
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {digest.hexdigest()}}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
