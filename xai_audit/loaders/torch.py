"""PyTorch networks: weights with the code that builds their module, exported programs (.pt2), and TorchScript.

All of them are code: a builder runs as it is imported, an exported program names what it calls and may hold pickles,
TorchScript is a program that can write files. So they load only with ``trust: true`` and the digest of what runs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import digest
from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders.mistakes import content, suggestion
from xai_audit.loaders.networks import NetworkAnswer, arguments, device, facts, many
from xai_audit.loaders.opened import Opened
from xai_audit.loaders.programs import Kind, UnreadableError, kind_of, program, state_digest, weights
from xai_audit.loaders.python import imported, module_file, module_name
from xai_audit.loaders.xgboost import required

if TYPE_CHECKING:
    import torch

    from xai_audit.loaders.mistakes import Mistakes


OPAQUE = "TorchScript hides its modules; what is outside is its input and its output"


@dataclass(frozen=True)
class TorchSource:
    """The files of a network, and the digest of each."""

    path: str | None
    entry: str | None
    function: str = ""
    digests: tuple[str, ...] = ()
    """Of the weights or program, where there is a file, then of the entry's file."""
    state: str | None = None
    """Digest of the parameters that an entry without weights makes."""
    kind: Kind = "weights"

    def module(self) -> torch.nn.Module:
        """The network, built from the bytes of its files once these are of their digests."""
        digests = list(self.digests)
        data = None
        if self.path is not None:
            data = Path(self.path).read_bytes()
            if digest.of_bytes(data) != digests.pop(0):
                message = f"{Path(self.path).name} changed while the audit ran"
                raise UnavailableError(message)
        if self.entry is None:
            assert data is not None
            return program(data, self.kind)
        built: torch.nn.Module = imported(Path(self.entry), self.function, digests.pop(0))()
        if data is not None:
            built.load_state_dict(weights(data)[0], strict=True)
        elif self.state is not None and state_digest(built) != self.state:
            message = f"{Path(self.entry).name} builds another network each time"
            raise UnavailableError(message)
        return built


def open_model(mistakes: Mistakes) -> Opened:
    """The network of a spec; SpecError where it is not vouched for, not there, or not what it says it is."""
    spec = mistakes.spec.model
    files = _files(mistakes)
    _trusted(mistakes, [file for _, file in files.values()])
    read = {key: content(file, name, None, f"model.{key}", mistakes) for key, (name, file) in files.items()}
    found = [sha256 for _, sha256 in read.values()]
    _same(mistakes, found)
    required("torch", "torch", mistakes)
    where = device(mistakes)
    data = read["path"][0] if "path" in read else None
    kind = "weights" if data is None else kind_of(data)
    entry = str(files["entry"][1].resolve()) if "entry" in files else None
    function = (spec.entry or "").rpartition(":")[2] if entry is not None else ""
    if entry is None and kind == "weights":
        what = f"{spec.path} holds weights and no network; name what builds it, as entry: net.py:build"
        mistakes.at("model.path", what)
    elif entry is not None and kind != "weights":
        what = f"{spec.path} holds the whole network; entry is for weights alone: take the key out"
        mistakes.at("model.entry", what)
    mistakes.check()
    notes: tuple[str, ...] = ()
    state = None
    if entry is not None:
        module = _built(mistakes, Path(entry), function, found[-1])
        if data is not None:
            notes = _loaded(mistakes, module, data)
        else:
            state = state_digest(module)
            if state_digest(_built(mistakes, Path(entry), function, found[-1])) != state:
                what = (
                    f"{spec.entry} builds another network each time; save its weights and name them as path"
                )
                mistakes.at("model.entry", what)
                raise SpecError(mistakes.told())
    else:
        assert data is not None
        module = _program(mistakes, data, kind)
    path = str(files["path"][1].resolve()) if "path" in files else None
    source = TorchSource(path, entry, function, tuple(found), state, kind)
    return _opened(mistakes, source, module, where, notes)


def _opened(
    mistakes: Mistakes, source: TorchSource, module: torch.nn.Module, where: str, notes: tuple[str, ...]
) -> Opened:
    from xai_audit.mechanistic.network import Network

    spec = mistakes.spec.model
    fixed: int | None = getattr(module, "fixed", None) if source.kind == "export" else None
    answer = NetworkAnswer(
        source,
        where,
        opaque=OPAQUE if source.kind == "script" else None,
        fixed=fixed,
        arguments=arguments(module) if source.kind == "weights" else module.names,
    )
    answer.made = Network(module, device=where, opaque=answer.opaque)
    details, more = facts(module, where)
    names = {"weights": f"torch.nn.Module: {spec.entry}", "export": "torch.export", "script": "TorchScript"}
    if source.kind == "script":
        more = (*more, f"{OPAQUE}: methods that look inside are skipped")
    if fixed is not None:
        told = f"the network was exported for exactly {fixed:,} rows at a time: it is asked in such batches"
        advice = "methods that look inside are skipped; export it with a dynamic first dimension for them"
        more = (*more, f"{told}, and {advice}")
    if source.entry is not None:
        more = (
            *more,
            f"the digest is that of the weights and of {Path(source.entry).name}, not of what it imports",
        )
    keys = [*(["weights"] if source.path else []), *(["entry"] if source.entry else [])]
    return Opened(
        format="torch",
        sha256=spec.sha256 or "",
        answer=answer,
        output="unknown",
        takes="frame",
        task=spec.task or ("classification" if many(module) else None),
        details={
            "type": names[source.kind],
            "output": "unknown",
            **details,
            **{f"{key}_sha256": one for key, one in zip(keys, source.digests, strict=True) if len(keys) > 1},
        },
        notes=(*notes, *more),
        artefact={"code_carrying": True, "globals": [], "suspicious": []},
    )


