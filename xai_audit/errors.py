"""Everything this package raises on purpose.

AuditError                 told in one line, never as a traceback
├── SpecError              exit 2: the spec, the policy or the command line is wrong
│                          (carries every mistake of the run, each with its place)
├── UnavailableError       exit 4: a file is missing, unreadable, not of its digest
│   └── UnwrittenError     a file cannot be written: the disk is full or the folder closed
└── MethodError            a method cannot go on; recorded as evidence, never raised to the user
    └── UnmetNeedError     a method lacks what it needs; recorded as skipped
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing wrong at one place, told as ``file:line:column: what``."""

    file: str
    line: int
    column: int
    what: str
    missing: bool = False
    """Whether this is a file that is missing, unreadable or of another digest (exit 4), not a wrong word."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return one_line(f"{place}: {self.what}")


def one_line(text: str) -> str:
    """A text with line ends, control signs and marks that turn the direction of writing as escapes."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


class AuditError(Exception):
    """Something a user can act on."""

    exit_code = 4


class SpecError(AuditError):
    """Every mistake found in the specs, policies and command line of one run."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("\n".join(map(str, self.mistakes)))

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """4 where every mistake is a file that cannot be had, else 2."""
        return 4 if all(mistake.missing for mistake in self.mistakes) else 2


class UnavailableError(AuditError):
    """A file or a folder is missing, unreadable or not of the declared digest."""


class UnwrittenError(UnavailableError):
    """A file cannot be written: the disk is full or the folder closed. It ends a run wherever it comes up."""


class MethodError(AuditError):
    """A method cannot go on; the message becomes the reason in the evidence."""


class UnmetNeedError(MethodError):
    """A method lacks something it needs; the evidence is skipped with this reason."""


_QUOTED = re.compile(
    r"""(?<!\w)'[^']*'(?!\w) | "[^"]*" | `[^`]*` | \[[^\]]*\]   # words and lists
      | (?<![\w.])~?(?:/[\w.@+~-]+){2,} | \b[A-Za-z]:\\\S+      # paths of this machine""",
    re.VERBOSE,
)


def said(error: BaseException) -> str:
    """A library's message in one line without what it quotes, which may be a cell of somebody's row or a path."""
    return _QUOTED.sub("...", " ".join(str(error).split())) or "no message"
