"""Circuits: what a few nodes or edges keep of a behaviour under each ablation, how that grows, and the circuit drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.evidence import Curve, Graph, Matrix, Ranking, Scalar
from xai_audit.render import charts, graphs, listings, numbers, rungs
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, Table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence

NAMED = 2
"""Evidence ids beside a table; the register has all."""
MEASURES = (
    ("completeness", "Left without it"),
    ("cpr", "CPR"),
    ("cmd", "CMD"),
    ("size_at_85", "Size at 85\u00a0%"),
    ("size_at_95", "Size at 95\u00a0%"),
)

FORMULAS = (
    "Kept: (metric of the circuit \N{MINUS SIGN} all ablated) / (whole network \N{MINUS SIGN} all ablated). CPR and CMD: "
    "areas under it, and under its distance from 1, over the share of elements. Sizes: the fewest elements, of those tried."
)


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Each claim in its sentence, the furthest reaching first; ablations side by side; curves, circuits, elements."""
    from xai_audit.render.exhibits import general

    told = sorted(
        (piece for piece in pieces if sentence(piece)),
        key=lambda piece: (-rungs.step(piece.rung) if piece.rung else 0, piece.id),
    )
    table = rungs.told(told, sentence, "What was seen of circuits, the furthest reaching first", limits(told))
    made = [Exhibit(table=table, margin=margin(audit, told, most=NAMED))] if told else []
    if told:
        made.append(Exhibit(table=_measures(told), margin=margin(audit, _whole(pieces), most=NAMED)))
    made += general(audit, [piece for piece in pieces if isinstance(piece.observation, Curve)])
    for piece in pieces:
        if isinstance(piece.observation, Graph):
            made.append(_drawn(audit, piece, piece.observation))
        elif isinstance(piece.observation, Ranking) and piece.observation.items:
            made.append(_ranked(audit, piece, piece.observation))
    for piece in pieces:
        if isinstance(piece.observation, Matrix) and piece not in _whole(pieces):
            table = _specifications(piece, piece.observation)
            made.append(Exhibit(table=table, margin=margin(audit, [piece])))
    return made


def _whole(pieces: Sequence[Evidence]) -> list[Evidence]:
    """The tables that stand for a whole use."""
    return [piece for piece in pieces if "/" not in piece.id and isinstance(piece.observation, Matrix)]


def sentence(piece: Evidence) -> str:
    """A claim in full; empty where a piece of evidence is none. A word of cause stands from ``intervened`` on."""
    told, own = piece.params, rungs.over(piece)
    if own is None or "ablated_by" not in told or not isinstance(piece.observation, Scalar):
        return ""
    what = _elements(piece)
    size, elements = int(told.get("circuit_size", 0)), int(told.get("elements", 0))
    ablation = name(str(told["ablated_by"]), 20)
    behaviour = name(str(told.get("behaviour")), 30).replace("_", " ")
    source = name(str(told.get("prompts_from")), 80)
    start = f"Under {ablation} ablation ({behaviour}, {source})"
    if size >= elements:
        share = numbers.percent(float(told.get("threshold", 0.85)))
        return (
            f"{start} no circuit smaller than the network keeps {share} of the behaviour on the prompts it is searched on: "
            f"all {elements:,} {what} stay, and nothing is claimed."
        )
    verb = "keep" if rungs.causal(piece) else "go with"
    kept = (
        f"{start} {size:,} of {elements:,} {what} {verb} {rungs.estimated(own)} of the behaviour "
        f"({numbers.size(own.n)} prompts not used to find them; {rungs.tested(piece)})"
    )
    random = (
        f"random circuits of equal size keep {_plain(told.get('random_mean'))} in the mean and reach "
        f"{_plain(told.get('random_reach'))}"
    )
    parts = [kept, random]
    bare = rungs.read(told.get("without_error_nodes"))
    if bare is not None:
        count = int(told.get("error_nodes", 0))
        parts.append(
            f"{numbers.some(count, 'error node')} among them; without, {rungs.estimated(bare)} is kept"
        )
    named = _named(told.get("trained"))
    if named:
        parts.append(f"{named} and not trained here")
    left = rungs.read(told.get("completeness"))
    if left is not None:
        parts.append(f"without the circuit {rungs.estimated(left, places=2)} is left")
    if isinstance(told.get("jaccard_with_this"), int | float) and piece.robustness is not None:
        ran = piece.robustness
        parts.append(
            f"over {ran.specifications:,} declared specifications the circuit found has a mean Jaccard index of "
            f"{_plain(told['jaccard_with_this'])} with this one, and the claim holds in "
            f"{numbers.percent(float(told.get('claim_share', 0)))} of them"
        )
    count = int(told.get("untestable_elements", 0))
    if count:
        parts.append(f"{count:,} {what} cannot be tested by this contrast")
    text = f"{'; '.join(parts)}."
    why = rungs.halted(piece)
    return f"{text}{f' It stands no higher because {why}.' if why and not rungs.causal(piece) else ''}"


def _named(dictionaries: Any) -> str:
    """``dictionaries of blocks.0 (sae, sha256 12ab...) were named``; empty where none was."""
    each = dictionaries if isinstance(dictionaries, list) else []
    said = [
        f"{name(str(one.get('site')), 60)} ({name(str(one['folder']), 60)}, {numbers.short(one.get('sha256'))})"
        for one in each
        if isinstance(one, dict) and "folder" in one
    ]
    if not said:
        return ""
    verb = "dictionary of {} was" if len(said) == 1 else "dictionaries of {} were"
    return f"the {verb.format(' and '.join(said))} named"


def _elements(piece: Evidence) -> str:
    level = piece.params.get("level")
    return {"edge": "edges", "feature": "latents and error nodes"}.get(str(level), "nodes")


