"""Pieces and whole steps drawn at random, run again with the model, and compared with what the audit holds."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xai_audit import digest, measure
from xai_audit.applying import CHANGE
from xai_audit.loaders.mistakes import shown
from xai_audit.pieces import FILE, Answered, Mapped, Record, name_of, of_arrays
from xai_audit.pipeline import publishable
from xai_audit.rerun import kept
from xai_audit.rerun.facts import apart
from xai_audit.rerun.machine import NEAR, said
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from pathlib import Path

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.measure import Settings, Step
    from xai_audit.method import Piece
    from xai_audit.spec import Spec
    from xai_audit.subject import Subject
    from xai_audit.workers import Counted


@dataclass(frozen=True, order=True)
class Unit:
    """What is drawn: one piece of one map of a step, or the step as a whole."""

    step: str
    map: int = -1
    index: int = -1

    @property
    def whole(self) -> bool:
        """Whether it is the step as a whole."""
        return self.map < 0


@dataclass(frozen=True)
class Again:
    """What running again needs."""

    audit: Audit
    folder: Path
    spec: Spec
    subject: Subject
    settings: Settings
    different: tuple[str, ...]
    """Why bits may differ here."""

    def evidence(self, step: Step) -> list[Evidence]:
        """The audit's evidence of one step."""
        return [piece for piece in self.audit.evidence if piece.id.partition("/")[0] == step.name]


# ------------------------------------------------------------------------------------------------ the draw
def asks(step: Step) -> bool:
    """Whether a method may ask the model; all others read the scores that are kept, and verify needs no model for them."""
    return step.method.kind == "explainer" or bool({"model", "network"} & set(step.method.needs))


def units(steps: Sequence[Step], record: Record) -> list[Unit]:
    """Everything that can be drawn: each recorded piece, and each step that may ask the model."""
    found = []
    for step in steps:
        maps = record.of(step.name)
        found += [
            Unit(step.name, place, index)
            for place, one in enumerate(maps)
            for index in range(len(one.pieces))
        ]
        # Whatever its status: that a step was skipped is as easily said as any number.
        if maps or asks(step):
            found.append(Unit(step.name))
    return found


def drawn(all_units: Sequence[Unit], n: int | None, seed: int) -> list[Unit]:
    """The ``n`` units with the smallest sha256 of the seed and their place: uniform, and the same anywhere."""
    if n is None or n >= len(all_units):
        return list(all_units)
    keys = {unit: digest.of_value([str(seed), unit.step, unit.map, unit.index]) for unit in all_units}
    return sorted(sorted(all_units, key=keys.__getitem__)[:n])


def compared(
    run: Again, steps: Sequence[Step], record: Record | None, n: int | None, seed: int
) -> Iterator[Check]:
    """Checks of each drawn unit, and what was drawn; whole steps alone where there is no record."""
    known = {step.name: step for step in steps}
    maps = () if record is None else record.maps
    for name in sorted({one.step for one in maps} - set(known)):
        what = f"it names a step {shown(name)} that the audited spec does not ask for"
        yield Check("broken", f"evidence/{FILE}", what)
    for piece in run.audit.evidence:
        # What changed since an earlier audit rests on that audit, not on the model alone.
        if piece.kind != "record" and piece.id.partition("/")[0] not in (*known, CHANGE):
            yield Check("broken", piece.id, "the audited spec and its policies ask for no such evidence")
    everything = units(steps, record or Record())
    chosen = drawn(everything, n, seed)
    for name in dict.fromkeys(unit.step for unit in chosen):
        recorded = None if record is None else record.of(name)
        yield from _step(run, known[name], recorded, [unit for unit in chosen if unit.step == name])
    yield _covered(everything, chosen, seed)


def _covered(everything: Sequence[Unit], chosen: Sequence[Unit], seed: int) -> Check:
    if not everything:
        return Check(
            "holds",
            "rerun",
            "no method of this audit asked the model beyond its scores, which were all compared",
        )
    counts = Counter(unit.step for unit in chosen)
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    what = f"{len(chosen)} of {len(everything)} pieces and steps were drawn with seed {seed} and run again: {listed}"
    return Check("holds", "rerun", what)


