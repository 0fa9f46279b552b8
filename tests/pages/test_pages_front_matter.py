"""An entry and the Hub's card metadata say the same to each other, by the Hub's own classes."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
import yaml
from entries import SEEDS
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st

from rexnet_hub.cli import main
from rexnet_hub.index import load_index
from rexnet_hub.index.reading.hub_metadata import read_front_matter
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.front_matter import front_matter

MODELS = load_index(SEEDS).models


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_front_matter_is_what_the_hubs_own_class_makes(entry):
    """For every model, ModelCardData of the same facts gives the same metadata, in the card too."""
    shared = {
        "task_type": "image-classification",
        "task_name": "Image Classification",
        "dataset_type": "imagenet-1k",
        "dataset_name": "ImageNet-1k",
        "dataset_split": "validation",
        "source_name": "timm's results-imagenet.csv, 2021-01-03",
        "source_url": entry.results[0].snapshots[0].url,
        "metric_type": "accuracy",
    }
    top1, top5 = (float(entry.metric(name).value) for name in ("top1", "top5"))
    oracle = ModelCardData(
        license="mit",
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "transformers", "rexnet_hub"],
        datasets=["imagenet-1k"],
        metrics=["accuracy"],
        model_name=entry.name,
        eval_results=[
            EvalResult(**shared, metric_name="Top 1 Accuracy", metric_value=top1),
            EvalResult(**shared, metric_name="Top 5 Accuracy", metric_value=top5, metric_args={"top_k": 5}),
        ],
    )
    assert front_matter(entry) == oracle.to_dict()
    assert ModelCard(render_card(entry)).data.to_dict() == oracle.to_dict()
    assert not any(result.verified or result.verify_token for result in oracle.eval_results)


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_our_own_card_gives_the_entry_back(entry, read):
    """Each field that a card has room for comes back as the entry has it, and is written again."""
    index = read(render_card(entry), file="README.md")
    (back,) = index.models
    (ours,), (theirs,) = entry.results, back.results

    assert index.problems == ()
    assert (back.name, back.license.value) == (entry.name, entry.license.value)
    assert back.value("training_data") == entry.value("training_data") == ("ImageNet",)
    assert back.value("tasks") == entry.value("tasks") == ("Image Classification",)
    assert (theirs.task, theirs.dataset, theirs.split.value) == (ours.task, ours.dataset, ours.split.value)
    for name in ("top1", "top5"):
        assert back.metric(name).value == entry.metric(name).value
        assert back.metric(name).label == entry.metric(name).label
    assert set(theirs.metrics) == set(ours.metrics)
    assert theirs.extra["source_url"].value == ours.snapshots[0].url
    assert front_matter(back) == front_matter(entry)


def test_the_commands_read_our_own_card(tmp_path, monkeypatch, capsys):
    """`validate` finds nothing wrong in our card, and `list` shows its accuracies in places of the page."""
    (tmp_path / "README.md").write_text(render_card(MODELS[1]))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "README.md"))
    assert main(["validate", "--strict", str(tmp_path / "README.md")]) == 0
    capsys.readouterr()
    assert main(["list", "top1>79", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["top1_percent"], row["top5_percent"]) == ("rexnet_130", 79.49, 94.67)
    assert row["license"] == "MIT"


def test_values_keep_their_place_in_the_card(read):
    """A claim of a card is located in the page, line and column."""
    text = render_card(MODELS[1])
    claim = read(text, file="README.md").models[0].metric("top1")
    assert text.splitlines()[claim.location.line - 1][claim.location.column - 1 :] == "79.49"


def test_every_percent_keeps_its_two_places():
    """Each of the 10001 percentages with two places is the float that prints as it."""
    assert 79.49 / 100 != 0.7949
    for number in range(10001):
        points = Decimal(number).scaleb(-2)
        assert Decimal(repr(float(points))) == points


#: A claim of the entry -> what it is changed to; the card must say the change, and give it back.
CHANGES = {
    "licence": lambda e: replace(e, license=e.license._replace(value="Apache-2.0")),
    "top1": lambda e: with_result(e, metrics={"top1": with_value(e.metric("top1"), Decimal("12.34"))}),
    "top5": lambda e: with_result(e, metrics={"top5": with_value(e.metric("top5"), Decimal("56.7"))}),
    "dataset": lambda e: with_result(e, dataset="cifar100"),
    "split": lambda e: with_result(e, split=e.results[0].split._replace(value="test")),
    "task": lambda e: with_result(e, task="Image Feature Extraction"),
    "name": lambda e: replace(e, name="another"),
    "training data": lambda e: replace(
        e, metadata={**e.metadata, "training_data": with_value(e.metadata["training_data"], ("a/b",))}
    ),
}


def with_value(claim, value):
    return claim._replace(value=value, text=str(value))


def with_result(entry, **changes):
    return replace(entry, results=(entry.results[0]._replace(**changes),))


def fields(entry):
    """List what a card can say of an entry."""
    (result,) = entry.results
    return {
        "licence": entry.license.value,
        "dataset": result.dataset,
        "split": result.split.value,
        "task": result.task,
        "name": entry.name,
        "training data": entry.value("training_data"),
        **{name: claim.value for name, claim in result.metrics.items()},
    }


@pytest.mark.parametrize("change", CHANGES)
def test_each_field_that_changes_is_written_and_read(change, read):
    """Another licence, number, data set, split, task or name is another card, and comes back as it was."""
    entry = CHANGES[change](MODELS[0])
    text = render_card(entry)
    (back,) = read(text, file="README.md").models
    assert fields(back) == fields(entry) != fields(MODELS[0])
    assert ModelCard(text).data.to_dict() == front_matter(entry) != front_matter(MODELS[0])


WORDS = st.text("abcdefgh", min_size=1, max_size=6)
MAYBE = st.none() | WORDS
RESULTS = st.builds(
    EvalResult,
    task_type=WORDS.map(lambda text: f"{text}-x"),
    dataset_type=WORDS | st.just("imagenet-1k"),
    dataset_name=WORDS.map(str.title) | st.just("ImageNet-1k"),
    metric_type=st.sampled_from(["accuracy", "f1", "wer"]),
    metric_value=st.integers(0, 10000).map(lambda number: float(Decimal(number).scaleb(-2))),
    task_name=MAYBE,
    dataset_config=MAYBE,
    dataset_split=MAYBE,
    dataset_revision=st.none() | st.text("0123456789abcdef", min_size=40, max_size=40),
    dataset_args=st.none() | st.dictionaries(WORDS, WORDS | st.integers(0, 9), min_size=1, max_size=2),
    metric_name=WORDS.map(lambda text: f"Metric {text}"),
    source_url=WORDS.map(lambda text: f"https://example.org/{text}"),
    source_name=MAYBE,
)


@pytest.fixture(scope="module")
def card_file(tmp_path_factory):
    """A file for a card."""
    return tmp_path_factory.mktemp("card") / "README.md"


@settings(max_examples=150, deadline=None)
@given(RESULTS)
def test_a_result_of_the_hub_survives_the_way_through_an_entry(card_file, result):
    """Whatever the Hub's own record says of one metric comes back equal from an entry."""
    data = ModelCardData(model_name="m", eval_results=[result])
    card_file.write_text(str(ModelCard(f"---\n{data.to_yaml()}\n---\n# Hello\n")))
    (entry,) = load_index(card_file).models
    name, (back,) = model_index_to_eval_results(front_matter(entry)["model-index"])

    expected = dict(vars(result))
    if expected["task_name"] is None:  # An entry has one word for a task: its name, made from the id.
        expected["task_name"] = back.task_name
        assert back.task_name.lower().replace(" ", "-") == result.task_type
    assert (name, vars(back)) == ("m", expected)


