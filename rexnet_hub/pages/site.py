"""The index as the docs site: a pure function from entries to the text of each file."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rexnet_hub.index import Entry
from rexnet_hub.pages import data, snippets
from rexnet_hub.pages.card import environment, render_card
from rexnet_hub.pages.chart import Point, draw_svg
from rexnet_hub.pages.facts import STANDINGS, input_sentence, training_rows
from rexnet_hub.pages.families import citation, find_family
from rexnet_hub.pages.views import ModelView, view_models

STYLE = "assets/hub.css"
SCRIPT = "assets/hub.js"
POLYFILL = "assets/iframe-worker-1.0.4.js"
ASSETS_DIR = Path(__file__).with_name("assets")

#: A page shows at most this many siblings, the nearest in parameters: else pages grow with the square of the zoo.
MOST_SIBLINGS = 12


def render_site(
    entries: Sequence[Entry], measured_of: Callable[[str], Any] = lambda name: None
) -> dict[str, str]:
    """Render every generated file of the site, by its path below the docs folder.

    Args:
        entries: The models, in the order of their table.
        measured_of: Gives what the lock holds of a model.
    """
    views = view_models(entries, measured_of)
    files = {"index.md": render_overview(views)}
    for view in views:
        files[f"models/{view.file}.md"] = render_model(view, nearest_siblings(view, views))
        files[f"models/{view.file}.json"] = data.as_json(view.record)
        files[f"models/{view.file}.card.txt"] = render_card(view.entry, measured=view.measured)
    files |= {
        "models.json": data.models_json(views),
        "models.csv": data.models_csv(views),
        "feed.json": data.feed_json(views),
        "llms.txt": data.llms_txt(views),
    }
    files |= {
        f"assets/{file.name}": file.read_text(encoding="utf-8") for file in sorted(ASSETS_DIR.iterdir())
    }
    return files


def render_overview(views: Sequence[ModelView]) -> str:
    """Render the site's first page: the table of all models, and what the script needs to make it answer."""
    records = [view.record for view in views]
    return (
        environment()
        .get_template("overview.md.jinja")
        .render(
            views=views,
            cost_label=cost_label(views),
            records=html.escape(json.dumps(records, separators=(",", ":"))),
            picture=draw_picture(views),
        )
    )


def render_model(view: ModelView, siblings: Sequence[ModelView]) -> str:
    """Render the page of one model."""
    entry, repo_id = view.entry, view.repo_id
    source = repo_id or entry.name
    family = find_family(entry)
    return (
        environment()
        .get_template("model.md.jinja")
        .render(
            view=view,
            entry=entry,
            title=html.escape(" ".join(entry.name.split())),
            family=family,
            predicting=snippets.predicting(source, repo_id=repo_id),
            extracting=snippets.extracting(source, repo_id=repo_id),
            tuning=snippets.tuning(source, repo_id=repo_id),
            preprocessing=input_sentence(entry),
            training=training_rows(entry),
            standings=STANDINGS,
            siblings=siblings,
            cost_label=cost_label(siblings),
            picture=draw_picture(siblings, here=entry.name),
            bibtex=citation(entry),
            raw=data.raw_entry(entry),
        )
    )


def nearest_siblings(view: ModelView, views: Sequence[ModelView]) -> tuple[ModelView, ...]:
    """Choose the models of the same collection that are nearest in size, this one among them, by size."""
    family = [other for other in views if other.family == view.family]
    if len(family) > MOST_SIBLINGS:
        place = family.index(view)
        start = max(0, min(place - MOST_SIBLINGS // 2, len(family) - MOST_SIBLINGS))
        family = family[start : start + MOST_SIBLINGS]
    return tuple(family)


def cost_label(views: Sequence[ModelView]) -> str:
    """Name the column of multiply-adds by what it holds."""
    return "MACs" if all(view.facts["macs"].measured for view in views) else "FLOPs"


def draw_picture(views: Sequence[ModelView], *, here: str | None = None) -> str:
    """Draw accuracy against multiply-adds for the models that have both."""
    points = [
        Point(name=v.name, x=float(x), y=float(y), size=float(v.facts["parameters"].value or 0))
        for v in views
        if (x := v.facts["macs"].value) is not None and (y := v.facts["top1"].value) is not None
    ]
    return draw_svg(
        points, x_label=f"{cost_label(views)} (G)", y_label="Top-1 accuracy (%)", unit=1e9, here=here
    )
