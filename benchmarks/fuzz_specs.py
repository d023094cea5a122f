"""Generated specs through the reader: nothing but located mistakes may come out, and soon.

Run: python -m benchmarks.fuzz_specs [COUNT [SEED]]

A spec is a table's, a folder of pictures', a set of texts' or a server's, with values and keys changed and its bytes broken.
Some stand on top of others (`extends`), bring a policy of their own, or are read with `--set`. What is accepted must be
planned, written down as audit.json keeps it and read back. Each case is drawn from the seed and its own number.
"""

from __future__ import annotations

import copy
import functools
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from xai_audit.errors import SpecError, UnavailableError

FASTEST = getattr(yaml, "CSafeLoader", yaml.SafeLoader), getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""PyYAML's own reader and writer in C where it was built with them; what is tested reads by itself."""

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

DIGEST = "0" * 64

PICTURES = f"""\
version: 1
system: {{name: Surfaces, stage: release}}
model:
  path: weights.safetensors
  format: torch
  entry: net.py:build
  trust: true
  sha256: {DIGEST}
  preprocess: {{size: [32, 32], mean: [0.5], std: [0.25], channels: 1}}
  classes: [brick, grass]
  positive: grass
  outputs: logits
  device: cpu
data:
  train: {{path: pictures, labels: labels.csv, format: images}}
  test: {{path: pictures, labels: labels.csv}}
  target: y
  sensitive: [light, {{column: stamp, explanatory: true}}]
  sets: {{stamp: {{path: pictures/a}}, pool: {{path: pictures, labels: labels.csv, where: "light == 'day' or not y == 1"}}}}
  cluster: place
  weight: w
explainers:
  - integrated_gradients: {{rows: 48, baseline: zero, steps: 8, checked: 4, twins: 3, site: conv1}}
  - gradient_shap: {{rows: 8, draws: 4}}
  - occlusion: {{rows: 16, window: 4, stride: 2}}
  - {{shap: {{rows: 8, segments: 9}}, as: patches}}
  - tcav:
      concepts: [stamp, {{name: dark, where: "light == 'night'"}}]
      random: pool
      sites: [conv2, hidden#in]
      classes: [grass]
  - prototypes: {{site: hidden, k: 5, pool: mean}}
metrics: [{{accuracy: {{primary: true}}}}, balanced_accuracy, recall]
policies: [research]
report: {{formats: [html], examples: true, min_cell: 0}}
"""

TEXTS = """\
version: 1
system:
  name: Comments
  classification: {annex_iii_point: "1", art6_3: {condition: narrow, reasons: Only sorts}, role: deployer}
  waivers:
    - {rule: FAI-01, reason: Known, approver: Jo, expires: 2027-03-01, scope: demographic_parity_ratio/m}
    - {rule: PER-01, reason: Small, approver: Bo, expires: 2026-03-01}
  continual_learning: true
model:
  path: m.onnx
  preprocess: {tokenizer: tokenizer.json, max_length: 64}
  classes: [fine, rude]
  positive: rude
  favourable: fine
data:
  test: {path: t.jsonl, text: text}
  target: tone
  sensitive: [{column: m, bins: [0.5, 2]}]
  sets: {praise: {path: t.txt}, neutral: {path: t.jsonl, text: text, where: "tone in ['fine']"}}
  crossings: all
explainers: [{shap: {rows: 6, token: word}}, {lime: {rows: 4, samples: 500, seeds: 2}}]
metrics: [{recall: {primary: true}}, subgroup_auc, bpsn_auc, {counterfactual_token_fairness: {}}]
policies: [eu-ai-act, mine.yaml]
"""

SERVER = """\
version: 1
system: {name: Behind a door}
model:
  format: http
  url: http://127.0.0.1:9/score
  headers: {Authorization: "Bearer ${TOKEN}"}
  batch: 16
  timeout: 2.5
  concurrency: 2
  classes: [0, 1]
data: {test: {path: t.csv}, target: y, id: id, features: [a, b], sensitive: [{column: sex, file: t.csv, key: id}]}
metrics: [roc_auc]
policies: [mine.yaml]
"""

POLICY = """\
id: mine
version: 1
as_of: 2026-11-01
title: Ours
author: Ann
confidence: 0.95
family_error: 0.05
min_n: 30
min_label: 10
rules:
  - id: ONE-01
    title: Groups are chosen alike
    clause: Article 10(2)(f)
    basis: convention
    applies_from: 2027-12-02
    evidence: demographic_parity_ratio/*
    reads: ratio
    at_least: 0.8
    level: error
    on_open: warn
    when: {annex_iii: ["3", "4"], task: classification, sensitive_input: false}
    why: It matters.
    tip: Look.
    examples: [{low: 0.85, high: 0.97, expect: pass}, {low: 0.5, high: 0.7, expect: fail}]
  - id: TWO-01
    title: As declared
    clause: Article 15(3)
    basis: provider
    evidence: primary
    at_least: declared
    strict: true
    also: [{evidence: log_loss, at_most: 1}]
    explained_by: hardware
    level: error
    release: true
    examples: [{low: 0.85, high: 0.97, declared: 0.8, expect: pass}]
  - id: TRI-01
    title: Said
    clause: Annex IV(2)
    basis: law
    attested: [oversight, hardware]
    level: warning
    needs_model: true
    examples: [{attested: true, expect: pass}, {attested: false, expect: open}]
  - id: FOR-01
    title: Explained
    clause: Article 13
    basis: guidance
    evidence: shap
    present: true
    level: note
    examples: [{present: true, expect: pass}]
"""

