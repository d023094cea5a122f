from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.test_run import run
from tests.compare.versions import SPEC, Version, audited, people
from xai_audit import audit

STRICT = """\
id: strict
version: 1
as_of: 2026-11-01
rules:
  - id: PER-05
    title: Accuracy has not got worse
    clause: Article 15(1)
    basis: convention
    when: {baseline: true}
    evidence: performance_change
    at_least: -0.01
    level: error
    on_open: warn
    examples:
      - {low: 0, high: 0.02, expect: pass}
  - id: ONE-01
    title: Accuracy is not absurd
    clause: Article 15(1)
    basis: convention
    evidence: accuracy
    at_least: 0.2
    level: error
    examples:
      - {low: 0.5, high: 1, expect: pass}
"""
WORDS = {"metrics": "accuracy", "policies": "strict.yaml", "sensitive": "sex"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audits good and bad of the same people, and specs beside them."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "strict.yaml").write_text(STRICT)
    audited(folder / "good", people(500, better=0.3), Version(version="1", **WORDS))
    audited(folder / "bad", people(500), Version(version="2", **WORDS))
    return folder


def test_the_gate_fails_on_a_regression_and_writes_nothing(bench: Path) -> None:
    before = {path: path.read_bytes() for path in bench.rglob("*") if path.is_file()}
    assert run("gate", "bad", cwd=bench).returncode == 0  # without an earlier audit the rule does not apply
    done = run("gate", "bad", "--baseline", "good", cwd=bench)
    assert (done.returncode, done.stderr) == (1, "")
    assert "change in accuracy since 1" in done.stdout
    assert "accuracy is worse by" in done.stdout
    better = run("gate", "good", "--baseline", "bad", cwd=bench)
    assert better.returncode == 0
    same = run("gate", "good", "--baseline", "good", cwd=bench)
    assert same.returncode == 0
    assert "accuracy is unchanged" in same.stdout
    assert {path: path.read_bytes() for path in bench.rglob("*") if path.is_file()} == before


def test_a_run_with_a_baseline_keeps_what_it_was_held_to(bench: Path, tmp_path: Path) -> None:
    shutil.copytree(bench, tmp_path / "w")
    done = run("run", "bad.yaml", "-o", "again", "--baseline", "good", cwd=tmp_path / "w")
    assert done.returncode == 1
    made, old = audit.read(tmp_path / "w" / "again"), audit.read(tmp_path / "w" / "good")
    assert made.baseline is not None
    assert (made.baseline["version"], made.baseline["finished"]) == ("1", old.run["finished"])
    assert "baseline" in made.without_run()
    assert "baseline" not in old.without_run()
    # Judged again, the kept evidence says the same; a gate without --baseline does not forget it.
    assert run("gate", "again", cwd=tmp_path / "w").returncode == 1
    assert run("gate", "again", "--baseline", "again", cwd=tmp_path / "w").returncode == 0
    # The same bytes when it is run again.
    run("run", "bad.yaml", "-o", "twice", "--baseline", "good", "--quiet", cwd=tmp_path / "w")
    assert audit.read(tmp_path / "w" / "twice").same_as(made)
    rows = pd.read_parquet(tmp_path / "w" / "again" / "evidence" / "rows.parquet")
    text = (tmp_path / "w" / "again" / "audit.json").read_text()
    assert not [one for one in rows["id"] if one in text]


def test_a_stated_version_before_without_its_audit_is_a_person_s_to_look_at(
    bench: Path, tmp_path: Path
) -> None:
    audited(
        tmp_path / "named", people(500), Version(version="2", system=', previous_version: "1"', **{**WORDS, "policies": ""})
    )  # fmt: skip
    (tmp_path / "strict.yaml").write_text(STRICT)
    done = run("gate", "named", "--policy", "strict.yaml", cwd=tmp_path)
    assert done.returncode == 3
    assert "version 1 came before" in done.stdout
    assert "No earlier audit was given" in done.stdout
    assert (
        run("gate", "named", "--policy", "strict.yaml", "--baseline", bench / "bad", cwd=tmp_path).returncode
        == 0
    )


def test_where_no_rule_reads_the_change_it_is_said(bench: Path, tmp_path: Path) -> None:
    shutil.copytree(bench / "bad", tmp_path / "bad")
    (tmp_path / "one.yaml").write_text(
        STRICT.partition("  - id: PER-05")[0] + "  - id: ONE-01" + STRICT.partition("  - id: ONE-01")[2]
    )
    done = run("gate", "bad", "--policy", "one.yaml", "--baseline", bench / "good", cwd=tmp_path)
    assert done.returncode == 0
    assert "no rule of these policies reads performance_change" in done.stderr


@pytest.mark.parametrize("command", ["gate", "run", "compare"])
def test_an_earlier_audit_that_cannot_be_read_is_one_line_and_exit_four(
    bench: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "audit.json").write_text("{}")
    for folder, words in (
        (tmp_path / "gone", "there is no audit here"),
        (tmp_path / "broken", "not an audit of schema"),
    ):
        line = {
            "gate": ("gate", "bad", "--baseline", folder),
            "run": ("run", "bad.yaml", "-o", tmp_path / "out", "--baseline", folder),
            "compare": ("compare", folder, "bad"),
        }[command]
        done = run(*map(str, line), cwd=bench)
        assert done.returncode == 4
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out" / "audit.json").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ({"metrics": "recall"}, "its primary metric is recall, and this audit's is accuracy"),
        ({"model": "score: score, positive: 0"}, "its positive class is 0, and this audit's is 1"),
    ],
)
def test_an_earlier_audit_of_something_else_is_one_line_and_exit_two(
    bench: Path, tmp_path: Path, words: dict[str, str], what: str
) -> None:
    audited(tmp_path / "other", people(300), Version(**{**WORDS, "policies": "", **words}))
    for line in (
        ("gate", "bad", "--baseline", tmp_path / "other"),
        ("run", "bad.yaml", "-o", tmp_path / "out", "--baseline", tmp_path / "other"),
    ):
        done = run(*map(str, line), cwd=bench)
        assert done.returncode == 2
        assert what in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out" / "audit.json").exists()


