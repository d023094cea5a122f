"""The faces of the report: where their files are, and the part of each that a page needs."""

from __future__ import annotations

import base64
import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xai_audit.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

LATIN = "".join(map(chr, range(0x20, 0x7F))) + "\u00a0–—‘’“”…−×≥≤→∞†■◆▲●□○"
"""What every page may need, whatever its data."""


class Face(NamedTuple):
    """One font file under the name the style sheets use."""

    family: str
    weight: int
    style: str
    package: str
    path: str

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


FACES = (
    Face("Audit Sans", 400, "normal", "font_source_sans_pro", "files/SourceSansPro-Regular.ttf"),
    Face("Audit Sans", 600, "normal", "font_source_sans_pro", "files/SourceSansPro-Semibold.ttf"),
    Face("Audit Serif", 400, "normal", "font_source_serif_pro", "files/SourceSerifPro-Regular.ttf"),
    Face("Audit Serif", 400, "italic", "font_source_serif_pro", "files/SourceSerifPro-It.ttf"),
    Face("Audit Marks", 400, "normal", "matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
)
"""Every face of the report; the last has the marks and the glyphs that the others lack."""


def file(face: Face) -> Path:
    """Where a face's file is; UnavailableError where its package is not installed."""
    # find_spec, not import: matplotlib takes half a second and is wanted for its files alone.
    spec = find_spec(face.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / face.path
        if path.is_file():
            return path
    package = face.package.replace("_", "-")
    message = f"the font {face.file} is missing; reinstall the package {package}: pip install --force-reinstall {package}"
    raise UnavailableError(message)


@cache
def content(face: Face) -> bytes:
    """A face's whole file."""
    return file(face).read_bytes()


@cache
def glyphs(face: Face) -> frozenset[int]:
    """The code points a face can draw."""
    from fontTools.ttLib import TTFont

    with TTFont(io.BytesIO(content(face)), lazy=True) as font:
        return frozenset(font.getBestCmap())


def drawable(text: str) -> bool:
    """Whether our own faces can draw every character of a text."""
    known = glyphs(FACES[0]) | glyphs(FACES[-1])
    return all(ord(character) in known or character in "\n\t" for character in text)


def spelled(text: str) -> str:
    """Text in which a character that none of our faces draws stands as its code point, ``⟨U+4E2D⟩``.

    On paper a face of the system would come in, or a box that says nothing; a code point can be looked up.
    """
    known = glyphs(FACES[0]) | glyphs(FACES[-1])
    if all((ord(c) in known and not _pictorial(c)) or c in "\n\t\r" for c in set(text)):
        return text
    return "".join(
        f"{c}{AS_TEXT if _pictorial(c) else ''}" if ord(c) in known or c in "\n\t\r" else f"⟨U+{ord(c):04X}⟩"
        for c in text
    )


AS_TEXT = "\ufe0e"
"""After a character that is an emoji by default: draw it as text, so that no emoji face of the system comes in."""
_EMOJI = (
    (0x231A, 0x231B), (0x23E9, 0x23EC), (0x23F0, 0x23F0), (0x23F3, 0x23F3), (0x25FD, 0x25FE), (0x2614, 0x2615),
    (0x2648, 0x2653), (0x267F, 0x267F), (0x2693, 0x2693), (0x26A1, 0x26A1), (0x26AA, 0x26AB), (0x26BD, 0x26BE),
    (0x26C4, 0x26C5), (0x26CE, 0x26CE), (0x26D4, 0x26D4), (0x26EA, 0x26EA), (0x26F2, 0x26FD), (0x2705, 0x2705),
    (0x270A, 0x270B), (0x2728, 0x2728), (0x274C, 0x274E), (0x2753, 0x2757), (0x2795, 0x2797), (0x27B0, 0x27BF),
    (0x2B1B, 0x2B1C), (0x2B50, 0x2B55), (0x1F000, 0x1FAFF),
)  # fmt: skip


def _pictorial(character: str) -> bool:
    """Whether a character is an emoji unless told otherwise (Unicode emoji-data, Emoji_Presentation)."""
    point = ord(character)
    return point >= _EMOJI[0][0] and any(low <= point <= high for low, high in _EMOJI)


def embedded(text: str) -> str:
    """``@font-face`` rules that carry the glyphs of a text, as WOFF2 in base64; the same for the same characters."""
    wanted = frozenset(map(ord, text)) | frozenset(map(ord, LATIN))
    main = glyphs(FACES[0])
    rules = []
    for face in FACES:
        # The last face only fills in: marks, and what Source lacks.
        own = wanted - main | frozenset(map(ord, "■◆▲●□○–†")) if face is FACES[-1] else wanted
        data = base64.b64encode(_subset(face, tuple(sorted(own & glyphs(face))))).decode()
        rules.append(
            f'@font-face{{font-family:"{face.family}";font-weight:{face.weight};font-style:{face.style};'
            f'font-display:swap;src:url(data:font/woff2;base64,{data}) format("woff2")}}'
        )
    return "\n".join(rules)


_FEATURES = ("kern", "liga", "ccmp", "locl", "mark", "mkmk", "lnum", "tnum")
_NAMES = (0, 1, 2, 13, 14)
"""Copyright, family, style and licence: the licence travels with the face."""


@cache
def _subset(face: Face, points: tuple[int, ...]) -> bytes:
    """The part of a face that draws these code points, as WOFF2.

    HarfBuzz cuts: reading the kerning tables in Python took half of the time of a small audit.
    """
    import uharfbuzz
    from fontTools.ttLib import TTFont

    wanted = uharfbuzz.SubsetInput()
    wanted.flags = uharfbuzz.SubsetFlags.NOTDEF_OUTLINE
    wanted.unicode_set.set(points)
    wanted.name_id_set.set(_NAMES)
    wanted.layout_feature_tag_set.set(int.from_bytes(tag.encode()) for tag in _FEATURES)
    wanted.drop_table_tag_set.add(int.from_bytes(b"FFTM"))  # FontForge's time stamps
    cut = uharfbuzz.subset(uharfbuzz.Face(uharfbuzz.Blob(content(face))), wanted)
    with TTFont(io.BytesIO(cut.blob.data), recalcTimestamp=False) as font:
        font.flavor = "woff2"
        out = io.BytesIO()
        font.save(out)
    return out.getvalue()


def linked(scheme: str) -> str:
    """``@font-face`` rules that point into a scheme of our own, for WeasyPrint."""
    return "\n".join(
        f'@font-face{{font-family:"{f.family}";font-weight:{f.weight};font-style:{f.style};src:url({scheme}:{f.file})}}'
        for f in FACES
    )


def missing() -> Iterable[str]:
    """What is said of each face that is not there."""
    for face in FACES:
        try:
            file(face)
        except UnavailableError as error:
            yield str(error)
