"""What was asked: the spec as frozen data. How it is read from YAML is the concern of reading."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from xai_audit.evidence import Frozen
from xai_audit.statements import BY_KEY
from xai_audit.verdict import Waiver

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Statement(Frozen):
    """Something a named person says; without an author it satisfies no rule."""

    text: Text
    """What is said."""
    author: str | None = None
    """Who says it; without one it satisfies no rule."""
    date: dt.date | None = None
    """When it was said."""
    language: str | None = None
    """The language it is written in, as `en` or `el`."""
    evidence_refs: tuple[str, ...] = ()
    """Evidence ids or documents it rests on."""


class Said(Statement):
    """One statement as it was read: its key, and the letter where the key holds several."""

    key: str
    letter: str | None = None
    """The sub-key (``a`` to ``f``, ``retention_days``), ``1``, ``2`` in a list, ``1.hazard`` in a list of mappings."""


class Person(Frozen):
    """Someone who signs."""

    name: Text
    function: str | None = None
    """What the person does there."""
    date: dt.date | None = None
    """When the person signed."""
    statement: str | None = None
    """What the signature stands for."""


class Provider(Frozen):
    """Who answers for the system."""

    name: Text
    address: str | None = None
    """Postal address."""
    contact: str | None = None
    """Where to reach the provider."""
    representative: str | None = None
    """The authorised representative in the Union, if any."""


class DeclaredLevel(Frozen):
    """A level of accuracy the provider declares in the instructions for use."""

    metric: str
    """A metric's name."""
    at_least: float | None = None
    """The declared level, where more is better."""
    at_most: float | None = None
    """The declared level, where less is better."""


class Classification(Frozen):
    """Where the provider places the system in the Act."""

    annex_iii_point: str | None = None
    """The point of Annex III it falls under, such as 5(a)."""
    art6_3: dict[str, Any] | None = None
    """The exemption of Article 6(3) that is claimed: {condition, reasons}."""
    profiling: bool | None = None
    """Whether it profiles natural persons."""
    annex_i: str | None = None
    """The legislation of Annex I it falls under, if any."""
    role: str | None = None
    """provider, deployer, importer or distributor."""


class System(Frozen):
    """The system and what people say of it."""

    name: Text
    """What the system is called."""
    version: str = ""
    """The version that is audited."""
    previous_version: str | None = None
    """The version before it."""
    continual_learning: bool | None = None
    """Whether it keeps learning after it is placed on the market or put into service (Article 15(4))."""
    stage: Literal["development", "release"] = "development"
    """At release, missing statements and signatures block."""
    provider: Provider | None = None
    """Who answers for the system."""
    intended_purpose: Statement | None = None
    """What it is for, for whom, and what it is not for."""
    classification: Classification | None = None
    """Where the provider places it in the Act."""
    statements: dict[str, tuple[Said, ...]] = Field(default_factory=dict)
    """By the stable keys of statements.ASKED, less intended_purpose, which stands above."""
    declared_levels: tuple[DeclaredLevel, ...] = ()
    """Levels of accuracy declared in the instructions for use."""
    signatories: tuple[Person, ...] = ()
    """Who signs; statements without an author count as the first one's."""
    waivers: tuple[Waiver, ...] = ()
    """Failed rules that a person lets pass until a date."""


ModelFormat = Literal[
    "skops", "joblib", "pickle", "xgboost", "lightgbm", "catboost", "onnx", "torch", "transformers", "mlflow",
    "http", "python", "predictions",
]  # fmt: skip


class Preprocess(Frozen):
    """How pictures or texts become what a network takes."""

    size: int | tuple[int, int] | None = None
    """Pictures are resized to this height and width (one number: both); null: as they are."""
    mean: tuple[float, ...] | None = None
    """Subtracted from each channel, after scaling to [0, 1]."""
    std: tuple[float, ...] | None = None
    """Divides each channel after that."""
    channels: Literal[1, 3] | None = None
    """Pictures are made grey or coloured; null: as they are."""
    tokenizer: str | None = None
    """A tokenizer.json, relative to the spec; texts become input_ids and attention_mask."""
    max_length: int | None = Field(None, ge=2)
    """Longest text in tokens; what is cut off is counted and said."""


