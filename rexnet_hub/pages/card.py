"""Render an entry as the README.md of its repo; set up the environment of all templates."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rexnet_hub.imagenet.data.classes import entry_labels
from rexnet_hub.index import Entry
from rexnet_hub.index.ledger import count_file
from rexnet_hub.index.lock import Measured, read_lock
from rexnet_hub.index.network import entry_words
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.pages import datasets, facts, families, text
from rexnet_hub.pages.front_matter import render_front_matter
from rexnet_hub.pages.snippets import checking, extracting, predicting, recounting
from rexnet_hub.recipe import list_copied
from rexnet_hub.weights.digest import FileDigest
from rexnet_hub.weights.receipt import OutputFacts

#: What the card's table of the collection's models stands under.
SIBLINGS_HEAD = "## Among its siblings"


@functools.cache
def _environment() -> Environment:
    """Make the one environment of all templates: a misspelt field is an error at render time."""
    made = Environment(
        loader=PackageLoader("rexnet_hub.pages"),
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: text goes through `md` or `code`, addresses through `link`
    )
    filters = (facts.coloured, text.code, text.fenced, text.link, text.number, text.paragraphs, text.shell)
    made.filters |= {"md": text.markdown} | {f.__name__: f for f in filters}
    asked = (datasets.classes_words, facts.input_sentence, facts.list_signs, facts.training_rows)
    known = (families.citation, families.introduction, families.list_links, families.papers, entry_words)
    kinds = (families.is_classifier, families.is_known, families.is_in_timm)
    networks = (families.find_obstacle, families.collection_title, *kinds)
    lines = (checking, count_file, facts.Notes, facts.list_siblings, list_copied, recounting)
    made.globals |= {f.__name__: f for f in (*asked, *known, *networks, *lines)}
    return made


def render_template(name: str, **values: Any) -> str:
    """Render one of the package's templates."""
    return _environment().get_template(f"{name}.jinja").render(**values)


def render_card(
    entry: Entry,
    *,
    repo_id: str | None = None,
    files: Sequence[Mapping[str, Any]] = (),
    standin: bool = False,
    measured: Measured | None = None,
    repos: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Render an entry as the README.md of its repo.

    Args:
        repo_id: Where the repo is on the Hub; without, the card's lines are of a folder of the entry's name.
        files: `name`, `size_bytes` and `sha256` of each file with a known digest.
        standin: Whether the weights are random numbers in the released shape; the card then says so first.
        measured: What the lock has of the model.
        repos: Where the lock has it that other models were published.
    """
    # A name alone is the index's model, whatever stands beside the card; what nobody can stage has no folder.
    source = repo_id or (entry.name if families.find_obstacle(entry) else f"./{entry.name}")
    body = render_template(
        "card.md",
        entry=entry,
        facts=facts.list_facts(entry, measured, source=source),
        predicting=predicting(source, entry, repo_id=repo_id, labelled=bool(entry_labels(entry))),
        extracting=extracting(source, entry, repo_id=repo_id),
        files=files,
        check=facts.verifying(source),
        golden=measured and measured.golden,
        standin=standin,
        doubt="" if standin else facts.release_doubt(entry, measured),
        repos=repos,
        siblings_head=SIBLINGS_HEAD,
    )
    return f"---\n{render_front_matter(entry, repos, standin=standin)}---\n\n{body.strip()}\n"


def derive_card(
    entry: Entry,
    weights: FileDigest | OutputFacts,
    *,
    measured: Measured | None,
    standin: bool,
    repo_id: str | None,
    like: str | None = None,
) -> str:
    """Render the whole card of a repo: nothing but entry, lock and weights decides a byte of it.

    Args:
        weights: What the repo's weights are, by their receipt.
        measured: What the lock has of the model; of a stand-in only what is true of one is taken.
        standin, repo_id: As of `render_card`.
        like: A card that stands already: which models the collection had then, its table of siblings says.
    """
    if like is not None:
        entry = _as_then(entry, like)
    known = measured.of_standin() if measured and standin else measured
    file = {"name": WEIGHTS_FILE, "size_bytes": weights.size_bytes, "sha256": weights.sha256}
    is_named = entry.extra.keys() & {"superseded_by", "base_model"} and not entry.is_in_repo
    repos = read_lock().repos if is_named else {}
    return render_card(entry, repo_id=repo_id, files=[file], standin=standin, measured=known, repos=repos)


def _as_then(entry: Entry, card: str) -> Entry:
    """Return the entry with those siblings alone that a card of it names: a later one falsifies none."""
    table = card.partition(f"\n{SIBLINGS_HEAD}\n")[2].partition("\n## ")[0]
    rows = [line.lstrip("|* [") for line in table.splitlines()]
    starts = {
        each.name: tuple(text.markdown(each.name) + end for end in ("]", "*", " |"))
        for each in entry.siblings
    }
    then = (each for each in entry.siblings if any(row.startswith(starts[each.name]) for row in rows))
    return replace(entry, siblings=tuple(then))
