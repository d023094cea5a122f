"""Runs that are killed, full disks and closed folders: `python -m benchmarks.durability [--kills 200] [--seed N]`.

Each trial starts a run, over an older audit of another seed or into an empty folder, and kills its whole process group
with SIGKILL: at a moment drawn uniformly over the run's duration, or after a number of system calls (fsync, rename,
unlink) drawn uniformly over all of them, which this file slows down in the child. What is left must be the old audit
byte for byte, the new one whole, no audit at all, or, in the milliseconds of renaming, a journal that readers refuse
to read past. `--resume` must end in the audit of an uninterrupted run. Disks are filled at every stage, on real file systems
where they can be mounted here. The seed is drawn at run time and printed.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xai_audit import audit, digest
from xai_audit.cli import entry

SPEC = """\
version: 1
system: {{name: A small model}}
model: {{path: m.skops}}
data: {{train: {{path: t.csv}}, test: {{path: t.csv}}, target: y, features: [a, b, c], sensitive: [g]}}
metrics: [accuracy, recall]
explainers: [{{shap: {{rows: {rows}, background: 10}}}}, {{lime: {{rows: 32}}}}, permutation_importance]
policies: [eu-ai-act]
report: {{formats: [html]}}
run: {{seed: {seed}}}
"""

CALLS = ("fsync", "replace", "unlink")
"""What a write is made of; the child says each before it makes it, where it is slowed down."""


def prepare(place: Path, rows: int = 96) -> None:
    """A model, its data, a spec with seed 0 and one with seed 1."""
    from sklearn.linear_model import LogisticRegression
    from skops import io

    rng = np.random.default_rng(3)
    frame = pd.DataFrame({name: rng.normal(size=300).round(3) for name in "abc"})
    frame["g"] = rng.choice(["x", "y"], 300)
    frame["y"] = (frame.a + 0.5 * frame.b + rng.normal(size=300) * 0.5 > 0).astype(int)
    frame.to_csv(place / "t.csv", index=False)
    io.dump(LogisticRegression().fit(frame[["a", "b", "c"]], frame.y), place / "m.skops")
    for seed in (0, 1):
        (place / f"seed{seed}.yaml").write_text(SPEC.format(seed=seed, rows=rows))


class Call:
    """One command in a process group of its own, forked from this process, so that it starts at once."""

    def __init__(self, *arguments: str | Path, slow: float = 0, user: int | None = None) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - read after the process has ended
        self._told, telling = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run([str(argument) for argument in arguments], slow, user, telling)
        os.close(telling)

    def _run(self, arguments: list[str], slow: float, user: int | None, telling: int) -> None:
        code = 70
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(self.errors.fileno(), 2)
            if user is not None:
                os.setgid(user)
                os.setuid(user)
            for name in CALLS if slow else ():
                setattr(os, name, _slowed(getattr(os, name), slow, telling))
            code = entry(arguments)
            sys.stderr.flush()
        finally:
            os._exit(code)

    def calls(self, count: int) -> None:
        """Wait until so many calls were told, or the process has ended."""
        while count > 0 and (told := os.read(self._told, count)):
            count -= len(told)

    def kill(self) -> None:
        """End the process and all its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.code()
        # What loky's own helper would have removed had it not been killed as well.
        for path in Path("/dev/shm").glob(f"*loky-{self.pid}-*"):  # noqa: S108
            path.unlink(missing_ok=True)

    def code(self) -> int:
        """The exit code, once it has ended; minus the signal that ended it."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self._told)
        return os.waitstatus_to_exitcode(status)

    def said(self) -> list[str]:
        """The lines on stderr."""
        self.errors.seek(0)
        return self.errors.read().decode().splitlines()


def _slowed(call: Callable[..., Any], slow: float, telling: int) -> Callable[..., Any]:
    def slowed(*arguments: Any, **more: Any) -> Any:
        os.write(telling, b".")
        time.sleep(slow)
        return call(*arguments, **more)

    return slowed


def done(*arguments: str | Path, **more: Any) -> tuple[int, list[str]]:
    """The exit code of a command and what it said on stderr."""
    call = Call(*arguments, **more)
    return call.code(), call.said()


@dataclass(frozen=True)
class Bed:
    """A place with a spec, an older audit and what an uninterrupted run gives."""

    place: Path
    old: Path
    wanted: audit.Audit
    codes: dict[str, int]
    """What a run that could write exits with, by its seed's folder."""
    seconds: dict[int, float]
    calls: dict[int, int]


