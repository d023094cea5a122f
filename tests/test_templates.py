"""Templates look things up, compute nothing, and use no word that the report must not use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jinja2 import nodes

from tests.render import audits, specimens
from xai_audit import resources
from xai_audit.render.html import templates
from xai_audit.render.report import outline

FOLDER = resources.folder("templates")
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.j2"))
ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Neg)
RENDER = Path(resources.__file__).parent / "render"
FORBIDDEN = re.compile(
    r"\b(compliant|compliance with|certified|certification|unbiased|bias-free|guarantees?|trustworthy)\b",
    re.IGNORECASE,
)
PRAISE = re.compile(
    r"\b(is|are|was|were|be) (fair|safe|transparent|robust|accurate|reliable)\b", re.IGNORECASE
)


@pytest.mark.parametrize("file", FILES)
def test_templates_do_not_compute(file: str):
    tree = templates().parse((FOLDER / file).read_text(encoding="utf-8"))
    assert list(tree.find_all(ARITHMETIC)) == []


@pytest.mark.parametrize("file", FILES)
def test_templates_never_switch_escaping_off(file: str):
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape", text)
    assert "style=" not in text
    assert not re.search(r"\son[a-z]+=", text)


@pytest.mark.parametrize(
    "path", [*FOLDER.rglob("*.j2"), *FOLDER.rglob("*.yaml"), *RENDER.glob("*.py")], ids=lambda path: path.name
)
def test_no_word_says_more_than_the_evidence(path: Path):
    text = path.read_text(encoding="utf-8")
    assert not FORBIDDEN.search(text)
    assert not PRAISE.search(text)
    assert "10(5)" not in text  # deleted from the Act; Article 4a stands in its place
    assert not re.search(r"2 (August|December) 202[0-9]", text)  # legal dates come from the policy


def test_the_environment_is_strict():
    from jinja2 import StrictUndefined

    assert templates().autoescape is True
    assert templates().undefined is StrictUndefined


def test_every_section_of_the_outline_has_its_template_and_every_template_its_section():
    named = {entry["template"] for entry in outline()["sections"]} | {"outcome"}
    assert named == {path.name.removesuffix(".html.j2") for path in (FOLDER / "sections").iterdir()}


def test_the_outline_is_dated_and_names_known_statements():
    from xai_audit.statements import BY_KEY

    plan = yaml.safe_load((FOLDER / "annex_iv.yaml").read_text(encoding="utf-8"))
    assert plan["as_of"]
    assert {key for entry in plan["sections"] for key in entry.get("statements", ())} <= set(BY_KEY)
    points = {point for asked in BY_KEY.values() for point in asked.points}
    assert points <= {str(row["point"]) for row in plan["ledger"]}


EVERY = {**audits.ALL, **specimens.ALL}


@pytest.mark.parametrize("case", sorted(EVERY))
@pytest.mark.parametrize("media", ["screen", "paper"])
def test_every_section_renders_for_every_audit_and_its_words_hold_back(case: str, media: str):
    from xai_audit.render.html import page

    head = {"style": "", "script": "", "digest": "", "faces": ""}
    text = page(EVERY[case](), media=media, head=head)
    for entry in outline()["sections"]:
        # A section that only some audits fill is left out of the others.
        filled = {
            "concepts": case == "images",
            "dictionaries": False,
            "units": False,
            "training": False,
            "circuits": False,
            "changes": case == "followed",
        }
        assert (f'id="{entry["id"]}"' in text) == filled.get(entry["id"], True)
    assert not FORBIDDEN.search(text)
    assert "10(5)" not in text
    assert not re.search(r">\s*None\s*<|: None\b|, None\b", text)
