"""Mangled data and model files: `python -m benchmarks.fuzz_data [--files 2000] [--seed N]`.

Each file is a good one with bytes cut, flipped, doubled or exchanged, or a table with something odd in it: tables and what
is joined to them, folders and arrays of pictures with their labels, texts, named sets, models of every format that opens
without pickle. Every one must load or be refused in located lines (SpecError, UnavailableError): anything else raised is
printed with its seed, and the exit code is 1. The seed is drawn at run time and printed. A library that ends the process
is told as such, with the seeds it was at.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders import load
from xai_audit.spec import Spec

FORMATS = ("csv", "parquet", "arrow", "feather", "jsonl", "npz")
MODELS = ("skops", "json", "ubj", "txt", "cbm", "onnx")
PICTURES = ("png", "jpeg", "webp", "gif", "bmp", "tiff")
NET = """\
import torch
def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
"""


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
    import catboost

    cat = catboost.CatBoostClassifier(
        iterations=3, thread_count=1, verbose=False, allow_writing_files=False, train_dir=None
    )
    cat.fit(frame[["age"]], frame.y).save_model(str(folder / "good.cbm"))
    (folder / "good.onnx").write_bytes(linear())
    return {name: (folder / f"good.{name}").read_bytes() for name in MODELS}


def linear() -> bytes:
    """A logistic regression on one column, as ONNX."""
    from onnx import TensorProto, helper

    node = helper.make_node(
        "LinearClassifier", ["X"], ["label", "p"], domain="ai.onnx.ml", coefficients=[-0.1, 0.1], intercepts=[4.0, -4.0],
        multi_class=0, post_transform="SOFTMAX", classlabels_ints=[0, 1],
    )  # fmt: skip
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 1])], outputs
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def tabular(rng: np.random.Generator, folder: Path, good: dict[str, bytes]) -> dict[str, Any]:
    """A table's spec: its file odd or mangled, or the table that is joined to it, or its model."""
    model: dict[str, object] = {"format": "predictions", "score": "s"}
    test = folder / f"t.{rng.choice(FORMATS)}"
    frame = base(rng)
    more: dict[str, Any] = {}
    if good and rng.random() < 0.3:
        name = str(rng.choice(list(good)))
        (folder / f"m.{name}").write_bytes(mangled(good[name], rng))
        model = {"path": f"m.{name}"}
        test.write_bytes(written(frame, test.suffix[1:]))
    elif rng.random() < 0.4:
        try:
            test.write_bytes(written(odd_cells(frame, rng), test.suffix[1:]))
        except Exception:  # noqa: BLE001 - a table that the writing library refuses; its text is mangled instead
            test.write_bytes(mangled(written(frame, test.suffix[1:]), rng))
    elif rng.random() < 0.3:
        # Groups in a table of their own, joined by a column.
        frame = frame.assign(key=range(len(frame)))
        test.write_bytes(written(frame, test.suffix[1:]))
        beside = folder / f"g.{rng.choice(FORMATS[:5])}"
        beside.write_bytes(
            mangled(written(frame[["key", "city"]].rename(columns={"city": "town"}), beside.suffix[1:]), rng)
        )
        more = {"id": "key", "sensitive": ["flag", {"column": "town", "file": beside.name, "key": "key"}]}
    else:
        test.write_bytes(mangled(written(frame, test.suffix[1:]), rng))
    data = {"test": {"path": test.name}, "target": "y", "sensitive": ["city", "flag"], **more}
    return {"model": model, "data": data}


def pictures(rng: np.random.Generator, folder: Path, good: dict[str, bytes]) -> dict[str, Any]:
    """A spec of pictures: some of the files, their labels, an npz of them, or the weights of the network mangled."""
    import shutil

    from PIL import Image
    from safetensors.numpy import save

    from xai_audit.digest import of_bytes, root

    del good
    shutil.rmtree(folder / "p", ignore_errors=True)
    (folder / "p").mkdir()
    names = []
    for number in range(8):
        kind = str(rng.choice(PICTURES))
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(buffer, kind)
        content = mangled(buffer.getvalue(), rng) if rng.random() < 0.15 else buffer.getvalue()
        names.append(f"{number}.{str(rng.choice(PICTURES)) if rng.random() < 0.05 else kind}")
        (folder / "p" / names[-1]).write_bytes(content)
    labels = pd.DataFrame(
        {"file": names, "y": [0, 1] * 4, "city": list("aabbaabb"), "flag": [True, False] * 4}
    ).to_csv(index=False)
    (folder / "labels.csv").write_bytes(
        mangled(labels.encode(), rng) if rng.random() < 0.3 else labels.encode()
    )
    table: dict[str, Any] = {"path": "p", "labels": "labels.csv"}
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        np.savez(buffer, images=rng.integers(0, 256, (8, 8, 8), dtype=np.uint8), y=np.arange(8) % 2)
        (folder / "p.npz").write_bytes(mangled(buffer.getvalue(), rng))
        table = {"path": "p.npz"}
    tensors = {"1.weight": rng.normal(size=(2, 64)).astype(np.float32), "1.bias": np.zeros(2, np.float32)}
    weights, file = save(tensors), "w.safetensors"
    if rng.random() < 0.3:
        import torch

        buffer, file = io.BytesIO(), "w.pt"
        torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, buffer)
        weights = buffer.getvalue()
    if rng.random() < 0.4:
        weights = mangled(weights, rng)
    (folder / file).write_bytes(weights)
    (folder / "net.py").write_text(NET)
    model = {
        "path": file, "entry": "net.py:build", "trust": True, "classes": ["0", "1"],
        "sha256": root([of_bytes(weights), of_bytes(NET.encode())]), "preprocess": {"size": 8, "channels": 1},
    }  # fmt: skip
    sets = {"some": {"path": "p"}} if rng.random() < 0.3 else {}
    data = {"test": table, "target": "y", "sensitive": ["city"] if "labels" in table else [], "sets": sets}
    return {"model": model, "data": data}


