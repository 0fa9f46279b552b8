"""The overview answers: sorts, filters, keeps its state in the address, draws what the data says."""

import json
import math
from urllib.parse import urlencode

import pytest
from cases import slow
from entries import SEEDS

from rexnet_hub.index import load_index
from rexnet_hub.index.lock import read_lock
from rexnet_hub.pages.views import query_record


@pytest.fixture(scope="module")
def records():
    """What the overview knows of each model, by name."""
    lock = read_lock()
    return {entry.name: query_record(entry, lock) for entry in load_index(SEEDS).models}


def names_shown(page):
    return page.locator("table[data-hub] tbody tr:visible td:first-child a").all_inner_texts()


def wait_for_chart(page):
    """The chart answers one frame after the table."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def points_shown(page):
    wait_for_chart(page)
    return sorted(page.locator(".hub-point:visible .hub-name").all_text_contents())


def address_of(page, expected):
    page.wait_for_function("part => location.search.includes(part)", arg=expected)
    return page.url


def test_every_column_sorts_both_ways(open_page, records):
    """Each heading sorts by its numbers or words, the other way at the second press, and says so."""
    page = open_page()
    columns = json.loads(page.locator(".hub-overview").get_attribute("data-models"))["columns"]
    for column in columns:
        button = page.locator("table[data-hub] th button", has_text=column["label"]).first
        header = button.locator("xpath=..")
        found = []
        for _ in range(2):
            button.click()
            found.append((header.get_attribute("aria-sort"), names_shown(page)))
        kind = "text" if column["text"] else "number"
        known = {n: r[kind].get(column["key"]) for n, r in records.items()}
        for direction, names in found:
            values = [known[name] for name in names if known[name] is not None]
            assert values == sorted(values, reverse=direction == "descending"), column
        assert {direction for direction, _ in found} == {"ascending", "descending"}
        assert page.locator("th[aria-sort]").count() == 1


def test_sorting_works_by_keyboard(open_page):
    """Enter and space press a heading, and the focus stays on it."""
    page = open_page()
    button = page.locator("table[data-hub] th button").nth(3)
    button.focus()
    page.keyboard.press("Enter")
    assert names_shown(page)[0] == "rexnet_200"
    page.keyboard.press("Space")
    assert names_shown(page)[0] == "rexnet_100"
    assert page.evaluate("document.activeElement.textContent") == "Parameters"


@pytest.mark.parametrize(
    ("control", "value", "left"),
    [
        ("Name contains", "15", ["rexnet_150"]),
        ("Top-1 at least (%)", "80.31", ["rexnet_150", "rexnet_200"]),
        slow("Parameters at most (M)", "7.56", ["rexnet_100", "rexnet_130"]),
        slow("File at most (MB)", "39.227315", ["rexnet_100", "rexnet_130", "rexnet_150"]),
        slow("Query", "top1>=79 params<10M", ["rexnet_130", "rexnet_150"]),
        ("Query", "name:rexnet_1* and not top1<79", ["rexnet_130", "rexnet_150"]),
    ],
)
def test_a_filter_leaves_what_meets_it(open_page, control, value, left):
    """Table, chart and count agree on what a filter leaves."""
    page = open_page()
    page.get_by_label(control).fill(value)

    assert names_shown(page) == left
    assert points_shown(page) == left
    assert page.locator(".hub-count").inner_text() == f"{len(left)} of 4 models"


def test_nothing_left_is_said_and_cleared(open_page):
    """When no model is left the page says so, and one press brings all back."""
    page = open_page()
    page.get_by_label("Name contains").fill("resnet")
    assert page.locator(".hub-count").inner_text() == "No model meets all of this"
    page.locator(".hub-button[type=reset]").click()
    page.wait_for_function("document.querySelector('.hub-count').textContent === '4 of 4 models'")
    assert len(names_shown(page)) == 4


def test_a_wrong_query_is_pointed_at(open_page):
    """A mistake in a query is shown with its place, and hides no model."""
    page = open_page()
    page.get_by_label("Query").fill("top1>=79 parms<10M")

    assert page.locator(".hub-complaint").inner_text().startswith("At character 10: 'parms'")
    assert len(names_shown(page)) == 4


def test_state_in_the_address_survives_a_reload_and_can_be_sent(open_page):
    """Filter, sort, cost and comparison come back from the address alone."""
    page = open_page()
    page.get_by_label("Query").fill("top1>=79")
    page.get_by_label("Cost axis").select_option("parameters")
    page.locator("table[data-hub] th button", has_text="Top-1").click()
    page.get_by_label("Compare rexnet_130").check()
    page.get_by_label("Compare rexnet_200").check()
    url = address_of(page, "compare=rexnet_130%2Crexnet_200")

    for again in (page.reload() and page, open_page(url.split("/")[-1])):
        assert names_shown(again) == ["rexnet_200", "rexnet_150", "rexnet_130"]
        assert again.get_by_label("Cost axis").input_value() == "parameters"
        assert not again.locator("#__search").is_checked()  # the theme opens its search for some names
        assert again.locator(".hub-comparison thead th").all_inner_texts()[1:] == ["rexnet_130", "rexnet_200"]


PARTS = ("name", "query", "sort", "cost", "compare", "max_params", "min_top1")
HOSTILE = "<img src=x onerror=window.hit=1>"


@pytest.mark.parametrize(
    "value",
    [HOSTILE, "__proto__", "((((", *map(slow, ("constructor>1", "1e999", "-constructor", "*" * 300))],
)
def test_hostile_state_in_the_address_is_inert(open_page, value):
    """Markup or nonsense in every part of the address does nothing and breaks nothing."""
    page = open_page("index.html?" + urlencode(dict.fromkeys(PARTS, value)))

    assert page.evaluate("window.hit") is None
    assert page.locator(".hub-overview img, table[data-hub] img").count() == 0
    assert page.locator(".hub-plot").count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_points_stand_where_the_data_says(open_page, records, width):
    """Against the printed ticks, each point's centre is its cost and accuracy; its area is its parameters."""
    page = open_page(width=width)
    costs = (
        page.get_by_label("Cost axis").locator("option").evaluate_all("all => all.map(each => each.value)")
    )
    units = {"macs": 1e9, "flops": 1e9, "parameters": 1e6, "file_size": 1e6}
    for cost in costs:
        page.get_by_label("Cost axis").select_option(cost)
        wait_for_chart(page)
        x_of = scale(page, ".hub-x", lambda box: box["x"] + box["width"] / 2)
        y_of = scale(page, ".hub-y", lambda box: box["y"] + box["height"] / 2)
        for name, record in records.items():
            point = page.locator(".hub-point", has_text=name)
            box, number = point.bounding_box(), record["number"]
            assert box["x"] + box["width"] / 2 == pytest.approx(x_of(number[cost] / units[cost]), abs=1)
            assert box["y"] + box["height"] / 2 == pytest.approx(y_of(number["top1"]), abs=1)
            size = float(point.evaluate("p => parseFloat(getComputedStyle(p, '::before').width)"))
            largest = max(other["number"]["parameters"] for other in records.values())
            assert size == pytest.approx(36 * math.sqrt(number["parameters"] / largest), abs=0.6)