# ------------------------------------------------------------------------------------------------ one step
class _Enough(BaseException):  # nothing went wrong, and no method may catch it
    """All that was drawn of a step is there."""


@dataclass
class _Map:
    """A map as spec and data give it, with the answers that were computed."""

    work: Any
    pieces: Sequence[Piece]
    seeds: Sequence[int]
    answers: dict[int, Mapping[str, Any]]


@dataclass
class _Pool:
    """Computes the drawn pieces of a map; a whole map where something after it was drawn."""

    subject: Subject
    wanted: Sequence[Unit]
    maps: list[_Map] = field(default_factory=list)

    def map(
        self,
        work: Any,
        params: Any,
        pieces: Sequence[Piece],
        seeds: Sequence[int],
        progress: Counted,
    ) -> list[Mapping[str, Any]]:
        """The answers of all pieces; never returns from the last map that something was drawn of."""
        del progress
        number = len(self.maps)
        on = any(unit.whole or unit.map > number for unit in self.wanted)
        mine = {unit.index for unit in self.wanted if unit.map == number}
        made = _Map(work, pieces, seeds, {})
        self.maps.append(made)
        for index in range(len(pieces)):
            if on or index in mine:
                made.answers[index] = work(self.subject, params, pieces[index], seeds[index])
        if not on:
            raise _Enough
        return [made.answers[index] for index in range(len(pieces))]


def _step(
    run: Again, step: Step, recorded: Sequence[Mapped] | None, chosen: Sequence[Unit]
) -> Iterator[Check]:
    """The drawn pieces of a step, and the step as a whole where that was drawn or all its pieces were."""
    pieces = [unit for unit in chosen if not unit.whole]
    total = sum(len(one.pieces) for one in recorded or ())
    wanted = [*chosen, Unit(step.name)] if len(pieces) == total else chosen
    pool = _Pool(run.subject, wanted)
    evidence: list[Evidence] | None = None
    files: dict[str, bytes] = {}
    with contextlib.suppress(_Enough):
        evidence, files = measure.again(run.subject, step, run.settings, pool, run.audit.evidence)
    if recorded is not None:
        failed = next((piece.reason for piece in evidence or () if piece.status == "failed"), None)
        yield from _listed(run, step, pool.maps, recorded)
        # What was computed for something after it is compared as well.
        beside = [
            Unit(step.name, place, index) for place, made in enumerate(pool.maps) for index in made.answers
        ]
        known = {
            unit
            for unit in beside
            if unit.map < len(recorded) and unit.index < len(recorded[unit.map].pieces)
        }
        told = [_piece(run, step, pool.maps, recorded, unit, failed) for unit in sorted(known | {*pieces})]
        good = Counter(check.what for check in told if check.kind == "holds")
        for what, count in good.items():
            yield Check("holds", step.name, f"{count} of its {total} pieces, run again: {what}")
        yield from (check for check in told if check.kind != "holds")
    if evidence is not None and any(unit.whole for unit in wanted):
        yield from _whole(run, step, evidence, files)


def _listed(run: Again, step: Step, maps: Sequence[_Map], recorded: Sequence[Mapped]) -> Iterator[Check]:
    """Whether the record lists the pieces that spec and data give, of the maps that were reached."""
    for number, made in enumerate(maps):
        where = f"map {number + 1} of {step.name}"
        if number >= len(recorded):
            yield Check("broken", step.name, f"pieces.json lacks {where}, with {len(made.pieces)} pieces")
            continue
        one, work = recorded[number], name_of(made.work)
        if one.work != work:
            what = f"pieces.json has {where} done by {shown(one.work)}; the method uses {work}"
            yield Check("broken", step.name, what)
        if len(one.pieces) != len(made.pieces):
            what = (
                f"pieces.json has {len(one.pieces)} pieces of {where}; spec and data give {len(made.pieces)}"
            )
            yield Check("broken", step.name, what)
            continue
        given = [(piece.digest, f"{seed:032x}") for piece, seed in zip(made.pieces, made.seeds, strict=True)]
        told = [(piece.piece, piece.seed) for piece in one.pieces]
        off = sum(a != b for a, b in zip(given, told, strict=True))
        if off:
            what = f"{off} of {len(given)} pieces of {where} have other rows or seeds in pieces.json"
            yield Check(*_kind(run, step.name, what))


