"""Which part of a folder is the audited model."""

from __future__ import annotations

from pathlib import Path

import pytest

from xai_audit import digest
from xai_audit.attach.identity import audited


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    for name, content in (
        ("MLmodel", "a"),
        ("net/config.json", "b"),
        ("net/w.safetensors", "c"),
        ("net.py", "d"),
    ):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_the_folder_a_file_a_part_and_weights_with_their_code(folder: Path) -> None:
    weights, entry = (digest.of_file(folder / name) for name in ("net/w.safetensors", "net.py"))
    assert audited(folder, digest.of_folder(folder)) == "the folder"
    assert audited(folder, weights) == "the file net/w.safetensors"
    assert audited(folder, digest.of_folder(folder / "net")) == "the folder net"
    assert audited(folder, digest.root([weights, entry])) == "the files net/w.safetensors and net.py"


def test_nothing_else(folder: Path) -> None:
    weights, entry = (digest.of_file(folder / name) for name in ("net/w.safetensors", "net.py"))
    before = digest.of_folder(folder)
    assert audited(folder, digest.of_bytes(b"")) is None
    (folder / "net.py").write_text("other code")
    assert audited(folder, before) is None
    assert audited(folder, digest.root([weights, entry])) is None
    empty = folder / "empty"
    empty.mkdir()
    # The digest of no file at all is no model.
    assert audited(empty, digest.root([])) is None