def scale(page, selector, centre):
    """Read an axis off its first and last printed tick."""
    ticks = page.locator(selector)
    first, last = ticks.first, ticks.last
    (low, at_low), (high, at_high) = (
        (float(t.inner_text()), centre(t.bounding_box())) for t in (first, last)
    )
    return lambda value: at_low + (value - low) / (high - low) * (at_high - at_low)


#: Where the circles of points are; the points themselves are larger, for fingers.
CIRCLES = """points => points.map(point => {
  const box = point.getBoundingClientRect(), size = parseFloat(getComputedStyle(point, '::before').width);
  return { x: box.x + (box.width - size) / 2, y: box.y + (box.height - size) / 2, width: size, height: size };
})"""


@pytest.mark.parametrize("width", [1280, 390, *map(slow, (768, 320))])
def test_labels_do_not_overlap(open_page, width):
    """No label of the chart covers another one or a point, and each stands inside the plot."""
    page = open_page(width=width)
    plot = page.locator(".hub-plot").bounding_box()
    labels = [label.bounding_box() for label in page.locator(".hub-name:visible").all()]
    assert len(labels) == 4
    points = page.locator(".hub-point").evaluate_all(CIRCLES)
    for number, one in enumerate(labels):
        assert plot["x"] - 1 <= one["x"]
        assert one["x"] + one["width"] <= plot["x"] + plot["width"] + 1
        for other in labels[number + 1 :] + points:
            apart = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            above = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            assert apart or above


