"""Audits that were tampered with: ``python -m benchmarks.tampering [--bytes 1000] [--forgeries 200] [--seed N]``.

Bytes: one byte of one file of a signed audit is changed at random; verify must find it and name the file. Forgeries:
somebody who knows the format changes what the audit says, judges it again, draws its pages and makes the manifest anew;
verify is asked with the key and, separately, without one (what recomputing alone gives away). An audit of another model
is told by ``--model``, a replayed signature by the key. The seed is drawn at run time and printed; the exit code is 1
where something that must be found was not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression

from xai_audit import attestation, audit, judged, pipeline, rerun, signing
from xai_audit.policy import as_applied
from xai_audit.reading import read_policies, read_specs
from xai_audit.render import FILES, renderers
from xai_audit.verify import exit_code, verify

SPEC = """\
version: 1
system:
  name: Tampered loans
  version: "1.0"
  signatories: [{name: Jo, function: Head, date: 2026-11-22}]
model: {path: model.skops, positive: 1}
data:
  train: {path: train.csv}
  test: {path: test.csv}
  target: y
  features: [a, b, c]
  sensitive: [sex, {column: age, bins: [30, 50]}]
explainers:
  - shap: {rows: 30, background: 20}
  - lime: {rows: 6, samples: 200}
  - permutation_importance: {rows: 60, repeats: 3}
  - partial_dependence: {rows: 30, points: 5}
metrics: [{accuracy: {primary: true}}, recall, roc_auc, expected_calibration_error, demographic_parity_ratio]
policies: [eu-ai-act]
report: {formats: [html, sarif, junit], examples: true}
"""

KINDS = (
    "a number",
    "a widened interval",
    "a swapped policy",
    "a deleted finding",
    "deleted evidence",
    "a verdict",
)
"""Forgeries of audit.json; a replayed signature and another model's audit are counted beside them."""


def people(count: int, rng: np.random.Generator, effect: float) -> pd.DataFrame:
    """Invented people whose outcome depends on three numbers, with a given effect of the first."""
    table = pd.DataFrame(rng.normal(size=(count, 3)).round(4), columns=["a", "b", "c"])
    table["sex"] = rng.choice(["f", "m"], count)
    table["age"] = rng.integers(18, 80, count)
    table["y"] = (effect * table["a"] + table["b"] + rng.normal(size=count) > 0).astype(int)
    return table


def made(folder: Path, seed: int, effect: float, *signers: Path) -> Path:
    """A real audit of a model fitted now, in ``folder/out``."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    train, test = people(300, rng, effect), people(300, rng, effect)
    skops.io.dump(LogisticRegression().fit(train[["a", "b", "c"]], train["y"]), folder / "model.skops")
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    (folder / "audit.yaml").write_text(SPEC, encoding="utf-8")
    (spec,) = read_specs([folder / "audit.yaml"])
    options = pipeline.Options(jobs=1, signers=tuple(signing.signer(key) for key in signers))
    pipeline.run(spec, read_policies(spec.policies, folder), folder / "out", options)
    return folder / "out"


def found(folder: Path, keys: list[Any], known: dict[str, Any]) -> tuple[int, set[str]]:
    """What verify exits with, and what it names as broken."""
    topics = list(verify(folder, keys=keys, policies=known))
    return exit_code(topics), {
        check.subject for topic in topics for check in topic.checks if check.kind == "broken"
    }


def bytes_changed(out: Path, count: int, rng: random.Random, keys: list[Any]) -> int:
    """How many of so many random single bytes were found in their file."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    caught, told = 0, Counter[str]()
    for _ in range(count):
        path = rng.choice(files)
        content = path.read_bytes()
        place = rng.randrange(len(content))
        other = rng.choice([byte for byte in range(256) if byte != content[place]])
        path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
        # The files alone already tell; what is slow (numbers, pages) is not needed for it and is not left to help.
        code, named = quick(out, keys)
        name = path.relative_to(out).as_posix()
        caught += code == 1 and name in named
        told[name if "/" not in name else "evidence/"] += 1
        if not (code == 1 and name in named):
            print(f"  NOT FOUND: byte {place} of {name}, {content[place]} made {other}: {sorted(named)}")
        path.write_bytes(content)
    print(f"  files changed: {dict(sorted(told.items()))}")
    return caught


