from __future__ import annotations

import copy
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fuzz_audits
from xai_audit import audit
from xai_audit.cli import entry
from xai_audit.errors import UnavailableError

GOLDEN = Path(__file__).parent / "golden" / "v1"
CONTENT = json.loads((GOLDEN / "audit.json").read_text(encoding="utf-8"))

CHANGES: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "spec.model.trusted": (("spec", "model", "trusted"), True),
    "spec.data.test.path": (("spec", "data", "test"), {}),
    "spec.run.confidence": (("spec", "run", "confidence"), 2),
    "policies.0.confidence": (("policies", 0, "confidence"), 7),
    "policies.0.rules.0.level": (("policies", 0, "rules", 0, "level"), "loud"),
    "policies.0: Value error, the sha256": (("policies", 0, "sha256"), None),
    "subject.data.test.rows": (("subject", "data", "test", "rows"), "400"),
    "subject.model.sha256": (("subject", "model", "sha256"), "abc"),
    "subject.columns.0.name": (("subject", "columns", 0), {"kind": "numeric"}),
    "subject.groupings.0: Value error, each group has a label": (
        ("subject", "groupings", 0, "labels"),
        ["one"],
    ),
    "subject.notes": (("subject", "notes"), None),
    "run.started": (("run", "started"), "yesterday"),
    "run.finished": (("run",), {"started": "2026-11-23T17:01:06+00:00"}),
    "environment.packages": (("environment", "packages"), [1]),
}


@pytest.mark.parametrize("place", CHANGES)
def test_what_cannot_be_relied_on_is_refused_at_its_place(place: str, tmp_path: Path, capsys) -> None:
    content = copy.deepcopy(CONTENT)
    (*above, last), value = CHANGES[place]
    part = content
    for key in above:
        part = part[key]
    part[last] = value
    (tmp_path / "audit.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UnavailableError, match=rf"not an audit of schema xai-audit/audit/1: {place}"):
        audit.read(tmp_path)
    # The commands say it in one line, not as an internal error.
    assert entry(["gate", str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert place in line


def test_keys_of_later_versions_are_let_be(tmp_path: Path) -> None:
    content = copy.deepcopy(CONTENT)
    for part in (
        content["subject"],
        content["subject"]["data"]["test"],
        content["run"],
        content["environment"],
    ):
        part["later"] = {"any": [1]}
    (tmp_path / "audit.json").write_text(json.dumps(content), encoding="utf-8")
    assert audit.read(tmp_path).subject["later"] == {"any": [1]}


def test_mangled_folders_are_read_or_refused_in_lines() -> None:
    # `make proof` mangles 2,000.
    told: list[str] = []
    counts = fuzz_audits.run(secrets.randbelow(2**31), range(25), told.append)
    assert told == []
    assert counts["read"] + counts["refused"] == 25
