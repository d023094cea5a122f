"""What templates look up: tables, figures, findings and statements, ready to print."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.render.ink import Drawing
    from xai_audit.render.palette import Mark
    from xai_audit.render.panels import Panel


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table."""

    text: str
    sub: str = ""
    """A second line, in the secondary ink."""
    href: str = ""
    """Anchor that the second line, or else the text, leads to."""
    mark: Mark | None = None
    muted: bool = False
    sort: str = ""
    """What the cell is sorted by, where that is not its text."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A head, and how its cells align."""

    head: str
    numeric: bool = False
    width: str = ""
    """A CSS class that sets its width."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table; the first cell is its head."""

    cells: tuple[Cell, ...]
    anchor: str = ""
    begins: bool = False
    """Whether a block of rows ends above it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its caption."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Line, ...]
    full: bool = False
    """Whether it takes the margin column too."""
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    """What its numbers cannot show, a sentence each; a section says each of them once."""
    number: str = ""
    folded: bool = False
    """Whether a screen shows it folded; paper never does."""
    screen: bool = False
    """Whether paper leaves it out; the section then says that something was left out."""
    kind: str = ""
    """A CSS class that sets its column widths."""
    listed: bool = False
    """Whether paper sets its rows as a list in columns: short rows, a first cell and what belongs to it."""

    @property
    def folds(self) -> bool:
        """Whether a screen shows it folded: asked for, or longer than a screen or two."""
        return self.folded or len(self.rows) > LONG


LONG = 25
"""Rows over which a screen folds a table."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """One line of the margin."""

    text: str
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture whose title states what was seen."""

    title: str
    subtitle: str
    drawing: Drawing


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Something to look at: a sentence, a picture, its table, and what stands beside them."""

    lead: str = ""
    figure: Figure | None = None
    panel: Panel | None = None
    """Pictures, words or examples as they are, in place of a drawing."""
    table: Table | None = None
    margin: tuple[Note, ...] = ()
    screen: bool = False
    """Whether paper leaves all of it out."""
    gridded: bool = False
    """Whether paper has its picture in a grid of small ones instead."""
    grid: tuple[Figure, ...] = ()
    """Small pictures two in a row, on paper alone; their common title and words are the figure's."""

    @property
    def on_paper(self) -> bool:
        """Whether anything of it is on paper."""
        if self.grid:
            return True
        return not self.screen and bool(
            self.lead or self.figure or self.panel or (self.table and not self.table.screen)
        )

    @property
    def beside(self) -> bool:
        """Whether the margin is free: a table that takes it has its notes below instead."""
        return self.table is None or not self.table.full

    @property
    def depth(self) -> int:
        """Lines that the margin needs, so that a short row leaves room for a long margin."""
        return depth(self.margin)


def depth(notes: Sequence[Note]) -> int:
    """Lines of the 40 mm margin column that some notes fill, at about 25 characters a line."""
    return sum(-(-max(len(note.text), 1) // 25) for note in notes)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One thing a person states, or the gap where nobody has."""

    asks: str
    clause: str
    who: str
    text: str = ""
    author: str = ""
    """Name, function and date, as far as they are known."""
    language: str = "en"
    upright: bool = False
    """Whether its script has no italic here."""
    attributed: bool = True
    label: str = ""
    """Which letter or entry of a statement in parts."""

    @property
    def absent(self) -> bool:
        """Whether nobody has said it."""
        return not self.text


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A finding as printed."""

    anchor: str
    rule: str
    title: str
    clause: str
    basis: str
    """``law``, ``convention, not law``, ``declared by the provider``, as a phrase."""
    mark: Mark
    word: str
    blocking: bool
    level: str
    message: str
    observed: str
    quantity: str
    threshold: str
    affected: str
    sure: str
    settle: str
    why: str
    note: str
    todo: str
    applies: str
    policy: str
    waiver: str = ""
    evidence: tuple[Note, ...] = ()
    statements: tuple[str, ...] = ()
    section: str = ""
    parts: tuple[Line, ...] = ()
    kind: str = ""

    @property
    def settled(self) -> bool:
        """Whether what was seen already says what would settle it."""
        return "settle it" in self.message

    @property
    def anchor_tail(self) -> str:
        """The finding's anchor without its kind: the rule's anchor ends the same."""
        return self.anchor.removeprefix("finding-")

    @property
    def margin(self) -> tuple[Note, ...]:
        """What stands beside it: provision, basis, date, evidence."""
        first = [Note(text=self.clause), Note(text=f"Basis: {self.basis}")]
        if self.applies:
            first.append(Note(text=self.applies))
        return (*first, *self.evidence)

    @property
    def depth(self) -> int:
        """Lines that the margin needs."""
        return depth(self.margin)


@dataclass(kw_only=True)
class Section:
    """A section of the report with all that stands in it."""

    id: str
    number: str
    title: str
    short: str
    template: str
    articles: tuple[str, ...]
    mark: Mark | None = None
    exhibits: list[Exhibit] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    """Findings told whole: failed, undecided, for review, waived."""
    brief: list[Judged] = field(default_factory=list)
    """Findings told in a line: passed, waiting for a statement, not applicable."""
    statements: list[Said] = field(default_factory=list)
    unmeasured: list[Line] = field(default_factory=list)
    """Evidence that was skipped or failed, with the reason."""

    @property
    def filled(self) -> bool:
        """Whether anything stands in it."""
        return bool(self.exhibits or self.judged or self.brief or self.statements or self.unmeasured)

    @property
    def stated(self) -> list[Said]:
        """What people say here; what nobody says stands in one box, see ``missing``."""
        return [said for said in self.statements if not said.absent]

    @property
    def missing(self) -> list[Said]:
        """What nobody says."""
        return [said for said in self.statements if said.absent]

    @property
    def left_out(self) -> int:
        """Tables and pictures that paper leaves to the HTML report."""
        whole = [exhibit for exhibit in self.exhibits if not exhibit.on_paper and not exhibit.gridded]
        tables = [e for e in self.exhibits if e.on_paper and e.table is not None and e.table.screen]
        return len(whole) + len(tables)

    @property
    def margin(self) -> tuple[Note, ...]:
        """The provisions this section is about."""
        return tuple(Note(text=article) for article in self.articles)

    @property
    def depth(self) -> int:
        """Lines that the margin needs."""
        return depth(self.margin)


def full_table(
    caption: str, columns: tuple[Column, ...], rows: Sequence[Line], *, folded: bool = False
) -> Exhibit:
    """A table that takes the margin column too."""
    return Exhibit(table=Table(caption=caption, columns=columns, rows=tuple(rows), full=True, folded=folded))
