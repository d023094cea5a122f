"""Mangled audit folders through the commands that read them: `python -m benchmarks.fuzz_audits [--folders 2000] [--seed N]`.

Each is a golden audit or one made by hand (tables, pictures, texts) with values, keys and bytes of audit.json changed,
and its manifest, arrays, journal or log broken. `gate`, `render`, `view`, `verify` and `compare` must do their work or
refuse in printable lines: an internal error, a traceback or another exit code is a fault, told with its number. The seed
is drawn at run time.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import io
import json
import multiprocessing
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz_specs import broken, change, parts, within
from xai_audit import audit, digest, log
from xai_audit.cli import entry

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "v1"

LOG = "audit-log.jsonl"

COMMANDS = (
    ("gate",),
    ("render", "--format", "html", "--format", "summary"),
    ("view", "--print"),
    ("compare", str(GOLDEN)),
    ("verify", "--log", "LOG"),
)
"""What reads a folder; `gate` runs on each, the others on some, and `verify`, which is slow, on few."""
READING = ("gate", "view", "compare", "verify")
"""What may not write."""


@functools.cache
def sources() -> tuple[dict[str, Any], ...]:
    """Good audits: every shape, kind of case and claim is in one of them."""
    from tests.render import audits, specimens

    golden = json.loads((GOLDEN / "audit.json").read_bytes())
    made = [golden]
    for one in (
        audits.failing(),
        audits.unmodelled(),
        audits.multiclass(),
        specimens.images(),
        specimens.texts(),
    ):
        content = one.model_dump(mode="json", by_alias=True)
        # Made for drawing, they lack what only judging reads.
        content["spec"].setdefault("model", {"path": "m.skops"})
        content["spec"]["data"].setdefault("test", {"path": "t.csv"})
        content["policies"] = golden["policies"]
        for grouping in content["subject"].get("groupings", ()):
            grouping.setdefault("missing", [False] * len(grouping["labels"]))
        made.append(content)
    return tuple(made)


def mangled(rng: random.Random) -> bytes:
    """An audit.json with some of it changed, most of it deep inside, and sometimes broken as text."""
    document = copy.deepcopy(rng.choice(sources()))
    for _ in range(rng.randint(1, 3)):
        key = rng.choice((*document, *("evidence",) * 20, *("subject",) * 4, "run", "findings"))
        part = document.get(key)
        if isinstance(part, list) and part and rng.random() < 0.95:
            part = rng.choice(part)
        (nudge if rng.random() < 0.7 else change)(
            rng, part if isinstance(part, (dict, list)) and part else document
        )
    content = json.dumps(document).encode()
    return broken(rng, bytearray(content)) if rng.random() < 0.05 else content


ODD_TEXTS = (
    "",
    " ",
    "x" * 3000,
    "<script>",
    "\u202e",
    "a\nb",
    "%s{0}",
    "nan",
    "2026-02-30",
    "é",
    "\U0001f600",
    "0",
    "-",
)
ODD_NUMBERS = (0, -1, 1, 2, 10**12, -(10**30), 0.5, -0.0, 1e-320, 1e308, 7.25)


def nudge(rng: random.Random, document: Any) -> None:
    """Change one place to another value of its kind, so that the schema alone does not refuse it."""
    parent, key = rng.choice(list(within(document)))
    value = parent[key]
    if isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, str):
        cut = rng.randint(0, len(value))
        parent[key] = rng.choice((*ODD_TEXTS, value[:cut], value + value))
    elif isinstance(value, (int, float)):
        odd = rng.choice((*ODD_NUMBERS, -value, value * 10))
        parent[key] = odd if isinstance(value, float) else int(odd)
    elif isinstance(value, list):
        parent[key] = rng.choice(([], value[:1], value[::-1], value + value, value[:-1]))
    elif isinstance(value, dict):
        some = rng.sample(list(value), rng.randint(0, len(value)))
        parent[key] = {one: value[one] for one in some}
    else:
        parent[key] = rng.choice((0, "", [], {}))


def journal(rng: random.Random) -> bytes:
    """A journal that leads astray, names what is not there, or is broken."""
    names = [
        "audit.json",
        "evidence/rows.parquet",
        "../../x",
        "/etc/x",
        "a/b/c",
        "evidence/..",
        "",
        "C:\\x",
        "new\n",
        ".",
    ]
    some = {name: rng.choice(("0" * 64, "", None)) for name in rng.sample(names, 3)}
    document: Any = {"schema": "xai-audit/commit/1", "files": some, "stale": rng.sample(names, 2)}
    if rng.random() < 0.5:
        change(rng, document)
    content = json.dumps(document).encode()
    return broken(rng, bytearray(content)) if rng.random() < 0.3 else content


def logged(rng: random.Random) -> bytes:
    """A log of some audits, with some of it changed or broken."""
    lines: list[bytes] = []
    for number in range(rng.randint(0, 4)):
        before = digest.of_bytes(lines[-1]) if lines else log.FIRST
        entry = {"number": number + 1, "previous": before, "audit": "0" * 64, "outcome": "pass"}
        if rng.random() < 0.3:
            change(rng, entry)
        lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode())
    content = b"".join(line + b"\n" for line in lines)
    return broken(rng, bytearray(content)) if content and rng.random() < 0.3 else content


def folder(rng: random.Random, place: Path) -> None:
    """Write one mangled audit folder."""
    shutil.copytree(GOLDEN, place)
    (place / "audit.json").write_bytes(mangled(rng))
    if rng.random() < 0.2:
        path = rng.choice([path for path in sorted(place.rglob("*")) if path.is_file()])
        path.write_bytes(broken(rng, bytearray(path.read_bytes())))
    (place.parent / LOG).write_bytes(logged(rng))
    if rng.random() < 0.05:
        (place / audit.WORK).mkdir()
        (place / audit.JOURNAL).write_bytes(journal(rng))
    if rng.random() < 0.05:
        path = place / rng.choice(("audit.json", "manifest.json", "report.html", "evidence"))
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        rng.choice((path.mkdir, path.touch, lambda: path.symlink_to("nowhere")))()


def asked(arguments: list[str]) -> tuple[int, str, str]:
    """The exit code of a command, and what it said on stdout and stderr."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = entry(arguments)
    return code, out.getvalue(), errors.getvalue()


