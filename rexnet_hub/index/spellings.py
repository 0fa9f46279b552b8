"""Compare data sets by name: one small table tells their spellings; any other is known by its own name.

It counts the classes of those that are one thing to all who use them: of ImageNet-A and -R, whose pictures
are of a part of the classes that a network tells apart, and of sets for other tasks than to name the one
class of a picture, it says nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

_TABLE = json.loads(Path(__file__).with_name("spellings.json").read_text(encoding="utf-8"))
#: Our name of a data set -> the Hub's id and its name there.
HUB_NAMES: dict[str, tuple[str, str]] = {
    name: (row["hub"][0], row["hub"][1]) for name, row in _TABLE.items() if "hub" in row
}

#: The number of classes of a data set, by our name of it.
_CLASSES: dict[str, int] = {name: row["classes"] for name, row in _TABLE.items() if "classes" in row}
IMAGENET_CLASSES = _CLASSES["ImageNet"]


def fold(text: str) -> str:
    """Fold a name: letter case does not matter, nor what is no letter or digit."""
    return "".join(letter for letter in text.lower() if letter.isalnum()) or text


#: The name here of each spelling, and the folded word of each split that is written in two ways.
SPELLINGS = {fold(word): name for name, row in _TABLE.items() for word in (name, *row["aliases"])}
WRITTEN = tuple(word for name, row in _TABLE.items() for word in (name, *row["aliases"]))
SPLITS = {"val": "validation", "valid": "validation"}


def canonical_dataset(name: str | None) -> str:
    """Return the name that a data set is known by here."""
    return SPELLINGS.get(fold(name), name) if name else ""


def is_imagenet(name: str | None) -> bool:
    """Return whether a data set's name is a spelling of ImageNet-1k."""
    return canonical_dataset(name) == "ImageNet"


def find_class_problem(dataset: str | None, num_classes: int | None) -> str | None:
    """Return why a network of so many classes cannot be of a data set; None where it may be."""
    known = _CLASSES.get(canonical_dataset(dataset), num_classes)
    return None if num_classes in (known, None) else f"has {num_classes} classes, and {dataset} has {known}"


def dataset_key(name: str | None) -> str:
    """Return what all spellings of a data set's name share."""
    return fold(canonical_dataset(name))


def split_key(name: str | None) -> str:
    """Return what all spellings of a split's name share."""
    return SPLITS.get(folded := fold(name or ""), folded)


def place_name(dataset: str | None, split: str | None) -> str:
    """Return a data set and its split as one word: `ImageNet/validation`, or what of it is stated."""
    return "/".join(filter(None, (canonical_dataset(dataset), split)))


def short_part(dataset: str | None, split: str | None) -> str:
    """Return a split as named in short: without its crop; of a machine, which has no data set, its name."""
    return (split or "").partition(", crop " if dataset else ",")[0]


def is_place(word: str, dataset: str | None, split: str | None) -> bool:
    """Return whether `pets`, or `pets/test`, means this data set and split; or a word, a machine."""
    parts = {split_key(split), split_key(short_part(dataset, split))} - {""}
    if not dataset:
        return split_key(word) in parts
    whole, _, part = word.rpartition("/")
    is_part = whole and dataset_key(whole) == dataset_key(dataset) and split_key(part) in parts
    return dataset_key(word) == dataset_key(dataset) or bool(is_part)


def is_same_place(one: tuple[str | None, str | None], other: tuple[str | None, str | None]) -> bool:
    """Return whether two data sets, each with its split, may be the same: a split left out may be any."""
    splits = {split_key(split) for _, split in (one, other) if split}
    return dataset_key(one[0]) == dataset_key(other[0]) and len(splits) < 2
