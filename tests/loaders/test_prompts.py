"""Sets of prompts: pairs of a clean and a corrupted side, of texts and of tables, with the classes they are about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from skops import io as skops

DECIDED = {"format": "predictions", "prediction": "p"}
SIDES = {"clean": "clean", "corrupted": "corrupted"}


class TestTexts:
    @pytest.fixture
    def test(self, desk) -> dict:
        desk.csv("t.csv", pd.DataFrame({"text": ["a b", "b a", "7", "c"], "p": ["x", "y", "x", "y"]}))
        return {"path": "t.csv", "text": "text"}

    @pytest.fixture
    def prompts(self) -> pd.DataFrame:
        return pd.DataFrame(
            {"clean": ["1", "b c"], "corrupted": ["2", "c c"], "answer": ["x", "y"], "foil": ["y", "x"]}
        )

    def test_a_pair_stays_a_pair_and_texts_stay_texts(self, desk, test, prompts):
        desk.csv("ioi.csv", prompts)
        found = desk.load(DECIDED, test=test, sets={"ioi": {"path": "ioi.csv", **SIDES}}).sets["ioi"]
        pairs = dict(zip(found.frame["text"], found.pairs.corrupted["text"], strict=True))
        assert pairs == {"1": "2", "b c": "c c"}
        named = dict(zip(found.frame["text"], found.pairs.answer.tolist(), strict=True))
        assert named == {"1": 0, "b c": 1}
        assert (found.pairs.foil == 1 - found.pairs.answer).all()

    def test_the_files_order_changes_nothing(self, desk, test, prompts):
        desk.csv("a.csv", prompts)
        desk.csv("b.csv", prompts.iloc[::-1])
        found = desk.load(
            DECIDED, test=test, sets={name: {"path": f"{name}.csv", **SIDES} for name in "ab"}
        ).sets
        assert found["a"].pairs.corrupted.equals(found["b"].pairs.corrupted)
        assert found["a"].digests.tolist() == found["b"].digests.tolist()

    def test_classes_may_be_absent_or_elsewhere(self, desk, test, prompts):
        desk.csv("a.csv", prompts.drop(columns=["answer", "foil"]))
        desk.csv("b.csv", prompts.rename(columns={"answer": "right", "foil": "wrong"}))
        found = desk.load(
            DECIDED,
            test=test,
            sets={"a": {"path": "a.csv", **SIDES}, "b": {"path": "b.csv", **SIDES, "answer": "right"}},
        ).sets
        assert found["a"].pairs.answer is None
        assert found["b"].pairs.answer is not None
        assert found["b"].pairs.foil is None

    def test_mistakes_are_one_line_each(self, desk, test, prompts):
        desk.csv("ioi.csv", prompts)
        told = desk.refused(
            DECIDED,
            test=test,
            sets={
                "a": {"path": "ioi.csv", "clean": "clean", "corrupted": "corupted"},
                "b": {"path": "ioi.csv", **SIDES, "answer": "anser"},
            },
        )
        assert sorted(one.what for one in told.mistakes) == [
            "data.sets.a.corrupted: no column named 'corupted' in ioi.csv; did you mean 'corrupted'?",
            "data.sets.b.answer: no column named 'anser' in ioi.csv; did you mean 'answer'?",
        ]
        desk.csv("ioi.csv", prompts.assign(answer=["x", "z"]))
        told = desk.refused(DECIDED, test=test, sets={"a": {"path": "ioi.csv", **SIDES}})
        assert [one.what for one in told.mistakes] == [
            "data.sets.a.path: column 'answer' of ioi.csv: 'z' is no class of this model"
        ]
        desk.write("lines.txt", "a b\nb c\n")
        told = desk.refused(DECIDED, test=test, sets={"a": {"path": "lines.txt", **SIDES}})
        assert "holds one text a line; prompts are two columns of a table" in told.mistakes[0].what


class TestTables:
    @pytest.fixture
    def model(self, desk) -> dict:
        rng = np.random.default_rng(3)
        frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40)})
        frame["y"] = (frame.a + frame.b > 0).astype(int)
        desk.csv("t.csv", frame)
        skops.dump(LogisticRegression().fit(frame[["a", "b"]], frame["y"]), desk.folder / "m.skops")
        return {"path": "m.skops"}

    def test_columns_of_either_side_are_the_features(self, desk, model):
        frame = pd.DataFrame(
            {
                "clean_a": [1.5, 2.5],
                "clean_b": [0, 1],
                "off_a": [-1.5, -2.5],
                "off_b": [0, 1],
                "kind": ["u", "v"],
            }
        )
        desk.csv("p.csv", frame)
        found = desk.load(
            model,
            test="t.csv",
            target="y",
            sets={"p": {"path": "p.csv", "clean": "clean", "corrupted": "off"}},
        ).sets["p"]
        assert list(found.frame.columns) == list(found.pairs.corrupted.columns) == ["a", "b"]
        assert (found.frame["a"] == -found.pairs.corrupted["a"]).all()
        assert list(found.side.columns) == ["kind"]

    def test_a_feature_that_is_missing_on_one_side(self, desk, model):
        desk.csv("p.csv", pd.DataFrame({"clean_a": [1.0], "clean_b": [1.0], "off_a": [2.0]}))
        told = desk.refused(
            model,
            test="t.csv",
            target="y",
            sets={"p": {"path": "p.csv", "clean": "clean", "corrupted": "off"}},
        )
        assert [one.what for one in told.mistakes] == [
            "data.sets.p.path: no column named 'off_b' in p.csv, which the model reads as 'b'; did you mean 'off_a'?"
        ]
