from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import durability
from xai_audit import audit

POLICY = """\
id: small
version: 1
as_of: 2026-11-01
rules:
  - id: ONE-01
    title: Accuracy is high enough
    clause: Article 15(1)
    basis: convention
    evidence: accuracy
    at_least: {level}
    level: error
    examples:
      - {{low: {level}, high: 1, expect: pass}}
      - {{low: 0, high: 0.01, expect: fail}}
      - {{low: 0, high: 1, expect: open}}
"""

SPEC = """\
version: 1
system: {{name: A small audit}}
model: {{format: predictions, score: score, positive: 1}}
data: {{test: {{path: rows.csv}}, target: y, sensitive: [g]}}
metrics: [accuracy, roc_auc]
policies: {policies}
report: {{formats: [html]}}
"""


def run(*arguments: str, cwd: Path, **more) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "xai_audit", *arguments], cwd=cwd, capture_output=True, text=True, env=environment,
        timeout=120, check=False, **more,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    score = np.clip(0.5 + (y - 0.5) * 0.6 + rng.normal(scale=0.2, size=400), 0, 1).round(3)
    pd.DataFrame({"score": score, "y": y, "g": rng.choice(["a", "b"], 400)}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    for name, level in (("easy", 0.5), ("hard", 0.999), ("even", 0.93)):
        (tmp_path / f"{name}.yaml").write_text(POLICY.format(level=level))
    for name, policies in (
        ("pass", "[easy.yaml]"),
        ("fail", "[hard.yaml]"),
        ("open", "[even.yaml]"),
        ("none", "[]"),
    ):
        (tmp_path / f"{name}-audit.yaml").write_text(SPEC.format(policies=policies))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "code", "outcome"), [("pass", 0, "pass"), ("fail", 1, "fail"), ("none", 3, "review")]
)
def test_each_outcome_has_its_code_and_a_whole_folder(
    folder: Path, name: str, code: int, outcome: str
) -> None:
    done = run("run", f"{name}-audit.yaml", "-o", "out", cwd=folder)
    assert (done.returncode, done.stderr) == (code, "")
    made = audit.read(folder / "out")
    assert made.outcome == outcome
    assert {path.name for path in (folder / "out").iterdir()} == {
        "audit.json", "evidence", "manifest.json", "report.html", "summary.md",
    }  # fmt: skip
    rows = pd.read_parquet(folder / "out" / "evidence" / "rows.parquet")
    assert len(rows) == 400
    assert list(rows["digest"]) == sorted(rows["digest"])
    # The gate says the same from the folder alone, and writes nothing.
    (folder / "rows.csv").unlink()
    before = {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    assert run("gate", "out", cwd=folder).returncode == code
    assert {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()} == before


def test_an_open_rule_that_asks_for_review_exits_three(folder: Path) -> None:
    made = run("run", "open-audit.yaml", "-o", "out", cwd=folder)
    outcome = audit.read(folder / "out")
    if outcome.findings[0].kind == "open":
        assert made.returncode == 3
    else:
        pytest.fail(f"the planted accuracy should straddle 0.93: {outcome.findings[0].message}")


def test_another_policy_judges_the_same_evidence_differently(folder: Path) -> None:
    assert run("run", "pass-audit.yaml", "-o", "out", cwd=folder).returncode == 0
    assert run("gate", "out", "--policy", "hard.yaml", cwd=folder).returncode == 1


def test_several_specs_get_folders_an_index_and_the_worst_code(folder: Path) -> None:
    done = run("run", "pass-audit.yaml", "none-audit.yaml", "fail-audit.yaml", "-o", "out", cwd=folder)
    assert done.returncode == 1
    index = (folder / "out" / "index.html").read_text()
    for name in ("pass-audit", "none-audit", "fail-audit"):
        assert (folder / "out" / name / "audit.json").is_file()
        assert f"{name}/report.html" in index


def test_a_mistake_exits_two_and_runs_nothing(folder: Path) -> None:
    (folder / "bad.yaml").write_text(SPEC.format(policies="[easy.yaml]").replace("accuracy", "acuracy"))
    done = run("run", "pass-audit.yaml", "bad.yaml", "-o", "out", cwd=folder)
    assert done.returncode == 2
    assert re.search(r"bad\.yaml:5:11: .*acuracy.*did you mean.*accuracy", done.stderr)
    assert not (folder / "out").exists()
    assert run("run", cwd=folder).returncode == 2
    assert run("run", "pass-audit.yaml", "--jobs", "many", cwd=folder).returncode == 2


def test_a_missing_model_exits_four(folder: Path) -> None:
    text = SPEC.format(policies="[easy.yaml]").replace(
        "{format: predictions, score: score, positive: 1}", "{path: gone.skops}"
    )
    (folder / "gone.yaml").write_text(text)
    done = run("run", "gone.yaml", "-o", "out", cwd=folder)
    assert done.returncode == 4
    assert "gone.skops" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("gate", "nowhere", cwd=folder).returncode == 4


def test_set_changes_a_key_and_stands_in_the_audit(folder: Path) -> None:
    assert run(
        "run", "pass-audit.yaml", "-o", "out", "--set", "model.threshold=0.9", cwd=folder
    ).returncode in (0, 1, 3)
    made = audit.read(folder / "out")
    assert made.subject["threshold"] == 0.9
    assert made.spec["overrides"] == {"model.threshold": 0.9}


def test_what_is_not_built_is_refused_by_name(folder: Path) -> None:
    done = run("explain", "out", cwd=folder)
    assert (done.returncode, "not available in this version" in done.stderr) == (2, True)
    done = run("run", "pass-audit.yaml", "--set", "run.budget=10m", cwd=folder)
    assert (done.returncode, "run.budget: not available in this version" in done.stderr) == (2, True)


MODEL = """\
import os, time
import numpy as np

calls = 0

def predict(frame):
    global calls
    calls += 1
    if os.environ.get("CRASH_AFTER") and calls > int(os.environ["CRASH_AFTER"]):
        raise RuntimeError("the model broke")
    time.sleep(float(os.environ.get("SLOW", "0")))
    score = 1 / (1 + np.exp(-(frame["a"].to_numpy(float) + 0.5 * frame["b"].to_numpy(float))))
    return np.column_stack([1 - score, score])
"""

EXPLAINED = """\
version: 1
system: {{name: A slow model}}
model: {{path: "model.py:predict", format: python, trust: true, sha256: {sha256}, task: classification, classes: [0, 1]}}
data: {{test: {{path: table.csv}}, target: y, features: [a, b], sensitive: [g]}}
metrics: [accuracy]
explainers: [{{shap: {{rows: 96, background: 20, method: exact}}}}]
policies: [easy.yaml]
report: {{formats: [html]}}
"""


@pytest.fixture
def modelled(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=200).round(3), rng.normal(size=200).round(3)
    table = pd.DataFrame(
        {"a": a, "b": b, "g": rng.choice(["x", "y"], 200), "y": (a + 0.5 * b > 0).astype(int)}
    )
    table.to_csv(folder / "table.csv", index=False)
    (folder / "model.py").write_text(MODEL)
    digest = hashlib.sha256(MODEL.encode()).hexdigest()
    (folder / "slow.yaml").write_text(EXPLAINED.format(sha256=digest))
    return folder


def test_a_crashing_explainer_exits_three_with_the_reason_in_the_report(modelled: Path, monkeypatch) -> None:
    monkeypatch.setenv("CRASH_AFTER", "12")
    done = run("run", "slow.yaml", "-o", "out", cwd=modelled)
    assert done.returncode == 3
    made = audit.read(modelled / "out")
    failed = made.get("shap")
    assert failed.status == "failed"
    assert "the model broke" in failed.reason
    assert "the model broke" in (modelled / "out" / "report.html").read_text()
    assert "Traceback" not in done.stderr


def test_ctrl_c_exits_130_and_resume_ends_in_the_same_audit(modelled: Path, monkeypatch) -> None:
    assert run("run", "slow.yaml", "-o", "whole", cwd=modelled).returncode == 0
    monkeypatch.setenv("SLOW", "0.15")
    # A shell that runs these tests in the background has its children ignore the signal.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import xai_audit.cli as c; c.main()"
    started = subprocess.Popen(
        [sys.executable, "-c", heeding, "run", "slow.yaml", "-o", "cut"], cwd=modelled,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pieces = modelled / "cut" / ".work" / "pieces"
    deadline = time.monotonic() + 60
    while len(list(pieces.glob("*.npz")) if pieces.is_dir() else []) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    _, error = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "Traceback" not in error
    assert "cut: no audit was written; --resume goes on with what is done" in error
    assert not (modelled / "cut" / "audit.json").exists()
    monkeypatch.delenv("SLOW")
    assert run("run", "slow.yaml", "-o", "cut", "--resume", cwd=modelled).returncode == 0
    cut, whole = audit.read(modelled / "cut"), audit.read(modelled / "whole")
    assert cut.run["resumed"] >= 2
    assert cut.same_as(whole)
    assert not (modelled / "cut" / ".work").exists()


def test_json_is_one_line_for_each_audit(folder: Path) -> None:
    done = run("run", "pass-audit.yaml", "-o", "out", "--json", cwd=folder)
    assert json.loads(done.stdout)["outcome"] == "pass"


def test_without_pango_html_is_written_and_the_evidence_says_why_pdf_is_not(
    folder: Path, monkeypatch
) -> None:
    # What WeasyPrint does on import where the dynamic linker finds no Pango.
    (folder / "fake" / "weasyprint").mkdir(parents=True)
    broken = "raise OSError(\"cannot load library 'libpango-1.0-0': not found\")\n"
    (folder / "fake" / "weasyprint" / "__init__.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(folder / "fake"))
    text = (folder / "pass-audit.yaml").read_text().replace("[html]", "[html, pdf]")
    (folder / "both.yaml").write_text(text)
    done = run("run", "both.yaml", "-o", "out", cwd=folder)
    assert done.returncode == 0
    for system in ("Debian", "Fedora", "macOS", "Windows"):
        assert system in done.stderr
    assert (folder / "out" / "report.html").is_file()
    assert not (folder / "out" / "report.pdf").exists()
    skipped = audit.read(folder / "out").get("report/pdf")
    assert skipped.status == "skipped"
    assert "Pango" in skipped.reason
    assert run("doctor", cwd=folder).stdout.count("Pango") >= 1


def whole(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_while_one_runs_another_run_and_a_render_are_refused(modelled: Path, monkeypatch) -> None:
    assert run("run", "pass-audit.yaml", "-o", "out", cwd=modelled).returncode == 0
    old = whole(modelled / "out")
    monkeypatch.setenv("SLOW", "0.3")
    first = subprocess.Popen(
        [sys.executable, "-m", "xai_audit", "run", "slow.yaml", "-o", "out"], cwd=modelled, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (modelled / "out" / ".work" / "pieces").is_dir() and time.monotonic() < deadline:
            time.sleep(0.02)
        for command in (("run", "pass-audit.yaml", "-o", "out"), ("render", "out")):
            done = run(*command, cwd=modelled)
            assert (done.returncode, done.stdout) == (4, "")
            assert "out: another run is writing here" in done.stderr.splitlines()[-1]
        # The old audit can be read all the while.
        assert run("gate", "out", cwd=modelled).returncode == 0
    finally:
        first.kill()
        first.wait()
    assert {path: content for path, content in whole(modelled / "out").items() if path in old} == old
    told = run("run", "pass-audit.yaml", "-o", "out", cwd=modelled)
    assert (told.returncode, "--resume would have gone on" in told.stderr) == (0, True)


def test_a_full_disk_leaves_the_old_audit_and_says_so(folder: Path) -> None:
    assert run("run", "pass-audit.yaml", "-o", "out", cwd=folder).returncode == 0
    with durability.mounted(folder / "disk", "tmpfs", 8 << 20) as disk:
        if disk is None:
            pytest.skip("no file system can be mounted here")
        shutil.copytree(folder / "out", disk / "out")
        old = whole(disk / "out")
        for free in (0, 20_000, 150_000):
            durability.fill(disk, free)
            for command in (("run", "fail-audit.yaml", "-o", "disk/out"), ("render", "disk/out")):
                done = run(*command, cwd=folder)
                assert (done.returncode, done.stdout) == (4, ""), free
                (line,) = done.stderr.splitlines()
                assert "No space left on device; the audit that was there is unchanged" in line
                assert whole(disk / "out") == old
            (disk / "ballast").unlink()
        assert run("run", "fail-audit.yaml", "-o", "disk/out", cwd=folder).returncode == 1


def test_a_read_only_disk_leaves_the_old_audit_and_says_so(folder: Path) -> None:
    assert run("run", "pass-audit.yaml", "-o", "out", cwd=folder).returncode == 0
    with durability.mounted(folder / "disk", "tmpfs", 8 << 20) as disk:
        if disk is None:
            pytest.skip("no file system can be mounted here")
        shutil.copytree(folder / "out", disk / "out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for command in (("run", "fail-audit.yaml", "-o", "disk/out"), ("render", "disk/out")):
            done = run(*command, cwd=folder)
            said = (
                "disk/out: cannot be written: Read-only file system; the audit that was there is unchanged\n"
            )
            assert (done.returncode, done.stderr) == (4, said)
        assert run("gate", "disk/out", cwd=folder).returncode == 0


def test_what_a_user_keeps_in_the_folder_stays_and_stale_files_of_ours_go(folder: Path) -> None:
    for name in (
        "notes.txt",
        "evidence/mine.csv",
        "evidence/rows.parquet",
        f"evidence/{'0' * 64}.npz",
        "report.pdf",
    ):
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "out" / name).write_bytes(b"older")
    assert run("run", "pass-audit.yaml", "-o", "out", cwd=folder).returncode == 0
    assert (
        (folder / "out" / "notes.txt").read_bytes()
        == (folder / "out" / "evidence" / "mine.csv").read_bytes()
        == b"older"
    )
    assert not (folder / "out" / "report.pdf").exists()
    assert not (folder / "out" / "evidence" / f"{'0' * 64}.npz").exists()
    told = json.loads((folder / "out" / "manifest.json").read_text())["files"]
    there = {path.relative_to(folder / "out").as_posix() for path in whole(folder / "out")} - {
        "manifest.json"
    }
    assert told.keys() == there
