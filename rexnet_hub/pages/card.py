"""An entry as the README.md of its repo."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rexnet_hub.index import Entry
from rexnet_hub.index.lock import Measured
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.pages import text
from rexnet_hub.pages.facts import input_sentence, list_facts, training_rows
from rexnet_hub.pages.families import citation, find_family
from rexnet_hub.pages.front_matter import render_front_matter
from rexnet_hub.pages.snippets import predicting
from rexnet_hub.weights.digest import FileDigest
from rexnet_hub.weights.receipt import OutputFacts


@functools.cache
def environment() -> Environment:
    """Make the one environment of all templates: a misspelt field is an error at render time."""
    made = Environment(
        loader=PackageLoader("rexnet_hub.pages"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: text goes through `md` or `code`, addresses through `link`
    )
    filters = (text.code, text.fenced, text.link, text.number, text.shell, text.short)
    made.filters |= {"md": text.markdown, "file_name": text.file_name} | {f.__name__: f for f in filters}
    return made


def render_card(
    entry: Entry,
    *,
    repo_id: str | None = None,
    files: Sequence[Mapping[str, Any]] = (),
    standin: bool = False,
    measured: Measured | None = None,
) -> str:
    """Render an entry as the README.md of its repo.

    Args:
        entry: The model.
        repo_id: Where the repo is on the Hub; without, the snippets load by the entry's name.
        files: `name`, `size_bytes` and `sha256` of each file with a known digest.
        standin: Whether the weights are random numbers in the released shape; the card then says so first.
        measured: What the lock has of the model.
    """
    facts = list_facts(entry, measured)
    body = (
        environment()
        .get_template("card.md.jinja")
        .render(
            entry=entry,
            family=find_family(entry),
            facts=facts,
            accuracy_measured=any(fact.key == "top1" and fact.measured for fact in facts),
            predicting=predicting(repo_id or entry.name, repo_id=repo_id),
            preprocessing=input_sentence(entry),
            training=training_rows(entry),
            files=files,
            num_classes=entry.value("num_classes"),
            bibtex=citation(entry),
            standin=standin,
        )
    )
    return f"---\n{render_front_matter(entry, standin=standin)}---\n\n{body.strip()}\n"


def derive_card(
    entry: Entry,
    weights: FileDigest | OutputFacts,
    *,
    measured: Measured | None,
    standin: bool,
    repo_id: str | None,
) -> str:
    """Render the whole card of a repo: nothing but entry, lock and weights decides a byte of it.

    Args:
        weights: What the repo's weights are, by their receipt.
        measured: What the lock has of the model; of a stand-in only what is true of one is taken.
        standin: Whether the weights are random numbers.
        repo_id: Where the repo is on the Hub.
    """
    known = measured.of_standin() if measured and standin else measured
    file = {"name": WEIGHTS_FILE, "size_bytes": weights.size_bytes, "sha256": weights.sha256}
    return render_card(entry, repo_id=repo_id, files=[file], standin=standin, measured=known)
