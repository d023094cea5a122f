"""The elements among which a circuit is searched: nodes of any network, or edges where edges are defined."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.errors import MethodError
from xai_audit.mechanistic.circuits.nodes import NodeGraph, Nodes
from xai_audit.mechanistic.circuits.residual import EdgeSpec, ResidualGraph, Writers
from xai_audit.mechanistic.circuits.specs import edge_spec
from xai_audit.mechanistic.circuits.units import stacked
from xai_audit.mechanistic.sites import Site, feature_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    from xai_audit.explainers.circuits.latents import Latents
    from xai_audit.explainers.circuits.params import CircuitParams
    from xai_audit.mechanistic.circuits.graphs import Graph
    from xai_audit.mechanistic.network import Network

MOST = 20_000
"""Elements of a graph: every pass holds a mask over them for each row."""
FEWER = {
    "edge": "take level: node",
    "node": "name fewer sites, or split: heads",
    "feature": "name fewer sites, or a smaller expansion",
}
_MIXERS = ("o_proj", "out_proj", "c_proj", "out_lin", "dense")


def builder(
    network: Network, params: CircuitParams, inputs: Any, latents: Latents | None = None
) -> Callable[[Network], Graph]:
    """What makes the graph of a network of this structure, its twins among them; MethodError where there is none."""
    if network.opaque is not None:
        raise MethodError(f"circuit_discovery: {network.opaque}")
    if latents is not None:
        return latents.build
    build = _edges(network, inputs) if params.level == "edge" else _nodes(network, params, inputs)
    checked(build(network), params)
    return build


def checked(graph: Graph, params: CircuitParams) -> Graph:
    """A graph among whose elements there is a choice, and not too large a one; else MethodError."""
    size = len(graph.elements)
    if size < 2:
        raise MethodError(f"circuit_discovery: {size} element is no choice; name more sites, or split: units")
    if size > MOST:
        raise MethodError(
            f"circuit_discovery: {size:,} elements are more than {MOST:,}; {FEWER[params.level]}"
        )
    return graph


def _edges(network: Network, inputs: Any) -> Callable[[Network], Graph]:
    import torch

    if isinstance(network.module, torch.nn.Sequential):
        stacked(network.module)
        return lambda other: stacked(other.module)
    try:
        spec = edge_spec(network.module)
        ResidualGraph(network.module, spec).check(inputs)
    except MethodError as error:
        raise MethodError(
            f"circuit_discovery: level: edge: {error} (edges are of additive residuals and of nn.Sequential stacks of "
            "linear layers and activations)"
        ) from None
    return lambda other: ResidualGraph(other.module, spec)


def _nodes(network: Network, params: CircuitParams, inputs: Any) -> Callable[[Network], Graph]:
    spec: EdgeSpec | None = None
    try:
        spec = edge_spec(network.module)
    except MethodError:
        if not params.sites:
            paths = ", ".join(one.path for one in network.sites()[:12])
            raise MethodError(
                f"circuit_discovery: name sites, as sites: [layer3]; this network has {paths}"
            ) from None
    if params.sites:
        nodes = tuple(_node(network, Site.parse(text), params, inputs) for text in params.sites)
    else:
        assert spec is not None
        nodes = tuple(_written(part) for part in spec.parts if isinstance(part, Writers))
    source = None
    if spec is not None:
        source = next(
            (Site(part.path) for part in spec.parts if isinstance(part, Writers) and part.source), None
        )
    return lambda other: NodeGraph(other.module, nodes, source)


def _written(part: Writers) -> Nodes:
    return Nodes(Site(part.path, "in" if part.heads else "out"), len(part.names))


def _node(network: Network, site: Site, params: CircuitParams, inputs: Any) -> Nodes:
    network.check(site)
    mixes = site.port == "in" and site.path.rpartition(".")[2] in _MIXERS
    if params.split == "heads" or (params.split is None and mixes):
        try:
            network.check(replace(site, head=0))
        except MethodError:
            if params.split == "heads":
                raise
        else:
            return Nodes(site, network.heads(site.path) or 1)
    if params.split == "units":
        value = network.run(inputs, capture=[site]).captured[site]
        return Nodes(site, int(value.shape[feature_axis(value)]))
    return Nodes(site)
