from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from tests.render import audits
from xai_audit import audit
from xai_audit.audit import Audit
from xai_audit.render import renderers

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
CASES = {**audits.ALL, "golden": lambda: audit.read(GOLDEN)}


def read(made: Audit) -> JUnitXml:
    return JUnitXml.fromstring(renderers["junit"](made))


def results(made: Audit) -> dict[str, str]:
    """What junitparser makes of each case, by the rule's id."""
    found = {}
    for suite in read(made):
        for case in suite:
            words = {Failure: "failure", Error: "error", Skipped: "skipped"}
            found[case.name.partition(":")[0]] = words[type(case.result[0])] if case.result else "passed"
    return found


def test_each_kind_has_its_result() -> None:
    assert results(audits.failing()) == {
        "outcome": "failure",
        "PER-01": "failure",
        "ROB-02": "failure",
        "FAI-01": "skipped",  # open, and the policy lets it warn
        "FAI-03": "skipped",
        "XAI-03": "skipped",  # its evidence crashed, and it does not block
        "FAI-02": "skipped",  # waived
        "GOV-05": "skipped",
        "OVS-01": "skipped",
        "GOV-04": "skipped",
        "FAI-09": "skipped",  # does not apply
        **dict.fromkeys(("XAI-01", "XAI-02", "DAT-01", "DAT-03", "SEC-03"), "passed"),
    }


def test_what_keeps_the_gate_for_a_person_is_an_error() -> None:
    told = [
        audits.finding("A-1", "open", "t", "c", "law", "m"),
        audits.finding("A-2", "review", "t", "c", "law", "m", on_open="warn"),
        audits.finding("A-3", "open", "t", "c", "law", "m", on_open="warn"),
    ]
    made = audits.audit(told, [], "review")
    assert results(made) == {"outcome": "error", "A-1": "error", "A-2": "error", "A-3": "skipped"}


@pytest.mark.parametrize("case", CASES)
def test_it_is_red_exactly_where_the_gate_does_not_pass(case: str) -> None:
    made = CASES[case]()
    report = read(made)
    assert (report.failures + report.errors == 0) == (made.outcome == "pass")
    assert report.tests == len(made.findings) + 1
    assert report.tests == sum(len(list(suite)) for suite in report)


@pytest.mark.parametrize("case", CASES)
def test_the_same_audit_gives_the_same_bytes(case: str) -> None:
    assert renderers["junit"](CASES[case]()) == renderers["junit"](CASES[case]())


def test_bytes_do_not_depend_on_the_xml_library() -> None:
    # junitparser takes lxml where it is installed, which only the tests bring.
    code = (
        "import sys; sys.modules['lxml'] = None\n"
        "from tests.render import audits; from xai_audit.render import renderers; import junitparser.junitparser as j\n"
        "assert j.etree.__name__ == 'xml.etree.ElementTree'\n"
        "sys.stdout.buffer.write(renderers['junit'](audits.hostile()))"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root).stdout
    assert other == renderers["junit"](audits.hostile())


def test_a_case_says_where_and_what_to_do() -> None:
    made = audits.located(audits.failing(), policies=[20, 1])
    (case,) = [case for suite in read(made) for case in suite if case.name.startswith("PER-01")]
    assert case.classname == "xai-audit.eu-ai-act"
    assert (case._elem.get("file"), case._elem.get("line")) == ("models/audit.yaml", "20")
    (failure,) = case.result
    assert failure.message == "recall 0.67 [0.57, 0.75] is below the declared 0.80"
    for words in (
        "Asked: at least 0.80",
        "Provision: Article 15(3)",
        "Next: Lower the flagging threshold",
        "blocks",
    ):
        assert words in failure.text


def test_reasons_stand_beside_what_is_skipped() -> None:
    told = {
        case.name.partition(":")[0]: case.result[0]
        for suite in read(audits.failing())
        for case in suite
        if case.result
    }
    assert told["FAI-09"].message.startswith("not applicable: does not apply")
    assert told["FAI-02"].message.startswith("waived: ")
    assert "Waived by Ewa Żółkiewska, until 1 March 2027" in told["FAI-02"].text.replace("\u00a0", " ")


def test_times_are_those_of_the_audit() -> None:
    report = read(audits.failing())
    assert report.time == 41.2
    (gate, *_) = list(report)
    assert (gate.name, gate.timestamp, gate.time) == ("gate", "2026-11-14T09:12:03", 41.2)
    # Schemas of JUnit put properties before cases.
    assert next(iter(gate._elem)).tag == "properties"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_name_gives_xml_that_two_parsers_read(text: str) -> None:
    content = renderers["junit"](audits.named(text))
    root = ET.fromstring(content)
    assert [one.tag for one in root.iter("testcase")] == ["testcase"] * 4
    assert len(list(root.iter("failure"))) == 2
    assert JUnitXml.fromstring(content).tests == 4
    assert not audits.hidden(content)