def _kind(run: Again, subject: str, what: str) -> tuple[Any, str, str]:
    """Broken here; elsewhere what depends on last digits is told and left open."""
    return (
        ("unchecked", subject, f"{what}; {said(run.different)}")
        if run.different
        else ("broken", subject, what)
    )


def _piece(
    run: Again, step: Step, maps: Sequence[_Map], recorded: Sequence[Mapped], unit: Unit, failed: str | None
) -> Check:
    name = f"piece {unit.index + 1} of {len(recorded[unit.map].pieces)}"
    if len(recorded) > 1:
        name += f" in map {unit.map + 1}"
    if failed is not None and (unit.map >= len(maps) or unit.index not in maps[unit.map].answers):
        return Check("unchecked", step.name, f"{name} cannot be run here: {shown(failed)}")
    if unit.map >= len(maps) or unit.index not in maps[unit.map].answers:
        return Check("broken", step.name, f"{name} is in pieces.json, and spec and data give no such piece")
    made, told = maps[unit.map], recorded[unit.map].pieces[unit.index]
    return _answer(run, step, made.pieces[unit.index], made.answers[unit.index], told, name)


def _answer(
    run: Again, step: Step, piece: Piece, answer: Mapping[str, Any], told: Answered, name: str
) -> Check:
    """The digest of the answer, and the arrays of the evidence that hold it."""
    found = of_arrays(answer)
    same = found is not None and found == told.answer
    seen = kept.compared(
        run.audit, run.folder, step.name, step.method.id, run.subject, piece, answer, near=bool(run.different)
    )
    if seen.wrong:
        return Check(*_kind(run, step.name, f"{name}: {seen.wrong}"))
    held = f", and the evidence holds it ({', '.join(seen.arrays)})" if seen.arrays else ""
    if same:
        return Check("holds", step.name, f"the recorded answer{held}")
    if found is None:
        return Check("unchecked", step.name, f"{name} gives objects that have no digest")
    if run.different and seen.arrays:
        return Check(
            "holds",
            step.name,
            f"other last digits, and to {NEAR:g} what the evidence holds ({', '.join(seen.arrays)})",
        )
    what = f"{name} answers with sha256 {found}; pieces.json has {shown(told.answer)}"
    return Check(*_kind(run, step.name, what))


def _whole(
    run: Again, step: Step, evidence: Sequence[Evidence], arrays: Mapping[str, bytes]
) -> Iterator[Check]:
    """All evidence of a step, as it would be published, beside what the audit holds."""
    files = dict(arrays)
    there = {piece.id: piece for piece in run.evidence(step)}
    reason = next((piece.reason for piece in evidence if piece.status == "failed"), None)
    if reason is not None and not any(piece.status == "failed" for piece in there.values()):
        yield Check("unchecked", step.name, f"the step cannot be run here: {shown(reason)}")
        return
    here = {piece.id: piece for piece in (publishable(piece, run.spec, files) for piece in evidence)}
    good = 0
    for identifier in sorted({*there, *here}):
        if identifier not in there or identifier not in here:
            where = "in the audit alone" if identifier in there else "not in the audit"
            yield Check(*_kind(run, identifier, f"run again, this evidence is {where}"))
            continue
        a, b = (one[identifier].model_dump(mode="json") for one in (there, here))
        wrong = apart(a, b)
        if wrong and run.different:
            # Digests, versions and sentences with rounded numbers follow the machine; the numbers themselves stay near.
            seen = ("status", "observation", "controls", "inference", "rung")
            wrong = apart({key: a[key] for key in seen}, {key: b[key] for key in seen}, tolerance=NEAR)
            wrong = wrong or kept.units_apart(run.folder, there[identifier], here[identifier], files)
        if wrong:
            yield Check(*_kind(run, identifier, f"run again, {wrong}"))
        else:
            good += 1
    if good:
        exact = f"to {NEAR:g}" if run.different else "byte for byte"
        what = f"run again as a whole: its evidence ({good}) comes out the same {exact}"
        yield Check("holds", step.name, what)
