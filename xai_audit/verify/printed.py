"""A PDF read back: the audit.json inside it, and its words in reading order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOOT = "Evidence report, not a declaration of conformity"
"""The line that ends every page; with the running head, which stands before it, it says nothing of the audit."""


def attached(content: bytes) -> bytes:
    """The audit.json inside a report; ValueError where there is none, or the file is no PDF."""
    with _Document(content) as document:
        found = [document.get_attachment(index) for index in range(document.count_attachments())]
        named = [one for one in found if one.get_name() == "audit.json"]
        if len(found) != 1 or len(named) != 1:
            raise ValueError("it does not hold one attachment that is audit.json")
        return bytes(named[0].get_data())


def words(content: bytes) -> tuple[int, tuple[str, ...]]:
    """How many pages a report has, and its words, without running heads and without hyphens at line ends."""
    with _Document(content) as document:
        texts = [page.get_textpage().get_text_range() for page in document]
    return len(texts), tuple(word for text in texts for word in _words(text))


def _words(text: str) -> Iterator[str]:
    lines = text.replace("\ufffe", "").replace("\u00ad", "").splitlines()
    while lines and FOOT not in lines[-1]:
        lines.pop()
    for line in lines[:-2]:
        yield from line.split()


class _Document:
    """An opened PDF that is closed again; ValueError where it is none."""

    def __init__(self, content: bytes) -> None:
        import pypdfium2

        try:
            self._document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            raise ValueError(f"no PDF: {error}") from None

    def __enter__(self) -> Any:
        return self._document

    def __exit__(self, *_: object) -> None:
        self._document.close()
