"""The wheel as users get it: built from the source archive, installed elsewhere, run from another folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import needs_sources
from xai_audit import __version__

pytestmark = needs_sources

ROOT = Path(__file__).parents[1]


def ran(*command: object, cwd: Path, ok: tuple[int, ...] = (0,)) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={
            **environment,
            "OMP_NUM_THREADS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
    )
    assert done.returncode in ok, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source archive and the wheel made from it."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    unwanted = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", ".hypothesis", "out", "dist", "__pycache__"
    )
    shutil.copytree(ROOT, source / "project", ignore=unwanted)
    # Without --wheel or --sdist, build makes the archive and then the wheel from the archive alone.
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", made, source / "project", cwd=source)
    return made


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and with the libraries (not the project) of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (wheel,) = built.glob("*.whl")
    ran(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    packages = Path(
        ran(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # Paths of a .pth file come after site-packages, so the wheel's xai_audit is the one that is found; the
    # editable installation's own .pth file is not read from there.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_the_package_its_data_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"xai_audit-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "xai_audit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "_data" not in path.parts
    }
    for name in ("templates", "policies"):
        expected |= {
            f"xai_audit/_data/{path.relative_to(ROOT).as_posix()}"
            for path in (ROOT / name).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
    information = {name for name in names if name.startswith(f"xai_audit-{__version__}.dist-info/")}
    assert names - information == expected
    assert "xai_audit/py.typed" in names
    assert {name.partition("/")[2] for name in information} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_source_archive_holds_what_tests_and_examples_need(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert names >= {"Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "CHANGELOG.md"}
    assert names >= {"scripts/pango.sh", "scripts/torch_index.py", "CONTRIBUTING.md"}  # the Makefile's
    assert names >= {"examples/diabetes/audit.yaml", "tests/golden/v1/audit.json", "docs/format.md"}
    assert names >= {"templates/report.html.j2", "policies/eu-ai-act.yaml", "xai_audit/py.typed"}
    assert not {
        name for name in names if name.endswith((".skops", ".pyc")) or name.startswith(("out/", ".venv"))
    }


def test_the_wheel_runs_an_example_from_another_folder(installed: Path, tmp_path: Path) -> None:
    code = "import xai_audit, xai_audit.resources as r; print(xai_audit.__file__); print(r.folder('templates')); print(r.folder('policies'))"
    told = [Path(line) for line in ran(installed, "-c", code, cwd=tmp_path).splitlines()]
    home = told[0].parent
    assert installed.parents[1] in home.parents
    assert ROOT not in home.parents
    assert told[1:] == [home / "_data" / "templates", home / "_data" / "policies"]

    for name in ("audit.yaml", "prepare.py"):
        shutil.copy(ROOT / "examples" / "berkeley" / name, tmp_path)
    ran(installed, "prepare.py", cwd=tmp_path)
    script = installed.with_name("xai-audit")
    ran(script, "check", "audit.yaml", cwd=tmp_path)
    ran(script, "run", "audit.yaml", "-o", "out", "--jobs", "1", cwd=tmp_path, ok=(1,))
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {"audit.json", "evidence", "manifest.json", "report.html", "report.pdf", "summary.md"}
    ran(script, "gate", "out", "--quiet", cwd=tmp_path, ok=(1,))
    assert "eu-ai-act" in ran(script, "list", "policies", cwd=tmp_path)
    assert ran(script, "--version", cwd=tmp_path) == f"xai-audit {__version__}\n"
