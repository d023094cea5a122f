"""Generated specs through the reader: nothing but mistakes may come out, and soon.

Run: python -m benchmarks.fuzz_specs [COUNT [SEED]]
"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from xai_audit.errors import SpecError, UnavailableError

VALID = """\
version: 1
system:
  name: Triage
  version: "2.1"
  stage: development
  provider: {name: Clinic, address: Street 1, contact: a@b.example}
  intended_purpose: {text: Sorts patients., author: Ann, date: 2026-01-02}
  classification: {annex_iii_point: "5(a)", profiling: true}
  statements:
    hardware: A server
    oversight: {a: Watch, b: Stop, c: {text: Read, author: Bea}, d: Ignore, e: Halt}
    risk_register: [{hazard: Fire, measure: Water}, Flood]
    declared_levels: [{metric: recall, at_least: 0.75}]
  signatories: [{name: Jo, function: Head, date: 2026-11-22}]
  waivers: [{rule: FAI-02, reason: Known, approver: Jo, expires: 2027-03-01}]
model: {path: m.skops, format: skops, task: classification, positive: 1, favourable: 1, threshold: 0.5}
data:
  train: {path: t.csv}
  test: {path: t.csv}
  target: y
  features: [a, b]
  categorical: [b]
  sensitive: [sex, {column: age, bins: [30, 50]}, {column: e, file: t.csv, key: id, special_category: true}]
  crossings: pairs
  id: id
explainers: [{shap: {rows: 500}}, permutation_importance]
metrics: [{recall: {primary: true}}, accuracy, {roc_auc: {}, as: area}, demographic_parity_ratio]
policies: [eu-ai-act]
report: {formats: [html, pdf], outline: annex-iv, language: en, min_cell: 10, examples: false}
run: {seed: 0, jobs: 2, backend: loky, confidence: 0.95}
"""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2.5, 1e300, 10**17, "", " ", "yes", "TBD", "a", "x" * 300, "{{ 7*7 }}"),
    *(
        "<script>",
        "é",
        "\U0001f600",
        "../..",
        "/dev/zero",
        "/",
        "a\nb",
        "name: x",
        "*",
        "2026-02-30",
        "2026-11-22",
    ),
    *(".inf", "1e999", "9" * 400, "%s", "\u202e", "&a", [], {}, [[]], [None], {"": ""}, {"text": "x"}),
    *({"text": None}, {"a": {"b": {"c": 1}}}, [1, "a", None, {}], {"as": 1}, {"shap": None}),
)
"""Values that stand where something else is asked."""

KEYS = (
    *("name", "path", "format", "trust", "sha256", "text", "author", "date", "as", "bins", "column", "file"),
    *("key", "budget", "sets", "score", "prediction", "entry", "extends", "rows", "primary", "<<"),
    *("oversight", "a", "1", "true", "modle", "tets", "classes", "url"),
)

SIGNS = [b"\t", b"\n", b"\r", b"\x00", b"\xef\xbb\xbf", b"---\n", b"<<: *a\n"]
SIGNS += [
    sign.encode()
    for sign in (": ", "- ", "[", "{", "]", "}", "'", '"', "#", "&a ", "*a", "!x ", "? ", "| ", "%", "@")
]
"""What means something in YAML."""


def mutated(rng: random.Random, changes: int) -> Any:
    """A valid spec with some of its values and keys changed."""
    document = yaml.safe_load(VALID)
    if rng.random() < 0.3:
        document["model"] = {"format": "predictions", "score": "s"}
    for key in list(document):
        if key not in ("system", "model", "data") and rng.random() < 0.2:
            del document[key]
    for _ in range(changes):
        change(rng, document)
    return document


def change(rng: random.Random, document: Any) -> None:
    places = list(within(document))
    parent, key = rng.choice(places)
    how = rng.random()
    if how < 0.35:
        parent[key] = copy.deepcopy(rng.choice(ODD))
    elif how < 0.5 and isinstance(parent, dict):
        parent[rng.choice(KEYS)] = copy.deepcopy(rng.choice(ODD))
    elif how < 0.65:
        del parent[key]
    elif how < 0.8 and isinstance(parent, dict):
        name = str(key)
        cut = rng.randrange(len(name)) if name else 0
        parent[name[:cut] + rng.choice(("", "x", name[cut : cut + 1] * 2)) + name[cut + 1 :]] = parent.pop(
            key
        )
    else:
        other, there = rng.choice(places)
        parent[key] = copy.deepcopy(other[there])


def within(document: Any) -> Any:
    """Every place in a document, as its parent and key."""
    pairs = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in list(pairs):
        yield document, key
        yield from within(value)


class _Plain(yaml.SafeDumper):
    """Writes shared values twice rather than as aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own name
        return True


def written(document: Any) -> str:
    return yaml.dump(document, Dumper=_Plain, allow_unicode=True, sort_keys=False)


def mangled(rng: random.Random) -> bytes:
    """A spec's bytes: mutated, and often broken as text as well."""
    how = rng.random()
    if how < 0.55:
        text = written(mutated(rng, rng.randint(0, 6)))
    elif how < 0.6:
        text = json.dumps(mutated(rng, 2), default=str)
    else:
        text = VALID
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if how < 0.45:
        return bytes(content)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(content) + 1)
        match rng.randrange(6):
            case 0:
                del content[at : at + rng.randint(1, 20)]
            case 1:
                content[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
            case 2:
                content[at:at] = rng.choice(SIGNS)
            case 3:
                lines = bytes(content).split(b"\n")
                rng.shuffle(lines)
                content = bytearray(b"\n".join(lines))
            case 4:
                content[at:at] = content[max(0, at - rng.randint(1, 60)) : at]
            case _:
                content = content[: max(1, at)]
    return bytes(content)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "big")
    from xai_audit.cli.check import lines_of
    from xai_audit.reading import read_spec

    rng = random.Random(seed)
    accepted = refused = failed = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        Path("t.csv").write_text("y,s,sex,age,e,id,a,b\n1,0.5,f,40,x,1,2,3\n")
        Path("m.skops").write_bytes(b"x")
        path = Path("audit.yaml")
        for number in range(count):
            content = mangled(rng)
            path.write_bytes(content)
            start = time.perf_counter()
            try:
                list(lines_of(read_spec(path)))
                accepted += 1
            except (SpecError, UnavailableError):
                refused += 1
            except Exception as error:  # noqa: BLE001 - what is looked for
                failed += 1
                Path(tempfile.gettempdir(), f"fuzz-{seed}-{number}.yaml").write_bytes(content)
                print(f"{number}: {type(error).__name__}: {error}")
            slowest = max(slowest, time.perf_counter() - start)
    print(
        f"{count:,} specs, seed {seed}: {accepted:,} accepted, {refused:,} refused with located mistakes, "
        f"{failed:,} other exceptions; slowest {slowest:.2f} s"
    )
    return 1 if failed or slowest > 10 else 0


if __name__ == "__main__":
    raise SystemExit(main())
