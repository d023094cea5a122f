"""A folder of units to search: how each fires, on what, how well it tells predicates, and what it does.

Tables are Arrow files, mapped into memory and not read as a whole, so that a question to 100,000 units takes
milliseconds. ``building`` writes such a folder.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.errors import MethodError, UnavailableError
from xai_audit.mechanistic.probing.latents import Latents
from xai_audit.mechanistic.probing.scan import adjusted, aurocs, centred_ranks, largest
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SCHEMA = "xai-audit/neurons/1"
PIECE = 4096
"""Units contrasted at once."""
NEAREST = 200
"""Units compared in full, of those that are near by their sketches."""
DICTIONARIES = "dictionaries"
_DICTIONARY = re.compile(rf"{DICTIONARIES}/\d+/(?:[a-z_]+\.[a-z]+)?", re.ASCII)
FILES = ("units.arrow", "scores.arrow", "rows.arrow", "profiles.npy", "sketch.npy")


@dataclass(frozen=True)
class Hit:
    """One unit that answers a question."""

    site: str
    unit: int
    score: float
    """What it was ranked by; ``Answer.score`` says what that is."""
    p: float | None
    """Adjusted over every unit of the store, and every predicate where one was named."""
    auroc: float | None
    density: float
    direct: float | None
    ablation: float | None
    contexts: tuple[int, ...]
    """Rows on which it is largest."""


@dataclass(frozen=True)
class Answer:
    """Units in order."""

    score: str
    hits: tuple[Hit, ...]
    units: int
    """How many were searched."""


@dataclass(frozen=True, eq=False)
class Store:
    """An open store."""

    folder: Path
    about: dict[str, Any]
    _units: Any
    _scores: Any
    _profiles: Any
    _sketch: Any

    @classmethod
    def open(cls, folder: Path) -> Store:
        """A store's folder; UnavailableError where there is none that can be read."""
        import pyarrow as pa

        try:
            about = json.loads((folder / "store.json").read_text(encoding="utf-8"))
            if not isinstance(about, dict) or about.get("schema") != SCHEMA:
                raise UnavailableError(f"{folder}: store.json is not of schema {SCHEMA}")
            tables = [
                pa.ipc.open_file(pa.memory_map(str(folder / name))).read_all()
                for name in ("units.arrow", "scores.arrow")
            ]
            arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in FILES[3:]]
        except FileNotFoundError as error:
            missing = Path(str(error.filename)).name if error.filename else "a file of it"
            raise UnavailableError(
                f"{folder}: there is no neuron store here ({missing} is missing); xai-audit neurons build writes one"
            ) from None
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise UnavailableError(f"{folder}: the neuron store cannot be read: {reason}") from None
        counts = {
            len(tables[0]),
            *(len(one) for one in arrays),
            *([len(tables[1])] if tables[1].num_columns else []),
        }
        if len(counts) > 1:
            raise UnavailableError(f"{folder}: the files of the neuron store hold different numbers of units")
        return cls(folder, about, *tables, *arrays)

    @property
    def predicates(self) -> list[str]:
        """The predicates that every unit has a score on."""
        return [str(one["name"]) for one in self.about["predicates"]]

    def dictionaries(self) -> dict[str, Latents]:
        """The dictionaries that the store keeps, by the name of their units. UnavailableError where one is broken."""
        from xai_audit.mechanistic.dictionaries import saelens

        found = {}
        for one in self.about["sites"]:
            if "dictionary" not in one:
                continue
            if not _DICTIONARY.fullmatch(f"{one['dictionary']}/"):
                raise UnavailableError(f"{self.folder}: store.json names a dictionary outside of the store")
            try:
                read = saelens.read(self.folder / one["dictionary"])
                found[str(one["site"])] = Latents(str(one["site"]), Site.parse(str(one["at"])), read)
            except MethodError as error:
                raise UnavailableError(str(error)) from None
        return found

    @property
    def sites(self) -> list[str]:
        """The sites, in the order of their units."""
        return [str(one["site"]) for one in self.about["sites"]]

    def __len__(self) -> int:
        return len(self._units)

    def rows(self, places: Sequence[int]) -> list[str]:
        """The rows of data at these places, as text."""
        import pyarrow as pa

        table = pa.ipc.open_file(pa.memory_map(str(self.folder / "rows.arrow"))).read_all()
        return [str(table["row"][int(place)]) for place in places]

    def damaged(self) -> list[str]:
        """The files whose content is not what was written."""
        told = self.about["files"]
        every = list(dict.fromkeys([*FILES, *(name for name in told if _DICTIONARY.fullmatch(name))]))
        return [
            name
            for name in every
            if not (self.folder / name).is_file() or digest.of_file(self.folder / name) != told.get(name)
        ]

    # -------------------------------------------------------------------------------------------------- questions
    def by_predicate(self, name: str, top: int = 10, site: str | None = None) -> Answer:
        """The units that tell a predicate best. UnavailableError where the store does not know it."""
        if name not in self.predicates:
            known = ", ".join(self.predicates) or "none"
            raise UnavailableError(f"{self.folder}: no predicate {name!r} in this store; there are: {known}")
        z = self._scores[f"z:{name}"].to_numpy()
        chosen = self._largest(np.abs(z), top, site)
        null = np.asarray(self.about["null"], dtype=np.float64)
        areas = self._scores[f"auroc:{name}"].to_numpy()
        return self._answer(
            f"area under the curve for {name}",
            chosen,
            areas[chosen],
            adjusted(z[chosen].astype(np.float64), null) if len(null) else None,
            areas[chosen],
        )

    def near(self, site: str, unit: int, top: int = 10) -> Answer:
        """The units whose activations go with those of one, either way, by correlation over the store's rows."""
        own = self.place(site, unit)
        rough = np.abs(np.asarray(self._sketch) @ np.asarray(self._sketch[own]))
        near = largest(rough, NEAREST + 1)
        near = near[near != own]
        exact = np.asarray(self._profiles[np.sort(near)], dtype=np.float32) @ np.asarray(
            self._profiles[own], dtype=np.float32
        )
        best = largest(np.abs(exact), top)
        return self._answer(f"correlation with {site}:{unit}", np.sort(near)[best], exact[best], None, None)

    def like(self, activations: NDArray[Any], top: int = 10, site: str | None = None) -> Answer:
        """The units that are most unusual on examples (examples, units), in standard deviations from their mean."""
        mean, sd = self._units["mean"].to_numpy(), self._units["sd"].to_numpy()
        found = self._checked(activations).mean(axis=0)
        away = np.where(sd > 0, (found - mean) / np.where(sd > 0, sd, 1), 0.0)
        chosen = self._largest(np.abs(away), top, site)
        return self._answer("standard deviations from the mean", chosen, away[chosen], None, None)

    def like_row(self, row: int, top: int = 10, site: str | None = None) -> Answer:
        """The same of a row of the store."""
        rows = int(self.about["rows"])
        if not 0 <= row < rows:
            raise UnavailableError(f"{self.folder}: there are rows 0 to {rows - 1}, no {row}")
        away = np.asarray(self._profiles[:, row], dtype=np.float64) * rows**0.5
        chosen = self._largest(np.abs(away), top, site)
        return self._answer("standard deviations from the mean", chosen, away[chosen], None, None)

    def contrast(
        self,
        positive: NDArray[Any],
        negative: NDArray[Any],
        top: int = 10,
        site: str | None = None,
        *,
        permutations: int = 99,
        rng: np.random.Generator | None = None,
    ) -> Answer:
        """The units that tell examples (examples, units) from others, by correlation with which they are.

        p is adjusted over every unit of the store by the maximum over permutations of the examples.
        """
        groups = self._checked(positive), self._checked(negative)
        label = np.arange(sum(map(len, groups))) < len(positive)
        draws = rng or np.random.default_rng(0)
        orders = [np.arange(len(label)), *(draws.permutation(len(label)) for _ in range(permutations))]
        target = label - label.mean()
        target = (target / np.sqrt((target**2).sum())).astype(np.float32)
        targets = np.stack([target[order] for order in orders])
        observed, maxima = np.empty(len(self), dtype=np.float32), np.zeros(permutations, dtype=np.float32)
        # A piece of the units at a time stays in the processor's cache.
        for start in range(0, len(self), PIECE):
            part = slice(start, start + PIECE)
            both = np.concatenate([one[:, part] for one in groups]).astype(np.float32, copy=False)
            both -= both.mean(axis=0)
            size = np.sqrt(np.einsum("ij,ij->j", both, both))
            found = targets @ both
            found /= np.where(size > 0, size, np.inf)
            observed[part] = found[0]
            if permutations:
                np.maximum(maxima, np.maximum(found[1:].max(axis=1), -found[1:].min(axis=1)), out=maxima)
        chosen = self._largest(np.abs(observed), top, site)
        both = np.concatenate([one[:, chosen] for one in groups])
        areas = aurocs(centred_ranks(both), label[:, None])[0]
        p = adjusted(observed[chosen].astype(np.float64), maxima.astype(np.float64))
        return self._answer("correlation with the contrast", chosen, observed[chosen], p, areas)

    def place(self, site: str, unit: int) -> int:
        """Where a unit stands in the store; UnavailableError where there is none."""
        start = 0
        for one in self.about["sites"]:
            if one["site"] == site:
                if not 0 <= unit < one["units"]:
                    raise UnavailableError(
                        f"{self.folder}: {site} has units 0 to {one['units'] - 1}, no {unit}"
                    )
                return int(start + unit)
            start += one["units"]
        raise UnavailableError(
            f"{self.folder}: no site {site!r} in this store; there are: {', '.join(self.sites)}"
        )

    def _checked(self, activations: NDArray[Any]) -> NDArray[Any]:
        if activations.ndim != 2 or activations.shape[1] != len(self):
            message = f"(examples, {len(self)} units) are asked, not {activations.shape}"
            raise ValueError(message)
        return activations

    def _largest(self, values: NDArray[Any], top: int, site: str | None) -> NDArray[np.int64]:
        if site is None:
            return largest(values, top)
        start = self.place(site, 0)
        width = next(one["units"] for one in self.about["sites"] if one["site"] == site)
        return start + largest(values[start : start + width], top)

    def _answer(
        self,
        score: str,
        chosen: NDArray[np.int64],
        values: NDArray[Any],
        p: NDArray[np.float64] | None,
        areas: NDArray[Any] | None,
    ) -> Answer:
        told = self._units.take(chosen).to_pylist()
        hits = tuple(
            Hit(
                site=one["site"],
                unit=one["unit"],
                score=float(values[place]),
                p=None if p is None else float(p[place]),
                auroc=None if areas is None else float(areas[place]),
                density=one["density"],
                direct=_number(one["direct"]),
                ablation=_number(one["ablation"]),
                contexts=tuple(one["contexts"]),
            )
            for place, one in enumerate(told)
        )
        return Answer(score, hits, len(self))


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
