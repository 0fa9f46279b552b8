"""Cards and the site, beside the Hub's own card renderer and a plain site of as many pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import huggingface_hub
from jinja2 import Environment

from benchmarks.making import make_index
from benchmarks.timing import ROOT, Call, Job, Peer, Program
from rexnet_hub.cli import build_parser
from rexnet_hub.index import Entry, load_index
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.front_matter import front_matter
from rexnet_hub.pages.site import render_site
from rexnet_hub.site_source import write_source

PLAIN = """site_name: plain
docs_dir: docs
theme:
  name: material
  font: false
plugins: [search]
"""


def _cards(work: Path, count: int) -> Job:
    entries = load_index(make_index(work / f"{count}", count)).models
    template = Path(huggingface_hub.__file__).parent / "templates" / "modelcard_template.md"
    plain = Environment().from_string(template.read_text())

    def ours() -> None:
        """Render each card."""
        for entry in entries:
            render_card(entry)

    def floor() -> None:
        """Render the Hub's template as often, with nothing in it."""
        for entry in entries:
            plain.render(model_id=entry.name, card_data="")

    return Job(
        title="cards, each",
        size=f"{count:,} entries",
        ours=Call(name="ours", call=ours, units=count),
        peers=(Peer(task=_their_cards(entries), at_least=30),),
        floor=Call(name="Jinja rendering the Hub's template", call=floor, units=count),
        rounds=3,
        note="of the Hub's own template without results",
    )


def _their_cards(entries: Sequence[Entry]) -> Call:
    """Render a card for each by the Hub's own template."""

    def render() -> None:
        """Render each by the Hub's own renderer."""
        for entry in entries:
            data = huggingface_hub.ModelCardData(**{
                key: value for key, value in front_matter(entry).items() if key != "model-index"
            })  # fmt: skip
            huggingface_hub.ModelCard.from_template(data, model_id=entry.name)

    return Call(name="ModelCard.from_template", call=render, units=len(entries))


def _pages(work: Path, count: int) -> Job:
    """Render all that the site says of so many models, before mkdocs turns it into HTML."""
    entries = load_index(make_index(work / f"pages_{count}", count)).models
    return Job(
        title="page, card and data before mkdocs, each",
        size=f"{count:,} models",
        ours=Call(name="ours", call=lambda: render_site(entries), units=count),
        peers=(Peer(task=_their_cards(entries)),),
        rounds=3,
        note="beside the Hub's card alone",
    )


def _site(work: Path) -> Job:
    """Build our site, one of as many short pages, and one of our own pages kept as files."""
    config = ROOT / "mkdocs.yml"
    ours, plain = work / "ours", work / "plain"
    first = Program(
        name="first",
        argv=("-m", "mkdocs", "build", "--quiet", "--config-file", str(config), "--site-dir", str(ours)),
        env={"NO_MKDOCS_2_WARNING": "1"},
    )
    first.run()
    pages = sorted(file for file in ours.rglob("*.html") if file.name != "404.html")
    (plain / "docs").mkdir(parents=True)
    (plain / "mkdocs.yml").write_text(PLAIN)
    sources = sorted((ROOT / "docs").rglob("*.md"))
    for number in range(len(pages)):
        name = "index.md" if number == 0 else f"page_{number}.md"
        shutil.copyfile(sources[number % len(sources)], plain / "docs" / name)

    def plain_site(name: str, folder: Path) -> Program:
        """Make a build of a folder's site."""
        argv = ("-m", "mkdocs", "build", "--quiet", "--config-file", str(folder / "mkdocs.yml"))
        return Program(name=name, argv=argv, env=first.env)

    return Job(
        title="site, mkdocs build",
        size=f"the zoo's own index, {len(pages)} pages",
        ours=Program(name="ours", argv=first.argv, env=first.env),
        peers=(
            Peer(task=plain_site("mkdocs-material, as many short pages", plain), at_least=1 / 1.5),
            Peer(task=plain_site("the same, pages of our text", _as_files(work / "text"))),
        ),
        rounds=3,
    )


def _as_files(folder: Path) -> Path:
    """Write our pages' Markdown as files, under our own settings without the plugin that makes them."""
    write_source(folder, build_parser(), print)
    return folder


def jobs(work: Path, *, quick: bool) -> Iterator[Job]:
    """Yield the rows."""
    for count in (1000,) if quick else (1, 4, 1000):
        yield _cards(work, count)
    for count in () if quick else (4, 1000):
        yield _pages(work, count)
    yield _site(work)
