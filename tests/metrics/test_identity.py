from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from tests.metrics.speech import WordModel, speech
from tests.metrics.subjects import classifier, grouping, observed
from xai_audit.measure import Settings
from xai_audit.metrics.identity import IdentityParams

AREAS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")


@pytest.fixture(scope="module")
def ranked():
    rng = np.random.default_rng(4)
    n = 900
    true = rng.integers(0, 2, n)
    groups = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    # Whoever is in c scores too high, whatever the truth.
    scores = np.round(
        1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * (2 * true - 1) + 1.0 * (groups == "c")))), 2
    )
    return true, scores, groups


def of(true, scores, groups, **more):
    return classifier(true, (scores >= 0.5).astype(int), [grouping("g", groups)], scores=scores, **more)


def test_each_is_the_auc_of_its_definition(ranked):
    true, scores, groups = ranked
    found = observed(of(true, scores, groups), *AREAS)
    assert set(found) == {f"{name}/g" for name in AREAS}
    for place, group in enumerate(["a", "b", "c"]):
        inside = groups == group
        rows = {
            "subgroup_auc": inside,
            "bpsn_auc": (~inside & (true == 1)) | (inside & (true == 0)),
            "bnsp_auc": (inside & (true == 1)) | (~inside & (true == 0)),
        }
        for name in AREAS:
            cell = found[f"{name}/g"].observation.groups[place]
            assert cell.key == {"g": group}
            assert cell.n == inside.sum()
            assert cell.count == cell.estimate.n == rows[name].sum()
            assert cell.estimate.value == pytest.approx(
                roc_auc_score(true[rows[name]], scores[rows[name]]), abs=1e-12
            )
            assert cell.estimate.low < cell.estimate.value < cell.estimate.high
    overall = found["bpsn_auc/g"].observation.overall
    assert overall.value == pytest.approx(roc_auc_score(true, scores), abs=1e-12)


def test_a_group_that_scores_too_high_has_the_lowest_bpsn_and_the_highest_bnsp(ranked):
    found = observed(of(*ranked), *AREAS)
    for name, end in (("bpsn_auc", 0), ("bnsp_auc", 1)):
        summary = found[f"{name}/g"].observation.summary
        assert summary.between[end] == "c"
        assert summary.difference.low > 0
    assert found["subgroup_auc/g"].observation.summary.difference.low == 0


def test_the_subgroup_auc_is_the_auc_by_group(ranked):
    found = observed(of(*ranked), "subgroup_auc", "roc_auc")
    mine, plain = (found[f"{name}/g"].observation for name in ("subgroup_auc", "roc_auc"))
    assert [cell.estimate for cell in mine.groups] == [cell.estimate for cell in plain.groups]


def test_who_has_no_value_is_in_no_groups_background(ranked):
    true, scores, groups = ranked
    values = [None if place % 5 == 0 else group for place, group in enumerate(groups)]
    table = observed(of(true, scores, values), "bpsn_auc")["bpsn_auc/g"].observation
    here = np.array([value is not None for value in values])
    inside = np.array([value == "a" for value in values])
    rows = (here & ~inside & (true == 1)) | (inside & (true == 0))
    assert table.groups[0].estimate.value == pytest.approx(roc_auc_score(true[rows], scores[rows]), abs=1e-12)
    missing = table.groups[-1]
    assert missing.missing
    assert missing.estimate is not None
    assert not missing.contrasts


def test_small_and_one_sided_groups_decide_nothing():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 400)
    groups = np.full(400, "most", dtype=object)
    groups[:25], groups[25:85], groups[85:90], groups[90:96] = "small", "fine", "tiny", "few"
    true[25:85] = 0
    found = observed(of(true, rng.random(400), groups), *AREAS)
    cells = {name: {g.key["g"]: g for g in found[f"{name}/g"].observation.groups} for name in AREAS}
    for name in AREAS:
        assert cells[name]["small"].status == "insufficient"
        assert cells[name]["tiny"].status == cells[name]["few"].status == "suppressed"
        assert found[f"{name}/g"].observation.summary.insufficient == 1
    assert cells["subgroup_auc"]["fine"].reason == "no positives"
    assert cells["bnsp_auc"]["fine"].reason == "no positives"
    assert cells["bpsn_auc"]["fine"].status == "measured"