def test_the_front_is_the_one_of_what_is_shown(open_page):
    """The dashed line joins the models that no other beats, among those that the filter leaves."""
    page = open_page()
    wait_for_chart(page)
    steps = page.locator(".hub-line").get_attribute("d").count("L")
    page.get_by_label("Query").fill("top1>=79 params<10M")
    wait_for_chart(page)
    assert (steps, page.locator(".hub-line").get_attribute("d").count("L")) == (3, 1)


def test_a_click_on_a_point_opens_the_model(open_page):
    """A point is a link: clicked, the model's page is shown, not only its address."""
    page = open_page()
    page.locator(".hub-point", has_text="rexnet_130").click()
    page.locator(".md-content article > h1", has_text="rexnet_130").wait_for()
    assert page.url.endswith("models/rexnet_130.html")


def test_the_keyboard_reaches_and_opens_a_point(open_page):
    """With focus on a point its numbers are shown; Escape hides them; Enter opens the model."""
    page = open_page()
    page.locator(".hub-point", has_text="rexnet_200").focus()
    tip = page.locator(".hub-tip")
    assert "81.63 %" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.keyboard.press("Enter")
    page.locator(".md-content article > h1", has_text="rexnet_200").wait_for()


@pytest.mark.slow
def test_hovering_shows_the_numbers_inside_the_page(open_page):
    """Each point's tooltip shows while the pointer is on it, whole, at phone width too."""
    for width in (1280, 390):
        page = open_page(width=width)
        for name in ("rexnet_100", "rexnet_200"):
            page.locator(".hub-point", has_text=name).hover()
            box = page.locator(".hub-tip").bounding_box()
            assert page.locator(".hub-tip strong").inner_text() == name
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


@pytest.mark.slow
def test_instant_navigation_starts_the_page_again(open_page):
    """Back on the overview without a reload, the widgets answer as at first, and once."""
    page = open_page()
    page.wait_for_load_state("networkidle")  # until it has read the sitemap, the theme leaves clicks alone
    page.evaluate("window.stays = true")
    page.locator("table[data-hub] a", has_text="rexnet_150").click()
    page.locator(".md-content article > h1", has_text="rexnet_150").wait_for()
    page.get_by_role("link", name="All models").click()
    page.locator(".hub-plot").wait_for()

    assert page.evaluate("window.stays") is True
    page.get_by_label("Name contains").fill("200")
    assert names_shown(page) == ["rexnet_200"]
    assert page.locator("table[data-hub] tbody input").count() == 4


def test_chosen_models_stand_side_by_side(open_page):
    """Comparing shows the page's own numbers, marks the best of each row, and says how far the others are."""
    page = open_page()
    page.get_by_label("Compare rexnet_100").check()
    assert not page.locator(".hub-compare").is_visible()
    page.get_by_label("Compare rexnet_150").check()
    rows = {
        r[0]: r[1:]
        for r in (tr.locator("th, td").all_inner_texts() for tr in page.locator(".hub-comparison tr").all())
    }

    assert rows["Top-1 %"] == ["○ 77.86 \u22122.45 points", "○ 80.31"]
    assert rows["Parameters"][0].startswith("✓ 4.80")
    assert rows["Parameters"][1].endswith("\u00d7 2.03")
    assert page.locator(".hub-best").count() >= 4
    page.get_by_label("Compare rexnet_150").uncheck()
    assert not page.locator(".hub-compare").is_visible()


