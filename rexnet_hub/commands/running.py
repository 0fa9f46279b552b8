"""Commands that run a network: predict, export, demo."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rexnet_hub.commands import add_json, add_trusted_key
from rexnet_hub.errors import UsageError
from rexnet_hub.terminal import show, show_json, show_lines


def declare_predict(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `predict`."""
    parser.add_argument("model", metavar="MODEL", help="a model, a Hub repo or a repo folder")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="guesses a picture (default: 5)")
    add_trusted_key(parser)
    add_json(parser)


def run_predict(args: argparse.Namespace) -> int:
    """Classify pictures: the likeliest classes of each, with their probabilities."""
    from rexnet_hub.auto import classify

    if args.top < 1:
        raise UsageError("--top must be at least 1")
    every = classify(args.model, args.images, top=args.top, trusted_key=args.trusted_key)
    if args.json:
        pairs = zip(args.images, every, strict=True)
        show_json([{"file": str(file), "guesses": list(map(vars, own))} for file, own in pairs])
        return 0
    for file, guesses in zip(args.images, every, strict=True):
        show(file)
        for guess in guesses:
            show(f"  {guess.probability:7.2%}  {guess.class_index:>4}  {guess.label}")
    return 0


def declare_export(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `export`."""
    parser.add_argument("model", metavar="NAME|DIR", help="a model, a Hub repo or a repo folder")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="(default: onnx)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: NAME.onnx here)")
    parser.add_argument("--max-difference", type=float, metavar="X", help="of a logit (default: 0.001)")
    add_trusted_key(parser)
    add_json(parser)


def run_export(args: argparse.Namespace) -> int:
    """Export a model to ONNX and compare its outputs with the network's.

    The file is run in onnxruntime on fresh inputs, in batches of several sizes; it is written only when no
    logit differs by more than the bound. A receipt beside it keeps the digests and the measured difference.
    """
    from dataclasses import asdict

    from rexnet_hub.export import MAX_DIFFERENCE, export_onnx
    from rexnet_hub.locate import name_of

    out = args.out or Path(f"{name_of(args.model)}.onnx")
    bound = MAX_DIFFERENCE if args.max_difference is None else args.max_difference
    receipt = export_onnx(args.model, out, max_difference=bound, trusted_key=args.trusted_key)
    if args.json:
        show_json(asdict(receipt))
        return 0
    show(f"{out}  {receipt.size_bytes} bytes  sha256:{receipt.sha256}")
    compared = f"on {receipt.images} fresh inputs, top-1 agreement {receipt.top1_agreement:.0%}"
    show(f"largest difference of a logit {receipt.largest_difference:.2g} {compared}")
    return 0


def declare_demo(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `demo`."""
    help_text = "a new folder (default: demo)"
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help=help_text)
    parser.add_argument("--all", action="store_true", help="show the claims that hold too")


def run_demo(args: argparse.Namespace) -> int:
    """Go the whole way for every model with stand-in weights, offline.

    Make a released file, fetch it, check it, convert it, stage a repo, verify it, publish it to a folder,
    load it back and classify a picture; then print what became of the claims, and how to load what was made.
    Nothing is written outside --out. The weights are random: no accuracy is measured.
    """
    from rexnet_hub.commands.checkpoints import findings_table
    from rexnet_hub.demo import PICTURE, run
    from rexnet_hub.pages.snippets import predicting
    from rexnet_hub.verify.finding import FALSE, HOLDS

    os.environ["REXNET_HUB_CACHE"] = str(args.out.resolve() / "cache")
    findings = run(args.out)
    show_lines(findings_table(findings, hide=() if args.all else (HOLDS,)))
    there = args.out / "published"
    lines = predicting(str(there / findings[0].model))[0].lines.replace("picture.jpg", str(PICTURE))
    show("", f"made: a repo of each model, in {there}. It loads like a published one:", "")
    show_lines(lines)
    return 1 if any(finding.verdict == FALSE for finding in findings) else 0
