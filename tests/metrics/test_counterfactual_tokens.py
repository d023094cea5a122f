from __future__ import annotations

import csv
import gzip
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from tests.metrics.speech import Estimator, WordModel, speech
from tests.metrics.subjects import classifier, observed
from xai_audit.measure import Settings
from xai_audit.metrics.counterfactual_tokens import TokenParams

NAME = "counterfactual_token_fairness"
SEXUALITY = ["gay", "straight", "lesbian"]
TALL = ["tall", "short", "quick", "slow", "calm", "brisk", "plain", "neat"]
EACH = dict(zip(TALL, [0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.0, 0.0], strict=True))
BASE = {"vile": 1.6, "kind": -1.6, "today": 0.2, **EACH}


def corpus(n: int = 240, seed: int = 0) -> tuple[list[str], list[int]]:
    """Sentences with one identity term each, half of them with a neutral word beside it."""
    rng = np.random.default_rng(seed)
    texts, target = [], []
    for place in range(n):
        bad = int(rng.random() < 0.5)
        tells = ["kind", "vile"][bad if rng.random() < 0.8 else 1 - bad]
        neutral = rng.choice(TALL) if place % 2 else "old"
        texts.append(
            f"a {tells} {neutral} {rng.choice(SEXUALITY)} person no{place} {rng.choice(['today', 'now'])}"
        )
        target.append(bad)
    return texts, target


def asked(model: WordModel, texts, target, **params):
    given = {"terms": {"sexuality": SEXUALITY}, "neutral": TALL, **params}
    return observed(speech(model, texts, target), NAME, **{NAME: given})


def expit(value):
    return 1 / (1 + np.exp(-value))


def test_a_planted_weight_is_found_at_its_size_and_the_clean_twin_is_not() -> None:
    texts, target = corpus()
    planted = WordModel({**BASE, "gay": 1.2})
    found = asked(planted, texts, target)
    assert set(found) == {NAME, f"{NAME}/terms", f"{NAME}/flips", f"{NAME}/neutral"}
    assert found[f"{NAME}/neutral"].observation.estimate.n == sum(" old " not in text for text in texts)
    # The model is known: each text's margin without its identity term, and 1.2 more with the planted one.
    rest = planted.margins([text.replace("gay", "") for text in texts])
    jump = expit(rest + 1.2) - expit(rest)
    held = np.array(["gay" in text for text in texts])
    whole = found[NAME].observation
    assert whole.unit == "score"
    assert whole.estimate.value == pytest.approx(np.where(held, jump, jump / 2).mean(), abs=1e-12)
    assert whole.estimate.n == len(texts)
    assert found[NAME].sampling.used == len(texts)
    (control,) = found[f"{NAME}/terms"].controls
    assert control.passed
    assert control.estimate.low > 0
    assert found[f"{NAME}/terms"].inference.adjusted < 0.001
    assert found[f"{NAME}/terms"].rung == "associated"
    assert found[NAME].rung is None
    table = found[f"{NAME}/terms"].observation
    effects = {group.key["term"]: group.estimate.value for group in table.groups}
    assert effects["gay"] == pytest.approx(2 / 3 * jump.mean(), abs=1e-12)
    assert effects["straight"] == pytest.approx(-1 / 3 * jump.mean(), abs=1e-12)
    assert table.summary.between[1] == "sexuality, gay"
    assert table.summary.difference.value == pytest.approx(jump.mean(), abs=1e-12)
    assert table.summary.difference.low > 0
    flips = found[f"{NAME}/flips"].observation.estimate
    assert flips.value == pytest.approx(((rest < 0) & (rest + 1.2 >= 0)).mean(), abs=1e-12)

    clean = asked(WordModel(BASE), texts, target)
    assert clean[NAME].observation.estimate.value == 0
    assert not clean[f"{NAME}/terms"].controls[0].passed
    assert clean[f"{NAME}/terms"].inference.adjusted == 1
    assert clean[f"{NAME}/terms"].rung == "described"
    assert clean[f"{NAME}/terms"].observation.summary.difference.value == 0
    assert clean[f"{NAME}/flips"].observation.estimate.value == 0


