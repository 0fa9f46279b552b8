"""The command that measures what needs a network: contact."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.commands import add_json, find_models, open_index
from rexnet_hub.commands.checkpoints import shorten, show_wrong
from rexnet_hub.errors import FileProblem, UsageError, list_some
from rexnet_hub.terminal import printable, show, show_json, show_lines, table, terminal_columns

if TYPE_CHECKING:
    from rexnet_hub.contact import Step
    from rexnet_hub.index import Index, Lock


def declare_contact(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `contact`."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="models (default: all)")
    out_help = "for staged repos, runs and the patch; run again with it, what is done is not done anew"
    add("--out", type=Path, required=True, metavar="DIR", help=out_help)
    given_help = "weights that you have, such as from a drive's page; may be given several times"
    add("--weights", action="append", default=[], metavar="NAME=FILE", help=given_help)
    add("--imagenet", type=Path, metavar="DIR", help="the accuracies on ImageNet's validation set too")
    add("--imagenet-v2", type=Path, metavar="DIR", help="likewise on ImageNet-V2")
    add_json(parser)


def run_contact(args: argparse.Namespace) -> int:
    """Measure all that needs a network, and record it beside the index, with a patch to be reviewed.

    For each model: fetch every source of its weights and compare them with what is stated and with each
    other; convert and stage; load in this library, timm and transformers and compare logits; record digests,
    sizes, witnesses and golden logits in lock.json; ask each place that the index cites whether it still says
    so. With --imagenet the accuracies are measured too, on a GPU where there is one.

    What fails for one model stops no other, and is a line. What was cut off goes on when it is run again. Of
    the index only lock.json and evidence/ are written. Exit code 1 is for what is false; 75 says that nothing
    is, but that somebody did not answer.
    """
    from rexnet_hub.contact import make_contact, write_patch
    from rexnet_hub.index import read_lock
    from rexnet_hub.index.lock import find_evidence_dir, find_lock
    from rexnet_hub.verify.finding import exit_code

    index = open_index()
    entries = find_models(index, args.names)
    if not entries:
        raise UsageError("the index holds no model, so there is nothing to measure")
    names = [entry.name for entry in entries]
    sets = {"ImageNet": args.imagenet, "ImageNet-V2": args.imagenet_v2}
    data = {name: place for name, place in sets.items() if place}
    given, before = _read_given(args.weights, index, names), read_lock()
    steps = make_contact(entries, args.out, given=given, data=data, quiet=args.json)
    if args.json:
        show_json([{"step": step, **asdict(finding)} for step, finding in steps])
    else:
        show_lines(_grid(names, steps))
        _show_below(steps)
    after, stream = read_lock(), sys.stderr if args.json else sys.stdout
    changed = list(_list_changed(before, after))
    show(*["", "changed:", *changed] if changed else ["", "nothing changed"], stream=stream)
    patch, why = write_patch(args.out)
    if why:
        show(f"no patch: {why}", stream=stream)
    if patch or changed:
        new = _evidence_of(after) - _evidence_of(before)
        files = [find_lock(), *(find_evidence_dir() / name for name in sorted(new))]
        show(f"to review: {list_some([str(file) for file in ([patch] if patch else files)])}", stream=stream)
    return exit_code([finding for _, finding in steps])


def _read_given(words: Sequence[str], index: Index, names: Sequence[str]) -> dict[str, Path]:
    """Read NAME=FILE of each `--weights`."""
    given = {}
    for word in words:
        name, mark, file = word.partition("=")
        name = entry.name if (entry := index.get(name)) else name
        if not mark or not file or name not in names or name in given:
            stated = f"--weights {word}: give NAME=FILE, once for a model that is asked for"
            raise UsageError(f"{stated}: {list_some(names, 30)}")
        if not Path(file).is_file():
            raise FileProblem(file, "there is no such file")
        given[name] = Path(file)
    return given


def _grid(names: Sequence[str], steps: Sequence[Step]) -> str:
    """Render what became of each step, a model a row: the first of the verdicts below that is in it."""
    from rexnet_hub.contact import STEPS
    from rexnet_hub.verify.finding import FALSE, HOLDS, NOT_MEASURED, NOT_REACHED

    words = {FALSE: FALSE, NOT_REACHED: "?", HOLDS: HOLDS, NOT_MEASURED: "-"}
    found = {(finding.model, step, finding.verdict) for step, finding in steps}

    def cell(name: str, step: str) -> str:
        return words[next((word for word in words if (name, step, word) in found), NOT_MEASURED)]

    longest = max(terminal_columns() - 50, 12)
    rows = ([shorten(name, longest), *(cell(name, step) for step in STEPS)] for name in names)
    return f"{table(('model', *STEPS), rows)}\n\n- not measured, ? not reached"


def _show_below(steps: Sequence[Step]) -> None:
    """Print what no grid holds: what is false, changed or counted; what was not measured, and why."""
    from rexnet_hub.contact import WAS_THERE
    from rexnet_hub.drift import NOTES
    from rexnet_hub.verify.finding import HOLDS, NOT_MEASURED

    told = {(each.model, each.found or each.claim): each for _, each in reversed(steps)}  # of two the first
    show_wrong([each for _, each in steps if told[each.model, each.found or each.claim] is each])
    for step, each in steps:
        if each.claim == step == "top-1" and each.verdict == HOLDS:
            show(f"{each.model}: {each.stated}: {each.found} ({each.note})")
    reasons: dict[str, list[str]] = {}
    for step, each in steps:
        if each.verdict == NOT_MEASURED and each.claim not in NOTES:
            claim = "" if each.claim == step else f" ({each.claim})"
            reasons.setdefault(f"{step}{claim} not measured: {each.note}", []).append(each.model)
    every = {each.model for _, each in steps}
    for reason, models in reasons.items():
        text = f"{'all' if every == {*models} != {models[0]} else ', '.join(models)}: {reason}"
        whole = textwrap.TextWrapper(terminal_columns(), break_long_words=False, break_on_hyphens=False)
        show_lines("\n".join(whole.wrap(printable(text))))
    before = Counter(step for step, each in steps if each.note.startswith(WAS_THERE))
    if before:
        show(f"done before: {', '.join(f'{step} {count}' for step, count in before.items())}")


def _evidence_of(lock: Lock) -> set[str]:
    return {name for measured in lock.models.values() for name in measured.evidence}


def _list_changed(before: Lock, after: Lock) -> Iterator[str]:
    """List what the lock has otherwise than before, a line for each model."""
    for name, measured in after.models.items():
        old, new = (asdict(each) for each in (before.of(name), measured))
        if parts := [part for part in new if new[part] != old[part]]:
            yield f"  {name}: {', '.join(parts)}"
