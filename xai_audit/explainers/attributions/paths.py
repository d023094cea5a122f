"""Reaching a network row by row: its batch of one, where attributions are taken there, and its permuted twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from xai_audit.errors import MethodError
from xai_audit.explainers.attributions import parts
from xai_audit.explainers.rows import generator
from xai_audit.mechanistic import gradients
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from xai_audit.mechanistic.network import Network
    from xai_audit.subject import Rows, Subject


def network_of(subject: Subject) -> Network:
    """The torch module behind the scores; the methods here have asked for one."""
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    return network


def batch_of(subject: Subject, network: Network, row: int) -> Any:
    """One test row as its reader gives it, a batch of one."""
    return read(network, subject.test, row)


def read(network: Network, table: Rows, row: int) -> Any:
    """One row of a table as the network's reader gives it, a batch of one."""
    assert network.reader is not None
    return network.reader.batch(table.frame.iloc[row : row + 1])


def encoding_of(network: Network, text: object) -> Any:
    """Token ids, offsets into the text and which tokens are special, of one text."""
    reader: Any = network.reader
    return reader.encodings([text if isinstance(text, str) else ""])[0]


_TWINS: WeakKeyDictionary[Subject, dict[tuple[int, int], Network]] = WeakKeyDictionary()


def twin(subject: Subject, seed: int, number: int) -> Network:
    """The network with its weights permuted, one of several, made once a process."""
    kept = _TWINS.setdefault(subject, {})
    if (seed, number) not in kept:
        kept[seed, number] = network_of(subject).twin(generator(seed, "twin", number))
    return kept[seed, number]


_SITES: WeakKeyDictionary[Subject, dict[str | None, Site]] = WeakKeyDictionary()


def site(subject: Subject, named: str | None) -> Site:
    """Where attributions are taken: the input, the embedding's output for texts, or the site that is named."""
    kept = _SITES.setdefault(subject, {})
    if named not in kept:
        kept[named] = _site(subject, network_of(subject), named)
    return kept[named]


def _site(subject: Subject, network: Network, named: str | None) -> Site:
    if named is not None:
        site = Site.parse(named)
        if site != site.whole:
            raise MethodError(f"{site}: attributions are taken at a whole site, without head and position")
        network.check(site)
        return site
    if subject.modality != "text":
        return gradients.INPUT
    return gradients.embedding(network, batch_of(subject, network, 0))


def reducer(subject: Subject, network: Network, row: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Turns attributions at a site (draws, ...) into a row's own: pixels, words and signs, or columns."""
    import torch

    if subject.modality == "image":
        return lambda draws: _asked(draws, 4, "a picture's", "(channels, height, width)").sum(dim=1)
    if subject.modality == "table":
        return lambda draws: _asked(draws, 2, "a row's", "one number a column")
    text: Any = subject.test.frame.iloc[row, 0]
    own = parts.spans(text)
    index = torch.from_numpy(parts.part_of(own, encoding_of(network, text).offsets))

    def words(draws: torch.Tensor) -> torch.Tensor:
        tokens = _asked(draws, 3, "a text's", "(tokens, features)").sum(dim=2)
        if tokens.shape[1] != len(index):
            raise MethodError(f"this site has {tokens.shape[1]} positions for {len(index)} tokens")
        # One place more, for tokens that belong to no part; dropped.
        found = torch.zeros(len(tokens), len(own) + 1, dtype=tokens.dtype, device=tokens.device)
        where = torch.where(index < 0, len(own), index).to(tokens.device)
        return found.index_add(1, where, tokens)[:, : len(own)]

    return words


def _asked(draws: torch.Tensor, axes: int, whose: str, shape: str) -> torch.Tensor:
    if draws.ndim != axes:
        raise MethodError(f"{whose} attributions are {shape}; here is {tuple(draws.shape[1:])}")
    return draws


def checked(subject: Subject, named: str | None) -> None:
    """MethodError where a table has columns through which no gradient goes, or a site is named that has no use."""
    if subject.modality != "text" and named is not None:
        raise MethodError("site is for texts: pictures and tables are attributed at the input")
    other = [column.name for column in subject.columns if column.kind not in ("numeric", "boolean")]
    if subject.modality == "table" and other:
        raise MethodError(f"gradients go through numbers; not numeric: {', '.join(other[:5])}")
