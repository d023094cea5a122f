# ruff: noqa: ANN001, ANN201, ANN202, B023, D102, PD011
"""LIME and Shapley values of pictures and texts beside lime and shap: equal for the same draws, and how fast.

    .venv/bin/python -m benchmarks.players [--rows 5] [--repeats 3]

Times are CPU seconds of one thread, medians; both sides ask the same model about the same samples. ``limit`` is the time
of the answers alone, asked in blocks of 256 without repetitions. Exits with 1 where a value differs by more than its bar.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path[0] = str(Path(__file__).resolve().parents[1])
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests import deep  # noqa: E402
from tests.explainers.games import called  # noqa: E402
from xai_audit.explainers.coalitions import cuts, partition  # noqa: E402
from xai_audit.explainers.coalitions import lime as lime_players  # noqa: E402
from xai_audit.explainers.coalitions import players as switched  # noqa: E402
from xai_audit.explainers.coalitions import shap as shap_players  # noqa: E402
from xai_audit.explainers.coalitions.superpixels import mean_colours, superpixels  # noqa: E402
from xai_audit.explainers.lime import LimeParams, seed_of  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SAMPLES, EVALUATIONS = 1000, 500
BARS = {"lime": 1e-9, "shap": 1e-6}


def pictures():
    """The small CIFAR network of captum's tutorial and its test pictures."""
    folder = SHARED / "img_cifar10_test1000"
    weights = np.load(folder / "captum_cifar_lenet_weights.npz")
    layers = torch.nn
    module = torch.nn.Sequential()
    for name, layer in (
        ("conv1", layers.Conv2d(3, 6, 5)), ("relu1", layers.ReLU()), ("pool1", layers.MaxPool2d(2)),
        ("conv2", layers.Conv2d(6, 16, 5)), ("relu2", layers.ReLU()), ("pool2", layers.MaxPool2d(2)),
        ("flat", layers.Flatten()), ("fc1", layers.Linear(400, 120)), ("relu3", layers.ReLU()),
        ("fc2", layers.Linear(120, 84)), ("relu4", layers.ReLU()), ("fc3", layers.Linear(84, 10)),
    ):  # fmt: skip
        module.add_module(name, layer)
    module.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights.files})
    reader = deep.ImageReader(mean=(0.5,), std=(0.5,))
    network = Network(module, reader, micro=256)
    images = np.load(folder / "cifar10_test1000.npz")["images"]
    return deep.subject(
        network, deep.rows(deep.image_frame(images)), "image", classes=tuple(map(str, range(10)))
    )


def texts():
    """TF-IDF and a logistic regression on film reviews."""
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame = pd.read_csv(SHARED / "text_sentiment_sst" / "sentiment.csv")
    y = (frame["label"] == "positive").to_numpy().astype(int)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=5.0)).fit(
        frame["text"][:800], y[:800]
    )
    told = [text for text in frame["text"][800:] if len(text.split()) >= 8]
    return called(model.predict_proba, told, "text")


def timed(call, repeats):
    """What it gives, and its CPU seconds: called once before it is timed."""
    given = call()
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        taken.append(time.process_time() - started)
    return given, statistics.median(taken)


def limit(one, cells, repeats):
    """The time of the model's answers alone."""
    return timed(lambda: switched.outputs(one, cells, "score", 0), repeats)[1]


class Line:
    """Sums over rows of one comparison."""

    def __init__(self, what, bar) -> None:
        self.what, self.bar = what, bar
        self.ours, self.theirs, self.alone, self.gap, self.answers, self.asked = 0.0, 0.0, 0.0, 0.0, 0, 0

    def add(self, ours, theirs, alone, gap, answers, asked):
        self.ours += ours
        self.theirs += theirs
        self.alone += alone
        self.gap = max(self.gap, gap)
        self.answers += answers
        self.asked += asked

    def told(self):
        print(
            f"{self.what:42} {self.theirs:8.3f} {self.ours:8.3f} {self.theirs / self.ours:7.2f}x {self.alone:8.3f} "
            f"{self.ours / self.alone:6.2f} {self.asked:8d} {self.answers:8d}   {self.gap:.1e}"
        )
        return self.gap <= self.bar


