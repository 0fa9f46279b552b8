"""The command that shows and empties the cache."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rexnet_hub.commands import add_json, open_index
from rexnet_hub.errors import FileProblem, IndexReadError, refuse_unused
from rexnet_hub.terminal import print_error, table

_SHOWN_CHARACTERS = 22  # of a name, so that a line fits on a terminal


def declare_cache(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `cache`."""
    add = parser.add_argument
    add("--check", action="store_true", help="read every file: is it whole?")
    add("--prune", action="store_true", help="plan to remove what no model of the index needs")
    add("--all", action="store_true", help="and what is needed, and would be fetched again")
    add("--apply", action="store_true", help="do it")
    add_json(parser)


def run_cache(args: argparse.Namespace) -> int:
    """Show what the cache holds: what each is of, its size, when it was last used; with --prune, empty it.

    Needed is what a model of the index leads to. --prune plans to remove what none needs, what is damaged
    (with --check) and what a killed run left a day ago; --apply does it. What a run is using stays, and so
    do files of others, the memory of signed versions, and the Hub client's own cache.
    """
    from rexnet_hub.cached import HUB_REPO, find_prunable, list_cache, remove_cached
    from rexnet_hub.index import read_lock
    from rexnet_hub.layout import find_cache_dir

    if not args.prune:
        refuse_unused("cache without --prune", **{"--all": args.all, "--apply": args.apply})
    index, folder = open_index(), find_cache_dir()
    if args.prune and index.errors:
        raise IndexReadError("nothing goes while the index has errors: they may hide what is needed")
    items = list_cache(index, read_lock(), folder, check=args.check)
    goes = find_prunable(items, everything=args.all) if args.prune else []
    problems = {}
    for item in goes if args.apply else ():
        try:
            remove_cached(item)
        except FileProblem as error:
            problems[item.place] = str(error)
    word = "gone" if args.apply else "goes"
    rows = [
        asdict(item)
        | {"last_used": f"{datetime.fromtimestamp(item.last_used, UTC):%Y-%m-%dT%H:%M:%SZ}"}
        | {word: item in goes and item.place not in problems}
        for item in items
    ]
    if args.json:
        print(json.dumps({"folder": folder, "items": rows}, indent=2, default=str))
    else:
        _print_rows(rows, word)
        size, going = (sum(row["size_bytes"] for row in rows if row[key]) for key in ("place", word))
        print(f"\n{folder}: {size} bytes" + (f", of which {word}: {going}" if args.prune else ""))
    if hub := [f"model/{item.of}" for item in items if item.kind == HUB_REPO]:
        print(f"the Hub client's own cache is emptied with: hf cache rm {' '.join(hub)}", file=sys.stderr)
    for problem in problems.values():
        print_error(problem)
    if args.prune and not args.apply:
        print("a plan only: --apply does it", file=sys.stderr)
    return 1 if problems else 0


def _print_rows(rows: list[dict[str, Any]], word: str) -> None:
    cells = []
    for row in rows:
        of, state = row["of"], row["state"] + (f", {word}" if row[word] else "")
        of = of if len(of) <= _SHOWN_CHARACTERS else f"{of[: _SHOWN_CHARACTERS - 1]}…"
        cells.append((of, row["kind"], row["size_bytes"], row["last_used"][:10], state))
    print(table(("of", "what", "bytes", "last used", "state"), cells, right=(2,)))