def _files(mistakes: Mistakes) -> dict[str, tuple[str, Path]]:
    """The name and place of the weights or program and of the entry's file, weights first."""
    spec = mistakes.spec.model
    found = {}
    if spec.path is not None:
        found["path"] = (spec.path, mistakes.spec.resolve(spec.path))
    if spec.entry is not None:
        place, _, function = spec.entry.rpartition(":")
        if not place or not function.isidentifier():
            mistakes.at("model.entry", f"module.py:function is asked, not {spec.entry!r}")
            mistakes.check()
        file = mistakes.spec.resolve(place) if place.endswith(".py") else module_file(place)
        if file is None:
            mistakes.at("model.entry", f"no module {place!r} on this machine", missing=True)
            raise SpecError(mistakes.told())
        found["entry"] = (place, file)
    if not found:
        mistakes.at("model.path", "format torch needs a path, an entry, or both")
        mistakes.check()
    return found


def _trusted(mistakes: Mistakes, files: list[Path]) -> None:
    spec = mistakes.spec.model
    if not spec.trust:
        what = "a torch network runs code when it is opened; if you know where it comes from, write under model: trust: true"
        mistakes.at("model.trust", what)
    if spec.sha256 is None:
        known = digest_of(files)
        what = f"write sha256: {known or '<the digest>'}: of the file that runs, or of weights and entry together"
        mistakes.at("model.sha256", what)
    mistakes.check()


def digest_of(files: list[Path]) -> str | None:
    """What ``model.sha256`` is: that of the one file, or the root of both; None where one is not there."""
    try:
        found = [digest.of_file(file) for file in files]
    except (OSError, ValueError):
        return None
    return _joint(found)


def _joint(digests: list[str]) -> str | None:
    if len(digests) < 2:
        return digests[0] if digests else None
    return digest.root(digests)


def _same(mistakes: Mistakes, found: list[str]) -> None:
    """Raise SpecError (exit 4) where the files are not those that were vouched for."""
    joint = _joint(found)
    if joint != mistakes.spec.model.sha256:
        which = "its file has" if len(found) == 1 else "weights and entry together have"
        what = f"{which} sha256 {joint}, not the declared {mistakes.spec.model.sha256}"
        mistakes.at("model.sha256", what, missing=True)
        raise SpecError(mistakes.told())


def _program(mistakes: Mistakes, data: bytes, kind: Kind) -> torch.nn.Module:
    name = mistakes.spec.model.path
    try:
        return program(data, kind)
    except Exception as error:  # noqa: BLE001 - torch raises many types
        reason = (str(error).splitlines() or [""])[0][:200]
        what = f"{name} cannot be opened by torch: {type(error).__name__}: {reason}"
        mistakes.at("model.path", what, missing=True)
        raise SpecError(mistakes.told()) from None


def _built(mistakes: Mistakes, file: Path, function: str, sha256: str) -> torch.nn.Module:
    """The module that the entry builds; SpecError where it is not there, fails, or builds something else."""
    import torch

    place = (mistakes.spec.model.entry or "").rpartition(":")[0]
    try:
        native = imported(file, function, sha256)
    except AttributeError:
        names = [name for name in vars(sys.modules[module_name(file, sha256)]) if not name.startswith("_")]
        mistakes.at("model.entry", f"{place} has no function {function!r}{suggestion(function, names)}")
        raise SpecError(mistakes.told()) from None
    except Exception as error:  # noqa: BLE001 - a module may raise anything when imported
        reason = f"{type(error).__name__}: {str(error)[:200]!r}"
        mistakes.at("model.entry", f"{place} cannot be imported: {reason}")
        raise SpecError(mistakes.told()) from None
    try:
        module = native()
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        reason = f"{type(error).__name__}: {str(error)[:200]!r}"
        mistakes.at("model.entry", f"{function!r} in {place}, called without arguments, fails: {reason}")
        raise SpecError(mistakes.told()) from None
    if not isinstance(module, torch.nn.Module):
        what = f"{function!r} in {place} gives {type(module).__name__}, and a torch.nn.Module is asked"
        mistakes.at("model.entry", what)
        raise SpecError(mistakes.told())
    return module


def _loaded(mistakes: Mistakes, module: torch.nn.Module, data: bytes) -> tuple[str, ...]:
    """The module with its weights; SpecError where the file has none, or others than the module."""
    spec = mistakes.spec.model
    try:
        state, notes = weights(data)
    except UnreadableError as error:
        mistakes.at("model.path", f"{spec.path} {error}", missing=True)
        raise SpecError(mistakes.told()) from None
    wanted = module.state_dict()
    parts = [
        _part("missing", sorted(set(wanted) - set(state))),
        _part("unknown to it", sorted(set(state) - set(wanted))),
        _part(
            "of another shape",
            [
                f"{name}: {_sides(state[name])} in the file, {_sides(wanted[name])} in the network"
                for name in sorted(set(state) & set(wanted))
                if state[name].shape != wanted[name].shape
            ],
        ),
    ]
    if any(parts):
        told = "; ".join(part for part in parts if part)
        mistakes.at("model.path", f"the weights of {spec.path} are not those of {spec.entry}: {told}")
        raise SpecError(mistakes.told())
    module.load_state_dict(state, strict=True)
    return notes


def _part(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"{len(names):,} {what} ({', '.join(names[:3])}{more})"


def _sides(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
