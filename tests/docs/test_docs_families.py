"""A zoo of several families: filters, a page for each, a chart that thins its labels."""

import json

import pytest
import yaml
from built_site import build, serve
from test_docs_overview import address_of, names_shown, points_shown, wait_for_chart
from test_docs_pages import violations

from rexnet_hub.layout import find_index_dir

pytestmark = pytest.mark.slow  # one family of the zoo itself is looked at by the others
#: How many models each family has that is not ours; the first of them knows more data.
SIZES = {"Big Nets": 36, "Wide Nets": 24}


def speeds(number):
    """Two rows of one table, the second of larger pictures, for every fifth model: the bigger, the slower."""
    return [
        {
            "Task": "Throughput",
            "Split": f"a card {side} px, batch {2**number}, torch 2.9",
            "Metrics": {"Images per Second": 20000 - 500 * number - side},
            "Source URL": "https://example.org/speed.csv",
        }
        for side in (224, 288)
        if number % 5 == 0
    ]


def bignet(family, number):
    """One model that nobody here knows, bigger than the one before."""
    return {
        "Name": f"{family.split()[0].lower()}_{number:02}",
        "In Collection": family,
        "Metadata": {
            "Parameters": 10**6 * (1 + number**2),
            "FLOPs": 10**7 * 2 ** (number // 2),
            "Tasks": ["Image Classification"],
            "Training Data": ["ImageNet", "JFT-300M"] if number % 2 else ["ImageNet"],
            "Architecture": ["Convolution", family],
        },
        "Results": [
            {
                "Task": "Image Classification",
                "Dataset": "Flowers" if number == 7 else "ImageNet",
                "Metrics": {"Top 1 Accuracy": 60 + number * 0.7},
            },
            *speeds(number),
        ],
    }


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Our own four models among sixty others, as a whole site: its address."""
    folder = tmp_path_factory.mktemp("zoo")
    index = yaml.safe_load((find_index_dir() / "rexnet.yml").read_text(encoding="utf-8"))
    for family, size in SIZES.items():
        paper = {"Title": f"On {family}", "URL": "https://arxiv.org/abs/1901.00001"}
        index["Collections"].append({"Name": family, "Paper": paper})
        index["Models"] += [bignet(family, number) for number in range(size)]
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    assert build(folder / "site", REXNET_HUB_INDEX=str(folder / "index.json")) == ""
    server = serve(folder / "site")
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("choice", "value", "left"),
    [
        ("Family", "Wide Nets", [f"wide_{n:02}" for n in range(24)]),
        ("Network", "rexnet_hub", ["rexnet_100", "rexnet_130", "rexnet_150", "rexnet_200"]),
        ("Architecture", "Big Nets", [f"big_{n:02}" for n in range(36)]),
        ("Trained on", "JFT-300M", [f"{m}_{n:02}" for m in ("big", "wide") for n in range(1, 36, 2)][:30]),
        ("Measured on", "Flowers", ["big_07", "wide_07"]),
    ],
)  # fmt: skip
def test_a_choice_leaves_what_meets_it(open_page, zoo, choice, value, left):
    """Table, chart, count and address agree on what is chosen, and the address brings it back."""
    page = open_page(base=zoo)
    assert page.locator(".hub-count").inner_text() == "64 of 64 models"
    page.get_by_label(choice).select_option(value)
    key = {"Family": "collection", "Trained on": "training_data", "Measured on": "dataset"}
    url = address_of(page, f"{key.get(choice, choice.lower())}=")
    for again in (page, open_page(url.split("/")[-1], base=zoo)):
        assert sorted(names_shown(again)) == left
        assert points_shown(again) == [
            name for name in left if not name.endswith("_07")
        ]  # of another data set
        assert again.locator(".hub-count").inner_text() == f"{len(left)} of 64 models"
    page.locator(".hub-button[type=reset]").click()
    page.wait_for_function("document.querySelector('.hub-count').textContent === '64 of 64 models'")


def test_choices_combine_and_narrow(open_page, zoo):
    """Two choices and a query leave what meets all three."""
    page = open_page(base=zoo)
    page.get_by_label("Family").select_option("Big Nets")
    page.get_by_label("Trained on").select_option("JFT-300M")
    page.get_by_label("Query").fill("params<51M")
    assert names_shown(page) == ["big_01", "big_03", "big_05", "big_07"]


def test_what_does_not_differ_is_no_choice(open_page, zoo):
    """Our own four models have no filter that would leave all; what an address makes up chooses none."""
    assert open_page().locator(".hub-controls select").count() == 1
    page = open_page("index.html?collection=__proto__&network=%3Cimg%3E&cost=x", base=zoo)
    assert page.locator(".hub-count").inner_text() == "64 of 64 models"
    assert page.get_by_label("Family").input_value() == ""
    page = open_page("families/Big-Nets.html", base=zoo)
    labels = page.locator(".hub-controls label:has(select) span").all_inner_texts()
    assert labels == ["Cost or speed axis", "Trained on", "Measured on"]


def test_speed_is_an_axis_of_the_chart(open_page, zoo):
    """Of models in one table, each by its first row there; the front is of what is fast and accurate."""
    page = open_page(base=zoo)
    axis = page.get_by_label("Cost or speed axis")
    assert axis.locator("option").last.inner_text() == "Images per second: a card 224 px, torch 2.9"
    axis.select_option(label="Images per second: a card 224 px, torch 2.9")
    page.get_by_label("Family").select_option("Wide Nets")
    wait_for_chart(page)
    assert points_shown(page) == [f"wide_{n:02}" for n in (0, 5, 10, 15, 20)]
    assert page.locator(".hub-front:visible").count() == 5
    point = page.locator(".hub-point", has_text="wide_05")
    assert "images per second 17,300," in point.get_attribute("aria-label")
    page.get_by_label("Family").select_option("RexNet")
    assert points_shown(page) == []
    again = open_page(address_of(page, "cost=speed0").split("/")[-1], base=zoo)
    assert again.locator(".hub-x-label").inner_text() == "Images per second: a card 224 px, torch 2.9"


def test_a_crowded_chart_labels_its_front_alone(open_page, zoo):
    """Of 64 points only some of the front have a label, none on another; of a few chosen ones all have."""
    page = open_page(base=zoo)
    wait_for_chart(page)
    labels = page.locator(".hub-name:visible")
    front = page.locator(".hub-front .hub-name").all_text_contents()
    assert 0 < labels.count() <= len(front) < 30
    assert set(labels.all_text_contents()) <= set(front)
    boxes = [label.bounding_box() for label in labels.all()]
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            apart = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            assert apart or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
    ticks = page.locator(".hub-x").all_inner_texts()
    assert [float(tick) for tick in ticks] == [10.0**power for power in range(-2, 5)]
    page.get_by_label("Family").select_option("RexNet")
    wait_for_chart(page)
    assert len(page.locator(".hub-name:visible").all()) == 4
    assert float(page.locator(".hub-x").last.inner_text()) < 3


def count_marks(page):
    """Count the chart's points, and list how many models each of its groups has."""
    wait_for_chart(page)
    return page.locator("a.hub-point").count(), [int(n) for n in page.locator(".hub-group").all_inner_texts()]


def test_models_that_stand_close_are_a_group_that_opens(open_page, zoo):
    """Each model is one mark or in one group; a group pressed leaves its models alone; zooming out, all."""
    page = open_page(base=zoo)
    points, groups = count_marks(page)
    assert points + sum(groups) == 4 + 36 + 24 - 2  # two are of another data set
    assert len(groups) > 3
    assert min(groups) > 1
    group = page.locator(".hub-group").first
    assert group.get_attribute("aria-label").startswith(f"{groups[0]} models, top-1 ")
    group.click()
    assert len(names_shown(page)) >= groups[0]
    points, inner = count_marks(page)
    assert (points, inner) == (len(names_shown(page)), [])
    again = open_page(address_of(page, "within=flops").split("/")[-1], base=zoo)
    assert names_shown(again) == names_shown(page)
    page.get_by_role("button", name="Zoom out").click()
    assert count_marks(page)[1] == groups
    assert not page.get_by_role("button", name="Zoom out").is_visible()
    assert names_shown(open_page("index.html?within=flops:1", base=zoo)) == names_shown(page)


def test_a_group_opens_by_key_and_the_focus_stays_in_the_chart(open_page, zoo):
    """Arrow keys reach groups too; after Enter one of its models has the focus, and is the one tab stop."""
    page = open_page(base=zoo)
    is_group = "document.activeElement.matches('.hub-group')"
    page.locator(".hub-plot [tabindex='0']").focus()
    while not page.evaluate(is_group):
        page.keyboard.press("ArrowRight")
    assert "models" in page.locator(".hub-tip strong").inner_text()
    page.keyboard.press("Enter")
    count_marks(page)
    assert page.evaluate("document.activeElement.matches('a.hub-point')")
    assert page.locator(".hub-plot [tabindex='0']").count() == 1


def test_a_family_has_a_page_with_its_models_and_citation(open_page, zoo):
    """From the overview over the list of families to one, and from a model back to it."""
    page = open_page(base=zoo)
    page.get_by_role("link", name="All 3 families").click()
    page.get_by_role("link", name="Wide Nets", exact=True).click()
    page.locator("h1", has_text="Wide Nets models").wait_for()
    page.locator(".hub-plot").wait_for()
    assert page.url.endswith("families/Wide-Nets.html")
    assert names_shown(page) == [f"wide_{number:02}" for number in range(24)]
    assert "title={On Wide Nets}" in page.locator("article pre").inner_text()
    page.locator("table[data-hub] a", has_text="wide_03").click()
    page.locator("h1", has_text="wide_03").wait_for()
    page.locator("article").get_by_role("link", name="Wide Nets", exact=True).click()
    page.locator("h1", has_text="Wide Nets models").wait_for()
    assert "Rank Expansion Networks" in open_page("families/RexNet.html", base=zoo).inner_text("article")


def test_only_what_loads_has_a_line_to_copy(open_page, zoo):
    """The button that copies the loading line stands at our four models alone."""
    page = open_page(base=zoo)
    rows = page.locator("table[data-hub] tbody tr", has=page.locator(".hub-copy"))
    assert rows.locator("td:first-child a").all_inner_texts() == [f"rexnet_{n}" for n in (100, 130, 150, 200)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(
    "path", ["index.html", "families/index.html", "families/Big-Nets.html", "models/big_03.html"]
)
def test_every_page_of_a_zoo_is_readable_by_all(open_page, zoo, path, width, scheme):
    """Axe finds nothing, nor in a crowded chart, and no page scrolls sideways at desk or phone width."""
    page = open_page(path, base=zoo, width=width, scheme=scheme)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
