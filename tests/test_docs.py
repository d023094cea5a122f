"""What the documentation says is run, read or looked up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

from xai_audit.audit import PUBLISHABLE
from xai_audit.cli import COMMANDS, LATER
from xai_audit.judge import exit_code
from xai_audit.policy import Policy
from xai_audit.reading import read_policy
from xai_audit.render import FILES
from xai_audit.spec import ReportOptions

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
] + sorted((ROOT / "docs").rglob("*.md"))  # fmt: skip
OURS = [
    *PAGES,
    *(
        path
        for name in ("templates", "policies")
        for path in sorted((ROOT / name).rglob("*"))
        if path.is_file()
    ),
]


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its line, the words after the fence, its text."""

    page: Path
    line: int
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        opened: int | None = None
        for number, line in enumerate(lines):
            if line.startswith("```") and opened is None:
                opened = number
            elif line == "```" and opened is not None:
                words = tuple(lines[opened][3:].split())
                yield Block(page, opened + 1, words, "\n".join(lines[opened + 1 : number]) + "\n")
                opened = None
        assert opened is None, f"{page}: a block is not closed"


BLOCKS = list(blocks())


def marked(*words: str) -> list[Block]:
    return [block for block in BLOCKS if set(words) <= set(block.words)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, tables and a saved audit, under the names that the pages use."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame(
        {
            "person": range(300),
            "income": rng.lognormal(7, 0.5, 300).round(),
            "debt": rng.lognormal(6, 0.5, 300).round(),
            "gender": rng.choice(["man", "woman"], 300),
            "age": rng.integers(18, 80, 300),
        }
    )
    table["repaid"] = (table["income"] - table["debt"] + rng.normal(scale=400, size=300) > 600).astype(int)
    model = LogisticRegression(max_iter=1000).fit(table[["income", "debt"]], table["repaid"])
    skops.io.dump(model, tmp_path / "model.skops")
    table.to_csv(tmp_path / "test.csv", index=False)
    pd.DataFrame({"person": range(300), "ethnicity": rng.choice(["a", "b"], 300)}).to_csv(
        tmp_path / "groups.csv", index=False
    )
    pd.DataFrame(
        {
            "gender": table["gender"],
            "department": rng.choice(["A", "B"], 300),
            "decision": rng.choice(["admitted", "rejected"], 300),
        }
    ).to_csv(tmp_path / "applicants.csv", index=False)
    return tmp_path


def shell(lines: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", lines], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": here, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- blocks
def test_the_three_commands_of_the_readme(folder: Path) -> None:
    (block,) = marked("runnable", "own")
    commands = block.text.splitlines()
    assert [line.split()[1] for line in commands] == ["init", "check", "run"]
    codes = []
    for line in commands:
        done = shell(line, folder)
        assert "Traceback" not in done.stderr
        codes.append(done.returncode)
    assert codes[:2] == [0, 0]
    assert codes[2] in {0, 1, 3}
    asked = {"audit.json", "manifest.json", *(FILES[name] for name in ("summary", *ReportOptions().formats))}
    there = {path.name for path in (folder / "out").iterdir()}
    assert asked | {"evidence"} <= there <= {*PUBLISHABLE, "manifest.json", "evidence"}
    assert (folder / "out" / "evidence" / "rows.parquet").is_file()


@pytest.mark.parametrize(
    "block", [block for block in marked("runnable") if "own" not in block.words], ids=str
)
def test_a_block_runs_on_a_saved_audit(folder: Path, block: Block) -> None:
    shutil.copytree(ROOT / "tests" / "golden" / "v1", folder / "out")
    if block.words[0] == "sh":
        done = shell(block.text, folder)
    else:
        # Examples open files without closing them, as short scripts do; that is no mistake of theirs.
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", block.text]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", marked("yaml", "spec"), ids=str)
def test_a_spec_of_the_pages_has_no_mistake(folder: Path, block: Block) -> None:
    (folder / "audit.yaml").write_text(block.text, encoding="utf-8")
    done = shell("xai-audit check audit.yaml", folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", marked("yaml", "policy"), ids=str)
def test_a_policy_of_the_pages_decides_its_examples(tmp_path: Path, block: Block) -> None:
    from xai_audit.judge import example_finding

    (tmp_path / "policy.yaml").write_text(block.text, encoding="utf-8")
    policy, _ = read_policy(tmp_path / "policy.yaml")
    assert isinstance(policy, Policy)
    for rule in policy.rules:
        for example in rule.examples:
            assert example_finding(rule, example) == example.expect, rule.id


def test_blocks_that_could_be_checked_are_marked() -> None:
    for block in BLOCKS:
        if block.words[:1] == ("yaml",):
            content = yaml.safe_load(block.text)
            whole = isinstance(content, dict) and "version" in content
            assert not whole or {"spec", "policy"} & set(block.words), str(block)
        if block.words[:1] == ("python",):
            assert "runnable" in block.words, str(block)
    assert marked("yaml", "spec")
    assert marked("yaml", "policy")
    assert len(marked("python", "runnable")) >= 2


# ---------------------------------------------------------------------------------------------- words and names
@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_word_that_promises_too_much(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # Article 10(5) was repealed; what it said stands in Article 4a.
    assert not re.findall(r"(?i)\b(?:non-)?compliant\b|\bcertified\b|\bunbiased\b|\b10\(5\)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"(?:^|`)xai-audit ([a-z_]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(named) <= set(COMMANDS)


def test_the_readme_says_what_is_not_built() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    said = text[text.index("Not built in this version") :].split("\n\n")[0]
    assert {name for name in LATER if f"`{name}`" in said} == set(LATER)


def test_exit_codes_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", text, flags=re.MULTILINE))
    assert {name: int(code) for code, name in rows.items()} == {
        outcome: exit_code(outcome) for outcome in ("pass", "fail", "review", "error")
    }
    assert {"2", "130"} <= set(re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE))


def test_pictures_are_there_and_small() -> None:
    for page in PAGES:
        for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            path = page.parent / name
            assert path.read_bytes().startswith(b"\x89PNG")
            assert path.stat().st_size < 150_000


def test_the_reference_is_what_the_program_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pages_name_no_path_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", page.read_text(encoding="utf-8")), (
            page
        )