def lime_of_pictures(one, rows, repeats):
    from lime.lime_image import LimeImageExplainer

    line = Line("LIME, pictures (SLIC of 50, 1,000 samples)", BARS["lime"])
    params = LimeParams(seeds=2)
    for row in rows:
        picture, column = one.test.frame.iloc[row, 0], int(one.prediction[row])
        parts = superpixels(picture, "slic")
        seed = seed_of(0, 0, str(row))

        def ours():
            again = superpixels(picture, "slic")
            cut = switched.Parts(picture, mean_colours(picture, again), again[..., None])
            ask = switched.Asker(one, cut, "score", column)
            shown = lime_players.masks("image", cut.count, SAMPLES, np.random.RandomState(seed))
            answers = ask(shown)
            sums = lime_players.moments(
                shown, answers, lime_players.weights(shown, "image", 0.25), answers[0]
            )
            return lime_players.fit(sums, float(answers[0]), params.features)[1], ask.answers, cut, shown

        def theirs():
            explainer = LimeImageExplainer(random_state=np.random.RandomState(seed))
            told = explainer.explain_instance(
                picture, lambda images: one.model.scores(deep.image_frame(images)), labels=(column,), top_labels=None,
                num_samples=SAMPLES, batch_size=250, segmentation_fn=lambda image: superpixels(image, "slic"),
            )  # fmt: skip
            weights = np.zeros(int(parts.max()) + 1)
            for part, weight in told.local_exp[column]:
                weights[part] = weight
            return weights

        (found, answers, cut, shown), own = timed(ours, repeats)
        told, library = timed(theirs, repeats)
        cells = cut.shown(np.unique(shown, axis=0))
        line.add(
            own, library, limit(one, cells, repeats), float(np.abs(found - told).max()), answers, SAMPLES
        )
    return line.told()


def lime_of_texts(one, rows, repeats):
    from lime.lime_text import LimeTextExplainer

    line = Line("LIME, texts (words, 1,000 samples)", BARS["lime"])
    for row in rows:
        text = one.test.frame.iloc[row, 0]
        seed = seed_of(0, 0, str(row))

        def ours():
            cut = switched.Sentence(cuts.words(text, bag=True))
            ask = switched.Asker(one, cut, "score", 1)
            shown = lime_players.masks("text", cut.count, SAMPLES, np.random.RandomState(seed))
            answers = ask(shown)
            sums = lime_players.moments(shown, answers, lime_players.weights(shown, "text", 25.0), answers[0])
            return lime_players.fit(sums, float(answers[0]), None)[1], ask.answers, cut, shown

        def theirs():
            explainer = LimeTextExplainer(random_state=np.random.RandomState(seed))
            told = explainer.explain_instance(
                text,
                lambda texts: one.model.scores(deep.text_frame(texts)),
                num_features=10**6,
                num_samples=SAMPLES,
            )
            weights = np.zeros(told.domain_mapper.indexed_string.num_words())
            for word, weight in told.local_exp[1]:
                weights[word] = weight
            return weights

        (found, answers, cut, shown), own = timed(ours, repeats)
        told, library = timed(theirs, repeats)
        cells = cut.shown(np.unique(shown, axis=0))
        line.add(
            own, library, limit(one, cells, repeats), float(np.abs(found - told).max()), answers, SAMPLES
        )
    return line.told()


def partition_of_pictures(one, rows, repeats):
    import shap

    line = Line("Partition, pictures (pixels, 500 answers)", BARS["shap"])
    masker = shap.maskers.Image(128, (32, 32, 3))
    for row in rows:
        picture, column = one.test.frame.iloc[row, 0], int(one.prediction[row])
        size = picture.size
        whole = np.arange(size).reshape(picture.shape)
        asked = []

        def ours():
            cut = switched.Parts(picture, np.full_like(picture, 128), whole)
            ask = switched.Asker(one, cut, "score", column)
            asked.clear()

            def noted(masks):
                asked.append(masks)
                return ask(masks)

            return partition.owen(noted, partition.Box(picture.shape), size, EVALUATIONS)

        def theirs():
            explainer = shap.PartitionExplainer(
                lambda images: one.model.scores(deep.image_frame(list(images)))[:, column], masker
            )
            found = explainer(picture[None], max_evals=EVALUATIONS, batch_size=256, silent=True)
            return found.values[0].ravel()

        found, own = timed(ours, repeats)
        told, library = timed(theirs, repeats)
        cut = switched.Parts(picture, np.full_like(picture, 128), whole)
        cells = cut.shown(np.concatenate(asked))
        gap = float(np.abs(found.values - told).max())
        line.add(own, library, limit(one, cells, repeats), gap, found.answers, EVALUATIONS)
    return line.told()