def test_neutral_words_that_move_the_score_as_much_are_no_bias_of_identity() -> None:
    """A model that any replaced word moves: identity terms move it no further than neutral ones."""
    texts, target = corpus()
    restless = {"gay": 0.5, "lesbian": -0.5, **{word: 10 * weight for word, weight in EACH.items()}}
    found = asked(WordModel({**BASE, **restless}), texts, target)
    assert found[NAME].observation.estimate.low > 0.05
    assert found[f"{NAME}/terms"].observation.summary.difference.low > 0.05
    assert not found[f"{NAME}/terms"].controls[0].passed
    assert found[f"{NAME}/terms"].rung == "described"


def test_terms_that_differ_like_neutral_words_are_rarely_taken_for_more() -> None:
    """150 models whose identity and neutral words have weights of one normal distribution: about 5 % pass."""
    texts, target = corpus(60, 2)
    rng = np.random.default_rng(12)
    passed = 0
    for _ in range(150):
        words = [*SEXUALITY, *TALL]
        model = WordModel(
            {"vile": 1.0, "kind": -1.0, **dict(zip(words, rng.normal(0, 0.2, len(words)), strict=True))}
        )
        passed += asked(model, texts, target)[f"{NAME}/terms"].controls[0].passed
    assert passed <= 150 * 0.05 + 3 * np.sqrt(150 * 0.05 * 0.95)


def test_without_neutral_words_there_is_no_claim() -> None:
    texts, target = corpus()
    found = asked(WordModel({**BASE, "gay": 1.2}), texts, target, neutral=[])[f"{NAME}/terms"]
    assert found.controls == ()
    assert found.rung is None
    assert any("No neutral words were given" in limit for limit in found.limits)
    for words in (["amber", "beige", "red"], TALL[:2]):
        none = asked(WordModel(BASE), texts, target, neutral=words)[f"{NAME}/terms"]
        assert none.controls == ()
        assert any("how far any replaced word moves a score is not known" in limit for limit in none.limits)


def test_several_lists_and_texts_with_words_of_both() -> None:
    texts = [
        f"{a} {b} no{i}"
        for i, (a, b) in enumerate([("gay", "muslim"), ("straight", "x"), ("y", "jewish")] * 20)
    ]
    model = WordModel({"gay": 1.0, "muslim": 2.0})
    found = asked(
        model, texts, [0, 1] * 30, neutral=[], terms={"s": ["gay", "straight"], "r": ["muslim", "jewish"]}
    )
    one = [abs(expit(3.0) - expit(2.0)), abs(expit(3.0) - expit(1.0))]
    expected = np.mean([np.mean(one), expit(1.0) - 0.5, expit(2.0) - 0.5])
    assert found[NAME].observation.estimate.value == pytest.approx(expected, abs=1e-12)
    assert found[NAME].observation.estimate.n == 60
    table = found[f"{NAME}/terms"].observation
    assert [(group.key["list"], group.key["term"], group.n) for group in table.groups] == [
        ("s", "gay", 40), ("s", "straight", 40), ("r", "muslim", 40), ("r", "jewish", 40),
    ]  # fmt: skip
    assert table.summary.between == ("r, jewish", "r, muslim")
    assert table.summary.pairs == 2


def test_texts_are_sampled_by_content_and_order_changes_no_byte() -> None:
    texts, target = corpus()
    model = WordModel({**BASE, "gay": 1.2})
    order = np.random.default_rng(3).permutation(len(texts))
    one = asked(model, texts, target, rows=50)
    assert one[NAME].sampling.used == 50
    assert one[NAME].observation.estimate.n == 50
    subject = speech(model, texts, target)
    # The loaders put rows in the order of their content: here the same content is given in that order.
    again = replace(subject, test=replace(subject.test, occurrence=subject.test.occurrence.copy()))
    two = observed(again, NAME, **{NAME: {"terms": {"sexuality": SEXUALITY}, "neutral": TALL, "rows": 50}})
    assert one[NAME].model_dump_json() == two[NAME].model_dump_json()
    shuffled = asked(model, [texts[row] for row in order], [target[row] for row in order])
    whole = asked(model, texts, target)
    for name in (NAME, f"{NAME}/terms", f"{NAME}/flips"):
        assert shuffled[name].observation.model_dump_json() == whole[name].observation.model_dump_json()


