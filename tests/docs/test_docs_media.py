"""What another medium than a desk's screen makes of the pages: paper, few colours, large text, a phone."""

import pytest
from cases import slow

WIDTH = "document.documentElement.scrollWidth"
READABLE = """(selector) => [...document.querySelectorAll(selector)].filter((element) => {
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  return style.visibility === 'visible' && style.display !== 'none' && box.width > 0 && box.height > 0;
}).length"""


def test_paper_has_the_table_and_the_chart_without_controls(open_page):
    """Printed, the overview is its table and its chart; what can only be clicked is left out."""
    page = open_page()
    assert page.evaluate(READABLE, ".hub-controls") == 1
    page.emulate_media(media="print")
    assert page.evaluate(READABLE, ".hub-controls, .hub-copy, table[data-hub] input") == 0
    assert page.evaluate(READABLE, "table[data-hub] tbody tr") == 4
    assert page.evaluate(READABLE, ".hub-point") == 4


@pytest.mark.parametrize("path", ["index.html", *map(slow, ("models/rexnet_150.html", "speed.html"))])
def test_paper_keeps_every_column(open_page, path):
    """Printed on A4, no column of a table lies beyond the page's edge."""
    page = open_page(path, width=718)
    page.emulate_media(media="print")
    cells = "[...document.querySelectorAll('article .md-typeset__scrollwrap th')]"
    edges = page.evaluate(f"{cells}.map((cell) => cell.getBoundingClientRect().right)")
    assert len(edges) >= 8
    assert max(edges) <= 718


def test_paper_has_every_tab(open_page):
    """Printed, a model's page shows the lines of every library, not only of the open tab."""
    page = open_page("models/rexnet_150.html")
    blocks = page.locator(".tabbed-block").count()
    assert page.evaluate(READABLE, ".tabbed-block") < blocks
    page.emulate_media(media="print")
    assert page.evaluate(READABLE, ".tabbed-block") == blocks


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_with_forced_colours_points_and_focus_are_seen(open_page, scheme):
    """Where the system chooses the colours, points keep a border of the system's and focus an outline."""
    page = open_page(scheme=scheme)
    page.emulate_media(forced_colors="active", color_scheme=scheme)
    link = page.evaluate("""() => { const a = document.body.appendChild(document.createElement('i'));
      a.style.color = 'LinkText'; const found = getComputedStyle(a).color; a.remove(); return found; }""")
    border = "getComputedStyle(document.querySelector('.hub-point'), '::before').borderTopColor"
    assert page.evaluate(border) == link
    page.locator(".hub-point").first.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["models/rexnet_150.html", "index.html", "reference/problems.html"])
def test_text_of_twice_the_size_needs_no_sideways_scroll(open_page, path):
    """At 200 % of the text's size on a desk's screen the page is as wide as the screen."""
    page = open_page(path)
    page.add_style_tag(content="html { font-size: 250% !important; }")  # the theme's own is 125 %
    assert page.evaluate(WIDTH) <= 1280
    page.add_style_tag(content="article { min-width: 1400px; }")
    assert page.evaluate(WIDTH) > 1280


@pytest.mark.slow
def test_who_wants_less_motion_sees_none(open_page):
    """With reduced motion asked for, nothing of the overview moves or fades."""
    page = open_page()
    page.emulate_media(reduced_motion="reduce")
    moving = """() => [...document.querySelectorAll('.hub-overview *, [data-hub] *')].filter((each) => {
      const style = getComputedStyle(each);
      return [style.transitionDuration, style.animationDuration].some((times) => parseFloat(times) > 0.01);
    }).length"""
    assert page.evaluate(moving) == 0
    page.add_style_tag(content=".hub-count { transition: color 1s !important; }")
    assert page.evaluate(moving) == 1


@pytest.mark.parametrize("width", [1280, 1024])
def test_the_first_screen_shows_picture_controls_and_table(open_page, width):
    """On a desk's screen a reader sees the chart, the controls and the first models without scrolling."""
    page = open_page(width=width, height=900)
    for part in (".hub-plot", ".hub-controls", "table[data-hub] tbody tr:first-child"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 900, part
    page.add_style_tag(content=".hub-chart { grid-row: auto !important; margin-top: 20rem !important; }")
    box = page.locator("table[data-hub] tbody tr").first.bounding_box()
    assert box["y"] + box["height"] > 900


def test_a_phones_first_screen_says_what_is_measured(open_page):
    """At 390 px promise, status and install line are seen before anybody scrolls."""
    page = open_page(width=390, height=664)
    for part in (".hub-signs", ".hub-start pre"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 664, part
    page.add_style_tag(content=".md-typeset h1 { margin-bottom: 20rem !important; }")
    box = page.locator(".hub-signs").bounding_box()
    assert box["y"] + box["height"] > 664


@pytest.mark.slow
@pytest.mark.parametrize("scripts", [True, False])
def test_a_sibling_is_reached_by_keyboard(open_page, scripts):
    """The switch opens by Enter, Tab leads to its links, and no script is needed; the entry folds too."""
    page = open_page("models/rexnet_150.html", scripts=scripts)
    link = page.locator(".hub-switch a").first
    assert not link.is_visible()
    page.locator(".hub-switch summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("article h1", has_text="rexnet_100").wait_for()
    entry = page.locator("details", has_text="As YAML")
    assert not entry.locator("pre").is_visible()
    entry.locator("summary").click()
    assert entry.locator("pre").is_visible()


def test_a_short_figure_says_the_exact_one(open_page):
    """On hover and to whoever asks for its title; the evidence has it in full."""
    page = open_page("models/rexnet_150.html")
    short = page.locator(".hub-figures abbr", has_text="9.73")
    exact = short.get_attribute("title")
    assert exact in ("9,728,593", "9,730,000")  # as measured or as claimed
    assert exact in page.locator("article table").nth(1).inner_text()


@pytest.mark.parametrize("width", [390, slow(1280)])
def test_the_evidence_fits_the_screen(open_page, width):
    """On a desk and on a phone the table of evidence needs no scrolling sideways."""
    page = open_page("models/rexnet_150.html", width=width)
    hidden = """() => { const heading = document.getElementById('where-the-numbers-come-from');
      const box = [...document.querySelectorAll('h2 ~ .md-typeset__scrollwrap')].find(
        (each) => heading.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
      return box.scrollWidth - box.clientWidth; }"""
    assert page.evaluate(hidden) == 0
    page.add_style_tag(content="td { white-space: nowrap; }")
    assert page.evaluate(hidden) > 0