def files(folder: Path, *, hidden: bool = False) -> dict[str, str]:
    """The digest of every file of a folder, without those that begin with a dot or lie below one that does."""
    return {
        path.relative_to(folder).as_posix(): digest.of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (hidden or not any(part.startswith(".") for part in path.relative_to(folder).parts))
    }


def state(folder: Path, old: dict[str, str], made: Bed, earlier: Mapping[str, str] | None = None) -> str:
    """What a kill left: ``none``, ``old``, ``new``, ``between``; AssertionError for anything else.

    ``earlier`` are the files of an attempt that was cut off before, whose pages tell another hour.
    """
    found = files(folder) if folder.exists() else {}
    before = files(folder, hidden=True) if folder.exists() else {}
    code, said = done("gate", folder, "--quiet")
    assert (files(folder, hidden=True) if folder.exists() else {}) == before, "gate wrote"
    if (folder / audit.JOURNAL).exists():
        new = json.loads((folder / audit.JOURNAL).read_bytes())["files"]
        known = [old, new, earlier or {}]
        strange = {name for name, sha256 in found.items() if sha256 not in [one.get(name) for one in known]}
        assert not strange, f"neither old nor new: {strange}"
        if "audit.json" in found:
            audit.Audit.model_validate_json((folder / "audit.json").read_bytes())
        assert (code, len(said)) == (4, 1), f"gate read past a journal: {code}, {said}"
        assert "interrupted" in said[0]
        return "between"
    if found == old:
        assert code == (made.codes["old"] if old else 4), f"gate: {code}, {said}"
        return "old" if old else "none"
    whole(folder, made.wanted)
    assert code == made.codes["new"], f"gate: {code}, {said}"
    return "new"


def whole(folder: Path, wanted: audit.Audit) -> None:
    """AssertionError where a folder is not the wanted audit, each file as its manifest says."""
    found = files(folder)
    told = json.loads((folder / "manifest.json").read_bytes())["files"]
    assert {**told, "manifest.json": found["manifest.json"]} == found, "not as its manifest says"
    made = audit.read(folder)
    assert digest.canonical(made.without_run()) == digest.canonical(wanted.without_run()), "another audit"


def bed(place: Path, *, jobs: tuple[int, ...] = (1, 2), rows: int = 96, slow: float = 0.01) -> Bed:
    """Make the bed: two audits of two seeds, the durations and the calls of a run."""
    prepare(place, rows)
    os.chdir(place)
    seconds, calls, codes = {}, {}, {}
    # In this very process, so that the children have every module and nothing but the run is killed.
    codes["old"] = entry(["run", "seed1.yaml", "-o", "old", "--quiet", "--jobs", "1"])
    for count in jobs:
        started = time.monotonic()
        codes["new"], said = done("run", "seed0.yaml", "-o", "whole", "--quiet", "--jobs", str(count))
        assert {*codes.values()} <= {0, 1, 3}, said
        seconds[count] = time.monotonic() - started
        call = Call("run", "seed0.yaml", "-o", "counted", "--quiet", "--jobs", str(count), slow=slow)
        calls[count] = 0
        while told := os.read(call._told, 4096):  # noqa: SLF001 - its own counterpart
            calls[count] += len(told)
        assert call.code() == codes["new"]
    return Bed(place, place / "old", audit.read(place / "whole"), codes, seconds, calls)


