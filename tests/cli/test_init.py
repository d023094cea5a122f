from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xai_audit.cli import drafting, entry
from xai_audit.reading import read_spec
from xai_audit.source import parse, read

TABLE = "person_id,age,sex,ethnicity,income,y\n" + "".join(
    f"{i},{20 + i % 50},{'fm'[i % 2]},{'abc'[i % 3]},{1000 + 7 * i},{i % 2}\n" for i in range(120)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "model.skops").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*more: str, model: str = "model.skops", data: str = "t.csv", target: str = "y") -> int:
    return entry(["init", "--model", model, "--data", data, "--target", target, *more])


def test_what_it_writes_is_checked_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    assert entry(["check", "audit.yaml"]) == 0
    text = Path("audit.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=xai-audit.schema.json\n")
    spec = read_spec("audit.yaml")
    assert spec.model.sha256 == hashlib.sha256(b"x").hexdigest()
    assert (spec.model.positive, spec.model.task, spec.data.id) == (1, "classification", "person_id")
    assert [column.column for column in spec.data.sensitive] == ["age", "sex", "ethnicity"]
    assert spec.data.sensitive[0].bins == (30, 50)
    assert spec.metrics
    assert spec.policies == ("eu-ai-act",)
    root, _ = read(Path("audit.yaml"), [])
    assert root is not None
    schema = json.loads(Path("xai-audit.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(root.plain())
    assert "numbers, 50 distinct" in text
    assert "text, 2 distinct: f, m" in text


def test_named_sensitive_columns_are_the_ones(folder: Path) -> None:
    assert init("--sensitive", "sex", "--sensitive", "income") == 0
    assert [column.column for column in read_spec("audit.yaml").data.sensitive] == ["sex", "income"]
    assert "# - {column: age" in Path("audit.yaml").read_text()


def test_paths_are_as_seen_from_the_spec(folder: Path) -> None:
    Path("specs").mkdir()
    assert init("-o", "specs/a.yaml") == 0
    spec = read_spec("specs/a.yaml")
    assert spec.model.path == "../model.skops"
    assert spec.resolve(spec.data.test.path).samefile("t.csv")


def test_a_measurement_is_a_regression(folder: Path) -> None:
    assert init(target="income") == 0
    spec = read_spec("audit.yaml")
    assert (spec.model.task, spec.primary) == ("regression", "mean_absolute_error")


def test_code_is_not_trusted_for_the_user(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.joblib").write_bytes(b"x")
    assert init(model="m.joblib") == 0
    assert "trust: false" in Path("audit.yaml").read_text()
    assert entry(["check", "audit.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "write `trust: true` under model" in line
    Path("audit.yaml").write_text(Path("audit.yaml").read_text().replace("trust: false", "trust: true"))
    assert entry(["check", "audit.yaml"]) == 0


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("audit.yaml").write_text("mine")
    assert init() == 2
    assert "is already there" in capsys.readouterr().err
    assert Path("audit.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ({"target": "yy"}, 2, "--target: no column named 'yy'; the columns are person_id, age"),
        ({"target": "incme"}, 2, "did you mean 'income'?"),
        ({"model": "absent.skops"}, 4, "absent.skops: no such file"),
        ({"data": "absent.csv"}, 4, "absent.csv: no such file"),
        ({"model": "."}, 4, "a model file is asked"),
        ({"data": "model.skops"}, 2, ""),
    ],
)
def test_what_can_be_wrong(
    folder: Path, arguments: dict[str, str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(**arguments) == code
    assert told in capsys.readouterr().err
    assert not Path("audit.yaml").exists()


def test_an_empty_or_broken_table_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("", "y,y\n1,2\n", "y\n", "\xff"):
        Path("b.csv").write_bytes(content.encode("latin-1"))
        code = init("-o", "b.yaml", data="b.csv")
        assert code in (0, 2)
        assert "Traceback" not in capsys.readouterr().err
        Path("b.yaml").unlink(missing_ok=True)


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff"),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_hostile_column_names_are_spelled_so_that_they_are_read_back(
    folder: Path, columns: list[str]
) -> None:
    looked = [drafting.Column(name, "text", 2, 0, 9, ("a", "b")) for name in columns]
    asked = drafting.Asked("m.skops", "0" * 64, columns[0], columns[0], tuple(columns[1:]), "s.json")
    mistakes: list[object] = []
    node = parse(drafting.draft(asked, looked), "a.yaml", mistakes)  # type: ignore[arg-type]
    assert not mistakes
    assert node is not None
    assert node.text("data", "target") == columns[0]
    assert node.text("data", "test", "path") == columns[0]
    sensitive = node.get("data", "sensitive")
    assert sensitive is not None
    assert [entry.raw for entry in sensitive.items()] == columns[1:]


def test_a_folder_of_pictures(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    for name in ("cat", "dog"):
        (folder / "pets" / name).mkdir(parents=True)
        Image.fromarray(np.full((4, 4, 3), len(name), np.uint8)).save(folder / "pets" / name / "1.png")
    (folder / "net.onnx").write_bytes(b"x")
    assert init(model="net.onnx", data="pets", target="class") == 0
    spec = read_spec("audit.yaml")
    assert (spec.data.test.path, spec.data.target, spec.model.positive) == ("pets", "class", "dog")
    text = Path("audit.yaml").read_text()
    assert "features:" not in text
    assert "permutation_importance" not in text


def test_a_column_of_written_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        json.dumps({"id": place, "comment": f"this is comment number {place} of many", "sex": "fm"[place % 2],
                    "y": place // 2 % 2})
        for place in range(60)
    ]  # fmt: skip
    (folder / "t.jsonl").write_text("\n".join(lines))
    assert init(data="t.jsonl") == 0
    spec = read_spec("audit.yaml")
    assert spec.data.test.text == "comment"
    assert [column.column for column in spec.data.sensitive] == ["sex"]
    assert "of many" not in Path("audit.yaml").read_text()
    assert entry(["check", "--quiet", "audit.yaml"]) == 0
    # Beside other inputs the text may be one of several: then it is only said.
    rows = "".join(f"comment number {i} of the many here,{i},{i % 2}\n" for i in range(60))
    (folder / "u.csv").write_text("comment,income,y\n" + rows)
    assert init("-o", "b.yaml", data="u.csv") == 0
    assert read_spec("b.yaml").data.test.text is None
    assert "# test: {path: u.csv, text: comment}" in Path("b.yaml").read_text()


def test_a_folder_of_transformers_has_its_format_and_digest(folder: Path) -> None:
    from xai_audit import digest

    (folder / "bert").mkdir()
    (folder / "bert" / "config.json").write_text("{}")
    assert entry(["init", "--model", "bert", "--data", "t.csv", "--target", "y", "-o", "bert.yaml"]) == 0
    text = Path("bert.yaml").read_text()
    assert "format: transformers" in text
    assert digest.of_folder(folder / "bert") in text
    (folder / "empty").mkdir()
    assert entry(["init", "--model", "empty", "--data", "t.csv", "--target", "y", "-o", "e.yaml"]) == 4


def test_weights_are_told_to_need_an_entry(folder: Path) -> None:
    (folder / "w.safetensors").write_bytes(b"x")
    assert (
        entry(["init", "--model", "w.safetensors", "--data", "t.csv", "--target", "y", "-o", "w.yaml"]) == 0
    )
    assert "# entry: net.py:build" in Path("w.yaml").read_text()
