"""Texts of a column kept letter by letter, files of lines, gzipped tables, and models that read texts."""

from __future__ import annotations

import gzip
import hashlib
import json

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from skops import io as skops

from xai_audit import card
from xai_audit.loaders import tables, texts
from xai_audit.loaders.mistakes import Mistakes
from xai_audit.subject import Column, in_blocks

DECIDED = {"format": "predictions", "prediction": "p"}
STRANGE = ["007", "1e3", "NA", "true", "2024-01-01", " padded ", "Łódź\n☃", 'say "hi", they said', "NULL"]


def frame(words: list[str], **more) -> pd.DataFrame:
    n = len(words)
    given_ = {"t": words, "p": ["x", "y"] * (n // 2) + ["x"] * (n % 2), "age": range(n)}
    return pd.DataFrame({**given_, **more})


def written(desk, table: pd.DataFrame, kind: str) -> str:
    name = f"t.{kind}"
    path = desk.folder / name
    if kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "parquet":
        table.to_parquet(path)
    elif kind == "arrow":
        table.to_feather(path)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        path.write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    return name


class TestColumn:
    @pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "arrow", "jsonl"])
    def test_texts_are_kept_letter_by_letter(self, desk, kind):
        name = written(desk, frame(STRANGE), kind)
        subject = desk.load(DECIDED, test={"path": name, "text": "t"})
        assert subject.modality == "text"
        assert subject.columns == (Column("t", "text"),)
        assert list(subject.test.frame.columns) == ["t"]
        assert subject.test.frame["t"].dtype == object
        found = {
            int(age): text
            for age, text in zip(subject.test.side["age"], subject.test.frame["t"], strict=True)
        }
        assert [found[place] for place in range(len(STRANGE))] == STRANGE
        assert list(subject.test.side.columns) == ["p", "age"]
        assert subject.facts["missing"] == {}
        assert not any("count as missing" in note for note in subject.notes)

    @pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "jsonl"])
    def test_formats_and_row_order_change_nothing(self, desk, kind):
        table = frame([*STRANGE, *STRANGE])
        first = desk.load(DECIDED, test={"path": written(desk, table, "csv"), "text": "t"})
        shuffled = table.sample(frac=1, random_state=1)[["age", "t", "p"]].reset_index(drop=True)
        other = desk.load(DECIDED, test={"path": written(desk, shuffled, kind), "text": "t"})
        np.testing.assert_array_equal(first.test.digests, other.test.digests)
        assert first.test.frame.equals(other.test.frame)
        assert first.test.side.equals(other.test.side[first.test.side.columns])

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), min_size=1))
    def test_any_text_comes_back_as_it_was_written(self, desk, words):
        if not any(words):
            return
        lines = [json.dumps({"t": word, "row": row}, ensure_ascii=False) for row, word in enumerate(words)]
        (desk.folder / "any.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="")
        subject = desk.load(
            {"format": "predictions", "score": "row", "task": "regression"},
            test={"path": "any.jsonl", "text": "t"},
        )
        rows = subject.prediction.astype(int)
        assert [words[row] for row in rows] == subject.test.frame["t"].tolist()

    def test_a_row_without_text_is_an_empty_one_and_said(self, desk):
        lines = ['{"t": "a", "p": 0}', '{"t": null, "p": 1}', '{"p": 1}', '{"t": "", "p": 0}']
        desk.write("t.jsonl", "\n".join(lines))
        subject = desk.load(DECIDED, test={"path": "t.jsonl", "text": "t"})
        assert sorted(subject.test.frame["t"]) == ["", "", "", "a"]
        assert "t.jsonl, column 't': 2 rows have no text; the model is given an empty one" in subject.notes
        assert subject.facts["missing"] == {"t": {"count": 2, "rows": 4}}
        desk.write("t.csv", "t,p\na,0\n,1\n")
        subject = desk.load(DECIDED, test={"path": "t.csv", "text": "t"})
        assert subject.facts["missing"] == {"t": {"count": 1, "rows": 2}}

    def test_groups_labels_and_roles_stand_beside_the_text(self, desk):
        table = frame(
            [f"text {place}" for place in range(40)],
            y=["no", "yes"] * 20, sex=["f", "f", "m", "m"] * 10, w=1.0, when="2024-02-29",
        )  # fmt: skip
        desk.csv("t.csv", table.assign(p=table.y))
        subject = desk.load(
            DECIDED, test={"path": "t.csv", "text": "t"}, target="y", sensitive=["sex"], id="age", weight="w"
        )
        assert subject.classes == ("no", "yes")
        assert subject.grouping("sex").labels() == ("f", "m")
        assert subject.test.weights.sum() == 40
        assert set(subject.test.side["when"]) == {"2024-02-29"}
        assert len(set(subject.test.ids)) == 40

    def test_training_texts_may_be_called_otherwise(self, desk):
        desk.csv("test.csv", frame(["a", "b", "c"], y=["x", "y", "x"]))
        desk.csv(
            "train.csv", frame(["b", "c", "d", "d"], y=["x", "y", "x", "y"]).rename(columns={"t": "words"})
        )
        subject = desk.load(
            DECIDED,
            test={"path": "test.csv", "text": "t"},
            train={"path": "train.csv", "text": "words"},
            target="y",
        )
        assert sorted(subject.train.frame["t"]) == ["b", "c", "d", "d"]
        assert subject.facts["train_test_overlap"] == {"count": 2, "rows": 3, "columns": 1}
        assert subject.facts["duplicate_rows"] == {"test": 0, "train": 1}

    def test_what_the_audit_tells_of_texts(self, desk):
        desk.csv("t.csv", frame(["a" * length for length in range(1, 101)]))
        spec = desk.spec(DECIDED, test={"path": "t.csv", "text": "t"})
        subject = desk.load(DECIDED, test={"path": "t.csv", "text": "t"})
        about = card.describe(subject, spec)
        assert about["modality"] == "text"
        table = about["data"]["test"]
        assert (table["rows"], table["characters"], table["empty_texts"]) == (
            100, {"5%": 5, "50%": 50, "95%": 95}, 0,
        )  # fmt: skip


class TestMistakes:
    def told(self, desk, **data) -> str:
        return str(desk.refused(DECIDED, **data)).replace(f"{desk.folder}/", "")

    def test_a_column_that_is_not_there(self, desk):
        desk.csv("t.csv", frame(["a", "b"]).rename(columns={"t": "comment"}))
        assert self.told(desk, test={"path": "t.csv", "text": "coment"}) == (
            "audit.yaml: data.test.text: no column named 'coment' in t.csv; did you mean 'comment'?"
        )

    def test_a_column_of_numbers(self, desk):
        frame(["a", "b"]).to_parquet(desk.folder / "t.parquet")
        assert self.told(desk, test={"path": "t.parquet", "text": "age"}) == (
            't.parquet:"age": a column of int64; text is asked'
        )

    def test_no_text_at_all(self, desk):
        desk.write("t.csv", "t,p\n,1\n,0\n")
        assert self.told(desk, test={"path": "t.csv", "text": "t"}) == 't.csv:"t": every text is empty'

    def test_a_column_of_two_roles(self, desk):
        desk.csv("t.csv", frame(["a", "b"]))
        assert self.told(desk, test={"path": "t.csv", "text": "t"}, target="t").splitlines()[0] == (
            "audit.yaml: data.target: 't' is the text the model reads; a column is one of them"
        )
        told = self.told(desk, test={"path": "t.csv", "text": "t"}, sensitive=["t"])
        assert "data.sensitive.0: 't' is the text the model reads" in told

    def test_features_are_those_of_tables(self, desk):
        desk.csv("t.csv", frame(["a", "b"]))
        assert self.told(desk, test={"path": "t.csv", "text": "t"}, features=("age",)) == (
            "audit.yaml: data.features: names columns of a table, and the model reads texts alone; take the key out"
        )

    def test_training_data_without_their_text(self, desk):
        desk.csv("t.csv", frame(["a", "b"]))
        assert self.told(desk, test={"path": "t.csv", "text": "t"}, train="t.csv") == (
            "audit.yaml: data.train: t.csv holds a table, and data.test holds texts; "
            "name its column of text under text"
        )


class TestLines:
    def test_one_text_a_line(self, desk):
        desk.write("t.txt", "\ufeffone\r\n\r\n  two \n\nthree".encode())
        subject = desk.load(
            {**function(desk, "[0.25 + len(t) / 100 for t in f['text']]"), "task": "classification"},
            test="t.txt",
        )
        assert sorted(subject.test.frame["text"]) == ["  two ", "one", "three"]
        assert "t.txt: 2 blank lines are left out" in subject.notes
        assert subject.test.side.shape == (3, 0)
        assert subject.test.target is None

    def test_what_is_no_text(self, desk):
        for content, said in (
            (b"\n \n", "t.txt: no line holds a text"),
            (b"good\nbad \xff\n", "t.txt:2: byte 0xff is not UTF-8"),
            (b"good\nbad \0\n", "t.txt:2: a NUL byte"),
        ):
            desk.write("t.txt", content)
            assert said in str(desk.refused(DECIDED, test="t.txt"))
        desk.write("t.txt", "one\n")
        assert "t.txt holds one text a line" in str(
            desk.refused(DECIDED, test={"path": "t.txt", "text": "x"})
        )

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)))
    def test_lines_keep_their_numbers(self, lines):
        kept = [place for place, line in enumerate(lines) if line.strip()]
        spec = Mistakes(None)
        if kept:
            data = "\n".join(lines).encode()
            cells = texts.read(data, "t.txt", "", spec)
            bom = lines[0].startswith("\ufeff")
            expected = [
                line.removeprefix("\ufeff") if not place and bom else line for place, line in enumerate(lines)
            ]
            kept = [place for place, line in enumerate(expected) if line.strip()]
            assert cells.medium.cells.tolist() == [expected[place] for place in kept]
            assert [cells.line(row) for row in range(cells.n)] == [place + 1 for place in kept]


