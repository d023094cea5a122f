"""Places are those of a real spec, read, run and saved; each line is looked up in the file itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.render import audits
from xai_audit import audit, pipeline
from xai_audit.audit import Audit
from xai_audit.reading import read_policies, read_specs
from xai_audit.render import places

RULE = """\
  - id: {id}
    title: t
    clause: c
    basis: convention
    {asks}
    level: error
    examples: [{examples}]
"""
AT_LEAST = "{low: 0.9999, high: 1, expect: pass}, {low: 0, high: 0.01, expect: fail}, {low: 0, high: 1, expect: open}"
STATED = "{attested: true, expect: pass}, {attested: false, expect: open}"
RULES = {
    "MET-01": "evidence: accuracy\n    at_least: 0.999",
    "MET-02": "evidence: roc_auc/g\n    at_least: 0.999",
    "COL-01": "evidence: demographic_parity_ratio/*\n    at_least: 0.9999",
    "WAI-01": "evidence: accuracy\n    at_least: 0.999",
    "WAI-02": "evidence: accuracy\n    at_least: 0.999",
    "SAY-01": "attested: oversight",
    "SAY-02": "attested: data_gaps",
    "SAY-03": "attested: signatories",
    "LAB-01": "evidence: invalid_labels\n    at_least: 0.999",
    "NOT-01": "evidence: prevalence\n    at_least: 0.999",
}
SPEC = """\
version: 1
system:
  name: A small audit
  waivers:
    - {rule: WAI-02, reason: no, approver: A, expires: 2000-01-01}
    - {rule: WAI-01, reason: known, approver: B, expires: 2999-01-01}
  statements:
    data_gaps: {text: none, author: A, date: 2026-01-01}
model: {format: predictions, score: score, positive: 1}
data:
  test: {path: rows.csv}
  target: y
  sensitive:
    - h
    - {column: g}
metrics:
  - accuracy
  - roc_auc
policies: [own.yaml]
report: {formats: [html]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    score = np.clip(0.5 + (y - 0.5) * 0.4 + rng.normal(scale=0.3, size=400), 0, 1).round(3)
    groups = {name: rng.choice(["a", "b"], 400) for name in "gh"}
    pd.DataFrame({"score": score, "y": y, **groups}).to_csv(folder / "rows.csv", index=False)
    rules = "".join(
        RULE.format(id=name, asks=asks, examples=STATED if "attested" in asks else AT_LEAST)
        for name, asks in RULES.items()
    )
    (folder / "own.yaml").write_text(f"id: own\nversion: 1\nas_of: 2026-01-01\nrules:\n{rules}")
    (folder / "audit.yaml").write_text(SPEC)
    before = Path.cwd()
    os.chdir(folder)
    try:
        (spec,) = read_specs(["audit.yaml"])
        pipeline.run(spec, read_policies(spec.policies, Path()), Path("out"), pipeline.Options())
        return audit.read(Path("out"))
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    ("rule", "line", "column"),
    [
        ("MET-01", "  - accuracy", 5),
        ("MET-02", "  - roc_auc", 5),
        ("WAI-02", "    - {rule: WAI-02, reason: no, approver: A, expires: 2000-01-01}", 7),
        ("COL-01", "    - ", 7),
        ("WAI-01", "    - {rule: WAI-01, reason: known, approver: B, expires: 2999-01-01}", 7),
        ("SAY-01", "    data_gaps: ", 5),
        ("SAY-02", "    data_gaps: {text: none, author: A, date: 2026-01-01}", 16),
        ("SAY-03", "  name: A small audit", 3),
        ("LAB-01", "  target: y", 11),
        ("NOT-01", "policies: [own.yaml]", 12),
    ],
)
def test_a_finding_is_at_the_line_of_what_it_is_about(made: Audit, rule: str, line: str, column: int) -> None:
    found = next(finding for finding in made.findings if finding.rule == rule)
    at = places.place(made, found)
    assert at.path == "audit.yaml"
    assert SPEC.splitlines()[at.line - 1].startswith(line), rule
    assert at.column == column


def test_a_column_is_the_one_that_leads_the_finding(made: Audit) -> None:
    found = next(finding for finding in made.findings if finding.rule == "COL-01")
    worst = places.told.leading(found)
    assert worst is not None
    line = SPEC.splitlines()[places.place(made, found).line - 1]
    assert line.strip() == {"h": "- h", "g": "- {column: g}"}[worst.evidence.partition("/")[2]]


def test_an_audit_of_the_first_version_says_no_spec(made: Audit) -> None:
    old = made.model_copy(update={"run": {key: value for key, value in made.run.items() if key != "spec"}})
    assert {places.place(old, finding) for finding in old.findings} == {places.ELSEWHERE}


@pytest.mark.parametrize(
    "kept", [None, [], {}, {"metrics.0": "x"}, {"metrics.0": [0, 0]}, {"metrics.0": [True]}]
)
def test_places_that_cannot_be_read_leave_the_file(made: Audit, kept: object) -> None:
    odd = made.model_copy(update={"run": {**made.run, "spec": {"path": "a.yaml", "places": kept}}})
    assert {places.place(odd, finding) for finding in odd.findings} == {places.Place("a.yaml")}


def test_what_was_changed_on_the_command_line_has_no_place_of_its_own() -> None:
    # The places hold what stands in the file; a metric that --set brought in falls back to the policy.
    one = audits.located(audits.failing(), policies=[9, 1])
    found = next(finding for finding in one.findings if finding.rule == "PER-01")
    assert places.place(one, found) == places.Place("models/audit.yaml", 9, 1)
