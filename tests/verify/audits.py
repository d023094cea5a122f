"""Whole audits of small generated tables, of every kind of task and of rows, for tests that hold them to their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from xai_audit import pipeline
from xai_audit.audit import Audit
from xai_audit.catalog import methods
from xai_audit.reading import read_policies, read_specs

NAMED = [name for name, method in methods().items() if method.kind == "metric" and method.selectable]
AREAS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
TERMS = "{faith: [muslim, christian, jewish], origin: [turkish, polish], rare: [sikh, bahai]}"
NEUTRAL = "[tall, short, young, old]"


def asked(numbers: bool = False, **params: str) -> str:
    """Every metric that a spec may name; those of numbers alone where the spec says that numbers are predicted."""
    listed = [name for name in NAMED if not numbers or "regression" in methods()[name].needs]
    return "[" + ", ".join(f"{{{one}: {params[one]}}}" if one in params else one for one in listed) + "]"


def people(n: int, seed: int) -> pd.DataFrame:
    """Rows with a gap, a group too small to be shown, one too small to be compared, and one that is missing."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "a": rng.normal(size=n).round(2),
            "b": rng.integers(0, 5, n),
            "c": rng.choice(["x", "y", "Łódź"], n, p=[0.5, 0.38, 0.12]),
            "g": rng.choice(["u", "v", "w", "few", "rare", None], n, p=[0.42, 0.3, 0.15, 0.05, 0.015, 0.065]),
            "sex": rng.choice([1, 2], n),
            "age": rng.integers(18, 80, n),
            "grade": rng.choice(["junior", "senior", "head"], n, p=[0.5, 0.4, 0.1]),
            "visit": rng.integers(0, n // 4, n),
            "weight": rng.choice([0.0, 0.5, 1.0, 2.25], n, p=[0.05, 0.3, 0.4, 0.25]),
        }
    )
    made.loc[rng.random(n) < 0.05, "a"] = np.nan
    made["truth"] = made["a"].fillna(0) + 0.4 * made["b"] + (made["c"] == "x") + 0.9 * rng.normal(size=n)
    made["truth"] += 0.7 * (made["g"] == "u")
    return made


def fitted(model: Any, train: pd.DataFrame, folder: Path) -> None:
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["c"]),
        (SimpleImputer(), ["a", "b", "sex"]),
    )
    skops.io.dump(
        make_pipeline(columns, model).fit(train[["a", "b", "c", "sex"]], train["y"]), folder / "model.skops"
    )


TABLES = (
    "train: {path: train.csv}, test: {path: test.csv}, target: y, features: [a, b, c, sex], categorical: [c]"
)
GROUPS = "[g, sex]"


def with_model(model: str, data: str, sensitive: str = GROUPS, **params: str) -> str:
    return (
        f"version: 1\nsystem: {{name: verified}}\nmodel: {{path: model.skops{model}}}\n"
        f"data: {{{data}, sensitive: {sensitive}}}\nmetrics: {asked(**params)}\n"
        "policies: [eu-ai-act]\nreport: {formats: []}\nrun: {seed: 3}\n"
    )


def of_predictions(model: str, data: str = "target: y", more: str = "", numbers: bool = False) -> str:
    return (
        f"version: 1\nsystem: {{name: verified}}\nmodel: {{format: predictions, {model}}}\n"
        f"data: {{test: {{path: test.csv}}, {data}}}\nmetrics: {asked(numbers)}\n{more}report: {{formats: []}}\n"
    )


def binary(folder: Path) -> str:
    train, test = people(500, 1), people(460, 2)
    test = pd.concat([test, train.sample(7, random_state=0)], ignore_index=True)
    for table in (train, test):
        table["y"] = (table.pop("truth") > 1.5).map({True: "yes", False: "no"})
    fitted(LogisticRegression(), train, folder)
    test["y"] = test["y"].astype(object)
    test.loc[:3, "y"] = "perhaps"
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    return with_model(", positive: yes, favourable: no", TABLES, accuracy="{primary: true}")


