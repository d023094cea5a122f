"""A first look at a table, for writing a spec: columns, kinds, distinct counts, first cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xai_audit.loaders.cells import words
from xai_audit.loaders.deciding import Decided
from xai_audit.loaders.mistakes import Mistakes
from xai_audit.loaders.tables import NAMED, read_table
from xai_audit.spec import Data, Model, Spec, System, Table

FIRST = 3


def probe(path: str | Path) -> dict[str, Any]:
    """What a table holds: path, sha256, rows, and columns with name, kind, integer, distinct, missing, first.

    kind is ``number``, ``boolean``, ``date`` or ``text``; first are up to three distinct cells as words.
    SpecError as load raises it.
    """
    name = str(path)
    table = Table(path=name)
    # The messages of reading need a spec to stand in; the table's path is its only content.
    spec = Spec(
        system=System(name="probe"),
        model=Model(),
        data=Data(test=table),
        file="" if name.startswith(NAMED) else name,
    )
    if not name.startswith(NAMED):
        table = Table(path=Path(name).name)
        spec = spec.model_copy(update={"data": Data(test=table)})
    cells = read_table(table, "data", Mistakes(spec))
    decided = Decided([cells])
    columns = []
    for column_name in cells.columns:
        column = decided.column(column_name)
        typed = column.tables[0]
        _, places = np.unique(typed.data, return_index=True)
        missing = typed.missing
        kept = np.sort(places[~missing[places]])
        columns.append(
            {
                "name": column_name,
                "kind": column.kind,
                "integer": column.kind == "number" and _whole(typed.data),
                "distinct": len(kept),
                "missing": int(missing.sum()),
                "first": [str(word) for word in words(typed.take(kept[:FIRST]))],
            }
        )
    return {"path": name, "sha256": cells.sha256, "rows": cells.n, "columns": columns}


def _whole(values: Any) -> bool:
    if values.dtype.kind != "f":
        return True
    kept = values[np.isfinite(values)]
    return bool((kept == np.floor(kept)).all())
