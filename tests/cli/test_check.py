from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from xai_audit.cli import entry

SPEC = """\
version: 1
system:
  name: Triage
  intended_purpose: Sorts patients.
  statements: {oversight: {a: Watch, b: Stop}}
  signatories: [{name: Jo, function: Head, date: 2026-11-22}]
  waivers: [{rule: ZZZ-99, reason: Known, approver: Jo, expires: 2027-03-01}]
model: {format: predictions, score: s}
data: {test: {path: t.csv}, target: y, sensitive: [sex]}
metrics: [accuracy]
policies: [eu-ai-act]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "t.csv").write_text("y,s,sex\n" + "1,0.5,a\n0,0.2,b\n" * 20)
    (tmp_path / "audit.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ok_and_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["check", "audit.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "audit.yaml: ok"
    assert any("statements are missing" in line for line in lines)
    assert any(line.split()[0] == "oversight.c" and "Article 14(4)" in line for line in lines)
    assert not any(line.split()[0] in ("intended_purpose", "oversight.a", "signatories") for line in lines)
    assert any("the waiver of ZZZ-99 waives nothing" in line for line in lines)
    assert {path.name for path in folder.iterdir()} == {"t.csv", "audit.yaml"}


@pytest.mark.parametrize("name", ["\u202eFAI", "FAI\\nexit 0", "fai-02"])
def test_a_waiver_names_a_rule(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    # What it names is printed by check and by the report: no hidden character reaches a terminal.
    (folder / "audit.yaml").write_text(SPEC.replace("ZZZ-99", f'"{name}"'), encoding="utf-8")
    assert entry(["check", "audit.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("audit.yaml:7:20: system.waivers[0].rule: ")
    assert "is no rule's id" in line
    assert line.isprintable()


def test_quiet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["check", "--quiet", "audit.yaml"]) == 0
    assert capsys.readouterr().out == ""


def test_twelve_mistakes_are_twelve_lines_and_exit_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC.replace("version: 1", "version: 3").replace("  name: Triage", "  nam: Triage")
    text = (
        text.replace("oversight: {a", "oversihgt: {a")
        .replace("2026-11-22", "soon")
        .replace("2027-03-01", "later")
    )
    text = text.replace("predictions, score: s", "predictions, score: s, threshold: high")
    text = text.replace("t.csv}, target: y, sensitive: [sex]", "u.csv}, targt: y, sensitive: [sex, sex]")
    text = text.replace("[accuracy]", "[acuracy]").replace("[eu-ai-act]", "[eu-ai-at]") + "runn: {}\n"
    Path("audit.yaml").write_text(text)
    assert entry(["check", "audit.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert all(line.split(": ")[0].count(":") == 2 for line in lines)
    assert "audit.yaml:10:11: no metric named 'acuracy'; did you mean 'accuracy'?" in lines


def test_mistakes_of_all_specs_and_the_worst_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b.yaml").write_text(SPEC.replace("t.csv", "absent.csv"))
    assert entry(["check", "audit.yaml", "b.yaml"]) == 4
    captured = capsys.readouterr()
    assert captured.out.startswith("audit.yaml: ok")
    assert captured.err.startswith("b.yaml:9:21: data.test.path: no such file: 'absent.csv'")
    Path("c.yaml").write_text(SPEC.replace("accuracy", "acuracy"))
    assert entry(["check", "b.yaml", "c.yaml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert entry(["check", "absent.yaml"]) == 4


def test_set_is_checked_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["check", "audit.yaml", "--set", "model.treshold=1"]) == 2
    assert capsys.readouterr().err.startswith("--set model.treshold: model: no key named 'treshold'")


def test_no_policy_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["check", "audit.yaml", "--set", "policies=[]"]) == 0
    assert "nothing blocks, and the outcome will be review" in capsys.readouterr().out


def _pictures(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for place in range(8):
        path = folder / "images" / ("cat" if place % 2 else "dog") / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)


PICTURES = """\
version: 1
system: {name: Pets}
model: {format: predictions, prediction: class}
data:
  test: {path: images/}
  sets:
    dogs: {path: images/, where: "class == 'dog'"}
    words: {path: images/}
metrics: [accuracy]
"""


def test_pictures_and_sets_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _pictures(folder)
    (folder / "images" / "readme.md").write_text("x")
    (folder / "audit.yaml").write_text(PICTURES)
    assert entry(["check", "audit.yaml"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "data.test: 8 pictures" in lines
    assert "images/: 1 files are hidden or no pictures and are left out" in lines
    assert "data.sets.dogs: 4 of 8 examples" in lines
    assert "data.sets.words: 8 examples" in lines


def test_mistakes_in_pictures_and_sets_are_told_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _pictures(folder)
    (folder / "images" / "cat" / "1.png").write_bytes(b"no picture")
    text = PICTURES.replace("class == 'dog'", "species == 'dog'").replace(
        "words: {path: images/}", "words: {path: t.csv}"
    )
    (folder / "audit.yaml").write_text(text)
    assert entry(["check", "audit.yaml"]) == 2
    told = capsys.readouterr().err
    assert "images/cat/1.png: no picture that can be read" in told
    _pictures(folder)
    assert entry(["check", "audit.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "audit.yaml:8:19: t.csv holds a table, and data.test holds pictures; a set is of the same kind",
        "audit.yaml:7:34: no column named 'species' in images/; there are 'file', 'class'",
    ]


PROMPTS = """\
version: 1
system: {name: Triage}
model: {path: weights.safetensors, entry: "net.py:build", trust: true, sha256: DIGEST, classes: [a, b]}
data:
  test: {path: t.csv, text: text}
  target: y
  sets: {ioi: {path: p.csv, clean: clean, corrupted: corrupted}}
explainers:
  - circuit_discovery: {prompts: ioi, multiverse: {templates: [short, lnog]}}
metrics: [accuracy]
policies: [eu-ai-act]
"""


def test_a_template_that_no_prompt_has_is_told_where_it_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(2 * hashlib.sha256(b"").digest()).hexdigest()
    spec = PROMPTS.replace("DIGEST", digest)
    (folder / "audit.yaml").write_text(spec)
    for name in ("weights.safetensors", "net.py"):
        (folder / name).write_text("")
    (folder / "t.csv").write_text("text,y\n" + "".join(f"a {row},a\nb {row},b\n" for row in range(20)))
    rows = "".join(f"a {row},b {row},short\na {row} c,b {row} c,long\n" for row in range(20))
    (folder / "p.csv").write_text(f"clean,corrupted,template\n{rows}")
    assert entry(["check", "audit.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "audit.yaml:9:71: multiverse.templates: no prompt of ioi has the template 'lnog'; did you mean 'long'?"
    ]
    (folder / "audit.yaml").write_text(spec.replace("lnog", "long"))
    entry(["check", "audit.yaml"])
    assert "template" not in capsys.readouterr().err
