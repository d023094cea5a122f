"""What the spec says of the data: labels, features, groups, weights; and the same bytes for the same content."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from skops import io as skops

from xai_audit.loaders import probe
from xai_audit.loaders.cells import Typed
from xai_audit.loaders.groups import bin_labels, natural
from xai_audit.loaders.labels import matches, word
from xai_audit.loaders.rows import digests, order
from xai_audit.subject import in_blocks

DECIDED = {"format": "predictions", "prediction": "p"}
SCORED = {"format": "predictions", "score": "s"}


def rows(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines()) + "\n"


class TestLabels:
    @pytest.mark.parametrize(
        ("values", "said", "expected"),
        [
            ([0, 1], "1", 1),
            ([0, 1], True, 1),
            ([0, 1], 0.0, 0),
            ([False, True], 1, 1),
            ([False, True], "true", 1),
            (["no", "yes"], "no", 0),
            (["0", "1"], 1, 1),
            ([1.5, 2.5], 2.5, 1),
        ],
    )
    def test_positive_by_value(self, desk, values, said, expected):
        desk.csv("t.csv", pd.DataFrame({"p": values * 5, "y": values * 5}))
        subject = desk.load({**DECIDED, "positive": said}, test="t.csv", target="y")
        assert (subject.positive, subject.favourable) == (expected, expected)
        assert not any("no positive class" in note for note in subject.notes)

    def test_default_is_the_second_and_said(self, desk):
        desk.csv("t.csv", pd.DataFrame({"p": ["b", "a"], "y": ["a", "b"]}))
        subject = desk.load({**DECIDED, "favourable": "a"}, test="t.csv", target="y")
        assert (subject.classes, subject.positive, subject.favourable) == (("a", "b"), 1, 0)
        assert any("no positive class is stated; 'b' is taken" in note for note in subject.notes)

    def test_an_unknown_label_is_told_with_the_nearest(self, desk):
        desk.csv("t.csv", pd.DataFrame({"p": ["yes", "no"], "y": ["no", "yes"]}))
        text = str(desk.refused({**DECIDED, "positive": "yess"}, test="t.csv", target="y"))
        assert "model.positive: no class 'yess'; did you mean 'yes'?" in text

    def test_a_label_of_two_meanings(self, desk):
        desk.csv("t.csv", pd.DataFrame({"p": [0, 1], "y": [0, 1]}))
        text = str(desk.refused({**DECIDED, "classes": ["1", 1]}, test="t.csv", target="y"))
        assert "named twice" in text

    def test_one_word_per_value(self):
        assert [
            word(label) for label in (1, 1.0, "1", "1.0", True, "TRUE", "01", "1e0", 0.5, np.int64(3))
        ] == [*("1", "1", "1", "1", "true", "true", "01", "1e0", "0.5", "3")]
        assert matches(True, [0, 1]) == [1]
        assert matches("x", ["X"]) == []

    def test_invalid_labels_are_counted_by_label(self, desk, people):
        model = LogisticRegression().fit(people[["age"]], people.y)
        skops.dump(model, desk.folder / "m.skops")
        frame = people.assign(y=people.y.astype(object))
        frame.loc[[0, 1], "y"] = np.nan
        frame.loc[range(2, 14), "y"] = 9
        frame.loc[[14, 15], "y"] = 7  # what few rows say may tell who they are
        desk.csv("t.csv", frame)
        subject = desk.load({"path": "m.skops"}, test="t.csv", train="t.csv", target="y")
        assert subject.facts["invalid_labels"]["count"] == 16
        assert subject.facts["invalid_labels"]["examples"] == ["9", "missing"]
        assert (subject.test.target == -1).sum() == 16
        assert subject.facts["invalid_labels"]["train"]["count"] == 16
        assert any("16 rows of t.csv have no valid label ('9', 'missing')" in note for note in subject.notes)

    def test_labels_that_are_none_of_the_models(self, desk, people):
        skops.dump(LogisticRegression().fit(people[["age"]], people.y), desk.folder / "m.skops")
        desk.csv("t.csv", people.assign(y=np.where(people.y, "yes", "no")))
        assert "state model: classes:" in str(desk.refused({"path": "m.skops"}, test="t.csv", target="y"))
        subject = desk.load({"path": "m.skops", "classes": ["no", "yes"]}, test="t.csv", target="y")
        assert subject.classes == ("no", "yes")
        assert subject.facts["base_rates"]["test"] == {
            "no": int((people.y == 0).sum()),
            "yes": int(people.y.sum()),
        }

    def test_no_target_at_all(self, desk):
        desk.csv("t.csv", pd.DataFrame({"p": ["in", "out", "in"], "g": ["a", "b", "b"]}))
        subject = desk.load({**DECIDED, "positive": "in"}, test="t.csv", sensitive=["g"])
        assert subject.test.target is None
        assert sorted(subject.prediction) == [0, 0, 1]
        assert (subject.positive, subject.scores) == (0, None)

    def test_scores_alone_have_classes_of_their_own(self, desk):
        desk.csv("t.csv", pd.DataFrame({"s": [0.1, 0.9]}))
        subject = desk.load(SCORED, test="t.csv")
        assert subject.classes == (0, 1)
        assert sorted(subject.prediction) == [0, 1]

    def test_one_class_alone_is_a_mistake(self, desk):
        desk.csv("t.csv", pd.DataFrame({"p": [1, 1], "y": [1, 1]}))
        assert "one class alone is known ('1')" in str(desk.refused(DECIDED, test="t.csv", target="y"))

    def test_whole_numbers_may_be_classes_or_quantities(self, desk):
        desk.csv("t.csv", pd.DataFrame({"p": [1, 2, 3], "y": [1, 3, 2]}))
        assert "state task: classification or regression" in str(
            desk.refused(DECIDED, test="t.csv", target="y")
        )
        assert desk.load({**DECIDED, "task": "classification"}, test="t.csv", target="y").classes == (1, 2, 3)
        subject = desk.load({**DECIDED, "task": "regression"}, test="t.csv", target="y")
        assert subject.task == "regression"
        assert sorted(subject.prediction) == [1, 2, 3]


class TestPredictions:
    def test_compas(self, desk, shared_data):
        """Published: false positive rates 44.85 % and 23.45 %, false negative rates 27.99 % and 47.72 %."""
        subject = desk.load(
            {
                "format": "predictions",
                "score": "decile_score",
                "threshold": 5,
                "positive": 1,
                "favourable": 0,
            },
            test=str(shared_data / "compas" / "compas_two_years.csv"),
            target="two_year_recid",
            sensitive=["race", "sex", {"column": "age", "bins": [25, 46]}],
            id="id",
        )
        assert subject.test.n == 7214
        assert not subject.probabilities
        assert subject.scores.shape == (7214, 1)
        assert (subject.positive, subject.favourable) == (1, 0)
        race = subject.grouping("race")
        y, predicted = subject.test.target, subject.prediction
        for label, false_positive, false_negative in (
            ("African-American", 0.448468, 0.279853),
            ("Caucasian", 0.234543, 0.477226),
        ):
            group = race.codes == race.labels().index(label)
            assert predicted[group & (y == 0)].mean() == pytest.approx(false_positive, abs=5e-7)
            assert 1 - predicted[group & (y == 1)].mean() == pytest.approx(false_negative, abs=5e-7)
        assert np.bincount(race.codes).sum() == 7214
        assert [grouping.columns for grouping in subject.groupings[3:]] == [
            ("race", "sex"),
            ("age", "race"),
            ("age", "sex"),
        ]
        assert "decile_score" not in subject.test.frame

    def test_scores_in_and_outside_the_unit_interval(self, desk):
        desk.csv("t.csv", pd.DataFrame({"s": [0.2, 0.5, 0.7], "y": ["n", "n", "y"]}))
        subject = desk.load(SCORED, test="t.csv", target="y")
        assert subject.probabilities
        np.testing.assert_array_equal(subject.scores.sum(axis=1), 1)
        assert subject.prediction.sum() == 2  # a score at the threshold is positive
        turned = desk.load({**SCORED, "positive": "n"}, test="t.csv", target="y")
        np.testing.assert_array_equal(turned.positive_score(), subject.positive_score())
        np.testing.assert_array_equal(turned.prediction, 1 - subject.prediction)

    def test_decisions_beside_scores_count_and_differences_are_said(self, desk):
        desk.csv("t.csv", pd.DataFrame({"s": [0.2, 0.5, 0.7], "p": [0, 0, 1], "y": [0, 1, 1]}))
        subject = desk.load({**SCORED, "prediction": "p"}, test="t.csv", target="y")
        assert subject.prediction.sum() == 1
        assert any("1 decisions of 'p' differ from the score at 0.5" in note for note in subject.notes)

    def test_faults(self, desk):
        desk.csv("t.csv", pd.DataFrame({"s": [0.2, 0.4, 0.6], "p": ["a", None, "z"], "y": ["a", "b", "c"]}))
        assert "did you mean 's'" in str(desk.refused({"format": "predictions", "score": "ss"}, test="t.csv"))
        assert "needs score: or prediction:" in str(desk.refused({"format": "predictions"}, test="t.csv"))
        text = str(desk.refused({**DECIDED, "classes": ["a", "b"]}, test="t.csv", target="y"))
        assert 't.csv:3:"p": a decision is missing' in text
        assert "t.csv:4:\"p\": 'z' is none of the classes" in text
        text = str(desk.refused({**SCORED, "task": "classification"}, test="t.csv", target="y"))
        assert "one score column says nothing about 3 classes" in text
        text = str(desk.refused(SCORED, test="t.csv", target="p", features=["s"]))
        assert "a prediction is no feature" in text
        text = str(desk.refused({"path": "m.skops", "score": "s"}, test="t.csv"))
        assert "only format predictions reads columns" in text


class TestFeatures:
    def model(self, desk, frame, names) -> dict:
        model = HistGradientBoostingClassifier(max_iter=2).fit(frame[names], frame.y)
        skops.dump(model, desk.folder / "m.skops")
        return {"path": "m.skops"}

    def test_defaults_leave_out_every_other_role(self, desk, people):
        desk.csv("t.csv", people.assign(id=range(300), k=1, w=1.0, s=0.5))
        subject = desk.load(
            SCORED, test="t.csv", target="y", id="id", cluster="k", weight="w", sensitive=["sex"]
        )
        assert [column.name for column in subject.columns] == ["age", "city", "income", "member"]

    def test_mixed_types_infinities_and_commas_are_placed(self, desk, people):
        use = self.model(desk, people, ["age", "income"])
        frame = people.astype({"age": object, "income": object})
        frame.loc[7, "age"] = "old"
        frame.loc[9, "income"] = "inf"
        desk.csv("t.csv", frame)
        text = str(desk.refused(use, test="t.csv", target="y"))
        assert f"t.csv:9:\"age\": 'old' in a column that holds '{people.age[0]}' (row 2)" in text
        assert 't.csv:11:"income": inf is no number' in text
        desk.write("t.csv", "age;income;y\n1,5;2;0\n2,5;3;1\n")
        assert "write 1.5 for 1,5" in str(desk.refused(use, test="t.csv", target="y"))

    def test_types_that_differ_between_tables(self, desk, people):
        use = self.model(desk, people, ["age", "income"])
        desk.csv("train.csv", people)
        frame = people.astype({"age": object})
        frame.loc[0, "age"] = "x"
        desk.csv("t.csv", frame[["y", "income", "age"]])
        text = str(desk.refused(use, test="t.csv", train="train.csv", target="y"))
        assert "t.csv:2:\"age\": 'x' in a column that holds" in text
        # Whole numbers in one file and decimals in the other are one type.
        desk.csv("t.csv", people.assign(age=people.age + 0.5))
        subject = desk.load(use, test="t.csv", train="train.csv", target="y")
        assert subject.train.frame["age"].dtype == subject.test.frame["age"].dtype == np.float64

    def test_unseen_levels_are_counted(self, desk, people):
        desk.csv("train.csv", people)
        frame = people.copy()
        frame.loc[range(3, 14), "city"] = ["Oslo"] * 10 + ["Ålesund"]
        desk.csv("t.csv", frame.assign(s=0.5))
        subject = desk.load(SCORED, test="t.csv", train="train.csv", target="y")
        assert subject.facts["unseen_levels"] == [
            {"column": "city", "rows": 11, "count": 2, "levels": ["Oslo"]}  # one row is from Ålesund
        ]
        (note,) = (note for note in subject.notes if "not seen in training" in note)
        assert note == "11 test rows have a level of 'city' that was not seen in training ('Oslo', ...)"
        subject = desk.load(
            SCORED, test="t.csv", train="train.csv", target="y", sensitive=["city"], features=["city"]
        )
        assert subject.facts["unseen_levels"] == [{"column": "city", "rows": None, "count": 2, "levels": []}]
        assert not any("Oslo" in note for note in subject.notes)

    def test_dates_go_to_the_model_as_it_takes_them(self, desk, people):
        days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(300) % 50, unit="D")
        frame = people.assign(day=days.strftime("%Y-%m-%d"))
        desk.csv("t.csv", frame)
        numbers = frame.assign(day=(days - pd.Timestamp("1970-01-01")).days)
        subject = desk.load(self.model(desk, numbers, ["day", "age"]), test="t.csv", target="y")
        assert any("days since 1970-01-01 are given for 'day'" in note for note in subject.notes)
        assert subject.columns[0].kind == "date"
        code = "import pandas as pd\ndef {}(x):\n    {}\n    return (x['day'] > {}) * 0.5\n"
        import hashlib

        for name, check, limit in (
            ("texts", "assert isinstance(x['day'].iloc[0], str)", "'2020-01-10'"),
            ("moments", "x['day'].dt.year", "pd.Timestamp('2020-01-10')"),
        ):
            desk.write(f"{name}.py", code.format(name, check, limit))
            digest = hashlib.sha256((desk.folder / f"{name}.py").read_bytes()).hexdigest()
            use = {"entry": f"{name}.py:{name}", "trust": True, "sha256": digest}
            subject = desk.load(use, test="t.csv", target="y", features=["day"])
            assert subject.positive_score().sum() == (days > pd.Timestamp("2020-01-10")).sum() * 0.5

    def test_overlap_duplicates_and_gaps(self, desk, people):
        desk.csv("train.csv", people[:200])
        frame = pd.concat([people[190:], people[290:]]).assign(s=0.5)
        desk.csv("t.csv", frame)
        subject = desk.load(SCORED, test="t.csv", train="train.csv", target="y")
        both = people[190:200].merge(people[:200]).drop_duplicates()
        assert subject.facts["train_test_overlap"]["count"] >= len(both) == 10
        assert subject.facts["train_test_overlap"]["rows"] == 120
        assert subject.facts["duplicate_rows"]["test"] >= 10
        gaps = int(frame.income.isna().sum())
        assert subject.facts["missing"]["income"] == {"count": gaps, "rows": 120}

    def test_nothing_is_compared_without_features_and_no_target_that_a_table_lacks(self, desk, people):
        desk.csv("train.csv", people.drop(columns="y")[:50])
        desk.csv("t.csv", people.assign(s=0.5))
        subject = desk.load(SCORED, test="t.csv", train="train.csv", target="y")
        assert subject.facts["train_test_overlap"]["columns"] == 5
        assert subject.train.target is None
        assert any("train.csv has no column 'y'" in note for note in subject.notes)
        desk.csv("t.csv", people[["y"]].assign(s=0.5))
        assert desk.load(SCORED, test="t.csv", train="t.csv", target="y").facts["train_test_overlap"] is None

    def test_wrong_names_are_all_told_at_once(self, desk):
        desk.csv("t.csv", pd.DataFrame({"s": [0.1], "age": [3], "y": [0]}))
        error = desk.refused(
            SCORED,
            test="t.csv",
            target="z",
            features=["aeg"],
            categorical=["b"],
            sensitive=["sexx"],
            id="i",
            weight="w",
        )
        assert len(error.mistakes) == 6
        assert error.exit_code == 2
        assert "data.features: no column named 'aeg' in t.csv; did you mean 'age'?" in str(error)

    def test_weights_and_clusters(self, desk):
        frame = pd.DataFrame({"s": [0.1, 0.2, 0.3], "y": [0, 1, 1], "w": [1, 2.5, 0], "k": ["b", "a", "b"]})
        desk.csv("t.csv", frame)
        subject = desk.load(SCORED, test="t.csv", target="y", weight="w", cluster="k")
        by_score = dict(zip(np.round(subject.scores[:, 1], 3), subject.test.weights, strict=True))
        assert by_score == {0.1: 1, 0.2: 2.5, 0.3: 0}
        assert sorted(subject.test.clusters) == [0, 1, 1]
        desk.csv("t.csv", frame.assign(w=[1, -2, np.nan], k=["b", None, "a"]))
        text = str(desk.refused(SCORED, test="t.csv", target="y", weight="w", cluster="k"))
        assert 't.csv:3:"w": a weight is a number from 0 up, not -2' in text
        assert 't.csv:4:"w": a weight is a number from 0 up, not missing' in text
        assert 't.csv:3:"k": a row without a cluster' in text


class TestGroups:
    def load(self, desk, content, **data):
        return desk.load(SCORED, test=desk.write("t.csv", rows(content)), **data)

    def test_bins_of_whole_and_of_other_numbers(self, desk):
        whole = "s,age\n.1,29\n.2,30\n.3,49\n.4,50\n.5,\n.6,80"
        (grouping,) = self.load(desk, whole, sensitive=[{"column": "age", "bins": [30, 50]}]).groupings
        assert grouping.labels() == ("<30", "30-49", ">=50", "missing")
        assert grouping.missing == (False, False, False, True)
        assert sorted(grouping.codes) == [0, 1, 1, 2, 2, 3]
        other = whole.replace("49", "49.5")
        (grouping,) = self.load(desk, other, sensitive=[{"column": "age", "bins": [30, 50]}]).groupings
        assert grouping.labels() == ("<30", "30 to <50", ">=50", "missing")
        assert bin_labels([1, 2, 10], whole=True) == ["<1", "1", "2-9", ">=10"]

    def test_bins_that_cannot_be(self, desk):
        desk.csv("t.csv", pd.DataFrame({"s": [0.1, 0.2], "g": ["a", "b"], "age": [1, 2]}))
        for item, expected in (
            ({"column": "age", "bins": [5, 5]}, "increasing"),
            ({"column": "g", "bins": [5]}, "is not numeric"),
        ):
            assert expected in str(desk.refused(SCORED, test="t.csv", sensitive=[item]))

    def test_many_numbers_need_bins(self, desk, people):
        desk.csv("t.csv", people.assign(s=0.5))
        text = str(desk.refused(SCORED, test="t.csv", target="y", sensitive=["age"]))
        assert "distinct values; give bins" in text
        assert "bins: [" in text

    def test_words_of_values_in_natural_order(self, desk):
        content = "s,a,b,c\n.1,10,1.0,True\n.2,2,2.5,False\n.3,10,,True"
        numbers, halves, flags = self.load(
            desk, content, sensitive=["a", "b", "c"], crossings="none"
        ).groupings
        assert numbers.labels() == ("2", "10")
        assert halves.labels() == ("1", "2.5", "missing")
        assert flags.labels() == ("false", "true")
        assert sorted(["b10", "b9", "2", "10", "a"], key=natural) == ["2", "10", "a", "b9", "b10"]

    def test_a_level_called_missing_is_not_the_missing_group(self, desk):
        (grouping,) = self.load(desk, "s,g\n.1,missing\n.2,\n.3,a", sensitive=["g"]).groupings
        assert grouping.labels() == ("a", "missing", "missing value")
        assert grouping.missing == (False, False, True)

    def test_crossings_hold_what_occurs(self, desk):
        content = "s,z,a,m\n.1,1,x,u\n.2,2,x,v\n.3,1,y,\n.4,1,y,u"
        subject = self.load(desk, content, sensitive=["z", "a", {"column": "m", "special_category": True}])
        assert [grouping.columns for grouping in subject.groupings[3:]] == [
            ("a", "z"),
            ("m", "z"),
            ("a", "m"),
        ]
        crossed = subject.grouping("z", "a")
        assert crossed.labels() == ("x, 1", "x, 2", "y, 1")
        assert sorted(crossed.codes) == [0, 1, 2, 2]
        assert [grouping.special_category for grouping in subject.groupings] == [
            False,
            False,
            True,
            False,
            True,
            True,
        ]
        assert subject.grouping("a", "m").missing == (False, False, False, True)
        assert len(self.load(desk, content, sensitive=["z", "a", "m"], crossings="all").groupings) == 7
        assert len(self.load(desk, content, sensitive=["z", "a", "m"], crossings="none").groupings) == 3

    def test_groups_from_another_file(self, desk):
        desk.write("groups.csv", "id,origin\n3,c\n1,a\n9,z\n")
        content = "s,id\n.1,1\n.2,2\n.3,3\n"
        item = {"column": "origin", "file": "groups.csv", "key": "id", "special_category": True}
        subject = self.load(desk, content, sensitive=[item], id="id")
        (grouping,) = subject.groupings
        of = {
            row: grouping.labels()[code] for row, code in zip(subject.test.ids, grouping.codes, strict=True)
        }
        assert of == {"1": "a", "2": "missing", "3": "c"}
        assert "test rows without 'origin' in groups.csv are the group of missing values" in subject.notes
        desk.write("groups.csv", "id,origin\n3,c\n1,a\n3,z\n")
        text = str(desk.refused(SCORED, test="t.csv", sensitive=[item]))
        assert "groups.csv:4:\"id\": the key '3' stands in row 2 already" in text
        assert desk.refused(SCORED, test="t.csv", sensitive=[{**item, "file": "none.csv"}]).exit_code == 4
        assert "needs key" in str(
            desk.refused(SCORED, test="t.csv", sensitive=[{"column": "o", "file": "groups.csv"}])
        )


class TestSameBytes:
    def models(self):
        return (
            LogisticRegression(max_iter=3000),
            RandomForestClassifier(30, n_jobs=2, random_state=0),
            HistGradientBoostingClassifier(max_iter=20),
        )

    @pytest.mark.parametrize("place", [0, 1, 2], ids=["lr", "rf", "hgb"])
    def test_shuffled_rows_and_columns(self, desk, people, place):
        names = ["age", "income", "sex"]
        frame = pd.concat([people.fillna(1.0), people[:20].fillna(1.0)])
        skops.dump(self.models()[place].fit(frame[names], frame.y), desk.folder / "m.skops")
        seen = []
        rng = np.random.default_rng(1)
        for _ in range(3):
            desk.csv("t.csv", frame)
            subject = desk.load({"path": "m.skops"}, test="t.csv", target="y", sensitive=["sex", "city"])
            seen.append(subject)
            frame = frame.sample(frac=1, random_state=rng.integers(1000))[
                list(rng.permutation(frame.columns))
            ]
        first = seen[0]
        for other in seen[1:]:
            assert first.scores.tobytes() == other.scores.tobytes()
            assert first.test.digests.tobytes() == other.test.digests.tobytes()
            np.testing.assert_array_equal(first.test.occurrence, other.test.occurrence)
            np.testing.assert_array_equal(first.test.target, other.test.target)
            pd.testing.assert_frame_equal(first.test.frame, other.test.frame)
            for one, two in zip(first.groupings, other.groupings, strict=True):
                assert one.keys == two.keys
                np.testing.assert_array_equal(one.codes, two.codes)
            assert first.notes == other.notes
            assert first.facts == other.facts
        # Any part of the rows, in any order, laid out in memory in any way, gives the same bits.
        for size in (1, 7, 64, 256, 300):
            part = rng.permutation(first.test.n)[:size]
            rows_ = first.test.frame.iloc[part].reset_index(drop=True)
            for layout in (
                rows_,
                pd.DataFrame(np.asfortranarray(rows_.to_numpy(float)), columns=rows_.columns),
            ):
                assert in_blocks(first.model.scores, layout).tobytes() == first.scores[part].tobytes()

    def test_duplicates_are_numbered(self):
        column = Typed("number", np.array([3.0, 1.0, 3.0, 3.0]))
        places, occurrence = order(digests({"a": column}))
        assert sorted(occurrence) == [0, 0, 1, 2]
        np.testing.assert_array_equal(np.sort(places), np.arange(4))

    def test_equal_numbers_digest_equally(self):
        def one(*columns):
            return [digests({"a": column}).tobytes() for column in columns]

        whole, real = (
            Typed("number", np.array([0, 5, 2**53])),
            Typed("number", np.array([-0.0, 5.0, 2.0**53])),
        )
        first, second = one(whole, real)
        assert first == second
        large = digests({"a": Typed("number", np.array([2**53 + 1, 2**53, -(2**63)]))})
        assert len(set(large)) == 3

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "a", "b", "ab"])), min_size=1, max_size=30)
    )
    def test_digests_are_equal_exactly_for_equal_rows(self, cells):
        numbers = np.array([number for number, _ in cells], dtype=float)
        numbers[numbers == 2] = np.nan
        levels = ("a", "ab", "b")
        codes = np.array([levels.index(text) if text else -1 for _, text in cells])
        found = digests({"n": Typed("number", numbers), "t": Typed("text", codes, levels)})
        for (one, first), (two, second) in itertools.combinations(enumerate(cells), 2):
            assert (found[one] == found[two]) == (first == second)

    def test_300_000_rows_take_seconds(self):
        import time

        rng = np.random.default_rng(0)
        n = 300_000
        columns = {f"x{place}": Typed("number", rng.normal(size=n)) for place in range(8)}
        columns |= {
            f"c{place}": Typed("text", rng.integers(-1, 5, n), ("a", "b", "c", "d", "e"))
            for place in range(4)
        }
        start = time.process_time()
        order(digests(columns))
        assert time.process_time() - start < 3


class TestProbe:
    def test_a_first_look(self, desk, people):
        desk.csv("t.csv", people)
        found = probe(desk.folder / "t.csv")
        assert found["rows"] == 300
        columns = {column["name"]: column for column in found["columns"]}
        assert list(columns) == list(people.columns)
        assert columns["city"]["kind"] == "text"
        assert columns["city"]["distinct"] == 3
        assert columns["income"]["missing"] == people.income.isna().sum()
        assert (columns["member"]["kind"], columns["sex"]["integer"]) == ("boolean", True)
        assert columns["sex"]["first"] == [str(value) for value in people.sex.drop_duplicates()]

    def test_a_table_of_sklearn(self):
        assert probe("sklearn:diabetes")["rows"] == 442
