"""A freeze fixes thresholds and methods, and nothing that changed afterwards goes untold."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signed import key, project, run
from xai_audit import audit, digest, freezing, pipeline, signing
from xai_audit.cli import entry
from xai_audit.errors import UnavailableError
from xai_audit.policy import as_applied
from xai_audit.reading import read_policies, read_spec


def asked(spec_file: Path) -> tuple[dict, list[dict]]:
    spec = read_spec(spec_file)
    policies = read_policies(spec.policies, spec_file.parent)
    return pipeline.published(spec), [as_applied(policy, sha256) for policy, sha256 in policies]


def frozen(spec: dict, policies: list[dict], *signers) -> bytes:
    return freezing.sealed(
        spec,
        policies,
        file="audit.yaml",
        sha256="0" * 64,
        created="2026-11-01T00:00:00+00:00",
        signers=signers,
    )


def told(content: bytes, spec: dict, policies: list[dict]) -> list[dict]:
    return freezing.observed(content, spec, policies).params["changes"]


def test_nothing_changed_is_no_change(tmp_path: Path) -> None:
    spec, policies = asked(project(tmp_path))
    piece = freezing.observed(frozen(spec, policies), spec, policies)
    assert piece.params["changes"] == []
    assert piece.observation is not None
    assert piece.observation.estimate.value == 0
    assert any("unsigned" in limit for limit in piece.limits)


def test_a_threshold_a_method_and_a_setting_are_told_with_both_values(tmp_path: Path) -> None:
    spec, policies = asked(project(tmp_path))
    content = frozen(spec, policies)
    now, then = copy.deepcopy(spec), copy.deepcopy(policies)
    rule = next(rule for policy in then for rule in policy["rules"] if rule["id"] == "ONE-01")
    rule["at_least"] = 0.5
    now["metrics"] = [use for use in now["metrics"] if use["name"] != "roc_auc"]
    now["model"]["threshold"] = 0.4
    changes = {one["at"]: (one["frozen"], one["now"]) for one in told(content, now, then)}
    assert changes["policy.small.rules.ONE-01.at_least"] == (0.6, 0.5)
    assert changes["model.threshold"] == (0.5, 0.4)
    assert changes["metrics.roc_auc"][1] is None
    assert len(changes) == 3


def test_where_a_method_stands_and_what_people_say_is_no_change(tmp_path: Path) -> None:
    spec, policies = asked(project(tmp_path))
    now = copy.deepcopy(spec)
    now["system"]["name"] = "Another name"
    now["system"]["statements"] = {"data_gaps": []}
    for use in now["metrics"]:
        use["line"] += 4
    assert told(frozen(spec, policies), now, policies) == []
    now["system"]["waivers"] = [{"rule": "ONE-01", "reason": "r", "approver": "a", "expires": "2027-01-01"}]
    assert [one["at"] for one in told(frozen(spec, policies), now, policies)] == ["system.waivers"]


leaves = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("ab", max_size=2))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(before=trees, now=trees)
def test_two_settings_are_told_apart_whatever_they_are(before, now) -> None:
    content = frozen({"data": before}, [])
    same = digest.canonical(before) == digest.canonical(now)
    assert (told(content, {"data": now}, []) == []) is same


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]\n", b'{"payload":"e30=","payloadType":"x","signatures":[]}\n']
)
def test_what_is_no_freeze_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "audit.freeze.json"
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match="not as `xai-audit freeze` wrote it") as caught:
        freezing.read(path)
    assert "\n" not in str(caught.value)
    assert freezing.read(tmp_path / "none.json") is None


class TestCommand:
    def test_it_fixes_before_data_and_model_are_there(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spec = project(tmp_path)
        (tmp_path / "rows.csv").unlink()
        private, public = key(tmp_path)
        assert entry(["freeze", str(spec), "--key", str(private)]) == 0
        out = capsys.readouterr().out
        keyid = signing.public_key(public).keyid
        assert f"signed by {keyid}" in out
        envelope, predicate = freezing.opened((tmp_path / "audit.freeze.json").read_bytes())
        assert signing.holds(envelope, signing.public_key(public))
        assert [policy["id"] for policy in predicate["policies"]] == ["eu-ai-act", "small"]
        line = json.loads((tmp_path / "audit-log.jsonl").read_text())
        assert line["freeze"] == digest.of_file(tmp_path / "audit.freeze.json")

    def test_it_never_replaces_one(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        spec = project(tmp_path)
        assert entry(["freeze", str(spec)]) == 0
        assert "unsigned" in capsys.readouterr().out
        before = (tmp_path / "audit.freeze.json").read_bytes()
        assert entry(["freeze", str(spec)]) == 4
        assert "is not replaced" in capsys.readouterr().err
        assert (tmp_path / "audit.freeze.json").read_bytes() == before

    def test_mistakes_of_the_spec_are_told_all_the_same(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spec = project(tmp_path)
        spec.write_text(spec.read_text().replace("accuracy", "acuracy"))
        assert entry(["freeze", str(spec)]) == 2
        assert "did you mean 'accuracy'" in capsys.readouterr().err
        assert not (tmp_path / "audit.freeze.json").exists()

    def test_a_run_tells_what_changed_since(self, tmp_path: Path) -> None:
        spec = project(tmp_path)
        assert entry(["freeze", str(spec)]) == 0
        policy = tmp_path / "small.yaml"
        policy.write_text(policy.read_text().replace("at_least: 0.6", "at_least: 0.4"))
        out = run(spec, tmp_path / "out")
        piece = audit.read(out).get("freeze")
        assert piece is not None
        places = {one["at"] for one in piece.params["changes"]}
        assert places == {"policy.small.rules.ONE-01.at_least", "policy.small.sha256"}
        assert (out / "freeze.json").read_bytes() == (tmp_path / "audit.freeze.json").read_bytes()
        assert "freeze.json" in json.loads((out / "manifest.json").read_text())["files"]

    def test_a_broken_freeze_stops_the_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        spec = project(tmp_path)
        (tmp_path / "audit.freeze.json").write_text("{}")
        assert entry(["run", str(spec), "-o", str(tmp_path / "out"), "--quiet"]) == 4
        assert "no DSSE envelope" in capsys.readouterr().err
        assert not (tmp_path / "out" / "audit.json").exists()


def test_a_rule_may_ask_for_a_freeze(tmp_path: Path) -> None:
    spec = project(tmp_path)
    rule = (
        "  - {id: GOV-20, title: Nothing was changed after it was frozen, clause: Article 9(8), basis: convention, "
        "evidence: freeze, equals: 0, level: error, examples: [{value: 0, expect: pass}, {value: 2, expect: fail}]}\n"
    )
    policy = tmp_path / "small.yaml"
    policy.write_text(policy.read_text() + rule)

    def kind(out: str) -> tuple[str, str]:
        made = audit.read(run(spec, tmp_path / out))
        found = next(one for one in made.findings if one.rule == "GOV-20")
        return found.kind, found.message

    assert kind("none")[0] == "review"
    assert "nothing was frozen before the run" in kind("none")[1]
    assert entry(["freeze", str(spec)]) == 0
    assert kind("same")[0] == "pass"
    policy.write_text(policy.read_text().replace("at_least: 0.6", "at_least: 0.4"))
    assert kind("moved")[0] == "fail"
