"""Every rule held again to the evidence, and the shipped policies to what this build ships."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from xai_audit import digest, judged, resources
from xai_audit.policy import as_applied
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.audit import Audit

_WORDS = ("title", "message", "threshold", "tip", "why", "note", "affected", "settle", "reason", "quantity")
"""What another version may say in other words; everything else must be equal."""


def findings(audit: Audit) -> Iterator[Check]:
    """The records, the findings, the counts and the outcome, made again from evidence, spec and policies.

    The judge is the production one: it is pure, and its input has been recomputed by other code.
    """
    try:
        policies = judged.policies_of(audit)
        kept = [str(rules["sha256"]) for rules in audit.policies]
        started = datetime.datetime.fromisoformat(audit.run["started"]).date()
        made = judged.again(audit, list(zip(policies, kept, strict=True)), started)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        yield Check("broken", "audit.json", f"its rules cannot be applied again: {reason}")
        return
    same = audit.environment.get("tool") == resources.tool_digest()
    yield from _records(audit, made, same=same)
    yield from _rules(audit, made, same=same)
    for key in ("outcome", "counts", "reasons"):
        if key == "reasons" and not same:
            continue
        before, now = getattr(audit, key), getattr(made, key)
        if before == now:
            yield Check("holds", key, "the same again")
        else:
            yield Check("broken", key, f"audit.json says {before}, and the rules give {now}"[:400])


def policies(audit: Audit, known: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """Each policy held to the file of its name: shipped with this build, or given by the person who asks.

    ``known`` are policies as audit.json would keep them, by id.
    """
    same = audit.environment.get("tool") == resources.tool_digest()
    for kept in audit.policies:
        subject, file = f"policy/{kept.get('id')}", known.get(str(kept.get("id")))
        if file is None:
            yield Check("holds", subject, "the provider's own; --policy FILE holds it to a file")
        elif _applied(kept) == file:
            yield Check("holds", subject, f"as its file, sha256 {file['sha256']}")
        elif same or kept.get("sha256") == file["sha256"]:
            yield Check(
                "broken", subject, "what audit.json applied under this name is not what its file says"
            )
        else:
            what = f"its file here has sha256 {file['sha256']}, the one applied {kept.get('sha256')}; another version?"
            yield Check("unchecked", subject, what)


def _applied(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A policy as this version writes it down, so that a key with its default value is no difference."""
    from xai_audit.policy import Policy

    try:
        policy = Policy.model_validate({key: value for key, value in kept.items() if key != "sha256"})
    except ValueError:
        return {}
    return as_applied(policy, str(kept.get("sha256")))


def _records(audit: Audit, made: Audit, *, same: bool) -> Iterator[Check]:
    now = {piece.id: piece for piece in made.evidence if piece.kind == "record"}
    before = {piece.id: piece for piece in audit.evidence if piece.kind == "record"}
    for name in sorted({*now, *before}):
        if name not in before:
            # A record that a later version adds is none that an earlier one took away.
            if same:
                yield Check("broken", name, "this record belongs to the audit and is not in audit.json")
        elif name not in now:
            yield Check("broken", name, "nothing in this audit gives such a record")
        else:
            wanted, found = (_plain(one[name].model_dump(mode="json"), same=same) for one in (now, before))
            if name == "policy_precedes_run" and not same:
                # Fingerprints were taken otherwise by earlier versions; the rules themselves are compared beside it.
                for one in (wanted, found):
                    one["params"].pop("policies", None)
            yield _compared(name, found, wanted)


def _rules(audit: Audit, made: Audit, *, same: bool) -> Iterator[Check]:
    before = {(one.policy, one.rule): one for one in audit.findings}
    now = {(one.policy, one.rule): one for one in made.findings}
    if len(before) != len(audit.findings):
        yield Check("broken", "findings", "a rule has two findings")
    for key in sorted({*before, *now}):
        subject = "/".join(key)
        if key not in before:
            yield Check("broken", subject, "the policy has this rule, and audit.json has no finding for it")
        elif key not in now:
            yield Check("broken", subject, "audit.json has a finding, and no policy has this rule")
        else:
            wanted, found = (_plain(one[key].model_dump(mode="json"), same=same) for one in (now, before))
            yield _compared(subject, found, wanted)


def _compared(subject: str, found: Any, wanted: Any) -> Check:
    place = _differs("", found, wanted)
    if place is None:
        return Check("holds", subject, "the same again")
    at, said, again = place
    return Check("broken", subject, f"{at} is {_short(said)} in audit.json and {_short(again)} made again")


def _short(value: Any) -> str:
    text = digest.canonical(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _differs(path: str, found: Any, wanted: Any) -> tuple[str, Any, Any] | None:
    """The first place at which two values differ, with both."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            below = _differs(f"{path}.{key}" if path else key, found.get(key), wanted.get(key))
            if below:
                return below
        return None
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for index, pair in enumerate(zip(found, wanted, strict=True)):
            below = _differs(f"{path}[{index}]", *pair)
            if below:
                return below
        return None
    return None if found == wanted and type(found) is type(wanted) else (path, found, wanted)


def _plain(value: Any, *, same: bool) -> Any:
    """What must be equal: all of it for the same build, all but the wording for another."""
    if same:
        return value
    if isinstance(value, dict):
        return {
            key: _plain(item, same=False)
            for key, item in value.items()
            if key not in (*_WORDS, "measures", "limits")
        }
    return [_plain(item, same=False) for item in value] if isinstance(value, list) else value
