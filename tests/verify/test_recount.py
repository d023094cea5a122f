"""Real audits of every kind are recomputed whole from their folders, and no changed number, group or status escapes."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from tests.verify.audits import KINDS, Made, made
from xai_audit import audit, pipeline
from xai_audit.audit import Audit
from xai_audit.catalog import methods
from xai_audit.evidence import Evidence
from xai_audit.metrics import METRICS
from xai_audit.reading import read_specs
from xai_audit.verify import recount
from xai_audit.verify.checks import Check
from xai_audit.verify.recounts import RECOUNTS

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
ROUNDS = 4
"""Each round changes one thing in each piece of evidence."""
TOLD = ("observation", "params", "controls", "inference")
WORDS = ("how", "detail")
"""What is told in words alone."""


def broken(checks: list[Check]) -> dict[str, str]:
    return {check.subject: check.what for check in checks if check.kind == "broken"}


def measured(made: Audit) -> list[Evidence]:
    return [piece for piece in made.evidence if piece.kind == "metric"]


def with_evidence(made: Audit, evidence: list[Evidence]) -> Audit:
    return made.model_copy(update={"evidence": tuple(evidence)})


# ------------------------------------------------------------------------------------------ one thing changed
def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in WORDS:
                yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    else:
        yield path


def another(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice([-7, -1, 1, 12])
    if isinstance(value, float):
        return value + rng.choice([-1, 1]) * 10 ** rng.uniform(-6, 0) * (abs(value) or 1.0)
    if value is None:
        return rng.choice([0.5, "a word"])
    return f"{value}x"


def changed(piece: Evidence, rng: random.Random) -> Evidence | None:
    """The evidence with one leaf changed, or a group taken out or put in twice; None where that is no evidence."""
    content = piece.model_dump(mode="json")
    groups = (content["observation"] or {}).get("groups")
    if groups and rng.random() < 0.15:
        place = rng.randrange(len(groups))
        if rng.random() < 0.5:
            del groups[place]
        else:
            more = copy.deepcopy(groups[place])
            more["key"] = {column: f"{level} too" for column, level in more["key"].items()}
            groups.append(more)
    else:
        told = [path for name in TOLD for path in leaves(content[name], (name,))]
        told = [path for path in told if path not in {("inference",), ("observation", "shape")}]
        if content["sampling"] is not None:
            told += [("sampling", "available"), ("sampling", "used")]
        if not told:
            return None
        *way, last = rng.choice(told)
        place = content
        for step in way:
            place = place[step]
        place[last] = another(place[last], rng)
    try:
        found = Evidence.model_validate(content)
    except ValidationError:
        return None
    return None if found == piece else found


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_had_again_and_no_change_of_one_escapes(kind: str, tmp_path: Path) -> None:
    run = made(kind, tmp_path)
    found = recount.again(run.audit, run.folder)
    checks = list(recount.held(run.audit, found))
    assert [check for check in checks if check.kind != "holds"] == []
    pieces = measured(run.audit)
    assert {check.subject for check in checks} == {piece.id for piece in pieces} | {"evidence/rows.parquet"}

    rng = random.Random(kind)
    tried = 0
    for _ in range(ROUNDS):
        forged = {piece.id: changed(piece, rng) for piece in pieces}
        now = [forged[piece.id] or piece for piece in pieces]
        told = broken(list(recount.held(with_evidence(run.audit, now), found)))
        forged_ids = {name for name, piece in forged.items() if piece is not None}
        assert set(told) == forged_ids, (
            forged_ids ^ set(told),
            [forged[name] for name in forged_ids - set(told)][:1],
        )
        tried += len(forged_ids)
    assert tried > ROUNDS * len(pieces) / 2

    gone = {piece.id for piece in pieces if rng.random() < 0.5}
    left = with_evidence(run.audit, [piece for piece in pieces if piece.id not in gone])
    assert set(broken(list(recount.held(left, found)))) == gone

    hidden = [
        Evidence.model_validate(
            {**piece.model_dump(), "status": "skipped", "observation": None, "reason": "not now"}
        )
        for piece in pieces
    ]
    assert set(broken(list(recount.held(with_evidence(run.audit, hidden), found)))) == {
        piece.id for piece in pieces
    }
    failed = [
        piece.model_copy(update={"status": "failed", "observation": None, "reason": "ran out of memory"})
        for piece in pieces
    ]
    told = {check.subject: check for check in recount.held(with_evidence(run.audit, failed), found)}
    for piece in pieces:
        # A method as a whole may have failed, and is then not known; a part of one cannot have.
        whole = piece.id.partition("/")[0] in {other.id for other in pieces}
        assert told[piece.id].kind == ("unchecked" if whole else "broken")
        assert ("ran out of memory" if whole else "a method as a whole") in told[piece.id].what


# ------------------------------------------------------------------------------------------ what is said of it
@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made("decided", tmp_path_factory.mktemp("loans"))


def forged(run: Made, identifier: str, *way: Any, to: Any) -> str:
    content = run.audit.model_dump(mode="json", by_alias=True)
    piece = next(piece for piece in content["evidence"] if piece["id"] == identifier)
    place = piece
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = to
    told = broken(list(recount.recount(Audit.model_validate(content), run.folder)))
    assert list(told) == [identifier]
    return told[identifier]


def test_it_names_the_number_and_says_both(loans: Made) -> None:
    piece = loans.audit.get("selection_rate/sex")
    assert piece is not None
    assert piece.observation is not None
    group = piece.observation.groups[0]
    said = forged(loans, "selection_rate/sex", "observation", "groups", 0, "estimate", "high", to=0.9)
    assert (
        said
        == f"observation.groups[sex=1].estimate.high is 0.9; recomputed it is {group.estimate.high:.12g}".removeprefix(
            "observation."
        )
    )
    said = forged(
        loans, "selection_rate/sex", "observation", "groups", 0, "contrasts", "overall", "p", to=0.03
    )
    assert said.startswith("groups[sex=1].contrasts.overall.p is 0.03; recomputed it is ")
    said = forged(loans, "accuracy", "observation", "estimate", "limits", "0.999", to=[0.5, 1.0])
    assert said.startswith("estimate.limits[0.999].low is 0.5; recomputed it is ")
    assert said.endswith("(and 1 more)")
    said = forged(loans, "recall/sex", "observation", "groups", 1, "status", to="insufficient")
    assert said == "groups[sex=2].status is 'insufficient'; recomputed it is 'measured'"
    said = forged(loans, "threshold_sweep", "observation", "series", 1, "points", 3, "estimate", "n", to=12)
    assert said.startswith("series[false positive rate].points[0.2].estimate.n is 12; recomputed it is ")
    said = forged(loans, "confusion_matrix", "observation", "values", 0, 1, to=3.0)
    assert said.startswith("values[0][1] is 3; recomputed it is ")
    said = forged(loans, "recall/sex", "params", "min_n", to=10)
    assert said == "params.min_n is 10; recomputed it is 30"
    said = forged(loans, "recall", "seed", to=4)
    assert said == "seed is 4; by the spec it is 0"


def test_a_metric_of_another_kind_or_name_is_missed(loans: Made) -> None:
    content = loans.audit.model_dump(mode="json", by_alias=True)
    piece = next(piece for piece in content["evidence"] if piece["id"] == "recall/sex")
    piece["kind"] = "record"
    told = broken(list(recount.recount(Audit.model_validate(content), loans.folder)))
    assert told == {"recall/sex": "it is not there as a metric, and the spec or a policy asks for it"}
    piece["kind"], piece["id"] = "metric", "recall/gender"
    told = broken(list(recount.recount(Audit.model_validate(content), loans.folder)))
    assert set(told) == {"recall/sex", "recall/gender"}
    piece["id"] = "recall"
    assert (
        broken(list(recount.recount(Audit.model_validate(content), loans.folder)))["recall"]
        == "it is there more than once"
    )


@pytest.mark.parametrize(
    ("way", "to", "where"),
    [
        (("subject", "positive"), 0, "audit.json"),
        (("subject", "favourable"), 0, "audit.json"),
        (("subject", "threshold"), 0.3, "audit.json"),
        (("subject", "labels"), False, "evidence/rows.parquet"),
        (("subject", "task"), "regression", "evidence/rows.parquet"),
        (("subject", "groupings"), [], "evidence/rows.parquet"),
        (("subject", "groupings", 0, "counts", 0), 150, "audit.json"),
        (("subject", "groupings", 0, "missing"), [False, True], "audit.json"),
        (("subject", "groupings", 0, "labels"), ["2", "1"], "audit.json"),
        (("subject", "facts", "base_rates", "test", "1"), 3, "audit.json"),
        (("subject", "facts", "invalid_labels", "count"), 3, "audit.json"),
        (("subject", "data", "test", "rows"), 301, "evidence/rows.parquet"),
        (("subject", "data", "test", "sha256"), "0" * 64, "evidence/rows.parquet"),
        (("subject", "classes"), ["1", "0"], "audit.json"),
        (("subject", "sensitive_inputs"), ["sex"], "audit.json"),
        (("subject", "data"), 7, "audit.json"),
        (("spec", "run", "confidence"), 0.9, "recall"),
        (("spec", "run", "seed"), 9, "recall"),
        (("spec", "report", "min_cell"), 500, "recall/sex"),
        (("spec", "metrics"), [], "f1"),
        (("spec", "model", "positive"), 0, "audit.json"),
        (("spec", "version"), "one", "audit.json"),
        (("run", "rows"), "0" * 64, "evidence/rows.parquet"),
    ],
)  # fmt: skip
def test_what_stands_beside_the_evidence_is_held_to_it(
    loans: Made, way: tuple[Any, ...], to: Any, where: str
) -> None:
    content = loans.audit.model_dump(mode="json", by_alias=True)
    place: Any = content
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = to
    assert where in broken(list(recount.recount(Audit.model_validate(content), loans.folder)))


def test_an_audit_that_no_longer_says_how_it_withheld_is_held_to_the_earlier_rule(tmp_path: Path) -> None:
    run = made("binary", tmp_path)
    content = run.audit.model_dump(mode="json", by_alias=True)
    assert content["subject"].pop("withholding") == "linked tables"
    told = broken(list(recount.recount(Audit.model_validate(content), run.folder)))
    assert {"audit.json", "recall/g+sex", "selection_rate/g+sex"} <= set(told)
    content["subject"]["withholding"] = "none"
    told = broken(list(recount.recount(Audit.model_validate(content), run.folder)))
    assert "withholding" in told["audit.json"]


def test_policies_decide_the_minima(tmp_path: Path) -> None:
    run = made("explanatory", tmp_path)
    content = run.audit.model_dump(mode="json", by_alias=True)
    content["policies"][0]["min_n"] = 5
    told = broken(list(recount.recount(Audit.model_validate(content), run.folder)))
    assert told["demographic_parity_ratio/age"].startswith("params.min_n is 45; recomputed it is 5")
    content["policies"][0]["min_n"] = "many"
    assert list(broken(list(recount.recount(Audit.model_validate(content), run.folder)))) == ["audit.json"]


# ------------------------------------------------------------------------------------------ what arrays hold
def test_arrays_that_are_not_their_own_are_told(tmp_path: Path) -> None:
    run = made("texts", tmp_path)
    for identifier in (
        "subgroup_auc/terms",
        "counterfactual_token_fairness",
        "unusual_input_failures",
        "train_test_overlap",
    ):
        piece = run.audit.get(identifier)
        assert piece is not None
        (file,) = set(piece.arrays.values())
        path = run.folder / "evidence" / file
        name = identifier.partition("/")[0]
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        told = broken(list(recount.recount(run.audit, run.folder)))
        assert told[name] == f"evidence/{file} is not of the digest that names it"
        path.unlink()
        assert "cannot be read" in broken(list(recount.recount(run.audit, run.folder)))[name]
        path.write_bytes(content)
        # An audit of an earlier version has no such arrays: that is no forgery, and no pass.
        bare = [
            one.model_copy(update={"arrays": {}}) if one.id == identifier else one
            for one in run.audit.evidence
        ]
        checks = {
            check.subject: check for check in recount.recount(with_evidence(run.audit, bare), run.folder)
        }
        assert checks[identifier].kind == ("holds" if name == "train_test_overlap" else "unchecked")
        elsewhere = [
            one.model_copy(update={"arrays": dict.fromkeys(one.arrays, "../audit.json")})
            if one.id == identifier
            else one
            for one in run.audit.evidence
        ]
        assert (
            "is no file of evidence/"
            in broken(list(recount.recount(with_evidence(run.audit, elsewhere), run.folder)))[name]
        )


# ------------------------------------------------------------------------------------------ old, new, real
def test_an_audit_of_the_first_version_holds_but_for_what_it_did_not_keep() -> None:
    checks = list(recount.recount(audit.read(GOLDEN), GOLDEN))
    assert [check.subject for check in checks if check.kind == "unchecked"] == ["unusual_input_failures"]
    assert not broken(checks)
    assert len(checks) == 1 + len(measured(audit.read(GOLDEN)))


def test_every_metric_of_the_catalog_has_its_recount() -> None:
    ours = {method.id: method for method in METRICS}
    assert set(RECOUNTS) == set(ours)
    for name, rule in RECOUNTS.items():
        assert rule.needs == ours[name].needs, name
        assert rule.asked == ours[name].selectable, name
        assert dict(rule.defaults) == ours[name].params().model_dump(mode="json"), name


def test_a_metric_that_somebody_plugged_in_is_not_recomputed(loans: Made) -> None:
    assert "half" not in methods()
    content = loans.audit.model_dump(mode="json", by_alias=True)
    content["spec"]["metrics"].append({"method": "half", "name": "half", "params": {}})
    piece = copy.deepcopy(next(piece for piece in content["evidence"] if piece["id"] == "accuracy"))
    content["evidence"].append({**piece, "id": "half", "method": "half"})
    checks = {check.subject: check for check in recount.recount(Audit.model_validate(content), loans.folder)}
    assert checks["half"] == Check(
        "unchecked", "half", "half is no metric of this program, and not recomputed"
    )
    assert {check.kind for check in checks.values()} == {"holds", "unchecked"}


def test_compas_is_recomputed_from_its_rows(shared_data: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(shared_data / "compas" / "compas_two_years.csv")
    rows["score"] = rows["decile_score"] / 10
    rows[["id", "score", "two_year_recid", "sex", "race", "age"]].to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "audit.yaml").write_text(
        "version: 1\nsystem: {name: COMPAS}\nmodel: {format: predictions, score: score, positive: 1, favourable: 0}\n"
        "data:\n  test: {path: test.csv}\n  target: two_year_recid\n  id: id\n"
        "  sensitive: [sex, race, {column: age, bins: [25, 46]}]\n"
        "metrics: [accuracy, recall, false_positive_rate, precision, roc_auc, brier_score, expected_calibration_error,"
        " demographic_parity_ratio, equalized_odds_difference, matthews_corrcoef]\nreport: {formats: []}\n"
    )
    (spec,) = read_specs([tmp_path / "audit.yaml"])
    run = pipeline.run(spec, [], tmp_path / "out", pipeline.Options())
    checks = list(recount.recount(run, tmp_path / "out"))
    assert [check for check in checks if check.kind != "holds"] == []
    assert len(checks) > 60
