"""An entry and the Hub's card metadata say the same to each other, by the Hub's own reader."""

from decimal import Decimal

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index import load_index
from rexnet_hub.index.cardmeta import from_card_metadata, to_card_metadata

MODELS = load_index().models


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_the_hub_reads_what_the_entry_says(entry):
    """ModelCardData takes the metadata without complaint, with the same numbers in percentage points."""
    metadata = to_card_metadata(entry)
    card = ModelCardData(**metadata)
    top1, top5 = card.eval_results

    assert card.model_name == entry.name
    assert (card.license, card.pipeline_tag, card.datasets) == (
        "mit",
        "image-classification",
        ["imagenet-1k"],
    )
    assert Decimal(repr(top1.metric_value)) == entry.metric("top1").value
    assert Decimal(repr(top5.metric_value)) == entry.metric("top5").value
    assert (top1.metric_type, top5.metric_type, top5.metric_args) == ("accuracy", "accuracy", {"top_k": 5})
    assert (top1.dataset_type, top1.dataset_name, top1.dataset_split) == (
        "imagenet-1k",
        "ImageNet",
        "validation",
    )
    assert not any(result.verified or result.verify_token for result in card.eval_results)


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_an_entry_survives_the_way_through_a_card(entry):
    """What both can say comes back: name, licence, data, task, split and each metric's exact value."""
    text = yaml.safe_dump(to_card_metadata(entry), sort_keys=False)
    back = from_card_metadata(yaml.safe_load(text))

    assert (back.name, back.license.value) == (entry.name, entry.license.value)
    assert back.value("training_data") == entry.value("training_data")
    (ours,), (theirs,) = entry.results, back.results
    assert (theirs.task, theirs.dataset, theirs.split.value) == (ours.task, ours.dataset, ours.split.value)
    assert {name: c.value for name, c in theirs.metrics.items()} == {
        name: c.value for name, c in ours.metrics.items()
    }
    assert to_card_metadata(back) == to_card_metadata(entry)


def test_every_percent_keeps_its_two_places():
    """Each of the 10001 percentages with two places is the float that prints as it."""
    assert 79.49 / 100 != 0.7949
    for number in range(10001):
        points = Decimal(number).scaleb(-2)
        assert Decimal(repr(float(points))) == points


def test_a_card_of_a_repo_is_an_index(read):
    """A README with card metadata is read as a model, with places in the page."""
    text = str(ModelCard(f"---\n{ModelCardData(**to_card_metadata(MODELS[1])).to_yaml()}\n---\n# Hello\n"))
    index = read(text, file="README.md")
    claim = index.models[0].metric("top1")

    assert index.problems == ()
    assert text.splitlines()[claim.location.line - 1][claim.location.column - 1 :] == "79.49"
    assert (index.models[0].license.value, index.models[0].value("training_data")) == ("MIT", ("ImageNet",))


WORDS = st.text("abcdefgh", min_size=1, max_size=6)
MAYBE = st.none() | WORDS
RESULTS = st.builds(
    EvalResult,
    task_type=WORDS.map(lambda text: f"{text}-x"),
    dataset_type=WORDS,
    dataset_name=WORDS.map(str.title),
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


@settings(max_examples=150, deadline=None)
@given(RESULTS)
def test_a_result_of_the_hub_survives_the_way_through_an_entry(result):
    """Whatever the Hub's own record says of one metric comes back equal from an entry."""
    metadata = ModelCardData(model_name="m", eval_results=[result]).to_dict()
    name, (back,) = model_index_to_eval_results(to_card_metadata(from_card_metadata(metadata))["model-index"])

    expected = dict(vars(result))
    if expected["task_name"] is None:  # An entry has one word for a task: its name, made from the id.
        expected["task_name"] = back.task_name
        assert back.task_name.lower().replace(" ", "-") == result.task_type
    assert (name, vars(back)) == ("m", expected)


BAD = {
    "no model index": {},
    "two models": {"model-index": [{"name": "a", "results": []}, {"name": "b", "results": []}]},
    "no name": {"model-index": [{"results": []}]},
    "not a number": {"model-index": [{"name": "a", "results": [{"task": {"type": "image-classification"}, "dataset": {"type": "x", "name": "x"}, "metrics": [{"type": "accuracy", "value": "good"}]}]}]},  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_card_of_no_one_model_is_refused(case):
    """A card without a model, with two, or with a wrong value is an error of ours."""
    with pytest.raises(IndexReadError):
        from_card_metadata(BAD[case])


def test_nothing_is_invented():
    """An entry that claims nothing says nothing but its name."""
    entry = from_card_metadata({"model-index": [{"name": "a", "results": []}]})

    assert to_card_metadata(entry) == {"model-index": [{"name": "a", "results": []}]}
