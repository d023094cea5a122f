"""Whether the data are the audited ones, and what audit.json says of model and data is what loading finds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xai_audit import card, digest
from xai_audit.errors import UnavailableError
from xai_audit.loaders.mistakes import shown
from xai_audit.rerun.machine import said
from xai_audit.spec import Spec
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.subject import Subject as Loaded


def data(audit: Audit, subject: Loaded) -> Iterator[Check]:
    """Every table and set by the digest of its rows."""
    listed = _tables(audit, "data")
    there = {**listed, **{f"sets.{name}": one for name, one in _tables(audit, "sets").items()}}
    tables = {"train": subject.train, "test": subject.test}
    here = {
        **{name: rows for name, rows in tables.items() if rows is not None},
        **{f"sets.{name}": rows for name, rows in subject.sets.items()},
    }
    for name in sorted({*there, *here}):
        if name not in there or name not in here:
            where = (
                "in the audit and not in its spec" if name in there else "in the spec and not in the audit"
            )
            yield Check(
                "broken", f"data.{name}", f"the data are not the audited ones: {shown(name)} is {where}"
            )
            continue
        found, expected = card.content(here[name]), str(there[name].get("sha256"))
        if found == expected:
            yield Check("holds", f"data.{name}", f"its {here[name].n:,} rows are those that were audited")
        else:
            what = f"its rows have sha256 {found} and the audited ones {shown(expected)}"
            yield Check("broken", f"data.{name}", f"the data are not the audited ones: {what}")


def dictionaries(audit: Audit, subject: Loaded) -> Iterator[Check]:
    """Every sparse dictionary that the spec names, by the digest of its files."""
    there = [one for one in audit.subject.get("dictionaries", ()) if isinstance(one, dict)]
    digests = {(str(one.get("site")), str(one.get("path"))): str(one.get("sha256")) for one in there}
    for one in subject.dictionaries:
        expected, name = digests.get((one.site, one.path)), f"dictionaries.{one.site}"
        if one.sha256 == expected:
            yield Check("holds", name, "the dictionary is the one that was audited")
        else:
            what = f"it has sha256 {one.sha256} and the audited one {shown(expected)}"
            yield Check("broken", name, f"the dictionary is not the audited one: {what}")


def _tables(audit: Audit, key: str) -> dict[str, dict[str, Any]]:
    found = audit.subject.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise UnavailableError(f"audit.json: subject.{key} is not written as an audit has it")
    return found


def subject(audit: Audit, loaded: Loaded, different: tuple[str, ...], *, renamed: bool) -> Iterator[Check]:
    """What audit.json says of model and data: classes, counts, groups, facts and notes.

    Sentences that name the model's file are left out where it was ``renamed``.
    """
    found = json.loads(digest.canonical(card.describe(loaded, Spec.model_validate(audit.spec))))
    # Notes on sets stand in the order of the spec's file; audit.json keeps its keys in another.
    there, found = _any_order(audit.subject), _any_order(found)
    if renamed:
        there, found = _nameless(there), _nameless(found)
    wrong = apart(there, found)
    if wrong is None:
        yield Check("holds", "subject", "what the audit says of model and data is what loading them finds")
    elif different:
        yield Check("unchecked", "subject", f"{wrong}; {said(different)}")
    else:
        yield Check("broken", "subject", wrong)


def _any_order(about: Mapping[str, Any]) -> dict[str, Any]:
    notes = about.get("notes")
    return {**about, "notes": sorted(map(str, notes))} if isinstance(notes, list) else dict(about)


def _nameless(about: Mapping[str, Any]) -> dict[str, Any]:
    model = dict(about.get("model") or {})
    details = {key: value for key, value in dict(model.get("details") or {}).items() if key != "type"}
    rest = {key: value for key, value in about.items() if key != "notes"}
    return {**rest, "model": {**model, "details": details}}


def apart(there: Any, here: Any, *, tolerance: float = 0.0, path: str = "") -> str | None:
    """The first place where two values of JSON differ, with both; numbers may by a share of the larger."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here}):
            at = f"{path}.{key}" if path else str(key)
            if key not in there or key not in here:
                return f"{shown(at)} is {'in the audit alone' if key in there else 'not in the audit'}"
        pairs = [(f"{path}.{key}" if path else str(key), there[key], here[key]) for key in sorted(there)]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{path}.{place}", a, b) for place, (a, b) in enumerate(zip(there, here, strict=True))]
    elif _same(there, here, tolerance):
        return None
    else:
        return f"{shown(path)} is {shown(there)} in the audit and {shown(here)} here"
    told = (apart(a, b, tolerance=tolerance, path=at) for at, a, b in pairs)
    return next((one for one in told if one), None)


def _same(there: Any, here: Any, tolerance: float) -> bool:
    if _number(there) and _number(here):
        return bool(abs(there - here) <= tolerance * max(abs(there), abs(here)))
    return type(there) is type(here) and bool(there == here)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
