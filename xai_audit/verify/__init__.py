"""An audit held to its own evidence: every number, rule and page made again from the folder alone, without the model.

Numbers are recomputed by code of this package, which shares no formula with the code that measured them. Shared are the
form of audit.json, the judge (a pure function, whose input is recomputed), how conditions on rows are read, the rule on
which groups are withheld (a pure function of the rows), and the drawing of pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

SHARED = (
    "the form of audit.json, the judge and its records, how conditions on rows are read, the rule on which groups are "
    "withheld, and the drawing of pages; "
    "every number is recomputed by code that measured none"
)
"""What recomputing shares with the code that made an audit."""


@dataclass(frozen=True)
class Topic:
    """One thing a person asks of an audit, and what was found."""

    name: str
    checks: tuple[Check, ...]

    def count(self, kind: str) -> int:
        """How many checks came out so."""
        return sum(1 for check in self.checks if check.kind == kind)


def verify(
    folder: Path,
    *,
    keys: Sequence[SSlibKey] = (),
    policies: Mapping[str, Mapping[str, Any]] | None = None,
    log: Path | None = None,
) -> Iterator[Topic]:
    """Everything that can be checked without the model, topic by topic.

    ``policies`` are policies to hold the audit's own to, as audit.json would keep them, by id; ``log`` the project's log.
    """
    from xai_audit import audit as folders
    from xai_audit.errors import UnavailableError
    from xai_audit.verify import changes, files, findings, history, pages, recount
    from xai_audit.verify.explained import explanations
    from xai_audit.verify.signature import signature

    manifest = files.manifest(folder)
    checks = [*manifest.checks]
    made = None
    if (folder / "audit.json").exists():
        checks.append(files.canonical(folder / "audit.json"))
        try:
            made = folders.read(folder)
            checks.extend(files.recorded(folder, made))
        except UnavailableError as error:
            checks.append(Check("broken", "audit.json", str(error)))
    yield Topic("files", tuple(checks))
    yield _topic("signature", lambda: signature(folder, made, manifest, keys))
    if made is None:
        return
    audit = made
    yield _topic("numbers", lambda: recount.recount(audit, folder))
    yield _topic("explanations", lambda: explanations.explained(audit, folder))
    yield _topic("changes", lambda: changes.changed(audit, folder))
    yield _topic("rules", lambda: findings.findings(audit))
    yield _topic("policies", lambda: findings.policies(audit, policies or {}))
    yield _topic("pages", lambda: pages.pages(folder, audit))
    yield _topic("freeze", lambda: history.frozen(folder, audit, keys))
    if log is not None:
        yield _topic("log", lambda: history.logged(folder, audit, log))


def exit_code(topics: Sequence[Topic]) -> int:
    """1 where something does not hold, 3 where something could not be checked, else 0."""
    kinds = {check.kind for topic in topics for check in topic.checks}
    return 1 if "broken" in kinds else 3 if "unchecked" in kinds else 0


def _topic(name: str, checks: Callable[[], Iterator[Check]]) -> Topic:
    found: list[Check] = []
    try:
        found.extend(checks())
    except Exception as error:  # noqa: BLE001  # a forged folder may hold anything; what crashes is never taken to hold
        reason = " ".join(str(error).split())[:160]
        found.append(Check("unchecked", name, f"it could not be checked: {type(error).__name__}: {reason}"))
    return Topic(name, tuple(found))