def explanatory(folder: Path) -> str:
    """Scores alone, a column that groups are compared within, all crossings, other levels and minima."""
    test = people(600, 3)
    test["y"] = (test["truth"] > 1.4).astype(int)
    test["score"] = (1 / (1 + np.exp(-(test.pop("truth") - 1.4 + 0.3 * np.sin(np.arange(600)))))).round(2)
    test.to_csv(folder / "test.csv", index=False)
    (folder / "strict.yaml").write_text(
        "id: strict\nversion: 1\nas_of: 2026-01-01\nmin_n: 45\nmin_label: 14\nrules:\n"
        "  - {id: A-01, title: t, clause: none, basis: convention, evidence: 'demographic_parity_ratio/*', at_least: 0.5,"
        " level: note, examples: [{low: 0.6, high: 0.7, expect: pass}, {low: 0.1, high: 0.2, expect: fail},"
        " {low: 0.4, high: 0.6, expect: open}]}\n"
    )
    groups = "[sex, {column: age, bins: [30, 50]}, {column: grade, explanatory: true}]"
    more = "policies: [strict.yaml]\nrun: {confidence: 0.9, seed: 11}\n"
    return of_predictions(
        "score: score, positive: 1", f"target: y, crossings: all, sensitive: {groups}", more
    ).replace("formats: []", "formats: [], min_cell: 6")


def weighted(folder: Path) -> str:
    test = people(420, 4)
    test["y"] = (test["truth"] > 1.4).astype(int)
    test["score"] = (1 / (1 + np.exp(-(test.pop("truth") - 1.2)))).round(3)
    test.to_csv(folder / "test.csv", index=False)
    return of_predictions("score: score, positive: 1", "target: y, weight: weight, sensitive: [g, sex]")


def clustered(folder: Path) -> str:
    weighted(folder)
    return of_predictions("score: score, positive: 1", "target: y, cluster: visit, sensitive: [g, sex]")


def weighted_clusters(folder: Path) -> str:
    weighted(folder)
    groups = "[g, sex, {column: grade, explanatory: true}]"
    return of_predictions(
        "score: score, positive: 1", f"target: y, cluster: visit, weight: weight, sensitive: {groups}"
    )


def decided(folder: Path) -> str:
    """Scores with decisions of their own."""
    test = people(300, 5)
    test["y"] = (test["truth"] > 1.4).astype(int)
    test["score"] = (1 / (1 + np.exp(-(test.pop("truth") - 1.2)))).round(3)
    test["call"] = (test["score"] > 0.43).astype(int)
    test.to_csv(folder / "test.csv", index=False)
    return of_predictions("score: score, prediction: call, positive: 1", "target: y, sensitive: [sex]")


def ranked(folder: Path) -> str:
    """Scores that are no probabilities, and classes that they separate without fail in one group."""
    test = people(300, 6)
    test["y"] = (test["truth"] > 1.4).astype(int)
    test["score"] = test.pop("truth").round(1) + 3 * (test["sex"] == 1) * (2 * test["y"] - 1)
    test.to_csv(folder / "test.csv", index=False)
    return of_predictions("score: score, positive: 1, threshold: 1.4", "target: y, sensitive: [sex, g]")


def decisions(folder: Path) -> str:
    test = people(300, 7)
    test["decision"] = (test.pop("truth") > 1.4).map({True: "granted", False: "refused"})
    test.to_csv(folder / "test.csv", index=False)
    return of_predictions("prediction: decision, positive: granted", "sensitive: [g, sex]")


def alone(folder: Path) -> str:
    """Nobody is told apart."""
    test = people(80, 8)
    test["y"] = (test["truth"] > 1.4).astype(int)
    test["score"] = (1 / (1 + np.exp(-(test.pop("truth") - 1.2)))).round(3)
    test.to_csv(folder / "test.csv", index=False)
    return of_predictions("score: score, positive: 1")


