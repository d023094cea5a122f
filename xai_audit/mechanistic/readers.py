"""How rows of a table, pictures and texts become what a network takes; picklable, the same bits for the same row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TableReader:
    """Numbers in the order of the columns, as float32 of shape (rows, columns)."""

    columns: tuple[str, ...]
    kind: ClassVar[str] = "table"

    def batch(self, frame: pd.DataFrame) -> torch.Tensor:
        """All rows as one tensor."""
        import torch

        return torch.from_numpy(np.array(frame[list(self.columns)], dtype=np.float32))


@dataclass(frozen=True)
class ImageReader:
    """Pictures (height, width, channels) of uint8, scaled to [0, 1], resized and standardised: (rows, channels, h, w)."""

    column: str = "image"
    size: tuple[int, int] | None = None
    """Height and width; None leaves pictures as they are, which must then be of one size."""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    kind: ClassVar[str] = "image"

    def batch(self, frame: pd.DataFrame) -> torch.Tensor:
        """All rows as one tensor of float32; MethodError where sizes differ and none is given."""
        import torch

        return torch.from_numpy(self.array(frame))

    def array(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """All rows as one array of float32; MethodError where sizes differ and none is given."""
        pictures = [self._fitted(picture) for picture in frame[self.column]]
        shapes = {picture.shape for picture in pictures}
        if len(shapes) > 1:
            raise MethodError(
                f"pictures have different shapes {sorted(shapes)[:3]}; give preprocess: {{size: ...}}"
            )
        values: NDArray[Any] = np.stack(pictures).astype(np.float32) / np.float32(255)
        for statistic, name in ((self.mean, "mean"), (self.std, "std")):
            if statistic is not None and len(statistic) not in (1, values.shape[-1]):
                raise MethodError(
                    f"preprocess.{name} has {len(statistic)} numbers; the pictures have {values.shape[-1]} channels"
                )
        if self.mean is not None:
            values = values - np.asarray(self.mean, dtype=np.float32)
        if self.std is not None:
            values = values / np.asarray(self.std, dtype=np.float32)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=np.float32)

    def _fitted(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = picture[..., None] if picture.ndim == 2 else picture
        if self.channels is not None and picture.shape[-1] != self.channels:
            # A fourth channel is transparency.
            colour = picture[..., :3] if picture.shape[-1] > 2 else np.repeat(picture[..., :1], 3, axis=-1)
            picture = colour if self.channels == 3 else _grey(colour)
        if self.size is None or picture.shape[:2] == tuple(self.size):
            return picture
        from PIL import Image

        height, width = self.size
        planes = [
            np.asarray(Image.fromarray(picture[..., c]).resize((width, height), Image.Resampling.BILINEAR))
            for c in range(picture.shape[-1])
        ]
        return np.stack(planes, axis=-1)


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # ITU-R BT.601 luma, as Pillow's own conversion to grey.
    weights = np.asarray([299, 587, 114], dtype=np.int64)
    return ((picture.astype(np.int64) @ weights + 500) // 1000).astype(np.uint8)[..., None]


@dataclass(eq=False)
class TextReader:
    """Texts as token ids and attention mask, padded on the right to the longest of the batch.

    ``tokenizer`` holds the text of a tokenizer.json.
    """

    column: str
    tokenizer: str = field(repr=False)
    max_length: int | None = None
    names: tuple[str, ...] = ("input_ids", "attention_mask")
    """The network's arguments for ids and, where it takes one, mask."""
    pad: int = 0
    full: bool = False
    """Pad to ``max_length`` whatever else is in the batch: for a network that takes no mask and so sees the padding."""
    kind: ClassVar[str] = "text"
    _made: Any = field(default=None, repr=False)

    def batch(self, frame: pd.DataFrame) -> dict[str, torch.Tensor]:
        """All rows as ids and mask of int64, (rows, longest)."""
        import torch

        return {name: torch.from_numpy(part) for name, part in self.arrays(frame).items()}

    def arrays(self, frame: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
        """The same as arrays."""
        found = self.encodings([_text(cell) for cell in frame[self.column]])
        longest = max((len(one.ids) for one in found), default=1)
        if self.full and self.max_length is not None:
            longest = self.max_length
        ids = np.full((len(found), max(longest, 1)), self.pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(found):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = one.attention_mask
        return dict(zip(self.names, (ids, mask), strict=False))

    def encodings(self, texts: Sequence[str]) -> list[Any]:
        """One encoding a text: ``ids``, ``tokens``, ``offsets`` into the text, ``special_tokens_mask``."""
        return list(self._tokenizer().encode_batch(list(texts)))

    def lengths(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """How many tokens each row has, after cutting."""
        found = self.encodings([_text(cell) for cell in frame[self.column]])
        return np.array([len(one.ids) for one in found], dtype=np.int64)

    def cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than ``max_length``."""
        return sum(bool(one.overflowing) for one in self.encodings(texts))

    def _tokenizer(self) -> Any:
        if self._made is None:
            from tokenizers import Tokenizer

            made = Tokenizer.from_str(self.tokenizer)
            made.no_padding()
            made.no_truncation()
            if self.max_length is not None:
                made.enable_truncation(self.max_length)
            self._made = made
        return self._made

    def __getstate__(self) -> dict[str, Any]:
        """Without the tokenizer itself, which is made anew."""
        return {**self.__dict__, "_made": None}


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else ""
