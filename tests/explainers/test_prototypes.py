import base64
import io

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

from tests import deep  # noqa: E402
from xai_audit.evidence import encoded  # noqa: E402
from xai_audit.explainers.examples.compared import PrototypesParams  # noqa: E402
from xai_audit.explainers.prototypes import METHOD  # noqa: E402
from xai_audit.measure import Settings, Step, measure  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402
from xai_audit.subject import Grouping  # noqa: E402

D, TOLD = 8, 3
"""Columns, and how many of them say anything; the others are loud."""


def observe(subject, **params):
    step = Step(METHOD, PrototypesParams(**params), METHOD.id)
    outcome = measure(subject, [step], Settings())
    return {piece.id: piece for piece in outcome.evidence}, outcome


def value(piece):
    return piece.observation.estimate.value


def curve(piece):
    return {
        line.name: {point.x: point.estimate for point in line.points} for line in piece.observation.series
    }


class NearestMean(nn.Module):
    """Logits of Gaussians with known means, the Bayes rule; its features are the inputs that tell classes apart."""

    def __init__(self, means):
        super().__init__()
        self.features = nn.Linear(D, TOLD, bias=False)
        self.head = nn.Linear(TOLD, len(means))
        with torch.no_grad():
            self.features.weight.copy_(torch.eye(TOLD, D))
            self.head.weight.copy_(2 * torch.from_numpy(means[:, :TOLD]))
            self.head.bias.copy_(-torch.from_numpy((means**2).sum(axis=1)))

    def forward(self, x):
        return self.head(self.features(x))


def table(x, y, name):
    frame = pd.DataFrame({f"x{j}": x[:, j].astype(float) for j in range(x.shape[1])})
    return deep.rows(frame, y, name=name)


def gaussians(n, means, rng):
    y = rng.integers(0, len(means), n)
    spread = np.where(np.arange(D) < TOLD, 1, 5)
    return (means[y] + spread * rng.normal(size=(n, D))).astype(np.float32), y


def made(means, train, test, **more):
    names = tuple(f"x{j}" for j in range(means.shape[1]))
    network = Network(NearestMean(means), deep.TableReader(names))
    classes = tuple("abcdefgh"[: len(means)])
    return deep.subject(
        network,
        table(*test, "test"),
        "table",
        classes=classes,
        train=None if train is None else table(*train, "train"),
        **more,
    )


def means_of(classes=3, gap=4.0):
    """At the corners of a simplex, so many standard deviations apart."""
    means = np.zeros((classes, D), dtype=np.float32)
    means[:, :TOLD] = gap / np.sqrt(2) * np.concatenate([np.eye(TOLD), -np.eye(TOLD)])[:classes]
    return means


@pytest.fixture(scope="module")
def plain():
    rng = np.random.default_rng(1)
    means = means_of()
    subject = made(means, gaussians(600, means, rng), gaussians(400, means, rng))
    return subject, *observe(subject, site="features")


def test_both_rules_are_nearly_the_bayes_rule_where_means_are_known(plain):
    subject, found, _ = plain
    truth = subject.test.target
    bayes = (subject.prediction == truth).mean()
    accuracy = curve(found["prototypes/accuracy"])["accuracy"]
    assert accuracy["the model"].value == pytest.approx(bayes)
    assert accuracy["nearest class mean"].value >= 0.99 * bayes
    assert accuracy["nearest prototype"].value >= 0.99 * bayes
    assert value(found["prototypes/class_mean"]) >= 0.99


def test_fidelity_is_a_claim_with_its_nulls_and_the_rest_describes(plain):
    _, found, outcome = plain
    main = found["prototypes"]
    names = [control.name for control in main.controls]
    assert names == [
        "beyond always saying the most frequent prediction",
        "beyond the same network with permuted weights",
    ]
    assert all(control.passed and not control.edit for control in main.controls)
    assert main.rung == "associated"
    assert found["prototypes/class_mean"].rung == "associated"
    assert {name for name, piece in found.items() if piece.rung} == {"prototypes", "prototypes/class_mean"}
    stored = np.load(io.BytesIO(outcome.arrays[main.arrays["row_agrees"]]))
    assert stored["row_agrees"].mean() == pytest.approx(value(main))
    assert stored["prototype_sha256"].shape == (15, 32)
    assert set(found) == {"prototypes", *(f"prototypes/{part}" for part in METHOD.parts if part != "head")}
    assert all(encoded(part) == part for part in METHOD.parts)


def test_an_embedding_that_says_nothing_makes_no_claim():
    rng = np.random.default_rng(2)
    means = means_of()
    subject = made(means, gaussians(300, means, rng), gaussians(300, means, rng))
    with torch.no_grad():  # the head no longer looks at the features that are compared
        subject.model.network.module.features.weight.zero_()
    found, _ = observe(subject, site="features")
    assert found["prototypes"].rung == "described"


