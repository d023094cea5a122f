"""The spec that ``init`` writes: what a table or a folder of pictures suggests, each with the reason beside it."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit.reading.said import placeholder
from xai_audit.source import value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xai_audit.loaders.cells import Typed

SENSITIVE = re.compile(
    r"(^|[^a-z])(sex|gender|age|race|ethnic\w*|nationality|citizen\w*|religion|disab\w*|marital\w*"
    r"|pregnan\w*|birth\w*|sexual\w*|migra\w*|minority|skin\w*)([^a-z]|$)"
)
"""Names of columns by which people are commonly treated differently (Article 21 of the Charter)."""
SPECIAL = re.compile(r"(^|[^a-z])(race|ethnic\w*|religion|disab\w*|pregnan\w*|sexual\w*|skin\w*)([^a-z]|$)")
"""Of these, names of what may be special-category data (GDPR Article 9(1))."""
IDENTIFIER = re.compile(r"(^|[^a-z])(id|uuid|guid|key|number|nr|no|index|code)([^a-z]|$)")

FEW = 20
"""Up to so many distinct numbers are groups of their own."""
SENTENCE = 4
"""Words in the middle cell of a column that reads like text written by people."""


@dataclass(frozen=True)
class Column:
    """A column as the table shows it."""

    name: str
    kind: str
    distinct: int
    missing: int
    rows: int
    levels: tuple[str, ...] = ()
    """The levels in order where there are few."""
    thirds: tuple[float, float] | None = None
    """For numbers: what a third and two thirds of the rows lie below."""
    long: float = 0.0
    """For text: words in the middle one of the distinct cells."""

    @property
    def written(self) -> bool:
        """Whether it looks like text written by people, a row a text, and not like a category."""
        return self.kind == "text" and self.long >= SENTENCE and self.distinct > max(self.rows / 2, 1)

    @property
    def words(self) -> str:
        """Its name without capitals, for patterns: ``personAge`` as ``person age``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.name).lower().replace("_", " ")

    @property
    def identifies(self) -> bool:
        """Whether it looks like the name of a row."""
        unique = self.rows > 1 and self.distinct == self.rows and self.kind in ("text", "number")
        return unique and IDENTIFIER.search(self.words) is not None


@dataclass(frozen=True)
class Asked:
    """What the command line said; paths as seen from the spec's folder."""

    model: str
    sha256: str
    data: str
    target: str
    sensitive: tuple[str, ...]
    schema: str
    pictures: bool = False
    """Whether the rows are pictures."""
    kind: str | None = None
    """The format of a model that is a folder."""


def relative(path: str, folder: Path) -> str:
    """A path as seen from a folder; names of scikit-learn's tables as they are."""
    if path.startswith("sklearn:") or Path(path).is_absolute():
        return path
    return Path(os.path.relpath(path, folder)).as_posix()


def look(path: str) -> tuple[list[Column], bool]:
    """The columns of a table or of what is known of pictures, and whether it holds pictures; SpecError if unreadable."""
    from xai_audit.errors import SpecError
    from xai_audit.loaders.deciding import decide
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.tables import read_table
    from xai_audit.spec import Data, Model, Spec, System, Table

    table = Table(path=path)
    mistakes = Mistakes(Spec(system=System(name="init"), model=Model(), data=Data(test=table), file="--data"))
    cells = read_table(table, "data.test", mistakes)
    if mistakes.found:
        raise SpecError(mistakes.told())
    decided = {name: decide(name, [cells]) for name in cells.columns}
    columns = [_column(name, column.tables[0], column.kind) for name, column in decided.items()]
    return columns, cells.modality == "image"


def _column(name: str, typed: Typed, kind: str) -> Column:
    import numpy as np

    from xai_audit.loaders.cells import distinct
    from xai_audit.loaders.groups import natural

    missing = typed.missing
    found = distinct(typed)
    levels = tuple(sorted(found, key=natural)) if len(found) <= FEW else ()
    thirds = None
    if kind == "number" and found:
        numbers = typed.data[~missing].astype(np.float64)
        if np.isfinite(numbers).all():
            low, high = np.quantile(numbers, [1 / 3, 2 / 3])
            thirds = (float(low), float(high))
    long = float(np.median([len(word.split()) for word in found])) if kind == "text" and found else 0.0
    return Column(name, kind, len(found), int(missing.sum()), len(missing), levels, thirds, long)


def scalar(text: str) -> str:
    """A text as YAML that is read back as that text."""
    plain = re.fullmatch(r"[\w][\w ./-]*", text) is not None and text == text.strip()
    node = value(text, "", []) if plain else None
    kept = node is not None and node.kind == "text" and node.raw == text
    return text if kept else f'"{printed(text)}"'


def noted(line: str, note: str) -> str:
    """A line with a comment, comments aligned where the line leaves room."""
    return f"{line:<30}  # {note}"


