"""Training dynamics and differences between trainings made again from what each checkpoint answered.

What needs the networks themselves (phases drawn anew, edits at other shares of energy, random concepts) is not made again
and is said to be open.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import encoded
from xai_audit.verify.explained import spread
from xai_audit.verify.explained.agreement import Open
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped

Floats = NDArray[np.float64]
_AGAIN = "asks the networks again"
_SIDES = (("held_out", "held-out rows"), ("train", "training rows"))
_WEIGHTS = (
    ("weight_norm", "sum of squared weights"),
    ("gini", "Gini coefficient of the weights"),
    ("effective_rank", "effective rank of the matrices"),
)
_LOSSES = (
    ("restricted", "key frequencies alone, held-out pairs"),
    ("excluded", "without key frequencies, training pairs"),
    ("held_out", "whole network, held-out pairs"),
    ("train", "whole network, training pairs"),
)


# ------------------------------------------------------------------------------------------------ checkpoints
def progress_measures(piece: Piece) -> Made:
    """One part: losses, weights, phases, what was gained, spectra, the circuit."""
    if piece.evidence.status == "skipped":
        raise LackingError(f"why it was skipped {_AGAIN}")
    made = {
        "": _losses,
        "weights": _weights,
        "phases": _phases,
        "grokking": _grokking,
        "fourier": _fourier,
        "circuit": _circuit,
    }.get(piece.part)
    if made is None:
        raise ContradictionError(f"progress_measures has no part {piece.part!r}")
    return made(piece)


def _steps(piece: Piece) -> list[float]:
    steps = [float(step) for step in piece.numbers("steps", 1)]
    if any(a >= b for a, b in pairwise(steps)):
        raise ContradictionError("the steps do not rise")
    return steps


def _curve(x: str, y: str, series: list[tuple[str, list[tuple[Any, dict[str, Any]]]]]) -> dict[str, Any]:
    return {
        "shape": "curve",
        "x": x,
        "y": y,
        "series": [
            {"name": name, "points": [{"x": at, "estimate": estimate} for at, estimate in points]}
            for name, points in series
        ],
    }


def _losses(piece: Piece) -> Made:
    steps, series = _steps(piece), []
    numeric = piece.about["task"] == "regression"
    for side, label in _SIDES:
        rows = piece.numbers(f"{side}_losses", 2)
        if len(rows) != len(steps):
            raise ContradictionError(f"{side}_losses are of other checkpoints than the steps")
        points = []
        for step, lost in zip(steps, rows, strict=True):
            found = spread.mean(lost, piece.levels[:1])
            low = None if found["low"] is None else max(found["low"], 0.0)
            points.append((step, {**found, "low": low, "limits": None}))
        series.append((label, points))
    return {
        "observation": _curve("step", "squared error" if numeric else "loss, nats", series),
        "params": _about(steps),
    }


def _about(steps: list[float]) -> dict[str, Any]:
    return {
        "measured_checkpoints": len(steps),
        "first_step": int(steps[0]),
        "last_step": int(steps[-1]),
    }


def _exactly(steps: list[float], values: Floats) -> list[tuple[Any, dict[str, Any]]]:
    return [(step, spread.exact(float(value), 1)) for step, value in zip(steps, values, strict=True)]


def _weights(piece: Piece) -> Made:
    steps, series, first = _steps(piece), [], {}
    for name, label in _WEIGHTS:
        if name not in piece.evidence.arrays:
            continue
        values = shaped(name, piece.numbers(name, 1), len(steps))
        first[name] = float(values[0])
        if values[0] > 0:
            series.append((label, _exactly(steps, values / values[0])))
    return {
        "observation": _curve("step", "relative to the first checkpoint", series),
        "params": {"first": first},
    }


def _phases(_: Piece) -> Made:
    return {"observation": Open("phases are not drawn anew")}


def _fourier(piece: Piece) -> Made:
    steps = _steps(piece)
    series = [
        (label, _exactly(steps, shaped(name, piece.numbers(name, 1), len(steps)))) for name, label in _LOSSES
    ]
    return {
        "observation": _curve("step", "loss, nats", series),
        "params": {"key_frequencies": [int(key) for key in piece.numbers("keys", 1)]},
    }


def _grokking(piece: Piece) -> Made:
    before, after, twins = (piece.numbers(name, 1) for name in ("before", "after", "twin_gains"))
    changes = shaped("after", after, len(before)) - before
    better, worse = int((changes > 0).sum()), int((changes < 0).sum())
    p = _two_sided(better, worse)
    gain = spread.mean(changes, piece.levels)
    controls: list[Any] = [
        _control("held-out accuracy gained after memorisation", "positive", gain),
        _control(
            "the same with the weights of both checkpoints permuted, over twins",
            "null",
            _reach(piece, twins),
        ),
    ]
    controls += [Open("the delay is not drawn anew") for _ in piece.evidence.controls[len(controls) :]]
    return {
        "observation": {"shape": "scalar", "estimate": gain, "unit": "share of rows"},
        "controls": controls,
        "inference": _inference(p, "McNemar's exact test over held-out rows"),
        "params": {"held_out_before": float(before.mean()), "held_out_after": float(after.mean())},
    }


def _two_sided(better: int, worse: int) -> float:
    """McNemar's exact p: twice the smaller tail of a fair coin, at most 1."""
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / 2**n)) if n else 1.0


