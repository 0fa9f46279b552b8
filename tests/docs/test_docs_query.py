"""The query language, the scale and the front in the browser are those of Python."""

import random

import pytest
from entries import SEEDS
from results import RESULT_QUERIES, RESULTS

from rexnet_hub.errors import UsageError
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, read_lock
from rexnet_hub.index.query import find_front, select
from rexnet_hub.pages.chart import Point, round_axis
from rexnet_hub.pages.views import query_names, query_record

# Each is asked in both; a wrong one must be refused by both.
QUERIES = """
top1>=79 params<10M
top1 >= 79 and params < 10 M
file_size<=39.227315MB
size<=37.5MiB
flops<1G or top1>81
flops:509989377
parameters=4.8M
parameters!=4.8m
top1>=79.49%
name:rexnet_1*
name:*_?00
name!=rexnet_100
NAME:REXNET_1*
not name:rexnet_100
not (top1<80 or size>60MB)
not macs<1G
not not top1>80
license:mit and data:imagenet
techniques:"weight decay"
techniques:'label*'
training_resources:*V100*
dropout=0.2 label_smoothing<=.1
weight_decay=1e-5
weight_decay=1.0e-05
epochs=4e2
lr<0.5 or lr>=0.5
(top1>80)
((top1>80) (params<10M))
collection:RexNet dataset:ImageNet task:*classification
batch-size=512
optimizer:sgd or top1>81
params<10X
top1>
top1
parms<10M
name<rexnet
(top1>80
top1>80)
and
not
top1>=seventy
top1>80 or
name:
=3
()
params<1e999
params<10M params
"""


@pytest.fixture(scope="module")
def page(browser, site):
    """The overview, for its scripts alone."""
    opened = browser.new_page()
    opened.goto(site[1] + "index.html")
    opened.locator(".hub-plot").wait_for()
    yield opened
    opened.close()


ASK = """([query, names, records]) => {
  try { const meets = RexnetHub.parseQuery(query, names, records);
    return records.filter((r) => meets(r) === true).map((r) => r.name); }
  catch (error) { if (!(error instanceof RexnetHub.QueryError)) throw error; return "refused"; }
}"""


def in_python(entries, query, lock):
    try:
        return [entry.name for entry in select(entries, query, measured=lock)]
    except UsageError:
        return "refused"


def test_both_readers_of_the_language_agree(page):
    """On every query of the list the browser picks, or refuses, what Python does."""
    entries, lock = load_index(SEEDS).models, read_lock()
    records, names = [query_record(entry, lock) for entry in entries], query_names(entries)
    asked = [line for line in QUERIES.splitlines() if line]
    expected = {query: in_python(entries, query, lock) for query in asked}
    found = {query: page.evaluate(ASK, [query, names, records]) for query in asked}

    assert found == expected
    assert sum(answer == "refused" for answer in expected.values()) >= 12


MISTAKEN = [
    *(
        "top1=>79",
        "top1==79",
        "top1 > = 79",
        "top1!79",
        "name=~a",
        "params<10",
        "macs<400",
        "size<20",
        "size<10%",
    ),
    *("size<10%", "top1>790", "dropout>20", "params<10MB", "top1>79M", "epochs>10%"),
    *("top1>0.79", "top1@petz>90", "params@pets<3", "tpo1@pets>3", "top1@", "f2@coco>1", "top1<=1e-3"),
]
MORE = [
    *("dropout<20%", "dropout>=0.2", "lr<1", "params>0", "params<0.01k", "size<20MiB"),
    "top1>0.5%",
    'top1@"MS COCO">0 or split:val',
    "lr@imagenet>0",
    "dataset!=pets",
    "split:train top1@pets>98",
]


def test_both_ask_results_alike(page, read):
    """Of data sets, splits and any metric the browser picks, or refuses, what Python does."""
    entries, lock = read(RESULTS).models, Lock()
    records, names = [query_record(entry, lock) for entry in entries], query_names(entries)
    asked = [*RESULT_QUERIES, *MISTAKEN, *MORE]
    expected = {query: in_python(entries, query, lock) for query in asked}
    found = {query: page.evaluate(ASK, [query, names, records]) for query in asked}

    nowhere = "top1@cifar10>50"  # a data set that the table knows, and the page's models do not have
    assert (expected.pop(nowhere), found.pop(nowhere)) == ([], "refused")
    assert found == expected
    assert {query for query, answer in expected.items() if answer == "refused"} >= {*MISTAKEN}


