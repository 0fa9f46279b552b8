"""The index as the docs site: a pure function from entries to the text of each file."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.agreement import MEANINGS
from rexnet_hub.index import Entry
from rexnet_hub.index.lock import Lock, render_lock
from rexnet_hub.index.schema import render_schema
from rexnet_hub.layout import LOCK_FILE
from rexnet_hub.pages import data, reference, snippets
from rexnet_hub.pages.card import environment, render_card
from rexnet_hub.pages.chart import Point, draw_svg
from rexnet_hub.pages.facts import input_sentence, training_rows
from rexnet_hub.pages.families import citation, find_family
from rexnet_hub.pages.views import ModelView, query_names, query_record, view_models
from rexnet_hub.recipe import make_recipe

STYLE = "assets/hub.css"
SCRIPTS = ("assets/hub-query.js", "assets/hub-chart.js", "assets/hub.js")
POLYFILLS = ("assets/hub-folder.js", "assets/iframe-worker-1.0.4.js")
ASSETS_DIR = Path(__file__).with_name("assets")

#: A page shows at most this many siblings: else the site grows with the square of the zoo.
MOST_SIBLINGS = 12


def render_site(entries: Sequence[Entry], lock: Lock | None = None) -> dict[str, str]:
    """Render every generated file of the site, by its path below the docs folder.

    Args:
        entries: The models, in the order of their table.
        lock: What machines measured of them.
    """
    lock = lock or Lock()
    views = view_models(entries, lock)
    files = {"index.md": render_overview(views, lock)}
    siblings = nearest_siblings(views)
    for view in views:
        files[f"models/{view.file}.md"] = render_model(view, siblings[view.file])
        files[f"models/{view.file}.json"] = data.as_json(view.record)
        files[f"models/{view.file}.card.txt"] = render_card(view.entry, measured=view.measured)
    files |= {
        "reference/index-format.md": reference.render_fields(),
        "reference/problems.md": reference.render_codes(),
        "reference/query-language.md": reference.render_query_language(),
        "schema.json": render_schema(),
        "models.json": data.models_json(views),
        "models.csv": data.models_csv(views),
        "feed.json": data.feed_json(views),
        LOCK_FILE: render_lock(lock),
        "llms.txt": data.llms_txt(views),
    }
    files |= {
        f"assets/{file.name}": file.read_text(encoding="utf-8") for file in sorted(ASSETS_DIR.iterdir())
    }
    return files


def render_overview(views: Sequence[ModelView], lock: Lock) -> str:
    """Render the site's first page: the table of all models, and what the script needs to make it answer."""
    columns = table_columns(views)
    known = {
        "names": query_names(),
        "columns": [vars(column) for column in columns],
        "models": [query_record(view.entry, lock) for view in views],
    }
    return (
        environment()
        .get_template("overview.md.jinja")
        .render(
            views=views,
            columns=columns,
            known=html.escape(json.dumps(known, separators=(",", ":"))),
            picks=pick_extremes(views),
            picture=draw_picture(views),
        )
    )


def pick_extremes(views: Sequence[ModelView]) -> list[tuple[str, ModelView, str]]:
    """Return the most accurate model and the smallest, with their figures, for a reader in a hurry."""
    picks = []
    if rated := [view for view in views if view.facts["top1"].value is not None]:
        best = max(rated, key=lambda view: float(view.facts["top1"].value or 0))
        picks.append(("The most accurate", best, f"{best.percent('top1')} % top-1"))
    if sized := [view for view in views if view.facts["parameters"].value is not None]:
        least = min(sized, key=lambda view: float(view.facts["parameters"].value or 0))
        picks.append(("The smallest", least, f"{least.short('parameters')} parameters"))
    return picks


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
            recipe=make_recipe(entry),
            standings=MEANINGS,
            siblings=siblings,
            cost_key=cost_key(siblings),
            picture=draw_picture(siblings, here=entry.name),
            bibtex=citation(entry),
            raw=data.raw_entry(entry),
        )
    )


def nearest_siblings(views: Sequence[ModelView]) -> dict[str, tuple[ModelView, ...]]:
    """Choose for each page the models of its collection that stand nearest in the index, its own included."""
    families: dict[str | None, list[ModelView]] = {}
    for view in views:
        families.setdefault(view.family, []).append(view)
    near = {}
    for family in families.values():
        last_start = max(0, len(family) - MOST_SIBLINGS)
        for place, view in enumerate(family):
            start = min(max(0, place - MOST_SIBLINGS // 2), last_start)
            near[view.file] = tuple(family[start : start + MOST_SIBLINGS])
    return near


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the overview: the name that queries and addresses know it by, its heading, its kind."""

    key: str
    label: str
    text: bool = False


def table_columns(views: Sequence[ModelView]) -> tuple[Column, ...]:
    """Choose the overview's columns: multiply-adds where we counted any, published FLOPs where any are."""
    costs = {"macs": "MACs", "flops": "FLOPs, published"}
    known = [key for key in costs if any(view.facts[key].value is not None for view in views)]
    return (
        Column(key="name", label="Model", text=True),
        Column(key="top1", label="Top-1 %"),
        Column(key="top5", label="Top-5 %"),
        Column(key="parameters", label="Parameters"),
        *(Column(key=key, label=costs[key]) for key in known),
        Column(key="file_size", label="File"),
        Column(key="license", label="Licence", text=True),
        Column(key="measured", label="Measured by us"),
    )


def cost_key(views: Sequence[ModelView]) -> str:
    """Return the cost that pictures show: our own count where every model has one, else FLOPs."""
    return "macs" if all(view.facts["macs"].value is not None for view in views) else "flops"


def draw_picture(views: Sequence[ModelView], *, here: str | None = None) -> str:
    """Draw accuracy against multiply-adds for the models that have both."""
    key = cost_key(views)
    points = [
        Point(name=v.name, x=float(x), y=float(y), size=float(v.facts["parameters"].value or 0))
        for v in views
        if (x := v.facts[key].value) is not None and (y := v.facts["top1"].value) is not None
    ]
    label = "MACs (G)" if key == "macs" else "FLOPs as published (G)"
    return draw_svg(points, x_label=label, y_label="Top-1 accuracy (%)", unit=1e9, here=here)
