"""report.pdf: tagged, PDF/A-3a and PDF/UA-1 by construction, audit.json inside, no request to network or disk."""

from __future__ import annotations

import base64
import logging
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from markupsafe import Markup

from xai_audit import digest
from xai_audit.errors import UnavailableError
from xai_audit.render import fonts, palette, pictures
from xai_audit.render.html import page, source

if TYPE_CHECKING:
    from xai_audit.audit import Audit

SCHEME = "pkg"
INSTALL = (
    "PDF needs Pango. Debian, Ubuntu: apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; "
    "Fedora: dnf install pango; macOS: brew install pango; Windows: MSYS2, pacman -S mingw-w64-ucrt-x86_64-pango"
)


def missing() -> str | None:
    """Why no PDF can be made here, with what to install; None where one can."""
    lacking = next(iter(fonts.missing()), None)
    if lacking:
        return lacking
    try:
        from weasyprint.text.ffi import harfbuzz_subset
    except (ImportError, OSError) as error:
        return f"{INSTALL} ({str(error).splitlines()[0][:120]})"
    if harfbuzz_subset is None:
        # WeasyPrint would fall back on another way to cut fonts, and warn of it.
        return f"{INSTALL} (HarfBuzz-Subset is missing)"
    return None


def drawn_with() -> dict[str, str]:
    """What decides the bytes of a PDF beside the program and audit.json: WeasyPrint and its libraries, and the fonts."""
    from importlib import metadata

    from weasyprint.text.ffi import pango

    faces = digest.joined(digest.of_bytes(fonts.content(face)) for face in fonts.FACES)
    return {
        "weasyprint": metadata.version("weasyprint"),
        "pydyf": metadata.version("pydyf"),
        "pango": str(pango.pango_version()),
        "fonts": faces,
    }


def render(audit: Audit) -> bytes:
    """The report as a PDF; UnavailableError where Pango or a font is missing."""
    reason = missing()
    if reason is not None:
        raise UnavailableError(reason)
    from weasyprint import HTML, Attachment
    from weasyprint.text.fonts import FontConfiguration

    # Safe: files of our own, no user's text among them.
    style = Markup(palette.printed_sheet() + source("report.css") + source("print.css"))  # noqa: S704
    head = {"style": style, "script": "", "digest": "", "faces": Markup(fonts.linked(SCHEME))}  # noqa: S704
    text = fonts.spelled(page(audit, media="paper", head=head))
    # WeasyPrint breaks at the sign, but not at the element, when a word's last piece does not fit.
    text = text.replace("<wbr>", "\u200b")
    moment = _finished(audit)
    attached = Attachment(
        string=audit.to_json().encode("utf-8", "backslashreplace"),
        name="audit.json",
        description="What was asked, seen and judged, as data",
        created=moment,
        modified=moment,
        relationship="Data",
    )
    with _Strict(), warnings.catch_warnings():
        # WeasyPrint 70 leaves its own colour profile open; nothing of ours.
        warnings.simplefilter("ignore", ResourceWarning)
        document = HTML(string=text, base_url=f"{SCHEME}:", url_fetcher=_fetcher())
        made: bytes = document.write_pdf(
            pdf_variant="pdf/a-3a",
            attachments=[attached],
            font_config=FontConfiguration(),
            finisher=_finish,
            pdf_identifier=_identifier(audit),
            presentational_hints=False,
        )
    return made


def _finished(audit: Audit) -> datetime:
    """When the run ended, which is the report's date: the same bytes whenever it is rendered."""
    try:
        moment = datetime.fromisoformat(str(audit.run.get("finished")))
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _identifier(audit: Audit) -> bytes:
    import hashlib

    return hashlib.sha256(audit.to_json().encode("utf-8", "backslashreplace")).hexdigest()[:32].encode()


def _fetcher() -> Any:
    """Serves our fonts under our own scheme and the page's own pictures, and ends the rendering at any other request."""
    from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

    known = {face.file: face for face in fonts.FACES}

    class Fetcher(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:  # noqa: ARG002
            if url.startswith(pictures.SCHEME):
                # A picture that this page carries; nothing is asked of anyone.
                content = base64.b64decode(url.removeprefix(pictures.SCHEME), validate=True)
                return URLFetcherResponse(url, content, {"Content-Type": "image/png"})
            scheme, _, name = url.partition(":")
            if scheme != SCHEME or name not in known:
                raise FatalURLFetchingError(f"the report asked for {url[:200]}; it may ask for nothing")
            return URLFetcherResponse(url, fonts.content(known[name]), {"Content-Type": "font/ttf"})

    return Fetcher()


class _Strict(logging.Handler):
    """Turns any warning of WeasyPrint into an error: what it ignores, the reader would not see."""

    def __enter__(self) -> Self:
        self.said: list[str] = []
        self.setLevel(logging.WARNING)
        self._logger = logging.getLogger("weasyprint")
        self._before = (self._logger.propagate, self._logger.handlers[:])
        self._logger.handlers = [self]
        self._logger.propagate = False
        return self

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was said."""
        self.said.append(record.getMessage())

    def __exit__(self, kind: object, *_: object) -> None:
        self._logger.propagate, self._logger.handlers = self._before
        if kind is None and self.said:
            raise UnavailableError(
                f"no PDF was written, because WeasyPrint warned: {'; '.join(dict.fromkeys(self.said))[:500]}"
            )


def _finish(_: Any, pdf: Any) -> None:
    """Claim PDF/UA-1 beside PDF/A-3a in the one XMP, and list each attachment once."""
    reference = int(pdf.catalog["Metadata"].split()[0])
    stream = pdf.objects[reference]
    rdf = b"".join(part if isinstance(part, bytes) else str(part).encode() for part in stream.stream)
    end = rdf.rindex(b"</rdf:RDF>")
    stream.stream = [rdf[:end] + _UA + rdf[end:]]
    if "AF" in pdf.catalog:
        once = list(dict.fromkeys(pdf.catalog["AF"]))
        pdf.catalog["AF"].clear()
        pdf.catalog["AF"].extend(once)


# PDF/A allows a schema of another standard only if it is described: ISO 19005-3, 6.6.2.3.
_UA = b"""<rdf:Description xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/" rdf:about="" pdfuaid:part="1"/>
<rdf:Description xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"
 xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#"
 xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#" rdf:about="">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>PDF/UA Universal Accessibility Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>
<pdfaProperty:category>internal</pdfaProperty:category>
<pdfaProperty:description>Part of ISO 14289 that the file conforms to</pdfaProperty:description>
</rdf:li></rdf:Seq></pdfaSchema:property>
</rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>"""
