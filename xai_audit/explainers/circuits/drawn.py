"""Circuits as graphs: the edges of one, or what the latents of one pass on; drawn in the report, and for a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Edge, Graph, Node
from xai_audit.intervals_rows import mean
from xai_audit.mechanistic.circuits.export import Kind, Part, circuit_tracer, packed
from xai_audit.mechanistic.circuits.graphs import Element
from xai_audit.method import Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.claims import Claims
    from xai_audit.explainers.circuits.found import Found

MOST = 40
"""Edges of a picture, at most."""
OUTPUT = "output"


def of_edges(claims: Claims, found: Found) -> Measured:
    """The circuit's edges and the nodes that they join."""
    chosen = claims.chosen(found, MOST)
    edges = [claims.elements[one] for one in chosen]
    # In the order in which they act: elements stand by their target.
    names = dict.fromkeys(name for one in claims.elements for name in (one.source, one.target))
    sources = {one.source for one in claims.elements}
    owners = {name: _part_of(name, sources) for name in names}
    return _graph(
        claims,
        found,
        edges,
        found.scores[:, chosen],
        owners,
        _wired(claims, owners),
        title=f"The circuit, {found.ablation} ablation",
        arrays={"chosen": np.asarray(chosen, dtype=np.int64)},
    )


def of_latents(claims: Claims, found: Found) -> Measured:
    """The attribution graph: latents and error nodes of the circuit, what each passes on, and what reaches the end."""
    passed = found.passed
    assert passed is not None
    names = [one.source for one in claims.elements]
    edges = [
        Element(names[source], OUTPUT if target < 0 else names[target])
        for source, target in passed.pairs.tolist()
    ]
    return _graph(
        claims,
        found,
        edges,
        passed.effects,
        dict.fromkeys([*names, OUTPUT]),
        _at_sites(claims, names),
        title=f"What the circuit's latents pass on, {found.ablation} ablation",
        arrays={"pairs": passed.pairs, "found_on": passed.found_on},
        params={"edges": len(passed.found_on)},
        limits=(
            "what a latent passes on to another is of first order, by way of nothing but what lies between the sites",
            "edges were chosen on other prompts; their effects are of these",
        ),
    )


def _graph(
    claims: Claims,
    found: Found,
    elements: Sequence[Element],
    effects: NDArray[np.float64],
    owners: dict[str, str | None],
    parts: dict[str, Part],
    *,
    title: str,
    arrays: dict[str, NDArray[Any]],
    params: dict[str, Any] | None = None,
    limits: tuple[str, ...] = (),
) -> Measured:
    """Edges with the mean of their effects (rows, edges); ``owners`` are all nodes in order, each with its part's owner."""
    edges = []
    for place, one in enumerate(elements):
        value, ends = mean(effects[:, place].tolist(), claims.context.levels)
        estimate = claims.context.estimate(value, ends, len(effects))
        edges.append(Edge(source=one.source, target=one.target, estimate=estimate))
    used = {name for edge in edges for name in (edge.source, edge.target)}
    nodes = tuple(
        Node(id=name, site=owner, label=claims.label(name)) for name, owner in owners.items() if name in used
    )
    viewed = circuit_tracer(
        list(zip(elements, effects.mean(axis=0).tolist(), strict=True)),
        parts,
        slug=f"{found.ablation}-circuit",
        told=f"mean over {len(effects)} {claims.prompts.source}, {found.ablation} ablation",
    )
    drawn = {
        "nodes": [node.id for node in nodes],
        "edges": [[edge.source, edge.target] for edge in edges],
    }
    return Measured(
        name=f"{found.ablation}-graph",
        title=title,
        observation=Graph(nodes=nodes, edges=tuple(edges)),
        arrays={
            "effects": effects, **arrays, "drawn_json": packed(drawn), "circuit_tracer_json": packed(viewed)
        },
        params={
            "ablated_by": found.ablation,
            "circuit_size": found.size,
            **(params or {}),
            "shown": len(edges),
            "behaviour_of": claims.metric,
        },
        limits=limits,
    )  # fmt: skip


def _wired(claims: Claims, owners: dict[str, str | None]) -> dict[str, Part]:
    """All nodes as parts of the network; a part's layer is the longest way that leads to it."""
    part = {name: owner or name for name, owner in owners.items()}
    far = dict.fromkeys(part.values(), 0)
    for one in claims.elements:
        # Elements stand by their target, in the order in which they act.
        far[part[one.target]] = max(far[part[one.target]], far[part[one.source]] + 1)
    sources = {part[one.source] for one in claims.elements}
    seen: dict[int, int] = {}
    made: dict[str, Part] = {}
    for name, layer in far.items():
        number = seen[layer] = seen.get(layer, -1) + 1
        kind: Kind = "input" if layer == 0 else "inside" if name in sources else "output"
        made[name] = Part(
            name=name, kind=kind, layer=max(layer - 1, 0), number=number, label=claims.label(name) or ""
        )
    return {name: made[one] for name, one in part.items()}


def _at_sites(claims: Claims, names: Sequence[str]) -> dict[str, Part]:
    """Latents and error nodes, their sites as layers, and the output."""
    sites = list(dict.fromkeys(name.rpartition("/")[0] for name in names))
    made = {OUTPUT: Part(name=OUTPUT, kind="output", layer=len(sites), number=0)}
    for name in names:
        site, _, which = name.rpartition("/")
        error = which == "error"
        made[name] = Part(
            name=name, kind="error" if error else "inside", layer=sites.index(site), number=-1 if error else int(which),
            label=claims.label(name) or "",
        )  # fmt: skip
    return made


def _part_of(name: str, sources: set[str]) -> str | None:
    """The head that a node reads for, as a0.h1 of a0.h1.k; None for one that stands for itself."""
    owner = name.rpartition(".")[0]
    return owner if owner in sources and name not in sources else None
