"""Commands about repos: card, stage, publish."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rexnet_hub.errors import FileProblem


def declare_card(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `card`."""
    parser.add_argument("name", help="a model")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of printing it")


def run_card(args: argparse.Namespace) -> int:
    """Print the README.md of a model's repo."""
    from rexnet_hub.index import load_index
    from rexnet_hub.index.writing import write_whole
    from rexnet_hub.pages.card import render_card

    text = render_card(load_index().find(args.name))
    if args.out is None:
        print(text, end="")
        return 0
    if not args.out.parent.is_dir():
        raise FileProblem(args.out.parent, "there is no such folder")
    write_whole(args.out, text.encode())
    return 0


def declare_stage(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `stage`."""
    parser.add_argument("name", help="a model")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder that is new or empty"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the released file (default: fetched)")


def run_stage(args: argparse.Namespace) -> int:
    """Write a model's whole repo folder, ready to load and to publish."""
    from rexnet_hub.index import load_index
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.repo import fetch_released, write_repo
    from rexnet_hub.verify import require_truth, verify_model

    entry = load_index().find(args.name)
    checkpoint = args.weights or fetch_released(entry, cache_dir=find_cache_dir())
    repo = write_repo(entry, checkpoint, args.out)
    require_truth(verify_model(entry, repo=repo.folder))
    print(repo.folder)
    return 0


def declare_publish(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `publish`."""
    parser.add_argument("repos", nargs="+", metavar="NAME|STAGED_DIR", help="models, or staged repo folders")
    parser.add_argument("--to", required=True, metavar="DIR", help="a folder of repos")
    parser.add_argument("--apply", action="store_true", help="do what the plan says")


def run_publish(args: argparse.Namespace) -> int:
    """Plan what publishing would change; with --apply, do it.

    Each repo is a staged folder, or a model that is staged first.
    """
    from rexnet_hub.publish import apply_plan, describe_plan, plan_publish, staged_repo

    for source in args.repos:
        with staged_repo(source) as folder:
            plan = plan_publish(folder, args.to, name=None if Path(source).is_dir() else source)
            print("\n".join(describe_plan(plan)))
            if args.apply:
                print(f"published: {apply_plan(plan)}")
    if not args.apply:
        print("a plan only: --apply does it", file=sys.stderr)
    return 0
