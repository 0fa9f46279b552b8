"""Describe families of models in words that no field of the index has, and how to cite them."""

from __future__ import annotations

import re

from rexnet_hub.index import Entry
from rexnet_hub.index.network import entry_words
from rexnet_hub.pages.facts import classes_words
from rexnet_hub.pages.text import one_line, safe_url


def introduction(entry: Entry) -> str:
    """Return what an entry is in a sentence or two, without its name, as Markdown."""
    return entry_words(entry).sentences.format(classes=classes_words(entry)["classes"])


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
