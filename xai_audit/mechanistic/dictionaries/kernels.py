"""What a sparse step of training does on a processor: keep the largest, decode few rows, add up few gradients.

Of m latents only k fire, so that after one product with the encoder nothing dense is left to do. Gradients are gathered
latent by latent: a row of the decoder, its gradient and that of the encoder stay in the nearest cache. The idea of a sparse
decoder kernel is that of Gao et al. 2024 (arXiv:2406.04093); the loops are compiled by numba when first called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_BLOCK = 32


@dataclass(frozen=True, eq=False)
class Codes:
    """Latents that fire, row by row: those of row r are ``index[offsets[r]:offsets[r + 1]]``."""

    offsets: NDArray[np.int64]
    """(rows + 1,)."""
    index: NDArray[np.int32]
    """(entries,)."""
    value: NDArray[np.float32]
    """(entries,), above 0 where they count."""

    def dense(self, m: int) -> NDArray[np.float32]:
        """(rows, m)."""
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        found = np.zeros((len(self.offsets) - 1, m), dtype=np.float32)
        on = self.value > 0
        found[rows[on], self.index[on]] = self.value[on]
        return found

    def by_latent(self, m: int) -> Latents:
        """The same entries latent by latent; those that are not above 0 are left out."""
        return Latents(*_compiled("transpose")(self.offsets, self.index, self.value, m))


@dataclass(frozen=True, eq=False)
class Latents:
    """Entries latent by latent: those of latent i stand at ``offsets[i]:offsets[i + 1]``."""

    offsets: NDArray[np.int64]
    row: NDArray[np.int32]
    value: NDArray[np.float32]


def top(before: torch.Tensor, k: int) -> Codes:
    """The k largest of each row of (rows, m) that are above 0; a place that is left over has the value 0."""
    nothing = np.zeros(len(before), dtype=np.float32)
    empty = np.zeros((len(before), 0), dtype=np.float32)
    return _kept(before.numpy(), k, nothing, (empty, empty, nothing), again=False)


def top_of_product(
    centred: torch.Tensor, encoder: torch.Tensor, bias: torch.Tensor, k: int, out: torch.Tensor
) -> Codes:
    """``top`` of ``centred @ encoder.T + bias``, the large product made in half the bits where the processor can.

    What bfloat16 may be wrong by is bounded for each row by the lengths of both sides (two roundings of 2^-9 each, by the
    inequality of Cauchy and Schwarz); every latent that this bound leaves among the k largest is computed again in full,
    so that the codes are those of the full product. ``out`` (rows, m) is memory to work in.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        torch.addmm(bias, centred, encoder.T, out=out)
    finally:
        torch.set_float32_matmul_precision(before)
    longest = _compiled("longest")(encoder.numpy())
    # Twice the bound, a little wider for the sums themselves: both the k-th and the one compared may be off.
    slack = centred.norm(dim=1) * float(2 * 1.05 * 2**-8 * longest)
    again = (centred.numpy(), encoder.numpy(), bias.numpy())
    return _kept(out.numpy(), k, slack.numpy(), again, again=True)


def _kept(
    before: NDArray[np.float32],
    k: int,
    slack: NDArray[np.float32],
    product: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    *,
    again: bool,
) -> Codes:
    rows = len(before)
    index = np.empty((rows, k), dtype=np.int32)
    value = np.empty((rows, k), dtype=np.float32)
    _compiled("top")(before, slack, *product, again, index, value)
    return Codes(np.arange(0, rows * k + 1, k, dtype=np.int64), index.reshape(-1), value.reshape(-1))


def top_of_batch(before: torch.Tensor, count: int) -> Codes:
    """The ``count`` largest of all of (rows, m) that are above 0 (BatchTopK); fewer where fewer are."""
    array = before.numpy()
    cut = _cut(array, count)
    return Codes(*_compiled("above")(array, cut))


def _cut(array: NDArray[np.float32], count: int) -> np.float32:
    """The value above which at most ``count`` entries lie, and at least 0."""
    found = _compiled("largest")(array, count)
    if len(found) <= count:
        return np.float32(0)
    place = len(found) - count - 1
    return max(np.float32(np.partition(found, place)[place]), np.float32(0))