def _control(name: str, expectation: str, estimate: dict[str, Any], *, edit: bool = False) -> dict[str, Any]:
    low, high = estimate["low"], estimate["high"]
    if expectation == "positive":
        passed = low is not None and low > 0
    else:
        passed = low is not None and high is not None and low <= 0 <= high
    return {"name": name, "expectation": expectation, "estimate": estimate, "passed": passed, "edit": edit}


def _reach(piece: Piece, values: Floats) -> dict[str, Any]:
    """Where one more such number lies: Student's t about the mean, with the spread of single ones."""
    centre, spreads, n = float(values.mean()), float(values.std(ddof=1)), len(values)
    return spread.estimate(centre, spread.around(centre, spreads, n - 1, piece.levels), n)


def _inference(p: float, method: str) -> dict[str, Any]:
    return {"p": p, "adjusted": p, "method": method, "family": "1 claim", "m": 1}


def _circuit(piece: Piece) -> Made:
    lost, falls = piece.numbers("lost", 1), piece.numbers("random_falls", 1)
    alone, twin = piece.numbers("alone", 1), piece.numbers("twin_lost", 1)
    p, sets = len(piece.classes), len(falls)
    drop = spread.mean(lost, piece.levels)
    reach = _reach(piece, falls)
    most = float(falls.mean()) + spread.student(0.95, sets - 1) * float(falls.std(ddof=1))
    chance = (1 + int((falls >= drop["value"] * (1 - 1e-9)).sum())) / (sets + 1)
    return {
        "observation": {"shape": "scalar", "estimate": drop, "unit": "share of pairs"},
        "controls": [
            _control(
                "accuracy lost beyond the reach of random frequencies",
                "positive",
                spread.mean(lost - most, piece.levels),
                edit=True,
            ),
            _control("as many random frequencies taken out", "null", reach, edit=True),
            _control(
                "accuracy above chance with the key frequencies alone",
                "positive",
                spread.mean(alone - 1 / p, piece.levels),
                edit=True,
            ),
            _control(
                "the same frequencies taken out of networks with permuted weights",
                "null",
                _reach(piece, twin),
            ),
        ],
        "inference": _inference(chance, "share of random sets of frequencies that lose as much"),
        "robustness": Open(f"a specification {_AGAIN}"),
        "params": {
            "key_frequencies": [int(key) for key in piece.numbers("keys", 1)],
            "accuracy_keys_alone": float(alone.mean()),
            "random_sets_drawn": sets,
            "p_min": 1 / (sets + 1),
        },
    }


