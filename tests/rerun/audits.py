"""Audits of a small model, written to a folder, run again, and forged by someone who computes every digest again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io

from xai_audit import audit as audits
from xai_audit import digest, pieces, pipeline
from xai_audit.audit import Audit
from xai_audit.reading import read_policies, read_specs
from xai_audit.rerun import rerun, steps
from xai_audit.verify.checks import Check

SPEC = """\
version: 1
system: {{name: Run again}}
model: {model}
data: {data}
explainers: {explainers}
metrics: {metrics}
report: {{formats: []}}
"""


TABLE = "{train: {path: train.csv}, test: {path: test.csv}, target: y, features: [a, b, c], sensitive: [g]}"


EXPLAINERS = (
    "[{shap: {rows: 60, background: 15}}, {lime: {rows: 30, samples: 200, seeds: 2}}, "
    "permutation_importance, {partial_dependence: {points: 5}}]"
)


def table(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {"a": rng.normal(size=n).round(3), "b": rng.integers(0, 5, n), "c": rng.normal(size=n).round(2)}
    )
    made["g"] = rng.choice(["u", "v"], n)
    made["y"] = (made["a"] + 0.4 * made["b"] + rng.normal(size=n) > 1).astype(int)
    return made


def written(folder: Path, estimator: Any, y: Any = None, /, **said: str) -> Path:
    """A spec with its model and tables in a folder."""
    train, test = table(200, 1), table(120, 2)
    if y is not None:
        train["y"], test["y"] = y(train), y(test)
    folder.mkdir(parents=True, exist_ok=True)
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    if estimator is not None:
        skops.io.dump(estimator.fit(train[["a", "b", "c"]], train["y"]), folder / "model.skops")
    given = {
        "model": "{path: model.skops, positive: 1}",
        "data": TABLE,
        "explainers": EXPLAINERS,
        "metrics": "[accuracy]",
    }
    (folder / "audit.yaml").write_text(SPEC.format(**{**given, **said}))
    return folder


def run(folder: Path, out: str = "out", **options: Any) -> Path:
    (spec,) = read_specs([folder / "audit.yaml"])
    policies = read_policies(spec.policies, folder)
    pipeline.run(spec, policies, folder / out, pipeline.Options(**options))
    return folder / out


def again(out: Path, n: int | None = None, seed: int = 1, **more: Any) -> list[Check]:
    more.setdefault("spec_path", out.parent / "audit.yaml")
    return list(rerun(audits.read(out), out, n, seed=seed, **more))


def broken(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.subject, check.what) for check in checks if check.kind == "broken"]


def all_hold(checks: list[Check]) -> bool:
    return {check.kind for check in checks} == {"holds"}


def rewritten(out: Path, change: Any = None, files: dict[str, bytes] | None = None) -> None:
    """Forge: change audit.json and files of evidence/, and compute every digest again as an able forger would."""
    made = json.loads((out / "audit.json").read_text())
    for name, content in (files or {}).items():
        (out / "evidence" / name).write_bytes(content)
    if change is not None:
        change(made)
    made["run"]["rows"] = digest.of_file(out / "evidence" / "rows.parquet")
    made["run"]["pieces"] = digest.of_file(out / "evidence" / "pieces.json")
    (out / "audit.json").write_text(Audit.model_validate(made).to_json())
    (out / "manifest.json").write_bytes(audits.manifest_file(out, {}))


def with_rows(out: Path, change: Any) -> None:
    frame = pd.read_parquet(out / "evidence" / "rows.parquet")
    changed = change(frame)
    buffer = io.BytesIO()
    (frame if changed is None else changed).to_parquet(buffer, index=False)
    rewritten(out, files={"rows.parquet": buffer.getvalue()})


def with_record(out: Path, change: Any) -> None:
    record = json.loads((out / "evidence" / "pieces.json").read_text())
    changed = change(record)
    content = digest.canonical(record if changed is None else changed).encode()
    rewritten(out, files={"pieces.json": content})


def with_arrays(out: Path, identifier: str, name: str, change: Any) -> None:
    """Forge one array of evidence; its file is named by its digest again, and the audit names the file."""
    made = audits.read(out)
    evidence = made.get(identifier)
    assert evidence is not None
    old = evidence.arrays[name]
    with np.load(out / "evidence" / old) as held:
        arrays = {key: held[key] for key in held.files}
    arrays[name] = change(arrays[name].copy())
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    new = f"{digest.of_bytes(buffer.getvalue())}.npz"
    (out / "evidence" / old).unlink()

    def edit(content: dict) -> None:
        for piece in content["evidence"]:
            piece["arrays"] = {key: new if value == old else value for key, value in piece["arrays"].items()}

    rewritten(out, edit, {new: buffer.getvalue()})


def units(out: Path, *beside: str) -> list[steps.Unit]:
    """All that can be drawn of an audit: recorded pieces, and the steps they are of; ``beside`` are steps without any."""
    record = pieces.read((out / "evidence" / pieces.FILE).read_bytes())
    asked = [*dict.fromkeys(one.step for one in record.maps), *beside]
    found = [
        steps.Unit(name, place, index)
        for name in asked
        for place, one in enumerate(record.of(name))
        for index in range(len(one.pieces))
    ]
    return [*found, *(steps.Unit(name) for name in asked)]


CHECKS = ("artefact_safety", "protected_flip_rate", "unusual_input_failures")
"""Steps of every audit of a table with sensitive columns that may ask the model outside a map."""
