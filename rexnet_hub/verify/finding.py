"""Define the finding on a claim, and render findings as JSON and JUnit for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rexnet_hub.errors import FetchError, HubError, RexnetHubError, UsageError
from rexnet_hub.terminal import printable

HOLDS, FALSE, NOT_MEASURED, NOT_REACHED = "holds", "false", "not measured", "not reached"
#: As of sysexits.h: nothing is false, but somebody did not answer; ask again later.
TRY_AGAIN = 75
#: How JUnit counts the cases of a verdict, and marks one; what holds it only counts among all.
_JUNIT = {
    FALSE: ("failures", "failure"),
    NOT_REACHED: ("errors", "error"),
    NOT_MEASURED: ("skipped", "skipped"),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of checking one claim.

    Attributes:
        claim: The claim's name, such as `parameters`.
        verdict: `holds`, `false`, `not measured`, or `not reached` where who would say so did not answer.
        stated: What is claimed.
        found: What was measured; empty where nothing was.
        note: How it was measured, or what is needed to measure it.
    """

    model: str
    claim: str
    verdict: str
    stated: str
    found: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Return what does not hold, in one line."""
        return f"{self.model}: {self.claim} is {self.verdict}: stated {self.stated}, found {self.found}"


def verdict_of(error: Exception) -> str:
    """Return what an error comes to: false, or not reached where nobody answered, or we may not ask."""
    is_settled = not isinstance(error, (FetchError, HubError)) or error.is_gone
    return FALSE if is_settled else NOT_REACHED


def require_truth(findings: Sequence[Finding]) -> None:
    """Refuse findings that hold a false claim, or none at all.

    Raises:
        RexnetHubError: Every false claim is named.
    """
    if not findings:
        raise UsageError("there was nothing to verify")
    if wrong := [f for f in findings if f.verdict == FALSE]:
        raise RexnetHubError("\n".join(map(str, wrong)))


def exit_code(findings: Sequence[Finding]) -> int:
    """Return the exit code of a command that made these findings: 0, 1 for a false one, or TRY_AGAIN."""
    verdicts = {finding.verdict for finding in findings}
    return 1 if FALSE in verdicts else TRY_AGAIN * (NOT_REACHED in verdicts)


def render_json(findings: Sequence[Finding]) -> str:
    """Render findings as one JSON document: a list of objects with a Finding's keys."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False) + "\n"


def render_junit(findings: Sequence[Finding]) -> str:
    """Render findings as a JUnit file: a suite for each model, a case for each claim.

    A false claim is a failure, one that is not measured is skipped, one that was not reached an error.
    """
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites", name="rexnet-hub verify")
    for model in dict.fromkeys(finding.model for finding in findings):
        own = [finding for finding in findings if finding.model == model]
        counts = {"name": printable(model), "tests": str(len(own))}
        for verdict, (plural, _) in _JUNIT.items():
            counts[plural] = str(sum(finding.verdict == verdict for finding in own))
        suite = ElementTree.SubElement(root, "testsuite", counts)
        for finding in own:
            case = ElementTree.SubElement(suite, "testcase", classname=counts["name"])
            case.set("name", printable(finding.claim))
            found = finding.found or "nothing"
            message = printable(f"stated {finding.stated}, found {found}; {finding.note}")
            if finding.verdict in _JUNIT:
                ElementTree.SubElement(case, _JUNIT[finding.verdict][1], message=message)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
