"""Queries pick what they say, the unknown never meets one, and a mistake is pointed at."""

import json
import operator
from dataclasses import replace
from decimal import Decimal

import pytest
from entries import SEEDS
from hypothesis import given, settings
from hypothesis import strategies as st
from results import RESULT_QUERIES, RESULTS

from rexnet_hub.cli import main
from rexnet_hub.errors import UsageError
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, Measured, MeasuredEvaluation, MeasuredMacs
from rexnet_hub.index.query import find_number, judge, pareto, select

MODELS = load_index(SEEDS).models
LOCK = Lock(
    models={
        "rexnet_100": Measured(
            parameters=4796873,
            macs={
                "fvcore": MeasuredMacs(count=413_000_000, input_px=224, counter="fvcore 0.1"),
                "conv_linear": MeasuredMacs(count=398_359_520, input_px=224, counter="rexnet_hub 0.1.0"),
            },
        ),
        "rexnet_130": Measured(
            macs={"fvcore": MeasuredMacs(count=681_700_000, input_px=224, counter="fvcore 0.1")}
        ),
    }
)


def _names(query, **options):
    return " ".join(entry.name.removeprefix("rexnet_") for entry in select(MODELS, query, **options))


QUERIES = {
    "": "100 130 150 200",
    "top1>=79": "130 150 200",
    "top1>=79 params<10M": "130 150",
    "top1>=79 and params < 10M": "130 150",
    "top1>79.49": "150 200",
    "top1>=79.49%": "130 150 200",
    "top1=79.49": "130",
    "top1:79.490": "130",
    "top1!=79.49": "100 150 200",
    "file_size<=40MB": "100 130 150",
    "size<=37.5MiB": "100 130 150",
    "size<=37.4MiB": "100 130",
    "flops>1G flops<1.2B": "150",
    "params>=4.8M params<=4800k": "100",
    "lr=5e-1": "100 130 150 200",
    "name:rexnet_1*": "100 130 150",
    "name:REXNET_1?0": "100 130 150",
    "name=rexnet_200": "200",
    "name!=rexnet_200": "100 130 150",
    "license:mit": "100 130 150 200",
    "training_data:ImageNet": "100 130 150 200",
    "training_data:CIFAR*": "",
    "not training_data:CIFAR*": "100 130 150 200",
    "architecture:'residual connection'": "100 130 150 200",
    'architecture:"residual*"': "100 130 150 200",
    "collection:RexNet task:*class*": "100 130 150 200",
    "name:*100 or name:*200": "100 200",
    "name:*100 or name:*200 top1>80": "100 200",
    "(name:*100 or name:*200) top1>80": "200",
    "not (name:*100 or name:*200)": "130 150",
    "not not name:*100": "100",
    "NOT name:*100 AND top1<80": "130",
    "macs<1G": "",
    "not macs<1G": "",
    "macs<1G or top1>80": "150 200",
    "not (macs<1G or top1>80)": "",
    "macs<1G top1>0": "",
    "not (macs<1G top1>80)": "100 130",
    "warmup_epochs>0 or not warmup_epochs>0": "",
}


@pytest.mark.parametrize("query", QUERIES)
def test_what_a_query_picks(query):
    """Each query picks exactly the models that meet it."""
    assert _names(query) == QUERIES[query]


def test_measurements_come_before_claims():
    """MACs and parameters are the lock's where it has them; our own convention first."""
    assert _names("params<4.8M") == ""
    assert _names("params<4.8M", measured=LOCK) == "100"
    assert _names("macs<400M", measured=LOCK) == "100"
    assert _names("macs>600M", measured=LOCK) == "130"
    assert _names("not macs<400M", measured=LOCK) == "130"


