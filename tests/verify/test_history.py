from __future__ import annotations

import json
from pathlib import Path

from tests.signed import key, project, run
from tests.verify.forging import forge, piece, remade
from xai_audit import log, signing
from xai_audit.cli import entry
from xai_audit.verify import verify


def kinds(folder: Path, name: str, **more) -> list[tuple[str, str]]:
    topic = next(one for one in verify(folder, **more) if one.name == name)
    return [(check.kind, check.what) for check in topic.checks]


def test_an_audit_is_found_in_its_log(tmp_path: Path) -> None:
    spec = project(tmp_path)
    first, second = run(spec, tmp_path / "one"), run(spec, tmp_path / "two")
    path = tmp_path / "audit-log.jsonl"
    assert kinds(first, "log", log=path)[0] == ("holds", "line 1 of 2 is this audit; the chain holds")
    assert kinds(second, "log", log=path)[0] == ("holds", "line 2 of 2 is this audit; the chain holds")
    head = log.read(path).head
    assert head in kinds(second, "log", log=path)[1][1]
    assert json.loads((second / "audit.json").read_text())["run"]["log"]["lines"] == 1


def test_a_log_that_was_written_anew_without_a_line_is_found(tmp_path: Path) -> None:
    spec = project(tmp_path)
    first, second = run(spec, tmp_path / "one"), run(spec, tmp_path / "two")
    path = tmp_path / "audit-log.jsonl"
    kept = [dict(entry) for entry in log.read(path).entries]
    path.unlink()
    # The failing first audit is dropped and the chain made again: the second remembers the head it was added after.
    log.append(path, {key: value for key, value in kept[1].items() if key not in {"number", "previous"}})
    assert kinds(second, "log", log=path)[0][0] == "broken"
    assert "lines were changed" in kinds(second, "log", log=path)[0][1]
    assert "no line for this audit" in kinds(first, "log", log=path)[0][1]


def test_a_broken_or_absent_log_is_told(tmp_path: Path) -> None:
    out = run(project(tmp_path), tmp_path / "out")
    path = tmp_path / "audit-log.jsonl"
    assert kinds(out, "log", log=tmp_path / "none.jsonl")[0][0] == "broken"
    path.write_bytes(b"no log\n")
    assert kinds(out, "log", log=path) == [("broken", f"{path}:1: it is not a line of this log")]


def test_a_broken_log_stops_the_next_run_before_it_measures(tmp_path: Path, capsys) -> None:
    spec = project(tmp_path)
    (tmp_path / "audit-log.jsonl").write_text("no log\n")
    assert entry(["run", str(spec), "-o", str(tmp_path / "out"), "--quiet"]) == 4
    assert "keep it as it is" in capsys.readouterr().err
    spec.write_text(spec.read_text() + "run: {log: null}\n")
    assert entry(["run", str(spec), "-o", str(tmp_path / "out"), "--quiet"]) in {0, 1, 3}
    assert "log" not in json.loads((tmp_path / "out" / "audit.json").read_text())["run"]


def test_a_freeze_holds_and_its_forgeries_do_not(tmp_path: Path) -> None:
    spec = project(tmp_path)
    private, public = key(tmp_path)
    assert entry(["freeze", str(spec), "--key", str(private)]) == 0
    policy = tmp_path / "small.yaml"
    policy.write_text(policy.read_text().replace("at_least: 0.6", "at_least: 0.4"))
    out = run(spec, tmp_path / "out")
    keys = [signing.public_key(public)]
    assert kinds(out, "freeze", keys=keys) == [
        ("holds", "2 changes since it, as audit.json says"),
        ("holds", f"signed by {keys[0].keyid}"),
    ]
    forge(out, lambda content: piece(content, "freeze")["params"].update(changes=[]))
    assert kinds(out, "freeze")[0][0] == "broken"
    forge(out, lambda content: content["evidence"].remove(piece(content, "freeze")))
    assert "does not tell of" in kinds(out, "freeze")[0][1]
    (out / "freeze.json").unlink()
    remade(out)
    assert kinds(out, "freeze") == []
