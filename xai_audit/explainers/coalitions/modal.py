"""Parameters of one method for tables, pictures and texts: one that does not apply to the rows is refused, not ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen

if TYPE_CHECKING:
    from xai_audit.subject import Modality

WORDS = {"table": "tables", "image": "images", "text": "texts"}


@dataclass(frozen=True)
class Of:
    """What rows a parameter is about; without it, all."""

    modalities: tuple[str, ...]


TABLE = Of(("table",))
IMAGE = Of(("image",))
TEXT = Of(("text",))
IMAGE_OR_TEXT = Of(("image", "text"))


class ModalParams(Frozen):
    """Parameters some of which are about one kind of rows; those of images and texts are told where they are given."""

    @model_serializer(mode="wrap")
    def _told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = handler(self)
        quiet = [name for name, of in abouts(type(self)).items() if "table" not in of]
        return {key: value for key, value in told.items() if value is not None or key not in quiet}


def abouts(params: type[ModalParams]) -> dict[str, tuple[str, ...]]:
    """The parameters that are about some kinds of rows only, and which."""
    return {
        name: about.modalities
        for name, field in params.model_fields.items()
        for about in field.metadata
        if isinstance(about, Of)
    }


def refuse(params: ModalParams, modality: Modality) -> None:
    """MethodError where a parameter was given that has nothing to say of these rows."""
    for name, of in abouts(type(params)).items():
        if modality not in of and name in params.model_fields_set and getattr(params, name) is not None:
            where = " and ".join(WORDS[one] for one in of)
            raise MethodError(f"{name}: it is for {where}; these rows are {WORDS[modality]}")


def silenced(params: ModalParams, modality: Modality) -> dict[str, None]:
    """The parameters that do not apply to these rows, as nothing: what a default says of them is not told."""
    return {name: None for name, of in abouts(type(params)).items() if modality not in of and "table" in of}
