from __future__ import annotations

import html as entities
import re
from html.parser import HTMLParser

import pytest

from tests.render import audits
from xai_audit.render import html, renderers
from xai_audit.render.visible import name


class Page(HTMLParser):
    """A page's ids, links, tags and text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.attributes: set[str] = set()
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(found)
        if found.get("id"):
            self.ids.append(found["id"] or "")
        for key in ("href", "src"):
            if found.get(key):
                self.links.append(found[key] or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def pages() -> dict[str, bytes]:
    return {case: renderers["html"](make()) for case, make in audits.ALL.items()}


@pytest.mark.parametrize("case", sorted(audits.ALL))
def test_one_file_that_asks_for_nothing_and_whose_links_lead_somewhere(pages: dict[str, bytes], case: str):
    page = Page(pages[case])
    assert len(pages[case]) < 3_000_000
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    styles = re.search(r"<style>(.*?)</style>", pages[case].decode(), re.DOTALL)
    assert styles is not None
    assert set(re.findall(r"url\((\w+):", styles.group(1))) == {"data"}
    assert "@import" not in styles.group(1)
    assert page.tags.count("h1") == 1
    assert page.tags.count("script") == 1


def test_the_same_audit_gives_the_same_bytes(pages: dict[str, bytes]):
    assert renderers["html"](audits.failing()) == pages["failing"]


def test_every_finding_rule_and_piece_of_evidence_is_an_anchor(pages: dict[str, bytes]):
    ids = set(Page(pages["failing"]).ids)
    audit = audits.failing()
    assert {f"finding-eu-ai-act-{f.rule}" for f in audit.findings} <= ids
    assert {f"rule-eu-ai-act-{f.rule}" for f in audit.findings} <= ids
    assert sum(i.startswith("evidence-") for i in ids) == len(audit.evidence)


def test_every_table_has_explicit_roles(pages: dict[str, bytes]):
    text = pages["failing"].decode()
    assert not re.search(r"<(table|thead|tbody|tr|td)(?![^>]*role=)[ >]", text)
    assert not re.search(r"<th(?!ead)(?![^>]*role=)[ >]", text)


@pytest.mark.parametrize("hostile", [h for h in audits.HOSTILE if len(h) < 100])
def test_hostile_names_are_shown_as_they_are(pages: dict[str, bytes], hostile: str):
    shown = "".join(Page(pages["hostile"]).text)
    assert name(hostile) in shown
    assert len([tag for tag in Page(pages["hostile"]).tags if tag == "script"]) == 1
    assert "onload" not in Page(pages["hostile"]).attributes
    assert "49" not in re.findall(r"\b49\b(?= *%|\}\})", shown)


def test_a_name_of_ten_thousand_characters_says_so(pages: dict[str, bytes]):
    text = pages["hostile"].decode().replace("<wbr>", "")
    assert "(10,000 characters)" in text
    assert "x" * 4001 not in text


def test_what_was_not_measured_and_not_examined_is_there_with_its_reason(pages: dict[str, bytes]):
    shown = "".join(Page(pages["failing"]).text)
    assert "the local model of 12 rows had no solution" in shown
    assert "it needs probabilities; these scores are a ranking" in shown
    assert "Sensitive attributes that are not in the data." in shown


def test_conventions_print_as_such_and_the_standards_default_has_its_date(pages: dict[str, bytes]):
    shown = " ".join("".join(Page(pages["failing"]).text).split())
    assert "0.80, convention, not law" in shown
    assert (
        "As of 2 November 2026, the date of the policy, no harmonised standard under the Act is cited"
        in shown
    )


def test_greek_polish_and_bulgarian_statements_carry_their_language(pages: dict[str, bytes]):
    text = pages["failing"].decode()
    assert 'class="said-text upright" lang="el"' in text
    assert 'class="said-text upright" lang="bg"' in text
    assert "Ewa Żółkiewska" in entities.unescape(text)


def test_long_words_may_break_and_estimates_may_not():
    assert (
        str(html.breakable("demographic_parity_ratio/sex")) == "demographic_<wbr>parity_<wbr>ratio/<wbr>sex"
    )
    assert str(html.breakable("0.912\u00a0[0.893,\u00a00.931]")) == "0.912\u00a0[0.893,\u00a00.931]"
    assert str(html.breakable("<b>" * 20)).count("<wbr>") > 3
    assert "<b>" not in str(html.breakable("<b>" * 20))


def test_an_index_lists_several_audits():
    from xai_audit.render import index

    page = Page(index.html([("one", audits.failing()), ("two & <b>", audits.passing())]))
    assert "one/report.html" in page.links
    assert "two%20%26%20%3Cb%3E/report.html" in page.links
    assert "b" not in page.tags