def test_numbers_stand_to_the_right_and_words_to_the_left(open_page):
    """Of a column the heading, too, so that digits of one weight stand below each other."""
    page = open_page()
    sides = "all => all.map(each => getComputedStyle(each).textAlign)"
    for cells in ("th", "tbody tr:first-child td"):
        found = page.locator(f"table[data-hub] {cells}").evaluate_all(sides)
        assert found == ["left", *["right"] * 6, "left"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sign_has_one_colour_wherever_it_stands(open_page, scheme):
    """In the table, beside each other, in a model's tiles and in what explains it, unlike any other's."""
    query = "index.html?compare=rexnet_100,rexnet_150"
    overview, model = (open_page(path, scheme=scheme) for path in (query, "models/rexnet_150.html"))
    places = [(overview, part) for part in ("hub-table", "hub-compare", "hub-signs")]
    places += [(model, part) for part in ("hub-figures", "hub-signs")]
    colour = "each => getComputedStyle(each).color"
    found = {
        sign: {page.locator(f".{part} {sign}").first.evaluate(colour) for page, part in places}
        for sign in "bi"
    }
    assert [len(colours) for colours in found.values()] == [1, 1]
    text = overview.locator("article h1").evaluate(colour)
    assert len({text, *found["b"], *found["i"]}) == 3


def test_the_chart_is_one_stop_of_the_tab_key(open_page):
    """Arrow keys lead from model to model by cost, Home and End to the ends, Enter opens."""
    page = open_page()
    at = "document.activeElement.getAttribute('aria-label').split(',')[0]"
    assert page.locator(".hub-point:not([tabindex='-1'])").count() == 1
    page.locator(".hub-point[tabindex='0']").focus()
    reached = [page.evaluate(at)]
    for key in ("ArrowRight", "ArrowUp", "End", "ArrowRight", "ArrowLeft", "Home", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
        reached.append(page.evaluate(at).removeprefix("rexnet_"))
    assert reached == ["rexnet_100", "130", "150", "200", "200", "150", "100", "100", "130"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") != "hub-point"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(at) == "rexnet_130"
    page.keyboard.press("Enter")
    page.locator(".md-content article > h1", has_text="rexnet_130").wait_for()


SHIFT = """window.shift = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: 'layout-shift', buffered: true })"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [412, 1280])
def test_the_page_does_not_move_while_it_comes(open_page, width):
    """Layout shift, as browsers count it, is under 0.1, in a window that shows the table too."""
    page = open_page(width=width, height=1200)
    page.evaluate(SHIFT)
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift") < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_row_stays_where_it_is_while_it_is_compared(open_page, width):
    """The comparison grows above it, and a button that is always there leads to it."""
    page = open_page(width=width)
    moved = []
    for name in ("rexnet_100", "rexnet_130", "rexnet_150"):
        box = page.get_by_label(f"Compare {name}")
        box.scroll_into_view_if_needed()
        before = box.bounding_box()["y"]
        box.click()
        page.wait_for_timeout(200)
        moved.append(abs(box.bounding_box()["y"] - before))
    assert max(moved) < 2

    page.get_by_role("button", name="Compare 3 models").click()
    page.wait_for_timeout(200)
    assert 0 <= page.locator("#compare").bounding_box()["y"] < 400


def test_the_line_that_loads_a_model_is_copied(open_page):
    """A row's button puts the loading line on the clipboard."""
    page = open_page()
    page.get_by_label("Copy the lines that load rexnet_130").click()
    page.get_by_text("copied", exact=True).wait_for()
    lines = 'from rexnet_hub import AutoModel\nmodel = AutoModel.from_pretrained("rexnet_130")\n'
    assert page.evaluate("navigator.clipboard.readText()") == lines


@pytest.mark.slow
def test_the_theme_recolours_the_chart_and_stays(open_page):
    """Dark is another colour for points and text, and holds on the next page."""
    page = open_page()
    colour = "getComputedStyle(document.querySelector('.hub-point'), '::before').borderTopColor"
    light = page.evaluate(colour)
    page.locator("label[for=__palette_1]").click()
    dark = page.evaluate(colour)
    page.goto(page.url)
    page.locator(".hub-point").first.wait_for()

    assert light != dark == page.evaluate(colour)


def test_without_scripts_there_is_a_table_and_a_picture(open_page):
    """With scripts off: every number, every link, the picture with its names, and no dead control."""
    page = open_page(scripts=False)
    assert page.locator("article table tbody tr").count() == 4
    assert page.locator("article table tbody a").all_inner_texts()[0] == "rexnet_100"
    assert page.locator("svg.hub-picture circle").count() == 4
    assert "rexnet_200" in page.locator("svg.hub-picture").get_attribute("aria-label")
    assert page.locator("article button, article input, article select").count() == 0
