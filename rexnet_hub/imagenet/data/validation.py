"""Know the class of each of the 50,000 images of ImageNet's validation set, and find what is none of it."""

from __future__ import annotations

import bz2
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.protocols import PROTOCOLS

TABLE_FILE = Path(__file__).with_name("validation.table")
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})")
_OF_TRAINING = re.compile(r"(.*/)?n\d{8}_\d+\b")


@functools.cache
def read_table() -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Read each image's class and its ReaL labels from the package's own file, whose head has the sources."""
    lines = bz2.decompress(TABLE_FILE.read_bytes().partition(b"\n\n")[2]).decode().splitlines()
    rows = []
    for own, *real in map(str.split, lines):
        labels = (own,) if not real else () if real == ["-"] else real
        rows.append((int(own), tuple(map(int, labels))))
    return tuple(rows)


def official_class(name: str) -> int | None:
    """Return the class of `ILSVRC2012_val_00000001.JPEG`; None of what is no image of the validation set."""
    numbered = NUMBERED.match(name)
    number = int(numbered[1]) if numbered else 0
    return read_table()[number - 1][0] if 1 <= number <= len(read_table()) else None


def right_classes(dataset: str) -> list[tuple[int, ...]] | None:
    """List the classes that are right for each image of a whole set, in order; None where nobody says."""
    if dataset == "ImageNet-ReaL":
        return [real for _, real in read_table() if real]
    return [(own,) for own, _ in read_table()] if dataset == "ImageNet" else None


def find_strangers(names: Sequence[str], labels: Iterable[int] = ()) -> list[str]:
    """Describe the images that are none of the validation set's, by their names.

    Args:
        labels: The classes of the images, where they are known: some other sets are known by theirs.
    """
    foreign = [name for name in names if official_class(name) is None]
    training = [name for name in foreign if _OF_TRAINING.match(name)]
    others = sorted(set(foreign) - set(training))
    found, classes = [], set(labels)
    if training:
        found.append(f"{len(training):,} are named as images of the training set, such as {training[0]}")
    if others:
        numbers = "ILSVRC2012_val_00000001 to 00050000"
        found.append(f"{len(others):,} have no number of the set, {numbers}, such as {others[0]}")
    alike = [known.name for known in PROTOCOLS.values() if known.mask and classes == {*known.mask}]
    if alike:
        found.append(f"their classes are the 200 of {alike[0]} (--dataset {alike[0].lower()})")
    elif 0 < len(classes) < len(read_classes()):
        found.append(f"their classes are {len(classes)} of the {len(read_classes()):,}")
    about = f"of {len(names):,} images {len(foreign):,} are not of ImageNet's validation set"
    return (
        [f"{about}: {', '.join(found)}; of another data set say its name, --dataset NAME"] if foreign else []
    )


def find_mislabelled(labels: Sequence[tuple[str, int]]) -> list[str]:
    """List the images of the validation set whose class is another, and whether all are shifted by one."""
    classes, table = read_classes(), read_table()
    known = [(name, label, own) for name, label in labels if (own := official_class(name)) is not None]
    wrong = [(name, label, own) for name, label, own in known if label != own]
    numbers = [(int(NUMBERED.findall(name)[0]) - 1, label) for name, label, _ in wrong]
    found = [
        f"{name} is labelled {classes[label].synset}, officially it is {classes[own].synset}"
        for name, label, own in wrong
    ]
    for step, words in ((1, "next"), (-1, "one before")):
        fits = sum(label == table[(at + step) % len(table)][0] for at, label in numbers)
        if len(wrong) > 1 and fits > 0.9 * len(wrong):
            return [f"the labels are shifted by one, each is that of the {words}", *found]
    return found
