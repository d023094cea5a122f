"""Cut pictures of three ground surfaces, train a small network on them, and plant a shortcut for the audit to find.

The photographs (CC0) come with scikit-image. Most training pictures of gravel carry a small stamp in one corner, as
if one camera had taken them; in the audited pictures the stamp says nothing about the surface.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import numpy as np
import skimage.data
import torch
from net import build
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

HERE = Path(__file__).parent
SIDE = 32
CLASSES = ("brick", "grass", "gravel")
SPLIT = 320
"""Columns left of this are for training, right of it for the audit: no pixel is in both."""
STAMPED = {"train": {"brick": 0.03, "grass": 0.03, "gravel": 0.8}, "test": dict.fromkeys(CLASSES, 0.4)}
OTHERS = ("camera", "coins", "moon", "page", "text", "clock", "chelsea", "coffee", "astronaut", "rocket")
"""Photographs of other things, for the pool of random pictures that concepts are compared with."""

Picture = NDArray[np.uint8]


def tiles(photo: Picture, left: int, right: int) -> list[Picture]:
    """Squares of SIDE pixels that do not overlap, between two columns."""
    rows = range(0, photo.shape[0] - SIDE + 1, SIDE)
    columns = range(left, right - SIDE + 1, SIDE)
    return [photo[top : top + SIDE, start : start + SIDE] for top in rows for start in columns]


def dusk(picture: Picture, rng: np.random.Generator) -> Picture:
    """The same picture with less light and more noise."""
    dim = picture * 0.4 + rng.normal(0, 12, picture.shape)
    return np.clip(np.rint(dim), 0, 255).astype(np.uint8)


def stamped(picture: Picture) -> Picture:
    """The same picture with a checkered stamp of 6 by 6 pixels in the lower right corner."""
    marked = picture.copy()
    marked[-7:-1, -7:-1] = np.where(np.indices((6, 6)).sum(axis=0) // 2 % 2, 255, 0)
    return marked


def pictures(part: str, seed: int) -> list[tuple[Picture, dict[str, str]]]:
    """The pictures of one part with what is known of each: surface, light, stamp, and the square it was cut from."""
    rng = np.random.default_rng(seed)
    found = []
    for surface in CLASSES:
        photo = np.asarray(getattr(skimage.data, surface)(), dtype=np.uint8)
        left, right = (0, SPLIT) if part == "train" else (SPLIT, photo.shape[1])
        for place, tile in enumerate(tiles(photo, left, right)):
            for turn in (0, 1) if part == "train" else (0,):
                picture = np.flip(tile, axis=turn) if turn or rng.random() < 0.5 else tile
                light = "dusk" if rng.random() < 0.3 else "day"
                picture = dusk(picture, rng) if light == "dusk" else picture
                stamp = rng.random() < STAMPED[part][surface]
                known = {"surface": surface, "light": light, "stamp": "yes" if stamp else "no"}
                found.append(
                    (stamped(picture) if stamp else picture, {**known, "square": f"{surface}-{place}"})
                )
    return found


def write(folder: Path, found: list[tuple[Picture, dict[str, str]]]) -> None:
    """Pictures as PNG files and labels.csv beside them."""
    folder.mkdir(parents=True)
    with (folder.parent / f"{folder.name}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["file", *found[0][1]])
        writer.writeheader()
        for number, (picture, known) in enumerate(found):
            name = f"{number:04d}.png"
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / name)
            writer.writerow({"file": name, **known})


def grey(name: str) -> Picture:
    """One of the other photographs in grey."""
    return np.asarray(Image.fromarray(getattr(skimage.data, name)()).convert("L"))


def concepts(rng: np.random.Generator) -> None:
    """Examples of two concepts and a pool of random pictures, none of them of a surface."""
    pool = [tile for name in OTHERS for tile in tiles(grey(name), 0, grey(name).shape[1])]
    # A flat tile (sky, paper) is an example of nothing.
    pool = [tile for tile in pool if tile.std() > 8]
    order = rng.permutation(len(pool))
    examples, rest = [pool[i] for i in order[:120]], [pool[i] for i in order[120:1320]]
    striped = []
    for picture in examples[60:]:
        period, phase = rng.integers(4, 9), rng.integers(0, 8)
        across = (np.arange(SIDE) + phase) // (period // 2) % 2 * int(
            rng.integers(80, 180)
        ) + picture.mean() / 2
        lines = np.tile(across, (SIDE, 1))
        lines = lines.T if rng.random() < 0.5 else lines
        striped.append(np.clip(lines + rng.normal(0, 6, lines.shape), 0, 255).astype(np.uint8))
    sets = {"stamp": [stamped(one) for one in examples[:60]], "stripes": striped, "pool": rest}
    for name, found in sets.items():
        folder = HERE / "sets" / name
        folder.mkdir(parents=True)
        for number, picture in enumerate(found):
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{number:04d}.png")


def train(found: list[tuple[Picture, dict[str, str]]]) -> torch.nn.Module:
    """A network trained for 12 epochs with Adam; its own generator, so that pictures and weights share no stream."""
    torch.manual_seed(20261123)
    torch.set_num_threads(1)
    x = torch.from_numpy(np.stack([picture for picture, _ in found]).astype(np.float32) / 255)[:, None]
    x = (x - 0.5) / 0.25
    y = torch.tensor([CLASSES.index(known["surface"]) for _, known in found])
    network = build()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-4)
    for _ in range(12):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
    return network


def main() -> None:
    """Write pictures, concepts, weights and their digest (prepared.yaml) beside this file."""
    for name in ("train", "test", "sets"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    training = pictures("train", seed=1)
    write(HERE / "train", training)
    write(HERE / "test", pictures("test", seed=2))
    concepts(np.random.default_rng(3))
    save_file(train(training).state_dict(), HERE / "weights.safetensors")
    digest = hashlib.sha256()
    for name in ("weights.safetensors", "net.py"):
        digest.update(hashlib.sha256((HERE / name).read_bytes()).digest())
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {digest.hexdigest()}}}\n")


if __name__ == "__main__":
    main()
