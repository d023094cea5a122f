"""An audit held to its model: the subject loaded again, and pieces drawn at random run again and compared.

What runs is chosen by the audited spec and the installed methods. The folder's record of pieces is compared with what
they give; no name in it is imported. A model that can carry code, or stands behind a URL, is asked only where the
person who verifies names it; what that means is said in ``opening``.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from xai_audit import digest, pieces
from xai_audit.errors import UnavailableError
from xai_audit.judged import policies_of
from xai_audit.pipeline import plan, settings_of
from xai_audit.rerun import facts, opening, predictions, steps
from xai_audit.rerun.machine import differences
from xai_audit.rerun.model import described, model_is
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xai_audit.audit import Audit

__all__ = ["fresh_seed", "model_is", "rerun"]


def fresh_seed() -> int:
    """A seed that nobody who wrote the audit could foresee."""
    return secrets.randbits(64)


def rerun(
    audit: Audit,
    folder: Path,
    n: int | None,
    *,
    seed: int,
    spec_path: Path | None = None,
    model: str | None = None,
) -> Iterator[Check]:
    """Check by check, whether model and data are the audited ones and the same answers come out.

    The scores of all test rows are compared, since loading a model asks for them; ``n`` of the recorded pieces and
    whole steps (None: all) are drawn by ``seed`` and run again. ``spec_path`` says where the audited paths begin,
    ``model`` stands in the place of the audited path. UnavailableError where a file is not there, the installation
    lacks something, or a model that can run code or is behind a URL was not named.
    """
    place = opening.spec_of(audit, folder, spec_path, model)
    about = described(audit)
    named = model_is(audit, "" if about is None else opening.place_of(place, about))
    yield named
    if named.kind == "broken":
        return  # another model is not opened
    subject = opening.loaded(place)
    same = [*facts.data(audit, subject), *facts.dictionaries(audit, subject)]
    yield from same
    if any(check.kind == "broken" for check in same):
        return
    different = differences(audit, subject)
    yield from facts.subject(audit, subject, different, renamed=place.renamed)
    yield from predictions.compared(folder, subject, different)
    if about is None:
        return
    record, wrong = _record(audit, folder)
    yield from wrong
    if any(check.kind == "broken" for check in wrong):
        return
    spec = place.audited
    try:
        policies = policies_of(audit)
        asked = plan(spec, policies, subject.task)
    except (KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        message = f"{folder / 'audit.json'}: what it asks for is not what is installed here: {reason}"
        raise UnavailableError(message) from None
    run = steps.Again(audit, folder, spec, subject, settings_of(spec, policies), different)
    yield from steps.compared(run, asked, record, n, seed)


def _record(audit: Audit, folder: Path) -> tuple[pieces.Record | None, list[Check]]:
    """What pieces.json holds, once it is the file that audit.json names; None where it names none."""
    name, expected = f"evidence/{pieces.FILE}", audit.run.get("pieces")
    if expected is None:
        what = (
            "audit.json names no record of pieces, as earlier versions did not: whole steps alone are drawn"
        )
        return None, [Check("unchecked", name, what)]
    try:
        content = (folder / "evidence" / pieces.FILE).read_bytes()
    except OSError as error:
        return None, [Check("broken", name, f"cannot be read: {error.strerror or error}")]
    found = digest.of_bytes(content)
    if found != expected:
        return None, [Check("broken", name, f"has sha256 {found}; audit.json names {str(expected)[:64]!r}")]
    try:
        return pieces.read(content), []
    except ValueError as error:
        return None, [Check("broken", name, f"is no record of pieces: {error}")]
