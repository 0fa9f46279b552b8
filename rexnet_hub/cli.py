"""Parse a command line, call one function, print what it returns.

Exit codes: 0 all is well; 1 refused or found false, and said why; 2 misused. Data goes to standard output,
progress and messages to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub.errors import FileProblem, RexnetHubError, UsageError
from rexnet_hub.terminal import paint, table

if TYPE_CHECKING:
    from rexnet_hub.index import Claim, Entry
    from rexnet_hub.verify import Finding


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = build_parser().parse_args(_join_sort_keys(words))
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except RexnetHubError as error:
        print(paint(f"error: {error}", stream=sys.stderr), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 0


def _join_sort_keys(words: Sequence[str]) -> list[str]:
    """Let `--sort -top1` be said with a space, which argparse would read as another option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort" and word.startswith("-"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of every command."""
    from rexnet_hub import __version__

    parser = argparse.ArgumentParser(
        prog="rexnet-hub", description="The ReXNet model zoo that can be believed."
    )
    parser.add_argument("--version", action="version", version=f"rexnet-hub {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        summary = (run.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=summary.splitlines()[0].rstrip("."),
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    command = add("list", run_list)
    command.add_argument("query", nargs="?", default="", help="such as 'top1>=79 params<10M'")
    command.add_argument("--sort", metavar="KEY", help="such as params, or -top1 for the highest first")
    command.add_argument("--json", action="store_true", help="print one JSON document")

    command = add("show", run_show)
    command.add_argument("name", help="a model")
    command.add_argument("--json", action="store_true", help="print one JSON document")

    command = add("validate", run_validate)
    command.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files or folders (default: the zoo's)"
    )
    command.add_argument("--strict", action="store_true", help="let warnings fail too")

    command = add("fetch", run_fetch)
    command.add_argument("name", help="a model")
    command.add_argument("--to", type=Path, metavar="DIR", help="a folder (default: the cache)")

    command = add("convert", run_convert)
    command.add_argument("source", metavar="NAME|FILE", help="a model, or a checkpoint on disk")
    command.add_argument("--model", metavar="NAME", help="hold a file's tensors against this model's network")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="the safetensors file (default: beside the source)"
    )

    command = add("verify", run_verify)
    command.add_argument("names", nargs="*", metavar="NAME", help="models (default: all)")
    command.add_argument("--weights", type=Path, metavar="FILE", help="the released file")
    command.add_argument("--repo", type=Path, metavar="DIR", help="the staged or downloaded repo folder")
    command.add_argument("--json", action="store_true", help="print one JSON document")

    command = add("predict", run_predict)
    command.add_argument("model", metavar="MODEL", help="a model, a Hub repo or a repo folder")
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.add_argument("--top", type=int, default=5, metavar="N", help="guesses a picture (default: 5)")
    command.add_argument("--json", action="store_true", help="print one JSON document")

    command = add("card", run_card)
    command.add_argument("name", help="a model")
    command.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of printing it")

    command = add("stage", run_stage)
    command.add_argument("name", help="a model")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder that is new or empty"
    )
    command.add_argument("--weights", type=Path, metavar="FILE", help="the released file (default: fetched)")

    command = add("publish", run_publish)
    command.add_argument("repos", nargs="+", metavar="NAME|STAGED_DIR", help="models, or staged repo folders")
    command.add_argument("--to", required=True, metavar="DIR", help="a folder of repos")
    command.add_argument("--apply", action="store_true", help="do what the plan says")

    command = add("demo", run_demo)
    command.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="a new folder (default: demo)"
    )
    return parser


def run_list(args: argparse.Namespace) -> int:
    """List the models that meet a query.

    A query compares figures and words, such as 'top1>=79 params<10M' or 'name:rexnet_1*'.
    """
    from rexnet_hub.index import load_index
    from rexnet_hub.index.query import select

    entries = select(load_index().models, args.query, sort=args.sort)
    rows = [_figures(entry) for entry in entries]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(table(FIGURE_HEADERS, [list(row.values()) for row in rows], right=range(1, 6)))
    return 0


FIGURE_HEADERS = ("name", "top-1 %", "top-5 %", "parameters", "FLOPs", "file bytes", "licence")


def _figures(entry: Entry) -> dict[str, Any]:
    """Give the published figures of one model, in JSON's types."""
    top1, top5 = entry.metric("top1"), entry.metric("top5")
    return {
        "name": entry.name,
        "top1_percent": float(top1.value) if top1 else None,
        "top5_percent": float(top5.value) if top5 else None,
        "parameters": entry.value("parameters"),
        "flops": entry.value("flops"),
        "file_size_bytes": entry.value("file_size"),
        "license": str(entry.license.value) if entry.license else None,
    }


def run_show(args: argparse.Namespace) -> int:
    """Show one model: what is claimed, and where each claim comes from."""
    from rexnet_hub.index import load_index

    entry = load_index().find(args.name)
    claims = _claims(entry)
    if args.json:
        print(json.dumps([_claim_as_json(claim) for claim in claims], indent=2, ensure_ascii=False))
        return 0
    print(f"{entry.name}  ({entry.location})")
    rows = ((c.label, _shown(c), c.source or f"line {c.location.line}") for c in claims)
    print(table(("claim", "value", "source"), rows))
    return 0


def _claims(entry: Entry) -> list[Claim]:
    named = (entry.license, entry.code, entry.weights)
    metrics = (claim for result in entry.results for claim in result.metrics.values())
    return [*entry.metadata.values(), *metrics, *(claim for claim in named if claim)]


