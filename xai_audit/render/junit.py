"""junit.xml: a suite for the gate and one for each policy, a test case for each rule.

A case is red exactly where its rule keeps the gate from passing: ``failure`` where it failed, ``error`` where it could
not be judged and a person must look. Everything else that is no pass is ``skipped`` with the reason: warnings that
failed, rules left open that only warn, waived and not applicable ones. The case ``outcome`` of the suite ``gate`` is red
exactly where the gate does not pass, whatever the reason, so that a viewer never says green when the gate does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import Attr, IntAttr

from xai_audit.render import alarms, people, places
from xai_audit.render import findings as told
from xai_audit.render.palette import VERDICTS
from xai_audit.render.thresholds import BASES
from xai_audit.render.visible import name, prose, visible

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding


class Case(TestCase):  # type: ignore[misc]  # junitparser ships no types
    """A test case with the file and line that viewers link to."""

    __test__ = False
    file = Attr()
    line = IntAttr()


def render(audit: Audit) -> bytes:
    """The report, with stable bytes whichever XML library junitparser found."""
    made = JUnitXml(name="xai-audit")
    made.append(_gate(audit))
    for policy in dict.fromkeys(finding.policy for finding in audit.findings):
        suite = TestSuite(name=name(policy))
        suite.add_testcases([_case(audit, finding) for finding in audit.findings if finding.policy == policy])
        made.append(suite)
    made.update_statistics()
    root = ET.fromstring(made.tostring())  # noqa: S314 - it was written the line before
    ET.indent(root, " ")
    text = ET.canonicalize(ET.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _gate(audit: Audit) -> TestSuite:
    """What the gate says, as one case; its time is that of the audit."""
    suite = TestSuite(name="gate")
    started = str(audit.run.get("started") or "").partition("+")[0]
    if started:
        suite.timestamp = visible(started)
    case = Case(name="outcome", classname="xai-audit", time=float(audit.run.get("seconds") or 0.0))
    reasons = prose("; ".join(audit.reasons) or audit.outcome)
    if audit.outcome == "fail":
        case.result = [_with(Failure(reasons, "fail"), "\n".join(map(prose, audit.reasons)))]
    elif audit.outcome != "pass":
        case.result = [_with(Error(reasons, audit.outcome), "\n".join(map(prose, audit.reasons)))]
    # Schemas of JUnit put properties before the cases.
    suite.add_property("system", people.title(audit))
    for policy in audit.policies:
        suite.add_property("policy", f"{name(policy['id'])} {name(policy['version'])}")
    suite.add_testcases([case])
    return suite


def _case(audit: Audit, finding: Finding) -> Case:
    case = Case(name=alarms.headline(finding), classname=f"xai-audit.{name(finding.policy)}", time=0.0)
    place = places.place(audit, finding)
    case.file = visible(place.path)
    if place.line:
        case.line = place.line
    word = VERDICTS[told.state(finding)].word
    if alarms.stops(finding):
        kind = Failure if finding.kind == "fail" else Error
        case.result = [_with(kind(prose(finding.message), word), _body(finding))]
    elif finding.kind != "pass":
        case.result = [_with(Skipped(f"{word}: {prose(finding.message)}", word), _body(finding))]
    return case


def _with(result: Failure | Error | Skipped, text: str) -> Failure | Error | Skipped:
    result.text = text
    return result


def _body(finding: Finding) -> str:
    """What stands below the message: what is asked, by which provision, what to do."""
    lines = [
        alarms.said(finding),
        f"Asked: {name(finding.threshold)}" if finding.threshold else "",
        f"Provision: {name(finding.clause)} ({BASES[finding.basis]})",
        f"Level: {finding.level}{', blocks' if finding.blocking else ', does not block'}",
        told.waived_by(finding),
    ]
    return "\n".join(line for line in lines if line)
