"""What LIME and Shapley values show alike of pictures and texts: players on their pixels and words, and single rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Cases, Scalar
from xai_audit.explainers.attributions import attributed, overlays, parts, removal
from xai_audit.explainers.coalitions.players import Parts, Sentence, switches
from xai_audit.explainers.ranking import agreement, doubled, ranks, top_of
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.attributions.attributed import Found
    from xai_audit.explainers.coalitions.players import Choice
    from xai_audit.method import Context
    from xai_audit.subject import Subject

Row = Parts | Sentence


def on_row(row: Row, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of players on the pixels of a picture (height, width), or on the words and signs of a text."""
    if isinstance(row, Parts):
        return row.spread(values)
    own = parts.spans("".join(row.cut.pieces))
    owner = parts.part_of(own, row.cut.spans)
    held = row.cut.placed(values)[owner >= 0]
    return np.bincount(owner[owner >= 0], weights=held, minlength=len(own)).astype(np.float64)


def handed(
    subject: Subject,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    cuts: Sequence[Row],
    values: Sequence[NDArray[np.float64]],
    seed: int,
) -> dict[str, NDArray[Any]]:
    """What a piece of a map hands on of every row: contributions in place, per player, and what removing parts does."""
    placed = [on_row(row, own) for row, own in zip(cuts, values, strict=True)]
    areas = removal.judged(
        subject,
        [int(row) for row in rows],
        [removal.units(subject, one) for one in placed],
        [int(column) for column in columns],
        seed,
    )
    regions: list[NDArray[Any]] = [
        row.parts[..., 0] if isinstance(row, Parts) and row.parts.shape[-1] == 1 else np.zeros((0, 0))
        for row in cuts
    ]
    return {
        **attributed.pack("values", placed),
        **attributed.pack("parts", regions),
        "phi": np.concatenate([np.zeros(0), *values]),
        "players": np.asarray([row.count for row in cuts], dtype=np.int64),
        **attributed.walks(areas),
    }


def by_row(values: NDArray[Any], counts: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Values of all players, one after the other, cut into rows."""
    return np.split(values, np.cumsum(counts)[:-1])


def arrays(
    subject: Subject, found: Found, which: NDArray[np.bool_], done: Sequence[Mapping[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Every explained row's contributions, per player in the order of its parts, with the parts of pictures."""
    counts = attributed.joined(done, "players")
    digests = b"".join(bytes(subject.test.digests[row]).ljust(32, b"\0") for row in found.rows)
    kept = {
        "phi": attributed.joined(done, "phi")[np.repeat(which, counts)],
        "players": counts[which],
        "row": found.rows,
        "row_sha256": np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32),
        "explained": found.columns,
        "base": found.start,
        "output": found.end,
    }
    regions = [one for one, keep in zip(attributed.unpack(done, "parts"), which, strict=True) if keep]
    if any(one.size for one in regions):
        packed = attributed.pack("parts", regions)
        kept |= {"parts": packed["parts"].astype(np.uint16), "parts_shape": packed["parts_shape"]}
    return kept | attributed.ranked_by(subject, found)


def overall(
    subject: Subject,
    found: Found,
    context: Context,
    common: Mapping[str, Any],
    *,
    unit: str,
    kept: Mapping[str, NDArray[Any]],
) -> Measured | Skipped:
    """What weighs most over all explained rows: words, or regions of the picture."""
    if subject.modality == "image":
        sizes = {overlays.cells(one, attributed.REGIONS).shape for one in found.values}
        if len(sizes) > 1:
            return Skipped(reason="pictures of such different sizes have no regions in common to rank")
        said = "parts of different pictures are not the same: places are ranked, a part's value spread over its pixels"
        common = {**common, "limits": (*common["limits"], said)}
    return attributed.overall(subject, found, context, common, unit=unit, kept=kept)


def cases(
    subject: Subject,
    choice: Choice,
    found: Found,
    common: Mapping[str, Any],
    *,
    values: Sequence[NDArray[np.float64]],
    halves: Sequence[NDArray[np.float64]],
    unit: str,
    title: str,
    kept: Mapping[str, NDArray[Any]],
    more: Sequence[Mapping[str, Any]] | None = None,
) -> Measured:
    """Single rows; an infinite half-width is unbounded."""
    told = []
    for why, place in overlays.shown(subject, found.rows):
        row, column = int(found.rows[place]), int(found.columns[place])
        about: dict[str, Any] = {
            "why": why,
            **overlays.named(subject, row, column),
            "score": float(found.end[place]),
            "base": float(found.start[place]),
            "unit": unit,
        }
        cut = switches(subject, choice, row)
        if isinstance(cut, Parts):
            made = overlays.image_case(cut.picture, cut.spread(values[place]), **about)
        else:
            own, half = cut.cut.placed(values[place]), cut.cut.placed(halves[place])
            low, high = (
                [float(v) if np.isfinite(v) else None for v in side] for side in (own - half, own + half)
            )
            text = "".join(cut.cut.pieces)
            made = overlays.text_case(text, cut.cut.spans, own.tolist(), low, high, **about)
        told.append({**made, **(more[place] if more else {})})
    return Measured(name="local", title=title, observation=Cases(cases=tuple(told)), arrays=kept, **common)


def agreed(draws: NDArray[np.float64]) -> tuple[float, float]:
    """How far a row's players keep their order by size, and their leaders, from draw to draw (draws, players)."""
    if draws.shape[1] < 2:
        return 1.0, 1.0
    spearman, jaccard = agreement(np.abs(draws)[None], top_of(draws.shape[1]))
    return float(spearman[0]), float(jaccard[0])


def ranks_of(draws: NDArray[np.float64]) -> NDArray[Any]:
    """The ranks that ``agreed`` rests on, times two, as one run of numbers: draw after draw."""
    return doubled(ranks(np.abs(draws)[None])).ravel()


def stability(
    pairs: NDArray[np.float64],
    context: Context,
    common: Mapping[str, Any],
    *,
    of: str,
    what: str,
    params: Mapping[str, Any],
    kept: Mapping[str, NDArray[Any]],
) -> Iterator[Measured]:
    """Mean agreement over rows; ``pairs`` holds what ``agreed`` says of each row (rows, 2), ``of`` names the parts."""
    for name, title, values, low in (
        ("stability", f"Same order of {of} with {what} (mean Spearman correlation)", pairs[:, 0], -1.0),
        ("stability_top5", f"Same leading {of} with {what} (mean Jaccard index)", pairs[:, 1], 0.0),
    ):
        yield Measured(
            name=name,
            title=title,
            observation=Scalar(estimate=attributed.mean_of(values, context, low, 1.0)),
            arrays=kept,
            **{**common, "params": {**common["params"], "order_by": "absolute size", **params}},
        )