def draft(asked: Asked, columns: Sequence[Column]) -> str:
    """The text of the spec."""
    lines = [
        f"# yaml-language-server: $schema={asked.schema}",
        f"# Written by xai-audit init from {printed(asked.data)}.",
        "# xai-audit check says what is wrong and what is still to be stated; xai-audit run does the audit.",
        "version: 1",
        *_system(asked),
        *_model(asked, columns),
        *_data(asked, columns),
        *_methods(asked, columns),
        "",
        "report: {formats: [html, pdf, sarif, junit]}",
        "run: {seed: 0}",
        "",
    ]
    return "\n".join(lines)


def printed(text: str) -> str:
    """A text in one line, as between double quotes."""
    return _BREAKING.sub(_escape, json.dumps(text, ensure_ascii=False)[1:-1])


# What ends a line in YAML or cannot stand in it.
_BREAKING = re.compile("[^ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def _system(asked: Asked) -> Iterator[str]:
    name = Path(asked.model).stem.replace("_", " ").strip()
    if not name or placeholder(name):
        name = "model"
    yield from (
        "",
        "system:",
        noted(f"  name: {scalar(name)}", "what the system is called"),
        noted('  version: "0"', "the version that is audited"),
        noted("  stage: development", "or release: then missing statements and signatures block"),
        "  # What only people can say: printed with its author's name; what is left out shows as absent.",
        "  # provider: {name: ..., address: ..., contact: ...}",
        "  # intended_purpose: {text: ..., author: ..., date: 2026-11-22}",
        '  # classification: {annex_iii_point: "5(b)", profiling: false}   # Annex III of the AI Act',
        "  # statements:",
        "  #   declared_levels: [{metric: recall, at_least: 0.75}]",
        "  #   oversight: {a: ..., b: ..., c: ..., d: ..., e: ...}",
        "  # signatories: [{name: ..., function: ..., date: 2026-11-22}]",
    )


def _model(asked: Asked, columns: Sequence[Column]) -> Iterator[str]:
    from xai_audit.reading.models import CODE, SUFFIXES

    suffix = Path(asked.model).suffix.lower()
    kind = asked.kind or SUFFIXES.get(suffix)
    yield from ("", "model:", f"  path: {scalar(asked.model)}")
    if asked.kind:
        yield f"  format: {asked.kind}"
    if suffix in (".safetensors", ".pt", ".pth"):
        yield noted("  # entry: net.py:build", "weights alone: what builds the network that they belong to")
        yield "  # With an entry, sha256 is that of both files together; leave it out and `xai-audit check` prints it."
    if kind is None:
        kinds = ", ".join(dict.fromkeys(SUFFIXES.values()))
        yield noted("  # format: ...", f"{suffix or 'no suffix'} says no format; it is one of {kinds}")
    yield f"  sha256: {json.dumps(asked.sha256)}"
    if kind in CODE:
        yield f"  # A {kind} file runs code when it is opened. If you know where it comes from, write true:"
        yield "  # the file with the sha256 above is opened then, and no other. skops and ONNX need no trust."
        yield "  trust: false"
    target = next(column for column in columns if column.name == asked.target)
    if is_regression(target):
        yield "  task: regression"
        return
    yield "  task: classification"
    if len(target.levels) == 2:
        which = f"of {' and '.join(map(printed, target.levels))}: the class that rates are about"
        yield noted(f"  positive: {_label(target.levels[1])}", which)
        favourable = f"  # favourable: {_label(target.levels[1])}"
        yield noted(favourable, "the outcome good for the person; default: positive")
        yield noted("  # threshold: 0.5", "a score at or above it is positive")
    elif target.levels:
        which = f"of {len(target.levels)} classes: the class that rates are about"
        yield noted(f"  # positive: {_label(target.levels[0])}", which)


def _label(level: str) -> str:
    """A class label as YAML: 1 stays a number, true a boolean."""
    node = value(level, "", [])
    natural = node is not None and node.kind in ("number", "boolean") and node.raw == level
    return level if natural else scalar(level)


def is_regression(target: Column) -> bool:
    """Whether the target is a measurement rather than a class."""
    return target.kind == "number" and target.distinct > FEW


def _data(asked: Asked, columns: Sequence[Column]) -> Iterator[str]:
    yield from (
        "",
        "data:",
        noted(
            "  # train: {path: ...}", "what the model was fitted on; rows in both tables are found with it"
        ),
        *_test(asked, columns),
        f"  target: {scalar(asked.target)}",
    )
    names = [column for column in columns if column.name not in (asked.target, *asked.sensitive)]
    ids = [column for column in names if column.identifies and not SENSITIVE.search(column.words)]
    if ids:
        yield noted(f"  id: {scalar(ids[0].name)}", "each row has another value; an id is no feature")
    chosen = [column for column in columns if column.name in asked.sensitive]
    suggested = [column for column in names if column not in ids and SENSITIVE.search(column.words)]
    shown = chosen or suggested
    if shown:
        yield noted("  sensitive:", "groups are compared by these; they need not be model inputs")
        yield from (f"    - {_sensitive(column)}" for column in shown)
        for column in suggested if chosen else ():
            yield f"    # - {_sensitive(column)}"
    else:
        yield noted("  # sensitive: [sex, {column: age, bins: [30, 50]}]", "groups are compared by these")
    yield noted("  crossings: pairs", "groups by two columns at once; or all, none")
    if not asked.pictures and _text(asked, columns) is None:
        yield noted("  # features: [...]", "default: all but target, sensitive, id, cluster and weight")
        yield noted("  # categorical: [...]", "columns of numbers that are categories")
    yield f"  # The {len(columns)} columns of the table, {columns[0].rows if columns else 0} rows:"
    width = min(max((len(printed(column.name)) for column in columns), default=0), 40)
    for column in columns:
        yield f"  #   {printed(column.name):<{width}}  {_described(column)}"


def _test(asked: Asked, columns: Sequence[Column]) -> Iterator[str]:
    """The line of the test data, with the column of text where the table has one and no other inputs."""
    path = f"  test: {{path: {scalar(asked.data)}"
    text = _text(asked, columns)
    if asked.pictures and any(column.name == "file" for column in columns):
        yield noted(
            f"{path}}}", "each picture's class is its folder; labels: a table with a column file, if not"
        )
    elif text is not None:
        yield noted(
            f"{path}, text: {scalar(text)}}}", "what the model reads; take text out if it reads columns"
        )
    else:
        yield f"{path}}}"
    for column in columns if text is None and not asked.pictures else ():
        if column.written and column.name not in (asked.target, *asked.sensitive):
            yield noted(
                f"  #{path[1:]}, text: {scalar(column.name)}}}", "if the model reads this column alone"
            )
            return


def _text(asked: Asked, columns: Sequence[Column]) -> str | None:
    """The one column of written text, where nothing else looks like an input."""
    known = (asked.target, *asked.sensitive)
    others = [column for column in columns if column.name not in known and not column.identifies]
    written = [column.name for column in others if column.written]
    plain = all(column.written or SENSITIVE.search(column.words) for column in others)
    return written[0] if len(written) == 1 and plain and not asked.pictures else None


def _sensitive(column: Column) -> str:
    parts = [f"column: {scalar(column.name)}"]
    if column.kind == "number" and column.distinct > FEW and column.thirds is not None:
        parts.append(f"bins: [{', '.join(map(_number, limits(column)))}]")
    text = scalar(column.name) if len(parts) == 1 else f"{{{', '.join(parts)}}}"
    if SPECIAL.search(column.words):
        text += "   # if GDPR Article 9(1) covers it: {column: ..., special_category: true}"
    return text


def limits(column: Column) -> list[float]:
    """Rounded limits that cut a column of numbers into about equal thirds."""
    assert column.thirds is not None
    low, high = column.thirds
    size = max(abs(low), abs(high))
    power, five = (math.floor(math.log10(size)) if size else 0), False
    step = 10.0**power
    while power > -12 and round(low / step) == round(high / step):
        # 100, 50, 10, 5, 1 and so on, until the two are told apart.
        power, five = (power, False) if five else (power - 1, True)
        step = 5 * 10.0**power if five else 10.0**power
    first, second = round(low / step) * step, round(high / step) * step
    return [first, second] if first < second else [low]


def _number(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.12g}"


def _described(column: Column) -> str:
    text = {"number": "numbers", "boolean": "true and false", "date": "dates", "text": "text"}[column.kind]
    text += f", {column.distinct:,} distinct"
    if 0 < len(column.levels) <= 6 and not column.written:
        text += f": {printed(', '.join(column.levels))[:60]}"
    if column.missing:
        text += f"; {column.missing:,} missing"
    return text


CLASSIFICATION = (
    "balanced_accuracy",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "brier_score",
    "false_positive_rate",
    "false_negative_rate",
    "selection_rate",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "expected_calibration_error",
)
REGRESSION = ("mean_absolute_error", "root_mean_squared_error", "r2")


def _methods(asked: Asked, columns: Sequence[Column]) -> Iterator[str]:
    from xai_audit.reading import shipped
    from xai_audit.reading.named import selectable

    target = next(column for column in columns if column.name == asked.target)
    there = selectable("metric")
    metrics = [name for name in (REGRESSION if is_regression(target) else CLASSIFICATION) if name in there]
    wanted = ("shap",) if asked.pictures or _text(asked, columns) else ("shap", "permutation_importance")
    explainers = [name for name in wanted if name in selectable("explainer")]
    policies = [name for name in ("eu-ai-act",) if name in shipped()]
    yield ""
    yield "# xai-audit list explainers, metrics and policies says what there is."
    if explainers:
        yield "explainers:"
        yield from (f"  - {name}" for name in explainers)
    yield noted("metrics:", "the first is primary unless one says {name: {primary: true}}")
    yield from (f"  - {name}" for name in metrics)
    yield f"policies: [{', '.join(policies)}]"
