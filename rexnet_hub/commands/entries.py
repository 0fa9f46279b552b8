"""Commands that write an index, but for add: init, edit, update, remove."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rexnet_hub.errors import UsageError
from rexnet_hub.terminal import show


def declare_init(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `init`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder, new or not: what is there stays")
    help_text = "the classes' names, one a line in the classifier's order, for all models"
    parser.add_argument("--labels", type=Path, metavar="FILE", help=help_text)


def run_init(args: argparse.Namespace) -> int:
    """Begin a zoo of your own: its index, a schema for editors, a docs site, the workflow that publishes.

    Nothing is written over. From that folder, or one below it, every command finds the index by itself.
    """
    from rexnet_hub.zoo import make_zoo

    for file, is_new in make_zoo(args.folder, labels=args.labels).items():
        show(f"{file}: {'written' if is_new else 'was there, and stays as it is'}")
    collection = args.folder.resolve().name
    show(
        f"next, from there: rexnet-hub add CHECKPOINT --name NAME --collection {collection}",
        stream=sys.stderr,
    )
    return 0


def declare_edit(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edit`."""
    parser.add_argument("name", help="a model")
    help_text = "a field as the index calls it and its value, such as 'License=mit'; no value removes it"
    parser.add_argument("values", nargs="+", metavar="FIELD=VALUE", help=help_text)


def run_edit(args: argparse.Namespace) -> int:
    """Change what the index states of a model: these values, and no other byte of the file.

    Words of a list stand between commas. A number of a result is top1@NAME=79.5, or top1@NAME/test=79.5:
    where there is none on that data set, a new one. An index that would not be valid, or a value that others
    share, is refused, and nothing is written.
    """
    from rexnet_hub.edit import edit_entry

    values = {}
    for word in args.values:
        field, mark, text = word.partition("=")
        if not mark or not field.strip() or field.strip() in values:
            raise UsageError(f"{word!r}: give each field once, as FIELD=VALUE, such as 'License=mit'")
        values[field.strip()] = text.strip()
    entry = edit_entry(args.name, values)
    places = ", ".join(result.place for result in entry.results) if "@" in "".join(values) else ""
    of = f"; it has results on {places}" if places else ""
    show(f"{entry.location}: {entry.name} edited: {', '.join(values)}{of}")
    return 0


def declare_update(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `update`."""
    add = parser.add_argument
    add("name", help="a model that was not published")
    add("checkpoint", metavar="CHECKPOINT", help="as of add: a file, a repo folder, or hf:OWNER/NAME@COMMIT")
    add("--weights-url", metavar="URL", help="where others find the file (default: its path here)")


def run_update(args: argparse.Namespace) -> int:
    """Replace the checkpoint of a name that nobody can have loaded yet, and measure it anew.

    Address, digest, size, parameters and classes are written over, and of a repo also the picture that it
    takes and the names of its classes; witnesses of other weights go; what else is claimed stays, and `edit`
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
