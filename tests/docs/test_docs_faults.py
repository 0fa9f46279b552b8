"""Each check of the site in a browser is seen to say no: to one fault, planted in what the browser gets."""

import inspect

import pytest
import test_docs_families as families
import test_docs_media as media
import test_docs_overview as overview
import test_docs_pages as pages
from playwright.sync_api import Error
from test_docs_families import zoo
from test_docs_overview import records

__all__ = ["records", "zoo"]

pytestmark = pytest.mark.slow  # what it tells, that a check can fail, changes with the check alone

#: A check, its arguments, the file of the site, what stands there, and the fault in its place.
FAULTS = [
    (overview.test_every_column_sorts_both_ways, {}, "hub.js", "return sign * (a.value", "return (a.value"),
    (
        overview.test_sorting_works_by_keyboard,
        {},
        "hub.js",
        '"click", () => {\n          const first',
        '"pointerdown", () => {\n          const first',
    ),
    (
        overview.test_a_filter_leaves_what_meets_it,
        {"control": "Top-1 at least (%)", "value": "80.31", "left": ["rexnet_150", "rexnet_200"]},
        "hub.js",
        "least ? model.number[key] >= bound",
        "least ? model.number[key] > bound",
    ),
    (
        overview.test_a_filter_leaves_what_meets_it,
        {"control": "Name contains", "value": "15", "left": ["rexnet_150"]},
        "hub.js",
        "later.unshift(() => this.chart.show(visible, cost));",
        "",
    ),
    (
        overview.test_a_filter_leaves_what_meets_it,
        {"control": "Query", "value": "top1>=79 params<10M", "left": ["rexnet_130", "rexnet_150"]},
        "hub.js",
        "meets(model) === true",
        "meets(model) !== undefined",
    ),
    (
        overview.test_nothing_left_is_said_and_cleared,
        {},
        "hub.js",
        'addEventListener("reset"',
        'addEventListener("r"',
    ),
    (
        families.test_a_choice_leaves_what_meets_it,
        {"choice": "Measured on", "value": "Flowers", "left": ["big_07", "wide_07"]},
        "hub.js",
        "(model.text[key] || []).includes(value)",
        "model.text[key] !== value",
    ),
    (families.test_choices_combine_and_narrow, {}, "hub.js", "chosen.every(", "chosen.some("),
    (
        families.test_what_does_not_differ_is_no_choice,
        {},
        "hub.js",
        "some((count) => count < this.models.length)",
        "length",
    ),
    (
        families.test_a_crowded_chart_labels_its_front_alone,
        {},
        "hub.css",
        ".hub-crowded .hub-point",
        ".no-crowd .hub-point",
    ),
    (
        families.test_models_that_stand_close_are_a_group_that_opens,
        {},
        "hub-chart.js",
        "squares.get(square).push(model);",
        "squares.set(square, [model]);",
    ),
    (
        families.test_models_that_stand_close_are_a_group_that_opens,
        {},
        "hub.js",
        "model.number[key] <= most",
        "model.number[key] < most",
    ),
    (
        families.test_a_group_opens_by_key_and_the_focus_stays_in_the_chart,
        {},
        "hub-chart.js",
        "if (hasFocus && this.stop) this.stop.focus();",
        "",
    ),
    (families.test_only_what_loads_has_a_line_to_copy, {}, "hub.js", " && model.loads", ""),
    (overview.test_a_wrong_query_is_pointed_at, {}, "hub.js", "error.place + 1", "error.place"),
    (
        overview.test_state_in_the_address_survives_a_reload_and_can_be_sent,
        {},
        "hub.js",
        'if (this.sort) said.set("sort", this.sort);',
        "",
    ),
    (
        overview.test_state_in_the_address_survives_a_reload_and_can_be_sent,
        {},
        "hub.js",
        "inputs.query",
        "inputs.q",
    ),
    (
        overview.test_hostile_state_in_the_address_is_inert,
        {"value": overview.HOSTILE},
        "hub.js",
        "input.value = said.get(name);",
        "this.controls.append(document.createRange().createContextualFragment(said.get(name)));",
    ),
    (overview.test_points_stand_where_the_data_says, {"width": 1280}, "hub-chart.js", "Math.sqrt(", "("),
    (
        overview.test_points_stand_where_the_data_says,
        {"width": 1280},
        "hub-chart.js",
        "left = `${100 *",
        "left = `${1 + 100 *",
    ),
    (
        overview.test_points_stand_where_the_data_says,
        {"width": 390},
        "hub.css",
        ".hub-point { position: absolute;",
        ".hub-point { position: absolute; margin-left: 3px;",
    ),
    (
        overview.test_labels_do_not_overlap,
        {"width": 320},
        "hub-chart.js",
        "order.find((name) => fits(sides[name]))",
        '"right"',
    ),
    (
        overview.test_the_front_is_the_one_of_what_is_shown,
        {},
        "hub-chart.js",
        "paretoFront(shown,",
        "paretoFront(this.models,",
    ),
    (
        overview.test_a_click_on_a_point_opens_the_model,
        {},
        "hub-chart.js",
        'className: "hub-point", href: model.url',
        'className: "hub-point", href: "#"',
    ),
    (overview.test_the_keyboard_reaches_and_opens_a_point, {}, "hub-chart.js", '"Escape"', '"Esc"'),
    (overview.test_the_keyboard_reaches_and_opens_a_point, {}, "hub-chart.js", '"focusin"', '"focusing"'),
    (
        overview.test_hovering_shows_the_numbers_inside_the_page,
        {},
        "hub-chart.js",
        "const isRight = parseFloat(point.style.left) > 50",
        "const isRight = false",
    ),
    (
        overview.test_instant_navigation_starts_the_page_again,
        {},
        "hub.js",
        "window.document$.subscribe(() => setTimeout(start))",
        "setTimeout(start, 50)",
    ),
    (
        overview.test_chosen_models_stand_side_by_side,
        {},
        "hub.js",
        "LOWER_IS_BETTER.has(column.key) ?",
        "!column ?",
    ),
    (
        media.test_a_sibling_is_reached_by_keyboard,
        {"scripts": False},
        "models/rexnet_150.html",
        '<details class="hub-switch">',
        '<details class="hub-switch" open>',
    ),
    (
        media.test_a_short_figure_says_the_exact_one,
        {},
        "models/rexnet_150.html",
        '<abbr title="9,',
        '<abbr title="8,',
    ),
    (families.test_speed_is_an_axis_of_the_chart, {}, "hub-chart.js", "(cost.isMoreBetter ? -1 : 1) * ", ""),
    (
        overview.test_a_sign_has_one_colour_wherever_it_stands,
        {"scheme": "dark"},
        "hub.css",
        ":is(.hub-table, .hub-compare, .hub-figures, .hub-signs) i {",
        ":is(.hub-table, .hub-figures, .hub-signs) i {",
    ),
    (overview.test_the_line_that_loads_a_model_is_copied, {}, "hub.js", "`model = Auto", "`m = Auto"),
    (
        overview.test_the_theme_recolours_the_chart_and_stays,
        {},
        "hub.css",
        "--hub-mark: #4db6ac",
        "--hub-mark: #00695c",
    ),
    (
        overview.test_without_scripts_there_is_a_table_and_a_picture,
        {},
        "index.html",
        "<svg",
        "<button>dead</button><svg",
    ),
    (
        pages.test_axe_finds_nothing,
        {"path": "models/rexnet_150.html"},
        "hub.css",
        ".hub-scroll {",
        "article { min-width: 400px; } .hub-scroll {",
    ),
    (
        pages.test_axe_finds_nothing_while_the_overview_is_in_use,
        {"scheme": "light"},
        "hub.css",
        ".hub-tip[hidden]",
        ".hub-tip { color: #aaa !important; } .hub-tip[hidden]",
    ),
    (
        pages.test_axe_finds_nothing_while_the_overview_is_in_use,
        {"scheme": "dark"},
        "hub.js",
        '"aria-label": `Compare ${model.name}`',
        '"data-label": `Compare ${model.name}`',
    ),
    (
        pages.test_search_finds_and_opens,
        {"words": "150", "first": "rexnet_150"},
        "search_index.js",
        "rexnet_150",
        "rexnet_15x",
    ),
    (overview.test_the_chart_is_one_stop_of_the_tab_key, {}, "hub-chart.js", "tabIndex = -1", "tabIndex = 0"),
    (
        overview.test_the_page_does_not_move_while_it_comes,
        {"width": 412},
        "hub.css",
        "min-height: 25rem",
        "min-height: 0",
    ),
    (
        overview.test_a_row_stays_where_it_is_while_it_is_compared,
        {"width": 390},
        "hub.js",
        "this.stayAt(model.box, () => this.changed())",
        "this.changed()",
    ),
    (pages.test_search_gives_the_right_page_first, {}, "search_index.js", '"tags":[', '"words":['),
    (
        pages.test_axe_finds_nothing_in_search_results_on_a_phone,
        {},
        "hub.css",
        ".md-search-result .md-typeset .md-tags { display: none; }",
        "",
    ),
    (
        pages.test_search_takes_what_is_typed_for_words,
        {"from_folder": False},
        "hub.js",
        "message.type === QUERY",
        "message.type === null",
    ),
    (
        pages.test_copy_buttons_give_each_snippet_whole,
        {},
        "rexnet_150.html",
        "content.code.copy",
        "content.code.no",
    ),
    (pages.test_what_was_copied_is_said_aloud, {}, "hub.js", 'className: "hub-said", role: "status"', ""),
    (pages.test_what_was_copied_is_said_aloud, {}, "hub.js", '".md-dialog:not(', '".no-dialog:not('),
    (pages.test_each_row_of_a_table_has_a_header, {"path": "index.html"}, "hub.js", '"rowheader"', '"cell"'),
    (
        media.test_paper_keeps_every_column,
        {"path": "models/rexnet_150.html"},
        "hub.css",
        "min-width: 0; padding: .3em .4em; overflow-wrap: anywhere; white-space: normal;",
        "",
    ),
    (
        media.test_paper_has_the_table_and_the_chart_without_controls,
        {},
        "hub.css",
        "@media print { .hub-controls,",
        "@media print {",
    ),
    (
        media.test_with_forced_colours_points_and_focus_are_seen,
        {"scheme": "light"},
        "hub.css",
        "border-color: LinkText",
        "border-color: GrayText",
    ),
    (
        media.test_the_evidence_fits_the_screen,
        {"width": 390},
        "hub.css",
        ":is(th, td) { padding: .6em .7em; }",
        ":is(th, td) { padding: .6em 1.25em; }",
    ),
]


@pytest.mark.parametrize(
    ("check", "arguments", "file", "old", "new"),
    FAULTS,
    ids=[
        f"{check.__name__.removeprefix('test_')}-{file}-{number}"
        for number, (check, _, file, *_) in enumerate(FAULTS)
    ],
)
def test_a_planted_fault_is_found(open_page, records, site, zoo, check, arguments, file, old, new):
    """The check passes on the site as it is, elsewhere, and fails on the site with this fault."""
    open_page.fault = (file, old, new)
    given = {"open_page": open_page, "records": records, "site": site, "zoo": zoo} | arguments
    said = ""
    try:
        check(**{name: given[name] for name in inspect.signature(check).parameters})
    except (AssertionError, Error) as error:
        said = str(error) or "it failed"
    assert f"{file} has no" not in said
    assert said or open_page.wrong  # what a page says on its console fails its test as well
    open_page.wrong.clear()
