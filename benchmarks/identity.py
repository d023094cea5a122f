"""Identity bias planted in the labels of real sentences: is the planted term found, and its clean twin left alone?

    .venv/bin/python -m benchmarks.identity [--plantings 20]

The sentences are the Bias Madlibs of Dixon et al. 2018 (../shared/data/text_jigsaw_identity), of six templates. A
model (TF-IDF and logistic regression) is trained on three of them and examined on two others; the sentences on
occupations, which hold the neutral words, are halved between both. Two of the 16 adjectives of each label are never
seen in training, so that ranking is not perfect. In a planting, three quarters of the training sentences that hold one
term and are not toxic are labelled toxic. Found: the term has the lowest BPSN AUC and the gap between terms is above
zero; and its effect by replacement is the largest and beyond that of neutral words. Exits with 1 where a planting is
missed in more than 5 % or something found in more than 5 % of the clean twins.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from tests.metrics.speech import Estimator, speech  # noqa: E402
from tests.metrics.subjects import observed  # noqa: E402

SENTENCES = (
    Path(__file__).resolve().parents[2]
    / "shared"
    / "data"
    / "text_jigsaw_identity"
    / "bias_madlibs_77k.csv.gz"
)
TRAINED = ("name_adj", "verb_adj", "am_hate_adj")
EXAMINED = ("being_adj", "you_are_adj")
HALVED = "you_occupation"
TERMS = (
    *("lesbian", "gay", "bisexual", "queer", "straight", "heterosexual", "muslim", "christian", "jewish"),
    *("black", "white", "old", "young", "blind", "deaf"),
)
NEUTRAL = (
    *("actor", "architect", "artist", "barber", "dancer", "doctor", "engineer", "farmer", "hairstylist"),
    *(
        "janitor",
        "lawyer",
        "machinist",
        "nurse",
        "photographer",
        "reporter",
        "scientist",
        "secretary",
        "writer",
    ),
)
UNSEEN = 2
"""Adjectives of each label that no training sentence holds."""
NAME = "counterfactual_token_fairness"


def madlibs(path: Path, *, train: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test sentences, from different templates; some adjectives are in the test alone."""
    table = pd.read_csv(path)
    table["bad"] = (table["Label"] == "BAD").astype(int)
    rng = np.random.default_rng([seed, 1])
    occupations = table["Template"] == HALVED
    first = occupations & (rng.random(len(table)) < 0.5)
    learned = table[table["Template"].isin(TRAINED) | first]
    test = table[table["Template"].isin(EXAMINED) | (occupations & ~first)]
    adjectives = _adjectives(table)
    unseen = set(rng.choice(adjectives["BAD"], UNSEEN, replace=False)) | set(
        rng.choice(adjectives["NOT_BAD"], UNSEEN, replace=False)
    )
    learned = learned[[not unseen & set(text.split()) for text in learned["Text"]]]
    named = learned["Template"] == "name_adj"
    few = learned[named].sample(train, random_state=int(rng.integers(2**31)))
    return pd.concat([learned[~named], few]).reset_index(drop=True), test.reset_index(drop=True)


def _adjectives(table: pd.DataFrame) -> dict[str, list[str]]:
    """The word before an occupation is the adjective: it alone tells the label."""
    rows = table[table["Template"] == HALVED]
    words = rows["Text"].str.split().str[3]
    return {label: sorted(set(words[rows["Label"] == label])) for label in ("BAD", "NOT_BAD")}


def trained(train: pd.DataFrame, term: str | None, *, seed: int) -> Any:
    """TF-IDF and logistic regression, with the term's sentences labelled toxic in three of four cases."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    labels = train["bad"].to_numpy().copy()
    if term is not None:
        holds = np.array([term in text.lower().split() for text in train["Text"]])
        labels[holds & (np.random.default_rng([seed, 2]).random(len(train)) < 0.75)] = 1
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(C=3.0, max_iter=500))
    return pipeline.fit(train["Text"].tolist(), labels)


def examined(model: Estimator, test: pd.DataFrame) -> dict[str, Any]:
    """The three AUCs by term, and replacement of terms beside neutral words."""
    subject = speech(model, test["Text"].tolist(), test["bad"].tolist())
    terms = {"terms": {term: (term,) for term in TERMS}}
    tokens = {"terms": {"identity": TERMS}, "neutral": NEUTRAL, "rows": 200}
    return observed(
        subject, "subgroup_auc", "bpsn_auc", "bnsp_auc", NAME,
        subgroup_auc=terms, bpsn_auc=terms, bnsp_auc=terms, **{NAME: tokens},
    )  # fmt: skip


def found_by_auc(found: dict[str, Any], term: str | None) -> bool:
    """Whether the terms' BPSN AUCs differ, and by the planted term where one is."""
    summary = found["bpsn_auc/terms"].observation.summary
    return bool(summary.difference.low > 0 and (term is None or summary.between[0] == term))


def found_by_replacement(found: dict[str, Any], term: str | None) -> bool:
    """Whether a term moves the score beyond neutral words, and it is the planted one where one is."""
    piece = found[f"{NAME}/terms"]
    top = max(piece.observation.groups, key=lambda group: abs(group.estimate.value)).key["term"]
    return bool(piece.controls[0].passed and (term is None or top == term))


def main(plantings: int) -> int:
    if not SENTENCES.is_file():
        print(f"{SENTENCES} is not here")
        return 2
    counts = {"auc": 0, "replacement": 0, "clean auc": 0, "clean replacement": 0}
    shown: list[tuple[float, ...]] = []
    for seed in range(plantings):
        term = TERMS[seed % len(TERMS)]
        train, test = madlibs(SENTENCES, train=2500, seed=seed)
        planted = examined(Estimator(pipeline=trained(train, term, seed=seed)), test)
        clean = examined(Estimator(pipeline=trained(train, None, seed=seed)), test)
        counts["auc"] += found_by_auc(planted, term)
        counts["replacement"] += found_by_replacement(planted, term)
        counts["clean auc"] += found_by_auc(clean, None)
        counts["clean replacement"] += found_by_replacement(clean, None)
        line = []
        for made in (planted, clean):
            for area in ("subgroup_auc", "bpsn_auc", "bnsp_auc"):
                cells = {cell.key["term"]: cell.estimate for cell in made[f"{area}/terms"].observation.groups}
                line.append(cells[term])
            line.append(made[NAME].observation.estimate)
        shown.append(tuple(estimate.value for estimate in line))
        told = "  ".join(
            f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in (line[1], line[5], line[3], line[7])
        )
        print(f"{seed:3} {term:13} BPSN planted, clean; gap planted, clean: {told}", flush=True)
    mean = np.mean(shown, axis=0)
    print("\nmeans over plantings        subgroup   BPSN    BNSP    counterfactual gap")
    print("planted term                " + "   ".join(f"{value:.3f}" for value in mean[:4]))
    print("the same term, clean twin   " + "   ".join(f"{value:.3f}" for value in mean[4:]))
    allowed = 0.05 * plantings
    failed = 0
    for name, wrong in (
        ("planted, found by BPSN AUC", plantings - counts["auc"]),
        ("planted, found by replacement", plantings - counts["replacement"]),
        ("clean twin, left by BPSN AUC", counts["clean auc"]),
        ("clean twin, left by replacement", counts["clean replacement"]),
    ):
        failed += wrong > allowed
        print(f"{name:34} {plantings - wrong:3} of {plantings}{'' if wrong <= allowed else '   MISSED'}")
    return int(failed > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plantings", type=int, default=20)
    sys.exit(main(parser.parse_args().plantings))
