"""Data sets that come with scikit-learn, by name: ``sklearn:diabetes``; nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.errors import SpecError
from xai_audit.loaders.arrow import of_table
from xai_audit.loaders.mistakes import suggestion

if TYPE_CHECKING:
    from xai_audit.loaders.cells import Cells
    from xai_audit.loaders.mistakes import Mistakes

NAMES = ("breast_cancer", "diabetes", "iris", "wine")
DOWNLOADED = ("california_housing",)
"""Known to scikit-learn but fetched from the network; used only where they lie in its cache already."""


def read(path: str, sha256: str | None, key: str, mistakes: Mistakes) -> Cells:
    """The named table with its own column names, the target as ``target``; diabetes in its original units.

    Labels are those of scikit-learn: 0, 1, 2. The source of diabetes codes sex as 1 and 2 without saying
    which is which.
    """
    import pyarrow as pa

    name = path.partition(":")[2]
    if name == "california":
        name = "california_housing"
    if name not in (*NAMES, *DOWNLOADED):
        mistakes.at(key, f"scikit-learn ships no data set {name!r}{suggestion(name, NAMES)}")
        raise SpecError(mistakes.told())
    frame = _frame(name, path, key, mistakes)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    cells = of_table(table, path, _digest(table), mistakes, matrix=True)
    if sha256 is not None and sha256 != cells.sha256:
        mistakes.at(key, f"{path} has sha256 {cells.sha256}, not the declared {sha256}", missing=True)
        raise SpecError(mistakes.told())
    return cells


def _frame(name: str, path: str, key: str, mistakes: Mistakes) -> Any:
    from sklearn import datasets

    if name == "diabetes":
        return datasets.load_diabetes(as_frame=True, scaled=False).frame
    if name in NAMES:
        return getattr(datasets, f"load_{name}")(as_frame=True).frame
    try:
        return datasets.fetch_california_housing(as_frame=True, download_if_missing=False).frame
    except OSError:
        what = f"{path} is not on this machine, and nothing is downloaded; fetch it once with scikit-learn"
        mistakes.at(key, what, missing=True)
        raise SpecError(mistakes.told()) from None


def _digest(table: Any) -> str:
    """A digest of the content, as there is no file."""
    return digest.of_value({name: table.column(name).to_pylist() for name in table.column_names})
