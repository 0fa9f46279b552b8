"""Describe networks and families in words that no field of the index has, and how to cite them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from rexnet_hub.addresses import cite
from rexnet_hub.index import Entry
from rexnet_hub.index.fields import METADATA_LABELS
from rexnet_hub.index.network import entry_words
from rexnet_hub.index.reading.build import SPEED_TASK
from rexnet_hub.index.reading.hub_metadata import task_id
from rexnet_hub.nets import known_network
from rexnet_hub.pages.datasets import classes_words
from rexnet_hub.pages.text import code, markdown, one_line, safe_url

TASK = "image-classification"
#: A page or a card shows at most this many siblings: else a site grows with the square of the zoo.
MOST_SIBLINGS = 12
T = TypeVar("T")


def is_known(entry: Entry) -> bool:
    """Check whether an entry's network is one that can be built here."""
    return known_network(entry.architecture) is not None


def is_in_timm(entry: Entry) -> bool:
    """Check whether timm, and with it transformers, can build an entry's network."""
    network = known_network(entry.architecture)
    return network is not None and network.family.in_timm(network.config)


def find_obstacle(entry: Entry) -> str:
    """Return why nobody can load an entry here, in a sentence of Markdown; empty where it can be loaded."""
    if not is_known(entry):
        return f"rexnet_hub does not know the network {code(entry.architecture)}: it cannot check or load it."
    unstated = [*(["num_classes"] if entry.value("num_classes") is None else []), *entry.unstated_input]
    labels = ", ".join(METADATA_LABELS[name] for name in unstated)
    return labels and f"rexnet_hub can load it once its entry states what is not stated yet: {labels}."


def is_classifier(entry: Entry) -> bool:
    """Check whether an entry sorts pictures into classes: by its word, or without one by its network."""
    tasks = _tasks(entry)
    return TASK in tasks or (not tasks and is_known(entry) and entry.value("num_classes") != 0)


def _tasks(entry: Entry) -> dict[str, None]:
    """List what an entry says that it does, by the Hub's ids; its speed is no task of it."""
    stated = (*(entry.value("tasks") or ()), *(result.task for result in entry.results))
    return dict.fromkeys(id_ for task in stated if task and (id_ := task_id(str(task))) != SPEED_TASK)


def _kind(entry: Entry) -> str:
    """Return what sort of thing an entry is, in the words of its tasks, as Markdown."""
    tasks = ", ".join(task.replace("-", " ") for task in _tasks(entry))
    return (
        "an image classifier" if is_classifier(entry) else f"a model{f' for {markdown(tasks)}' * bool(tasks)}"
    )


def collection_title(collection: Entry) -> str:
    """Return what a collection is called, as Markdown."""
    return markdown(collection.said("title") or collection.name)


def nearest(family: Sequence[T], place: int) -> tuple[T, ...]:
    """Return the members of a family that stand nearest to the one in this place, itself among them."""
    start = min(max(0, place - MOST_SIBLINGS // 2), max(0, len(family) - MOST_SIBLINGS))
    return tuple(family[start : start + MOST_SIBLINGS])


def list_links(entry: Entry) -> list[tuple[str, str, str]]:
    """List where an entry's paper and its network's code are: what, its words, its address."""
    code, words = str(entry.code.value) if entry.code else "", entry_words(entry)
    theirs = words.command_source if words.paper and entry.cites(words.paper) else ""
    stated = [
        *(("Paper", title, url) for url, title in papers(entry)),
        ("Code of the network", cite(code), code),
        ("The authors' code", cite(theirs), theirs),
    ]
    return [place for place in stated if safe_url(place[2])]


def introduction(entry: Entry) -> str:
    """Return what an entry is in a few sentences, and of which network, without its name, as Markdown."""
    if sentences := entry_words(entry).sentences:
        said = sentences.format(kind=_kind(entry), classes=classes_words(entry)["classes"])
    else:
        of = f" of the collection {collection_title(entry.collection)}" if entry.collection else ""
        said = f"is {_kind(entry)}{of}."
    network = known_network(entry.architecture)
    if network is None or network.architecture == entry.name:
        return said
    return f"{said} Its network is {code(network.architecture)} of {network.family.provider.split()[0]}."


def citation(entry: Entry) -> str | None:
    """Return BibTeX for an entry: its family's, if that is of its paper, else what its paper amounts to."""
    bibtex, paper = entry_words(entry).bibtex, entry.paper or entry.current_paper
    if bibtex and entry.cites(*re.findall(r" title=\{(.*)\}", bibtex)):
        return bibtex
    if paper is None or not paper.title:
        return None
    fields = {"title": paper.title, "howpublished": paper.url}
    drop = str.maketrans("", "", "{}\\%#")
    lines = (f"  {key}={{{one_line(text).translate(drop)}}}" for key, text in fields.items() if text)
    key = "".join(char for char in entry.name if char.isascii() and char.isalnum()) or "model"
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"


_ARXIV = "https://arxiv.org/abs/"
_ON_ARXIV = re.compile(r"https?://(?:\w+\.)?arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5}|[\w.-]+/\d{7})(?:\D.*)?")


def papers(entry: Entry) -> list[tuple[str, str]]:
    """List an entry's papers, address and title: those on arXiv, as the Hub finds them, else the first."""
    stated = {
        url: paper.title or url
        for paper in (entry.paper, entry.current_paper)
        if paper and paper.url and (url := safe_url(_ON_ARXIV.sub(rf"{_ARXIV}\1", paper.url)))
    }
    return [row for row in stated.items() if row[0].startswith(_ARXIV)] or list(stated.items())[:1]