# ------------------------------------------------------------------------------------------------ pairs
MEASURES = (
    ("accuracy", "Accuracy", "share of rows"),
    ("calibration_error", "Expected calibration error", None),
    ("log_loss", "Loss, nats", "nats"),
    ("best_unit_auroc", "Best-unit AUROC, mean over concepts", None),
    ("circuit_size", "Units of the circuit", "units"),
    ("active_units", "Active units (L0)", "units"),
    ("nonzero_weights", "Share of weights that are not zero", None),
)


def design_delta(piece: Piece) -> Made:
    """The table, or one measure before and after, from the measures of every network."""
    if piece.evidence.status == "skipped":
        raise LackingError(f"why it was skipped {_AGAIN}")
    if not piece.part:
        return _table(piece)
    before, after = _both(piece)
    found: Made = {
        "observation": {
            "shape": "scalar",
            "estimate": spread.mean(after - before, piece.levels),
            "unit": {name: unit for name, _, unit in MEASURES}.get(piece.part),
        },
        "params": {"before_mean": float(before.mean()), "after_mean": float(after.mean())},
    }
    if "concept" in piece.params:
        concept = str(piece.params["concept"])
        if piece.part != encoded(f"auroc@{concept}"):
            raise ContradictionError("params.concept is another than the id's")
        found["params"]["concept"] = concept
    family = _family(piece)
    if piece.part in family:
        m = len(family)
        found["inference"] = {
            "p": family[piece.part],
            "adjusted": _holm(family)[piece.part],
            "method": "Student's t over pairs, Holm",
            "family": f"{m} measures of the same pairs",
            "m": m,
        }
        found["controls"] = _held_against(piece)
    return found


def _held_against(piece: Piece) -> list[dict[str, Any]]:
    """Shuffled concepts, or random units, of every network."""
    if piece.part == "best_unit_auroc":
        name = "best-unit AUROC above one half, of concepts whose rows are shuffled"
        return [_control(name, "null", spread.mean(piece.numbers("shuffled", 1) - 0.5, piece.levels))]
    if piece.part == "circuit_size":
        name = "agreement of the circuits above random units of equal number"
        return [_control(name, "positive", spread.mean(piece.numbers("beyond", 1), piece.levels), edit=True)]
    return []


def _both(piece: Piece) -> tuple[Floats, Floats]:
    before = piece.numbers("before", 1)
    return before, shaped("after", piece.numbers("after", 1), len(before))


def _family(piece: Piece) -> dict[str, float]:
    """The p of every measure that the audit holds."""
    found = {}
    for name, _, _ in MEASURES:
        other = piece if name == piece.part else _sibling(piece, name)
        if other is not None:
            before, after = _both(other)
            found[name] = _student(after - before)
    return found


def _sibling(piece: Piece, name: str) -> Piece | None:
    found = piece.sibling(name)
    return None if found is None else Piece(found, piece.made, piece.kept)


def _student(changes: Floats) -> float:
    from scipy import stats

    n, centre = len(changes), spread.centre(changes)
    if n < 2:
        return 1.0
    if (changes == changes[0]).all():
        return 1.0 if changes[0] == 0 else 0.0
    return float(2 * stats.t.sf(abs(centre) / float(stats.sem(changes)), n - 1))


def _holm(p: dict[str, float]) -> dict[str, float]:
    order = sorted(p, key=lambda name: p[name])
    found, most = {}, 0.0
    for left, name in zip(range(len(order), 0, -1), order, strict=True):
        most = max(most, min(1.0, left * p[name]))
        found[name] = most
    return found


def _table(piece: Piece) -> Made:
    rows, values = [], []
    for name, label, _ in MEASURES:
        other = _sibling(piece, name)
        if other is None:
            continue
        before, after = _both(other)
        change = spread.mean(after - before, piece.levels[:1])
        rows.append(label)
        values.append(
            [spread.centre(before), spread.centre(after), change["value"], change["low"], change["high"]]
        )
    return {
        "observation": {
            "shape": "matrix",
            "rows": rows,
            "columns": ["before", "after", "difference", "low", "high"],
            "values": values,
            "row_title": "measure",
            "column_title": "mean over pairs",
        }
    }
