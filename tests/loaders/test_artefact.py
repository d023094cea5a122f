"""What a pickle would import, found without importing it."""

from __future__ import annotations

import io
import os
import pickle
import subprocess

import joblib
import numpy as np
import pytest

from xai_audit.loaders.artefact import scan, usual


class _Runs:
    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_command_is_found_and_not_run(tmp_path, protocol):
    mark = tmp_path / "mark"
    thing = {"model": [1, 2], "bad": _Runs(os.system, f"touch {mark}")}
    found = scan(pickle.dumps(thing, protocol)).facts()
    assert found["suspicious"] in (["posix.system"], ["nt.system"])
    assert found["incomplete"] is None
    assert not mark.exists()


@pytest.mark.parametrize(
    "thing", [_Runs(eval, "1"), _Runs(subprocess.check_output, "true"), _Runs(getattr, 1, "real")]
)
def test_other_ways_to_run_things(thing):
    assert scan(pickle.dumps(thing)).facts()["suspicious"]


@pytest.mark.parametrize("compress", [0, 3, "gzip", "bz2", "lzma", "xz"])
def test_arrays_of_joblib_are_passed_over(tmp_path, compress):
    """A command hidden behind large arrays, an array of objects and structured nodes."""
    nodes = np.zeros(1000, dtype=[("a", "<i8"), ("b", "u1")])
    objects = np.array([{"x": 1}, "text", None], dtype=object)
    thing = [
        np.random.default_rng(0).bytes(10),
        np.arange(100_000.0),
        nodes,
        objects,
        _Runs(os.system, "false"),
    ]
    path = tmp_path / "m.joblib"
    joblib.dump(thing, path, compress=compress)
    found = scan(path.read_bytes()).facts()
    assert found["incomplete"] is None
    assert found["suspicious"] in (["posix.system"], ["nt.system"])


def test_an_object_array_may_hide_a_command(tmp_path):
    path = tmp_path / "m.joblib"
    joblib.dump(np.array([_Runs(os.system, "false")], dtype=object), path)
    assert scan(path.read_bytes()).facts()["suspicious"]


def test_protocol_0_written_by_hand():
    assert scan(b"cos\nsystem\n(S'true'\ntR.").facts()["suspicious"] == ["os.system"]
    assert scan(b"(S'true'\nios\nsystem\n.").facts()["suspicious"] == ["os.system"]


def test_a_broken_file_says_that_the_scan_is_not_whole():
    content = pickle.dumps(_Runs(os.system, "false"))[:-1] + b"\xff"
    found = scan(content).facts()
    assert found["incomplete"] is not None
    assert found["suspicious"]


def test_random_bytes_never_raise():
    rng = np.random.default_rng(3)
    base = pickle.dumps({"a": np.arange(50), "b": [_Runs(os.system, "false")]})
    for _ in range(300):
        content = bytearray(base)
        for place in rng.integers(0, len(content), 5):
            content[place] = rng.integers(0, 256)
        scan(bytes(content)).facts()


def test_what_is_usual():
    assert usual("sklearn.linear_model._logistic.LogisticRegression")
    assert usual("builtins.dict")
    assert not usual("builtins.eval")
    assert not usual("mycompany.models.Secret")
    assert not usual("numpy.testing._private.utils.runstring")
    buffer = io.BytesIO()
    joblib.dump({"a": np.float64(3), "b": {1, 2}}, buffer)
    assert scan(buffer.getvalue()).facts()["globals"] == []
