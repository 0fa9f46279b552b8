"""Commands that ask the index: list, show, validate, recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rexnet_hub.commands import add_json, open_index
from rexnet_hub.errors import UsageError, refuse_unused
from rexnet_hub.terminal import noted_table, show, show_json, show_lines, table

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from typing import Any

    from rexnet_hub.index import Claim, Entry, Lock

#: What `list` shows of a model: the key in JSON, and the heading.
FIGURES = {
    "name": "name",
    "top1_percent": "top-1 %",
    "top5_percent": "top-5 %",
    "parameters": "parameters",
    "macs": "MACs",
    "flops_claimed": "FLOPs",
    "file_size_bytes": "file bytes",
    "license": "licence",
}


def declare_list(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `list`."""
    parser.add_argument("query", nargs="?", default="", help="such as 'top1>=79 params<10M'")
    parser.add_argument("--sort", metavar="KEY", help="such as params, or -top1 for the highest first")
    parser.add_argument("--pareto", metavar="MORE,LESS", help="only what no other beats, such as top1,macs")
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--names", action="store_true", help="print the names alone, one a line")
    add_json(printed)


def run_list(args: argparse.Namespace) -> int:
    """List the models that meet a query.

    A query compares figures and words: 'top1>=79 params<10M', 'name:*_1* and not license:gpl*'.
    Parameters and MACs are the measured ones where the lock has them; empty is what nobody stated.
    """
    from rexnet_hub.index import read_lock
    from rexnet_hub.index.query import pareto, select

    lock = read_lock()
    entries = select(open_index().models, args.query, sort=args.sort, measured=lock)
    if args.pareto:
        axes = args.pareto.split(",")
        if len(axes) != 2:
            raise UsageError(f"--pareto takes two figures, such as top1,macs; not {args.pareto!r}")
        entries = pareto(entries, *axes, measured=lock)
    if args.names:
        for entry in entries:
            show(entry.name)
        return 0
    rows = [_figures(entry, lock) for entry in entries]
    if args.json:
        show_json([dict(zip(FIGURES, row, strict=True)) for row in rows])
    else:
        show_lines(table(tuple(FIGURES.values()), rows, right=range(1, 7)))
    return 0


def _figures(entry: Entry, lock: Lock) -> list[Any]:
    """Return the values of `FIGURES`, in JSON's types."""
    from rexnet_hub.index.query import find_number, find_texts

    top1, top5, *counts = (
        find_number(entry, name, lock)
        for name in ("top1", "top5", "parameters", "macs", "flops", "file_size")
    )
    percents = [None if percent is None else float(percent) for percent in (top1, top5)]
    return [entry.name, *percents, *counts, ", ".join(find_texts(entry, "license")) or None]


def declare_show(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `show`."""
    parser.add_argument("name", help="a model")
    add_json(parser)


declare_recipe = declare_show


def run_show(args: argparse.Namespace) -> int:
    """Show one model: what is claimed, what was measured, and where each value comes from."""
    from rexnet_hub.index import read_lock
    from rexnet_hub.index.lock import measurements

    entry = open_index().find(args.name)
    claims, measured = _claims(entry), measurements(read_lock().of(entry.name))
    if args.json:
        rows = {"claims": [_as_json(claim) for claim in claims], "measured": dict(measured)}
        show_json({"name": entry.name, **rows})
        return 0
    show(f"{entry.name}  ({entry.location})", "")
    if reason := entry.said("withdrawn"):
        show(f"withdrawn: {reason}", "")
    if newer := entry.said("superseded_by"):
        show(f"superseded by {newer}", "")
    shown = ((c.label, _shown(c), _source(c)) for c in claims)
    show_lines(noted_table(("claim", "value", "source"), shown))
    show("")
    show_lines(table(("measured", "value"), measured) if measured else "not measured yet")
    return 0


def _claims(entry: Entry) -> list[Claim]:
    witnesses = (witness.claim for witness in entry.witnesses)
    named = (entry.license, entry.code, entry.weights, entry.trusted_key, *witnesses)
    metrics = (claim for result in entry.results for claim in result.metrics.values())
    more = (claim for name, claim in entry.extra.items() if name != "sources")
    return [*entry.unread, *entry.metadata.values(), *metrics, *(claim for claim in named if claim), *more]


def _shown(claim: Claim) -> str:
    if claim.problem:
        return f"{claim.text}, unreadable: {claim.problem}"
    if isinstance(claim.value, dict):
        return ", ".join(f"{key}: {value}" for key, value in claim.value.items())
    return claim.text or (", ".join(map(str, claim.value)) if isinstance(claim.value, tuple) else "")


def _source(claim: Claim) -> str:
    return claim.source or f"{claim.location.file.name}, line {claim.location.line}"


def _as_json(claim: Claim) -> dict[str, Any]:
    value = claim.value
    if isinstance(value, tuple):
        value = [str(item) for item in value]
    elif isinstance(value, dict):
        value = {key: str(item) for key, item in value.items()}
    elif value is not None and not isinstance(value, int | str):
        value = str(value)
    facts = {"field": claim.field, "label": claim.label, "value": value, "text": claim.text}
    place = {"file": str(claim.location.file), "line": claim.location.line, "column": claim.location.column}
    return {**facts, "source": claim.source, **place, "inherited": claim.inherited}


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

    Without a path, the zoo's own index is read. Nothing to check is a failure. With --fix the certain
    mistakes are fixed where they stand; comments, order and quotes stay as they are.
    """
    from rexnet_hub.index import load_index
    from rexnet_hub.index.problems import render_problems

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
    counts = f"{len(index.models)} models, {errors} errors, {len(problems) - errors} warnings"
    show(counts, stream=sys.stderr)
    return 1 if errors or (args.strict and problems) or not index.models else 0


def run_recipe(args: argparse.Namespace) -> int:
    """Print the training command that a model's hyper-parameters amount to.

    It is a command of timm's train.py. Each flag says which field it is from; what the entry does not
    state is listed, not guessed.
    """
    from rexnet_hub.recipe import make_recipe

    recipe = make_recipe(open_index().find(args.name))
    if args.json:
        flags = [{"argument": f.argument, "value": f.value, "field": f.origin} for f in recipe.flags]
        unstated = [{"argument": u.argument, "note": u.note} for u in recipe.unstated]
        show_json({"command": recipe.command, "flags": flags, "unstated": unstated})
        return 0
    show(recipe.command, "")
    show_lines(
        table(("flag", "value", "from the field"), ((f.argument, f.value, f.origin) for f in recipe.flags))
    )
    if recipe.unstated:
        show_lines("\nnot stated by the entry:")
    for question in recipe.unstated:
        show(f"  {question.argument}: {question.note}")
    return 0
