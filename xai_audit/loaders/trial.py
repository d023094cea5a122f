"""A library that ends the whole process on a damaged file is first tried on it in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = ("*.so", "*.dylib", "*.dll")
_SECONDS, _SECONDS_PER_MEGABYTE = 20, 2
_MEMORY, _MEMORY_PER_BYTE = 2 << 30, 100
"""What reading may take at least, and how much more for large files; damaged ones may ask for all there is."""
_LIMITS = """
try:
    import resource, sys
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
except (ImportError, ValueError, OSError):
    pass  # no such limits on this system
"""
# The libraries' C interfaces start in a fraction of the time that importing their Python packages takes.
_CODE: Mapping[str, str] = {
    "xgboost": """
import ctypes, sys
data = sys.stdin.buffer.read()
library = ctypes.CDLL(sys.argv[1])
library.XGBGetLastError.restype = ctypes.c_char_p
model = ctypes.c_void_p()
library.XGBoosterCreate(None, ctypes.c_uint64(0), ctypes.byref(model))
failed = library.XGBoosterLoadModelFromBuffer(model, data, ctypes.c_uint64(len(data)))
width, matrix = ctypes.c_uint64(), ctypes.c_void_p()
shape, sides, answer = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
if not failed:
    failed = library.XGBoosterGetNumFeature(model, ctypes.byref(width))
if not failed:
    # One answer.
    row = (ctypes.c_float * max(width.value, 1))()
    sizes = ctypes.c_uint64(1), ctypes.c_uint64(width.value)
    library.XGDMatrixCreateFromMat(row, *sizes, ctypes.c_float(float("nan")), ctypes.byref(matrix))
    asked = b'{"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, "strict_shape": false}'
    pointers = ctypes.byref(shape), ctypes.byref(sides), ctypes.byref(answer)
    failed = library.XGBoosterPredictFromDMatrix(model, matrix, asked, *pointers)
if failed:
    print(library.XGBGetLastError().decode("utf-8", "replace"))
sys.exit(1 if failed else 0)
""",
    "lightgbm": """
import ctypes, sys
data = sys.stdin.buffer.read()
library = ctypes.CDLL(sys.argv[1])
library.LGBM_GetLastError.restype = ctypes.c_char_p
model, trees, width = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
failed = library.LGBM_BoosterLoadModelFromString(data, ctypes.byref(trees), ctypes.byref(model))
if not failed:
    # What the Python package asks of every model it reads, and one answer.
    space, length = ctypes.create_string_buffer(1 << 20), ctypes.c_int64()
    failed = library.LGBM_BoosterGetLoadedParam(model, ctypes.c_int64(1 << 20), ctypes.byref(length), space)
if not failed:
    failed = library.LGBM_BoosterGetNumFeature(model, ctypes.byref(width))
if not failed:
    row = (ctypes.c_double * max(width.value, 1))()
    outputs = ctypes.c_int()
    library.LGBM_BoosterGetNumClasses(model, ctypes.byref(outputs))
    answer = (ctypes.c_double * max(outputs.value, 1))()
    failed = library.LGBM_BoosterPredictForMat(
        model, row, 1, ctypes.c_int32(1), ctypes.c_int32(width.value), 1, 0, 0, -1, b"", ctypes.byref(length), answer
    )
if failed:
    print(library.LGBM_GetLastError().decode("utf-8", "replace"))
sys.exit(1 if failed else 0)
""",
    # CatBoost's library is its Python package; rows drawn around the borders of the splits reach most leaves.
    "catboost": """
import random, sys
import catboost, pandas
draw = random.Random(0)
try:
    model = catboost.CatBoost()
    model.load_model(blob=sys.stdin.buffer.read())
    words = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    borders = model.get_borders() if model.tree_count_ else {}
    columns = []
    for place in range(len(model.feature_names_)):
        if place in words:
            columns.append([draw.choice(["nan", "", "1", "a", "True"]) for _ in range(256)])
            continue
        ends = borders.get(place) or [0.0]
        columns.append([draw.choice(ends) + draw.choice([-1e-3, 1e-3, 1e9, -1e9]) for _ in range(256)])
    frame = pandas.DataFrame(dict(zip(model.feature_names_, columns)))
    model.classes_, model.get_metadata()["params"]
    model.predict(frame, prediction_type="RawFormulaVal", thread_count=1)
except Exception as error:
    print(str(error) or type(error).__name__)
    sys.exit(1)
sys.exit(0)
""",
}


def survives(name: str, data: bytes) -> str | None:
    """None where the library of that name reads the file, else why it does not."""
    library = _library(name)
    if library is None:
        return None  # packed in a way we do not know; the library itself will say
    seconds = _SECONDS + _SECONDS_PER_MEGABYTE * len(data) / 1e6
    memory = _MEMORY + _MEMORY_PER_BYTE * len(data)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter on our own code
            [sys.executable, "-I", "-c", _LIMITS + _CODE[name], str(library), str(memory)],
            input=data,
            capture_output=True,
            timeout=seconds,
            check=False,
            # What a damaged file makes the library read beyond its own memory is then no lucky zero.
            env={**os.environ, "MALLOC_PERTURB_": "165", "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return f"reading it took {name} over {seconds:.0f} seconds"
    if done.returncode == 0:
        return None
    if done.returncode == 1 and done.stdout.strip():
        return _first_line(done.stdout.decode("utf-8", "replace"))
    return f"{name} ends the process on it"


def _first_line(text: str) -> str:
    """The message without the time stamp and the places in a library's own source."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = lines[0].rpartition("] ")[2] or (lines[1] if len(lines) > 1 else "")
    return re.sub(r"^\S+\.(cc|h|cpp|hpp|cu):\d+: ", "", found)[:200]


def _library(name: str) -> Path | None:
    """The shared library inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for pattern in _LIBRARIES:
            for path in sorted(Path(folder).rglob(pattern)):
                if name in path.name:
                    return path
    return None
