from __future__ import annotations

from collections import Counter

import pytest

from tests.render import audits
from xai_audit.render import front
from xai_audit.render.report import outline, place, place_rules, report


@pytest.mark.parametrize("case", sorted(audits.ALL))
def test_every_piece_of_evidence_and_every_finding_stands_in_exactly_one_section(case: str):
    audit = audits.ALL[case]()
    plan = outline()
    placed = place(audit, plan)
    assert Counter(piece.id for pieces in placed.values() for piece in pieces) == Counter(
        e.id for e in audit.evidence
    )
    ruled = place_rules(audit, plan, placed)
    assert Counter(f.rule for findings in ruled.values() for f in findings) == Counter(
        f.rule for f in audit.findings
    )


def test_sections_stand_in_their_order_and_tables_count_up():
    made = report(audits.failing())
    assert [section.number for section in made.sections] == [
        "0",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "10",
        "11",
        "18",
        "A",
        "B",
        "G",
    ]
    assert [entry[0] for entry in made.rail][:3] == ["0", "1", "2"]
    for section in made.sections:
        numbers = [int(e.table.number.split(".")[1]) for e in section.exhibits if e.table]
        assert numbers == sorted(set(numbers))


def test_the_outcome_is_one_sentence_whose_sums_add_up():
    audit = audits.failing()
    page = front.page(audit)
    assert page.clauses == (
        "2 blocking rules failed".replace(" b", "\u00a0b", 1),
        "2 could not be decided",
        "1 needs a person",
        "5 passed",
    )
    found = front.states(audit)
    assert sum(map(len, found.values())) == len(audit.findings)
    assert "holds 15\u00a0rules" in page.sums
    assert "1\u00a0is waived" in page.sums


def test_without_a_failure_the_sentence_says_so():
    assert front.page(audits.passing()).clauses[0] == "Nothing failed"
    assert front.page(audits.unmodelled()).sums == "No rule was applied, so a person has to judge."


def test_page_one_tells_what_would_settle_what_is_open_with_its_if():
    page = front.page(audits.reviewed())
    heads = {head: table for _, head, table, _ in page.blocks}
    settle = heads["Could not be decided"].rows[0].cells[-1].text
    assert settle == "About 5,200 more people would probably settle it, if the ratio stays."
    assert "convention, not law" in heads["Could not be decided"].rows[0].cells[3].sub


def test_a_missing_signature_is_a_gap_and_a_dated_one_is_not():
    assert not any(said.absent for said in front.page(audits.failing()).signatures)
    assert front.page(audits.unmodelled()).signatures[-1].absent


def test_the_heaviest_mark_of_a_section_is_in_the_rail():
    marks = {
        section.id: section.mark.word if section.mark else None
        for section in report(audits.failing()).sections
    }
    assert marks["performance"] == "failed"
    assert marks["bias"] == "undecided"
    assert marks["explanations"] == "review"  # lime failed
    assert marks["system"] == "missing"


def test_the_ledger_has_the_23_points_of_annex_iv_and_they_add_up():
    ledger = report(audits.failing()).ledger
    assert len(ledger.points) == 23
    assert ledger.measured + ledger.stated + ledger.missing == 23


def test_single_rows_are_drawn_only_where_the_spec_shows_them():
    from tests.render.test_charts import CASE
    from xai_audit.evidence import Cases, Evidence

    local = Evidence(
        id="shap/local",
        method="shap",
        kind="explainer",
        title="Contributions",
        status="measured",
        observation=Cases(cases=(CASE,)),
    )
    hidden = audits.audit([], [local], "review")
    shown = audits.audit([], [local], "review", spec=audits.spec(report={"examples": True}))
    for audit, figures in ((hidden, 0), (shown, 1)):
        section = next(s for s in report(audit).sections if s.id == "explanations")
        assert sum(e.figure is not None for e in section.exhibits) == figures


