from __future__ import annotations

from tests.render import audits, specimens
from xai_audit.evidence import Evidence, Item, Ranking
from xai_audit.render import regions
from xai_audit.render.report import report


def ranked(method: str, names: list[str]) -> Evidence:
    items = tuple(
        Item(name=n, estimate=audits.between(1 / (k + 1), 0.9 / (k + 1), 1.1 / (k + 1), 48), rank_low=1 if k < 3 else 4, rank_high=3 if k < 3 else 16)
        for k, n in enumerate(names)
    )  # fmt: skip
    return Evidence(
        id=method, method=method, kind="explainer", title="Mean absolute contribution of each region", status="measured",
        observation=Ranking(items=items, unit="change in score"),
    )  # fmt: skip


GRID = [f"row {y}, column {x}" for y in range(4, 0, -1) for x in range(1, 5)]


def test_a_ranking_of_places_is_a_grid_and_any_other_is_not():
    assert regions.concerns(ranked("shap", GRID))
    assert not regions.concerns(ranked("shap", GRID[:-1]))
    assert not regions.concerns(ranked("shap", ["bmi", "age"]))
    assert not regions.concerns(ranked("shap", []))


def test_grids_of_several_explainers_stand_side_by_side_and_their_tables_follow():
    audit = audits.audit(
        [], [ranked("shap", GRID), ranked("lime", GRID)], "review", subject=specimens.subject("image")
    )
    found = next(s for s in report(audit).sections if s.id == "explanations").exhibits
    panel = found[0].panel
    assert panel is not None
    assert panel.kind == "pictures"
    assert len(panel.frames) == 2
    svg = str(panel.frames[0].svg)
    assert svg.count("<rect") == 32
    assert "The largest: row 4, column 1" in svg
    assert [bool(e.table and e.table.screen) for e in found[1:]] == [True, True]
    assert panel.frames[0].lines[0] in {"SHAP", "LIME"}