def killed(made: Bed, rng: random.Random, *, over: bool, jobs: int, writing: bool, slow: float = 0.01) -> str:
    """One trial; what the kill left. AssertionError where it is nothing that may be."""
    folder = made.place / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    if over:
        shutil.copytree(made.old, folder)
    old = files(made.old) if over else {}
    arguments = ("run", "seed0.yaml", "-o", folder, "--quiet")
    call = Call(*arguments, "--jobs", str(jobs), slow=slow if writing else 0)
    if writing:
        call.calls(rng.randint(1, made.calls[jobs]))
        time.sleep(rng.random() * slow * 1.5)
    else:
        time.sleep(rng.random() * made.seconds[jobs])
    call.kill()
    left = state(folder, old, made)
    earlier = files(folder) if folder.exists() else {}
    if left == "between":
        earlier |= json.loads((folder / audit.JOURNAL).read_bytes())["files"]
    if rng.random() < 0.3:
        # Finishing is cut off as well.
        again = Call(*arguments, "--resume", "--jobs", "1", slow=slow)
        again.calls(rng.randint(1, made.calls[1]))
        again.kill()
        state(folder, old, made, earlier)
    if left == "between" and rng.random() < 0.5:
        code, said = done("render", folder)
        assert code == 0, said
        whole(folder, made.wanted)
    code, said = done(*arguments, "--resume", "--jobs", "1")
    assert code == made.codes["new"], f"--resume: {code}, {said}"
    whole(folder, made.wanted)
    hidden = files(folder, hidden=True).keys() - files(folder).keys()
    assert not hidden, f"left behind: {hidden}"
    assert files(folder).keys() == files(made.place / "whole").keys(), "other files than an uninterrupted run"
    return left


@dataclass
class Told:
    """Faults, told as they are found."""

    faults: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def looked(self, what: str) -> Iterator[None]:
        """Keep what does not hold, and go on."""
        try:
            yield
        except (AssertionError, OSError, ValueError) as error:
            self.faults.append(f"{what}: {error}")
            print(f"FAULT {what}: {error}", flush=True)


