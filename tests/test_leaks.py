"""What may be published gives nothing away that may not, and the attacker who says so does find what is planted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests import leaks
from tests.metrics.subjects import classifier, crossing, grouping
from xai_audit import subject as subjects
from xai_audit.subject import Subject
from xai_audit.withholding import SMALL, WITHHELD, Withholding

NO_PDF = ("pdf",)
"""What most tests here leave out: it takes longer than all else, and two of them search it."""


def table_by_table(subject: Subject, minimum: int) -> Withholding:
    """The rule as it was: in each table by itself a lone hidden cell of a line takes the next smallest with it."""
    reasons = {}
    for grouping_ in subject.groupings:
        order = sorted(grouping_.columns)
        counts = np.bincount(grouping_.codes, minlength=len(grouping_.keys))
        keys = [tuple(key[column] for column in order) for key in grouping_.keys]
        why = [f"n < {minimum}" if count < minimum else "" for count in counts]
        lines: dict[tuple, list[int]] = {}
        for cell, key in enumerate(keys):
            for place in range(len(order)):
                lines.setdefault((place, key[:place] + key[place + 1 :]), []).append(cell)
        again = True
        while again:
            again = False
            for line in lines.values():
                shown = sorted((int(counts[cell]), cell) for cell in line if not why[cell])
                if sum(bool(why[cell]) for cell in line) == 1 and shown:
                    why[shown[0][1]] = WITHHELD
                    again = True
        reasons[tuple(order)] = dict(zip(keys, why, strict=True))
    return Withholding(reasons)


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """An audit by the old rule."""

    def made(seed: int):
        with monkeypatch.context() as patched:
            patched.setattr(subjects, "_withheld", table_by_table)
            patched.setattr(Withholding, "listed", lambda *_: True)
            return leaks.run(leaks.generated(seed, tmp_path), tmp_path / "out")

    return made


def test_the_attacker_finds_what_one_table_gives_away_of_another(planted) -> None:
    found = leaks.attack(planted(1), less=NO_PDF)
    assert [leak for leak in found.leaks if leak.what == "size"]
    assert [leak for leak in found.leaks if leak.how.startswith("1 values left")]


def test_the_attacker_finds_what_the_sums_of_two_tables_make_exact(tmp_path) -> None:
    """Who is hidden in the column alone, and shown in all its crossings, is the sum of the latter."""
    out = leaks.run(leaks.generated(8, tmp_path), tmp_path / "out")
    made = leaks.published(out)
    system = leaks.harvest(made)
    assert leaks.solve(made, system, leaks.truth(out, system)).leaks == []
    nothing = {"n": None, "count": None, "estimate": None, "contrasts": {}}
    for piece in made["evidence"]:
        if piece["kind"] == "metric" and piece["observation"] and piece["observation"].get("by") == ["c0"]:
            for group in piece["observation"]["groups"]:
                if group["key"] == {"c0": "g0d"}:
                    group.update(nothing, status="suppressed", reason="withheld")
            piece["observation"]["summary"] = None
    (grouping_,) = (one for one in made["subject"]["groupings"] if one["columns"] == ["c0"])
    grouping_["counts"][grouping_["labels"].index("g0d")] = None
    found = leaks.solve(made, leaks.harvest(made)).leaks
    assert leaks.Leak("c0 g0d", "size", "exact") in found
    assert leaks.Leak("c0 g0d", "labelled k1", "exact") in found


@pytest.mark.parametrize("seed", [1, 7, 9, 11])
def test_nothing_follows_from_tables_of_any_shape(tmp_path, seed) -> None:
    spec = leaks.generated(seed, tmp_path)
    out = leaks.run(spec, tmp_path / "out")
    found = leaks.attack(out, leaks.words_of(spec, "remark"), NO_PDF if seed != 7 else ())
    assert found.leaks == []
    assert found.hidden
    assert found.equations > 20


def test_nothing_follows_from_compas_and_no_case_is_left_behind(shared_data, tmp_path) -> None:
    spec = leaks.compas(shared_data, tmp_path, "all", explainers="{shap: {rows: 40, background: 20}}")
    out = leaks.run(spec, tmp_path / "out")
    found = leaks.attack(out, leaks.words_of(spec, "c_jail_in"))
    assert found.leaks == []
    assert found.hidden > 10
    assert (out / "report.html").is_file()
    # Single rows lie in evidence/, and their names and digests alone in audit.json.
    made = leaks.published(out)
    (local,) = (piece for piece in made["evidence"] if piece["id"] == "shap/local")
    assert local["status"] == "skipped"
    assert local["observation"] is None
    case = json.loads((out / "evidence" / local["arrays"]["cases"]).read_text())["cases"][0]
    text = (out / "audit.json").read_text(encoding="utf-8")
    phis = [repr(item["phi"]) for item in case["items"] if len(repr(item["phi"])) > 10]
    assert phis
    assert not [phi for phi in phis if phi in text]
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda made, _: made["subject"]["notes"].append("3 test rows have no 'c0' in groups.csv: the group is missing"), "note"),
        (lambda made, id_: made["subject"]["notes"].append(f"look at {id_}"), "id"),
    ],
)  # fmt: skip
def test_the_attacker_reads_what_stands_there(tmp_path, change, what) -> None:
    spec = leaks.generated(7, tmp_path)
    out = leaks.run(spec, tmp_path / "out")
    made = leaks.published(out)
    change(made, leaks.words_of(spec, "person")[0])
    (out / "audit.json").write_text(json.dumps(made), encoding="utf-8")
    if what == "id":
        assert {leak.how for leak in leaks.search(out)} >= {"stands in audit.json"}
    else:
        stated = leaks.harvest(made)
        assert ("notes" in stated.sources) == any(
            "missing" in one["labels"] for one in made["subject"]["groupings"] if one["columns"] == ["c0"]
        )


def test_one_margin_is_not_had_from_another() -> None:
    """Region alone hides island and withholds south; gender by region would sum up to the south."""
    regions = ["north"] * 60 + ["south"] * 40 + ["island"] * 4
    genders = [*(["w", "m"] * 30), *(["w", "m"] * 20), *["w", "w", "m", "m"]]
    one, other = grouping("region", regions), grouping("gender", genders)
    said = [place % 3 % 2 for place in range(104)]
    subject = classifier(said, said[::-1], [one, other, crossing(one, other)])
    old, new = table_by_table(subject, 10), subject.withholding(10)
    south = [{"region": "south", "gender": gender} for gender in ("w", "m")]
    assert old.of({"region": "south"}) == WITHHELD
    assert new.of({"region": "island"}) == "n < 10"
    # Where the south is withheld, at least one of its two cells is; where both are shown, it is not hidden.
    assert new.of({"region": "south"}) == "" or any(new.of(cell) for cell in south)
    assert not new.listed({"region": "island", "gender": "w"})
    assert SMALL in new.of({"region": "island", "gender": "w"})
