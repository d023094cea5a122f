"""What audit.json says was examined: its ``subject``, as far as verifying reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from xai_audit.audit import Audit


class _Part(BaseModel):
    """A part of audit.json's ``subject``; what verifying does not read may stand beside it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StatedColumn(_Part):
    """A model input as audit.json names it."""

    name: str
    kind: str


class StatedGrouping(_Part):
    """The groups of a sensitive column or crossing, as audit.json counts them."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    counts: tuple[int | None, ...]
    missing: tuple[bool, ...]
    explanatory: bool = False


class StatedTable(_Part):
    """A table of the data as audit.json tells of it."""

    sha256: str
    rows: int


class Subject(_Part):
    """What audit.json says was examined."""

    model: dict[str, Any] | None
    data: dict[str, StatedTable]
    task: Literal["classification", "regression"]
    classes: tuple[str, ...]
    positive: int
    favourable: int
    threshold: float
    primary: str
    labels: bool
    scores: bool
    probabilities: bool
    columns: tuple[StatedColumn, ...]
    groupings: tuple[StatedGrouping, ...]
    sensitive_inputs: tuple[str, ...]
    facts: dict[str, Any]
    modality: Literal["table", "image", "text"] = "table"
    withholding: Literal["linked tables"] | None = None
    """By which rule groups were withheld; None where each table was looked at by itself."""

    @property
    def binary(self) -> bool:
        """Whether there are exactly two classes."""
        return self.task == "classification" and len(self.classes) == 2


def subject_of(audit: Audit) -> Subject | Check:
    """What audit.json says was examined, or what is wrong with it."""
    try:
        return Subject.model_validate(audit.subject)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("subject", *map(str, first["loc"])))
        return Check("broken", "audit.json", f"{where}: {first['msg']}")
