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


class TestTemplates:
    @pytest.fixture
    def data(self, desk) -> dict:
        desk.csv("t.csv", pd.DataFrame({"text": ["a b", "b a", "7", "c"], "p": ["x", "y", "x", "y"]}))
        frame = pd.DataFrame({"clean": [f"a {one}" for one in range(31)], "corrupted": "b 1"})
        frame["template"] = ["short"] * 12 + ["long"] * 15 + ["rare"] * 3 + [None]
        desk.csv("p.csv", pd.concat([frame, frame.iloc[27:28]]))  # one of the three stands twice
        return {"test": {"path": "t.csv", "text": "text"}, "sets": {"p": {"path": "p.csv", **SIDES}}}

    def use(self, templates, **more):
        params = {"prompts": "p", "multiverse": {"templates": templates}, **more}
        return [{"method": "circuit_discovery", "name": "circuit_discovery", "params": params}]

    def told(self, desk, data, templates, **more):
        found = desk.refused(DECIDED, **data, explainers=self.use(templates), **more)
        return [one.what for one in found.mistakes]

    def test_each_prompt_has_its_own_or_none(self, desk, data):
        pairs = desk.load(DECIDED, **data).sets["p"].pairs
        assert pairs.templates == {"long": 15, "rare": 3, "short": 12}
        assert np.bincount(pairs.template + 1).tolist() == [1, 15, 4, 12]

    def test_another_column_may_hold_them_and_none_must(self, desk, data):
        desk.csv("p.csv", pd.read_csv(desk.folder / "p.csv").rename(columns={"template": "frame"}))
        assert desk.load(DECIDED, **data).sets["p"].pairs.template is None
        data["sets"]["p"]["template"] = "frame"
        assert list(desk.load(DECIDED, **data).sets["p"].pairs.templates) == ["long", "rare", "short"]

    def test_those_that_are_asked_for_must_be_there(self, desk, data):
        assert (
            desk.load(DECIDED, **data, explainers=self.use(["short", "long"])).sets["p"].pairs.template
            is not None
        )
        key = "explainers.0.circuit_discovery.multiverse.templates"
        assert self.told(desk, data, ["long", "shrot"]) == [
            f"{key}.1: multiverse.templates: no prompt of p has the template 'shrot'; did you mean 'short'?"
        ]
        # A rare one is not listed among what is there.
        assert "rare" not in self.told(desk, data, ["x"])[0]

    def test_a_rare_one_cannot_be_named(self, desk, data):
        assert self.told(desk, data, ["rare"])[0].endswith(
            "the template 'rare' is of 3 prompts of p; report.min_cell is 10"
        )
        assert desk.load(DECIDED, **data, explainers=self.use(["rare"]), report={"min_cell": 3})

    def test_a_condition_takes_prompts_away(self, desk, data):
        data["sets"]["p"]["where"] = "template == 'long'"
        assert "no prompt of p has the template 'short'" in self.told(desk, data, ["short"])[0]

    def test_prompts_without_any(self, desk, data):
        desk.csv("p.csv", pd.read_csv(desk.folder / "p.csv").drop(columns="template"))
        for asked in (True, ["short"]):
            assert self.told(desk, data, asked)[0].endswith(
                "the prompts of p name none; 'template' is no column of p.csv"
            )
        data["sets"]["p"]["template"] = "frame"
        assert self.told(desk, data, True)[0].startswith(
            "data.sets.p.template: no column named 'frame' in p.csv"
        )

    def test_of_a_table_a_clean_side_counts_once_whatever_stands_beside_it(self, desk):
        frame = pd.DataFrame({"a": np.arange(4.0), "y": [0, 1, 0, 1], "p": [0, 1, 0, 1]})
        desk.csv("t.csv", frame)
        prompts = pd.DataFrame(
            {"clean_a": [1.0, 1.0, 2.0, 2.0], "off_a": [5.0, 6.0, 7.0, 8.0], "template": list("uuvw")}
        )
        desk.csv("p.csv", prompts)
        named = {"path": "p.csv", "clean": "clean", "corrupted": "off"}
        model = {"format": "predictions", "prediction": "p"}
        found = desk.load(model, test="t.csv", target="y", features=["a"], sets={"p": named}).sets["p"].pairs
        assert found.templates == {"u": 1, "v": 1, "w": 1}
        named["clean"] = "cleen"
        told = desk.refused(
            model, test="t.csv", target="y", features=["a"], sets={"p": named}, explainers=self.use(["u"])
        )
        assert any("no column named 'cleen_a'" in one.what for one in told.mistakes)


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