def one(rng: random.Random, place: Path) -> str:
    """``read``, ``refused``, or what was wrong."""
    folder(rng, place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    # What a journal leads to outside the folder would be seen here.
    beside = sorted(path for path in place.parent.rglob("*") if place not in (path, *path.parents))
    codes = []
    few = COMMANDS if rng.random() < 0.2 else COMMANDS[:-1]
    for command in few if rng.random() < 0.5 else COMMANDS[:1]:
        options = [str(place.parent / LOG) if option == "LOG" else option for option in command[1:]]
        code, out, said = asked([command[0], str(place), *options])
        codes.append(code)
        lines = said.splitlines()
        if "internal error" in said or "Traceback" in said or code not in (0, 1, 2, 3, 4):
            return f"{command[0]}: {code}: {said[:300]}"
        if (code in (2, 4)) != bool(lines) or not all(line.strip() and line.isprintable() for line in lines):
            return f"{command[0]}: {code}, and not told in printable lines: {said[:300]!r}"
        if command[0] == "verify" and not all(line.isprintable() for line in out.splitlines()):
            return f"verify: not printable: {out[:300]!r}"
        now = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        if command[0] in READING and before != now:
            return f"{command[0]} wrote into the folder"
        before = now
    if beside != sorted(path for path in place.parent.rglob("*") if place not in (path, *path.parents)):
        return "something was written or removed beside the folder"
    return "refused" if codes[0] in (2, 4) else "read"


def run(seed: int, numbers: range, told: Callable[[str], None] = print) -> Counter[str]:
    """Read a mangled folder for each number; what is neither read nor refused is told with its number."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for number in numbers:
            place = Path(name) / "out"
            shutil.rmtree(place, ignore_errors=True)
            outcome = one(random.Random(f"{seed}:{number}"), place)
            if outcome not in ("read", "refused"):
                told(f"seed {seed}, folder {number}: {outcome}")
                outcome = "fault"
            counts[outcome] += 1
    return counts


def _part(asked_for: tuple[int, range]) -> Counter[str]:
    return run(*asked_for)


def main() -> int:
    """Print how many folders were read and refused; 1 where one was neither."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = secrets.randbelow(2**31) if given.seed is None else given.seed
    start = time.monotonic()
    counts: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for found in pool.imap_unordered(_part, [(seed, numbers) for numbers in parts(given.folders, 50)]):
            counts += found
    print(
        f"{counts.total():,} mangled folders, seed {seed}: {counts['read']:,} read, {counts['refused']:,} refused in "
        f"printable lines, {counts['fault']:,} faults; {time.monotonic() - start:.0f} s"
    )
    return 1 if counts["fault"] or counts.total() != given.folders else 0


if __name__ == "__main__":
    sys.exit(main())