def _shown(claim: Claim) -> str:
    return claim.text or ", ".join(map(str, claim.value))


def _claim_as_json(claim: Claim) -> dict[str, Any]:
    value = claim.value
    if isinstance(value, tuple):
        value = [str(item) for item in value]
    elif not isinstance(value, int | str):
        value = None if value is None else str(value)
    keys = {
        "field": claim.field,
        "label": claim.label,
        "value": value,
        "text": claim.text,
        "source": claim.source,
    }
    return {
        **keys,
        "file": str(claim.location.file),
        "line": claim.location.line,
        "inherited": claim.inherited,
    }


def run_validate(args: argparse.Namespace) -> int:
    """Read model-index files and say every problem at its place.

    Without a path, the zoo's own index is read.
    """
    from rexnet_hub.index import load_index

    indexes = [load_index(path) for path in args.paths or [None]]
    problems = [problem for index in indexes for problem in index.problems]
    for problem in problems:
        print(paint(str(problem)))
    models = sum(len(index.models) for index in indexes)
    if models == 0 and not problems:
        raise FileProblem(", ".join(map(str, args.paths)), "holds no model, so there is nothing to check")
    errors = [problem for problem in problems if problem.severity == "error"]
    print(f"{models} models, {len(errors)} errors, {len(problems) - len(errors)} warnings", file=sys.stderr)
    return 1 if errors or (args.strict and problems) else 0


def run_fetch(args: argparse.Namespace) -> int:
    """Fetch a model's released file, checked, and print its path."""
    from rexnet_hub.index import load_index
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.repo import fetch_released

    print(fetch_released(load_index().find(args.name), cache_dir=args.to or find_cache_dir()))
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Convert a released checkpoint to safetensors, with a receipt beside it.

    A model is fetched and its tensors are held against its network. A file is converted as it is,
    and held against a network only with --model.
    """
    from rexnet_hub.index import load_index
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.nets import entry_tensors
    from rexnet_hub.repo import fetch_released
    from rexnet_hub.weights.convert import convert_checkpoint

    source, model = Path(args.source), args.model
    if not source.exists():
        model = model or args.source
        source = fetch_released(load_index().find(args.source), cache_dir=find_cache_dir())
    entry = load_index().find(model) if model else None
    expected = None
    if entry is not None:
        expected = entry_tensors(entry)
    out = args.out or source.with_suffix(".safetensors")
    receipt = convert_checkpoint(source, out, expected=expected)
    print(f"{out}  {receipt.output.size_bytes} bytes  sha256:{receipt.output.sha256}")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Measure every claim of one model, of several or of all.

    Each claim holds, is false, or is not measured; one that is false makes the exit code 1.
    """
    from rexnet_hub.index import load_index
    from rexnet_hub.verify import FALSE, findings_as_json, verify_model

    index = load_index()
    entries = [index.find(name) for name in args.names] or list(index.models)
    if len(entries) > 1 and (args.weights or args.repo):
        raise UsageError("--weights and --repo go with one model: name it")
    found = [f for entry in entries for f in verify_model(entry, checkpoint=args.weights, repo=args.repo)]
    if not found:
        raise UsageError("the index holds no model, so there is nothing to verify")
    print(findings_as_json(found) if args.json else findings_table(found))
    return 1 if any(finding.verdict == FALSE for finding in found) else 0


def findings_table(findings: Sequence[Finding]) -> str:
    """Lay findings out for a terminal, with a last line that counts the verdicts."""
    rows = [(f.model, f.claim, f.verdict, _short(f.stated), _short(f.found), f.note) for f in findings]
    counts = {
        verdict: sum(f.verdict == verdict for f in findings) for verdict in ("holds", "false", "not measured")
    }
    total = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return paint(table(("model", "claim", "verdict", "stated", "found", "how"), rows) + f"\n\n{total}")


def _short(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:27]}…"


def run_predict(args: argparse.Namespace) -> int:
    """Classify pictures: the likeliest classes of each, with their probabilities."""
    from rexnet_hub.auto import classify

    if args.top < 1:
        raise UsageError("--top must be at least 1")
    every = classify(args.model, args.images, top=args.top)
    if args.json:
        rows = [
            {"file": str(f), "guesses": [vars(g) for g in gs]}
            for f, gs in zip(args.images, every, strict=True)
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for file, guesses in zip(args.images, every, strict=True):
        print(file)
        for guess in guesses:
            print(f"  {guess.probability:7.2%}  {guess.class_index:>4}  {guess.label}")
    return 0


def run_card(args: argparse.Namespace) -> int:
    """Print the README.md of a model's repo."""
    from rexnet_hub.index import load_index
    from rexnet_hub.pages.card import render_card

    text = render_card(load_index().find(args.name))
    if args.out is None:
        print(text, end="")
        return 0
    if not args.out.parent.is_dir():
        raise FileProblem(args.out.parent, "there is no such folder")
    args.out.write_text(text, encoding="utf-8")
    return 0


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


def run_demo(args: argparse.Namespace) -> int:
    """Go the whole way for every model with stand-in weights, offline.

    Make a released file, fetch it, check it, convert it, stage a repo, verify it, publish it to a folder,
    load it back and classify a picture; then print every claim and what became of it. Nothing is written
    outside --out. The weights are random: no accuracy is measured.
    """
    from rexnet_hub.demo import run

    os.environ["REXNET_HUB_CACHE"] = str(args.out.resolve() / "cache")
    found = run(args.out)
    print(findings_table(found))
    return 1 if any(finding.verdict == "false" for finding in found) else 0
