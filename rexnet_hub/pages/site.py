"""The index as the docs site: a pure function from entries to the text of each file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rexnet_hub.index import Entry
from rexnet_hub.pages.card import environment, key_figures, result_rows
from rexnet_hub.pages.text import preprocessing_sentence, training_rows

STYLE = "assets/hub.css"
SCRIPT = "assets/hub.js"
POLYFILL = "assets/iframe-worker-1.0.4.js"
ASSETS_DIR = Path(__file__).with_name("assets")


def render_site(entries: Sequence[Entry]) -> dict[str, str]:
    """Render every generated file of the site, by its path below the docs folder."""
    pages = {"index.md": render_overview(entries)}
    pages |= {f"models/{entry.name}.md": render_model(entry) for entry in entries}
    pages |= {
        f"assets/{file.name}": file.read_text(encoding="utf-8") for file in sorted(ASSETS_DIR.iterdir())
    }
    return pages


def render_overview(entries: Sequence[Entry]) -> str:
    """Render the table of all models."""
    return environment().get_template("overview.md.jinja").render(entries=entries)


def render_model(entry: Entry) -> str:
    """Render the page of one model."""
    return (
        environment()
        .get_template("model.md.jinja")
        .render(
            entry=entry,
            figures=key_figures(entry),
            results=result_rows(entry),
            training=training_rows(entry),
            preprocessing=preprocessing_sentence(entry),
        )
    )
