"""Pictures cut into parts: superpixels by quickshift or SLIC, or the cells of a grid."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Segmentation = Literal["slic", "quickshift"]

SEGMENTS = 50
"""About how many parts SLIC and the grid make of a picture."""


def superpixels(picture: NDArray[np.uint8], how: Segmentation, segments: int = SEGMENTS) -> NDArray[np.int64]:
    """The part each pixel (height, width) is in, counted from 0.

    ``slic`` makes about ``segments`` parts (Achanta et al. 2012, IEEE TPAMI 34:2274). ``quickshift`` (Vedaldi and Soatto
    2008, ECCV) has the settings of lime and makes as many as it finds, one of a small picture.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a library plans for its next versions
        from skimage.segmentation import quickshift, slic

        colours = in_colour(picture)
        if how == "quickshift":
            found = quickshift(colours, kernel_size=4, max_dist=200, ratio=0.2)
        else:
            found = slic(colours, n_segments=segments, compactness=10, start_label=0, channel_axis=-1)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int64)


def grid(height: int, width: int, segments: int = SEGMENTS) -> NDArray[np.int64]:
    """The cell each pixel (height, width) is in, of about ``segments`` cells that are nearly square."""
    down = min(max(round((segments * height / width) ** 0.5), 1), height)
    across = min(max(round(segments / down), 1), width)
    rows, columns = np.arange(height)[:, None] * down // height, np.arange(width)[None, :] * across // width
    return np.asarray(rows * across + columns)


def in_colour(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three channels: the first three where there are so many, else the first one thrice."""
    return picture[..., :3] if picture.shape[-1] >= 3 else np.repeat(picture[..., :1], 3, axis=-1)


def mean_colours(picture: NDArray[np.uint8], parts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The picture with every part in its own mean colour, cut to whole numbers as lime cuts it."""
    flat = parts.ravel()
    size = np.bincount(flat)
    means = np.stack(
        [np.bincount(flat, weights=picture[..., c].ravel()) / size for c in range(picture.shape[-1])], axis=-1
    )
    return np.asarray(means.astype(np.uint8)[parts])


def blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture averaged over a square window of a quarter of its shorter side, mirrored at the edges."""
    from scipy.ndimage import uniform_filter

    side = max(min(picture.shape[:2]) // 4, 3)
    planes = [
        uniform_filter(picture[..., c].astype(np.float64), side, mode="mirror")
        for c in range(picture.shape[-1])
    ]
    return np.floor(np.stack(planes, axis=-1) + 0.5).clip(0, 255).astype(np.uint8)
