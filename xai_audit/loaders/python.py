"""A Python function of a table: ``module.py:function``, called with a pandas frame of the features."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.errors import SpecError, UnavailableError
from xai_audit.loaders.joblib import trusted
from xai_audit.loaders.mistakes import content, suggestion
from xai_audit.loaders.opened import Opened

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes


@dataclass(eq=False)
class FunctionAnswer:
    """Calls a function of a file; imports it anew in a worker process."""

    file: str
    function: str
    sha256: str
    native: Any = field(default=None, repr=False)

    def scores(self, x: Any) -> NDArray[np.float64]:
        """What the function gives, as floats of shape (rows, 1 or classes)."""
        if self.native is None:
            self.native = imported(Path(self.file), self.function, self.sha256)
        found = np.asarray(self.native(x))
        if found.dtype.kind not in "biuf":
            message = f"the function gives {found.dtype}, not numbers"
            raise TypeError(message)
        return found.astype(np.float64).reshape(len(found), -1)

    def margin(self, x: Any) -> NDArray[np.float64] | None:  # noqa: ARG002
        """A function has no margin."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        """Without the function, which may not be picklable."""
        return {**self.__dict__, "native": None}


def open_model(mistakes: Mistakes) -> Opened:
    """The function named by the spec; SpecError where it is not vouched for, not there or not callable.

    It is called with a frame of the features and gives scores of shape (rows,) or (rows, classes). Only the
    digest of its own file is checked, not of what that imports.
    """
    spec = mistakes.spec.model
    entry = spec.entry or spec.path or ""
    place, _, function = entry.rpartition(":")
    if not place or not function.isidentifier():
        mistakes.at("model.entry", f"module.py:function is asked, not {entry!r}")
        mistakes.check()
    trusted(mistakes, "python")
    file = mistakes.spec.resolve(place) if place.endswith(".py") else module_file(place)
    if file is None:
        mistakes.at("model.entry", f"no module {place!r} on this machine", missing=True)
        raise SpecError(mistakes.told())
    content(file, place, spec.sha256, "model.entry", mistakes)
    assert spec.sha256 is not None
    try:
        native = imported(file.resolve(), function, spec.sha256)
    except AttributeError:
        names = [
            name
            for name in vars(sys.modules[module_name(file.resolve(), spec.sha256)])
            if not name.startswith("_")
        ]
        mistakes.at("model.entry", f"{place} has no function {function!r}{suggestion(function, names)}")
        raise SpecError(mistakes.told()) from None
    except Exception as error:  # noqa: BLE001 - a module may raise anything when imported
        mistakes.at(
            "model.entry",
            f"{place} cannot be imported: {type(error).__name__}: {str(error)[:200]!r}",
        )
        raise SpecError(mistakes.told()) from None
    if not callable(native):
        mistakes.at("model.entry", f"{function!r} in {place} is no function")
        raise SpecError(mistakes.told())
    return Opened(
        format="python",
        sha256=spec.sha256,
        answer=FunctionAnswer(str(file.resolve()), function, spec.sha256, native),
        output="values" if spec.task == "regression" else "unknown",
        takes="frame",
        task=spec.task,
        details={"type": f"{Path(place).name}:{function}", "output": "unknown", "versions": {}},
        notes=(f"the digest is that of {place} alone, not of what it imports",),
        artefact={"code_carrying": True, "globals": [], "suspicious": []},
    )


def module_file(name: str) -> Path | None:
    """The file of a dotted module, found without importing the packages above it."""
    path: list[str] | None = None
    spec = None
    for part in name.split("."):
        spec = PathFinder.find_spec(part, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return Path(spec.origin) if spec is not None and spec.origin else None


def module_name(file: Path, sha256: str) -> str:
    """What a file of that digest is called among the modules."""
    return f"_xai_audit_{file.stem}_{sha256[:16]}"


def imported(file: Path, function: str, sha256: str) -> Callable[..., Any]:
    """A function of a file whose digest is checked first; UnavailableError where it changed since."""
    name = module_name(file, sha256)
    if name not in sys.modules:
        source = file.read_bytes()
        if digest.of_bytes(source) != sha256:
            message = f"{file.name} changed while the audit ran"
            raise UnavailableError(message)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            # The bytes that were digested are the bytes that run; no cached byte code is.
            exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102
        except BaseException:
            del sys.modules[name]
            raise
    found: Callable[..., Any] = getattr(sys.modules[name], function)
    return found
