"""What every piece of a run answered, by digest: enough to draw one later, run it again and compare.

``evidence/pieces.json`` is canonical JSON and holds no row. Nothing in it is ever imported or run: it is compared with
what the spec and the data give.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from xai_audit import digest
from xai_audit.evidence import Frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "pieces.json"
"""Its name in evidence/."""
SCHEMA: Literal["xai-audit/pieces/1"] = "xai-audit/pieces/1"


class Answered(Frozen):
    """One piece of a map."""

    piece: str
    """The digest of its rows' content and of all that was decided before it."""
    seed: str
    """128 bits in hexadecimal."""
    answer: str | None
    """The sha256 of the arrays it gave; None where these are of a kind that has no canonical bytes."""


class Mapped(Frozen):
    """One map of a step over its pieces."""

    step: str
    work: str
    """Module and qualified name of the function, to be compared and never to be imported."""
    pieces: tuple[Answered, ...]


class Record(Frozen):
    """Every map of a run, in the order they were made."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["xai-audit/pieces/1"] = Field(SCHEMA, alias="schema")
    maps: tuple[Mapped, ...] = ()

    def of(self, step: str) -> tuple[Mapped, ...]:
        """The maps of one step."""
        return tuple(one for one in self.maps if one.step == step)

    def to_bytes(self) -> bytes:
        """The content of pieces.json: the same bytes for the same maps."""
        return f"{digest.canonical(self.model_dump(mode='json', by_alias=True))}\n".encode()


def read(content: bytes) -> Record:
    """The record in a file's content; ValueError with one line where it is none."""
    try:
        return Record.model_validate(json.loads(content))
    except (ValueError, RecursionError) as error:
        first = error.errors()[0]["msg"] if hasattr(error, "errors") else str(error)
        message = (first.splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(message) from None


def mapped(
    step: str,
    work: Any,
    digests: Sequence[str],
    seeds: Sequence[int],
    answers: Sequence[Mapping[str, NDArray[Any]]],
) -> Mapped:
    """The record of one map."""
    pieces = tuple(
        Answered(piece=piece, seed=f"{seed:032x}", answer=of_arrays(answer))
        for piece, seed, answer in zip(digests, seeds, answers, strict=True)
    )
    return Mapped(step=step, work=name_of(work), pieces=pieces)


def name_of(work: Any) -> str:
    """A function's module and qualified name."""
    return f"{work.__module__}:{work.__qualname__}"


def of_arrays(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """The sha256 of named arrays: names, types, shapes and little-endian bytes in C order, every NaN the same one.

    None where an array holds Python objects.
    """
    parts = []
    for name in sorted(arrays):
        given = np.asarray(arrays[name])
        if given.dtype.kind not in "biufcSUmM":
            return None
        array = np.array(given, dtype=given.dtype.newbyteorder("<"), order="C")
        if array.dtype.kind in "fc":
            array[np.isnan(array)] = np.nan  # the bits of a NaN are the processor's own
        parts.append([name, array.dtype.str, list(array.shape), digest.of_bytes(array.tobytes())])
    return digest.of_value(parts)