def partition_of_texts(one, rows, repeats):
    import shap

    line = Line("Partition, texts (words, 500 answers)", BARS["shap"])
    masker = shap.maskers.Text(r"\W+", mask_token="...")  # noqa: S106  # the model reads no dots
    for row in rows:
        text = one.test.frame.iloc[row, 0]
        asked = []

        def ours():
            cut = switched.Sentence(cuts.words(text, bag=False))
            ask = switched.Asker(one, cut, "score", 1)
            asked.clear()

            def noted(masks):
                asked.append(masks)
                return ask(masks)

            root = partition.phrases(cut.cut)
            return partition.owen(noted, root, cut.count, EVALUATIONS)

        def theirs():
            explainer = shap.PartitionExplainer(
                lambda texts: one.model.scores(deep.text_frame([str(t) for t in texts]))[:, 1], masker
            )
            return explainer([text], max_evals=EVALUATIONS, batch_size=256, silent=True).values[0]

        found, own = timed(ours, repeats)
        told, library = timed(theirs, repeats)
        cells = switched.Sentence(cuts.words(text, bag=False)).shown(np.concatenate(asked))
        gap = float(np.abs(found.values - told).max())
        line.add(own, library, limit(one, cells, repeats), gap, found.answers, EVALUATIONS)
    return line.told()


def orders_of_pictures(one, rows, repeats):
    import shap

    line = Line("Permutation, pictures (superpixels, 10 pairs)", BARS["shap"])
    rounds = 10
    for row in rows:
        picture, column = one.test.frame.iloc[row, 0], int(one.prediction[row])
        parts = superpixels(picture, "slic")
        cut = switched.Parts(picture, np.full_like(picture, 128), parts[..., None])
        count = cut.count
        state, order, orders = np.random.RandomState(3), np.arange(count), []
        for _ in range(rounds):
            state.shuffle(order)
            orders.append(order.copy())
        asked = []

        def ours():
            ask = switched.Asker(one, cut, "score", column)
            asked.clear()

            def noted(masks):
                asked.append(masks)
                return ask(masks)

            return shap_players.by_orders(noted, np.asarray(orders))[0].mean(axis=0), ask.answers

        def theirs():
            masker = shap.maskers.Independent(np.zeros((1, count)), max_samples=1)

            def answers(z):
                return one.model.scores(deep.image_frame(cut.shown(z > 0.5)))[:, column]

            explainer = shap.PermutationExplainer(answers, masker, seed=3)
            told = explainer(
                np.ones((1, count)), max_evals=rounds * (2 * count + 1), silent=True, batch_size=256
            )
            return told.values[0]

        (found, answers), own = timed(ours, repeats)
        told, library = timed(theirs, repeats)
        cells = cut.shown(np.unique(np.concatenate(asked), axis=0))
        gap = float(np.abs(found - told).max())
        line.add(own, library, limit(one, cells, repeats), gap, answers, rounds * (2 * count + 1))
    return line.told()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if not SHARED.is_dir():
        print("the shared data sets (../shared/data) are not here")
        return 1
    torch.set_num_threads(1)
    seen, read = pictures(), texts()
    rows = list(range(given.rows))
    counts = [int(superpixels(picture, "quickshift").max()) + 1 for picture in seen.test.frame["image"][:200]]
    print(f"quickshift with lime's settings, 200 CIFAR pictures: {statistics.median(counts)} parts (median), "
          f"one part in {counts.count(1)}")  # fmt: skip
    print(f"\n{given.rows} rows, CPU s in all (medians of {given.repeats})")
    print(
        f"{'':42} {'library':>8} {'ours':>8} {'ratio':>8} {'limit':>8} {'ours/l':>6} {'wanted':>8} {'asked':>8}   gap"
    )
    held = [
        lime_of_pictures(seen, rows, given.repeats),
        lime_of_texts(read, rows, given.repeats),
        partition_of_pictures(seen, rows, given.repeats),
        partition_of_texts(read, rows, given.repeats),
        orders_of_pictures(seen, rows, given.repeats),
    ]
    print(
        "\nequal to the libraries"
        if all(held)
        else "\na value differs from its library's by more than its bar"
    )
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
