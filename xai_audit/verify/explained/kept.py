"""What an audit's folder keeps beside audit.json: arrays by digest and a line for each test row, read without trust."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.audit import Audit
from xai_audit.evidence import Evidence
from xai_audit.verify import withheld
from xai_audit.withholding import RULE, Withholding

_NAMED = re.compile(r"[0-9a-f]{64}\.(npz|json)")
ROWS = "rows.parquet"
PIECES = "pieces.json"


class ContradictionError(Exception):
    """Something that is kept is not what it should be: which thing, and what is wrong with it."""


class LackingError(Exception):
    """The folder does not hold what a recomputation needs."""


class Kept:
    """The evidence folder of one audit; every file is read once and held to its name."""

    def __init__(self, made: Audit, folder: Path) -> None:
        self._made = made
        self._folder = folder / "evidence"
        self._opened: dict[str, dict[str, NDArray[Any]] | str] = {}
        self.remembered: dict[str, Any] = {}
        """What several pieces of evidence are made again from, by the id of the one that keeps it."""

    def arrays(self, piece: Evidence) -> dict[str, NDArray[Any]]:
        """A piece's arrays by name; ContradictionError where a file is not what audit.json says of it."""
        found: dict[str, NDArray[Any]] = {}
        files: dict[str, set[str]] = {}
        for name, file in piece.arrays.items():
            if not file.endswith(".json"):
                files.setdefault(file, set()).add(name)
        for file, names in sorted(files.items()):
            held = self._open(file)
            if held.keys() != names:
                odd = ", ".join(sorted(held.keys() ^ names)[:3])
                raise ContradictionError(
                    f"evidence/{file} and audit.json do not name the same arrays: {odd} stands in one of them"
                )
            found |= held
        return found

    def cases(self, piece: Evidence) -> dict[str, Any] | None:
        """The single rows that a piece keeps apart, as an observation; None where it keeps none."""
        file = piece.arrays.get("cases", "")
        if not file.endswith(".json"):
            return None
        try:
            found = json.loads(self._content(file))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
            raise ContradictionError(f"evidence/{file} is not JSON") from None
        if not isinstance(found, dict):
            raise ContradictionError(f"evidence/{file} holds no observation")
        return found

    def unnamed(self) -> list[str]:
        """Files of evidence/ that audit.json names nowhere."""
        named = {file for piece in self._made.evidence for file in piece.arrays.values()}
        there = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        own = (ROWS, PIECES)
        return [name for name in there if name not in named and name not in own and not name.startswith(".")]

    @cached_property
    def rows(self) -> Rows:
        """The test rows as evidence/rows.parquet keeps them; ContradictionError where they cannot be read."""
        return Rows(self._made, self._folder / ROWS)

    @cached_property
    def withholding(self) -> Withholding | None:
        """Which groups all tables of the audit together may not show; None where each was protected by itself."""
        about, rows = self._made.subject, self.rows
        if about.get("withholding") != RULE:
            return None
        groupings = [tuple(grouping["columns"]) for grouping in about["groupings"]]
        explanatory = [one["columns"][0] for one in about["groupings"] if one.get("explanatory")]
        levels = {columns[0]: rows.words(f"group:{columns[0]}") for columns in groupings if len(columns) == 1}
        said = [
            rows.words(name) if about["task"] == "classification" and rows.has(name) else [None] * rows.n
            for name in ("target", "prediction")
        ]
        least = int((self._made.spec.get("report") or {}).get("min_cell", 10))
        return withheld.together(levels, groupings, explanatory, list(zip(*said, strict=True)), least)

    def _content(self, file: str) -> bytes:
        if not _NAMED.fullmatch(file):
            raise ContradictionError(f"{file[:80]!r} is no name of a file in evidence/")
        try:
            content = (self._folder / file).read_bytes()
        except OSError as error:
            raise ContradictionError(
                f"evidence/{file} cannot be read: {error.strerror or 'no such file'}"
            ) from None
        if digest.of_bytes(content) != file.partition(".")[0]:
            raise ContradictionError(f"evidence/{file} is not what its name says: its sha256 is another")
        return content

    def _open(self, file: str) -> dict[str, NDArray[Any]]:
        if file not in self._opened:
            try:
                self._opened[file] = _plain(self._content(file))
            except ContradictionError as error:
                self._opened[file] = str(error)
            except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, MemoryError, SyntaxError):
                self._opened[file] = f"evidence/{file} is not a plain npz file"
        held = self._opened[file]
        if isinstance(held, str):
            raise ContradictionError(held)
        return held


