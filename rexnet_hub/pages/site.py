"""Render the index as the docs site: a pure function from entries to the text of each file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rexnet_hub.agreement import MEANINGS, Standing
from rexnet_hub.imagenet.data.classes import entry_labels
from rexnet_hub.index import Entry
from rexnet_hub.index.fields import query_name
from rexnet_hub.index.ledger import Ledger
from rexnet_hub.index.lock import Lock, render_lock
from rexnet_hub.index.network import entry_words
from rexnet_hub.index.schema import render_schema
from rexnet_hub.layout import INDEX_FOLDER, LOCK_FILE
from rexnet_hub.nets import known_network
from rexnet_hub.pages import data, reference
from rexnet_hub.pages.card import render_card, render_template
from rexnet_hub.pages.chart import Point, lay_out
from rexnet_hub.pages.families import (
    collection_title,
    find_obstacle,
    is_classifier,
    is_in_timm,
    nearest,
    papers,
)
from rexnet_hub.pages.snippets import extracting, predicting, tuning
from rexnet_hub.pages.text import link, markdown, safe_url
from rexnet_hub.pages.views import NOT_STATED, ModelView, query_names, query_record, view_models
from rexnet_hub.recipe import make_recipe

STYLE = "assets/hub.css"
SCRIPTS = ("assets/hub-query.js", "assets/hub-chart.js", "assets/hub.js")
POLYFILLS = ("assets/hub-folder.js", "assets/iframe-worker-1.0.4.js")
ASSETS_DIR = Path(__file__).with_name("assets")

#: What a reader chooses among, by the names of a query and one of our own: where models differ in it.
CHOICES = {
    "collection": "Family",
    "network": "Network",
    "architecture": "Architecture",
    "training_data": "Trained on",
    "dataset": "Measured on",
}

#: The figures that a table of models has.
FIGURES = {
    "top1": "Top-1 %", "top5": "Top-5 %", "parameters": "Parameters", "macs": "MACs",
    "flops": "FLOPs, published", "file_size": "File",
}  # fmt: skip

#: The metric that the chart has for an axis, by its name in queries.
SPEED = "images_per_second"


def render_site(
    entries: Sequence[Entry],
    lock: Lock | None = None,
    ledger: Ledger | None = None,
    *,
    repository: str = "",
) -> dict[str, str]:
    """Render every generated file of the site, by its path below the docs folder, models in this order.

    Args:
        repository: The address of where the zoo is kept, if it has one.
    """
    lock = lock or Lock()
    views = view_models(entries, lock, ledger)
    listed = _listed(views)
    families = group_families(views)
    files = {"index.md": render_overview(listed, lock, repository=repository)}
    for family in families:
        shown = render_overview(_listed(family) or family, lock, up="../")
        files[f"families/{family[0].family_file}.md"] = shown
    if len(families) > 1:
        files["families/index.md"] = render_template("families.md", families=families, span=span)
    siblings = {view.file: (view,) for view in views} | nearest_siblings(listed)
    for view in views:
        files[f"models/{view.file}.md"] = render_model(view, siblings[view.file], lock.repos)
        files[f"models/{view.file}.json"] = data.as_json(view.record)
        files[f"models/{view.file}.card.txt"] = render_card(
            view.entry, repo_id=view.repo_id, measured=view.measured, repos=lock.repos
        )
    files |= {
        "reference/index-format.md": reference.render_fields(),
        "reference/problems.md": reference.render_codes(),
        "reference/python.md": reference.render_python(),
        "reference/query-language.md": reference.render_query_language(),
        "schema.json": render_schema(),
        "models.json": data.models_json(listed),
        "models.csv": data.models_csv(listed),
        "feed.json": data.feed_json(views),
        LOCK_FILE: render_lock(lock),
        "llms.txt": render_template(
            "llms.txt", views=listed, heading=family_title(listed), summary=summarize(listed)
        ),
    }
    files |= {
        f"assets/{file.name}": file.read_text(encoding="utf-8") for file in sorted(ASSETS_DIR.iterdir())
    }
    return files


def render_overview(views: Sequence[ModelView], lock: Lock, *, up: str = "", repository: str = "") -> str:
    """Render the site's first page, or a family's: a table, and what the script needs to make it answer.

    Args:
        up: What leads from a family's page to the first.
        repository: As of `render_site`.
    """
    columns, rated = table_columns(views), {view.name for view in _comparable(views)}
    speeds = list_speeds(views)
    known = {
        "names": query_names([view.entry for view in views]),
        "columns": columns,
        "choices": CHOICES,
        "speeds": [words for words, _ in speeds],
        "models": pack([_choosable(view, lock, speeds) | {"rated": view.name in rated} for view in views]),
    }
    attribute = html.escape(json.dumps(known, separators=(",", ":")), quote=False).replace("'", "&#39;")
    about = next((view.entry for view in views if entry_words(view.entry).description), None)
    cited, families = only_family(views) and (about or only_family(views)), len(group_families(views))
    return render_template(
        "overview.md",
        heading=family_title(views),
        summary=summarize(views),
        source=stated_in(views[0].entry).partition("#" if up else "/")[0] if views else "",
        views=views,
        up=up,
        about=about,
        cited=cited,
        links=[
            *([f"{link('Repository', repository)}."] if safe_url(repository) else []),
            *(f"Paper: {link(title, url)}." for url, title in (papers(cited) if cited else ())),
            *([f"[All {families} families](families/index.md)."] if families > 1 else []),
        ],
        columns=columns,
        known=attribute,
        picks=pick_extremes(views),
        status=count_measured(views),
        picture=draw_picture(views),
        shown=[view.facts[key] for view in views for key in FIGURES],
    )


def pack(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Write once what records say: by dotted name the values, and of each record the number of its own.

    Numbers that are all 0, or count up from it, are left out; -1 is that of a record that says nothing.
    """
    columns: dict[str, dict[str, tuple[int, Any]]] = {}
    numbers: dict[str, list[int]] = {}
    for at, record in enumerate(records):
        for name, value in _spread(record):
            values = columns.setdefault(name, {})
            own, _ = values.setdefault(repr(value), (len(values), value))
            numbers.setdefault(name, [-1] * len(records))[at] = own
    packed = {name: [[value for _, value in values.values()]] for name, values in columns.items()}
    for name, which in numbers.items():
        if any(which) and which != list(range(len(records))):
            packed[name].append(which)
    return packed