def function(desk, body: str) -> dict:
    desk.write("m.py", f"def score(f):\n    return {body}\n")
    sha256 = hashlib.sha256((desk.folder / "m.py").read_bytes()).hexdigest()
    return {"path": "m.py:score", "format": "python", "trust": True, "sha256": sha256}


class TestPacked:
    def test_a_packed_table_is_the_table(self, desk):
        desk.csv("t.csv", frame(["a", "b", "c"]))
        desk.write("t.csv.gz", gzip.compress((desk.folder / "t.csv").read_bytes()))
        first, second = (desk.load(DECIDED, test={"path": path}) for path in ("t.csv", "t.csv.gz"))
        np.testing.assert_array_equal(first.test.digests, second.test.digests)
        assert second.test.sha256 == hashlib.sha256((desk.folder / "t.csv.gz").read_bytes()).hexdigest()

    def test_bombs_and_damage_are_refused(self, desk, monkeypatch):
        monkeypatch.setattr(tables, "MAX_UNPACKED", 1 << 16)
        desk.write("t.csv.gz", gzip.compress(b"p\n" + b"1\n" * (1 << 20)))
        assert "t.csv.gz: unpacks to over" in str(desk.refused(DECIDED, test="t.csv.gz"))
        packed = gzip.compress(b"p\n1\n" * 100)
        for damaged in (b"p\n1\n", packed[:-4], packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]):
            desk.write("t.csv.gz", damaged)
            error = desk.refused(DECIDED, test="t.csv.gz")
            assert "t.csv.gz: cannot be unpacked as gzip" in str(error)
            assert error.exit_code == 4

    def test_other_formats_are_not_packed(self, desk):
        desk.write("t.parquet.gz", b"")
        assert "the suffix '.gz' of t.parquet.gz names no table format" in str(
            desk.refused(DECIDED, test="t.parquet.gz")
        )


