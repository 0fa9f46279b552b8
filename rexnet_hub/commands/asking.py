"""Commands that ask the index: list, show, ledger, validate, recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rexnet_hub.addresses import cite
from rexnet_hub.commands import add_json, find_model, open_index
from rexnet_hub.errors import UsageError, refuse_unused
from rexnet_hub.terminal import (
    counted,
    csv_lines,
    has_terminal,
    noted_table,
    show,
    show_json,
    show_lines,
    table,
    terminal_columns,
)

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rexnet_hub.index import Claim, Entry, Lock
    from rexnet_hub.index.entry import Result
    from rexnet_hub.index.query import Scope

#: What `list` shows of a model unless told otherwise: the key in JSON, and the heading.
COLUMNS = {
    "name": ("name", "name"),
    "top1": ("top1_percent", "top-1 %"),
    "top5": ("top5_percent", "top-5 %"),
    "dataset": ("dataset", "data set"),
    "parameters": ("parameters", "parameters"),
    "macs": ("macs", "MACs"),
    "flops": ("flops_claimed", "FLOPs"),
    "file_size": ("file_size_bytes", "file bytes"),
    "license": ("license", "licence"),
}
#: Those that go first where a terminal is too narrow for all.
LEAVING = ("flops", "file_size", "top5", "macs", "license", "dataset", "parameters")


def declare_list(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `list`."""
    parser.add_argument("query", nargs="?", default="", help="such as 'top1>=79 params<10M'")
    parser.add_argument("--sort", metavar="KEY", help="such as params, or -top1 for the highest first")
    parser.add_argument("--pareto", metavar="MORE,LESS", help="only what no other beats, such as top1,macs")
    columns = "what to show, such as name,top1,top1@imagenet-v2,epochs"
    parser.add_argument("--columns", metavar="NAMES", help=columns)
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--names", action="store_true", help="print the names alone, one a line")
    printed.add_argument("--csv", action="store_true", help="print CSV")
    add_json(printed)


def run_list(args: argparse.Namespace) -> int:
    """List the models that meet a query.

    A query compares figures and words: 'top1>=79 params<10M', 'name:*_1* and not license:gpl*'. Numbers of
    results are of the first data set that a model has them of, else as asked: 'top1@imagenet-v2>=65', or
    'dataset:pets top1>90'; the column says of which. Parameters, MACs and evaluations are the measured ones
    where the lock has them; empty is what nobody stated.
    """
    from rexnet_hub.index import read_lock
    from rexnet_hub.index.query import find_scope, pareto, read_column, select

    lock, models = read_lock(), open_index().models
    scope = find_scope(models, args.query, lock)
    entries = select(models, args.query, sort=args.sort, measured=lock)
    if args.pareto:
        axes = args.pareto.split(",")
        if len(axes) != 2:
            raise UsageError(f"--pareto takes two figures, such as top1,macs; not {args.pareto!r}")
        entries = pareto(entries, *axes, measured=lock, scope=scope)
    if args.names:
        refuse_unused("--names", columns=args.columns)
        for entry in entries:
            show(entry.name)
        return 0
    words = [word.strip() for word in args.columns.split(",")] if args.columns else list(COLUMNS)
    asked = [read_column(models, word, lock) for word in words]
    rows = [_cells(entry, asked, lock, scope) for entry in entries]
    names = [word if on else name for word, (name, on) in zip(words, asked, strict=True)]
    keys, headings = zip(*(COLUMNS.get(name, (name, name)) for name in names), strict=True)
    if args.json:
        show_json([dict(zip(keys, row, strict=True)) for row in rows])
    elif args.csv:
        show_lines(csv_lines([keys, *rows]))
    else:
        kept = list(range(len(asked))) if args.columns else _fit(words, headings, rows)
        texts = {at for at in kept if any(isinstance(row[at], str) for row in rows)}
        right = [at for at, number in enumerate(kept) if number not in texts]
        shown = [[row[at] for at in kept] for row in rows]
        show_lines(table([headings[at] for at in kept], shown, right=right))
        if left := [heading for at, heading in enumerate(headings) if at not in kept]:
            show(f"no room for {', '.join(left)}: --columns or --csv shows them", stream=sys.stderr)
    return 0


