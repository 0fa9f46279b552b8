"""A zoo of a thousand models stays usable, and one of hostile texts stays inert, in a real browser."""

import os
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from built_site import build, serve
from entries import SEEDS

from rexnet_hub.index import load_index
from rexnet_hub.pages.site import POLYFILLS, SCRIPTS, STYLE, render_site

sys.path.append(str(Path(__file__).resolve().parents[1] / "pages"))
from hostile_index import HOSTILE, write_hostile_index

#: Two frames of a screen that shows 60 a second, and as much again for a machine that does other work.
FRAME_BUDGET_MS = 67

CONFIG = """\
site_name: many
theme: {{name: material, font: false}}
use_directory_urls: false
markdown_extensions: [attr_list, tables, md_in_html]
docs_dir: {docs}
extra_css: [{style}]
extra_javascript: [{scripts}]
extra: {{polyfills: [{polyfills}]}}
"""


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """The overview of 1,000 models in 63 families: the one page, without those it links to."""
    folder = tmp_path_factory.mktemp("thousand")
    base = load_index(SEEDS).models
    entries = []
    for number in range(1000):
        entry = base[number % 4]
        size = entry.metadata["parameters"]._replace(value=4_000_000 + 37_000 * number)
        family = replace(entry.collection, name=f"family {number // 16}")
        metadata = {**entry.metadata, "parameters": size}
        entries.append(replace(entry, name=f"model_{number:04}", collection=family, metadata=metadata))
    for path, content in render_site(entries).items():
        if path == "index.md" or path.startswith("assets/"):
            file = folder / "docs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
    config = folder / "mkdocs.yml"
    names = {"style": STYLE, "scripts": ", ".join(SCRIPTS), "polyfills": ", ".join(POLYFILLS)}
    config.write_text(CONFIG.format(docs=folder / "docs", **names))
    build(folder / "site", config=config, strict=False)
    server = serve(folder / "site")
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


MEASURE = """async () => {
  const box = document.querySelector('input[type=search]'), presses = [], frames = [];
  const frame = () => new Promise((next) => requestAnimationFrame(next));
  const shown = () => document.querySelectorAll('table[data-hub] tbody tr:not([hidden])').length;
  const wanted = () => parseInt(document.querySelector('.hub-count').textContent);
  for (const text of ['m', 'mo', 'model_0', 'model_05', 'model_051', 'model_05', 'model_0', '']) {
    const before = performance.now();
    box.value = text;
    box.dispatchEvent(new Event('input', { bubbles: true }));
    document.body.offsetHeight;  // the layout that the answer asks for
    presses.push(performance.now() - before);
    while (shown() < wanted()) {
      await frame();  // our own slice runs before this, in the same frame
      const begun = performance.now();
      document.body.offsetHeight;
      frames.push(performance.now() - begun);
    }
  }
  return { presses, frames, shown: shown() };
}"""


@pytest.mark.slow
def test_every_key_press_on_a_thousand_rows_answers_within_two_frames(open_page, thousand):
    """Script and layout of no key press take longer, also one that brings all rows back, slice by slice."""
    page = open_page("index.html", base=thousand)
    assert page.locator(".hub-count").inner_text() == "1000 of 1000 models"
    page.evaluate(MEASURE)
    best: dict[str, list[float]] = {}
    # Of several runs the best, press by press: what else the machine does is not ours to answer for.
    for _ in range(20):
        run = page.evaluate(MEASURE)
        assert run["shown"] == 1000
        for name in ("presses", "frames"):
            best[name] = list(map(min, run[name], best.get(name, run[name])))
        if max(best["presses"] + best["frames"]) < FRAME_BUDGET_MS:
            break
    if "REXNET_HUB_SHOW_TIMES" in os.environ:
        print({name: [round(ms) for ms in times] for name, times in best.items()})
    assert len(best["frames"]) >= 10
    assert max(best["presses"]) < FRAME_BUDGET_MS
    assert max(best["frames"]) < FRAME_BUDGET_MS
    page.get_by_label("Family").select_option("family 7")
    assert page.locator("table[data-hub] tbody tr:visible").count() == 16
    page.get_by_label("Family").select_option("")
    page.get_by_label("Query").fill("params<5M")
    assert page.locator("table[data-hub] tbody tr:visible").count() == 28