KINDS = (PICTURES, TEXTS, SERVER)
"""Specs other than a table's; VALID stands for half of the cases."""

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
    *(
        "pictures",
        "t.jsonl",
        "t.txt",
        "labels.csv",
        "net.py:build",
        "sklearn:iris",
        "http://[::1",
        "${A",
        "a#in@head=x",
    ),
    *(
        "x == 'y'",
        "x in [1",
        "not (a == 1) or",
        "declared",
        "primary",
        "shap/*",
        "mine.yaml",
        -0.0,
        1e-320,
        2**63,
    ),
)
"""Values that stand where something else is asked."""

KEYS = (
    *("name", "path", "format", "trust", "sha256", "text", "author", "date", "as", "bins", "column", "file"),
    *("key", "budget", "sets", "score", "prediction", "entry", "extends", "rows", "primary", "<<"),
    *("oversight", "a", "1", "true", "modle", "tets", "classes", "url"),
    *(
        "labels",
        "where",
        "preprocess",
        "tokenizer",
        "headers",
        "batch",
        "concepts",
        "random",
        "sites",
        "scope",
    ),
    *("at_least", "also", "when", "attested", "examples", "present", "policies", "waivers", "explanatory"),
)

SIGNS = [b"\t", b"\n", b"\r", b"\x00", b"\xef\xbb\xbf", b"---\n", b"<<: *a\n"]
SIGNS += [
    sign.encode()
    for sign in (": ", "- ", "[", "{", "]", "}", "'", '"', "#", "&a ", "*a", "!x ", "? ", "| ", "%", "@")
]
"""What means something in YAML."""


@functools.cache
def parsed(text: str) -> Any:
    """A valid document, read once."""
    return yaml.load(text, Loader=FASTEST[0])  # noqa: S506 - a safe loader


def mutated(rng: random.Random, changes: int, text: str = VALID) -> Any:
    """A valid spec with some of its values and keys changed."""
    document = copy.deepcopy(parsed(text))
    if text == VALID and rng.random() < 0.3:
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


class _Plain(FASTEST[1]):  # type: ignore[misc]
    """Writes shared values twice rather than as aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own name
        return True


def written(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_Plain, allow_unicode=True, sort_keys=False)
    return text


def mangled(rng: random.Random, valid: str = VALID) -> bytes:
    """A document's bytes: mutated, and often broken as text as well."""
    how = rng.random()
    if how < 0.55:
        text = written(mutated(rng, rng.randint(0, 6), valid))
    elif how < 0.6:
        text = json.dumps(mutated(rng, 2, valid), default=str)
    else:
        text = valid
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    return bytes(content) if how < 0.45 else broken(rng, content)


def broken(rng: random.Random, content: bytearray) -> bytes:
    """Bytes with some cut out, put in, doubled or exchanged."""
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


def override(rng: random.Random, document: Any) -> str:
    """One ``--set``: a place of the document, or none, and a value, or what is no value."""
    steps: list[str] = []
    here = document
    while isinstance(here, (dict, list)) and here and rng.random() < 0.8:
        key = rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        steps, here = [*steps, str(key)], here[key]
    if rng.random() < 0.2:
        steps.insert(rng.randint(0, len(steps)), rng.choice((*KEYS, "", "0", "99", "-1", "²", "a b")))
    value = rng.choice(ODD)
    text = value if isinstance(value, str) else json.dumps(value)
    given = f"{'.'.join(steps)}={text}"
    return given if rng.random() < 0.9 else broken(rng, bytearray(given.encode())).decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------------ one case