def test_page_one_reads_as_it_did():
    """A change of these words is a change of what people are told: update the file by hand, and say so."""
    from pathlib import Path

    page = front.page(audits.failing())
    lines = [page.eyebrow, "; ".join(page.clauses) + ".", page.purpose, page.tested, page.sums]
    for mark, head, table, more in page.blocks:
        lines.append(f"{mark.shape} {head}")
        lines += [
            " | ".join(f"{c.text} / {c.sub}" if c.sub else c.text for c in row.cells) for row in table.rows
        ]
        lines += [more] if more else []
    for mark, head, entries, _ in page.others:
        lines.append(f"{mark.shape} {head}")
        lines += [f"{one.rule} {one.title}. {one.waiver or one.settle}" for one in entries]
    lines += [f"{said.text or said.asks} -- {said.author}" for said in page.signatures]
    golden = Path(__file__).parent / "golden" / "page_one.txt"
    assert "\n".join(lines).replace("\u00a0", " ") + "\n" == golden.read_text(encoding="utf-8")


def compared_within(pooled: tuple[float, float, float], crude: tuple[float, float, float]) -> str:
    """The title of a difference by sex within departments, from the pooled and the crude one."""
    from xai_audit.evidence import Estimate, Evidence, Group, Groups, Summary

    def between(value: float, low: float, high: float) -> Summary:
        number = Estimate(value=value, low=low, high=high, n=900)
        return Summary(between=("woman", "man"), difference=number, pairs=1, insufficient=0)

    def piece(method: str, by: str, columns: str, summary: Summary) -> Evidence:
        estimate = Estimate(value=0.1, low=-0.1, high=0.3, n=300)
        group = Group(key={by: "a"}, n=300, count=300, status="measured", estimate=estimate)
        return Evidence(
            id=f"{method}/{columns}",
            method=method,
            kind="metric",
            title="Selection rate of woman minus that of man, within each department",
            status="measured",
            observation=Groups(by=(by,), groups=(group,), summary=summary),
        )

    method = "demographic_parity_difference"
    made = audits.audit(
        [],
        [
            piece(f"conditional_{method}", "department", "department+gender", between(*pooled)),
            piece(method, "gender", "gender", between(*crude)),
        ],
        "review",
    )
    section = next(s for s in report(made).sections if s.id == "bias")
    exhibit = next(e for e in section.exhibits if e.figure and "ompared within" in e.figure.title)
    assert exhibit.figure is not None
    assert exhibit.table is not None
    assert exhibit.table.rows[-1].cells[0].text == "Pooled"
    return exhibit.figure.title.replace("\u00a0", " ").partition(": pooled")[0]


@pytest.mark.parametrize(
    ("pooled", "crude", "said"),
    [
        ((0.02, -0.01, 0.05), (0.14, 0.11, 0.17), "the gap closes"),
        ((-0.06, -0.09, -0.03), (0.14, 0.11, 0.17), "the gap remains"),
        ((0.06, 0.03, 0.09), (0.14, 0.11, 0.17), "the gap turns round"),
        ((0.06, 0.03, 0.09), (0.02, 0.00, 0.05), "a gap appears"),
        ((0.02, -0.01, 0.05), (0.02, 0.00, 0.05), "there is no gap larger than chance either"),
    ],
)
def test_a_gap_within_a_column_is_told_as_the_intervals_allow(pooled, crude, said: str):
    assert compared_within(pooled, crude) == f"Compared within department, {said}"


def test_what_a_number_cannot_show_is_said_once_on_paper_and_once_on_a_screen():
    for case in audits.ALL.values():
        for section in report(case()).sections:
            on_paper = [
                e.table.limits for e in section.exhibits if e.table and e.on_paper and not e.table.screen
            ]
            said = [note for notes in on_paper for note in notes]
            assert len(said) == len(set(said))


def test_missing_statements_stand_in_one_box_of_a_section_and_one_by_one_in_the_annex():
    from xai_audit.render import renderers

    made = report(audits.failing())
    system = next(section for section in made.sections if section.id == "system")
    assert len(system.missing) + len(system.stated) == len(system.statements)
    text = renderers["html"](audits.failing()).decode()
    part = text.partition('<section id="system"')[2].partition("</section>")[0]
    assert part.count('class="gap ') + part.count('class="gap"') == bool(system.missing)
    assert all(one.asks.replace("'", "&#39;") in part for one in system.missing)


def test_a_classification_prints_in_words():
    spec = audits.spec()
    spec["system"]["classification"] = {"annex_iii_point": "5(b)", "profiling": True, "role": None}
    made = report(audits.audit([], [], "review", spec=spec))
    assert made.texts["classification"] == [("Annex III point", "5(b)"), ("Profiling of people", "yes")]