def test_coverage_is_that_of_the_held_out_examples_and_falls_for_strangers():
    rng = np.random.default_rng(3)
    means = means_of()
    inside, labels = gaussians(2000, means, rng)
    strangers = np.arange(2000) % 4 == 0
    inside[strangers] += 6
    grouping = Grouping(
        ("who",), ({"who": "known"}, {"who": "stranger"}), strangers.astype(np.int64), (False, False)
    )
    subject = made(means, gaussians(2000, means, rng), (inside, labels), groupings=(grouping,))
    found, _ = observe(subject, site="features", rows=None)
    groups = {one.key["who"]: one.estimate for one in found["prototypes/who"].observation.groups}
    assert groups["known"].value == pytest.approx(0.95, abs=0.03)
    assert groups["stranger"].high < 0.3
    assert found["prototypes/who"].observation.summary.difference.low > 0.5


def test_purity_margin_and_suspects_of_a_class_that_stands_twice():
    rng = np.random.default_rng(4)
    means = means_of(classes=4, gap=8)
    means[1] = means[0]
    subject = made(means, gaussians(1200, means, rng), gaussians(400, means, rng))
    found, _ = observe(subject, site="features")
    pure = curve(found["prototypes/purity"])["purity"]
    assert pure["a"].value < 0.75
    assert pure["c"].value == pure["d"].value == 1
    suspects = found["prototypes/suspects"].params["suspects_by_class"]
    assert suspects["a"] + suspects["b"] > 200
    assert suspects["c"] + suspects["d"] == 0
    margins = curve(found["prototypes/margin"])["all rows"]
    assert margins[0.1].value < 0.5 < margins[0.9].value


@pytest.mark.parametrize("select", ["medoids", "mmd_critic"])
def test_mislabelled_examples_surface_as_suspects_and_counter_prototypes(select):
    rng = np.random.default_rng(5)
    means = means_of(gap=8)
    x, y = gaussians(600, means, rng)
    wrong = np.nonzero(y == 0)[0][:4]
    planted = y.copy()
    planted[wrong] = 1
    subject = made(means, (x, planted), gaussians(100, means, rng))
    found, outcome = observe(subject, site="features", select=select)
    piece = found["prototypes/suspects"]
    stored = np.load(io.BytesIO(outcome.arrays[piece.arrays["suspect_sha256"]]))
    digests = [subject.train.digests[row].ljust(32, b"\0") for row in wrong]
    first = [bytes(one) for one in stored["suspect_sha256"][:4]]
    assert set(first) == set(digests)
    (case,) = [
        one
        for one in found["prototypes/suspect_examples"].observation.cases
        if one["class"] == "b" and one["query"] is None
    ]
    shown = {one["text"].split(";")[0] for one in case["counter"]}
    assert {f"x0 {float(x[row, 0])}" for row in wrong} <= shown
    (case,) = [
        one
        for one in found["prototypes/examples"].observation.cases
        if one["class"] == "a" and one["query"] is None
    ]
    assert [one["label"] for one in case["nearest"]] == ["a"] * 5
    assert {f"x0 {float(x[row, 0])}" for row in wrong} <= {
        one["text"].split(";")[0] for one in case["counter"]
    }


def test_prototypes_follow_a_bent_class_and_one_mean_does_not():
    rng = np.random.default_rng(6)

    def moons(n):
        y = rng.integers(0, 2, n)
        angle = rng.uniform(0, np.pi, n)
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x[y == 1] = [1, 0.5] - x[y == 1]
        return (x + 0.05 * rng.normal(size=x.shape)).astype(np.float32), y

    (x, y), (xt, yt) = moons(800), moons(500)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Identity(), nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    optimiser = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimiser.step()
    network = Network(module, deep.TableReader(("x0", "x1")))
    subject = deep.subject(network, table(xt, yt, "test"), "table", train=table(x, y, "train"))
    found, _ = observe(subject, site="0", k=10)
    accuracy = curve(found["prototypes/accuracy"])["accuracy"]
    assert accuracy["nearest prototype"].value >= 0.99
    assert accuracy["nearest class mean"].value < 0.9


def patched(n, rng, share):
    """Grey noise; the class is a bright corner and nothing else."""
    images = rng.integers(60, 120, (n, 12, 12, 1)).astype(np.uint8)
    marked = rng.random(n) < share
    images[marked, :3, :3] = 250
    return images, marked.astype(np.int64)