class Model(Frozen):
    """The model to be audited."""

    path: str | None = None
    """The model file or folder, relative to the spec."""
    format: ModelFormat | None = None
    """Follows from the file's suffix where it is left out."""
    sha256: Digest | None = None
    """Checked before the file is opened; of a folder, the digest over its files; of torch, of weights and entry."""
    trust: bool = False
    """Formats that carry code (joblib, pickle, python, torch) load only with true and a sha256."""
    trusted_types: tuple[str, ...] = ()
    """skops: types beyond the built-in list."""
    task: Literal["classification", "regression"] | None = None
    """Inferred where it can be."""
    positive: Any = None
    """The class that rates (true positive, precision) are about."""
    favourable: Any = None
    """The outcome good for the person; default: positive."""
    threshold: float = 0.5
    """A score at or above it is positive."""
    score: str | None = None
    """Format predictions: the column of data.test that holds scores."""
    prediction: str | None = None
    """Format predictions: the column of data.test that holds decisions."""
    classes: tuple[Any, ...] | None = None
    """Class labels in the order of the model's scores, where the model does not know them."""
    entry: str | None = None
    """Formats python and torch: ``module.py:function`` relative to the spec, or ``package.module:function``."""
    checkpoints: str | dict[str, str] | None = None
    """Format torch with entry: weights at other moments, or of other trainings, in files that a pattern names.

    A pattern such as ckpt/*.safetensors, or several by name; the last number in a file's name is its step or seed.
    """
    preprocess: Preprocess | None = None
    """Formats torch, transformers and onnx: how pictures or texts become tensors."""
    outputs: Literal["logits", "probabilities", "margins"] | None = None
    """What a network's outputs are; where it is left out, rows that add up to one are probabilities, else logits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch runs: auto takes CUDA where there is one."""
    url: str | None = None
    """Format http: where rows are posted as JSON."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Format http: sent with each request; ${NAME} is taken from the environment."""
    batch: int = Field(64, ge=1, le=256)
    """Format http: rows in one request."""
    timeout: float = Field(30.0, gt=0)
    """Format http: seconds until a request is given up."""
    concurrency: int = Field(2, ge=1, le=64)
    """Format http: requests under way at a time, in each worker process."""


class Table(Frozen):
    """One file of rows, or a table of scikit-learn."""

    path: str
    """csv, parquet, arrow, jsonl or npz, relative to the spec; or sklearn:NAME."""
    sha256: Digest | None = None
    """Checked before the file is read; of a folder of pictures, the digest over its files."""
    format: Literal["csv", "parquet", "arrow", "feather", "jsonl", "npz", "sklearn", "images"] | None = None
    """Follows from the suffix where it is left out; a folder holds pictures."""
    labels: str | None = None
    """Pictures: a table with a column file, the target and groups; without it the folder of a picture is its class."""
    text: str | None = None
    """The column that holds the text the model reads; other columns are no inputs."""


class NamedSet(Frozen):
    """Named examples beside the data: a concept, a pool of random examples, a corpus."""

    path: str
    """A folder of pictures, npz, txt with one text a line, csv, parquet or jsonl, relative to the spec."""
    labels: str | None = None
    """Pictures: a table with a column file, and what else is known of each."""
    text: str | None = None
    """The column that holds the text."""
    where: str | None = None
    """Keeps the rows for which this holds, as "sex == 'male'"."""
    clean: str | None = None
    """Prompts, each row a pair: the column of texts on which the network does something; of a table, what the columns of
    its features begin with (``clean`` for ``clean_age``)."""
    corrupted: str | None = None
    """The column of texts that differ from the clean ones in what matters; of a table, the same."""
    answer: str | None = None
    """Prompts: the column of the class that is right for the clean side; null: ``answer``, where there is one."""
    foil: str | None = None
    """Prompts: the column of the class that it is held against; null: ``foil``, where there is one."""
    template: str | None = None
    """Prompts: the column of each one's template, or group of wordings; null: ``template``, where there is one."""
    sha256: Digest | None = None
    """Checked before the file is read; of a folder, the digest over its files."""


class Sensitive(Frozen):
    """A column by which groups are compared."""

    column: Text
    """The column's name."""
    bins: tuple[float, ...] | None = None
    """Limits of number ranges: [30, 50] makes <30, 30-49, >=50."""
    file: str | None = None
    """The table that holds the column, if not data.test; joined by key."""
    key: str | None = None
    """The column both tables share."""
    special_category: bool = False
    """Whether it is special-category data (GDPR Article 9(1))."""
    explanatory: bool = False
    """Whether groups are compared within it (a department, a grade) and rules do not ask it to be equal."""