@pytest.mark.slow
def test_the_overview_of_a_thousand_is_small(thousand):
    """It is read before anything can be chosen."""
    with urllib.request.urlopen(f"{thousand}index.html") as page:
        assert len(page.read()) < 400_000


BEFORE_THE_SCRIPT = """() => {
  const table = document.querySelector('table[data-hub]');
  delete table.dataset.hub;
  for (const row of table.tBodies[0].rows) row.hidden = false;
  return [...table.tBodies[0].rows].filter((row) => row.getClientRects().length).length;
}"""


@pytest.mark.slow
def test_before_the_script_as_many_rows_are_laid_out_as_a_screen_holds(open_page, thousand):
    """The first layout is of 40 rows, not of all; where scripts do not run, of all."""
    assert open_page("index.html", base=thousand).evaluate(BEFORE_THE_SCRIPT) == 40
    page = open_page("index.html", base=thousand, scripts=False)
    assert page.locator("article tbody tr:visible").count() == 1000


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_chart_of_a_thousand_has_few_marks(open_page, thousand, width):
    """What stands close is one mark with its number; what no other beats stands alone, by its name."""
    page = open_page("index.html", base=thousand, width=width)
    assert page.locator(".hub-plot *").count() < 400
    groups = [int(number) for number in page.locator(".hub-group").all_inner_texts()]
    assert sum(groups) + page.locator("a.hub-point").count() == 1000
    assert page.locator("a.hub-front").count() >= 1
    assert page.locator(".hub-name:visible").count() >= 1


@pytest.mark.slow
def test_rows_that_come_late_come_in_order(open_page, thousand):
    """A press during the slices starts them anew: what is shown in the end is what was asked for last."""
    page = open_page("index.html", base=thousand)
    box = page.get_by_label("Name contains")
    box.fill("model_051")
    for text in ("", "model_09", "", "model_0"):
        box.fill(text)
    page.wait_for_function(
        "document.querySelectorAll('table[data-hub] tbody tr:not([hidden])').length === 1000"
    )
    box.fill("model_01")
    rows = page.locator("table[data-hub] tbody tr:visible")
    page.wait_for_function(
        "document.querySelectorAll('table[data-hub] tbody tr:not([hidden])').length === 100"
    )
    assert rows.first.inner_text().startswith("model_0100")
    assert rows.last.inner_text().startswith("model_0199")


@pytest.mark.slow
def test_a_hostile_index_does_nothing_in_the_browser(open_page, tmp_path):
    """Built as the site is, no text of a hostile index runs, loads or links, on any of its pages."""
    index = write_hostile_index(tmp_path)
    build(tmp_path / "site", strict=False, REXNET_HUB_INDEX=str(tmp_path / "index.json"))
    server = serve(tmp_path / "site")
    base = f"http://127.0.0.1:{server.server_address[1]}/"
    pages = sorted(file.name for file in (tmp_path / "site" / "models").glob("*.html"))
    assert len(pages) == len(index.models) == len(HOSTILE)
    page = open_page("index.html", base=base)
    assert page.locator("table[data-hub] tbody tr").count() == len(HOSTILE)
    page.locator(".hub-point").first.focus()
    for name in ["index.html", *(f"models/{name}" for name in pages)]:
        page.goto(base + name)
        assert page.evaluate("window.hit") is None, name
        assert page.locator("a[href^=javascript], a[href^=data], article img, article script").count() == 0, (
            name
        )
    server.shutdown()
    server.server_close()
