"""The command that shows and empties the cache."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from rexnet_hub.commands import add_json, open_index
from rexnet_hub.errors import FileProblem, IndexReadError, refuse_unused
from rexnet_hub.terminal import print_error, show, show_json, show_lines, table

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from typing import Any

    from rexnet_hub.cached import CachedItem


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
    from rexnet_hub.cached import find_prunable, list_cache, remove_cached
    from rexnet_hub.hub.snapshot import find_hub_repos
    from rexnet_hub.index import read_lock
    from rexnet_hub.layout import find_cache_dir

    if not args.prune:
        refuse_unused("cache without --prune", **{"--all": args.all, "--apply": args.apply})
    index, lock, folder = open_index(), read_lock(), find_cache_dir()
    if args.prune and index.errors:
        raise IndexReadError("nothing goes while the index has errors: they may hide what is needed")
    items = list_cache(index, lock, folder, check=args.check)
    word, goes, problems = "gone" if args.apply else "goes", set(), []
    for item in find_prunable(items, everything=args.all) if args.prune else ():
        try:
            if args.apply:
                remove_cached(item)
            goes.add(item)
        except FileProblem as error:
            problems.append(str(error))
    hub = {repo.repo_id: repo.size_on_disk for repo in find_hub_repos(lock)}
    if args.json:
        rows = [_as_json(item) | {word: item in goes} for item in items]
        show_json({"folder": str(folder), "items": rows, "hub_repos_bytes": hub})
    else:
        heads = ("model or file", "folder", "size", "last used", "state")
        lines = [_cells(item, word if item in goes else "") for item in items]
        if lines:
            show_lines(table(heads, lines, right=(2,)) + "\n")
        total, going = (sum(item.size_bytes for item in some) for some in (items, goes))
        left, words = (total - going, "removed") if args.apply else (total, "to be removed")
        pruned = f", {words}: {_size(going)}" if args.prune and lines else ""
        show(f"{folder}: {_size(left) if left else 'nothing in it'}{pruned}")
        for repo_id, size_bytes in hub.items():
            show(f"{repo_id}: {_size(size_bytes)} in the Hub client's cache; hf cache rm model/{repo_id}")
    for problem in problems:
        print_error(problem)
    if goes and not args.apply:
        options = "--prune --all" if args.all else "--prune"
        show(f"a plan only: rexnet-hub cache {options} --apply does it", stream=sys.stderr)
    return 1 if problems else 0


def _as_json(item: CachedItem) -> dict[str, Any]:
    used = datetime.fromtimestamp(item.last_used, UTC).isoformat(timespec="seconds")
    return vars(item) | {"place": str(item.place), "last_used": used}


def _cells(item: CachedItem, word: str) -> tuple[object, ...]:
    """Return a line of the table, short enough for a terminal."""
    of = item.of if len(item.of) <= 26 else f"{item.of[:25]}…"
    day, state = _as_json(item)["last_used"][:10], f"{item.state}, {word}".strip(", ")
    return of, item.place.parent.name[:12], f"{item.size_bytes / 1e6:.1f} MB", day, state


def _size(size_bytes: int) -> str:
    return f"{size_bytes} bytes ({size_bytes / 1e6:.1f} MB)"
