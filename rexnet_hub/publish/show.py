"""Render a plan and its outcome for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from rexnet_hub.publish.plan import FileChange, Plan
from rexnet_hub.publish.run import Outcome
from rexnet_hub.terminal import printable

_SIGNS = {"add": "+", "change": "~", "remove": "-", "keep": "="}
_SHOWN = 20
_FENCE = "````"


def describe_plan(plan: Plan) -> Sequence[str]:
    """Render a plan in lines: what it is against, one line a file, a field, a reason to stop."""
    lines = [f"{plan.name} -> {plan.target}" + ("  (nothing to do)" if plan.is_done else "")]
    lines.append(f"  against {plan.head or 'nothing: it would be made'}")
    if plan.visibility:
        when = ", once all is there" if plan.opens_repo else ""
        lines.append(f"  {plan.visibility}{when}, licence {plan.license or 'not stated'}")
    lines += [_file_line(change) for change in plan.changes]
    if plan.others:
        more = f" and {len(plan.others) - _SHOWN} more" * (len(plan.others) > _SHOWN)
        lines.append(f"  of others, and stays: {', '.join(plan.others[:_SHOWN])}{more}")
    lines += [f"  card {field.name}: {_short(field.old)} -> {_short(field.new)}" for field in plan.fields]
    if plan.tag:
        lines.append(f"  tag {plan.tag}" + ("  (is set)" if plan.tag_is_set else ""))
    if plan.options.as_pr:
        lines.append("  as a pull request")
    lines += [f"  written there: {line}" for line in plan.edits[:_SHOWN]]
    if len(plan.edits) > _SHOWN:
        lines.append(f"  written there: and {len(plan.edits) - _SHOWN} lines more")
    lines += [f"  as it was: {note}" for note in plan.notes]
    lines += [f"  warning: {warning}" for warning in plan.warnings]
    return list(map(printable, lines + [f"  stop: {stop}" for stop in plan.stops]))


def describe_outcome(outcome: Outcome) -> Sequence[str]:
    """Render in lines what became of one repo of a run: its plan, and where it was published."""
    lines = list(describe_plan(outcome.plan)) if outcome.plan else []
    if outcome.published:  # also where the lock could not be written then
        lines.append(f"{replace(outcome, problem=None).word}: {outcome.published}")
    return lines


def _file_line(change: FileChange) -> str:
    old, new = (_digest(digest) for digest in (change.old_digest, change.new_digest))
    digests = f"{old} -> {new}" if change.kind == "change" else new or old
    return f"  {_SIGNS[change.kind]} {change.name:<20} {change.size_bytes:>12}  {digests}"


def _digest(digest: str | None) -> str:
    return digest.partition(":")[2][:12] if digest else ""


def _short(text: str | None) -> str:
    return "none" if text is None else text if len(text) <= 60 else f"{text[:59]}…"


def outcomes_as_json(outcomes: Iterable[Outcome]) -> str:
    """Print a run as one JSON document: a list of objects with an Outcome's keys, and a Plan's in `plan`."""
    return json.dumps([_plain(outcome) for outcome in outcomes], indent=2, ensure_ascii=False)


def _plain(outcome: Outcome) -> dict[str, object]:
    fields = asdict(outcome)
    if (plan := outcome.plan) is not None:
        files = {n: {"size_bytes": f.size_bytes, "sha256": f.sha256} for n, f in plan.files.items()}
        fields["plan"] = fields["plan"].pop("options") | fields["plan"]
        fields["plan"] |= {"staged": str(plan.staged), "files": files, "is_done": plan.is_done}
    return fields


def outcomes_as_markdown(outcomes: Iterable[Outcome]) -> str:
    """Render a run as Markdown, for a CI; text of the index and the Hub stays inert in code fences."""
    parts = ["## What publishing would change", ""]
    for outcome in outcomes:
        lines = list(describe_outcome(outcome))
        if outcome.problem:
            problem = f"{outcome.word}: {outcome.source}: {outcome.problem}".replace("\n", "\n  ")
            lines += map(printable, problem.split("\n"))
        inert = (line.replace(_FENCE, "(four backticks)") for line in lines)
        parts += [f"{_FENCE}text", *inert, _FENCE, ""]
    return "\n".join(parts)
