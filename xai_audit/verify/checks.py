"""What verifying says of one thing: it holds, it does not, or it could not be checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckKind = Literal["holds", "broken", "unchecked"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    kind: CheckKind
    subject: str
    """An evidence id, a rule, or a file's path in the folder: what does or does not hold."""
    what: str
    """One sentence: what was found, with both numbers where there are two."""
