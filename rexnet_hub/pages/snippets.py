"""Render the lines that load a model, library by library; each is run in a test as it is printed."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from rexnet_hub.index import Entry
from rexnet_hub.pages.families import is_in_timm
from rexnet_hub.pages.text import read_words, shell


class Snippet(NamedTuple):
    """A few lines to copy: the library's name, the language for highlighting, the lines."""

    library: str
    language: str
    lines: str


def predicting(
    source: str, entry: Entry | None = None, *, repo_id: str | None = None, labelled: bool = True
) -> tuple[Snippet, ...]:
    """Return the lines that classify a picture, for each library.

    Args:
        source: What rexnet_hub loads: a name of the index or a repo's id.
        entry: Whose lines they are: a library that does not have its network has none.
        repo_id: The repo on the Hub; without one, timm and transformers read a folder of the name.
        labelled: Whether the model's classes have names; without, ours print a class's number.
    """
    printed = "processor.labels[logits.argmax()]" if labelled else "int(logits.argmax())"
    command = f"rexnet-hub predict {shell(source)} picture.jpg"
    return (
        *_python("predicting", source, entry, repo_id, printed),
        Snippet(library="command line", language="console", lines=command),
    )


def find_place(card: str) -> str | None:
    """Find the repo on a Hub that a card's own check is of; None where that is a folder."""
    named = re.search(r"^rexnet-hub verify hf:([\w.-]+/[\w.-]+)$", card, re.MULTILINE)
    return named[1] if named else None


def extracting(source: str, entry: Entry, *, repo_id: str | None = None) -> tuple[Snippet, ...]:
    """Return the lines that take features out of a picture; arguments as of `predicting`."""
    return _python("extracting", source, entry, repo_id, _side_px(entry))


def tuning(source: str, entry: Entry, *, repo_id: str | None = None) -> tuple[Snippet, ...]:
    """Return the lines that give the model another classifier and train it; arguments as of `predicting`."""
    return _python("tuning", source, entry, repo_id, _side_px(entry))


#: Where an entry says that its weights are, of a repo that timm's own people made, for timm and transformers.
_AT_TIMM = re.compile(r"(?:hf:|https://huggingface\.co/)(timm/[\w.-]+)(?:@[0-9a-f]{40}#model\.safetensors)?")


def find_timm_repo(entry: Entry) -> str | None:
    """Find the repo of timm's on the Hub that an entry names for its weights; None where it names none."""
    places = [*entry.source_urls, str(entry.said("weights_page"))]
    return next((at[1] for at in map(_AT_TIMM.fullmatch, places) if at and is_in_timm(entry)), None)


def checking(entry: Entry) -> Snippet:
    """Return the lines that compare golden logits, run in a copy of the repo, with timm where that has it."""
    return _python("checking", ".", entry, None)[-1]


def recounting(predictions: str) -> str:
    """Return the lines that count an evaluation's predictions again, without a library."""
    return str(read_words("snippets.yml")["recounting"]["python"].format(json.dumps(predictions)))


def _side_px(entry: Entry) -> str:
    return str(entry.value("image_size") or 224)


def _python(
    purpose: str, source: str, entry: Entry | None, repo_id: str | None, *printed: str
) -> tuple[Snippet, ...]:
    """Fill in what each library loads, quoted as Python writes it."""
    loaded = {
        "rexnet_hub": source,
        "timm": f"hf-hub:{repo_id}" if repo_id else f"local-dir:{source}",
        "transformers": repo_id or f"./{source.removeprefix('./')}",
    }
    return tuple(
        Snippet(library=library, language="python", lines=text.format(json.dumps(loaded[library]), *printed))
        for library, text in read_words("snippets.yml")[purpose].items()
        if library == "rexnet_hub" or entry is None or is_in_timm(entry)
    )
