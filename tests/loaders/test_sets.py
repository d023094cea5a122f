"""Named examples beside the data: of the same kind, chosen by conditions, in the order of their content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from skops import io as skops

DECIDED = {"format": "predictions", "prediction": "p"}
RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., str]:
    def made(folder: str, *places: int, inner: str = "") -> str:
        for place in places:
            path = tmp_path / folder / inner / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[place]).save(path)
        return folder

    return made


class TestPictures:
    @pytest.fixture
    def test(self, desk, pictures) -> dict:
        pictures("test", 0, 1, 2, 3)
        desk.csv(
            "labels.csv", pd.DataFrame({"file": [f"{place}.png" for place in range(4)], "p": [0, 1, 0, 1]})
        )
        return {"path": "test", "labels": "labels.csv"}

    def test_a_folder_and_an_array(self, desk, pictures, test):
        pictures("striped", 3, 4, 5)
        np.savez(desk.folder / "pool.npz", images=PIXELS[4:], shade=np.arange(6))
        subject = desk.load(
            DECIDED,
            test=test,
            sets={"striped": {"path": "striped"}, "dark": {"path": "pool.npz", "where": "shade < 2"}},
        )
        assert list(subject.sets) == ["striped", "dark"]
        striped, dark = subject.sets["striped"], subject.sets["dark"]
        assert (striped.n, dark.n) == (3, 2)
        assert list(striped.frame.columns) == list(dark.frame.columns) == ["image"]
        assert striped.frame["image"].dtype == object
        assert sorted(striped.side["file"]) == ["3.png", "4.png", "5.png"]
        for row in range(2):
            np.testing.assert_array_equal(dark.frame["image"][row], PIXELS[4 + dark.side["shade"][row]])
        assert striped.target is None
        assert striped.digests.tolist() == sorted(striped.digests.tolist())
        assert "data.sets.dark: 2 of 6 examples, those for which shade < 2" in subject.notes
        assert "data.sets.striped: 1 of 3 examples are pictures of data.test too" in subject.notes

    def test_labels_and_conditions_on_them(self, desk, pictures, test):
        pictures("faces", *range(10))
        frame = pd.DataFrame(
            {
                "file": [f"{place}.png" for place in range(10)],
                "sex": ["male", "female"] * 5,
                "age": [20, 60, None, 30, 70, 55, 18, 90, 51, 10],
                "taken": ["2020-01-01", "2021-06-30"] * 5,
            }
        )
        desk.csv("faces.csv", frame)
        faces = {"path": "faces", "labels": "faces.csv"}
        subject = desk.load(
            DECIDED,
            test=test,
            sets={
                "older_men": {**faces, "where": "sex == 'male' and age >= 50"},
                "unknown": {**faces, "where": "age is missing"},
                "late": {**faces, "where": "taken > '2020-12-31'"},
            },
        )
        files = {name: sorted(rows.side["file"]) for name, rows in subject.sets.items()}
        assert files == {
            "older_men": ["4.png", "8.png"],
            "unknown": ["2.png"],
            "late": ["1.png", "3.png", "5.png", "7.png", "9.png"],
        }

    def test_classes_of_folders_can_be_asked(self, desk, pictures, test):
        for place in range(10):
            pictures("pool", place, inner="ab"[place % 2])
        subject = desk.load(DECIDED, test=test, sets={"b": {"path": "pool", "where": "class == 'b'"}})
        assert set(subject.sets["b"].side["class"]) == {"b"}

    def test_names_and_order_change_nothing(self, desk, pictures, test):
        pictures("one", *range(10))
        for place in range(10):
            Path(desk.folder / "two").mkdir(exist_ok=True)
            (desk.folder / "one" / f"{place}.png").rename(desk.folder / "two" / f"{(place * 7) % 10}x.png")
        pictures("one", *range(10))
        subject = desk.load(DECIDED, test=test, sets={"one": {"path": "one"}, "two": {"path": "two"}})
        one, two = subject.sets["one"], subject.sets["two"]
        np.testing.assert_array_equal(one.digests, two.digests)
        np.testing.assert_array_equal(np.stack(one.frame["image"]), np.stack(two.frame["image"]))

    def test_every_mistake_at_once(self, desk, pictures, test):
        pictures("pool", 4, 5)
        desk.csv("t.csv", pd.DataFrame({"a": [1]}))
        desk.write("t.txt", "a text\n")
        lines = str(
            desk.refused(
                DECIDED,
                test=test,
                sets={
                    "none": {"path": "absent"},
                    "digest": {"path": "pool", "sha256": "0" * 64},
                    "format": {"path": "t.xyz"},
                },
            )
        ).splitlines()
        assert [line.partition("audit.yaml: ")[2].partition(" (")[0][:60] for line in lines] == [
            "data.sets.none: no such file or folder: absent",
            "data.sets.digest: pool has sha256 " + lines[1].partition("sha256 ")[2][:26],
            "data.sets.format: the suffix '.xyz' of t.xyz names no table ",
        ]
        lines = str(
            desk.refused(DECIDED, test=test, sets={"table": {"path": "t.csv"}, "words": {"path": "t.txt"}})
        ).splitlines()
        assert [line.partition("audit.yaml: ")[2] for line in lines] == [
            "data.sets.table.path: t.csv holds a table, and data.test holds pictures; a set is of the same kind",
            "data.sets.words.path: t.txt holds texts, and data.test holds pictures; a set is of the same kind",
        ]
        conditions = ("nme == 'x'", "file == 3", "file == 'x.png'", "file = 'x'")
        lines = str(
            desk.refused(
                DECIDED,
                test=test,
                sets={f"s{place}": {"path": "pool", "where": text} for place, text in enumerate(conditions)},
            )
        ).splitlines()
        assert [line.partition("audit.yaml: ")[2] for line in lines] == [
            "data.sets.s0.where: no column named 'nme' in pool; did you mean 'file'?"
            if "did you mean" in lines[0]
            else "data.sets.s0.where: no column named 'nme' in pool; there are 'file'",
            "data.sets.s1.where: pool: 'file' holds text; write '3' in quotes",
            "data.sets.s2.where: \"file == 'x.png'\" holds for none of the 2 rows of pool",
            "data.sets.s3.where: character 6: no condition: invalid syntax; == compares",
        ]

    def test_what_is_wrong_in_a_set_is_told_with_what_is_wrong_in_the_data(self, desk, test):
        (desk.folder / "test" / "0.png").write_bytes(b"x")
        told = str(desk.refused(DECIDED, test=test, sets={"none": {"path": "absent"}}))
        assert "test/0.png: no picture" in told
        assert "data.sets.none" in told


class TestTexts:
    @pytest.fixture
    def test(self, desk) -> dict:
        desk.csv("t.csv", pd.DataFrame({"said": ["sun", "rain", "snow"], "p": [0, 1, 0], "sex": list("fmf")}))
        return {"path": "t.csv", "text": "said"}

    def test_lines_tables_and_their_columns(self, desk, test):
        desk.write("corpus.txt", "one\n\nsun\nthree\n")
        desk.csv("c.csv", pd.DataFrame({"said": ["a", "b"], "sex": ["f", "m"]}))
        desk.write("d.jsonl", '{"words": "007", "sex": "f"}\n{"words": "x", "sex": "m"}\n')
        subject = desk.load(
            DECIDED,
            test=test,
            sets={
                "corpus": {"path": "corpus.txt"},
                "same": {"path": "c.csv", "where": "sex == 'f'"},
                "other": {"path": "d.jsonl", "text": "words"},
                "own": {"path": "t.csv", "where": "sex == 'f'"},
            },
        )
        texts = {name: sorted(rows.frame["said"]) for name, rows in subject.sets.items()}
        assert texts == {
            "corpus": ["one", "sun", "three"], "same": ["a"], "other": ["007", "x"], "own": ["snow", "sun"],
        }  # fmt: skip
        assert list(subject.sets["other"].side.columns) == ["sex"]
        assert "corpus.txt: 1 blank lines are left out" in subject.notes
        assert "data.sets.corpus: 1 of 3 examples are texts of data.test too" in subject.notes

    def test_the_column_must_be_said_where_it_is_another(self, desk, test):
        desk.csv("c.csv", pd.DataFrame({"words": ["a", "b"]}))
        told = str(desk.refused(DECIDED, test=test, sets={"c": {"path": "c.csv"}}))
        assert "data.sets.c.text: no column named 'said' in c.csv" in told

    def test_real_concepts(self, desk, test, shared_data):
        folder = shared_data / "text_tcav_concepts"
        named = {path.stem: {"path": str(path)} for path in sorted(folder.glob("*.txt"))}
        subject = desk.load(DECIDED, test=test, sets=named)
        for name, rows in subject.sets.items():
            lines = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
            assert sorted(rows.frame["said"]) == sorted(line for line in lines if line.strip())
        assert len(subject.sets) == 6


class TestTables:
    @pytest.fixture
    def model(self, desk, people) -> dict:
        skops.dump(LogisticRegression().fit(people[["age", "sex"]], people.y), desk.folder / "m.skops")
        desk.csv("t.csv", people)
        return {"path": "m.skops"}

    def test_a_set_has_the_features_and_what_stands_beside_them(self, desk, people, model):
        desk.csv("pool.csv", people.head(50)[["city", "sex", "age"]])
        subject = desk.load(
            model,
            test="t.csv",
            target="y",
            sets={"old": {"path": "pool.csv", "where": "age >= 50 and sex == 1"}},
        )
        old = subject.sets["old"]
        assert list(old.frame.columns) == ["age", "sex"]
        assert list(old.side.columns) == ["city"]
        kept = people.head(50).query("age >= 50 and sex == 1")
        assert sorted(old.frame["age"]) == sorted(kept.age)
        assert subject.evaluate(old.frame).shape == (old.n, 2)
        assert set(subject.test.side.columns) == {"income", "city", "member", "y"}

    def test_features_of_other_types_or_absent(self, desk, people, model):
        desk.csv("a.csv", people[["city", "sex"]])
        desk.csv("b.csv", people[["city", "sex"]].assign(age="old"))
        told = str(
            desk.refused(
                model, test="t.csv", target="y", sets={"a": {"path": "a.csv"}, "b": {"path": "b.csv"}}
            )
        )
        assert "data.sets.a.path: no column named 'age' in a.csv, which the model reads" in told
        assert 'b.csv:"age": this column holds text, and that of data.test holds numbers' in told

    def test_words_that_look_like_numbers_stay_words(self, desk):
        frame = pd.DataFrame({"code": ["a1", "b2", "c3"], "p": [0, 1, 0]})
        desk.csv("t.csv", frame)
        desk.csv("s.csv", pd.DataFrame({"code": ["1", "2"]}))
        subject = desk.load(DECIDED, test="t.csv", sets={"s": {"path": "s.csv"}})
        assert sorted(subject.sets["s"].frame["code"]) == ["1", "2"]
