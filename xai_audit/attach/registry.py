"""An audit on a model version of MLflow: tags, the files that may be published, and an alias where the gate passed.

The alias ``audit-pass`` names a version whose files are the audited ones and whose audit passed; nothing else sets it.
A deployment loads ``models:/NAME@audit-pass``, or reads the tag ``xai_audit.outcome`` of the version it has.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.attach import identity
from xai_audit.attach.binding import UNKNOWN
from xai_audit.errors import UnavailableError, one_line
from xai_audit.render import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.attach.binding import Binding

ALIAS = "audit-pass"
PREFIX = "xai_audit."
"""Begins the tags that are ours; others are never touched."""
EXPERIMENT = "xai-audit"
"""Where the run is made that holds the files of a version without a run."""
UNCHECKED = "unchecked"

_BESIDE_MANIFEST = ("manifest.json", "attestation.json")
"""What manifest.json does not name: itself, and the signature."""
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""The client's environment, where the user has not said otherwise: it reports to nobody and gives up in seconds."""


@dataclass(frozen=True)
class Target:
    """A model of a registry, by its version, an alias, or the newest version."""

    model: str
    version: str | None = None
    alias: str | None = None


@dataclass(frozen=True)
class Attached:
    """What attaching did."""

    name: str
    """``mlflow:credit/3``."""
    changes: tuple[str, ...]
    """What was changed, a sentence each; empty where all was there."""
    notes: tuple[str, ...]
    """What a reader should know beside it."""


_TARGET = re.compile(r"mlflow:(?P<model>[^/@:]+)(?:@(?P<alias>[\w-]+)|/(?P<version>[0-9]+))?")


def target(text: str) -> Target:
    """``mlflow:NAME``, ``mlflow:NAME@alias`` or ``mlflow:NAME/3``; ValueError for anything else."""
    found = _TARGET.fullmatch(text)
    if found is None:
        message = f"{one_line(text)}: a model version is mlflow:NAME, mlflow:NAME/3 or mlflow:NAME@alias"
        raise ValueError(message)
    return Target(found["model"], found["version"], found["alias"])


def tags(bound: Binding, files: str) -> dict[str, str]:
    """The tags of a version, but for where its files lie; ``files`` says which of them are the audited ones."""
    return {
        f"{PREFIX}outcome": bound.outcome,
        f"{PREFIX}policy": "; ".join(bound.policies) or "none",
        f"{PREFIX}policy_sha256": "; ".join(bound.policy_sha256) or "none",
        f"{PREFIX}model_sha256": bound.model_sha256 or UNKNOWN,
        f"{PREFIX}model_files": files,
        f"{PREFIX}audit_sha256": bound.audit_sha256,
        f"{PREFIX}data_sha256": bound.data_sha256,
        f"{PREFIX}finished": bound.finished,
    }


