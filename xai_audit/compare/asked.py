"""What was asked and with what: digests, versions, and the keys of the spec that say something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.comparison import Digest, KeyChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.audit import Audit

LONGEST = 120
"""Characters of a value of the spec that are told."""


def digests(old: Audit, new: Audit) -> Iterator[Digest]:
    """Model, data, spec, policies, tool and environment, each before and after."""
    a, b = old.subject, new.subject
    yield Digest(
        what="model", old=(a.get("model") or {}).get("sha256"), new=(b.get("model") or {}).get("sha256")
    )
    names = dict.fromkeys([*(b.get("data") or {}), *(a.get("data") or {})])
    for name in names:
        before, after = ((about.get("data") or {}).get(name) or {} for about in (a, b))
        yield Digest(what=f"{name} data", old=before.get("sha256"), new=after.get("sha256"))
    yield Digest(what="spec", old=digest.of_value(old.spec), new=digest.of_value(new.spec))
    policies = [{str(one["id"]): one for one in made.policies} for made in (old, new)]
    for name in dict.fromkeys([*policies[1], *policies[0]]):
        before, after = (known.get(name) for known in policies)
        yield Digest(what=f"policy {name}", old=_policy(before), new=_policy(after))
    yield Digest(
        what="xai-audit",
        old=_text(old.environment.get("xai_audit")),
        new=_text(new.environment.get("xai_audit")),
    )
    yield Digest(
        what="Python", old=_text(old.environment.get("python")), new=_text(new.environment.get("python"))
    )
    packages = [made.environment.get("packages") or {} for made in (old, new)]
    for name in sorted({*packages[0], *packages[1]}):
        before, after = (_text(known.get(name)) for known in packages)
        if before != after:
            yield Digest(what=name, old=before, new=after)


def _policy(policy: Mapping[str, Any] | None) -> str | None:
    return None if policy is None else str(policy.get("sha256"))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def keys(old: Audit, new: Audit) -> Iterator[KeyChange]:
    """Keys of the spec that say something else; waivers have a part of their own."""
    before, after = (dict(_flat("", made.spec)) for made in (old, new))
    for key in sorted({*before, *after}):
        a, b = before.get(key), after.get(key)
        if a != b and not key.startswith("system.waivers"):
            yield KeyChange(key=key, old=_brief(a), new=_brief(b))


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for index, inner in enumerate(value):
            yield from _flat(f"{key}.{_name(index, inner)}", inner)
    elif key.rpartition(".")[2] not in ("line", "column") or not key.startswith(("metrics.", "explainers.")):
        yield key, value


def _name(index: int, value: Any) -> str:
    """An entry of a list by what it is called, so that one more entry does not move the rest."""
    if isinstance(value, dict):
        for name in ("name", "column", "metric", "letter"):
            if isinstance(value.get(name), str):
                return str(value[name])
    return str(index + 1)


def _brief(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
