"""The audited subject loaded again from the audited spec, with care for what that spec could make a machine do.

The spec comes out of the folder that is being doubted. Its ``trust: true`` is its writer's word, and its digests are
those its writer chose; so a model that runs code when it is opened, one of types beyond skops' own list, and one behind
a URL (rows are sent there, with what its headers take from the environment) are used only where the person who verifies
names the model. That does not vouch for what the model imports, nor for an entry beside it: run such audits
where you would run the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from xai_audit import digest
from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders import dictionaries
from xai_audit.rerun.model import described, file_of
from xai_audit.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.audit import Audit
    from xai_audit.subject import Subject


@dataclass(frozen=True)
class Place:
    """The audited spec, and the same with what lies here in the place of its files."""

    audited: Spec
    here: Spec
    folder: Path
    """Where relative paths begin."""

    @property
    def renamed(self) -> bool:
        """Whether the model is opened by another name than the audited one."""
        before, after = self.audited.model, self.here.model
        return (before.path, before.entry) != (after.path, after.entry)


def spec_of(audit: Audit, folder: Path, spec_path: Path | None, model: str | None) -> Place:
    """The audited spec set up to be loaded here; UnavailableError where it cannot be or must not be."""
    try:
        audited = Spec.model_validate(audit.spec)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnavailableError(f"{folder / 'audit.json'}: spec.{where}: {first['msg'][:200]}") from None
    file = _file(audit, spec_path)
    audited = audited.model_copy(update={"file": str(file)})
    about = described(audit)
    if about is None:
        return Place(audited, _undeclared(audited), file.parent)
    form = about["format"]
    _named(audited, form, folder, model)
    given: dict[str, Any] = {} if form == "http" else {"format": form, "sha256": about["sha256"]}
    if model is not None:
        given |= _replaced(audited, form, model)
    here = audited.model_copy(update={"model": audited.model.model_copy(update=given)})
    return Place(audited, _undeclared(here), file.parent)


def _file(audit: Audit, spec_path: Path | None) -> Path:
    """The file in whose folder the audited paths begin.

    That is ``spec_path`` (or ``audit.yaml`` in it), else the audited spec where it lies as seen from here with the same
    content, else the current folder.
    """
    if spec_path is not None:
        if not spec_path.exists():
            raise UnavailableError(f"{spec_path}: no such spec")
        return spec_path / "audit.yaml" if spec_path.is_dir() else spec_path
    known = audit.run.get("spec")
    if isinstance(known, dict) and isinstance(known.get("path"), str) and known["path"]:
        file = Path(known["path"])
        try:
            if not file.is_absolute() and digest.of_file(file) == known.get("sha256"):
                return file
        except (OSError, ValueError):
            pass
    return Path("audit.yaml")


def _named(spec: Spec, form: str, folder: Path, model: str | None) -> None:
    """UnavailableError where a model that could do more than answer was not named by who verifies."""
    inside = _inside(spec, folder)
    if inside:
        what = f"the audited spec has {inside} run, which lies in the audit's own folder; that is not done"
        raise UnavailableError(what)
    if model is not None:
        return
    if form == "http":
        from xai_audit.loaders.posting import plain_url

        headers = (
            f", with the headers {', '.join(sorted(spec.model.headers))!r}" if spec.model.headers else ""
        )
        shown = plain_url(spec.model.url or "")
        what = f"the audited model is behind {shown!r}: the rows would be sent there{headers}"
        raise UnavailableError(f"{what}; --model URL says that they may")
    if spec.model.trust or spec.model.trusted_types:
        what = f"opening the audited model can run code (format {form[:40]}), and the audit's word is no reason to"
        raise UnavailableError(f"{what}; --model PATH names the model that you trust")


def _inside(spec: Spec, folder: Path) -> str | None:
    """Code that the spec names and that lies in the folder of the audit."""
    model = spec.model
    for name in (model.entry, model.path):
        place, colon, _ = (name or "").rpartition(".py:")
        if colon and spec.resolve(f"{place}.py").resolve().is_relative_to(folder.resolve()):
            return repr(f"{place}.py"[-80:])
    return None


def _replaced(spec: Spec, form: str, model: str) -> Mapping[str, Any]:
    """The keys of the spec's model that name its file, with another file in its place."""
    if form == "http":
        return {"url": model}
    key = "path" if spec.model.path is not None else "entry"
    before = getattr(spec.model, key) or ""
    if file_of(str(spec.resolve(before))).resolve() == file_of(model).resolve():
        return {}
    function = before.rpartition(":")[2] if ":" in before and ".py:" not in model else ""
    at = str(Path(model).absolute())
    return {key: f"{at}:{function}" if function and form in {"python", "torch"} else at}


def _undeclared(spec: Spec) -> Spec:
    """Without the digests of data files: a file with the same rows in another order is the same data.

    Nor with those of dictionaries: that one is another than was audited is a finding, and not a file that is not there.
    """

    def bare(table: Any) -> Any:
        return None if table is None else table.model_copy(update={"sha256": None})

    data = spec.data
    update = {"train": bare(data.train), "test": bare(data.test)}
    sets = {name: bare(one) for name, one in data.sets.items()}
    explainers = tuple(use.model_copy(update={"params": _bare(use.params)}) for use in spec.explainers)
    return spec.model_copy(
        update={"data": data.model_copy(update={**update, "sets": sets}), "explainers": explainers}
    )


def _bare(params: dict[str, Any]) -> dict[str, Any]:
    found = {site: one["path"] for site, one in dictionaries.folders(params).items()}
    return {**params, "dictionaries": {**params["dictionaries"], "folders": found}} if found else params


def place_of(place: Place, about: Mapping[str, Any]) -> str:
    """The model's file, folder or URL as it is opened here."""
    model = place.here.model
    if about["format"] == "http":
        return model.url or ""
    name = model.path or model.entry or ""
    if model.path is None and ".py:" not in name and not name.endswith(".py"):
        from xai_audit.loaders.python import module_file

        return str(module_file(name.rpartition(":")[0]) or name)
    return str(place.here.resolve(name))


def loaded(place: Place) -> Subject:
    """The subject; UnavailableError with what cannot be had."""
    from xai_audit.loaders import load

    try:
        return load(place.here)
    except SpecError as error:
        missing = place.here.model.url is None and any(mistake.missing for mistake in error.mistakes)
        where = place.folder if str(place.folder) != "." else "the current folder"
        hint = f"; paths begin in {where}: --spec or --model name another place" if missing else ""
        raise UnavailableError(f"{error}{hint}") from None
