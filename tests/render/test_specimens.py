"""Whole reports of pictures and texts: one file, tagged figures, our own faces, hostile texts as they are."""

from __future__ import annotations

import io
import re

import pytest

from tests.render import audits, specimens
from tests.render.test_html import Page
from tests.render.test_pdf import structure
from xai_audit.render import missing_for, pictures, renderers
from xai_audit.render.visible import visible


@pytest.fixture(scope="module")
def pages() -> dict[str, bytes]:
    return {case: renderers["html"](make()) for case, make in specimens.ALL.items()}


@pytest.fixture(scope="module")
def documents():
    pikepdf = pytest.importorskip("pikepdf")
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    opened = {
        case: pikepdf.open(io.BytesIO(renderers["pdf"](make()))) for case, make in specimens.ALL.items()
    }
    yield opened
    for document in opened.values():
        document.close()


@pytest.mark.parametrize("case", sorted(specimens.ALL))
def test_one_file_that_asks_for_nothing_but_what_it_carries(pages: dict[str, bytes], case: str):
    page = Page(pages[case])
    assert len(pages[case]) < 3_000_000
    assert len(page.ids) == len(set(page.ids))
    inner = [link for link in page.links if link.startswith("#")]
    assert {link[1:] for link in inner} <= set(page.ids)
    assert all(link.startswith(pictures.SCHEME) for link in page.links if link not in inner)
    assert "img-src data:" in pages[case].decode()
    assert page.tags.count("script") == 1
    assert renderers["html"](specimens.ALL[case]()) == pages[case]


def test_every_frame_has_words_for_who_cannot_see_it(pages: dict[str, bytes]):
    text = pages["images"].decode()
    assert text.count("<image ") > 20
    for svg in re.findall(r"<svg .*?</svg>", text, re.DOTALL):
        title = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
        assert title is not None
        assert len(title.group(1)) > 8


def test_a_text_is_read_in_its_order_as_it_was_written(pages: dict[str, bytes]):
    shown = "".join(Page(pages["texts"]).text)
    for part in (*(h for h in audits.HOSTILE if len(h) < 50), "zero\u200bwidth", "שלום"):
        assert visible(part, lines=True) in shown
    assert "<b>&amp;" not in pages["texts"].decode()
    assert "(10,000 characters)" in shown
    assert "x" * 200 not in shown.replace("\u200b", "")


def test_words_about_tables_stay_in_tables(pages: dict[str, bytes]):
    text = "".join(Page(pages["images"]).text)
    assert "Which inputs move the score" not in text
    assert "No sensitive column is an input" not in text
    assert "All rows" not in text
    assert "over all pictures in the test data" in " ".join(text.split())
    assert "Does every picture asked for get one?" in text
    assert "Which parts of a picture speak for a class" in text


@pytest.mark.parametrize("case", sorted(specimens.ALL))
def test_on_paper_every_figure_is_tagged_and_the_faces_are_ours(documents, case: str):
    document = documents[case]
    figures = [node for role, node in structure(document) if role == "Figure"]
    assert all(len(str(node.get("/Alt", ""))) > 8 for node in figures)
    names = {
        str(font["/BaseFont"]).rpartition("+")[2].rpartition("/")[2]
        for page in document.pages
        for font in page.get("/Resources", {}).get("/Font", {}).values()
    }
    assert names <= {"Audit-Sans", "Audit-Sans-Semi-Bold", "Audit-Serif", "Audit-Serif-Italic", "Audit-Marks"}


def test_pictures_are_in_the_pdf_and_are_not_smoothed(documents):
    pikepdf = pytest.importorskip("pikepdf")
    streams = [one for one in documents["images"].objects if isinstance(one, pikepdf.Stream)]
    images = [one for one in streams if one.get("/Subtype") == "/Image"]
    assert len(images) >= 8
    assert all(not image.get("/Interpolate", False) for image in images if int(image["/Width"]) <= 64)