@pytest.fixture(scope="module")
def comments() -> pd.DataFrame:
    """Three hundred made-up sentences whose label depends on their words."""
    rng = np.random.default_rng(3)
    words = np.array(["sun", "rain", "cold", "warm", "bright", "dull", "day", "night"])
    said = [" ".join(rng.choice(words, 6)) for _ in range(300)]
    return pd.DataFrame({"said": said, "y": [int(("sun" in text) ^ ("dull" in text)) for text in said]})


class TestModels:
    @pytest.mark.parametrize("kind", ["skops", "joblib", "pickle"])
    def test_a_pipeline_of_texts(self, desk, comments, kind):
        model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(comments.said, comments.y)
        path = desk.folder / f"m.{kind}"
        (skops.dump if kind == "skops" else joblib.dump)(model, path)
        code = (
            {"trust": True, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            if kind != "skops"
            else {}
        )
        desk.csv("t.csv", comments)
        subject = desk.load({"path": path.name, **code}, test={"path": "t.csv", "text": "said"}, target="y")
        expected = model.predict_proba(subject.test.frame["said"].tolist())
        np.testing.assert_array_equal(subject.scores, expected)
        np.testing.assert_array_equal(in_blocks(subject.model.scores, subject.test.frame), expected)
        assert subject.model.margin(subject.test.frame.head(3)).shape == (3, 2)

    def test_a_pipeline_that_names_its_column(self, desk, comments):
        columns = ColumnTransformer([("t", TfidfVectorizer(), "said")])
        model = make_pipeline(columns, LogisticRegression()).fit(comments[["said"]], comments.y)
        skops.dump(model, desk.folder / "m.skops")
        desk.csv("t.csv", comments)
        subject = desk.load({"path": "m.skops"}, test={"path": "t.csv", "text": "said"}, target="y")
        np.testing.assert_allclose(
            subject.scores, model.predict_proba(subject.test.frame), rtol=0, atol=1e-15
        )

    def test_a_function_gets_a_frame(self, desk, comments):
        desk.csv("t.csv", comments)
        model = function(desk, "[min(t.count('sun') / 3, 1.0) for t in f['said']]")
        subject = desk.load(model, test={"path": "t.csv", "text": "said"}, target="y")
        assert subject.scores[:, 1].tolist() == [
            min(text.count("sun") / 3, 1.0) for text in subject.test.frame["said"]
        ]

    def test_models_that_cannot_read_texts(self, desk, comments):
        numbers = pd.DataFrame({"a": np.arange(300.0), "b": 1.0})
        desk.csv("t.csv", comments)
        for features, said in (
            (numbers, "the model was fitted on the columns 'a', 'b', and it is given texts alone, as 'said'"),
            (numbers.to_numpy(), "the model takes 2 numbers a row, not texts"),
        ):
            skops.dump(LogisticRegression().fit(features, comments.y), desk.folder / "m.skops")
            error = str(desk.refused({"path": "m.skops"}, test={"path": "t.csv", "text": "said"}, target="y"))
            assert said in error

    def test_a_booster_cannot_read_texts(self, desk, comments):
        xgboost = pytest.importorskip("xgboost")
        model = xgboost.XGBClassifier(n_estimators=2).fit(np.arange(300.0)[:, None], comments.y)
        model.get_booster().save_model(desk.folder / "m.ubj")
        desk.csv("t.csv", comments)
        error = str(desk.refused({"path": "m.ubj"}, test={"path": "t.csv", "text": "said"}, target="y"))
        assert "model.format: xgboost reads rows of a table, and the data are texts" in error


def test_real_comments(desk, shared_data):
    folder = shared_data / "text_jigsaw_identity"
    subject = desk.load(
        function(desk, "[min(t.count('a') / 9, 1.0) for t in f['Text']]"),
        test={"path": str(folder / "bias_madlibs_77k.csv.gz"), "text": "Text"},
        train={"path": str(folder / "toxicity_nonfuzzed_testset.csv.gz"), "text": "comment"},
    )
    assert (subject.test.n, subject.train.n) == (76_564, 1_492)
    assert subject.test.side["Label"].value_counts().to_dict() == {"BAD": 38_282, "NOT_BAD": 38_282}
    known = pd.read_csv(folder / "toxicity_nonfuzzed_testset.csv.gz", keep_default_na=False)
    assert sorted(subject.train.frame["Text"]) == sorted(known["comment"])
