"""A card is read on the Hub, in a column of 560 px laid out by GitHub's style for Markdown."""

import markdown
import pytest

from rexnet_hub.index import read_lock
from rexnet_hub.pages.card import render_card

#: What decides widths there: the column, tables and code that scroll in boxes of their own, sizes.
STYLE = """
body { margin: 0; width: 560px; font: 16px/1.5 sans-serif; overflow-wrap: break-word; }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse; }
th, td { padding: 6px 13px; border: 1px solid; }
code { padding: .2em .4em; font: 85%/1.45 monospace; white-space: break-spaces; }
pre { padding: 16px; overflow: auto; } pre code { padding: 0; white-space: pre; }
"""
HIDDEN = """() => [...document.querySelectorAll('html, table, ul, ol, p')]
  .filter((each) => each.scrollWidth > Math.min(each.clientWidth, 560)).map((each) => each.textContent)"""


def show(page, card):
    """Show a card as the Hub does, without its metadata."""
    body = markdown.markdown(card.split("\n---\n", 1)[1], extensions=["tables", "fenced_code", "sane_lists"])
    page.set_content(f"<!doctype html><style>{STYLE}</style>{body}")


@pytest.fixture
def column(browser):
    """A page of the column's width."""
    page = browser.new_page(viewport={"width": 560, "height": 900})
    yield page
    page.close()


def test_a_card_fits_the_hubs_column(column, zoo):
    """Nothing but code is scrolled sideways, whatever was measured; six columns of evidence would be."""
    lock, file = read_lock(), {"name": "model.safetensors", "size_bytes": 39203284, "sha256": 64 * "a"}
    for entry in zoo.models:
        show(column, render_card(entry, repo_id="org/model", files=[file], measured=lock.of(entry.name)))
        assert column.evaluate(HIDDEN) == [], entry.name
        columns = "() => [...document.querySelectorAll('tr')].map((row) => row.cells.length)"
        assert set(column.evaluate(columns)) == {2, 3}
    wide = "| Figure | Published | Stated by | Measured | Record | Again |\n" + "| --- " * 6 + "|\n"
    source = "[timm's results-imagenet-real.csv](https://a.example) `rexnet-hub verify ./rexnet_150`"
    show(column, f"---\n---\n\n{wide}| Top-1 | 80.31 % | {source} | 875,828,154 | macs | {source} |\n")
    assert len(column.evaluate(HIDDEN)) == 1