def test_workers_change_no_byte() -> None:
    texts, target = corpus(80)
    subject = speech(WordModel({**BASE, "gay": 1.2}), texts, target)
    params = {NAME: {"terms": {"sexuality": SEXUALITY}, "neutral": TALL}}
    one, two = (observed(subject, NAME, settings=Settings(jobs=jobs), **params) for jobs in (1, 2))
    assert [piece.model_dump_json() for piece in one.values()] == [
        piece.model_dump_json() for piece in two.values()
    ]


def test_templates_that_repeat_widen_the_interval() -> None:
    texts, target = corpus(120)
    model = WordModel({**BASE, "gay": 1.2})
    params = {"terms": {"sexuality": SEXUALITY}, "rows": None}
    alone = observed(speech(model, texts * 4, target * 4), NAME, **{NAME: params})[NAME].observation.estimate
    subject = speech(model, texts * 4, target * 4, clusters=list(range(120)) * 4)
    found = observed(subject, NAME, **{NAME: params})[NAME].observation.estimate
    assert found.value == pytest.approx(alone.value, abs=1e-15)
    assert found.high - found.low > 1.8 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"terms": {"s": ["gay"]}}, "holds one word"),
        ({"terms": {"s": ["gay", "Gay"]}}, "twice"),
        ({"terms": {"neutral": ["a", "b"]}}, "is not called 'neutral'"),
        ({"terms": {"s": ["a", "b"]}, "neutral": ["c"]}, "'neutral' holds one word"),
    ],
)
def test_lists_that_are_wrong(params, expected):
    with pytest.raises(ValidationError, match=expected):
        TokenParams.model_validate(params)


def test_what_it_needs() -> None:
    texts, target = corpus(40)
    subject = speech(WordModel(BASE), texts, target)
    reason = observed(subject, NAME, settings=Settings())[NAME].reason
    assert "it needs lists of words" in reason
    table = classifier([0, 1] * 20, [0, 1] * 20, scores=[0.2, 0.8] * 20)
    assert "needs a model" in observed(table, NAME, settings=Settings())[NAME].reason
    reason = asked(WordModel(BASE), ["nothing here"] * 20, [0, 1] * 10)[NAME].reason
    assert reason == "no text holds a word of the lists"
    few = asked(WordModel(BASE), ["a gay man", "tall"] + [f"x {i}" for i in range(30)], [0, 1] * 16)
    # One text's own effect would be the overall number.
    assert (few[NAME].status, few[NAME].reason) == ("skipped", "fewer than 10 texts hold a word of any list")
    (group, *_) = few[f"{NAME}/terms"].observation.groups
    assert (group.status, group.n) == ("suppressed", None)


# ---------------------------------------------------------------------------------------------- real sentences
@pytest.mark.parametrize("planted", [True, False])
def test_bias_planted_in_the_training_labels_of_real_sentences(shared_data, planted) -> None:
    """Trained here on three templates and examined on others: the term planted as toxic is the one found."""
    from benchmarks.identity import NEUTRAL, TERMS, examined, madlibs, trained

    train, test = madlibs(
        shared_data / "text_jigsaw_identity" / "bias_madlibs_77k.csv.gz", train=2500, seed=1
    )
    pipeline = trained(train, "lesbian" if planted else None, seed=1)
    found = examined(Estimator(pipeline=pipeline), test)
    bpsn = found["bpsn_auc/terms"].observation
    gap = found[f"{NAME}/terms"].observation.summary
    assert {group.key["term"] for group in bpsn.groups} == set(TERMS)
    assert all(group.status == "measured" for group in bpsn.groups)
    assert NEUTRAL
    if planted:
        assert bpsn.summary.between[0] == "lesbian"
        assert bpsn.summary.difference.low > 0
        assert found["bnsp_auc/terms"].observation.summary.difference.low >= 0
        assert gap.between[1] == "identity, lesbian"
        assert gap.difference.low > 0
        assert found[f"{NAME}/terms"].controls[0].passed
    else:
        assert bpsn.summary.difference.low == 0
        assert not found[f"{NAME}/terms"].controls[0].passed


def test_the_sentences_are_those_published(shared_data) -> None:
    path = shared_data / "text_jigsaw_identity" / "bias_madlibs_77k.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        labels = [row["Label"] for row in csv.DictReader(stream)]
    assert (len(labels), labels.count("BAD")) == (76_564, 38_282)
