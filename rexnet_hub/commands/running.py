"""Commands that run a network: predict, export, demo."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.commands import add_json, add_trusted_key
from rexnet_hub.errors import UsageError
from rexnet_hub.terminal import csv_lines, print_error, show, show_json, show_lines

if TYPE_CHECKING:
    from rexnet_hub.prediction import Prediction


def declare_predict(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `predict`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model, a Hub repo or a repo folder")
    what = "a picture, a folder, a glob, an https address, or - for a picture on standard input"
    add("images", nargs="+", metavar="IMAGE", help=what)
    add("--top", type=int, default=5, metavar="N", help="guesses a picture (default: 5)")
    add("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    add("--batch", type=int, metavar="N", help="pictures at a time (default: 4, on a GPU 32)")
    add(
        "--as-evaluated",
        action="store_true",
        help="leave EXIF orientations alone, as accuracies are measured",
    )
    add("--scale-grey", action="store_true", help="scale 16-bit grey, of which else all above 255 is white")
    add_trusted_key(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--csv", action="store_true", help="print a line of CSV for each guess")
    output.add_argument("--jsonl", action="store_true", help="print a line of JSON for each picture")
    add_json(output)


def run_predict(args: argparse.Namespace) -> int:
    """Classify pictures: the likeliest classes of each, with their probabilities.

    Results come in order, each as soon as it is known; what is interrupted keeps those that are printed. A
    picture that cannot be read is an error line and the exit code 1, and the others are classified.
    Pictures are turned as their EXIF orientation says, and the output says which were.
    """
    from tqdm import tqdm

    from rexnet_hub.imagenet.data.pixels import Reading
    from rexnet_hub.prediction import Guess, classify, find_pictures

    for name, value in (("--top", args.top), ("--batch", args.batch)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1")
    pictures, is_whole, kept = find_pictures(args.images), True, []
    reading = Reading(as_seen=not args.as_evaluated, scale_grey=args.scale_grey)
    how = {"top": args.top, "device": args.device, "batch": args.batch, "trusted_key": args.trusted_key}
    # None: a bar on a terminal only.
    with tqdm(total=len(pictures), unit=" pictures", disable=None if len(pictures) > 1 else True) as bar:
        try:
            for number, prediction in enumerate(classify(args.model, pictures, reading=reading, **how)):
                with bar.external_write_mode():
                    if args.csv and number == 0:
                        show(csv_lines([("file", "turned", "rank", *Guess.__annotations__)]))
                    _show_prediction(prediction, args)
                bar.update()
                is_whole &= prediction.problem is None
                kept += [asdict(prediction)] if args.json else []
        finally:
            if kept:
                show_json(kept)
    return 0 if is_whole else 1


def _show_prediction(prediction: Prediction, args: argparse.Namespace) -> None:
    """Print what one picture may show at once, so that whoever interrupts or pipes has it."""
    if prediction.problem:
        print_error(f"{prediction.file}: {prediction.problem}")
    if args.jsonl:
        show_json(json.dumps(asdict(prediction), ensure_ascii=False))
    elif args.csv:
        of = prediction.file, prediction.turned
        rows = [(*of, rank, *astuple(guess)) for rank, guess in enumerate(prediction.guesses, 1)]
        if rows:
            show_lines(csv_lines(rows))
    elif not args.json and not prediction.problem:
        show(f"{prediction.file}{' (turned as its EXIF orientation says)' * prediction.turned}")
        for guess in prediction.guesses:
            show(f"  {guess.probability:7.2%}  {guess.class_index:>4}  {guess.label}")
    sys.stdout.flush()


def declare_export(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `export`."""
    parser.add_argument("model", metavar="NAME|DIR", help="a model, a Hub repo or a repo folder")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="(default: onnx)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: NAME.onnx here)")
    help_text = "take a picture's bytes and normalise them in the graph; resize and crop stay outside"
    parser.add_argument("--uint8", action="store_true", help=help_text)
    parser.add_argument("--max-difference", type=float, metavar="X", help="of a logit (default: 0.001)")
    add_trusted_key(parser)
    add_json(parser)


def run_export(args: argparse.Namespace) -> int:
    """Export a model to ONNX and compare its outputs with the network's.

    The file is run in onnxruntime on fresh inputs, in batches of several sizes; it is written only when no
    logit differs by more than the bound. A receipt beside it keeps the digests and the measured difference.
    Labels, preprocessing and the weights' digest are in the file's own metadata.
    """
    from rexnet_hub.export import MAX_DIFFERENCE, export_onnx
    from rexnet_hub.locate import name_of

    out = args.out or Path(f"{name_of(args.model)}.onnx")
    bound = MAX_DIFFERENCE if args.max_difference is None else args.max_difference
    how = {"takes_bytes": args.uint8, "max_difference": bound, "trusted_key": args.trusted_key}
    receipt = export_onnx(args.model, out, **how)
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
    """Go the whole way for every model that has a file of torch's, with stand-in weights, offline.

    Make a released file, fetch it, check it, convert it, stage a repo, verify it, publish it to a folder,
    load it back and classify a picture; then print what became of the claims, and how to load what was made.
    Nothing is written outside --out. The weights are random: no accuracy is measured.
    """
    from rexnet_hub.commands.checkpoints import findings_table
    from rexnet_hub.demo import run
    from rexnet_hub.index import load_index
    from rexnet_hub.layout import DEMO_PICTURE
    from rexnet_hub.pages.snippets import predicting
    from rexnet_hub.verify.finding import FALSE, HOLDS

    os.environ["REXNET_HUB_CACHE"] = str(args.out.resolve() / "cache")
    findings = run(args.out)
    show_lines(findings_table(findings, hide=() if args.all else (HOLDS,)))
    there = args.out / "published"
    lines = predicting(str(there / findings[0].model))[0].lines.replace("picture.jpg", str(DEMO_PICTURE))
    made = {finding.model for finding in findings}
    if left := [entry.name for entry in load_index().models if entry.name not in made]:
        show("", f"{len(left)} more models are left out: no stand-in can be their released file")
    show("", f"made: a repo of each model, in {there}. It loads like a published one:", "")
    show_lines(lines)
    return 1 if any(finding.verdict == FALSE for finding in findings) else 0