def kills(made: Bed, count: int, rng: random.Random, told: Told) -> Counter[tuple[str, ...]]:
    """``count`` trials: jobs 1 and 2, over an old audit and into an empty folder, anywhere and among the writes."""
    table: Counter[tuple[str, ...]] = Counter()
    for number in range(count):
        over, writing = bool(number % 2), bool(number // 2 % 2)
        jobs = tuple(made.seconds)[number // 4 % len(made.seconds)]
        with told.looked(f"kill {number} (over {over}, jobs {jobs}, writing {writing})"):
            left = killed(made, rng, over=over, jobs=jobs, writing=writing)
            table[str(jobs), "old audit" if over else "empty", "writing" if writing else "any", left] += 1
    return table


# ------------------------------------------------------------------------------------------------ disks
@contextlib.contextmanager
def mounted(place: Path, kind: str, size: int, options: str = "") -> Iterator[Path | None]:
    """A file system of its own: ``tmpfs``, or ``ext4`` in a file; None where it cannot be mounted here."""
    place.mkdir(exist_ok=True)
    image = place.with_suffix(".img")
    try:
        if kind == "ext4":
            with image.open("wb") as stream:
                stream.truncate(size)
            _done("mkfs.ext4", "-q", "-m", "0", "-b", "1024", image)
            _done("mount", "-o", "loop", image, place)
        else:
            _done("mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", place)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield place
    finally:
        _done("umount", place)
        image.unlink(missing_ok=True)


def _done(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)  # noqa: S603


def fill(place: Path, free: int) -> None:
    """Leave about so many bytes free, with a file that is no part of any audit."""
    ballast = place / "ballast"
    ballast.unlink(missing_ok=True)
    os.sync()
    there = os.statvfs(place)
    want = there.f_bavail * there.f_frsize - free
    with ballast.open("wb", buffering=0) as stream:
        block = bytes(1 << 14)
        try:
            while want > 0:
                want -= stream.write(block[: min(want, len(block))])
            os.fsync(stream.fileno())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def filled(made: Bed, place: Path, free: int, command: str, *, over: bool) -> str:
    """One command on a disk with so much left: ``written``, or at what it was refused; AssertionError else."""
    folder = place / "out"
    (place / "ballast").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if over:
        shutil.copytree(made.old, folder)
    old = files(folder) if over else {}
    fill(place, free)
    arguments = ("render", folder) if command == "render" else ("run", "seed0.yaml", "-o", folder, "--quiet")
    sizes: list[int] = []
    stage = ""
    for _ in range(2):
        code, said = done(*arguments)
        if code != 4:
            break
        stage = refused(folder, old, said)
        sizes.append(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    else:
        assert sizes[0] == sizes[1], f"what is left grows: {sizes}"
        (place / "ballast").unlink()
        code, said = done(*arguments, *(("--resume",) if command == "run" else ()))
        assert code in (0, made.codes["new"]), f"with room again: {code}, {said}"
        whole(folder, audit.read(made.old) if command == "render" else made.wanted)
        return stage
    assert code in (0, made.codes["new"]), f"{code}, {said}"
    whole(folder, audit.read(made.old) if command == "render" else made.wanted)
    return "written"


STAGES = {
    ".subject": "rows for workers",
    "pieces": "pieces",
    "/new": "new files",
    "commit.json": "the journal",
    "": "the folder",
}
"""What could not be written, by what its path holds."""


def refused(folder: Path, old: dict[str, str], said: list[str]) -> str:
    """What could not be written; AssertionError where anything changed or was not said clearly."""
    assert files(folder) == old, "the old audit is not whole"
    assert len(said) == 1, said
    assert "cannot be written" in said[0], said
    assert ("the audit that was there is unchanged" if old else "no audit was written") in said[0], said
    temporary = [
        name for name in files(folder, hidden=True) if ".work/pieces/" not in name and name not in old
    ]
    assert not temporary, f"left behind: {temporary}"
    return next(stage for part, stage in STAGES.items() if part in said[0].partition(": cannot")[0])


def full(made: Bed, told: Told, steps: int) -> None:
    """Full disks at ``steps`` sizes on each file system, then ever closer to the one that is enough."""
    need = sum(path.stat().st_size for path in (made.place / "whole").rglob("*")) + (1 << 19)
    for kind in ("tmpfs", "ext4"):
        with mounted(made.place / kind, kind, 16 << 20) as place:
            if place is None:
                print(f"{kind}: not run: it cannot be mounted here (are you root?)")
                continue
            for command, over in (("run", True), ("run", False), ("render", True)):
                counts: Counter[str] = Counter()
                low, high = 0, need
                # No room at all and room for everything are always tried.
                between = max(2, steps) - 1
                sizes = [int(need * (step / between) ** 1.5) for step in range(between + 1)]
                while sizes or high - low > max(1024, need >> steps):
                    free = sizes.pop() if sizes else (low + high) // 2
                    stage = "a fault"
                    with told.looked(f"{kind}, {command} over {over}, {free:,} bytes free"):
                        stage = filled(made, place, free, command, over=over)
                    counts[stage] += 1
                    low, high = (low, min(high, free)) if stage == "written" else (max(low, free), high)
                over_what = "over an old audit" if over else "into an empty folder"
                print(
                    f"{kind}: {command} {over_what}, {_summed(counts)}; enough at about {high:,} bytes",
                    flush=True,
                )
    with mounted(made.place / "inodes", "tmpfs", 16 << 20, ",nr_inodes=60") as place:
        if place is not None:
            counts = Counter()
            for spare in range(0, 50, max(1, 50 // steps)):
                with told.looked(f"{spare} inodes taken"):
                    counts[_few_names(made, place, spare)] += 1
            print(f"tmpfs without names left: run over an old audit, {_summed(counts)}", flush=True)


def _summed(counts: Counter[str]) -> str:
    at = ", ".join(f"{count} at {stage}" for stage, count in sorted(counts.items()) if stage != "written")
    return f"{counts.total()} sizes: refused with exit 4 and nothing changed {at or 'nowhere'}; {counts['written']} written"


def _few_names(made: Bed, place: Path, taken: int) -> str:
    """A run on a file system that has room but no more names."""
    for path in place.glob("*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder = place / "out"
    shutil.copytree(made.old, folder)
    old = files(folder)
    for number in range(taken):
        with contextlib.suppress(OSError):
            (place / f"taken{number}").touch()
    code, said = done("run", "seed0.yaml", "-o", folder, "--quiet")
    if code == 4:
        return refused(folder, old, said)
    assert code == made.codes["new"], f"{code}, {said}"
    whole(folder, made.wanted)
    return "written"


def closed(made: Bed, told: Told) -> list[str]:
    """Folders that cannot be written: a file system mounted read-only, and modes for a user who is not root."""
    lines = []
    with mounted(made.place / "readonly", "tmpfs", 16 << 20) as place:
        if place is None:
            lines.append("read-only file system: not run: none can be mounted here (are you root?)")
        else:
            shutil.copytree(made.old, place / "out")
            _done("mount", "-o", "remount,ro", place)
            for arguments in (
                ("run", "seed0.yaml", "-o", place / "out", "--quiet"),
                ("render", place / "out"),
            ):
                with told.looked(f"read-only file system: {arguments[0]}"):
                    code, said = done(*arguments)
                    assert code == 4, code
                    refused(place / "out", files(made.old), said)
                    code, said = done("gate", place / "out", "--quiet")
                    assert code == made.codes["old"], f"gate on a read-only disk: {code}, {said}"
            lines.append(
                "read-only file system: run and render refused with exit 4, nothing changed; gate reads it"
            )
    root = os.geteuid() == 0
    user = 65534 if root else None
    for closed_at in ("out", "out/evidence"):
        folder = made.place / "modes"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made.old, folder / "out")
        for path in (made.place, folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (folder / closed_at).chmod(0o555)
        for arguments in (("run", "seed0.yaml", "-o", folder / "out", "--quiet"), ("render", folder / "out")):
            if arguments[0] == "render" and closed_at == "out/evidence":
                continue  # it writes nothing there
            with told.looked(f"{closed_at} closed: {arguments[0]}"):
                code, said = done(*arguments, user=user)
                assert code == 4, f"{code}, {said}"
                refused(folder / "out", files(made.old), said)
        (folder / closed_at).chmod(0o777)
        lines.append(
            f"{closed_at} without the right to write, not as root: refused with exit 4, nothing changed"
        )
    return lines


def printed(table: Counter[tuple[str, ...]]) -> None:
    """One line for each kind of trial."""
    states = ("none", "old", "between", "new")
    heads = ("jobs", "folder", "moment", "no audit yet", "old whole", "journal stands", "new whole")
    print(" | ".join(f"{head:>14}" for head in heads))
    for kind in sorted({key[:3] for key in table}):
        print(" | ".join(f"{cell!s:>14}" for cell in (*kind, *(table[*kind, each] for each in states))))


def main() -> int:
    """Print what kills, full disks and closed folders left; 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", type=int, default=96, help="explained rows, which make a run longer")
    parser.add_argument(
        "--disks", type=int, default=10, help="sizes of each full disk; 0: none, nor closed folders"
    )
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    told = Told()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        made = bed(Path(name).resolve(), jobs=tuple(asked.jobs), rows=asked.rows)
        print(f"seed {seed}; a run takes {made.seconds} s and {made.calls} calls by jobs", flush=True)
        table = kills(made, asked.kills, random.Random(seed), told)
        printed(table)
        print(
            f"{asked.kills} runs killed: {table.total()} left a whole folder or a journal, and ended in the same audit "
            f"with --resume; {time.monotonic() - start:.0f} s",
            flush=True,
        )
        if asked.disks:
            full(made, told, asked.disks)
            for line in closed(made, told):
                print(line, flush=True)
        os.chdir("/")
    print(f"{len(told.faults)} faults, {time.monotonic() - start:.0f} s")
    return 1 if told.faults else 0


if __name__ == "__main__":
    sys.exit(main())
