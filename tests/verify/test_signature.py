from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.signed import key, project, run, signed
from tests.verify.forging import forge, remade
from xai_audit import signing
from xai_audit.cli import entry
from xai_audit.verify import Topic, exit_code, verify


def topic(folder: Path, *keys: Path) -> Topic:
    topics = verify(folder, keys=[signing.public_key(one) for one in keys])
    return next(one for one in topics if one.name == "signature")


def said(found: Topic, kind: str) -> list[str]:
    return [check.what for check in found.checks if check.kind == kind]


def test_the_right_key_holds_and_another_does_not(tmp_path: Path) -> None:
    made = signed(tmp_path)
    _, other = key(tmp_path, "other")
    assert said(topic(made / "out", made / "key.pub"), "broken") == []
    assert "not signed by" in said(topic(made / "out", other), "broken")[0]
    # Without a key nothing contradicts, and it is said that nothing was checked.
    assert "was not checked" in said(topic(made / "out"), "holds")[-1]


def test_a_signature_that_was_taken_away_is_missed(tmp_path: Path) -> None:
    made = signed(tmp_path)
    (made / "out" / "attestation.json").unlink()
    assert "manifest.json says that the audit is signed" in said(topic(made / "out"), "broken")[0]
    remade(made / "out")
    assert said(topic(made / "out"), "broken") == []
    assert "not signed" in said(topic(made / "out", made / "key.pub"), "broken")[0]


def test_a_signature_of_another_audit_does_not_hold_here(tmp_path: Path) -> None:
    made = signed(tmp_path / "made")
    other = run(project(tmp_path / "other", seed=1), tmp_path / "other" / "out", made / "key.pem")
    shutil.copy(other / "attestation.json", made / "out" / "attestation.json")
    assert "over something else" in " ".join(said(topic(made / "out", made / "key.pub"), "broken"))


def test_a_number_that_was_changed_with_all_its_digests_is_not_signed(tmp_path: Path) -> None:
    made = signed(tmp_path)
    forge(made / "out", lambda content: content["evidence"][0].update(seed=9))
    assert "over something else" in " ".join(said(topic(made / "out", made / "key.pub"), "broken"))


def test_a_folder_is_signed_after_the_run_and_by_more_than_one(tmp_path: Path) -> None:
    out = run(project(tmp_path), tmp_path / "out")
    (one, one_public), (two, two_public) = (
        key(tmp_path, "one"),
        key(tmp_path, "two", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    )
    assert entry(["sign", str(out), "--key", str(one)]) == 0
    first = (out / "attestation.json").read_bytes()
    assert entry(["sign", str(out), "--key", str(two)]) == 0
    assert len(signing.opened((out / "attestation.json").read_bytes()).signatures) == 2
    topics = list(verify(out, keys=[signing.public_key(one_public), signing.public_key(two_public)]))
    assert exit_code(topics) == 0
    assert first != (out / "attestation.json").read_bytes()


def test_nobody_signs_what_was_changed_unseen(tmp_path: Path, capsys) -> None:
    made = signed(tmp_path)
    page = made / "out" / "report.html"
    page.write_bytes(page.read_bytes() + b" ")
    before = (made / "out" / "attestation.json").read_bytes()
    assert entry(["sign", str(made / "out"), "--key", str(made / "key.pem")]) == 4
    assert "nothing is signed" in capsys.readouterr().err
    assert (made / "out" / "attestation.json").read_bytes() == before


def test_pages_that_are_drawn_again_keep_the_signature_and_others_drop_it(tmp_path: Path, capsys) -> None:
    made = signed(tmp_path)
    out = made / "out"
    before = {path.name: path.read_bytes() for path in out.glob("*.*")}
    assert entry(["render", str(out)]) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.*")} == before
    (out / "summary.md").write_text("other")
    capsys.readouterr()
    assert entry(["render", str(out)]) == 0
    assert "sign the audit again" in capsys.readouterr().err
    assert not (out / "attestation.json").exists()
    assert json.loads((out / "manifest.json").read_text())["signed"] is False
    assert exit_code(list(verify(out))) == 0


def test_drawing_pages_again_vouches_for_nothing_else(tmp_path: Path) -> None:
    made = signed(tmp_path)
    out = made / "out"
    rows = out / "evidence" / "rows.parquet"
    rows.write_bytes(rows.read_bytes() + b" ")
    (out / "summary.md").write_text("other")
    assert entry(["render", str(out)]) == 0
    named = {check.subject for one in verify(out) for check in one.checks if check.kind == "broken"}
    assert "evidence/rows.parquet" in named
    assert "summary.md" not in named