class Corner(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(3)
        self.fc = nn.Linear(16, 2)
        with torch.no_grad():
            self.fc.weight.zero_()
            self.fc.weight[1, 0], self.fc.weight[0, 0] = 8, -8
            self.fc.bias.copy_(torch.tensor([5.0, -5.0]))

    def forward(self, x):
        return self.fc(self.pool(x).flatten(1))


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(7)
    parts = []
    for name, n in (("train", 200), ("test", 80)):
        images, y = patched(n, rng, 0.5)
        parts.append(deep.rows(deep.image_frame(images), y, name=name))
    network = Network(Corner(), deep.ImageReader())
    subject = deep.subject(network, parts[1], "image", train=parts[0], classes=("plain", "marked"))
    return subject, *observe(subject, k=3)


def test_the_nearest_prototypes_of_a_marked_picture_carry_the_mark(pictures):
    _, found, _ = pictures
    main = found["prototypes"]
    assert main.params["compared_at"] == "fc#in"
    assert value(main) == 1
    for case in found["prototypes/examples"].observation.cases:
        for one in case["nearest"]:
            pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["picture"]["png"]))))
            assert (pixels[:3, :3].min() > 200) == (case["class"] == "marked")
            assert one["label"] == one["predicted"] == case["class"]
    queries = [
        case["query"] for case in found["prototypes/examples"].observation.cases if case["query"] is not None
    ]
    assert queries
    assert all(query["picture"]["width"] == 12 for query in queries)


def test_each_change_of_a_picture_is_a_point_of_its_own(pictures):
    _, found, _ = pictures
    lines = curve(found["prototypes/stability"])
    assert list(lines) == ["nearest prototype stays", "its class stays", "the model's prediction stays"]
    assert list(lines["its class stays"]) == [
        "JPEG quality 90",
        "JPEG quality 75",
        "5 % brighter",
        "5 % darker",
        "1 pixel to the right",
        "1 pixel down",
    ]
    for line in lines.values():
        assert all(estimate.low <= estimate.value <= estimate.high for estimate in line.values())
    assert min(one.value for one in lines["its class stays"].values()) >= 0.9


def test_a_spatial_site_may_be_flat_or_averaged(pictures):
    subject, _, _ = pictures
    flat, _ = observe(subject, site="pool", k=2)
    mean, _ = observe(subject, site="pool", k=2, pool="mean")
    assert flat["prototypes"].params["width"] == 16
    assert mean["prototypes"].params["width"] == 1


