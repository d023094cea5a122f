"""What differs between the machine of a run and this one, so that last digits may."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from xai_audit import card
from xai_audit.loaders.mistakes import shown
from xai_audit.rerun.model import described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.audit import Audit
    from xai_audit.subject import Subject

NEAR = 1e-6
"""How far numbers may be from those of another machine, as a share of the larger or largest."""
SHOWN = 4
"""Differences that are named in one message."""


def differences(audit: Audit, subject: Subject) -> tuple[str, ...]:
    """Why the bits of an answer may be others here; nothing on the same machine with the same libraries."""
    found = [*_apart(_flat(audit.environment), _flat(card.environment()))]
    model, about = subject.model, described(audit)
    if model is not None:
        there, here = {} if about is None else about["details"], model.details
        found += _apart(_versions(there), _versions(here))
        if str(here.get("device", "cpu")) != "cpu":
            found.append("a graphics processor need not repeat its last digits")
        if model.format == "http":
            found.append("a server need not repeat its last digits")
    host = str(audit.run.get("host"))
    if host != socket.gethostname():
        found.append(f"the run was on host {shown(host)}, this is {shown(socket.gethostname())}")
    return tuple(dict.fromkeys(found))


def said(different: tuple[str, ...]) -> str:
    """The differences in one clause."""
    more = f", and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    return f"{', '.join(different[:SHOWN])}{more}"


def _flat(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = environment.get("packages")
    alone = {name: str(value) for name, value in environment.items() if name != "packages"}
    return {**alone, **({str(k): str(v) for k, v in packages.items()} if isinstance(packages, dict) else {})}


def _versions(details: Mapping[str, Any]) -> dict[str, str]:
    versions = details.get("versions")
    device = {"device": str(details["device"])} if "device" in details else {}
    return {**({str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}), **device}


def _apart(there: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*there, *here}):
        if there.get(name) != here.get(name):
            yield f"{shown(name)[1:-1]} {_word(there.get(name))} there and {_word(here.get(name))} here"


def _word(value: str | None) -> str:
    return "absent" if value is None else shown(value)[1:-1]
