"""Describe data sets in words that no field of the index has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rexnet_hub.imagenet.data.classes import entry_labels, imagenet_labels
from rexnet_hub.index import Entry
from rexnet_hub.index.spellings import canonical_dataset
from rexnet_hub.pages.text import read_words


def find_dataset(name: str | None, split: str = "") -> Mapping[str, Any]:
    """Find the words about a data set, or a part of it; those for any where we have none."""
    table = read_words("datasets.yml")
    known: Mapping[str, Any] = table.get(canonical_dataset(name), table[""])
    return known if split in ("", *known["splits"]) else table[""]


def classes_words(entry: Entry) -> Mapping[str, Any]:
    """Find the words about the data set whose classes an entry has, in their order."""
    is_imagenets = entry_labels(entry) == imagenet_labels()
    return find_dataset("ImageNet" if is_imagenets else None)