def test_a_group_of_all_has_no_background():
    true = np.arange(100) % 2
    table = observed(of(true, np.linspace(0, 1, 100), ["a"] * 100), "bpsn_auc", "bnsp_auc")
    assert table["bpsn_auc/g"].observation.groups[0].reason == "no positives outside the group"
    assert table["bnsp_auc/g"].observation.groups[0].reason == "no negatives outside the group"


def test_weights_are_not_passed_over(ranked):
    true, scores, groups = ranked
    subject = of(true, scores, groups, weights=np.ones(len(true)))
    assert "weights or clusters" in observed(subject, "bpsn_auc")["bpsn_auc"].reason


def test_without_groups_and_terms_there_is_nothing_to_ask(ranked):
    true, scores, _ = ranked
    subject = classifier(true, (scores >= 0.5).astype(int), scores=scores)
    found = observed(subject, "bpsn_auc", settings=Settings())
    assert "sensitive columns or terms" in found["bpsn_auc"].reason
    told = observed(subject, "bpsn_auc", settings=Settings(), bpsn_auc={"terms": {"gay": ["gay"]}})
    assert "words are found in texts; these rows are cells of a table" in told["bpsn_auc"].reason


TERMS = {"gay": ["gay", "homosexual"], "muslim": ["muslim"], "jewish": ["jewish"], "amish": ["amish"]}


@pytest.fixture(scope="module")
def said():
    """Texts that mention terms whatever their truth, and scores too high for one of them."""
    rng = np.random.default_rng(9)
    words = ["gay", "homosexual", "muslim", "jewish", "nobody"]
    texts, target = [], []
    for _ in range(1200):
        bad = int(rng.random() < 0.5)
        chosen = rng.choice(words, rng.choice([1, 2], p=[0.8, 0.2]), replace=False)
        # The word that tells is sometimes another, so that the ranking is not perfect.
        tells = "vile" if (rng.random() < 0.85) == bool(bad) else "kind"
        noise = rng.choice(["one", "two", "three", "four"], 2, replace=False)
        texts.append(f"A {tells} {' '.join(chosen).upper()} said {' '.join(noise)}.")
        target.append(bad)
    base = {"vile": 2.0, "kind": -2.0, "one": 0.4, "two": -0.3, "three": 0.15, "four": -0.1}
    return texts, target, base


def test_terms_are_found_in_the_texts(said):
    texts, target, base = said
    planted = speech(WordModel({**base, "gay": 1.5, "homosexual": 1.5}), texts, target)
    params = {name: {"terms": TERMS} for name in AREAS}
    found = observed(planted, *AREAS, **params)
    assert set(found) == {f"{name}/terms" for name in AREAS}
    table = found["bpsn_auc/terms"].observation
    assert table.by == ("term",)
    inside = np.array(["GAY" in text or "HOMOSEXUAL" in text for text in texts])
    true, scores = np.asarray(target), planted.scores[:, 1]
    rows = (~inside & (true == 1)) | (inside & (true == 0))
    assert table.groups[0].n == inside.sum()
    assert table.groups[0].estimate.value == pytest.approx(roc_auc_score(true[rows], scores[rows]), abs=1e-12)
    assert table.groups[3].status == "undefined"
    assert table.summary.between[0] == "gay"
    assert table.summary.difference.low > 0
    # Too high a score: lowest BPSN, highest BNSP, as the published tables have it for such terms.
    assert found["bnsp_auc/terms"].observation.summary.between[1] == "gay"
    clean = observed(speech(WordModel(base), texts, target), *AREAS, **params)
    for name in AREAS:
        assert clean[f"{name}/terms"].observation.summary.difference.low == 0