def several(folder: Path) -> str:
    train, test = people(500, 9), people(420, 10)
    for table in (train, test):
        table["y"] = pd.cut(table.pop("truth"), [-99, 1.0, 2.2, 99], labels=["low", "middle", "high"]).astype(
            str
        )
    fitted(LogisticRegression(max_iter=500), train, folder)
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    return with_model(", positive: high", TABLES, brier_score="{primary: true}")


def regression(folder: Path) -> str:
    train, test = people(400, 11), people(380, 12)
    for table in (train, test):
        table["y"] = table.pop("truth")
    fitted(LinearRegression(), train, folder)
    test.loc[:5, "y"] = np.nan
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    return with_model("", TABLES, root_mean_squared_error="{primary: true}")


def regression_clustered(folder: Path) -> str:
    test = people(380, 13)
    test["y"] = test.pop("truth")
    test["guess"] = 0.6 * test["y"] + 0.3
    test.to_csv(folder / "test.csv", index=False)
    data = "target: y, cluster: visit, weight: weight, sensitive: [g, sex]"
    return of_predictions("prediction: guess, task: regression", data, numbers=True)


def texts(folder: Path) -> str:
    rng = np.random.default_rng(14)

    def made(n: int) -> pd.DataFrame:
        words = np.array(["muslim", "christian", "jewish", "turkish", "polish", "sikh"])
        chance = np.array([0.3, 0.24, 0.2, 0.12, 0.11, 0.03])
        term = rng.choice(words, n, p=chance)
        size = rng.choice(["tall", "short", "young", "old"], n)
        mood = rng.choice(["kind", "awful", "calm", "vile"], n)
        toxic = (np.isin(mood, ["awful", "vile"]) ^ (rng.random(n) < 0.15)) | (
            (term == "muslim") & (rng.random(n) < 0.2)
        )
        text = [
            f"a {s} {t} person is {m} number {k}"
            for s, t, m, k in zip(size, term, mood, range(n), strict=True)
        ]
        return pd.DataFrame(
            {
                "text": text,
                "y": toxic.astype(int),
                "site": rng.choice(["p", "q"], n),
                "visit": np.arange(n) // 2,
            }
        )

    train, test = made(600), made(400)
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(train["text"], train["y"])
    skops.io.dump(model, folder / "model.skops")
    train.to_json(folder / "train.jsonl", orient="records", lines=True)
    test.to_json(folder / "test.jsonl", orient="records", lines=True)
    data = "train: {path: train.jsonl, text: text}, test: {path: test.jsonl, text: text}, target: y"
    params = dict.fromkeys(AREAS, f"{{terms: {TERMS}}}")
    params["counterfactual_token_fairness"] = f"{{terms: {TERMS}, neutral: {NEUTRAL}, rows: 220}}"
    return with_model(", positive: 1", data, "[site]", **params)


def texts_clustered(folder: Path) -> str:
    return (
        texts(folder).replace("target: y", "target: y, cluster: visit").replace(", rows: 220", ", rows: null")
    )


KINDS: dict[str, Callable[[Path], str]] = {
    "binary": binary,
    "explanatory": explanatory,
    "weighted": weighted,
    "clustered": clustered,
    "weighted clusters": weighted_clusters,
    "decided": decided,
    "ranked": ranked,
    "decisions": decisions,
    "alone": alone,
    "several classes": several,
    "regression": regression,
    "regression, weighted clusters": regression_clustered,
    "texts": texts,
    "texts, clustered": texts_clustered,
}


@dataclass(frozen=True)
class Made:
    """An audit and its folder."""

    audit: Audit
    folder: Path


def made(kind: str, folder: Path) -> Made:
    """A real run of one kind."""
    (folder / "audit.yaml").write_text(KINDS[kind](folder), encoding="utf-8")
    (spec,) = read_specs([folder / "audit.yaml"])
    return Made(
        pipeline.run(
            spec, read_policies(spec.policies, folder), folder / "out", pipeline.Options(debug=True)
        ),
        folder / "out",
    )
