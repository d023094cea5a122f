from __future__ import annotations

import os
import re
import time
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit.errors import Mistake
from xai_audit.source import MAX_VALUES, Node, parse, read, value


def told(text: str) -> list[str]:
    mistakes: list[Mistake] = []
    parse(text, "a.yaml", mistakes)
    return [str(mistake) for mistake in mistakes]


def plain(text: str) -> object:
    mistakes: list[Mistake] = []
    node = parse(text, "a.yaml", mistakes)
    assert not mistakes
    assert node is not None
    return node.plain()


def from_file(path: Path) -> list[Mistake]:
    mistakes: list[Mistake] = []
    read(path, mistakes, name=path.name)
    return mistakes


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("1.5e3", 1500.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-7", -7),
        ("012", "012"),
        ("0x1f", "0x1f"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("1e99999", "1e99999"),
        ("123456789012345678", 123456789012345678),
        ("1234567890123456789", "1234567890123456789"),
        ("9" * 5000, "9" * 5000),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 1", "1"),
        ("2026-02-30", "2026-02-30"),
        ("5(a)", "5(a)"),
    ],
)
def test_scalars_mean_what_a_person_expects(written: str, meant: object) -> None:
    found = plain(f"key: {written}")
    assert found == {"key": meant}
    assert type(found["key"]) is type(meant)


def test_a_date_is_a_date_and_is_printed_as_written() -> None:
    node = parse("key: 2026-11-22", "a.yaml", [])
    assert node is not None
    inner = node.get("key")
    assert inner is not None
    assert (inner.kind, inner.value, inner.plain()) == ("date", date(2026, 11, 22), "2026-11-22")


def test_every_key_and_value_knows_its_place() -> None:
    node = parse("a:\n  b: [x,\n      yy]\n  ü: 'z'\n", "a.yaml", [])
    assert node is not None
    inner = node.value["a"]
    assert (node.keys["a"].line, node.keys["a"].column) == (1, 1)
    assert (inner.keys["b"].line, inner.keys["b"].column) == (2, 3)
    assert [(item.place.line, item.place.column) for item in inner.value["b"].value] == [(2, 7), (3, 7)]
    assert (inner.value["ü"].place.line, inner.value["ü"].place.column) == (4, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\na: 2\nb: 1\nb: 2\n",
            ["2:1: the key 'a' stands here twice", "4:1: the key 'b' stands here twice"],
        ),
        ("a:\n\tb: 1\n\tc: 2\n", ["2:1: a tab in the indentation", "3:1: a tab in the indentation"]),
        ("a: &x [*x]\n", ["1:8: the alias *x stands inside what it stands for: a loop"]),
        ("a: *nowhere\n", ["1:4: no anchor &nowhere"]),
        (
            "a: !!python/object/apply:os.system [ls]\nb: !mine 1\n",
            ["1:4: the tag '!!python", "2:4: the tag '!mine'"],
        ),
        ("a: 1\n---\nb: 2\n", ["2:1: a second document"]),
        ("", ["1:1: the file is empty"]),
        ("# only a comment\n", ["1:1: the file is empty"]),
        ("? [a, b]\n: 1\n", ["1:3: a key is a word"]),
        ("? {a: b}\n: 1\n", ["1:3: a key is a word"]),
        ("?\n: 1\n", ["a key is missing before this ':'"]),
        ("base: &b {x: 1}\na:\n  <<: *b\n", ["3:3: merge keys (<<) are not read"]),
        ("a: [1, 2\n", ["a ',' or a ']' is asked here"]),
        ("a: 'open\n", ["never closed"]),
        ("a: b: c\n", ["1:5: a ':' where no key can stand"]),
        ("a: @x\n", ["1:4: this character cannot begin a value"]),
        ('a: "\\q"\n', ["an unknown escape"]),
        ('a: "\\UFFFFFFFF"\n', ["beyond bounds"]),
        ('a: "\\0"\n', ["1:4: the character U+0000 is not text"]),
        ('a: "\\ud800"\n', ["1:4: the character U+D800 is not text"]),
        ("a: 1\nb: x\x07y\n", ["2:5: the character U+0007 cannot stand in YAML"]),
        ("a: x\ufeffy\n", ["1:5: the character U+FEFF cannot stand in YAML"]),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", ["beyond bounds"]),
        ("a\n  b: 1\n", ["2:4: a ':' where no key can stand"]),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, expected: list[str]) -> None:
    found = told(text)
    assert len(found) == len(expected)
    for line, part in zip(found, expected, strict=True):
        assert part in line
        assert line.startswith("a.yaml:")
        assert "\n" not in line


