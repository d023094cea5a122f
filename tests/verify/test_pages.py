from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.signed import project, run, signed
from tests.verify.forging import forge, remade
from xai_audit import audit, pipeline
from xai_audit.reading import read_policies, read_specs
from xai_audit.render import missing_for, pdf
from xai_audit.verify import printed
from xai_audit.verify.checks import Check
from xai_audit.verify.pages import pages


def checks(folder: Path) -> dict[str, Check]:
    return {check.subject: check for check in pages(folder, audit.read(folder))}


def test_pages_are_drawn_again_byte_for_byte(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    assert {name: check.kind for name, check in checks(out).items()} == {
        "report.html": "holds",
        "summary.md": "holds",
    }


def test_changed_keys_are_drawn_in_one_order_however_they_were_given(tmp_path: Path) -> None:
    spec_file = project(tmp_path)
    (spec,) = read_specs([spec_file], ["run.seed=1", "report.min_cell=11", "metrics=[accuracy]"])
    pipeline.run(spec, read_policies(spec.policies, tmp_path), tmp_path / "out", pipeline.Options(jobs=1))
    assert checks(tmp_path / "out")["report.html"].kind == "holds"


@pytest.mark.parametrize("name", ["report.html", "summary.md"])
def test_a_page_that_says_something_else_is_broken_at_its_line(tmp_path: Path, name: str) -> None:
    out = signed(tmp_path) / "out"
    content = (out / name).read_text(encoding="utf-8")
    number = re.search(r"\d\.\d\d", content)
    assert number is not None
    other = "0.99" if number.group() != "0.99" else "0.98"
    (out / name).write_text(content.replace(number.group(), other, 1), encoding="utf-8")
    remade(out)
    check = checks(out)[name]
    assert check.kind == "broken"
    assert re.search(r"line \d+ has .* in place of", check.what)


def test_fonts_cut_by_another_library_are_no_contradiction(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    page = (out / "report.html").read_bytes()
    other = re.sub(rb"(url\(data:font/[a-z0-9]+;base64,)[A-Za-z0-9+/=]+", rb"\1AAAA", page)
    assert other != page
    (out / "report.html").write_bytes(other)
    assert checks(out)["report.html"].kind == "holds"


def test_a_page_of_another_build_that_this_one_draws_otherwise_cannot_be_told(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    forge(out, lambda content: content["environment"].update(tool="0" * 64), pages=False)
    found = checks(out)
    # The report names the program that drew it; the summary does not, and comes out the same.
    assert found["report.html"].kind == "unchecked"
    assert "another page than the one that drew it" in found["report.html"].what
    assert found["summary.md"].kind == "holds"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit with its PDF."""
    if missing_for("pdf"):
        pytest.skip(str(missing_for("pdf")))
    folder = tmp_path_factory.mktemp("printed")
    spec = project(folder)
    # One policy of one rule: the fewer pages, the less to draw, which is all that takes time here.
    spec.write_text(spec.read_text().replace("[eu-ai-act, small.yaml]", "[small.yaml]"))
    return run(spec, folder / "out", formats=("pdf",))


class TestPdf:
    def test_it_is_drawn_again_byte_for_byte(self, made: Path) -> None:
        found = [check for check in pages(made, audit.read(made)) if check.subject == "report.pdf"]
        assert [check.kind for check in found] == ["holds", "holds"]
        assert found[-1].what == "drawn again, byte for byte"

    def test_it_holds_its_audit_and_its_words(self, made: Path) -> None:
        content = (made / "report.pdf").read_bytes()
        assert printed.attached(content) == (made / "audit.json").read_bytes()
        count, words = printed.words(content)
        assert count > 5
        assert "A" in words
        assert not any(printed.FOOT in word for word in words)

    def test_another_audit_inside_is_broken(self, made: Path, tmp_path: Path) -> None:
        other = audit.read(made).model_copy(update={"outcome": "fail"})
        (tmp_path / "report.pdf").write_bytes(pdf.render(other))
        (tmp_path / "audit.json").write_bytes((made / "audit.json").read_bytes())
        (check,) = [one for one in pages(tmp_path, audit.read(tmp_path)) if one.subject == "report.pdf"]
        assert check.kind == "broken"
        assert "audit.json inside it" in check.what

    def drawn(self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> Check:
        """What is said of a PDF whose page says ``new`` for ``old`` and that was drawn with other libraries."""
        from xai_audit.render import html

        audit_of = audit.read(made)
        whole = html.page
        monkeypatch.setattr(pdf, "page", lambda *given, **more: whole(*given, **more).replace(old, new))
        content = pdf.render(audit_of)
        monkeypatch.undo()
        (tmp_path / "report.pdf").write_bytes(content)
        (tmp_path / "audit.json").write_bytes((made / "audit.json").read_bytes())
        found = [one for one in pages(tmp_path, audit_of) if one.subject == "report.pdf"]
        return found[-1]

    def test_bytes_decide_where_the_libraries_are_the_same(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.drawn(made, tmp_path, monkeypatch, "", "").kind == "holds"
        check = self.drawn(made, tmp_path, monkeypatch, "</h2>", " </h2><p></p>")
        assert check.kind == "broken"

    def test_words_decide_where_they_are_not(self, made: Path, tmp_path: Path) -> None:
        older = {**pdf.drawn_with(), "weasyprint": "69.0"}
        content = audit.read(made).run
        assert content["drawn"] == pdf.drawn_with()
        path = tmp_path / "other"
        path.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pdf, "drawn_with", lambda: older)
            grey = "<style>h2{color:#111111}</style></head>"
            moved = self.drawn(made, path, pytest.MonkeyPatch(), "</head>", grey)
            forged = self.drawn(made, path, pytest.MonkeyPatch(), "A small audit", "A Zzyzx audit")
        assert moved.kind == "holds"
        assert "weasyprint" in moved.what
        assert forged.kind == "broken"

    @pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"no"])
    def test_what_is_no_pdf_is_told(self, made: Path, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "report.pdf").write_bytes(content)
        (tmp_path / "audit.json").write_bytes((made / "audit.json").read_bytes())
        (check,) = [one for one in pages(tmp_path, audit.read(tmp_path)) if one.subject == "report.pdf"]
        assert check.kind == "broken"