def _plain(value: Any, places: int = 2) -> str:
    return numbers.plain(float(value), places) if isinstance(value, int | float) else "no number"


def _measures(pieces: Sequence[Evidence]) -> Table:
    rows: list[Line] = []
    used = ""
    for piece in sorted(pieces, key=_declared):
        use = piece.id.partition("/")[0]
        found = [rungs.over(piece), *(rungs.read(piece.params.get(key)) for key, _ in MEASURES)]
        level = _elements(piece)
        size, elements = (int(piece.params.get(key, 0)) for key in ("circuit_size", "elements"))
        head = Cell(text=name(str(piece.params["ablated_by"]), 20), sub=f"{size:,} of {elements:,} {level}")
        cells = [_number(one, places) for one, places in zip(found, (2, 2, 2, 2, 0, 0), strict=True)]
        rows.append(Line(cells=(head, *cells), begins=bool(used) and use != used))
        used = use
    return Table(
        caption="What circuits keep under each ablation, on prompts that did not find them",
        columns=(
            Column(head="Ablation"),
            Column(head="Kept", numeric=True),
            *(Column(head=head, numeric=True) for _, head in MEASURES),
        ),
        rows=tuple(rows),
        full=True,
        notes=(FORMULAS,),
    )


def _specifications(piece: Evidence, seen: Matrix) -> Table:
    """What each specification found, by the axes in which they part."""
    title = seen.row_title or ""
    axes = title.split(", ") if ", " in title else ["ablation", "metric", "threshold"]
    rows: list[Line] = []
    before = ""
    for row, (elements, like, share) in zip(seen.rows, seen.values, strict=True):
        # A template's name, which may hold anything, stands last.
        fields = row.split(", ", len(axes) - 1)
        search = ", ".join(fields[:2])
        numbers_ = (_plain(elements, 1), _plain(like), "–" if share is None else numbers.percent(share))
        # As percentages stand everywhere else.
        fields[2] = fields[2].replace("%", "\u00a0%")
        cells = (*(Cell(text=name(one, 60)) for one in fields), *(Cell(text=one) for one in numbers_))
        rows.append(Line(cells=cells, begins=bool(before) and search != before))
        before = search
    said = piece.params.get("claim")
    return Table(
        caption=name(piece.title, 120),
        columns=(
            *(Column(head=name(axis, 20).capitalize()) for axis in axes),
            Column(head="Elements", numeric=True),
            Column(head="Jaccard with the first", numeric=True),
            Column(head="Claim holds", numeric=True),
        ),
        rows=tuple(rows),
        full=True,
        notes=(f"The claim: {name(said, 300)}.",) if isinstance(said, str) else (),
        limits=limits([piece]),
    )


def _number(found: Estimate | None, places: int) -> Cell:
    if found is None:
        return Cell(text="none", muted=True)
    return Cell(text=numbers.plain(found.value, places), sub=numbers.interval(found, places))


def _declared(piece: Evidence) -> tuple[str, int]:
    """By use, then in the order in which its ablations were declared."""
    asked = [str(one) for one in piece.params.get("ablation") or ()]
    own = str(piece.params.get("ablated_by"))
    return piece.id.partition("/")[0], asked.index(own) if own in asked else len(asked)


def _drawn(audit: Audit, piece: Evidence, seen: Graph) -> Exhibit:
    shown, size = len(seen.edges), int(piece.params.get("circuit_size", len(seen.edges)))
    unit = name(str(piece.params.get("behaviour_of", "effect")), 30).replace("_", " ")
    ablation = name(str(piece.params.get("ablated_by", "")), 20)
    strong = sum(graphs.strong(edge, seen.edges) for edge in seen.edges)
    among = int(piece.params.get("edges", size))
    which = (
        f"the {shown:,} of {among:,} edges with the largest score"
        if shown < among
        else f"all {among:,} edges"
    )
    if piece.params.get("level") == "feature":
        which = (
            f"{shown:,} of the {among:,} edges between the circuit's {size:,} {_elements(piece)} and to the output: those "
            "with the largest score into each site and into the output"
        )
    title = f"The circuit under {ablation} ablation: {numbers.some(strong, 'edge')} of {shown:,} stand out"
    figure = Figure(
        title=title,
        subtitle=f"To be read from top to bottom: {which}; thicker: a larger effect on the {unit}. Blue: its whole interval "
        f"lies above a quarter of the largest. {numbers.size(seen.edges[0].estimate.n if seen.edges else 0)}.",
        drawing=graphs.graph(seen, f"{title}; the table that follows lists them"),
    )
    table = replace(
        graphs.table(seen, f"Edges of the circuit under {ablation} ablation", f"Effect, {unit}"),
        limits=limits([piece]),
    )
    return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]))


def _ranked(audit: Audit, piece: Evidence, seen: Ranking) -> Exhibit:
    first = [item for item in seen.items if item.rank_low == 1]
    ablation = name(str(piece.params.get("ablated_by", "")), 20)
    if len(first) == 1:
        said = f"Under {ablation} ablation {name(first[0].name, 40)} does most"
    else:
        said = f"Under {ablation} ablation which of {len(first)} elements does most is not settled"
    title = name(piece.title, 80)
    figure = Figure(
        title=said,
        subtitle=f"{title}: {name(seen.unit or 'value', 60)}, with intervals, {numbers.size(seen.items[0].estimate.n)}. "
        "Elements in one bracket may trade places.",
        drawing=charts.ranking(seen, said, "Element"),
    )
    table = replace(listings.ranking(seen, title, "Element"), limits=limits([piece]))
    drawn = piece.params.get("level") == "edge"  # latents are ranked beside their graph: it shows edges
    # Edges are on paper as a graph already.
    return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]), screen=drawn)
