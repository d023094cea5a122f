"""Mistakes in data and in what the spec says of them, each with its place, collected before any is told."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xai_audit.errors import Mistake, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from xai_audit.spec import Spec

SHOWN = 5
"""Mistakes of one kind that are told one by one; the rest is counted."""
_WIDTH = 60


def shown(value: object) -> str:
    """A value in quotes on one line, cut with an ellipsis where it is long."""
    text = str(value)
    return repr(text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…")


def suggestion(word: object, known: Iterable[object]) -> str:
    """``; did you mean 'b'?`` where a known word is close, else the known words, else nothing."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(str(word)[:200], [name for name in names if len(name) <= 200], n=1)
    if close:
        return f"; did you mean {shown(close[0])}?"
    if not names:
        return ""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"; there are {', '.join(shown(name) for name in names[:12])}{more}"


def cell(path: str, row: int | None, column: str | None, what: str) -> Mistake:
    """A mistake at ``path:row:"column"``; row counts lines of a text file, else data rows from 1."""
    place = path if row is None else f"{path}:{row}"
    # The place of a cell is a line and a column's name; the file carries both, for a name is no number.
    return Mistake(place if column is None else f'{place}:"{_printed(column)}"', 0, 0, what)


def _printed(column: str) -> str:
    text = shown(column)[1:-1]
    return text.replace('"', '\\"')


@dataclass
class Mistakes:
    """Every mistake found so far, of one spec."""

    spec: Spec
    found: list[tuple[str, str, Mistake]] = field(default_factory=list)
    """Kind, file and mistake; those of one kind are counted together."""

    def at(self, key: str, what: str, *, missing: bool = False) -> None:
        """Add a mistake at a key path of the spec."""
        places, path = self.spec.places, key
        while path and path not in places:
            path = path.rpartition(".")[0]
        line, column = places.get(path, (0, 0))
        told = what if path == key and line else f"{key}: {what}"
        mistake = Mistake(self.spec.file, line, column, told, missing=missing)
        self.found.append((f"at {key}", self.spec.file, mistake))

    def cell(self, path: str, row: int | None, column: str | None, what: str, *, kind: str) -> None:
        """Add a mistake at a cell; after SHOWN of one kind in one column the rest is only counted."""
        self.found.append((f"{kind} {path} {column}", path, cell(path, row, column, what)))

    def file(self, path: str, what: str, *, missing: bool = False) -> None:
        """Add a mistake about a whole file."""
        self.found.append((f"file {path}", path, Mistake(path, 0, 0, what, missing=missing)))

    def inside(self, folder: str, path: str, what: str, *, kind: str, missing: bool = False) -> None:
        """Add a mistake about a file of a folder; after SHOWN of one kind the rest is only counted."""
        place = f"{folder.rstrip('/')}/{path}"
        self.found.append((f"{kind} in {folder}", folder, Mistake(place, 0, 0, what, missing=missing)))

    def add(self, mistakes: Iterable[Mistake]) -> None:
        """Add mistakes that were told before."""
        self.found.extend((str(mistake), mistake.file, mistake) for mistake in mistakes)

    def told(self) -> list[Mistake]:
        """All of them, those beyond SHOWN of one kind as one line that counts them."""
        counts = Counter(kind for kind, _, _ in self.found)
        seen: Counter[str] = Counter()
        lines = []
        for kind, file, mistake in self.found:
            seen[kind] += 1
            if seen[kind] <= SHOWN:
                lines.append(mistake)
            if seen[kind] == SHOWN and counts[kind] > SHOWN:
                more = f"and {counts[kind] - SHOWN:,} more like it"
                lines.append(Mistake(file, 0, 0, more, missing=mistake.missing))
        return lines

    def check(self) -> None:
        """Raise SpecError with all of them, if there are any."""
        if self.found:
            raise SpecError(self.told())


def content(path: Path, name: str, sha256: str | None, key: str, mistakes: Mistakes) -> tuple[bytes, str]:
    """A file's bytes and their sha256; SpecError (exit 4) where it cannot be had or is another."""
    from xai_audit import digest

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        mistakes.at(key, f"no such file: {name}", missing=True)
    except IsADirectoryError:
        mistakes.at(key, f"{name} is a folder; a file is asked", missing=True)
    except (OSError, ValueError) as error:
        mistakes.at(key, f"{name} cannot be read: {getattr(error, 'strerror', None) or error}", missing=True)
    else:
        found = digest.of_bytes(data)
        if sha256 is None or sha256 == found:
            return data, found
        mistakes.at(key, f"{name} has sha256 {found}, not the declared {sha256}", missing=True)
    raise SpecError(mistakes.told())
