from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.explainers.coalitions.modal import IMAGE, TABLE, TEXT, ModalParams, abouts, refuse, silenced
from xai_audit.explainers.lime import LimeParams
from xai_audit.explainers.shap import ShapParams


class Params(ModalParams):
    rows: int = 5
    bins: Annotated[int, TABLE] = Field(4, ge=1)
    size: Annotated[int | None, IMAGE] = None
    token: Annotated[str | None, TEXT] = None


def test_what_was_given_and_does_not_apply_is_refused() -> None:
    refuse(Params(rows=3, bins=7), "table")
    refuse(Params(rows=3, size=7), "image")
    refuse(Params(size=None), "table")
    for params, modality, said in (
        (Params(bins=4), "image", "bins: it is for tables; these rows are images"),  # the default, but given
        (Params(size=2), "text", "size: it is for images; these rows are texts"),
        (Params(token="x"), "table", "token: it is for texts; these rows are tables"),
    ):
        with pytest.raises(MethodError, match=said):
            refuse(params, modality)


def test_defaults_that_do_not_apply_are_not_told() -> None:
    assert Params().model_dump() == {"rows": 5, "bins": 4}
    assert Params(size=3).model_dump() == {"rows": 5, "bins": 4, "size": 3}
    assert Params(size=3).model_dump(exclude_unset=True) == {"size": 3}
    assert silenced(Params(), "image") == {"bins": None}
    assert silenced(Params(), "table") == {}
    assert abouts(Params) == {"bins": ("table",), "size": ("image",), "token": ("text",)}


@pytest.mark.parametrize("params", [LimeParams, ShapParams])
def test_parameters_survive_writing_and_reading(params: type[ModalParams]) -> None:
    given = params.model_validate({"rows": 7, "players": "grid", "segments": 20, "mask": "blur"})
    again = params.model_validate(given.model_dump(mode="json", exclude_unset=True))
    assert again == given
    assert again.model_fields_set == {"rows", "players", "segments", "mask"}
    assert params.model_validate_json(given.model_dump_json()) == given