def test_any_numeric_claim_can_be_asked_for(read):
    """A custom field's number can be compared and sorted by, wherever some entry has it."""
    models = read(
        "Models: [{Name: a, Metadata: {Layers: 50}}, {Name: b, Metadata: {Layers: 18}}, {Name: c}]"
    ).models

    assert [entry.name for entry in select(models, "layers<20")] == ["b"]
    assert [entry.name for entry in select(models, "", sort="layers")] == ["b", "a", "c"]
    with pytest.raises(UsageError, match="'layers'"):
        select(MODELS, "layers<20")


SORTS = {
    "top1": "100 130 150 200",
    "-top1": "200 150 130 100",
    "-license,-name": "200 150 130 100",
    "epochs,-params": "200 150 130 100",
    "name": "100 130 150 200",
    "macs": "100 130 150 200",
}


@pytest.mark.parametrize("sort", SORTS)
def test_sorting(sort):
    """A key sorts upwards, with `-` downwards; the next key breaks ties; the unknown comes last."""
    assert _names("", sort=sort) == SORTS[sort]
    assert _names("", sort="-macs", measured=LOCK) == "130 100 150 200"


MISTAKES = {
    "top1>": 5,
    "tpo1>3": 0,
    "top1>79 parms<3": 8,
    "(top1>3": 0,
    "top1>3)": 6,
    "name>3": 4,
    "params<10Q": 9,
    "rexnet": 0,
    "top1>x": 5,
    "top1>79 and": 11,
    "or top1>79": 0,
    ">79": 0,
    "top1>79 & name:a": 8,
    "()": 1,
    "not": 3,
    "(" * 80 + "top1>1" + ")" * 80: 51,
}


@pytest.mark.parametrize("query", MISTAKES)
def test_a_mistake_is_pointed_at(query):
    """The caret stands under the first character of what is wrong."""
    with pytest.raises(UsageError) as caught:
        judge(MODELS, query)
    *_, shown, caret = str(caught.value).split("\n")

    assert shown == f"  {query}"
    assert caret == " " * (2 + MISTAKES[query]) + "^"


@pytest.mark.parametrize("query", RESULT_QUERIES)
def test_a_number_is_asked_of_a_data_set_and_a_split(query, read):
    """A bare metric is of the model's own first data set, else of the one named with it or beside it."""
    picked = select(read(RESULTS).models, query)

    assert " ".join(entry.name for entry in picked) == RESULT_QUERIES[query]


def test_what_was_measured_comes_before_the_claim_of_its_own_place(read):
    """A run in the lock counts for the data set and split that it was on, and for no other."""
    run = MeasuredEvaluation(
        record_sha256="e" * 64, dataset="Pets", split="test", images=100, top1_count=95, top5_count=99
    )
    lock = Lock(models={name: Measured(evaluations=(run,)) for name in ("net", "cat", "bare")})
    models = read(RESULTS).models
    numbers = {entry.name: find_number(entry, "top1", lock) for entry in models}
    assert numbers == {"net": Decimal("77.86"), "cat": 99, "box": None, "fast": None, "bare": 95}
    sort = [entry.name for entry in select(models, "", sort="-top1@pets/test,-top5", measured=lock)]
    assert sort == ["cat", "bare", "net", "box", "fast"]
    assert len(select(models, "top1@pets/test=95 top5@pets/test=99", measured=lock)) == 3


#: What is typed elsewhere, or in another unit, where it is wrong, and what to write.
MEANT = {
    "top1=>79": (4, "write >="), "top1=<79": (4, "write <="), "top1==79": (4, "write ="),
    "top1<>79": (4, "write !="), "top1≥79": (4, "write >="), "top1 > = 79": (5, "write >="),
    "top1!79": (4, "write !="), "name=~a": (4, "write :"), "top1<>=79": (4, "there are <"),
    "top1>79 && params<10M": (8, "write 'and'"), "top1>79 | top5>9": (8, "write 'or'"),
    "top1>79, params<10M": (5, "side by side"), "params<10": (7, "write 10M"),
    "macs<400": (5, "write 400M"), "size<20": (5, "write 20M"), "top1>790": (5, "from 0 to 100"),
    "dropout>20": (8, "write 0.2, or 20%"), "params<10MB": (9, "no unit of params"),
    "top1>79M": (7, "no unit of top1"), "epochs>10%": (9, "no unit of epochs"),
    "size<10%": (7, "no unit of size"),
}  # fmt: skip