def decoded(codes: Codes, decoder: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """``out`` (rows, n), to which what the codes write with the decoder (m, n) is added."""
    _compiled("decode")(codes.offsets, codes.index, codes.value, decoder.numpy(), out.numpy())
    return out


def gradients(
    latents: Latents,
    error: torch.Tensor,
    inputs: torch.Tensor,
    decoder: torch.Tensor,
    into: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    add: bool = False,
    tangent: bool = False,
) -> None:
    """Gradients of the decoder (m, n), the encoder (m, n) and its bias (m,), written or added ``into`` three tensors.

    ``error`` (rows, n) is the loss's gradient with respect to the reconstruction and ``inputs`` (rows, n) what the encoder
    was given. ``tangent`` takes out the part of a decoder row's gradient along the row, which is of length 1.
    """
    _compiled("gradients")(
        latents.offsets,
        latents.row,
        latents.value,
        error.numpy(),
        inputs.numpy(),
        decoder.numpy(),
        *(one.numpy() for one in into),
        add,
        tangent,
    )


def normalised(decoder: torch.Tensor) -> None:
    """Every row (m, n) brought to length 1, in place."""
    _compiled("normalise")(decoder.numpy())


@cache
def _compiled(name: str) -> Callable[..., Any]:
    """A kernel as numba compiles it on its first call; kept on disk for the next process where there is a place."""
    import numba

    kernel: Any = {
        "top": _top,
        "longest": _longest,
        "largest": _largest,
        "above": _above,
        "transpose": _transpose,
        "decode": _decode,
        "gradients": _gradients,
        "normalise": _normalise,
    }[name]
    # Sums may be taken in any order, so that they fill the vector registers; NaN is looked for in the loss.
    options: dict[str, Any] = {"nogil": True, "fastmath": True}
    try:
        made: Callable[..., Any] = numba.njit(kernel, cache=True, **options)
    except RuntimeError:  # nowhere to keep the compiled code: compile again in each process
        made = numba.njit(kernel, **options)
    return made


def _longest(encoder: Any) -> Any:
    m, n = encoder.shape
    most = np.float32(0)
    for i in range(m):
        square = np.float32(0)
        for j in range(n):
            square += encoder[i, j] * encoder[i, j]
        most = max(most, square)
    return np.sqrt(most)


def _top(  # noqa: C901, PLR0912  # one row, from its blocks to its k largest
    before: Any, slack: Any, centred: Any, encoder: Any, bias: Any, again: Any, index: Any, value: Any
) -> None:
    rows, m = before.shape
    n, k = encoder.shape[1], index.shape[1]
    # Block b holds the columns b, b + blocks, b + 2 blocks ...: many blocks are compared at once.
    blocks = (m + _BLOCK - 1) // _BLOCK
    most = np.zeros(blocks, dtype=np.float32)
    spare = np.zeros(m, dtype=np.float32)
    place = np.zeros(m, dtype=np.int32)
    for r in range(rows):
        row, given = before[r], centred[r]
        for b in range(blocks):
            most[b] = 0
        start = 0
        while start < m:
            for b in range(min(blocks, m - start)):
                most[b] = max(most[b], row[start + b])
            start += blocks
        # k blocks hold something that large, so that nothing smaller is kept.
        least = np.partition(most, blocks - k)[blocks - k] if blocks > k else np.float32(0)
        least -= slack[r]
        found = 0
        for b in range(blocks):
            if most[b] >= least:
                for c in range(b, m, blocks):
                    if row[c] >= least:
                        spare[found] = row[c]
                        place[found] = c
                        found += 1
        if again:
            if found > k:
                least = np.partition(spare[:found], found - k)[found - k] - slack[r]
            likely, found = found, 0
            for e in range(likely):
                if spare[e] >= least:
                    latent = encoder[place[e]]
                    full = np.float32(0)
                    for j in range(n):
                        full += given[j] * latent[j]
                    spare[found] = full + bias[place[e]]
                    place[found] = place[e]
                    found += 1
        cut = np.partition(spare[:found], found - k)[found - k] if found > k else np.float32(0)
        ties = k
        for e in range(found):
            if spare[e] > cut:
                ties -= 1
        at = 0
        for e in range(found):
            if spare[e] > 0 and (spare[e] > cut or (spare[e] == cut and ties > 0)):
                if spare[e] == cut:
                    ties -= 1
                index[r, at] = place[e]
                value[r, at] = spare[e]
                at += 1
        for e in range(at, k):
            index[r, e] = 0
            value[r, e] = 0


def _largest(before: Any, count: Any) -> Any:
    # A bin for each of the first 16 bits of a float above 0, which are in the order of the floats.
    bins = np.zeros(32768, dtype=np.int64)
    flat = before.reshape(-1)
    bits = flat.view(np.int32)
    for c in range(len(flat)):
        if bits[c] > 0:
            bins[bits[c] >> 16] += 1
    total = 0
    low = 32767
    while low > 0 and total <= count:
        total += bins[low]
        low -= 1
    found = np.empty(total, dtype=np.float32)
    place = 0
    for c in range(len(flat)):
        if bits[c] > 0 and (bits[c] >> 16) > low:
            found[place] = flat[c]
            place += 1
    return found[:place]


def _above(before: Any, cut: Any) -> Any:
    rows, m = before.shape
    offsets = np.zeros(rows + 1, dtype=np.int64)
    for r in range(rows):
        fired = 0
        for c in range(m):
            fired += before[r, c] > cut
        offsets[r + 1] = offsets[r] + fired
    index = np.empty(offsets[rows], dtype=np.int32)
    value = np.empty(offsets[rows], dtype=np.float32)
    for r in range(rows):
        place = offsets[r]
        for c in range(m):
            if before[r, c] > cut:
                index[place] = c
                value[place] = before[r, c]
                place += 1
    return offsets, index, value


def _transpose(offsets: Any, index: Any, value: Any, m: Any) -> Any:
    starts = np.zeros(m + 1, dtype=np.int64)
    for e in range(len(index)):
        if value[e] > 0:
            starts[index[e] + 1] += 1
    for i in range(m):
        starts[i + 1] += starts[i]
    place = starts[:-1].copy()
    row = np.empty(starts[m], dtype=np.int32)
    by_latent = np.empty(starts[m], dtype=np.float32)
    for r in range(len(offsets) - 1):
        for e in range(offsets[r], offsets[r + 1]):
            if value[e] > 0:
                at = place[index[e]]
                row[at] = r
                by_latent[at] = value[e]
                place[index[e]] = at + 1
    return starts, row, by_latent


def _decode(offsets: Any, index: Any, value: Any, decoder: Any, out: Any) -> None:
    n = out.shape[1]
    for r in range(len(offsets) - 1):
        row = out[r]
        e, end = offsets[r], offsets[r + 1]
        # Four at a time: the sum is fetched and put back a quarter as often.
        while e + 4 <= end:
            a, b, c, d = value[e], value[e + 1], value[e + 2], value[e + 3]
            first, second = decoder[index[e]], decoder[index[e + 1]]
            third, fourth = decoder[index[e + 2]], decoder[index[e + 3]]
            for j in range(n):
                row[j] += a * first[j] + b * second[j] + c * third[j] + d * fourth[j]
            e += 4
        while e < end:
            a, first = value[e], decoder[index[e]]
            for j in range(n):
                row[j] += a * first[j]
            e += 1


def _gradients(
    offsets: Any,
    row: Any,
    value: Any,
    error: Any,
    inputs: Any,
    decoder: Any,
    to_decoder: Any,
    to_encoder: Any,
    to_bias: Any,
    add: Any,
    tangent: Any,
) -> None:
    m, n = decoder.shape
    for i in range(m):
        if not add:
            to_bias[i] = 0
            for j in range(n):
                to_decoder[i, j] = 0
                to_encoder[i, j] = 0
        for e in range(offsets[i], offsets[i + 1]):
            r, z = row[e], value[e]
            slope = np.float32(0)
            for j in range(n):
                slope += error[r, j] * decoder[i, j]
            to_bias[i] += slope
            for j in range(n):
                to_decoder[i, j] += z * error[r, j]
                to_encoder[i, j] += slope * inputs[r, j]
        if tangent:
            along = np.float32(0)
            for j in range(n):
                along += to_decoder[i, j] * decoder[i, j]
            for j in range(n):
                to_decoder[i, j] -= along * decoder[i, j]


def _normalise(decoder: Any) -> None:
    m, n = decoder.shape
    for i in range(m):
        square = np.float32(0)
        for j in range(n):
            square += decoder[i, j] * decoder[i, j]
        if square > 0:
            scale = np.float32(1) / np.sqrt(square)
            for j in range(n):
                decoder[i, j] *= scale
