"""Sparse autoencoders: a dictionary of a network's activations, what it keeps, and what its features do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xai_audit.explainers.dictionaries import features, laws, taken_out, whole
from xai_audit.explainers.dictionaries.params import SparseAutoencoderParams
from xai_audit.explainers.dictionaries.trained import made, one_thread
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from xai_audit.method import Context
    from xai_audit.subject import Subject


def run(subject: Subject, params: SparseAutoencoderParams, context: Context) -> Iterator[Measured | Skipped]:
    """What the dictionary keeps, then its seeds, dead latents and density, the loss, its features, a law where asked."""
    found = made(subject, params, context)
    with one_thread():
        yield whole.error(found)
        yield whole.stability(found)
        yield whole.dead(found)
        yield whole.density(found)
        yield whole.loss(found)
    yield from features.pages(found)
    yield from taken_out.taken_out(found)
    yield from laws.laws(found)


METHOD = Method(
    id="sparse_autoencoder",
    kind="explainer",
    title="Sparse autoencoder",
    measures="How much of a site's activations a sparse dictionary keeps, and how well its features can be told and tested",
    params=SparseAutoencoderParams,
    run=run,
    needs=("model", "scores", "network"),
    limits=(
        "features are not claimed to be the network's concepts: those of random networks can be explained as well",
        "what a dictionary finds depends on its size, its sparsity, its seed and its data",
        "features may be split, absorbed into others or missing; an absent feature shows nothing",
    ),
    cites=(
        "Bricken et al. 2023, Towards Monosemanticity, transformer-circuits.pub",
        "Templeton et al. 2024, Scaling Monosemanticity, arXiv:2605.29358",
        "Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv:2406.04093",
        "Foote et al. 2023, N2G, arXiv:2304.12918",
        "Korznikov et al. 2026, arXiv:2602.14111",
    ),
)