def bed(place: Path) -> None:
    """The files that valid specs name, so that some of what is generated is accepted."""
    from PIL import Image

    (place / "t.csv").write_text("y,s,sex,age,e,id,a,b\n1,0.5,f,40,x,1,2,3\n")
    (place / "labels.csv").write_text(
        "file,y,light,stamp,place,w\na/1.png,1,day,no,p,1\nb/1.png,0,night,yes,q,2\n"
    )
    (place / "t.jsonl").write_text('{"text": "a b", "tone": "fine", "m": 1}\n')
    (place / "t.txt").write_text("one\ntwo\n")
    (place / "net.py").write_text("def build():\n    raise RuntimeError\n")
    for name in ("m.skops", "m.onnx", "weights.safetensors", "tokenizer.json"):
        (place / name).write_bytes(b"x")
    for name in ("a", "b"):
        (place / "pictures" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(place / "pictures" / name / "1.png")
    (place / "mine.yaml").write_text(POLICY)


def written_case(rng: random.Random, place: Path) -> tuple[Path, list[str]]:
    """Write one case; the path of its spec and what is set beside it."""
    valid = VALID if rng.random() < 0.5 else rng.choice(KINDS)
    path = place / "audit.yaml"
    nearly = rng.random() < 0.25
    content = written(mutated(rng, rng.randint(0, 1), valid)).encode() if nearly else mangled(rng, valid)
    if rng.random() < 0.15:
        # On top of another, which may stand elsewhere, be broken, or lead back.
        under = rng.choice(("base.yaml", "below/base.yaml"))
        (place / under).parent.mkdir(exist_ok=True)
        (place / under).write_bytes(mangled(rng, rng.choice((VALID, *KINDS))))
        if rng.random() < 0.2:
            (place / under).write_text(
                f"extends: {rng.choice(('../audit.yaml', 'audit.yaml', 'base.yaml'))}\n"
            )
        top = mutated(rng, rng.randint(0, 3), valid) if rng.random() < 0.5 else {}
        if not isinstance(top, dict):
            top = {}
        content = written({"extends": under, **top}).encode("utf-8", "surrogatepass")
    (place / "mine.yaml").write_bytes(mangled(rng, POLICY) if rng.random() < 0.3 else POLICY.encode())
    path.write_bytes(content)
    asked = rng.random() < 0.25
    return path, [override(rng, parsed(valid)) for _ in range(rng.randint(1, 3))] if asked else []


def read_through(path: Path, overrides: list[str]) -> str:
    """Read one case as ``check`` and ``run`` do: ``accepted`` or ``refused``; anything else is raised."""
    from xai_audit import pipeline
    from xai_audit.cli.check import lines_of
    from xai_audit.reading import read_policies, read_spec
    from xai_audit.spec import Spec

    try:
        spec = read_spec(path, overrides)
        told = list(lines_of(spec))
        policies = [policy for policy, _ in read_policies(spec.policies, path.parent)]
    except (SpecError, UnavailableError) as error:
        if not all(line.strip() and line.isprintable() for line in str(error).split("\n")):
            message = f"not in printable lines: {error!s:.200}"
            raise ValueError(message) from error
        return "refused"
    if not all(line.isprintable() for line in told):
        message = f"not in printable lines: {told!s:.200}"
        raise ValueError(message)
    for task in (spec.model.task,) if spec.model.task else ("classification", "regression"):
        pipeline.plan(spec, policies, task)
    kept = json.loads(json.dumps(pipeline.published(spec), allow_nan=False))
    again = pipeline.published(Spec.model_validate(kept))
    if again != pipeline.published(spec):
        message = "the spec is not what it is when it is read back from audit.json"
        raise ValueError(message)
    return "accepted"


def _quick_policies() -> None:
    """Shipped policies are read once: the files do not change here, and each takes longer than a spec."""
    from xai_audit.reading import policies, spec

    real = policies.read_policy
    kept = functools.cache(real)

    def read_policy(path: str | Path) -> Any:
        return real(path) if Path(path).name == "mine.yaml" else kept(path)

    policies.read_policy = spec.read_policy = read_policy


def cases(seed: int, numbers: range, place: Path, faults: Path) -> tuple[Counter[str], float]:
    """Read the cases of these numbers; how each went, and the processor seconds of the slowest."""
    counts: Counter[str] = Counter()
    slowest = 0.0
    os.chdir(place)
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        path, overrides = written_case(rng, Path())
        start = time.process_time()
        try:
            counts[read_through(path, overrides)] += 1
        except Exception as error:  # noqa: BLE001 - what is looked for
            counts["other"] += 1
            kept = faults / f"fuzz-{seed}-{number}"
            shutil.copytree(place, kept, dirs_exist_ok=True)
            print(f"{number} {overrides}: {type(error).__name__}: {error!s:.300} ({kept})", flush=True)
        slowest = max(slowest, time.process_time() - start)
    return counts, slowest


def _part(asked: tuple[int, range]) -> tuple[Counter[str], float]:
    seed, numbers = asked
    os.environ["TOKEN"] = "secret"  # noqa: S105 - a header of SERVER asks for it
    _quick_policies()
    with tempfile.TemporaryDirectory() as name:
        bed(Path(name))
        found = cases(seed, numbers, Path(name), Path(tempfile.gettempdir()))
        os.chdir("/")
    return found


def parts(count: int, size: int = 2000) -> Iterator[range]:
    for first in range(0, count, size):
        yield range(first, min(count, first + size))


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "big")
    counts: Counter[str] = Counter()
    slowest = 0.0
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for found, slow in pool.imap_unordered(_part, [(seed, numbers) for numbers in parts(count)]):
            counts += found
            slowest = max(slowest, slow)
    print(
        f"{counts.total():,} specs, seed {seed}: {counts['accepted']:,} accepted, {counts['refused']:,} refused with "
        f"located mistakes, {counts['other']:,} other exceptions; slowest {slowest:.2f} s of a processor; "
        f"{time.perf_counter() - start:.0f} s"
    )
    return 1 if counts["other"] or counts.total() != count or slowest > 10 else 0


if __name__ == "__main__":
    raise SystemExit(main())