CARD = """\
---
model-index:
- name: net
  results:
  - task: {type: image-classification}
    dataset: {type: imagenet-1k, name: ImageNet}
    metrics:
    - {type: accuracy, value: 77.86}
---
"""


def test_metrics_that_the_hub_refuses_are_an_error_at_their_line(read, codes):
    """Metrics as a mapping crash the Hub's reader: an error at its place; the number is still read."""
    bad = CARD.replace("    metrics:\n    - {", "    metrics: {")
    index = read(bad, file="README.md")

    assert codes(index) == ["hub-metadata"]
    assert (index.problems[0].location.line, index.problems[0].severity) == (7, "error")
    assert index.models[0].metric("top1").value == Decimal("77.86")
    with pytest.raises(TypeError):
        model_index_to_eval_results(yaml.safe_load(bad.split("---")[1])["model-index"])


def test_a_key_that_the_hub_ignores_is_an_error_with_its_fix(read, codes):
    """`model_index` is read by nobody on the Hub: an error at its line, and the one right key as its fix."""
    bad = CARD.replace("model-index", "model_index")
    index = read(bad, file="README.md")

    assert codes(index) == ["hub-metadata"]
    assert (index.problems[0].location.line, index.problems[0].fix.new) == (2, "model-index")
    assert getattr(ModelCard(bad).data, "eval_results") is None  # noqa: B009 - of a subclass
    file = index.problems[0].location.file
    assert main(["validate", "--fix", str(file)]) == 0
    assert file.read_text() == CARD


