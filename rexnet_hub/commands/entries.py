"""Commands that write the index: add, edit, update, remove."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rexnet_hub.errors import UsageError, refuse_unused
from rexnet_hub.terminal import show


def declare_add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `add`."""
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="the file: .pth, .pt or .safetensors")
    add("--name", required=True, help="it is loaded by this name for ever")
    add("--collection", required=True, metavar="NAME", help="a collection of the index")
    add("--weights-url", metavar="URL", help="where others find the file (default: its path here)")
    add("--to", metavar="hf:ORG", help="upload the weights there first: the repo that is made is private")
    add("--title", help="the name as people write it")
    add("--license", metavar="SPDX", help="of these weights, such as apache-2.0")
    add("--code", metavar="URL", help="the source code of the training")
    add("--top1", dest="top1_percent", metavar="PERCENT", help="claimed accuracy, such as 79.5")
    add("--top5", dest="top5_percent", metavar="PERCENT", help="likewise")
    add("--dataset", help="of the claimed accuracies (default: ImageNet, if trained on it)")
    add("--split", help="of the data set (default: of ImageNet, validation)")
    add("--training-data", action="append", default=[], metavar="NAME", help="may be given several times")
    add("--image-size", type=int, metavar="PX", help="side of the square that the network sees")
    add("--crop-pct", metavar="FRACTION", help="part of the resized short side that is kept")
    add("--interpolation", help="resampling filter, such as bicubic")
    add("--training-log", type=Path, metavar="FILE", help="args.yaml of timm's train.py")
    add("--architecture", metavar="NETWORK", help="the network, where the tensors fit several")
    add("--supersedes", metavar="NAME", help="the model that this one replaces; it stays, and says so")
    add("--index-file", type=Path, metavar="FILE", help="where to add it (default: beside its collection)")


def run_add(args: argparse.Namespace) -> int:
    """Enter a new checkpoint into the index: measured where it can be, claimed where it cannot.

    The network is found by the checkpoint's tensors; counts, sizes and digests are measured. Comments and
    order of the file stay. A name that has other weights already is refused. With --to the weights become
    safetensors on the Hub first, and the entry names them there, at their commit; run again it goes on.
    """
    from dataclasses import fields, replace
    from functools import partial

    from rexnet_hub.add import NewModel, add_entry
    from rexnet_hub.publish import parse_repo_id, upload_weights

    new = NewModel(**{each.name: getattr(args, each.name) for each in fields(NewModel)})
    upload = None
    if args.to:
        refuse_unused("--to", weights_url=args.weights_url)
        if not args.to.startswith("hf:"):
            raise UsageError(f"--to {args.to}: only a Hub is a home for weights; give hf:ORG or hf:ORG/NAME")
        repo_id = parse_repo_id(args.to, args.name)
        new, upload = replace(new, weights_url=f"hf:{repo_id}"), partial(upload_weights, repo_id=repo_id)
    added = add_entry(args.checkpoint, new, index_file=args.index_file, upload=upload)
    word = "was there already, and stays as it is" if added.was_there else "added"
    show(f"{added.location}: {new.name} {word}, a {added.architecture}")
    show(f"next: rexnet-hub publish {new.name} --to {args.to or 'hf:ORG'}", stream=sys.stderr)
    return 0


def declare_edit(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edit`."""
    parser.add_argument("name", help="a model")
    help_text = "a field as the index calls it and its value, such as 'License=mit'; no value removes it"
    parser.add_argument("values", nargs="+", metavar="FIELD=VALUE", help=help_text)


def run_edit(args: argparse.Namespace) -> int:
    """Change what the index states of a model: these values, and no other byte of the file.

    Words of a list stand between commas; a result on one of several data sets is top1@NAME=79.5. An index
    that would not be valid, or a value that others share, is refused, and nothing is written.
    """
    from rexnet_hub.edit import edit_entry

    values = {}
    for word in args.values:
        field, mark, text = word.partition("=")
        if not mark or not field.strip() or field.strip() in values:
            raise UsageError(f"{word!r}: give each field once, as FIELD=VALUE, such as 'License=mit'")
        values[field.strip()] = text.strip()
    entry = edit_entry(args.name, values)
    show(f"{entry.location}: {entry.name} edited: {', '.join(values)}")
    return 0


def declare_update(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `update`."""
    add = parser.add_argument
    add("name", help="a model that was not published")
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="the file: .pth, .pt or .safetensors")
    add("--weights-url", metavar="URL", help="where others find the file (default: its path here)")


def run_update(args: argparse.Namespace) -> int:
    """Put another checkpoint under a name that nobody can have loaded yet, measured anew.

    Address, digest, size, parameters and classes are written over; what else is claimed stays, and `edit`
    changes it. Of a published model this is refused: a name never changes its weights.
    """
    from rexnet_hub.add import update_entry

    location = update_entry(args.name, args.checkpoint, weights_url=args.weights_url)
    show(f"{location}: {args.name} is now of {args.checkpoint}")
    return 0


def declare_remove(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `remove`."""
    parser.add_argument("name", help="a model")
    help_text = "the entry stays, withdrawn: nobody loads it by its name, and who asks is told this"
    parser.add_argument("--because", metavar="REASON", help=help_text)


def run_remove(args: argparse.Namespace) -> int:
    """Take a model out of the index: with a reason it stays, withdrawn, else it was a mistake and is gone.

    What was published goes only with a reason, since others may ask for it. What is on a Hub stays there.
    """
    from rexnet_hub.edit import remove_entry

    entry = remove_entry(args.name, because=args.because)
    show(f"{entry.location}: {entry.name} {'withdrawn' if args.because else 'removed'}")
    if args.because:
        show(f"next: rexnet-hub publish {entry.name} --to hf:ORG, for its card there", stream=sys.stderr)
    return 0