def _fit(words: Sequence[str], headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Choose which columns a terminal has room for; where there is none, all of them."""
    widths = [
        max(len(heading), *(len(str(row[at] or "")) for row in rows), 0)
        for at, heading in enumerate(headings)
    ]
    kept, leaving = list(range(len(words))), [words.index(word) for word in LEAVING]
    empty = [at for at in kept if words[at] in LEAVING and not any(row[at] is not None for row in rows)]
    for at in dict.fromkeys([*empty, *leaving]):
        if not has_terminal() or sum(widths[at] + 2 for at in kept) - 2 <= terminal_columns():
            break
        kept.remove(at)
    return kept


def _cells(entry: Entry, asked: Sequence[tuple[str, str]], lock: Lock, scope: Scope) -> list[Any]:
    """Return what a row shows of a model, in JSON's types; `dataset` is that of the numbers beside it."""
    from decimal import Decimal

    from rexnet_hub.index.grammar import TEXT_NAMES
    from rexnet_hub.index.query import find_figure, find_texts, find_words
    from rexnet_hub.index.scores import Score
    from rexnet_hub.index.spellings import place_name

    cells, places = [], dict[str, None]()
    for name, on in asked:
        is_text = name in TEXT_NAMES
        found = (
            ", ".join(find_texts(entry, name)) if is_text else find_figure(entry, name, lock, scope.at(on))
        )
        if isinstance(found, Score):
            places |= {} if on else {place_name(*found.place): None}
            found = found.value
        elif found is None and not on:
            found = find_words(entry, name)
        cells.append(float(found) if isinstance(found, Decimal) else None if found == "" else found)
    pairs = zip(cells, asked, strict=True)
    return [", ".join(places) if places and name == "dataset" else cell for cell, (name, _) in pairs]


def declare_show(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `show`."""
    parser.add_argument("name", metavar="NAME|DIR", help="a model, or a repo folder of it")
    add_json(parser)


declare_recipe = declare_ledger = declare_show


def run_show(args: argparse.Namespace) -> int:
    """Show one model: what is claimed, what was measured, and where each value comes from."""
    from rexnet_hub.index import read_lock
    from rexnet_hub.index.lock import measurements

    entry = find_model(open_index(), args.name)
    claims, lock = _claims(entry), read_lock().of_entry(entry)
    measured = measurements(lock)
    if args.json:
        rows = {"claims": [_as_json(*row) for row in claims], "measured": dict(measured)}
        show_json({"name": entry.name, "other_names": entry.other_names, **rows})
        return 0
    show(f"{entry.name}  ({entry.location})", "")
    if entry.other_names:
        show(f"also called {', '.join(entry.other_names)}", "")
    if reason := entry.said("withdrawn"):
        show(f"withdrawn: {reason}", "")
    if newer := entry.said("superseded_by"):
        show(f"superseded by {newer}", "")
    if lock.reproduces(entry.claim("file_size")):
        reproduced = (
            "expected_sizes.legacy_bytes",
            f"{entry.value('file_size')}, which reproduces File Size",
        )
        measured = [reproduced if name == reproduced[0] else (name, value) for name, value in measured]
    shown = ((claim.label, _shown(claim, result), _source(claim)) for claim, result in claims)
    show_lines(noted_table(("claim", "value", "source"), shown))
    show("")
    show_lines(noted_table(("measured", "value"), measured) if measured else "not measured yet")
    return 0


def run_ledger(args: argparse.Namespace) -> int:
    """Show what each public place states of one model, whether they agree, and why not where that is known.

    A cause that is named derives the stated number from ours; `verify` fails where it does not. One that is
    suspected was not checked. FLOPs are compared with two operations for each multiply-add.
    """
    from dataclasses import asdict

    from rexnet_hub.index import read_lock
    from rexnet_hub.index.ledger import list_rows, read_ledger

    index, ledger = open_index(), read_ledger()
    entry = find_model(index, args.name)
    rows = list_rows(entry, read_lock().of_entry(entry), ledger)
    if args.json:
        show_json({"name": entry.name, "rows": [asdict(row) for row in rows]})
        return 0
    headings = ("figure", "stated", "here", "place", "standing; cause")
    cells = [(r.field, r.stated, r.ours, r.place, r.judgement) for r in rows]
    show_lines(noted_table(headings, cells) if cells else "no other place is known")
    return 0


def _claims(entry: Entry) -> list[tuple[Claim, Result | None]]:
    """List what an entry states; of a number of a result with that."""
    witnesses = (witness.claim for witness in entry.witnesses)
    named = (entry.license, entry.code, entry.weights, entry.trusted_key, *witnesses)
    metrics = ((claim, result) for result in entry.results for claim in result.metrics.values())
    more = (claim for name, claim in entry.extra.items() if name != "sources")
    before, after = (*entry.unread, *entry.metadata.values()), (*filter(None, named), *more)
    return [*((claim, None) for claim in before), *metrics, *((claim, None) for claim in after)]


def _shown(claim: Claim, result: Result | None) -> str:
    """Render a value; of a number of a result with its data set and split."""
    on = f" on {result.place}" if result and result.place else ""
    if claim.problem:
        return f"{claim.text}{on}, unreadable: {claim.problem}"
    return f"{claim.words}{on}"


def _source(claim: Claim) -> str:
    return cite(claim.source) if claim.source else f"{claim.location.file.name}, line {claim.location.line}"


def _as_json(claim: Claim, result: Result | None) -> dict[str, Any]:
    value = claim.value
    if isinstance(value, tuple):
        value = [str(item) for item in value]
    elif isinstance(value, dict):
        value = {k: [*map(str, v)] if isinstance(v, tuple) else str(v) for k, v in value.items()}
    elif value is not None and not isinstance(value, int | str):
        value = str(value)
    facts = {"field": claim.field, "label": claim.label, "value": value, "text": claim.text}
    place = {"file": str(claim.location.file), "line": claim.location.line, "column": claim.location.column}
    split = str(result.split.value) if result and result.split else None
    of = {"dataset": result.dataset, "split": split} if result else {}
    return {**facts, **of, "source": claim.source, **place, "inherited": claim.inherited}


def declare_validate(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `validate`."""
    whose = "files or folders (default: the zoo's)"
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help=whose)
    parser.add_argument("--root", type=Path, metavar="DIR", help="the folder that no path may leave")
    parser.add_argument("--fix", action="store_true", help="fix in place what is certain")
    parser.add_argument("--strict", action="store_true", help="let warnings fail too")
    styles = ("text", "json", "github")
    parser.add_argument("--format", choices=styles, default="text", help="(default: text)")


def run_validate(args: argparse.Namespace) -> int:
    """Read model-index files and say every problem at its place.

    Without a path, the zoo's own index is read, and the accuracies in its lock are counted again. Nothing to
    check is a failure. With --fix the certain mistakes are fixed where they stand; comments, order and quotes
    stay as they are.
    """
    from rexnet_hub.index import Lock, load_index, read_lock
    from rexnet_hub.index.ledger import read_ledger
    from rexnet_hub.index.problems import render_problems
    from rexnet_hub.layout import find_index_dir

    if args.paths:
        refuse_unused("validate of named files", index=args.index)
    if args.fix:
        from rexnet_hub.index.change import fix_files

        fixed, index = fix_files(args.paths or None, root=args.root)
        for file, count in fixed:
            show(f"{file}: {count} fixed", stream=sys.stderr)
    else:
        index = load_index(args.paths or None, root=args.root, count_all=True)
    problems = index.problems
    text = render_problems(problems, args.format).rstrip("\n")
    if text:
        show_json(text) if args.format == "json" else show_lines(text)
    errors = sum(problem.severity == "error" for problem in problems)
    parts = len(index.collections) + len(index.parts)
    counts = [counted(len(index.models), "model"), counted(errors, "error")]
    counts.append(counted(len(problems) - errors, "warning"))
    if parts and not index.models:
        counts.insert(1, counted(parts, "part") + " of models")
    show(", ".join(counts), stream=sys.stderr)
    if not args.paths and find_index_dir().is_dir():  # a file alone need not have every model
        read_ledger().require_models({name for m in index.models for name in (m.name, *m.other_names)})
    lock = Lock() if args.paths else read_lock()
    if any(measured.evaluations for measured in lock.models.values()):
        from rexnet_hub.imagenet.evidence.record import require_counted

        require_counted(lock, index.models)
    return 1 if errors or (args.strict and problems) or not (index.models or parts) else 0


def run_recipe(args: argparse.Namespace) -> int:
    """Print the training command that a model's hyper-parameters amount to.

    It is a command of timm's train.py. Each flag says which field it is from; what the entry does not
    state is listed, not guessed.
    """
    from rexnet_hub.index.network import entry_words
    from rexnet_hub.recipe import list_copied, make_recipe

    entry = find_model(open_index(), args.name)
    recipe, copied = make_recipe(entry), list_copied(entry)
    if args.json:
        flags = [{"argument": f.argument, "value": f.value, "field": f.origin} for f in recipe.flags]
        unstated = [{"argument": u.argument, "note": u.note} for u in recipe.unstated]
        show_json({"command": recipe.command, "flags": flags, "copied": copied, "unstated": unstated})
        return 0
    show(recipe.command, "")
    rows = ((flag.argument, flag.value, flag.origin) for flag in recipe.flags)
    show_lines(table(("flag", "value", "from the field"), rows))
    if copied:
        words = entry_words(entry)
        whose = f"those of the authors' command for {words.command_of}, the only one that they print"
        show(f"\n{', '.join(copied)} are {whose} ({words.command_source}): for {entry.name} they are a copy")
    if recipe.unstated:
        show_lines("\nnot stated by the entry:")
    for question in recipe.unstated:
        show(f"  {question.argument}: {question.note}")
    return 0
