"""Specs and small tables for the loaders' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xai_audit.errors import SpecError
from xai_audit.loaders import load
from xai_audit.spec import Spec
from xai_audit.subject import Subject


class Desk:
    """A folder with a spec in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def spec(self, model: dict[str, Any], explainers: Any = (), report: Any = None, **data: Any) -> Spec:
        for key in ("train", "test"):
            if isinstance(data.get(key), str):
                data[key] = {"path": data[key]}
        return Spec(
            system={"name": "case"}, model=model, data=data, file=str(self.folder / "audit.yaml"),
            explainers=explainers, report=report or {},
        )  # fmt: skip

    def load(self, model: dict[str, Any], **data: Any) -> Subject:
        return load(self.spec(model, **data))

    def refused(self, model: dict[str, Any], **data: Any) -> SpecError:
        with pytest.raises(SpecError) as caught:
            self.load(model, **data)
        return caught.value

    def write(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def csv(self, name: str, frame: pd.DataFrame) -> str:
        frame.to_csv(self.folder / name, index=False)
        return name


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    """Three hundred made-up people with numbers, words, a boolean, gaps and a label that depends on them."""
    rng = np.random.default_rng(5)
    n = 300
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": np.round(rng.lognormal(3, 1, n), 2),
            "city": rng.choice(["Αθήνα", "Łódź", "София"], n),
            "member": rng.random(n) < 0.4,
            "sex": rng.choice([1, 2], n),
        }
    )
    frame.loc[rng.random(n) < 0.1, "income"] = np.nan
    chance = 1 / (1 + np.exp(-(frame.age - 50) / 10 + (frame.city == "Łódź")))
    frame["y"] = (rng.random(n) < chance).astype(int)
    return frame


@pytest.fixture
def scored() -> Callable[[pd.DataFrame], pd.DataFrame]:
    def add(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(score=np.linspace(0, 1, len(frame)))

    return add