def publishable(folder: Path) -> dict[str, str]:
    """The files of an audit that may be published, with their sha256.

    UnavailableError where a file is not the one that manifest.json names: a report must be of its audit.
    """
    try:
        named = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        known = {str(path): str(sha256) for path, sha256 in named.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        message = (
            f"{folder / 'manifest.json'}: is not there or cannot be read; xai-audit render {folder} writes it"
        )
        raise UnavailableError(message) from None
    found = {}
    for name in dict.fromkeys(("audit.json", *_BESIDE_MANIFEST, *FILES.values())):
        path = folder / name
        if not path.is_file():
            continue
        found[name] = digest.of_file(path)
        if name not in _BESIDE_MANIFEST and known.get(name) != found[name]:
            message = (
                f"{path}: is not the file that manifest.json names; xai-audit render {folder} writes it again"
            )
            raise UnavailableError(message)
    return found


# ---------------------------------------------------------------------------------------------- the registry
@contextlib.contextmanager
def _client(uri: str, asked: Target) -> Iterator[Any]:
    """MLflow's client, told to be quiet; what goes wrong inside is told in one line."""
    before = dict(os.environ)
    try:
        os.environ.update({name: value for name, value in _SETTINGS.items() if name not in before})
        try:
            import logging

            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError:
            message = "mlflow is not installed; pip install 'xai-audit[mlflow]'"
            raise UnavailableError(message) from None
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        try:
            yield MlflowClient(tracking_uri=uri)
        except (MlflowException, OSError) as error:
            message = f"mlflow:{asked.model}: {_reason(error)}"
            raise UnavailableError(message) from None
    finally:
        for name in _SETTINGS.keys() - before.keys():
            os.environ.pop(name, None)


def _reason(error: Exception) -> str:
    """The first line of an error, without the name and password that an address may hold."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "Max retries exceeded" in lines[0] or "failed with timeout" in lines[0]:
        return "the tracking server does not answer"
    return one_line(re.sub(r"//[^/@\s]*@", "//", lines[0]))[:300]


def _version(client: Any, asked: Target) -> Any:
    if asked.version:
        return client.get_model_version(asked.model, asked.version)
    if asked.alias:
        return client.get_model_version_by_alias(asked.model, asked.alias)
    client.get_registered_model(asked.model)  # says so where there is none
    quoted = asked.model.replace("'", "''")
    versions = client.search_model_versions(f"name='{quoted}'", max_results=1000)
    newest = max(versions, key=lambda one: int(one.version), default=None)
    if newest is None:
        message = f"mlflow:{asked.model}: the model has no version"
        raise UnavailableError(message)
    return newest


def _files(client: Any, version: Any, sha256: str | None, uri: str) -> tuple[str | None, str]:
    """Which files of a version are the audited model, and what to say of it.

    ``unchecked: ...`` where it cannot be told, None where none of them is.
    """
    if sha256 is None:
        what = f"{UNCHECKED}: the audit saw no model file"
        return what, f"the files are {what}"
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as place:
        try:
            source = client.get_model_version_download_uri(version.name, version.version)
            got = Path(download_artifacts(artifact_uri=source, dst_path=place, tracking_uri=uri))
            if got.is_file():
                found = f"the file {got.name}" if digest.of_file(got) == sha256 else None
            else:
                found = identity.audited(got, sha256)
        except (MlflowException, ImportError, ValueError, OSError) as error:
            # The reason may name a temporary folder; a tag must read the same the next time.
            what = f"{UNCHECKED}: they could not be had"
            return what, f"the files are {what}: {_reason(error)}"
    return found, f"the audited model is {found}"


def _aliased(client: Any, model: str) -> int | None:
    """The version that bears the alias."""
    found = client.get_registered_model(model).aliases.get(ALIAS)
    return None if found is None else int(found)


def attach(folder: Path, bound: Binding, asked: Target, uri: str) -> Attached:
    """Put an audit on a model version; what is there already stays as it is.

    Raises:
        UnavailableError: where the registry does not answer, the version is not there, or its files are not the
            audited model; then nothing was written.
    """
    sending = publishable(folder)
    with _client(uri, asked) as client:
        version = _version(client, asked)
        name, number = version.name, version.version
        files, said = _files(client, version, bound.model_sha256, uri)
        if files is None:
            message = (
                f"mlflow:{name}/{number}: none of its files is the audited model, sha256 {bound.model_sha256}; "
                "nothing was written"
            )
            raise UnavailableError(message)
        changes: list[str] = []
        passed = bound.outcome == "pass" and not files.startswith(UNCHECKED)
        current = _aliased(client, name)
        if current == int(number) and not passed:
            # First of all: whoever deploys by the alias must not read it beside a failing audit.
            client.delete_registered_model_alias(name, ALIAS)
            changes.append(f"the alias {ALIAS} was removed")
        wanted = tags(bound, files)
        wanted |= _sent(client, version, folder, sending, bound, changes)
        changes += _tagged(client, version, wanted)
        if passed and (current is None or current < int(number)):
            client.set_registered_model_alias(name, ALIAS, number)
            changes.append(f"the alias {ALIAS} was set")
        notes = [said]
        if passed and current is not None and current > int(number):
            notes.append(f"the alias {ALIAS} stays on version {current}, which is newer")
        if not passed:
            notes.append(f"the alias {ALIAS} is for an audit that passed, of files that were checked")
        return Attached(f"mlflow:{name}/{number}", tuple(changes), tuple(notes))


def _sent(
    client: Any, version: Any, folder: Path, sending: Mapping[str, str], bound: Binding, changes: list[str]
) -> dict[str, str]:
    """The tags that say where the files lie, after they were sent if they were not there."""
    files = digest.of_value(dict(sending))
    place = f"xai-audit/{bound.audit_sha256[:16]}"
    run = version.run_id or version.tags.get(f"{PREFIX}run_id")
    report = f"runs:/{run}/{place}"
    told = {f"{PREFIX}report": report, f"{PREFIX}files_sha256": files}
    there = {item.path.rpartition("/")[2] for item in client.list_artifacts(run, place)} if run else set()
    if not (told.items() <= version.tags.items() and sending.keys() <= there):
        run = run or _run(client, version)
        for name in sending:
            client.log_artifact(run, str(folder / name), place)
        changes.append(f"{len(sending)} files were sent to run {run}, {place}")
        told[f"{PREFIX}report"] = f"runs:/{run}/{place}"
    return told | ({} if version.run_id else {f"{PREFIX}run_id": run})


def _run(client: Any, version: Any) -> str:
    """A run made for a version that has none."""
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
    made = client.create_run(experiment, run_name=f"audit of {version.name} {version.version}")
    client.set_terminated(made.info.run_id)
    return str(made.info.run_id)


def _tagged(client: Any, version: Any, wanted: Mapping[str, str]) -> list[str]:
    """Set the tags that differ and drop those of ours that say nothing any more."""
    name, number, there = version.name, version.version, version.tags
    changed = [key for key, value in wanted.items() if there.get(key) != value]
    # A pass is said last and anything else first, so that no other audit's pass is read beside what is new.
    outcome = f"{PREFIX}outcome"
    for key in sorted(changed, key=lambda key: (key == outcome) == (wanted[outcome] == "pass")):
        client.set_model_version_tag(name, number, key, wanted[key])
    stale = [key for key in there if key.startswith(PREFIX) and key not in wanted]
    for key in stale:
        client.delete_model_version_tag(name, number, key)
    count = len(changed) + len(stale)
    return [f"{count} {'tag was' if count == 1 else 'tags were'} set"] if count else []


def check(folder: Path, bound: Binding, asked: Target, uri: str) -> tuple[str, list[str]]:
    """The version's name, and what of it does not hold for this audit, a sentence each."""
    sending = publishable(folder)
    with _client(uri, asked) as client:
        version = _version(client, asked)
        files, _ = _files(client, version, bound.model_sha256, uri)
        told = []
        if files is None:
            told.append(f"none of its files is the audited model, sha256 {bound.model_sha256}")
        wanted = tags(bound, files or "")
        wanted[f"{PREFIX}files_sha256"] = digest.of_value(dict(sending))
        for key, value in wanted.items():
            seen = version.tags.get(key)
            if seen != value and (key != f"{PREFIX}model_files" or files is not None):
                told.append(f"the tag {key} is {'missing' if seen is None else one_line(seen)}, not {value}")
        told += _received(client, version, sending)
        passed = bound.outcome == "pass" and files is not None and not files.startswith(UNCHECKED)
        current = _aliased(client, version.name)
        if not passed and current == int(version.version):
            told.append(
                f"the alias {ALIAS} stands on it, and its audit did not pass or its files were not checked"
            )
        if passed and (current is None or current < int(version.version)):
            told.append(f"the alias {ALIAS} does not stand on it or on a newer version")
        return f"mlflow:{version.name}/{version.version}", told


def _received(client: Any, version: Any, sending: Mapping[str, str]) -> list[str]:
    """Which files in the registry are not those of the folder."""
    report = version.tags.get(f"{PREFIX}report", "")
    found = re.fullmatch(r"runs:/([^/]+)/(.+)", report)
    if found is None:
        return ["the tag xai_audit.report does not say where its report lies"]
    run, place = found.groups()
    there = {item.path.rpartition("/")[2] for item in client.list_artifacts(run, place)}
    told = [f"{name} is not at {report}" for name in sending if name not in there]
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(sending.keys() & there):
            got = client.download_artifacts(run, f"{place}/{name}", folder)
            if digest.of_file(Path(got)) != sending[name]:
                told.append(f"{name} at {report} is not the folder's")
    return told
