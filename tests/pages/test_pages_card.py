"""A card is valid for the Hub, says what the site says, and its snippets run."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hostile_index import lock  # noqa: F401
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import EvalResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexnet_hub.pages.card import front_matter, read_front_matter, render_card, yaml_lines
from rexnet_hub.pages.site import render_site


def front(card):
    return yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))


#: To Python 0.0 and -0.0 are one number, so either may be written for the other.
NUMBERS = st.integers() | st.floats(allow_nan=False).map(lambda number: number + 0.0)
ODD = st.sampled_from(["yes", "~", "1e3", "- a", "a: b", "# a", "...", "a...", "", " a ", "\x85", "a\nb"])
KEYS = st.text("ab_-:#", min_size=1, max_size=9)
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=12) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # time is not what is proved
@given(TREES)
def test_front_matter_of_any_shape_is_read_back(tree):
    """PyYAML reads what is laid out as the value that it was; printable, it is what PyYAML writes."""
    laid_out = "\n".join(yaml_lines(tree)) + "\n"
    assert yaml.safe_load(laid_out) == tree
    if isinstance(tree, dict | list) and laid_out.replace("\n", "").isprintable() and "\\" not in laid_out:
        options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 10**6}
        assert laid_out == yaml.dump(tree, Dumper=Unaliased, **options)


class Unaliased(yaml.SafeDumper):
    """PyYAML without `&id001` for a list that stands twice."""

    def ignore_aliases(self, data):
        """Say that nothing is repeated."""
        return True


def test_front_matter_is_what_the_hubs_own_class_makes(index):
    """For every model, ModelCardData of the same facts gives the same metadata."""
    for entry in index.models:
        result = entry.results[0]
        shared = {
            "task_type": "image-classification",
            "task_name": "Image Classification",
            "dataset_type": "imagenet-1k",
            "dataset_name": "ImageNet-1k",
            "dataset_split": "validation",
            "source_name": "timm results",
            "source_url": result.snapshots[0].url,
            "metric_type": "accuracy",
        }
        oracle = ModelCardData(
            license="mit",
            library_name="timm",
            pipeline_tag="image-classification",
            tags=["image-classification", "timm", "transformers", "rexnet_hub"],
            datasets=["imagenet-1k"],
            metrics=["accuracy"],
            model_name=entry.name,
            eval_results=[
                EvalResult(
                    **shared, metric_name="Top 1 Accuracy", metric_value=float(entry.metric("top1").value)
                ),
                EvalResult(
                    **shared,
                    metric_name="Top 5 Accuracy",
                    metric_value=float(entry.metric("top5").value),
                    metric_args={"top_k": 5},
                ),
            ],
        )
        assert front_matter(entry) == oracle.to_dict()
        assert ModelCard(render_card(entry)).data.to_dict() == oracle.to_dict()


def test_numbers_of_card_and_page_are_the_same_to_the_digit(index, lock):  # noqa: F811
    """Every figure of the card's first table stands in the page's first table, with the same digits."""
    pages = render_site(index.models, lock)
    for entry in index.models:
        card = render_card(entry, measured=lock.of(entry.name))
        figures = first_table(card)
        assert len(figures) >= 6
        assert figures == first_table(pages[f"models/{entry.name}.md"])
        record = json.loads(pages[f"models/{entry.name}.json"])["figures"]
        assert record["parameters"]["as_published"] in card
        for metric in front(card)["model-index"][0]["results"][0]["metrics"]:
            assert f"{metric['value']:.2f} %" in card


def first_table(source):
    rows = re.findall(r"^\| ([\w -]+) \| ([^|]+) \|", source.split("\n## ")[0], re.MULTILINE)
    return {label: value for label, value in rows if label not in ("Figure", "---")}


def test_a_changed_claim_changes_the_card(entry):
    """A card cannot drift: another number in the entry is another number in front matter and body."""
    claim = replace(entry.metadata["parameters"], value=1234567)
    changed = replace(entry, metadata={**entry.metadata, "parameters": claim})
    assert "1,234,567" in render_card(changed)
    assert "1,234,567" not in render_card(entry)


def test_a_stand_in_says_so_and_claims_no_accuracy(entry):
    """The card of random weights warns first and carries no result in its metadata."""
    card = render_card(entry, standin=True)
    assert card.index("Stand-in weights") < card.index("## Use it")
    assert "model-index" not in front(card)
    assert "metrics" not in front(card)


HOSTILE = {
    "no date": "license: mit\ndate: 2024-13-45",
    "deep": "a: " + "[" * 50_000,
    "a number without end": "license: mit\na: 1" + ":59" * 30_000,
    "many times more": "a: &a [x, x]\nb: &b [*a, *a]\nlicense: mit",
    "long": "license: mit\n" + "a: b\n" * 30_000,
    "no mapping": "- license",
    "no YAML": "license: [",
    "a tag": "license: !!python/name:os.system x",
}


@pytest.mark.parametrize("block", HOSTILE)
def test_hostile_metadata_is_none(block):
    """Metadata that somebody else wrote is read in bounds, or not at all."""
    assert read_front_matter(f"---\n{HOSTILE[block]}\n---\n# text") == {}
    assert read_front_matter("# text") == read_front_matter("---\n") == {}
    assert read_front_matter("---\nlicense: mit\n---\n") == {"license": "mit"}


def test_digests_are_printed_whole_or_said_to_be_missing(entry):
    """A file's full digest stands on the card; without one the card says that none is recorded."""
    row = {"name": "model.safetensors", "size_bytes": 39000000, "sha256": 64 * "a"}
    assert f"| `model.safetensors` | 39,000,000 | `{64 * 'a'}` |" in render_card(entry, files=[row])
    assert "Digests are not recorded yet." in render_card(entry)


def test_a_repo_on_the_hub_is_what_the_snippets_load(entry):
    """With a repo's id every library loads that; without, rexnet_hub loads by name and others a folder."""
    card = render_card(entry, repo_id="someone/rexnet_150")
    assert card.count('"someone/rexnet_150"') == 4
    assert '"hf-hub:someone/rexnet_150"' in card
    assert '"local-dir:rexnet_150"' in render_card(entry)
