from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import needs_sources
from xai_audit import resources

ASK = """\
from xai_audit import resources
for name in ("templates", "policies"):
    try:
        print(resources.folder(name))
    except FileNotFoundError as error:
        print(error)
"""


def asked(place: Path) -> list[str]:
    """What a copy of the package standing there says, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(place)!r})\n{ASK}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=place,
    )
    return done.stdout.splitlines()


def package(place: Path) -> Path:
    """A package with nothing in it but the resolver and what it stands on."""
    made = place / "xai_audit"
    made.mkdir(parents=True)
    (made / "__init__.py").write_text("")
    for name in ("resources.py", "digest.py"):
        shutil.copy(Path(resources.__file__).with_name(name), made / name)
    return made


@needs_sources
def test_in_a_checkout_they_stand_beside_the_package() -> None:
    root = Path(__file__).parents[1]
    assert resources.folder("templates") == root / "templates"
    assert resources.folder("policies") == root / "policies"
    assert (resources.folder("policies") / "eu-ai-act.yaml").is_file()


def test_in_a_wheel_they_stand_in_data(tmp_path: Path) -> None:
    made = package(tmp_path / "site-packages")
    for name in ("templates", "policies"):
        (made / "_data" / name).mkdir(parents=True)
        (tmp_path / "site-packages" / name).mkdir()  # a stranger's
    assert asked(tmp_path / "site-packages") == [
        str(made / "_data" / name) for name in ("templates", "policies")
    ]


def test_a_strangers_folder_beside_the_package_is_not_taken(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "templates").mkdir()
    told = asked(tmp_path)
    assert told == [
        f"xai-audit is installed without its {name} folder; reinstall it"
        for name in ("templates", "policies")
    ]


@needs_sources
def test_the_tool_has_one_digest_in_a_wheel_and_in_a_checkout(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    shutil.copytree(
        root / "xai_audit", tmp_path / "xai_audit", ignore=shutil.ignore_patterns("__pycache__", "_data")
    )
    for name in ("templates", "policies"):
        shutil.copytree(root / name, tmp_path / "xai_audit" / "_data" / name)
    ask = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from xai_audit import resources; print(resources.tool_digest())"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == resources.tool_digest()
    with (tmp_path / "xai_audit" / "judge.py").open("a") as stream:
        stream.write("# changed\n")
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() != resources.tool_digest()