def quick(out: Path, keys: list[Any]) -> tuple[int, set[str]]:
    """The two topics of verify that hold files and signature."""
    from itertools import islice

    topics = list(islice(verify(out, keys=keys), 2))
    broken = {check.subject for topic in topics for check in topic.checks if check.kind == "broken"}
    return (1 if broken else 0), broken


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the numbers of an observation stand."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "limits":
                yield from numbers(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, (*path, index))
    elif isinstance(value, float | int) and not isinstance(value, bool):
        yield path


def at(value: Any, path: tuple[Any, ...]) -> tuple[Any, Any]:
    """The holder of the value at a path, and its last key."""
    for step in path[:-1]:
        value = value[step]
    return value, path[-1]


def estimates(value: Any) -> Iterator[dict[str, Any]]:
    """Every estimate inside an observation that has an interval."""
    if isinstance(value, dict):
        if {"value", "low", "high", "n"} <= value.keys() and value["low"] != value["high"]:
            yield value
        for inner in value.values():
            yield from estimates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from estimates(inner)


def forge(kind: str, content: dict[str, Any], rng: random.Random) -> str:
    """Change audit.json as a forger would; what was changed, in words."""
    pieces = [one for one in content["evidence"] if one["kind"] != "record" and one["observation"]]
    if kind == "a number":
        piece = rng.choice([one for one in pieces if list(numbers(one["observation"]))])
        holder, key = at(piece["observation"], rng.choice(list(numbers(piece["observation"]))))
        before = holder[key]
        holder[key] = before + rng.choice([-1, 1]) if isinstance(before, int) else before * 1.01 + 0.001
        return f"{piece['id']}: {key} {before} -> {holder[key]}"
    if kind == "a widened interval":
        piece = rng.choice([one for one in pieces if list(estimates(one["observation"]))])
        one = rng.choice(list(estimates(piece["observation"])))
        width = (one["high"] or one["value"]) - (one["low"] or one["value"])
        one["low"] = None if one["low"] is None else one["low"] - 0.2 * width
        one["high"] = None if one["high"] is None else one["high"] + 0.2 * width
        return f"{piece['id']}: an interval a fifth wider"
    if kind == "a swapped policy":
        rules = [rule for rule in content["policies"][0]["rules"] if "at_least" in rule or "at_most" in rule]
        rule = rng.choice(
            [one for one in rules if not isinstance(one.get("at_least", one.get("at_most")), str)]
        )
        side = "at_least" if "at_least" in rule else "at_most"
        rule[side] = rule[side] - 0.1 if side == "at_least" else rule[side] + 0.1
        return f"{rule['id']}: {side} {rule[side]}"
    if kind == "a deleted finding":
        gone = content["findings"].pop(rng.randrange(len(content["findings"])))
        return str(gone["rule"])
    if kind == "deleted evidence":
        piece = rng.choice(pieces)
        content["evidence"].remove(piece)
        return str(piece["id"])
    finding = rng.choice([one for one in content["findings"] if one["kind"] not in ("pass", "notApplicable")])
    finding["kind"] = "pass"
    return f"{finding['rule']}: pass"


def written(out: Path, content: dict[str, Any], *, judge: bool) -> None:
    """The forged audit as its own program would have written it: judged again, pages drawn, manifest made."""
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    (out / "audit.json").write_text(text, encoding="utf-8")
    forged = audit.read(out)
    if judge:
        kept = [str(rules["sha256"]) for rules in forged.policies]
        started = datetime.datetime.fromisoformat(forged.run["started"]).date()
        policies = list(zip(judged.policies_of(forged), kept, strict=True))
        forged = judged.again(forged, policies, started)
        (out / "audit.json").write_text(forged.to_json(), encoding="utf-8")
    for name, file in FILES.items():
        if (out / file).exists():
            (out / file).write_bytes(renderers[name](forged))
    signed = (out / attestation.FILE).exists()
    (out / "manifest.json").write_bytes(audit.manifest_file(out, {}, signed=signed))