def _sensitive(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class Data(Frozen):
    """The rows the model is examined on."""

    train: Table | None = None
    """What the model was fitted on; what needs it says so where it is absent."""
    test: Table
    """The rows it is examined on."""
    sets: dict[str, NamedSet] = Field(default_factory=dict)
    """Named examples beside the data: concepts, pools of random examples."""
    target: str | None = None
    """The true outcome; where it is absent, selection alone is measured."""
    features: tuple[str, ...] | None = None
    """Default: every column but target, sensitive, id, cluster and weight."""
    categorical: tuple[str, ...] = ()
    """Features that are categories though they look like numbers."""
    sensitive: tuple[Annotated[Sensitive, BeforeValidator(_sensitive)], ...] = ()
    """Columns by which groups are compared; they need not be model inputs."""
    crossings: Literal["pairs", "all", "none"] = "pairs"
    """Groups by two columns at once, by all, or by single columns alone."""
    id: str | None = None
    """A column that names rows."""
    cluster: str | None = None
    """A column that says which rows belong together (one person's visits)."""
    weight: str | None = None
    """A column of row weights."""

    @property
    def protected(self) -> tuple[Sensitive, ...]:
        """The sensitive columns that rules compare groups by: all but the explanatory ones."""
        return tuple(column for column in self.sensitive if not column.explanatory)


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

    formats: tuple[str, ...] = ("html", "pdf", "sarif", "junit")
    """What is written beside audit.json and summary.md."""
    outline: Literal["annex-iv"] = "annex-iv"
    """The order of sections."""
    language: Literal["en"] = "en"
    """The report's language."""
    min_cell: int = Field(10, ge=0)
    """Groups with fewer rows are withheld."""
    examples: bool = False
    """Whether single rows may be shown, for data that may be."""


class RunOptions(Frozen):
    """How the run is carried out."""

    seed: int = Field(0, ge=0)
    """Seeds every draw."""
    jobs: int = Field(1, ge=1, le=4096)
    """Worker processes; they change no number."""
    backend: Literal["loky"] = "loky"
    """Where workers run: processes of this machine."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Level of the intervals shown."""
    log: str | None = "audit-log.jsonl"
    """The project's log, relative to the spec: each audit adds a line that holds the digest of the last; null: none."""


class Spec(Frozen):
    """One audit, as asked."""

    version: Literal[1] = 1
    """The version of this format."""
    system: System
    """The system and what people say of it."""
    model: Model
    """The model to be audited."""
    data: Data
    """The rows it is examined on."""
    explainers: tuple[Use, ...] = ()
    """Explainers, each a name or {name: parameters}."""
    metrics: tuple[Use, ...] = ()
    """Metrics, each a name or {name: parameters}; the first is primary unless one says so."""
    primary: str | None = None
    """The metric marked ``primary: true``, else the first."""
    policies: tuple[str, ...] = ()
    """Shipped names, or paths of policies."""
    report: ReportOptions = Field(default_factory=ReportOptions)
    """How the report is written."""
    run: RunOptions = Field(default_factory=RunOptions)
    """How the run is carried out."""
    file: str = Field(default="", exclude=True)
    """The spec's own path as given; paths in it are relative to its folder."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """What ``--set`` changed, by key path."""
    rows_are: Literal["people", "pictures", "texts"] = Field("people", exclude=True)
    """What messages call the rows; known once the data are loaded."""
    baseline: bool = Field(False, exclude=True)
    """Whether an earlier audit is given to compare with; known once there is evidence."""
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

    def lacks(self, key: str) -> tuple[str, ...]:
        """What is absent of a statement: the key, or its letters (``oversight.a``); nothing where it is whole.

        What nobody is named for is absent. ``signatories``, ``declared_levels``, ``classification`` and
        ``provider`` are asked in the same way; a signatory counts with name, function and date.
        """
        system = self.system
        there = {
            "signatories": any(person.function and person.date for person in system.signatories),
            "declared_levels": bool(system.declared_levels),
            "classification": system.classification is not None,
            "provider": system.provider is not None,
        }
        if key in there:
            return () if there[key] else (key,)
        said = [one.letter or "" for one in self.said(key) if one.author]
        letters = BY_KEY[key].letters if key in BY_KEY else ()
        if not letters:
            return () if said else (key,)
        # Plain text under a key of several letters says none of them.
        return tuple(
            f"{key}.{letter}"
            for letter in letters
            if not any(one == letter or one.startswith(f"{letter}.") for one in said)
        )

    def resolve(self, path: str) -> Path:
        """A path of the spec, relative to the spec's folder."""
        return Path(self.file).parent / path