def texts(rng: np.random.Generator, folder: Path, good: dict[str, bytes]) -> dict[str, Any]:
    """A spec of texts and named sets, some of the files mangled; it is read as far as its model."""
    del good
    said = ["a b", "Αθήνα", "\U0001f600 x", "", "c\nd", "x" * 3000]
    frame = pd.DataFrame(
        {"text": rng.choice(said, 30), "y": rng.choice(["0", "1"], 30), "city": rng.choice(["a", "b"], 30)}
    )
    test = folder / f"t.{rng.choice(('jsonl', 'csv', 'parquet', 'arrow'))}"
    content = written(frame, test.suffix[1:])
    test.write_bytes(mangled(content, rng) if rng.random() < 0.6 else content)
    lines = "\n".join(frame.text).encode()
    (folder / "s.txt").write_bytes(mangled(lines, rng) if rng.random() < 0.5 else lines)
    sets = {
        "lines": {"path": "s.txt"},
        "some": {
            "path": test.name,
            "text": "text",
            "where": str(rng.choice(["y == '1'", "city in ['a']", "gone == 1"])),
        },
    }
    (folder / "m.onnx").write_bytes(b"no model")
    data = {"test": {"path": test.name, "text": "text"}, "target": "y", "sensitive": ["city"], "sets": sets}
    return {"model": {"path": "m.onnx", "preprocess": {"max_length": 8}}, "data": data}


def one(seed: int, folder: Path, good: dict[str, bytes]) -> str:
    """Load one mangled file: ``loaded``, ``refused``, or what was raised instead."""
    from xai_audit.cli.check import lines_of

    rng = np.random.default_rng(seed)
    make = (tabular, tabular, tabular, pictures, texts)[int(rng.integers(0, 5))]
    content = make(rng, folder, good)
    spec = Spec.model_validate({"system": {"name": "fuzz"}, "file": str(folder / "audit.yaml"), **content})
    try:
        if make is texts or rng.random() < 0.2:
            list(lines_of(spec))  # as check reads the data, without the model
        else:
            load(spec)
    except (SpecError, UnavailableError) as error:
        lines = str(error).splitlines()
        return (
            "refused"
            if lines and all(line.strip() and line.isprintable() for line in lines)
            else "refused without a reason"
        )
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


def _part(seeds: range) -> tuple[Counter[str], list[str]]:
    told: list[str] = []
    return run(seeds, told.append), told


def main() -> int:
    """Print how many files were loaded and refused; 1 where one was neither."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    first = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    start = time.monotonic()
    counts: Counter[str] = Counter()
    waiting = [range(at, min(at + 100, first + asked.files)) for at in range(first, first + asked.files, 100)]
    while waiting:
        # A library that ends its process takes the others of its pool along; what was not done is done again, by one.
        workers = os.cpu_count() if not counts["ended"] else 1
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            parts: dict[range, Future[Any]] = {seeds: pool.submit(_part, seeds) for seeds in waiting}
            for seeds, part in parts.items():
                try:
                    found, told = part.result()
                except BrokenProcessPool:
                    counts["ended"] += 1
                    if counts["ended"] > 1 and len(seeds) == 1:
                        print(f"seed {seeds[0]}: the process was ended", flush=True)
                        counts["fault"] += 1
                        waiting.remove(seeds)
                    elif counts["ended"] > 1:
                        waiting.remove(seeds)
                        waiting[:0] = [seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]]
                    break
                waiting.remove(seeds)
                counts += found
                for line in told:
                    print(line, flush=True)
    print(
        f"{asked.files:,} mangled files from seed {first}: {counts['loaded']:,} loaded, {counts['refused']:,} refused "
        f"in located lines, {counts['fault']} faults, {time.monotonic() - start:.0f} s"
    )
    done = counts["loaded"] + counts["refused"] + counts["fault"]
    return 1 if counts["fault"] or done != asked.files else 0


if __name__ == "__main__":
    sys.exit(main())