class Words(nn.Module):
    """The share of letters a class likes, among those that are no padding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(300, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, input_ids, attention_mask):
        seen = self.embedding(input_ids) * attention_mask[..., None]
        return self.fc(seen.sum(dim=1) / attention_mask.sum(dim=1, keepdim=True).clamp(min=1))


def texts(n, rng):
    good, bad = ["good", "kind", "fine", "warm"], ["bad", "cruel", "poor", "cold"]
    y = rng.integers(0, 2, n)
    said = [
        "It was " + " ".join(rng.choice(good if one else bad, rng.integers(1, 7))) + "." for one in y.tolist()
    ]
    return deep.rows(deep.text_frame(said), y, name=str(n))


def test_texts_are_compared_by_the_mean_over_their_own_tokens():
    tokenizers = pytest.importorskip("tokenizers")
    words = [
        "[PAD]",
        "[UNK]",
        "it",
        "was",
        "good",
        "kind",
        "fine",
        "warm",
        "bad",
        "cruel",
        "poor",
        "cold",
        ".",
    ]
    made_of = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    made_of.normalizer = tokenizers.normalizers.Lowercase()
    made_of.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    module = Words()
    with torch.no_grad():
        module.embedding.weight[4:8] += 3
        module.fc.weight.copy_(torch.tensor([[-1.0] * 4, [1.0] * 4]))
        module.fc.bias.copy_(torch.tensor([4.0, -4.0]))
    network = Network(module, deep.TextReader("text", made_of.to_str()), micro=7)
    rng = np.random.default_rng(8)
    train, test = texts(160, rng), texts(60, rng)
    subject = deep.subject(network, test, "text", train=train)
    found, _ = observe(subject, site="embedding", k=3)
    assert found["prototypes"].params["width"] == 4
    assert found["prototypes"].params["pooled"] == "mean"
    lines = curve(found["prototypes/stability"])
    assert set(lines["nearest prototype stays"]) == {"lower case", "every space twice", "final punctuation"}
    # This reader knows no case and no spaces.
    assert lines["nearest prototype stays"]["lower case"].value == 1
    assert lines["nearest prototype stays"]["every space twice"].value == 1
    case = found["prototypes/examples"].observation.cases[0]
    assert case["nearest"][0]["text"].startswith("It was")


def test_without_training_rows_half_of_the_test_rows_support_and_the_other_is_asked():
    rng = np.random.default_rng(9)
    means = means_of()
    subject = made(means, None, gaussians(400, means, rng))
    found, _ = observe(subject, site="features")
    main = found["prototypes"]
    assert main.params["examples_from"] == "test"
    assert main.params["examples"] + main.sampling.used == 400
    assert any("one half of the test rows" in limit for limit in main.limits)


def test_without_labels_the_predictions_are_the_classes_and_that_is_said():
    rng = np.random.default_rng(10)
    means = means_of()
    x, _ = gaussians(300, means, rng)
    subject = made(means, None, (x, None))
    found, _ = observe(subject, site="features")
    assert found["prototypes"].params["examples_classed_by"] == "predictions"
    assert found["prototypes/accuracy"].status == "skipped"
    assert value(found["prototypes"]) > 0.9


def test_a_table_may_be_compared_by_its_own_columns_for_any_model():
    rng = np.random.default_rng(11)
    means = means_of(gap=8)
    subject = made(means, gaussians(300, means, rng), gaussians(200, means, rng))
    found, _ = observe(subject, site="input")
    assert value(found["prototypes"]) > 0.9
    assert len(found["prototypes"].controls) == 1
    from dataclasses import replace

    model = deep.DeepModel(None, subject.classes)
    bare = replace(subject, model=model)
    piece = observe(bare)[0]["prototypes"]
    assert piece.status == "skipped"
    assert "site: input" in piece.reason


def test_the_same_audit_gives_the_same_evidence(plain):
    subject, found, outcome = plain
    again, more = observe(subject, site="features")
    assert again == found
    assert more.arrays == outcome.arrays


def test_samples_are_said_and_taken_by_content():
    rng = np.random.default_rng(12)
    means = means_of()
    subject = made(means, gaussians(400, means, rng), gaussians(300, means, rng))
    found, _ = observe(subject, site="features", rows=50, support=100)
    main = found["prototypes"]
    assert (main.sampling.available, main.sampling.used) == (300, 50)
    assert main.params["examples"] == 100
    assert any("100 of 400 examples" in limit for limit in main.limits)
    order = rng.permutation(400)
    train = subject.train
    from dataclasses import replace

    shuffled = replace(
        train,
        frame=train.frame.iloc[order].reset_index(drop=True),
        digests=train.digests[order],
        occurrence=train.occurrence[order],
        target=train.target[order],
    )
    other, _ = observe(replace(subject, train=shuffled), site="features", rows=50, support=100)
    assert value(other["prototypes"]) == value(main)


def test_what_cannot_be_done_is_said():
    rng = np.random.default_rng(13)
    means = means_of()
    x, y = gaussians(100, means, rng)
    subject = made(means, (x, np.zeros(100, dtype=np.int64)), (x, y))
    piece = observe(subject, site="features")[0]["prototypes"]
    assert (piece.status, piece.reason) == ("failed", "prototypes need examples of at least two classes")
    subject = made(means, (x, y), (x, y))
    piece = observe(subject, site="featres")[0]["prototypes"]
    assert piece.status == "failed"
    assert "features" in piece.reason


def test_weights_and_clusters_count():
    from dataclasses import replace

    rng = np.random.default_rng(14)
    means = means_of(gap=1.5)
    subject = made(means, gaussians(300, means, rng), gaussians(200, means, rng))
    found, _ = observe(subject, site="features", rows=None)
    clustered = replace(
        subject,
        test=replace(
            subject.test,
            clusters=np.argsort(np.argsort(subject.scores.max(axis=1))) // 10,
            weights=np.ones(200),
        ),
    )
    other, _ = observe(clustered, site="features", rows=None)
    one, two = found["prototypes"].observation.estimate, other["prototypes"].observation.estimate
    assert one.value == pytest.approx(two.value)
    assert (one.low, one.high) != (two.low, two.high)
    weighted = replace(
        subject, test=replace(subject.test, weights=np.where(subject.test.target == 0, 5.0, 1.0))
    )
    third, _ = observe(weighted, site="features", rows=None)
    assert third["prototypes"].observation.estimate.value != one.value


def test_a_few_shot_head_is_trained_by_episodes_and_draws_from_no_global_generator():
    rng = np.random.default_rng(15)
    means = means_of()
    subject = made(means, gaussians(500, means, rng), gaussians(300, means, rng))
    before = torch.random.get_rng_state()
    found, _ = observe(subject, site="features#in", head={"width": 3, "episodes": 150}, twins=2)
    assert torch.equal(before, torch.random.get_rng_state())
    # The loud columns spoil the means of the inputs; the head learns to leave them out.
    assert value(found["prototypes/head"]) > value(found["prototypes/class_mean"]) + 0.02
    assert found["prototypes/head"].params["head_way"] == 3
    again, _ = observe(subject, site="features#in", head={"width": 3, "episodes": 150}, twins=2)
    assert again["prototypes/head"] == found["prototypes/head"]
    few, _ = observe(subject, site="features", head={"shot": 300})
    assert few["prototypes/head"].status == "skipped"