def test_one_baseline_belongs_to_one_spec(bench: Path) -> None:
    done = run("run", "bad.yaml", "good.yaml", "--baseline", "good", "-o", "never", cwd=bench)
    assert done.returncode == 2
    assert "one earlier audit belongs to one spec" in done.stderr


def test_compare_prints_writes_and_refuses(bench: Path, tmp_path: Path) -> None:
    done = run("compare", "good", "bad", cwd=bench)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Accuracy is worse: −" in done.stdout
    assert "Traceback" not in done.stdout
    line = json.loads(run("compare", "good", "bad", "--json", cwd=bench).stdout)
    assert line["primary"][0]["direction"] == "worse"
    assert line["primary"][0]["how"] == "paired"
    whole = json.loads(run("compare", "good", "bad", "--format", "json", cwd=bench).stdout)
    assert whole["schema"] == "xai-audit/comparison/1"
    assert run("compare", "good", "bad", "--format", "md", cwd=bench).stdout.startswith("# Loans: 1 and 2")
    out = tmp_path / "x.html"
    assert run("compare", "good", "bad", "-o", str(out), "--quiet", cwd=bench).stdout == ""
    assert out.read_text(encoding="utf-8").startswith(
        "<!doctype html>"
    ) or "<!doctype html>" in out.read_text(encoding="utf-8")
    run("compare", "good", "bad", "-o", str(tmp_path / "all"), "--quiet", cwd=bench)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        "comparison.html", "comparison.md", "comparison.json",
    }  # fmt: skip
    for line, words in (
        (("--format", "docx"), "one of html, md, json"),
        (("--format", "html", "--format", "md"), "several formats need a folder"),
        (("-o", "bad"), "would break its manifest"),
        (("-o", "bad/evidence/x.md"), "would break its manifest"),
    ):
        done = run("compare", "good", "bad", *line, cwd=bench)
        assert done.returncode == 2
        assert words in done.stderr
    nothing = run("compare", "good", "good", cwd=bench)
    assert "Nothing that is compared has changed" in nothing.stdout


def test_the_spec_of_these_tests_is_one_the_program_reads(bench: Path) -> None:
    assert "previous_version" not in SPEC
    assert run("check", "bad.yaml", cwd=bench).returncode == 0
