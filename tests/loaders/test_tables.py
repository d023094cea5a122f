"""Tables of every format: the same content gives the same cells, and each fault is told at its place."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, ipc
from pyarrow import parquet as pq

PREDICTED = {"format": "predictions", "score": "s"}
CELLS = pd.DataFrame(
    {
        "s": [0.1, 0.5, 0.9, 0.25],
        "a": [1, 2, 3, 4],
        "b": [0.5, None, -0.0, 1e300],
        "c": ["x", 'y, "z"', "日本\nnext", None],
        "f": [True, False, True, True],
        "d": ["2024-02-29", "1969-12-31", "2001-01-01", "2001-01-01"],
        "y": [0, 1, 1, 0],
    }
)


def table() -> pa.Table:
    return pa.Table.from_pandas(CELLS.assign(d=pd.to_datetime(CELLS.d).dt.date), preserve_index=False)


def written(desk) -> dict[str, str]:
    names = {"csv": desk.csv("t.csv", CELLS)}
    desk.write("t.tsv", CELLS.to_csv(index=False, sep="\t"))
    desk.write(
        "bom.csv", b"\xef\xbb\xbf" + CELLS.to_csv(index=False, sep=";", lineterminator="\r\n").encode()
    )
    names.update(tsv="t.tsv", bom="bom.csv")
    pq.write_table(table(), desk.folder / "t.parquet")
    feather.write_feather(table(), str(desk.folder / "t.feather"))
    with ipc.new_stream(str(desk.folder / "t.arrow"), table().schema) as stream:
        stream.write_table(table())
    names.update(parquet="t.parquet", feather="t.feather", arrow="t.arrow")
    lines = [record.to_json(force_ascii=False) for _, record in CELLS.drop(columns="d").iterrows()]
    days = [f"{line[:-1]}" + f', "d": "{day}"}}' for line, day in zip(lines, CELLS.d, strict=True)]
    names["jsonl"] = desk.write("t.jsonl", "\n\n".join(days))
    return names


class TestEveryFormat:
    def test_the_same_content_is_the_same_rows(self, desk):
        found = {}
        for name, file in written(desk).items():
            subject = desk.load(PREDICTED, test=file, target="y")
            assert subject.test.n == 4
            assert subject.task == "classification"
            found[name] = subject
        # Line ends within a quoted cell are the file's own; all else is equal down to the digests.
        base = found["csv"]
        for name, subject in found.items():
            if name in ("bom", "jsonl"):
                continue
            np.testing.assert_array_equal(subject.test.digests, base.test.digests, err_msg=name)
            pd.testing.assert_frame_equal(subject.test.frame, base.test.frame)
        assert [column.kind for column in base.columns] == [
            "numeric",
            "numeric",
            "categorical",
            "date",
            "boolean",
        ]

    def test_dates_in_json_are_text_that_reads_as_text(self, desk):
        subject = desk.load(PREDICTED, test=written(desk)["jsonl"], target="y")
        assert {column.name: column.kind for column in subject.columns}["d"] == "categorical"

    def test_days_are_counted_from_1970(self, desk):
        frame = desk.load(PREDICTED, test=written(desk)["csv"], target="y").test.frame
        assert sorted(frame["d"]) == [-1.0, 11323.0, 11323.0, 19782.0]

    @pytest.mark.parametrize("named", [True, False])
    def test_npz(self, desk, named):
        more = {"feature_names": np.array(["p", "q"])} if named else {}
        x = np.arange(8.0).reshape(4, 2)
        np.savez(desk.folder / "t.npz", X=x, y=np.array([0, 1, 1, 0]), s=CELLS.s.to_numpy(), **more)
        subject = desk.load(PREDICTED, test="t.npz", target="y")
        assert [column.name for column in subject.columns] == (["p", "q"] if named else ["x0", "x1"])
        assert sorted(subject.test.frame.iloc[:, 0]) == [0, 2, 4, 6]

    def test_npz_of_named_columns_keeps_texts_and_booleans(self, desk):
        np.savez(
            desk.folder / "t.npz",
            s=CELLS.s.to_numpy(),
            c=np.array(["a", "b", "a", "β"]),
            f=CELLS.f.to_numpy(),
        )
        subject = desk.load(PREDICTED, test="t.npz")
        assert {column.name: column.kind for column in subject.columns} == {
            "c": "categorical",
            "f": "boolean",
        }

    def test_sklearn_diabetes_is_in_original_units(self, desk):
        subject = desk.load(
            {"format": "predictions", "prediction": "bmi"}, test="sklearn:diabetes", target="target"
        )
        assert subject.test.n == 442
        assert set(subject.test.frame["sex"]) == {1, 2}
        assert subject.test.frame["age"].max() == 79
        assert subject.task == "regression"

    @pytest.mark.parametrize(("name", "rows"), [("iris", 150), ("wine", 178), ("breast_cancer", 569)])
    def test_other_tables_of_sklearn(self, desk, name, rows):
        subject = desk.load(
            {"format": "predictions", "prediction": "target", "task": "classification"},
            test=f"sklearn:{name}",
            target="target",
        )
        assert subject.test.n == rows

    def test_unknown_name(self, desk):
        assert "did you mean 'iris'" in str(desk.refused(PREDICTED, test="sklearn:irsi"))

    def test_california_is_never_downloaded(self, desk, monkeypatch, tmp_path):
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "nothing"))
        error = desk.refused(PREDICTED, test="sklearn:california")
        assert error.exit_code == 4
        assert "nothing is downloaded" in str(error)


def told(desk, content: str | bytes, name: str = "t.csv", **data) -> str:
    error = desk.refused(PREDICTED, test=desk.write(name, content), **data)
    return str(error)


class TestFaultsOfCsv:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("", "t.csv: the file is empty"),
            ("\n\n  \n", "t.csv: the file is empty"),
            ("s,a\n", "t.csv: there is a header and no row"),
            ("s,a,a\n1,2,3\n", 't.csv:1:"a": columns 2 and 3 share this name'),
            (",s\n0,1\n", "t.csv:1: column 1 has no name"),
            ("s,a\n0,1\n0\n0,1,2\n", "t.csv:3: 1 cell where the header has 2"),
            ("s,a\n0,1\n0\n0,1,2\n", "t.csv:4: 3 cells where the header has 2"),
            ('s,a\n"0\n",1\n0\n', "t.csv:4: 1 cell where the header has 2"),
            ("s,a\n0,1\n0,\0\n", "t.csv:3: a NUL byte"),
            (
                "s,a\n0,1\n0,café\n".encode("latin-1"),
                "t.csv:3: byte 0xe9 is not UTF-8; save the file as UTF-8",
            ),
            ("s,a\n0,1\n".encode("utf-16"), "t.csv: written in UTF-16"),
            ("s,a\nhigh,1\n0.5,2\n", 't.csv:"s": a score is a number'),
            ("s,a\n0.5,1\n,2\n", 't.csv:3:"s": a score is a finite number, not missing'),
            ('s,a\n"0.5\n",1\ninf,2\n', 't.csv:4:"s": a score is a finite number, not inf'),
        ],
    )
    def test_is_told(self, desk, content, expected):
        assert expected in told(desk, content)

    def test_latin_1_says_how_to_convert(self, desk):
        assert "iconv -f LATIN1 -t UTF-8" in told(desk, "s,a\n0,ü\n".encode("latin-1"))

    def test_several_at_once_and_the_rest_counted(self, desk):
        lines = told(desk, "s,a\n" + "0\n" * 17).splitlines()
        assert len(lines) == 6
        assert lines[-1] == "t.csv: and 12 more like it"

    def test_names_of_any_length_and_script(self, desk):
        name = "β" * 10_000
        content = f"s,{name},<script>\n0.5,1,2\n0.6,3,4\n"
        subject = desk.load(PREDICTED, test=desk.write("t.csv", content))
        assert sorted(column.name for column in subject.columns) == sorted([name, "<script>"])

    def test_words_for_missing_are_noted(self, desk):
        content = "s,a,g\n0.5,NA,x\n0.6,3,None\n"
        subject = desk.load(PREDICTED, test=desk.write("t.csv", content), sensitive=["g"])
        notes = "\n".join(subject.notes)
        assert "column 'a': 1 cells that read 'NA' or alike count as missing" in notes
        assert subject.groupings[0].labels() == ("x", "missing")

    def test_integers_beyond_64_bits_are_the_nearest_float(self, desk):
        content = "s,a,b\n0.5,123456789012345678901234567890,9007199254740993\n0.6,1,2\n"
        subject = desk.load(PREDICTED, test=desk.write("t.csv", content))
        assert sorted(subject.test.frame["a"]) == [1, 1.2345678901234568e29]
        assert sorted(subject.test.frame["b"]) == [2, 9007199254740993]

    def test_a_semicolon_file_with_commas_in_words(self, desk):
        content = "s;a\n0.5;x, y\n0.6;z\n"
        subject = desk.load(PREDICTED, test=desk.write("t.csv", content))
        assert sorted(subject.test.frame["a"]) == ["x, y", "z"]

    def test_a_single_column(self, desk):
        assert desk.load(PREDICTED, test=desk.write("t.csv", "s\n0.5\n0.7\n")).test.n == 2

    def test_old_macintosh_line_ends(self, desk):
        assert desk.load(PREDICTED, test=desk.write("t.csv", b"s,a\r0.5,1\r0.7,2\r")).test.n == 2


class TestFaultsOfOtherFormats:
    def test_jsonl(self, desk):
        content = '{"s": 0.5, "a": 1}\n\n{"s": 0.5, "a": "x"}\n{"s": 1, "a": {"b": 1}}\nnot\n[1]\n{"s": 1, "s": 2}\n'
        text = told(desk, content, "t.jsonl")
        assert "t.jsonl:5: no JSON" in text
        assert "t.jsonl:6: an object {...} is asked" in text
        assert 't.jsonl:7:"s": this key stands twice' in text
        text = told(desk, "\n".join(content.splitlines()[:4]), "t.jsonl")
        assert 't.jsonl:3:"a": "x" is text in a column that begins with 1 (line 1)' in text
        assert 't.jsonl:4:"a": a nested value' in text

    def test_nested_parquet(self, desk):
        pq.write_table(pa.table({"s": [0.5], "v": [[1, 2]]}), desk.folder / "t.parquet")
        text = str(desk.refused(PREDICTED, test="t.parquet"))
        assert 't.parquet:"v": a column of list<' in text

    def test_objects_in_npz_are_never_unpickled(self, desk):
        buffer = io.BytesIO()
        np.savez(buffer, s=np.array([{"a": 1}], dtype=object))
        assert "Python objects" in told(desk, buffer.getvalue(), "t.npz")

    def test_lengths_and_shapes_in_npz(self, desk):
        buffer = io.BytesIO()
        np.savez(buffer, s=np.zeros(3), a=np.zeros(2), m=np.zeros((2, 2)))
        text = told(desk, buffer.getvalue(), "t.npz")
        assert "different lengths: s 3, a 2" in text
        assert 't.npz:"m": an array of shape (2, 2)' in text

    @pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather", "t.npz"])
    def test_another_kind_of_file(self, desk, name):
        error = desk.refused(PREDICTED, test=desk.write(name, "s,a\n1,2\n"))
        assert error.exit_code == 4
        assert name in str(error)

    def test_a_missing_file_and_a_wrong_digest_are_exit_4(self, desk):
        assert desk.refused(PREDICTED, test="none.csv").exit_code == 4
        name = desk.write("t.csv", "s\n1\n")
        error = desk.refused(PREDICTED, test={"path": name, "sha256": "0" * 64})
        assert error.exit_code == 4
        assert "not the declared" in str(error)
        (desk.folder / "d.csv").mkdir()
        assert desk.refused(PREDICTED, test="d.csv").exit_code == 4

    def test_a_wrong_word_beside_a_missing_file_is_exit_2(self, desk):
        error = desk.refused({"path": "m.unknown"}, test="none.csv", train="t.xyz")
        assert error.exit_code == 2
        assert len(error.mistakes) == 3

    def test_an_unknown_suffix(self, desk):
        assert "names no table format" in told(desk, "s\n1\n", "t.dat")
        subject = desk.load(PREDICTED, test={"path": "t.dat", "format": "csv"})
        assert subject.test.n == 1