@pytest.mark.parametrize("query", MEANT)
def test_what_is_meant_is_said(query):
    """A wrong operator gets the right one, and a unit or number that cannot be meant one that can."""
    place, message = MEANT[query]
    with pytest.raises(UsageError) as caught:
        judge(MODELS, query)

    assert message in str(caught.value)
    assert str(caught.value).endswith("\n  " + " " * place + "^")


def test_a_fraction_may_be_a_percentage(read):
    """20% of a fraction is 0.2."""
    models = read("Models: [{Name: a, Metadata: {Dropout: 0.1}}, {Name: b, Metadata: {Dropout: 0.3}}]").models

    assert [entry.name for entry in select(models, "dropout<20%")] == ["a"]


def test_any_field_is_a_column(read, monkeypatch, capsys):
    """Whatever a model states can be shown, as text, as CSV and as JSON; what nobody has is no name."""
    index = read(
        "Models:\n- Name: a\n  Code: https://a.b/c\n  Paper: arXiv:1404.5997\n  Config: a, b\n"
        "  Metadata: {FPS (GPU): 120, Image Mean: [0.5, 0.4, 0.3], Odd Key: x, Epochs: 4}\n- Name: b\n"
    )
    monkeypatch.setenv("REXNET_HUB_INDEX", str(index.models[0].location.file))
    columns = ["--columns", "name,code,paper,config,fps_gpu,image_mean,odd_key,epochs,sha256"]
    assert main(["list", *columns, "--csv"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head == "name,code,paper,config,fps_gpu,image_mean,odd_key,epochs,sha256"
    assert first == 'a,https://a.b/c,https://arxiv.org/abs/1404.5997,"a, b",120,"0.5, 0.4, 0.3",x,4,'
    assert second == "b" + 8 * ","
    assert main(["list", *columns, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["odd_key"] == "x"
    assert main(["list", "--columns", "odd_kee"]) == 2
    assert "no name that can be asked for" in capsys.readouterr().err


RESULT_MISTAKES = {
    "top1>0.79": (5, "percentage points: write 79, or 0.79% if so little is meant"),
    "top1@petz>90": (0, "no model has top1 on 'petz'. Did you mean 'pets'?"),
    "top1@birds>90": (0, "no model has top1 on 'birds'; the column `data set` of"),
    "params@pets<3": (0, "parameters is of no data set: ask for it without @pets"),
    "tpo1@pets>3": (0, "'tpo1@pets' is no name that can be asked for. Did you mean 'top1'"),
    "top1>79 top1@": (8, "is compared with nothing"),
}


@pytest.mark.parametrize("query", RESULT_MISTAKES)
def test_a_mistake_about_a_result_is_pointed_at(query, read):
    """A fraction for percentage points, a data set that nobody has and one that has no say are refused."""
    place, message = RESULT_MISTAKES[query]
    with pytest.raises(UsageError) as caught:
        select(read(RESULTS).models, query)

    assert message in str(caught.value)
    assert str(caught.value).endswith("\n  " + " " * place + "^")


def test_an_unknown_sort_key_is_refused():
    """A sort key that is no field is refused, with the nearest."""
    with pytest.raises(UsageError, match="Did you mean 'top1'"):
        select(MODELS, "", sort="-tpo1")


COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


#: Numbers that may be meant of each figure.
DRAWN = {
    name: numbers
    for names, numbers in (
        (("top1", "top5"), ["79.49", "94", "0"]),
        (("parameters", "file_size", "macs"), ["4800000", "3.05e7", "0"]),
        (("epochs", "warmup_epochs"), ["79.49", "400", "4800000"]),
    )
    for name in names
}


@st.composite
def queries(draw, depth=3):
    """Draw a query, and the same as a function of an entry by Kleene's three values."""
    if depth == 0 or draw(st.booleans()):
        name = draw(st.sampled_from(sorted(DRAWN)))
        sign = draw(st.sampled_from(sorted(COMPARE)))
        number = draw(st.sampled_from(DRAWN[name]))

        def compare(entry):
            found = find_number(entry, name, LOCK)
            return None if found is None else COMPARE[sign](Decimal(found), Decimal(number))

        return f"{name}{sign}{number}", compare
    word = draw(st.sampled_from(["and", "", "or", "not"]))
    (left, oracle), (right, other) = draw(queries(depth=depth - 1)), draw(queries(depth=depth - 1))
    if word == "not":
        return f"not ({left})", lambda entry: None if (v := oracle(entry)) is None else not v
    rank = {False: 0, None: 1, True: 2}
    better = max if word == "or" else min

    def combine(entry):
        return better(oracle(entry), other(entry), key=lambda verdict: rank[verdict])

    return f"({left}) {word} ({right})", combine


@settings(max_examples=150, deadline=None)
@given(queries())
def test_any_query_is_judged_as_kleene_has_it(drawn):
    """Any nesting of and, or and not is judged by three values: the oracle takes minimum and maximum."""
    text, oracle = drawn
    assert judge(MODELS, text, LOCK) == [oracle(entry) for entry in MODELS]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text("top1>=79 ()andornotname:*'\"<!", max_size=30))
def test_any_text_is_a_query_or_a_usage_error(text):
    """Whatever is typed is parsed or refused with a caret inside or right after the text."""
    try:
        judge(MODELS, text)
        pointed = "^"
    except UsageError as error:
        pointed = str(error)
    assert pointed.endswith("^")


def matches(pattern, text):
    """Ask whether a model of this name meets `name:pattern`."""
    return judge([replace(MODELS[0], name=text)], f'name:"{pattern}"') == [True]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a*B", "A, any text, b", True),
        ("a?b", "a-b", True),
        ("a?b", "ab", False),
        ("a*", "ba", False),
        ("[ab]", "a", False),
        ("[!a]*", "[!a] and more", True),
    ],
)
def test_a_pattern_knows_two_signs(pattern, text, expected):
    """`*` is any text and `?` one character, in any case of letters; a bracket means itself."""
    assert matches(pattern, text) == expected


def test_a_pattern_of_many_stars_is_quick():
    """A pattern that makes a backtracking matcher run for years is refused at once."""
    assert not matches("*a" * 60 + "b", "a" * 400)


def test_pareto_is_what_no_other_beats():
    """The front equals the one of the definition, on random numbers with ties and gaps."""
    import random

    chance = random.Random(3)
    for _ in range(50):
        lines = []
        for number in range(12):
            top1 = (
                ""
                if chance.random() < 0.1
                else f"Results: [{{Task: t, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: {chance.randint(70, 76)}}}}}]"  # noqa: E501
            )
            params = "" if chance.random() < 0.1 else f"Parameters: {chance.randint(1, 6) * 1000}"
            lines.append(f"{{Name: m{number}, Metadata: {{{params}}}, {top1}}}")
        models = _read_flow(lines)
        known = [(e, find_number(e, "top1"), find_number(e, "parameters")) for e in models]
        known = [row for row in known if None not in row]
        front = {
            e.name
            for e, good, cost in known
            if not any((g > good and c <= cost) or (g >= good and c < cost) for _, g, c in known)
        }
        assert {entry.name for entry in pareto(models, "top1", "params")} == front


def _read_flow(lines):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.yml"
        file.write_text(f"Models: [{', '.join(lines)}]")
        return load_index(file).models