def forgeries(
    source: Path, work: Path, count: int, rng: random.Random, keys: list[Any], known: dict[str, Any]
) -> dict[str, tuple[int, int, int]]:
    """For each kind: how many, how many found with the key, how many found by recomputing alone."""
    results: dict[str, tuple[int, int, int]] = {}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        out = work / "forged"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out)
        content = json.loads((out / "audit.json").read_text(encoding="utf-8"))
        what = forge(kind, content, rng)
        written(
            out,
            content,
            judge=kind in ("a number", "a widened interval", "a swapped policy", "deleted evidence"),
        )
        code, _ = found(out, keys, known)
        # Without a key the attestation, which the forger cannot make, is taken away, and the manifest says unsigned.
        (out / attestation.FILE).unlink(missing_ok=True)
        (out / "manifest.json").write_bytes(audit.manifest_file(out, {}))
        alone, named = found(out, [], known)
        if code != 1 or alone != 1:
            print(
                f"  {'NOT FOUND' if code != 1 else 'not found without a key'}: {kind}: {what} {sorted(named)}"
            )
        of, with_key, without = results.get(kind, (0, 0, 0))
        results[kind] = (of + 1, with_key + (code == 1), without + (alone == 1))
    return results


def keys_of(private: Path, public: Path) -> None:
    """A new pair of keys, as PEM files."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, default=1000, dest="changes")
    parser.add_argument("--forgeries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args(arguments)
    seed = secrets.randbits(32) if given.seed is None else given.seed
    rng = random.Random(seed)
    print(f"seed {seed}")
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        private, public = work / "key.pem", work / "key.pub"
        keys_of(private, public)
        keys = [signing.public_key(public)]
        known = {p.id: as_applied(p, s) for p, s in read_policies(("eu-ai-act", "research"), work)}
        one, other = made(work / "one", 1, 1.5, private), made(work / "other", 2, 0.2, private)
        assert found(one, keys, known)[0] == 0, found(one, keys, known)
        started = time.perf_counter()
        caught = bytes_changed(one, given.changes, rng, keys)
        print(
            f"single bytes: {caught} of {given.changes} found in their file ({time.perf_counter() - started:.0f} s)"
        )
        missed += given.changes - caught
        replays, models = (max(given.forgeries // 10, 1) for _ in range(2))
        started = time.perf_counter()
        results = forgeries(one, work, given.forgeries - replays - models, rng, keys, known)
        missed += told(results)
        missed += replayed(one, other, work, replays, keys, known)
        missed += other_models(other, work, models)
        print(f"forgeries took {time.perf_counter() - started:.0f} s")
    return 1 if missed else 0


def told(results: dict[str, tuple[int, int, int]]) -> int:
    """Print what was found of each kind; how many were not found with the key."""
    for kind, (of, with_key, without) in results.items():
        print(f"{kind:<20} {with_key} of {of} found; {without} of {of} by recomputing alone, without a key")
    return sum(of - with_key for of, with_key, _ in results.values())


def replayed(one: Path, other: Path, work: Path, count: int, keys: list[Any], known: dict[str, Any]) -> int:
    """The signature of one audit put on another; how many were not found."""
    caught = 0
    for number in range(count):
        source, stolen = (one, other) if number % 2 else (other, one)
        out = work / "replayed"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out)
        shutil.copy(stolen / attestation.FILE, out / attestation.FILE)
        if number % 4 > 1:
            shutil.copy(stolen / "manifest.json", out / "manifest.json")
        caught += found(out, keys, known)[0] == 1
    print(f"{'replayed signature':<20} {caught} of {count} found")
    return count - caught


def other_models(other: Path, work: Path, count: int) -> int:
    """A whole, consistent, signed audit of another model shown as that of this one; how many ``--model`` did not find."""
    caught = 0
    shown = audit.read(other)
    for number in range(count):
        model = work / f"model-{number}.skops"
        rng = np.random.default_rng(number)
        train = people(200, rng, 1.0)
        skops.io.dump(LogisticRegression().fit(train[["a", "b", "c"]], train["y"]), model)
        caught += rerun.model_is(shown, str(model)).kind == "broken"
    assert rerun.model_is(shown, str(other.parent / "model.skops")).kind == "holds"
    print(f"{'another model':<20} {caught} of {count} found by --model; the right model holds")
    return count - caught


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
