"""A folder of units to search: how each fires, on what, how well it tells predicates, and what it does.

Tables are Arrow files, mapped into memory and not read as a whole, so that a question to 100,000 units takes
milliseconds. The folder holds rows of data, as evidence/ does: it is made readable by its owner alone, and is not
to be published.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.errors import MethodError, UnavailableError, UnwrittenError
from xai_audit.mechanistic.probing.latents import Latents
from xai_audit.mechanistic.probing.scan import Scan, adjusted, aurocs, centred_ranks, largest
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SCHEMA = "xai-audit/neurons/1"
CONTEXTS = 8
"""Rows kept of each unit: those on which it is largest."""
SKETCH = 128
"""Numbers that stand for a unit's activations when neighbours are sought; the nearest are then compared in full."""
PIECE = 4096
"""Units contrasted at once."""
NEAREST = 200
"""Units compared in full."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
DICTIONARIES = "dictionaries"
_DICTIONARY = re.compile(rf"{DICTIONARIES}/\d+/(?:[a-z_]+\.[a-z]+)?", re.ASCII)
FILES = ("units.arrow", "scores.arrow", "rows.arrow", "profiles.npy", "sketch.npy")


@dataclass(frozen=True, eq=False)
class Bank:
    """The units of one site, or the features of one dictionary."""

    site: str
    activations: NDArray[np.float32]
    """(rows, units)."""
    direct: NDArray[np.float64] | None = None
    """(units,): the effect of holding each at its mean on the output, to first order."""
    ablation: NDArray[np.float64] | None = None
    """(units,): the same, exactly, on the score; nan where it was not asked."""
    latents: Latents | None = None
    """The dictionary whose latents these units are, which the store keeps; ``site`` is then its name here."""


@dataclass(frozen=True, eq=False)
class Scores:
    """How well all units tell predicates, on some rows."""

    names: tuple[str, ...]
    scan: Scan


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


def build(
    folder: Path,
    banks: Sequence[Bank],
    scores: Sequence[Scores],
    rows: Sequence[str],
    about: Mapping[str, Any],
    rng: np.random.Generator,
) -> None:
    """Write a store; every bank holds the same rows. What was a store there is replaced.

    UnavailableError where the folder holds something else, UnwrittenError where it cannot be written.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "store.json").is_file():
        raise UnavailableError(f"{folder}: there is something else in this folder, and it is kept")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        files = _written(part, banks, scores, rows, rng)
        content = {
            "schema": SCHEMA,
            **about,
            "sites": [_site(one, place) for place, one in enumerate(banks)],
            "rows": len(rows),
            "predicates": [
                {"name": name, "positives": int(one.scan.positives[place])}
                for one in scores
                for place, name in enumerate(one.names)
            ],
            "null": [float(value) for value in _null(scores)],
            "files": files,
        }
        (part / "store.json").write_text(
            json.dumps(content, sort_keys=True, indent=1) + "\n", encoding="utf-8"
        )
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise UnwrittenError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _site(bank: Bank, place: int) -> dict[str, Any]:
    told: dict[str, Any] = {"site": bank.site, "units": bank.activations.shape[1]}
    if bank.latents is not None:
        told |= {"at": str(bank.latents.site), "dictionary": f"{DICTIONARIES}/{place}"}
    return told


def _null(scores: Sequence[Scores]) -> NDArray[np.float64]:
    return np.max([one.scan.null for one in scores], axis=0) if scores else np.zeros(0)


def _written(
    part: Path,
    banks: Sequence[Bank],
    scores: Sequence[Scores],
    rows: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, str]:
    import pyarrow as pa

    units = [_told(bank) for bank in banks]
    columns = {name: np.concatenate([one[name] for one in units]) for name in units[0] if name != "site"}
    told = {
        "site": pa.array(np.concatenate([one["site"] for one in units])).dictionary_encode(),
        **{
            name: pa.FixedSizeListArray.from_arrays(pa.array(value.ravel()), value.shape[1])
            if value.ndim == 2
            else pa.array(value)
            for name, value in columns.items()
        },
    }
    kept = {}
    for one in scores:
        for place, name in enumerate(one.names):
            kept[f"auroc:{name}"] = one.scan.auroc[place].astype(np.float32)
            kept[f"z:{name}"] = one.scan.z[place].astype(np.float32)
    for name, table in (
        ("units.arrow", pa.table(told)),
        ("scores.arrow", pa.table(kept)),
        ("rows.arrow", pa.table({"row": pa.array(list(rows), pa.string())})),
    ):
        with pa.OSFile(str(part / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    profiles = np.concatenate([_profiles(bank.activations) for bank in banks])
    turn = rng.normal(size=(len(rows), SKETCH)).astype(np.float32) / np.float32(SKETCH**0.5)
    np.save(part / "profiles.npy", profiles.astype(np.float16))
    np.save(part / "sketch.npy", profiles @ turn)
    files = list(FILES)
    for place, bank in enumerate(banks):
        if bank.latents is not None:
            from xai_audit.mechanistic.dictionaries import saelens

            own = saelens.write(bank.latents.dictionary, part / DICTIONARIES / str(place))
            files += sorted(path.relative_to(part).as_posix() for path in own.iterdir())
    return {name: digest.of_file(part / name) for name in files}


def _told(bank: Bank) -> dict[str, Any]:
    """What the store says of each unit of a bank."""
    values = bank.activations
    units = values.shape[1]
    most = min(CONTEXTS, len(values))
    top = np.argsort(-values, axis=0, kind="stable")[:most].T
    made: dict[str, Any] = {
        "site": np.full(units, bank.site),
        "unit": np.arange(units, dtype=np.int32),
        "density": (values > 0).mean(axis=0).astype(np.float32),
        "mean": values.mean(axis=0, dtype=np.float64).astype(np.float32),
        "sd": values.std(axis=0, dtype=np.float64).astype(np.float32),
        "direct": _or_nan(bank.direct, units),
        "ablation": _or_nan(bank.ablation, units),
        "contexts": top.astype(np.int32),
    }
    for share, row in zip(QUANTILES, np.quantile(values, QUANTILES, axis=0), strict=True):
        made[f"q{round(100 * share)}"] = row.astype(np.float32)
    return made


def _or_nan(values: NDArray[np.float64] | None, units: int) -> NDArray[np.float32]:
    found = np.full(units, np.nan) if values is None else values
    return np.asarray(found, dtype=np.float32)


def _profiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Activations of each unit over rows, centred and of length 1: products are correlations. (units, rows)."""
    centred = values.T - values.mean(axis=0, dtype=np.float64).astype(np.float32)[:, None]
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64)).astype(np.float32)
    return np.asarray(centred / np.where(length > 0, length, 1)[:, None])


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