OWN_WORDS = """\
Models:
- Name: "Stra\u00dfe \u0130x"
  Metadata: {"Gr\u00f6\u00dfe": 12, "\u00dcnit_x": 7, toString: 3, __proto__: 4, Parameters: 900}
  Results:
  - {Task: Image Classification, Dataset: "\u00c9t\u00e9 [x]*", Metrics: {constructor: 4, And: 5, Not: 6}}
- Name: "\u03a3\u0391\u03a3"
  Metadata: {"Gr\u00f6\u00dfe": 13.5}
"""
OWN_QUERIES = (
    *("gr\u00f6\u00dfe>12", "\u00dcnit_x=7", "tostring<4", "proto<5", "__proto__<5", "constructor=4"),
    *("groesse>1", "valueOf>1", "and=5", "not=6 or and>7", "not not=6", "constructor@\u00e9t\u00e9x>3"),
    *("name:\u03c3\u03b1\u03c2", "name:\u03c3\u03b1?", "name:stra\u00dfe*", "name:strasse*"),
    *('gr\u00f6\u00dfe>1 dataset:"\u00e9t\u00e9 x"', "params<\u0661\u0660\u0660\u0660", "params<1_000"),
    *("params<\u00bd", "\u00a0params\u2003<\ufeff1000\x1c", "\x85", "\ufeff", "\u200b"),
)


def test_both_read_words_of_any_script(page, read):
    """Names, digits and spaces of no keyboard, fields of one's own and words of JavaScript mean one thing."""
    entries = read(OWN_WORDS).models
    records, names = [query_record(entry, Lock()) for entry in entries], query_names(entries)
    expected = {query: in_python(entries, query, Lock()) for query in OWN_QUERIES}
    assert {query: page.evaluate(ASK, [query, names, records]) for query in OWN_QUERIES} == expected
    both, first, last = [entry.name for entry in entries], [entries[0].name], [entries[1].name]
    assert [expected[query] for query in OWN_QUERIES[:6]] == [last, *[first] * 5]
    assert (expected["\ufeff"], expected["params<1_000"], expected["and=5"]) == (both, "refused", first)


@pytest.mark.slow
def test_both_agree_on_drawn_queries(page):
    """Nor do they differ on 400 random strings of the language's own words."""
    entries, lock, draw = load_index(SEEDS).models, read_lock(), random.Random(7)
    records, names = [query_record(entry, lock) for entry in entries], query_names(entries)
    words = [
        "top1",
        "params",
        "name",
        "license",
        "macs",
        ">=",
        "<",
        ":",
        "=",
        "!=",
        "79",
        "10M",
        "1.1G",
        "mit",
    ]
    words += [
        "rexnet_*",
        "?",
        "(",
        ")",
        "and",
        "or",
        "not",
        "'",
        " ",
        " ",
        "%",
        "kib",
        "1e3",
        "nonsense",
        "top1>=80",
    ]
    asked = [
        "".join(draw.choice(words) + draw.choice(["", " "]) for _ in range(draw.randint(1, 8)))
        for _ in range(400)
    ]
    asked += [
        f"{a}{op}{v}"
        for a in ("top1", "params", "flops")
        for op in ("<", ">=", ":")
        for v in ("80.31", "9.73M")
    ]
    differ = [q for q in asked if page.evaluate(ASK, [q, names, records]) != in_python(entries, q, lock)]

    assert differ == []


def test_both_draw_the_same_axis_and_front(page):
    """For random costs and accuracies the ticks and the front are the same."""
    draw = random.Random(11)
    for _ in range(100):
        values = [
            draw.choice([1, 1e-3, 40]) * draw.random() + draw.choice([0, 70])
            for _ in range(draw.randint(1, 9))
        ]
        accuracies = [round(draw.uniform(70, 71), 1) for _ in values]
        points = [
            Point(name=str(i), x=x, y=y, size=1)
            for i, (x, y) in enumerate(zip(values, accuracies, strict=True))
        ]
        script = "([v, c]) => { const a = RexnetHub.roundAxis(v, c); return [...a.ticks, ...v.map(a.share)] }"
        for is_cost in (False, True):
            axis = round_axis(values, is_cost=is_cost)
            told = [*axis.ticks, *map(axis.share, values)]
            assert page.evaluate(script, [values, is_cost]) == pytest.approx(told)
        front = page.evaluate(
            "points => RexnetHub.paretoFront(points, (p) => p.x, (p) => p.y).map((p) => p.name)",
            [vars(p) for p in points],
        )
        by_place = {(point.x, point.y): point.name for point in reversed(points)}
        assert front == [by_place[place] for place in find_front((point.x, point.y) for point in points)]