BAD = {
    "two models": "---\nmodel-index: [{name: a, results: []}, {name: a, results: []}]\n---\n",
    "no name": "---\nmodel-index: [{name: '', results: []}]\n---\n",
    "not a number": CARD.replace("77.86", "good"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_card_that_is_wrong_is_refused(case, read):
    """A wrong value, a model without a name and a name that stands twice are errors."""
    assert read(BAD[case], file="README.md").errors


def test_nothing_is_invented(read):
    """An entry that claims nothing says nothing but what loads it; of an unknown network not even that."""
    known, unknown = read("Models: [{Name: rexnet_100}, {Name: a}]").models
    assert set(front_matter(known)) == {"library_name", "pipeline_tag", "tags"}
    assert front_matter(unknown) == {"tags": ["rexnet_hub"]}


HOSTILE = {
    "no YAML": "license: [",
    "deep": "a: " + "[" * 50_000,
    "many times more": "a: &a [x, x]\nb: &b [*a, *a]\nlicense: mit",
    "long": "license: mit\n" + "a: b\n" * 30_000,
    "no mapping": "- license",
    "a tag": "license: !!python/name:os.system x",
    "a control character": "license: \x07",
}


@pytest.mark.parametrize("block", HOSTILE)
def test_hostile_metadata_is_none(block):
    """Metadata that somebody else wrote is read in bounds, or not at all."""
    assert read_front_matter(f"---\n{HOSTILE[block]}\n---\n# text") == {}
    assert read_front_matter("# text") == read_front_matter("---\n") == {}
    assert read_front_matter("---\nlicense: mit\n---\n") == {"license": "mit"}


def test_numbers_without_end_and_dates_that_are_none_are_text():
    """What PyYAML would compute, or fail to, stays the text that it is."""
    long = "1" + ":59" * 30_000
    read = read_front_matter(f"---\nlicense: mit\ndate: 2024-13-45\na: {long}\n---\n")
    assert read == {"license": "mit", "date": "2024-13-45", "a": long}


#: But U+0085, which PyYAML loses itself: `safe_load` of its own `safe_dump` gives a space.
LETTERS = st.characters(codec="utf-8", exclude_characters="\x85")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(-1e30, 1e30)
    | st.text(LETTERS, max_size=12)
)
TREES = st.dictionaries(
    st.text("ab_-", min_size=1, max_size=9), SCALARS | st.lists(SCALARS, max_size=3), max_size=4
)


@settings(deadline=None)
@given(TREES)
def test_what_pyyaml_writes_is_read_back(tree):
    """Plain values of any kind come back as PyYAML wrote them."""
    text = yaml.safe_dump(tree, allow_unicode=True)
    assert read_front_matter(f"---\n{text}---\n") == tree


def test_a_table_with_another_number_is_no_source():
    """Metadata names the first table that states the number, or rounds to it; where none does, no source."""
    (entry,) = (entry for entry in MODELS if entry.name == "rexnet_150")
    (result,) = entry.results
    origin, later = result.snapshots  # 80.310 and 80.322 of 80.31

    def sources(*tables):
        (row,) = front_matter(replace(entry, results=(result._replace(snapshots=tables),)))["model-index"][0][
            "results"
        ]
        return row.get("source", {}).get("url")

    assert sources(origin, later) == origin.url
    assert sources(later, origin) == origin.url
    assert sources(later) is None