def _plain(content: bytes) -> dict[str, NDArray[Any]]:
    found = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            # Nothing that unpacks to more than the file itself, and nothing that runs.
            if entry.compress_type != zipfile.ZIP_STORED or not entry.filename.endswith(".npy"):
                raise ValueError(entry.filename)
            with archive.open(entry) as stream:
                found[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(
                    stream, allow_pickle=False
                )
    return found


class Rows:
    """A line for each test row: who it is by digest, what it is labelled, what the model says of it."""

    def __init__(self, made: Audit, file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            content = file.read_bytes()
            self._table = pq.ParquetFile(io.BytesIO(content)).read(use_threads=False)
        except (OSError, pa.ArrowException, MemoryError, ValueError):
            raise ContradictionError(f"evidence/{ROWS} cannot be read") from None
        declared = made.run.get("rows")
        if declared is not None and declared != digest.of_bytes(content):
            raise ContradictionError(
                f"evidence/{ROWS} is not the file that run.rows names: its sha256 is another"
            )
        self._columns: dict[str, list[Any]] = {}
        self._samples: dict[tuple[int | None, int], tuple[NDArray[np.int64], dict[str, Any]]] = {}
        self._codes: dict[str, NDArray[np.int64]] = {}
        self._about = made.subject
        self.digests: list[str] = self._column("digest")
        self.n = len(self.digests)
        if self._column("row") != list(range(self.n)) or not all(
            isinstance(one, str) for one in self.digests
        ):
            raise ContradictionError(f"evidence/{ROWS}: its rows are not in their order")

    def _column(self, name: str) -> list[Any]:
        if name not in self._columns:
            if not self.has(name):
                raise ContradictionError(f"evidence/{ROWS} has no column {name}")
            self._columns[name] = self._table[name].to_pylist()
        return self._columns[name]

    @cached_property
    def seeds(self) -> list[str]:
        """What a row's draws are seeded by: its content and which of equal rows it is."""
        seen: Counter[str] = Counter()
        found = []
        for one in self.digests:
            found.append(f"{one}:{seen[one]}")
            seen[one] += 1
        return found

    def sample(self, wanted: int | None, seed: int) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Which rows a method that asks for so many is given, and what ``sampling`` must say."""
        if wanted is None or wanted >= self.n:
            return np.arange(self.n), {"available": self.n, "used": self.n, "how": "all rows"}
        if (wanted, seed) not in self._samples:
            order = np.asarray(sorted(self.first(range(self.n), f"{seed}")[:wanted]), dtype=np.int64)
            how = f"the {wanted} rows with the smallest sha256 of seed {seed} and row content"
            self._samples[wanted, seed] = order, {"available": self.n, "used": wanted, "how": how}
        return self._samples[wanted, seed]

    def first(self, rows: Any, salt: str) -> list[int]:
        """Rows by the sha256 of a salt and their content, the smallest first."""
        return sorted(
            (int(row) for row in rows), key=lambda row: digest.of_bytes(f"{salt}:{self.seeds[row]}".encode())
        )

    def codes(self, name: str) -> NDArray[np.int64]:
        """Labels or decisions as indices into the classes; -1 where there is none."""
        known = {str(label): place for place, label in enumerate(self._about["classes"])}
        try:
            if name not in self._codes:
                found = [-1 if value is None else known[value] for value in self._column(name)]
                self._codes[name] = np.asarray(found, dtype=np.int64)
            return self._codes[name]
        except (KeyError, TypeError):
            raise ContradictionError(f"evidence/{ROWS}: {name} holds a class that there is not") from None

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN for none."""
        try:
            return np.asarray(
                [np.nan if value is None else value for value in self._column(name)], dtype=np.float64
            )
        except (TypeError, ValueError):
            raise ContradictionError(f"evidence/{ROWS}: {name} holds no numbers") from None

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self._table.column_names

    def words(self, name: str) -> list[Any]:
        """A column as it is."""
        return self._column(name)

    @cached_property
    def scores(self) -> NDArray[np.float64] | None:
        """(rows, classes), or (rows, 1); None where only decisions are known."""
        if self.has("score"):
            return self.numbers("score")[:, None]
        names = [f"score:{label}" for label in self._about["classes"]]
        if not names or not all(self.has(name) for name in names):
            return None
        return np.stack([self.numbers(name) for name in names], axis=1)

    def beside(self, name: str, rows: NDArray[np.int64]) -> list[Any] | None:
        """Weights or clusters of some rows; None where the data have none."""
        if not self.has(name):
            return None
        column = self._column(name)
        return [column[int(row)] for row in rows]
