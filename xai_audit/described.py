"""What audit.json tells beside its evidence, as whoever reads it again relies on it: spec, policies, subject, run.

Other keys may stand there too. A value of another kind is refused when the file is read, so that no reader of it has
to look twice.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from xai_audit.policy import Policy
from xai_audit.spec import Spec


def _moment(text: str) -> str:
    datetime.datetime.fromisoformat(text)
    return text


Moment = Annotated[str, AfterValidator(_moment)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Told(BaseModel):
    """Values of the kinds that are named, beside any others; a number in quotes is no number."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Model(_Told):
    format: str
    sha256: Digest
    path: str | None = None
    probabilities: bool | None = None
    details: dict[str, Any] = {}


class _Table(_Told):
    sha256: Digest
    path: str | None = None
    rows: int = Field(ge=0)
    where: str | None = None


class _Tables(_Told):
    test: _Table
    train: _Table | None = None


class _Column(_Told):
    name: str
    kind: str
    levels: int | list[Any] | None = None


class _Grouping(_Told):
    columns: list[str] = Field(min_length=1)
    labels: list[str]
    counts: list[int | None]
    missing: list[bool]
    special_category: bool = False
    explanatory: bool = False

    @model_validator(mode="after")
    def _one_for_each(self) -> _Grouping:
        if not len(self.counts) == len(self.labels) == len(self.missing):
            message = "each group has a label, a count, and whether it is of rows without a value"
            raise ValueError(message)
        return self


class _Checkpoints(_Told):
    name: str
    numbers: list[int]
    sha256: Digest


class _Dictionary(_Told):
    site: str
    path: str
    sha256: Digest
    latents: int = Field(ge=1)
    activation: str
    k: int | None = None


class _Subject(_Told):
    model: _Model | None = None
    data: _Tables
    sets: dict[str, _Table] = {}
    checkpoints: list[_Checkpoints] = []
    dictionaries: list[_Dictionary] = []
    modality: str = "table"
    task: str
    classes: list[str] = []
    positive: int | None = None
    favourable: int | None = None
    threshold: float | None = None
    primary: str | None = None
    columns: list[_Column]
    groupings: list[_Grouping] = []
    sensitive_inputs: list[str] = []
    withholding: str | None = None
    notes: list[str] = []
    facts: dict[str, Any] = {}


class _Run(_Told):
    started: Moment
    finished: Moment
    seconds: float | None = None
    jobs: int | None = None
    host: str | None = None
    backend: str | None = None
    resumed: int = 0
    steps: dict[str, float] = {}


class _Environment(_Told):
    xai_audit: str | None = None
    python: str | None = None
    system: str | None = None
    machine: str | None = None
    packages: dict[str, str] = {}


def _rules(kept: object) -> object:
    if not isinstance(kept, dict) or not re.fullmatch("[0-9a-f]{64}", str(kept.get("sha256"))):
        message = "the sha256 of the policy's file is asked"
        raise ValueError(message)
    return {key: value for key, value in kept.items() if key != "sha256"}


class Described(_Told):
    """The parts of audit.json that are not evidence or findings; ValidationError where one cannot be relied on."""

    spec: Spec
    policies: list[Annotated[Policy, BeforeValidator(_rules)]]
    subject: _Subject
    run: _Run
    environment: _Environment
