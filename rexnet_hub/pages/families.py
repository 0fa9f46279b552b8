"""Describe families of models in words that no field of the index has, and how to cite them."""

from __future__ import annotations

from typing import Any

from rexnet_hub.imagenet.data.classes import entry_labels, read_classes
from rexnet_hub.index import Entry
from rexnet_hub.pages.text import one_line, read_words


def find_family(entry: Entry) -> Any:
    """Find the words about an entry's family; None for one that we know nothing of."""
    return read_words("families.yml").get(entry.collection.name) if entry.collection else None


def knows_imagenet(entry: Entry) -> bool:
    """Return whether an entry's classes are ImageNet's, in their order."""
    return entry_labels(entry) == tuple(row.label for row in read_classes())


def introduction(entry: Entry) -> str:
    """Return what an entry is in a sentence or two, without its name, as Markdown."""
    if not (family := find_family(entry)):
        return "is an image classifier."
    return str(family["sentences"]).format(classes=" for ImageNet's 1,000 classes" * knows_imagenet(entry))


def citation(entry: Entry) -> str | None:
    """Return BibTeX for an entry: its family's, else what its paper's title and address amount to."""
    if family := find_family(entry):
        return str(family["bibtex"])
    paper = entry.paper or entry.current_paper
    if paper is None or not paper.title:
        return None
    fields = {"title": paper.title, "howpublished": paper.url}
    drop = str.maketrans("", "", "{}\\%#")
    lines = (f"  {key}={{{one_line(text).translate(drop)}}}" for key, text in fields.items() if text)
    key = "".join(char for char in entry.name if char.isascii() and char.isalnum()) or "model"
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"
