"""Mangled data and model files: `python -m benchmarks.fuzz_data [--files 500] [--seed N]`.

Each file is a good one with bytes cut, flipped, doubled or exchanged, or a table with something odd in it. Every
one must load or be refused in located lines (SpecError, UnavailableError): anything else raised is printed with
its seed, and the exit code is 1. The seed is drawn at run time and printed. A library that would end the
process does so here too, in sight.
"""

from __future__ import annotations

import argparse
import io
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders import load
from xai_audit.spec import Spec

FORMATS = ("csv", "parquet", "arrow", "feather", "jsonl", "npz")
MODELS = ("skops", "json", "ubj", "txt")


def base(rng: np.random.Generator, rows: int = 40) -> pd.DataFrame:
    """A small table with every kind of column."""
    return pd.DataFrame(
        {
            "s": np.round(rng.random(rows), 3),
            "age": rng.integers(18, 80, rows),
            "city": rng.choice(["Αθήνα", "x, y", 'a "b"', ""], rows),
            "day": rng.choice(["2024-02-29", "1999-12-31"], rows),
            "flag": rng.random(rows) < 0.5,
            "y": rng.integers(0, 2, rows),
        }
    )


def written(frame: pd.DataFrame, format_: str) -> bytes:
    """The table in one format."""
    import pyarrow as pa
    from pyarrow import feather, ipc, parquet

    buffer = io.BytesIO()
    if format_ == "csv":
        return frame.to_csv(index=False).encode()
    if format_ == "jsonl":
        return frame.to_json(orient="records", lines=True, force_ascii=False).encode()
    if format_ == "npz":
        arrays = {str(name): frame[name].infer_objects().to_numpy() for name in frame}
        plain: dict[str, Any] = {k: v if v.dtype.kind in "biuf" else v.astype(str) for k, v in arrays.items()}
        np.savez(buffer, **plain)
        return buffer.getvalue()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if format_ == "parquet":
        parquet.write_table(table, buffer)
    elif format_ == "feather":
        feather.write_feather(table, buffer, compression="uncompressed")
    else:
        with ipc.new_stream(buffer, table.schema) as stream:
            stream.write_table(table)
    return buffer.getvalue()


ODD = (
    "",
    "NaN",
    "inf",
    "-1e999",
    "0x1f",
    "1,5",
    "2024-13-45",
    "\u202eabc",
    '"',
    "'; --",
    "=1+1",
    "9" * 400,
    "\ud7ff",
    "Ω" * 5000,
)


def odd_cells(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The table with odd cells, columns and rows."""
    frame = frame.astype(object)
    for _ in range(int(rng.integers(1, 4))):
        choice = rng.integers(0, 7)
        column = str(rng.choice(frame.columns))
        if choice <= 3:
            frame.loc[rng.integers(0, len(frame)), column] = str(rng.choice(ODD))
        elif choice == 4:
            frame = frame.rename(columns={column: str(rng.choice([*ODD, "y", "s"]))})
        elif choice == 5:
            frame = frame.drop(columns=column) if frame.shape[1] > 1 else frame
        else:
            frame = frame.head(int(rng.integers(0, 3)))
        if not len(frame) or frame.columns.has_duplicates:
            break
    return frame


def mangled(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with bytes flipped, cut, doubled or exchanged."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        if not data:
            break
        place, length = int(rng.integers(0, len(data))), int(rng.integers(1, 40))
        kind = rng.integers(0, 6)
        if kind == 0:
            data[place] = int(rng.integers(0, 256))
        elif kind == 1:
            del data[place : place + length]
        elif kind == 2:
            data[place:place] = data[place : place + length]
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            data[place:place] = bytes(rng.integers(0, 256, length, dtype=np.uint8))
        else:
            data[place : place + 1] = rng.choice(
                [b",", b'"', b"\n", b"\0", b"\r", b";", b"\xff", b"{", b"\\"]
            )
    return bytes(data)


def models(folder: Path) -> dict[str, bytes]:
    """One good model file of each format that is read without trust."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import GradientBoostingClassifier
    from skops import io as skops

    frame = base(np.random.default_rng(0), 200)
    skops.dump(GradientBoostingClassifier(n_estimators=3).fit(frame[["age"]], frame.y), folder / "good.skops")
    booster = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(frame[["age"]], frame.y)
    booster.save_model(folder / "good.json")
    booster.save_model(folder / "good.ubj")
    light = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(frame[["age"]], frame.y)
    light.booster_.save_model(folder / "good.txt")
    return {name: (folder / f"good.{name}").read_bytes() for name in MODELS}


def one(seed: int, folder: Path, good: dict[str, bytes]) -> str:
    """Load one mangled file: ``loaded``, ``refused``, or what was raised instead."""
    rng = np.random.default_rng(seed)
    model: dict[str, object] = {"format": "predictions", "score": "s"}
    test = folder / f"t.{rng.choice(FORMATS)}"
    frame = base(rng)
    if good and rng.random() < 0.25:
        name = str(rng.choice(list(good)))
        (folder / f"m.{name}").write_bytes(mangled(good[name], rng))
        model = {"path": f"m.{name}"}
        test.write_bytes(written(frame, test.suffix[1:]))
    elif rng.random() < 0.5:
        try:
            test.write_bytes(written(odd_cells(frame, rng), test.suffix[1:]))
        except Exception:  # noqa: BLE001 - a table that the writing library refuses; its text is mangled instead
            test.write_bytes(mangled(written(frame, test.suffix[1:]), rng))
    else:
        test.write_bytes(mangled(written(frame, test.suffix[1:]), rng))
    data = {"test": {"path": test.name}, "target": "y", "sensitive": ["city", "flag"]}
    spec = Spec.model_validate(
        {"system": {"name": "fuzz"}, "model": model, "data": data, "file": str(folder / "audit.yaml")}
    )
    try:
        load(spec)
    except (SpecError, UnavailableError) as error:
        lines = str(error).splitlines()
        return "refused" if lines and all(lines) else "refused without a reason"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "loaded"


def run(seeds: range, told: Callable[[str], None] = print) -> Counter[str]:
    """Load a mangled file for each seed; what is neither loaded nor refused is told with its seed."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        good = models(Path(place))
        for seed in seeds:
            outcome = one(seed, Path(place), good)
            if outcome not in ("loaded", "refused"):
                told(f"seed {seed}: {outcome}")
                outcome = "fault"
            counts[outcome] += 1
    return counts


def main() -> int:
    """Print how many files were loaded and refused; 1 where one was neither."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    first = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    start = time.monotonic()
    counts = run(range(first, first + asked.files))
    print(
        f"{asked.files} mangled files from seed {first}: {counts['loaded']} loaded, {counts['refused']} refused "
        f"in located lines, {counts['fault']} faults, {time.monotonic() - start:.0f} s"
    )
    return 1 if counts["fault"] or sum(counts.values()) != asked.files else 0


if __name__ == "__main__":
    sys.exit(main())