def _spread(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """List what a record says by name, one group deep."""
    for name, value in record.items():
        group = value.items() if isinstance(value, dict) else ()
        yield from ((f"{name}.{key}", inner) for key, inner in group) if group else [(name, value)]


def list_speeds(views: Sequence[ModelView]) -> list[tuple[str, dict[str, float]]]:
    """List the tables of speed that models stand in: of what, in words, and each model's pictures a second.

    Of a model that a table has twice the first counts, as of accuracies.
    """
    tables: dict[tuple[str, str], dict[str, tuple[str, float]]] = {}
    for view in views:
        for result in view.entry.results:
            speed = next((c for label, c in result.metrics.items() if query_name(label) == SPEED), None)
            if speed and isinstance(speed.value, Decimal):
                part = result.part or ""
                device = re.split(r" \d+ px", part)[0]  # of one, a table has several picture sizes
                table = tables.setdefault((speed.source or "", device), {})
                table.setdefault(view.name, (part, float(speed.value)))
    return [
        (
            _shared_words([part for part, _ in table.values()]),
            {name: speed for name, (_, speed) in table.items()},
        )
        for table in tables.values()
    ]


def _shared_words(texts: Sequence[str]) -> str:
    """Return the parts between commas that all texts have, in the first one's order."""
    return ", ".join(p for p in texts[0].split(", ") if all(p in text.split(", ") for text in texts))


def _choosable(
    view: ModelView, lock: Lock, speeds: Sequence[tuple[str, Mapping[str, float]]]
) -> dict[str, Any]:
    """Return what can be chosen by: what a query can ask, and whose network it is, if it loads, how fast."""
    record = query_record(view.entry, lock) | {"loads": view.loads_by_name and not find_obstacle(view.entry)}
    own = {f"speed{n}": table[view.name] for n, (_, table) in enumerate(speeds) if view.name in table}
    record["number"] |= own
    network = known_network(view.entry.architecture)
    record["text"]["network"] = [network.family.provider.split()[0] if network else "not known"]
    return record


def span(views: Sequence[ModelView], key: str) -> str:
    """Return the least and the greatest of a figure, as a table prints it."""
    known = [view for view in _comparable(views) if view.facts[key].value is not None]
    ends = sorted(known, key=lambda view: float(view.facts[key].value or 0))[:: len(known) - 1 or 1]
    return " to ".join(view.cell(key) for view in ends) or NOT_STATED


def group_families(views: Iterable[ModelView]) -> list[list[ModelView]]:
    """Group the models of each collection, in the index's order; those of none are left out."""
    families: dict[str, list[ModelView]] = {}
    for view in views:
        if view.family_file:
            families.setdefault(view.family_file, []).append(view)
    return list(families.values())


def only_family(views: Sequence[ModelView]) -> Entry | None:
    """Return the collection that all models are of; None where they are of several, or of none."""
    (family, *others) = {view.family: view.entry.collection for view in views}.values() or [None]
    return None if others else family


def family_title(views: Sequence[ModelView]) -> str:
    """Return what all models are, as Markdown: their collection's, if they are of one."""
    family = only_family(views)
    return f"{collection_title(family)} models" if family else "Models"


def summarize(views: Sequence[ModelView]) -> str:
    """Return how many models there are, of what kind, and how many can be loaded, in a sentence."""
    count, known = len(views), [view for view in views if not find_obstacle(view.entry)]
    kind = "image classifier" if all(is_classifier(view.entry) for view in views) else "model"
    loaded = [view for view in known if view.loads_by_name]
    elsewhere = [view for view in known if view.repo_elsewhere and is_in_timm(view.entry)]
    which = "each" if len(loaded) == count else f"{len(loaded)} of them"
    others = f", {len(elsewhere)} in timm or transformers" if elsewhere else ""
    if elsewhere == loaded:
        others = ", timm or transformers"
    lines = f", {which} loaded by one line in rexnet_hub{others}" if loaded else ""
    standing = "every number says who states it and whether it was measured here"
    return f"{count} {kind}{'' if count == 1 else 's'}{lines}; {standing}."


def count_measured(views: Sequence[ModelView]) -> str:
    """Return in words of how many models each figure was measured, and how many are not as stated."""
    words = []
    for key in ("parameters", "macs", "file_size", "top1"):
        facts = [view.facts[key] for view in views]
        if any(fact.value is not None for fact in facts):
            measured = sum(bool(fact.measured) for fact in facts)
            derived = sum(fact.standing.startswith(Standing.REPRODUCED) for fact in facts)
            also = f" and {derived} derived" if derived else ""
            words.append(f"{markdown(facts[0].label)} {measured}{also}")
    measured_facts = (fact for view in views for fact in view.facts.values() if fact.measured)
    compared = [fact.agreement for fact in measured_facts if fact.agreement]
    wrong = sum(not agreement.holds for agreement in compared)
    differ = f" Of {len(compared)} compared, {wrong} differ." if compared else ""
    return f"of {len(views)}: {', '.join(words)}.{differ}" if words else "nothing."


def pick_extremes(views: Sequence[ModelView]) -> list[tuple[str, ModelView, str]]:
    """Return the most accurate model and the smallest, with their figures, for a reader in a hurry."""
    picks = []
    if rated := [view for view in _comparable(views) if view.facts["top1"].value is not None]:
        best = max(rated, key=lambda view: float(view.facts["top1"].value or 0))
        own = {view.file for view in rated}
        others = any(view.facts["top1"].claimed for view in views if view.file not in own)
        on = f" on {markdown(best.facts['top1'].dataset)}" if others else ""
        picks.append((f"The most accurate{on}", best, f"{best.facts['top1'].short} top-1"))
    if sized := [view for view in views if view.facts["parameters"].value is not None]:
        least = min(sized, key=lambda view: float(view.facts["parameters"].value or 0))
        picks.append(("The smallest", least, f"{least.facts['parameters'].short} parameters"))
    return picks


def render_model(view: ModelView, siblings: Sequence[ModelView], repos: Mapping[str, str]) -> str:
    """Render the page of one model."""
    entry, place = view.entry, view.repo_elsewhere
    source = view.repo_id or (entry.name if view.loads_by_name else f"./{entry.name}")
    shown = ("name", "top1", "parameters", cost_key(siblings))
    return render_template(
        "model.md",
        view=view,
        entry=entry,
        title=html.escape(" ".join(entry.name.split())),
        source=stated_in(entry),
        place=place,
        predicting=predicting(source, entry, repo_id=place, labelled=bool(entry_labels(entry))),
        extracting=extracting(source, entry, repo_id=place),
        tuning=tuning(source, entry, repo_id=place),
        recipe=make_recipe(entry),
        standings=[(word, meaning) for word, meaning in MEANINGS.items() if word in view.standings],
        siblings=siblings,
        columns=[each for each in table_columns(siblings) if each["key"] in shown],
        picture=draw_picture(siblings, here=entry.name),
        raw=data.raw_entry(entry),
        repos=repos,
    )


def stated_in(entry: Entry) -> str:
    """Return where a zoo's repository has an entry, file and line of its index; nothing of another index."""
    _, found, file = entry.location.file.as_posix().rpartition(f"{INDEX_FOLDER}/")
    return f"{INDEX_FOLDER}/{quote(file)}#L{entry.location.line}" if found else ""


def _listed(views: Sequence[ModelView]) -> list[ModelView]:
    return [view for view in views if view.entry.said("withdrawn") is None]


def nearest_siblings(views: Sequence[ModelView]) -> dict[str, tuple[ModelView, ...]]:
    """Find for each page the models of its collection that stand nearest in the index, its own included."""
    return {
        view.file: nearest(family, place)
        for family in group_families(views)
        for place, view in enumerate(family)
    }


def table_columns(views: Sequence[ModelView]) -> list[dict[str, Any]]:
    """List the overview's columns: of the figures those that any model has."""
    families = {"collection": "Family"} if len({view.family for view in views}) > 1 else {}
    figures = {key: label for key, label in FIGURES.items() if any(v.facts[key].standing for v in views)}
    labels = {"name": "Model", **families, **figures, "license": "Licence"}
    texts = ("name", "collection", "license")
    return [{"key": key, "label": label, "text": key in texts} for key, label in labels.items()]


def cost_key(views: Sequence[ModelView]) -> str:
    """Return the cost that pictures show: our own count where every model has one, else FLOPs."""
    return "macs" if all(view.facts["macs"].value is not None for view in views) else "flops"


def _comparable(views: Sequence[ModelView], here: str | None = None) -> list[ModelView]:
    """List the models whose accuracies are of the same data set: as of the one named, else of the first."""
    places = {view.name: view.facts["top1"].where for view in reversed(views) if view.facts["top1"].claimed}
    place = places.get(here or "", next(reversed(places.values()), ""))
    return [view for view in views if view.facts["top1"].where == place]


def render_chart(entries: Sequence[Entry], lock: Lock) -> str:
    """Render the first page's chart as an SVG file of its own, light or dark as its reader's screen is."""
    style = (ASSETS_DIR / "hub.css").read_text("utf-8")
    light, dark = re.findall(r"^ +(--hub-.*)$\n" * 3, style, re.MULTILINE)[:2]
    rules = "".join(re.findall(r"^\.hub-picture .*$", style, re.MULTILINE))
    light, dark = (
        f":root {{--md-default-fg-color:{text};{''.join(own)}}}"
        for text, own in (("#1f2328", light), ("#e6edf3", dark))
    )
    return render_template(
        "chart_file.svg",
        picture=draw_picture(view_models(entries, lock)),
        style=f"{light}@media (prefers-color-scheme: dark) {{{dark}}}{rules}",
    )


def draw_picture(views: Sequence[ModelView], *, here: str | None = None) -> dict[str, Any]:
    """Return the picture of accuracy against multiply-adds for the models that have both."""
    key = cost_key(views)
    points = [
        Point(name=v.name, x=float(x), y=float(y), size=float(v.facts["parameters"].value or 0))
        for v in _comparable(views, here)
        if (x := v.facts[key].value) is not None and (y := v.facts["top1"].value) is not None
    ]
    label = "MACs (G)" if key == "macs" else "FLOPs as published (G)"
    return lay_out(points, x_label=label, y_label="Top-1 accuracy (%)", unit=1e9, here=here)
