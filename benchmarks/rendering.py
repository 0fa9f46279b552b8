"""Cards and the site, beside the Hub's own card renderer and a plain site of as many pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
from jinja2 import Environment

from benchmarks.making import make_index
from benchmarks.timing import ROOT, Call, Job, Peer, Program
from rexnet_hub.index import load_index
from rexnet_hub.pages.card import front_matter, render_card

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
        for entry in entries:
            render_card(entry)

    def theirs() -> None:
        for entry in entries:
            data = huggingface_hub.ModelCardData(**{
                key: value for key, value in front_matter(entry).items() if key != "model-index"
            })  # fmt: skip
            huggingface_hub.ModelCard.from_template(data, model_id=entry.name)

    def floor() -> None:
        for entry in entries:
            plain.render(model_id=entry.name, card_data="")

    return Job(
        title="cards, each",
        size=f"{count:,} entries",
        ours=Call(name="ours", call=ours, units=count),
        peers=(Peer(task=Call(name="ModelCard.from_template", call=theirs, units=count), at_least=30),),
        floor=Call(name="Jinja rendering the Hub's template", call=floor, units=count),
        rounds=3,
        note="of the Hub's own template without results",
    )


def _site(work: Path) -> Job:
    """Build our site, and one of mkdocs-material with as many pages of the same text."""
    config = ROOT / "mkdocs.yml"
    ours, plain = work / "ours", work / "plain"
    first = Program(
        name="first",
        command="mkdocs",
        argv=("build", "--quiet", "--config-file", str(config), "--site-dir", str(ours)),
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
    return Job(
        title="site, mkdocs build",
        size=f"4 models, {len(pages)} pages",
        ours=Program(name="ours", command="mkdocs", argv=first.argv, env=first.env),
        peers=(
            Peer(
                task=Program(
                    name="mkdocs-material, plain pages",
                    command="mkdocs",
                    argv=("build", "--quiet", "--config-file", str(plain / "mkdocs.yml")),
                    env=first.env,
                ),
                at_least=1 / 1.3,
            ),
        ),
        rounds=3,
    )


def jobs(work: Path, *, quick: bool) -> Iterator[Job]:
    """Yield the rows."""
    for count in (1000,) if quick else (1, 4, 1000):
        yield _cards(work, count)
    yield _site(work)