def test_several_mistakes_in_one_text_are_all_told() -> None:
    assert len(told("a: 1\na: 2\n? [x]\n: 1\nb: !t 1\nc: {d: 1, d: 2}\n")) == 4


def test_nesting_has_an_end() -> None:
    start = time.process_time()
    for text in ("[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 5_000):
        assert any("nested more than" in line for line in told(text))
    assert time.process_time() - start < 10


def test_bombs_are_counted_as_what_they_expand_to() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    assert [f"over {MAX_VALUES:,} values" in line for line in told("\n".join(levels))] == [True]
    wide = "a: &a x\nb: [" + "*a, " * (MAX_VALUES + 1) + "]"
    assert any(f"over {MAX_VALUES:,} values" in line for line in told(wide))


def test_a_file_of_50_mb_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(50_000_000)
    start = time.process_time()
    (mistake,) = from_file(path)
    assert time.process_time() - start < 0.5
    assert str(mistake) == "large.yaml: 50.0 MB is too large; at most 1 MB is read"


def test_the_largest_file_is_read_in_seconds(tmp_path: Path) -> None:
    for content in (
        "a: " + "x" * 990_000,
        "#" * 990_000 + "\na: 1",
        "\n" * 990_000 + "a: 1",
        'a: "' + "\\n" * 400_000 + '"',
    ):
        path = tmp_path / "a.yaml"
        path.write_text(content)
        start = time.process_time()
        from_file(path)
        assert time.process_time() - start < 8


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nname: M\xfcller\n")
    assert str(*from_file(path)) == "a.yaml:2:8: byte 0xfc is not UTF-8; save the file as UTF-8"
    path.write_text("a: 1", encoding="utf-16")
    assert str(*from_file(path)) == "a.yaml:1:1: written in UTF-16; save it as UTF-8"
    path.write_text("a: 1\nb: 2\n", encoding="utf-8-sig")  # as Windows' editors save it
    assert from_file(path) == []
    assert "U+0000" in str(*from_file(_written(path, b"a\x00b")))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_no_file(tmp_path: Path) -> None:
    (mistake,) = from_file(tmp_path / "absent.yaml")
    assert (str(mistake), mistake.missing) == ("absent.yaml: no such file", True)
    (mistake,) = from_file(tmp_path)
    assert "is a folder" in str(mistake)
    os.mkfifo(tmp_path / "pipe")
    (mistake,) = from_file(tmp_path / "pipe")
    assert "not a regular file" in str(mistake)
    (mistake,) = from_file(Path("a\0b"))
    assert mistake.missing


@pytest.mark.parametrize(
    ("text", "meant"),
    [("0.4", 0.4), ("[a, b]", ["a", "b"]), ("{a: 1}", {"a": 1}), ("", None), ("x=y", "x=y")],
)
def test_values_of_the_command_line(text: str, meant: object) -> None:
    mistakes: list[Mistake] = []
    node = value(text, "--set a", mistakes)
    assert node is not None
    assert node.plain() == meant
    assert not mistakes


def test_a_mistake_of_the_command_line_has_no_line() -> None:
    mistakes: list[Mistake] = []
    assert value("[1, 2", "--set a.b", mistakes) is None
    assert str(*mistakes) == "--set a.b: a ',' or a ']' is asked here"


words = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff\u2028\u2029"
    ),
    max_size=12,
).filter(lambda word: not re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", word))  # 1e3 is a word to PyYAML alone
documents = st.recursive(
    words | st.integers(-(10**17), 10**17) | st.booleans() | st.none() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words.filter(bool), inner, max_size=4),
    max_leaves=12,
)


def as_json(found: object) -> object:
    if isinstance(found, dict):
        return {key: as_json(inner) for key, inner in found.items()}
    if isinstance(found, list):
        return [as_json(inner) for inner in found]
    return found.isoformat() if isinstance(found, date) else found


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(words.filter(bool), documents, max_size=5), st.booleans())
def test_what_a_yaml_writer_writes_is_read_back(document: dict[str, object], flow: bool) -> None:
    # PyYAML quotes whatever it would itself read as something else, so words stay words.
    text = yaml.safe_dump(document, allow_unicode=True, default_flow_style=flow)
    mistakes: list[Mistake] = []
    node = parse(text, "a.yaml", mistakes)
    assert not mistakes
    assert node is not None
    assert node.plain() == as_json(document)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab:-[]{},&*!|>'\"%@`#?\n\t \\~<=01.é\ufeff\0"), max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    mistakes: list[Mistake] = []
    node = parse(text, "a.yaml", mistakes)
    assert isinstance(node, Node) or mistakes
    assert all(mistake.line > 0 and "\n" not in str(mistake) for mistake in mistakes)
