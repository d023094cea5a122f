"""What was asked: the spec as frozen data. How it is read from YAML is the concern of reading."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from xai_audit.evidence import Frozen
from xai_audit.verdict import Waiver

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Statement(Frozen):
    """Something a named person says; without an author it satisfies no rule."""

    text: Text
    author: str | None = None
    date: datetime.date | None = None
    language: str | None = None
    evidence_refs: tuple[str, ...] = ()


class Said(Statement):
    """One statement as it was read: its key, and the letter where the key holds several."""

    key: str
    letter: str | None = None
    """The sub-key (``a`` to ``f``, ``retention_days``), ``1``, ``2`` in a list, ``1.hazard`` in a list of mappings."""


class Person(Frozen):
    """Someone who signs."""

    name: Text
    function: str | None = None
    date: datetime.date | None = None
    statement: str | None = None


class Provider(Frozen):
    """Who answers for the system."""

    name: Text
    address: str | None = None
    contact: str | None = None
    representative: str | None = None


class DeclaredLevel(Frozen):
    """A level of accuracy the provider declares in the instructions for use."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None


class Classification(Frozen):
    """Where the provider places the system in the Act."""

    annex_iii_point: str | None = None
    art6_3: dict[str, Any] | None = None
    profiling: bool | None = None
    annex_i: str | None = None
    role: str | None = None


class System(Frozen):
    """The system and what people say of it."""

    name: Text
    version: str = ""
    previous_version: str | None = None
    stage: Literal["development", "release"] = "development"
    provider: Provider | None = None
    intended_purpose: Statement | None = None
    classification: Classification | None = None
    statements: dict[str, tuple[Said, ...]] = Field(default_factory=dict)
    """By the stable keys of statements.ASKED, less intended_purpose, which stands above."""
    declared_levels: tuple[DeclaredLevel, ...] = ()
    signatories: tuple[Person, ...] = ()
    waivers: tuple[Waiver, ...] = ()


ModelFormat = Literal["skops", "joblib", "pickle", "xgboost", "lightgbm", "onnx", "python", "predictions"]


class Model(Frozen):
    """The model to be audited."""

    path: str | None = None
    format: ModelFormat | None = None
    sha256: Digest | None = None
    trust: bool = False
    trusted_types: tuple[str, ...] = ()
    task: Literal["classification", "regression"] | None = None
    positive: Any = None
    favourable: Any = None
    threshold: float = 0.5
    score: str | None = None
    prediction: str | None = None
    classes: tuple[Any, ...] | None = None
    entry: str | None = None
    """Format python: ``module.py:function`` relative to the spec, or ``package.module:function``."""


class Table(Frozen):
    """One file of rows, or a table of scikit-learn."""

    path: str
    sha256: Digest | None = None
    format: Literal["csv", "parquet", "arrow", "feather", "jsonl", "npz", "sklearn"] | None = None


class Sensitive(Frozen):
    """A column by which groups are compared."""

    column: Text
    bins: tuple[float, ...] | None = None
    file: str | None = None
    key: str | None = None
    special_category: bool = False


def _sensitive(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class Data(Frozen):
    """The rows the model is examined on."""

    train: Table | None = None
    test: Table
    target: str | None = None
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    sensitive: tuple[Annotated[Sensitive, BeforeValidator(_sensitive)], ...] = ()
    crossings: Literal["pairs", "all", "none"] = "pairs"
    id: str | None = None
    cluster: str | None = None
    weight: str | None = None


class Use(Frozen):
    """A method asked for, under the name its evidence will carry."""

    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    name: str
    """``as`` in the spec, else the method's id."""
    line: int = 0
    column: int = 0


class ReportOptions(Frozen):
    """How the report is written."""

    formats: tuple[str, ...] = ("html", "pdf")
    outline: Literal["annex-iv"] = "annex-iv"
    language: Literal["en"] = "en"
    min_cell: int = Field(10, ge=0)
    examples: bool = False


class RunOptions(Frozen):
    """How the run is carried out."""

    seed: int = Field(0, ge=0)
    jobs: int = Field(1, ge=1)
    backend: Literal["loky", "dask", "ray"] = "loky"
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Spec(Frozen):
    """One audit, as asked."""

    version: Literal[1] = 1
    system: System
    model: Model
    data: Data
    explainers: tuple[Use, ...] = ()
    metrics: tuple[Use, ...] = ()
    primary: str | None = None
    """The metric marked ``primary: true``, else the first."""
    policies: tuple[str, ...] = ()
    report: ReportOptions = Field(default_factory=ReportOptions)
    run: RunOptions = Field(default_factory=RunOptions)
    file: str = Field(default="", exclude=True)
    """The spec's own path as given; paths in it are relative to its folder."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """What ``--set`` changed, by key path."""
    places: dict[str, tuple[int, int]] = Field(default_factory=dict, exclude=True)
    """Line and column of each key path (``data.target``) in the spec's file, where they are known."""

    def said(self, key: str) -> tuple[Said, ...]:
        """What is said under a stable key, letter by letter; nothing where it is absent.

        Only what has an author satisfies a rule: see Said.author.
        """
        purpose = self.system.intended_purpose
        if key == "intended_purpose" and purpose is not None:
            return (Said(key=key, **dict(purpose)),)
        return self.system.statements.get(key, ())

    def resolve(self, path: str) -> Path:
        """A path of the spec, relative to the spec's folder."""
        return Path(self.file).parent / path

