from __future__ import annotations

import json

import jsonschema
import pytest

from xai_audit.cli import entry


@pytest.mark.parametrize("what", ["spec", "audit", "policy"])
def test_it_prints_a_json_schema(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["schema", what]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"xai-audit/{what}/1"


def test_an_unknown_schema() -> None:
    assert entry(["schema", "model"]) == 2