def test_rows_in_another_order_change_no_byte(said):
    texts, target, base = said
    order = np.random.default_rng(1).permutation(len(texts))
    params = {"bpsn_auc": {"terms": TERMS}}
    one = observed(speech(WordModel({**base, "gay": 1.0}), texts, target), "bpsn_auc", **params)
    shuffled = speech(
        WordModel({**base, "gay": 1.0}), [texts[row] for row in order], [target[row] for row in order]
    )
    two = observed(shuffled, "bpsn_auc", **params)
    # Which text mentions which term is kept by row, and these rows are not sorted as loaded ones are.
    assert set(one["bpsn_auc/terms"].arrays) == {"mentions", "terms"}
    same = [found["bpsn_auc/terms"].model_dump_json(exclude={"arrays"}) for found in (one, two)]
    assert same[0] == same[1]


def test_a_term_that_few_texts_mention_is_withheld(said):
    texts, target, base = said
    few = [text.replace("NOBODY", "AMISH", 1) if place < 20 else text for place, text in enumerate(texts)]
    subject = speech(WordModel(base), few, target)
    table = observed(subject, "bpsn_auc", bpsn_auc={"terms": TERMS})["bpsn_auc/terms"].observation
    assert table.groups[3].status == "suppressed"
    assert table.groups[3].n is None


def test_columns_and_terms_stand_side_by_side(said):
    texts, target, base = said
    subject = replace(
        speech(WordModel(base), texts, target),
        groupings=(grouping("gay", ["GAY" in text for text in texts]),),
    )
    found = observed(subject, "bpsn_auc", bpsn_auc={"terms": {"gay": ["gay"]}})
    column, term = found["bpsn_auc/gay"].observation, found["bpsn_auc/terms"].observation
    yes = next(cell for cell in column.groups if cell.key == {"gay": "True"})
    assert yes.estimate == term.groups[0].estimate


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"gay": []}, "holds no word"),
        ({"gay": [" "]}, "blank word"),
        ({" ": ["a"]}, "no name"),
        ({"g": ["a", "A"]}, "twice"),
    ],
)
def test_lists_that_are_wrong(terms, expected):
    with pytest.raises(ValidationError, match=expected):
        IdentityParams.model_validate({"terms": terms})


def test_a_spec_may_say_terms(tmp_path):
    from xai_audit.errors import SpecError
    from xai_audit.reading import read_specs

    (tmp_path / "t.csv").write_text("s,y\n0.1,0\n0.2,1\n")
    text = (
        "version: 1\nsystem: {name: a}\nmodel: {format: predictions, score: s}\n"
        "data: {test: {path: t.csv}, target: y}\nmetrics:\n  - bpsn_auc: {terms: {gay: [gay, homosexual]}}\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    (use,) = read_specs([tmp_path / "a.yaml"])[0].metrics
    assert use.params == {"terms": {"gay": ["gay", "homosexual"]}}
    (tmp_path / "a.yaml").write_text(text.replace("[gay, homosexual]", "[]"))
    with pytest.raises(SpecError, match=r"a\.yaml:6:23: bpsn_auc\.terms: 'gay' holds no word"):
        read_specs([tmp_path / "a.yaml"])


def test_the_published_tables_are_of_these_three(shared_data):
    with (shared_data / "text_jigsaw_identity" / "published_unitary_auc.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    published = {name.partition("_")[2] for name in rows[0] if name.startswith("TOXICITY@1")}
    assert published == set(AREAS)
    gay = next(row for row in rows if row["subgroup"] == "gay")
    # The first version scored texts with this term too high; what lowers BPSN there lowers it here.
    assert (
        float(gay["TOXICITY@1_bpsn_auc"])
        < float(gay["TOXICITY@1_subgroup_auc"])
        < float(gay["TOXICITY@1_bnsp_auc"])
    )
