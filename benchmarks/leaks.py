"""Can what is hidden be worked out from what is published? COMPAS with crossings, and 20 tables of random shapes.

    .venv/bin/python -m benchmarks.leaks [--tables 20] [--first 0]

Each audit is attacked as in tests/leaks.py: every count, rate and fact that the publishable files state is an equation in
the numbers of rows of each combination of groups, label and prediction; hidden numbers are looked for by exact elimination
and by linear programming, ids, digests and cells of single rows by search through every format there is. COMPAS is also
audited by the rule as it was, table by table, so that the attack is seen to find what there is. Exits with 1 where anything
is found under the present rule, or nothing under the old one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from tests import leaks  # noqa: E402
from tests.test_leaks import table_by_table  # noqa: E402
from xai_audit import subject  # noqa: E402
from xai_audit.withholding import Withholding  # noqa: E402

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@contextmanager
def old_rule() -> Iterator[None]:
    with (
        mock.patch.object(subject, "_withheld", table_by_table),
        mock.patch.object(Withholding, "listed", return_value=True),
    ):
        yield


def line(name: str, out: Path, found: leaks.Found) -> str:
    made = leaks.published(out)
    cells, covered = 0, 0
    for piece in made["evidence"]:
        if piece["method"] == "selection_rate" and piece["observation"]["shape"] == "groups":
            keys = {
                tuple(sorted((k, v) for k, v in group["key"].items() if k != "class")): group["status"]
                for group in piece["observation"]["groups"]
            }
            if keys != {(): "measured"}:
                cells += len(keys)
                covered += sum(status == "suppressed" for status in keys.values())
    kinds = Counter(f"{leak.what.split()[0]} {leak.how.split()[0]}" for leak in found.leaks)
    narrow = "-" if not found.hidden else str(found.narrowest)
    return (
        f"{name:34} {covered:4} of {cells:4} listed groups hidden, {found.equations:4} equations, "
        f"{found.numbers:5} hidden numbers, "
        f"sizes left {narrow:>3}, said of a whole {found.said:4}, LEAKS {len(found.leaks)} {dict(kinds) if kinds else ''}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        for crossings in ("pairs", "all") if DATA.is_dir() else ():
            for minimum in (5, 10, 20):
                name = f"compas {crossings} min_cell {minimum}"
                spec = leaks.compas(DATA, Path(place) / name.replace(" ", "-"), crossings, minimum=minimum)
                with old_rule():
                    out = leaks.run(spec, spec.parent / "old")
                    found = leaks.attack(out)
                bad += not found.leaks
                print(line(f"{name}, as it was", out, found), flush=True)
                out = leaks.run(spec, spec.parent / "new")
                found = leaks.attack(out, leaks.words_of(spec, "c_jail_in"))
                bad += bool(found.leaks)
                print(line(name, out, found), flush=True)
        for seed in range(given.first, given.first + given.tables):
            spec = leaks.generated(seed, Path(place) / f"table-{seed}")
            out = leaks.run(spec, spec.parent / "out")
            found = leaks.attack(out, leaks.words_of(spec, "remark"))
            bad += bool(found.leaks)
            made = leaks.published(out)["spec"]
            name = f"table {seed:3} {made['data']['crossings']} min_cell {made['report']['min_cell']}"
            print(line(name, out, found), flush=True)
            for leak in found.leaks[:5]:
                print("   ", leak)
    print(
        "nothing can be worked out"
        if not bad
        else f"{bad} audits give something away, or hide what the old rule gave away"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
