from __future__ import annotations

import io
import json
import shutil
import subprocess
from itertools import pairwise

import pytest

from tests.render import audits
from xai_audit.errors import UnavailableError
from xai_audit.render import fonts, missing_for, pdf, renderers

pikepdf = pytest.importorskip("pikepdf")


@pytest.fixture(scope="module")
def made() -> bytes:
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    return renderers["pdf"](audits.failing())


@pytest.fixture(scope="module")
def document(made: bytes):
    with pikepdf.open(io.BytesIO(made)) as opened:
        yield opened


def structure(document) -> list[tuple[str, object]]:
    """Every structure element with its role, in reading order."""
    found = []

    def walk(node) -> None:
        if isinstance(node, pikepdf.Array):
            for child in node:
                walk(child)
        elif isinstance(node, pikepdf.Dictionary):
            if "/S" in node:
                found.append((str(node["/S"])[1:], node))
            if "/K" in node:
                walk(node["/K"])

    walk(document.Root["/StructTreeRoot"]["/K"])
    return found


@pytest.mark.parametrize(("failed", "waiting"), [(0, 3), (2, 0), (7, 3)])
def test_page_one_is_one_page_however_much_stands_on_it(failed: int, waiting: int):
    pypdfium2 = pytest.importorskip("pypdfium2")
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    one = audits.followed()
    long = {"title": "Every group of people is decided about as well as every other one, whoever they are"}
    states = ["fail"] * failed + ["open"] * 7 + ["review"] * waiting
    first = next(finding for finding in one.findings if finding.kind == "fail")
    findings = [
        first.model_copy(update={"rule": f"ZZZ-{number:02d}", "kind": state, **long})
        for number, state in enumerate(states)
    ]
    document = pypdfium2.PdfDocument(renderers["pdf"](one.model_copy(update={"findings": tuple(findings)})))
    pages = [page.get_textpage().get_text_range() for page in list(document)[:2]]
    assert "Signatures" in pages[0]
    assert "ZZZ-" in pages[0]
    assert "0 Identity and sign-off" in " ".join(pages[1].split())[:200]


def test_it_is_tagged_titled_and_in_a_language(document):
    assert str(document.Root["/Lang"]) == "en"
    assert document.Root["/MarkInfo"]["/Marked"]
    assert document.Root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert "Diabetes progression triage 2.1" in str(document.docinfo["/Title"])


def test_it_claims_both_conformances_in_one_metadata(document):
    text = bytes(document.Root["/Metadata"].read_bytes()).decode()
    assert text.count("<rdf:RDF") == 1
    with document.open_metadata() as meta:
        assert meta.pdfa_status == "3A"
        assert meta.get("{http://www.aiim.org/pdfua/ns/id/}part") == "1"


def test_every_figure_says_its_finding_and_headings_skip_no_level(document):
    found = structure(document)
    figures = [node for role, node in found if role == "Figure"]
    assert len(figures) >= 6
    assert all(str(node.get("/Alt", "")) for node in figures)
    levels = [int(role[1]) for role, _ in found if role in {"H1", "H2", "H3", "H4"}]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_tables_have_heads_and_cells_name_them(document):
    roles = [role for role, _ in structure(document)]
    assert roles.count("TH") > 50
    assert roles.count("Table") > 15


def test_only_our_own_faces_are_in_it_and_all_are_embedded(document):
    names = set()
    for page in document.pages:
        for font in page.get("/Resources", {}).get("/Font", {}).values():
            names.add(str(font["/BaseFont"]).rpartition("+")[2].rpartition("/")[2])
            inner = font["/DescendantFonts"][0] if "/DescendantFonts" in font else font
            assert any(key in inner["/FontDescriptor"] for key in ("/FontFile2", "/FontFile3"))
            assert "/ToUnicode" in font
    assert names
    # The names are those of our @font-face rules; a face of the system would come under its own.
    assert names <= {"Audit-Sans", "Audit-Sans-Semi-Bold", "Audit-Serif", "Audit-Serif-Italic", "Audit-Marks"}


def test_the_evidence_is_inside_and_listed_once(document):
    content = document.attachments["audit.json"].get_file().read_bytes()
    assert json.loads(content) == json.loads(audits.failing().to_json())
    assert len(document.Root["/AF"]) == 1


def test_the_same_audit_gives_the_same_bytes(made: bytes):
    assert renderers["pdf"](audits.failing()) == made


def test_qpdf_finds_no_fault(made: bytes, tmp_path):
    if shutil.which("qpdf") is None:
        pytest.skip("qpdf is not installed")
    path = tmp_path / "report.pdf"
    path.write_bytes(made)
    subprocess.run(["qpdf", "--check", str(path)], check=True, capture_output=True)


@pytest.mark.parametrize("case", ["hostile", "multiclass", "unmodelled"])
def test_other_audits_print_without_a_warning(case: str):
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    with pikepdf.open(io.BytesIO(renderers["pdf"](audits.ALL[case]()))) as opened:
        assert len(opened.pages) > 4
        assert "/JavaScript" not in opened.Root.get("/Names", {})


def test_page_one_prints_its_words(made: bytes):
    pdfium = pytest.importorskip("pypdfium2")
    page = pdfium.PdfDocument(made)[0]
    text = " ".join(page.get_textpage().get_text_range().replace("\u00a0", " ").split())
    assert "2 blocking rules failed;" in text
    assert "Ewa Żółkiewska, head of clinical safety, 16 November 2026" in text
    assert "page 1 of" in text
    assert "Evidence report, not a declaration of conformity" in text


def test_any_request_but_for_our_fonts_ends_the_rendering():
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    from weasyprint.urls import FatalURLFetchingError

    fetcher = pdf._fetcher()
    for url in ("file:///etc/passwd", "http://example.com/x.png", "pkg:../../etc/passwd", "data:text/css,a"):
        with pytest.raises(FatalURLFetchingError):
            fetcher.fetch(url)
    assert fetcher.fetch(f"pkg:{fonts.FACES[0].file}") is not None


def test_a_warning_of_weasyprint_is_an_error():
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    import logging

    with pytest.raises(UnavailableError, match="ignored something"), pdf._Strict():
        logging.getLogger("weasyprint").warning("ignored something")


def test_a_missing_library_says_what_to_install_on_each_system(monkeypatch):
    monkeypatch.setattr(pdf, "missing", lambda: pdf.INSTALL)
    with pytest.raises(UnavailableError, match=r"Debian.*Fedora.*macOS.*Windows"):
        renderers["pdf"](audits.passing())
