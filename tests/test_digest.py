from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_audit import digest

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_published_digests() -> None:
    # FIPS 180-2, appendix B; and the empty string's.
    assert digest.of_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest.of_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    assert digest.of_file(tmp_path / "file") == digest.of_bytes(content)


def test_canonical_text() -> None:
    assert digest.canonical({"b": [1, 0.1, None], "a": "Łódź"}) == '{"a":"Łódź","b":[1,0.1,null]}'


@given(plain)
def test_canonical_text_reads_back(value: object) -> None:
    assert json.loads(digest.canonical(value)) == value


@given(st.dictionaries(st.text(), plain, min_size=2, max_size=6))
def test_the_order_of_keys_is_no_content(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert digest.canonical(turned) == digest.canonical(value)
    assert digest.of_value(turned) == digest.of_value(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_cannot_say_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest.canonical({"value": number})


def test_a_lone_surrogate_has_a_digest() -> None:
    assert digest.of_value("\ud800") != digest.of_value("\ud801")


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_a_seed_depends_on_each_part_and_on_where_one_ends(one: list[str], other: list[str]) -> None:
    assert (digest.seed(*one) == digest.seed(*other)) == (one == other)
    assert 0 <= digest.seed(*one) < 2**128


def test_a_seed_is_the_same_in_another_process() -> None:
    code = "from xai_audit import digest; print(digest.seed(0, 'shap', 'row'))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": salt},
        ).stdout.strip()
        for salt in ("1", "2")
    }
    assert told == {str(digest.seed(0, "shap", "row"))}


def test_joined_digests_depend_on_their_order() -> None:
    assert digest.joined(["a", "b"]) == hashlib.sha256(b"a\nb").hexdigest()
    assert digest.joined(["a", "b"]) != digest.joined(["b", "a"])


def _signed_folder(root: Path) -> Path:
    # The folder whose root digest OpenSSF model signing publishes with its own tests (sample_model_folder).
    for outer in range(2):
        (root / f"d{outer}").mkdir(parents=True)
        for inner in range(3):
            (root / f"d{outer}" / f"f{outer}{inner}").write_text(f"This is file f{outer}{inner} in d{outer}.")
    for place in range(4):
        (root / f"f{place}").write_text(f"This is file f{place} in root.")
    return root


_SIGNED = "143cc682e555951649f18e2761c3d526d2502996f5e32dc187ef7f8a614f8df7"


def test_a_folder_has_the_root_digest_of_model_signing(tmp_path: Path) -> None:
    folder = _signed_folder(tmp_path / "model")
    assert digest.of_folder(folder) == _SIGNED
    for name in (".git/HEAD", ".github/workflow.yaml", ".gitignore", ".gitattributes"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("history")
    assert digest.of_folder(folder) == _SIGNED
    (folder / "d0" / ".gitignore").write_text("further down it is a file like others")
    assert digest.of_folder(folder) != _SIGNED


def test_folders_are_ordered_by_the_parts_of_a_path_not_by_its_letters(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    (tmp_path / "a-b").write_text("2")  # "-" sorts before "/"
    assert [path.name for path in digest.files_of(tmp_path)] == ["x", "a-b"]


def test_links_to_files_count_by_content_and_links_to_folders_are_refused(tmp_path: Path) -> None:
    folder = _signed_folder(tmp_path / "model")
    (tmp_path / "blob").write_bytes((folder / "f2").read_bytes())
    (folder / "f2").unlink()
    (folder / "f2").symlink_to(tmp_path / "blob")
    assert digest.of_folder(folder) == _SIGNED
    (folder / "d2").symlink_to(folder / "d0")
    with pytest.raises(ValueError, match="d2 is a link to a folder"):
        digest.of_folder(folder)
