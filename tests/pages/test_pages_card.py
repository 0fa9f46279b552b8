"""A card is valid for the Hub, says what the site says, and its snippets run."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from entries import INPUT
from hostile_index import lock  # noqa: F401

from rexnet_hub.pages.card import derive_card, render_card
from rexnet_hub.pages.facts import list_facts, list_siblings
from rexnet_hub.pages.families import MOST_SIBLINGS, find_obstacle, is_in_timm
from rexnet_hub.pages.site import render_site
from rexnet_hub.pages.snippets import find_place
from rexnet_hub.pages.text import markdown
from rexnet_hub.weights.digest import FileDigest


def front(card):
    return yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))


def test_no_card_has_two_empty_lines_together(zoo):
    """In the place of one of them anything would pass for a line that a person added."""
    cards = {entry.name: render_card(entry) for entry in zoo.models}
    assert [name for name, card in cards.items() if "\n\n\n" in card] == []


def test_numbers_of_card_and_page_are_the_same_to_the_digit(index, lock):  # noqa: F811
    """Every figure of the card's first table stands in the page's, with the same digits and sign."""
    pages = render_site(index.models, lock)
    for entry in index.models:
        card = render_card(entry, measured=lock.of(entry.name))
        figures, page = first_table(card), pages[f"models/{entry.name}.md"]
        assert len(figures) >= 6
        assert figures == first_table(re.sub(r'<abbr title="(.+?)">.+?</abbr>|</?[bis]>', r"\1", page))
        record = json.loads(pages[f"models/{entry.name}.json"])["figures"]
        assert record["parameters"]["as_published"] in card
        for metric in front(card)["model-index"][0]["results"][0]["metrics"]:
            assert f"{metric['value']:.2f} %" in card


def first_table(source):
    rows = re.findall(r"^\| ([\w -]+) \| ([^|]+) \|", source.split("\n## ")[0], re.MULTILINE)
    return {label: value for label, value in rows if label not in ("Figure", "---")}


def test_a_changed_claim_changes_the_card(entry):
    """A card cannot drift: another number in the entry is another number in front matter and body."""
    claim = entry.metadata["parameters"]._replace(value=1234567)
    changed = replace(entry, metadata={**entry.metadata, "parameters": claim})
    assert "1,234,567" in render_card(changed)
    assert "1,234,567" not in render_card(entry)


def test_the_card_says_what_the_hubs_badge_counts(entry):
    """The Hub counts other numbers than the card, which says so where the network is known here."""
    card, unknown = render_card(entry), entry.metadata["id"]._replace(value="nobody_1")

    assert "The Hub's badge says 9,790,735 parameters: it counts every number of the file" in card
    other = replace(entry, name="nobody_1", metadata={**entry.metadata, "id": unknown})
    assert "badge" not in render_card(other)


def test_a_stand_in_says_so_and_claims_no_accuracy(entry):
    """The card of random weights warns first and carries no result in its metadata."""
    card = render_card(entry, standin=True)
    assert card.index("Stand-in weights") < card.index("## Use it")
    assert "model-index" not in front(card)
    assert "metrics" not in front(card)


FLOWERS = """\
Models:
- Name: flowers
  In Collection: RexNet
  License: MIT
  Metadata:
    ID: rexnet_100
    Training Data: Oxford Flowers
    Num Classes: 37
    Labels: {labels}
    Image Size: 224
    Crop Pct: 0.875
    Interpolation: bicubic
    Image Mean: [0.485, 0.456, 0.406]
    Image Std: [0.229, 0.224, 0.225]
Collections:
- Name: RexNet
"""


@pytest.mark.parametrize(("labels", "shown"), [(True, "processor.labels["), (False, "int(logits.argmax())")])
def test_a_model_of_other_classes_is_not_said_to_know_imagenets(read, entry, labels, shown):
    """Of 37 flowers neither card nor page speaks of ImageNet; a label is printed where there is one."""
    text = FLOWERS.format(labels="flowers.txt")
    text = text if labels else text.replace("    Labels: flowers.txt\n", "")
    index = read(text, **{"flowers.txt": "".join(f"flower {number}\n" for number in range(37))})
    (flowers,) = index.models
    pages = render_site(index.models)
    for words in (render_card(flowers), pages["models/flowers.md"]):
        assert "ReXNet family" in words
        assert shown in words
        for wrong in ("ImageNet's 1,000 classes", "ImageNet gives", "crane", "checkpoint on ImageNet"):
            assert wrong not in words
    for words in ("ImageNet's 1,000 classes", "crane", "checkpoint on ImageNet", "processor.labels["):
        assert words in render_card(entry)


def test_digests_are_printed_whole_or_said_to_be_missing(entry):
    """A file's full digest stands on the card; without one the card says that none is recorded."""
    row = {"name": "model.safetensors", "size_bytes": 39000000, "sha256": 64 * "a"}
    card = render_card(entry, files=[row])
    assert f"- `model.safetensors`: 39,000,000 bytes, SHA-256 `{64 * 'a'}`\n" in card
    assert "Digests are not recorded yet." in render_card(entry)


LOADED = re.compile(r'(?:from_pretrained|create_model)\("(?:hf-hub:|local-dir:)?([^"]+)"')


def test_every_line_of_a_card_is_of_its_own_repo(zoo):
    """Snippets and commands name the repo on the Hub, else the folder: a name alone is the index's."""
    loadable = [entry for entry in zoo.models if not find_obstacle(entry)]
    assert {is_in_timm(entry) for entry in loadable} == {True, False}
    for entry in loadable:
        for repo_id in (None, "someone/else"):
            card, own = render_card(entry, repo_id=repo_id), repo_id or f"./{entry.name}"
            named = re.findall(r"rexnet-hub (?:verify|evaluate|predict) (?:hf:)?([^\s`]+)", card)
            assert {*LOADED.findall(card), *named} == {own}, entry.name
            assert find_place(card) == repo_id


def test_each_number_of_the_evidence_leads_to_its_notes(zoo):
    """Three columns: every published value cites a note that says who states it; no note is left uncited."""
    for entry in zoo.models:
        table, _, rest = (
            render_card(entry).partition("## Where the numbers come from\n\n")[2].partition("\n\n")
        )
        notes = dict(re.findall(r"^(\d+)\. (.+)$", rest.split("\n\n")[0], re.MULTILINE))
        rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
        assert {len(row) for row in rows} == {3}
        cited = re.findall(r" \[([\d, ]+)\]", table)
        assert (
            [*dict.fromkeys(", ".join(cited).split(", "))]
            == [*notes]
            == [str(n + 1) for n in range(len(notes))]
        )
        values = [value for row in rows[2:] for value in row[1].split(", ") if value != "not stated"]
        for value in values:
            (number,) = re.findall(r" \[(\d+)\]$", value)
            assert notes[number].startswith(("[", "the model index")), value
        stated = {fact.label: fact for fact in list_facts(entry)}
        assert {row[0]: row[1].count("[") for row in rows[2:]} == {
            markdown(label): len(fact.published)
            for label, fact in stated.items()
            if fact.standing or fact.command
        }


def test_a_card_leads_to_paper_code_features_and_siblings(zoo):
    """What a reader of the Hub looks for: links above, features and embedding, the family as published."""
    entry = zoo.find("rexnet_150")
    card = render_card(entry, repo_id="org/rexnet_150")
    above, _, below = card.partition("| Figure |")
    assert (
        "- Paper: [Rethinking Channel Dimensions for Efficient Model Design](https://arxiv.org/abs/2007.00992)"
        in above
    )
    assert "- Code of the network: [timm's rexnet.py, b9843f95](https://github.com/" in above
    for library in ("rexnet_hub", "timm", "transformers"):
        assert f"### Feature maps and embedding, with {library}\n" in below
    rows = below.partition("## Among its siblings")[2].split("\n## ")[0].splitlines()
    assert "| [rexnet_100](https://huggingface.co/timm/rexnet_100.nav_in1k) | 77.86 % | 4,800,000 |" in rows
    assert (
        "| **[rexnet_150](https://huggingface.co/timm/rexnet_150.nav_in1k)** | 80.31 % | 9,730,000 |" in rows
    )
    assert "| rexnet_200 | 81.63 % | 16,370,000 |" in rows
    assert len([row for row in rows if row.startswith("| ")]) == 2 + MOST_SIBLINGS
    assert "## Among its siblings" not in render_card(replace(entry, siblings=(entry,)))


def test_a_siblings_accuracy_says_what_it_is_of_where_that_is_something_else(zoo):
    """Accuracies stand in one column; one that is of another data set than the card's model's says so."""
    plain, other = (list_siblings(zoo.find(f"rexnetr_200.sw_in12k{tail}")) for tail in ("_ft_in1k", ""))
    texts = [[row[2] for row in rows if row[0].startswith("rexnet_lite")] for rows in (plain, other)]
    assert texts[1] == [f"{text} on ImageNet/validation" for text in texts[0]]
    assert [row[2] for row in other if row[0] == "rexnetr_200.sw_in12k"] == ["not stated"]


def test_a_model_that_came_later_makes_no_card_false(read):
    """A card is compared with the siblings that it names; a number of one of them that changed is found."""
    rest = f"    Num Classes: 9\n{INPUT}"
    one, two = (
        f"- Name: rexnet_{size}\n  In Collection: C\n  Metadata:\n    Parameters: {size}\n" + rest
        for size in (100, 130)
    )
    third = one.replace("rexnet_100", "rexnet_150")
    weights = FileDigest(size_bytes=1, sha256=64 * "a")

    def derive(*models, like=None):
        (entry, *_) = read("Collections:\n- Name: C\nModels:\n" + "".join(models)).models
        return derive_card(entry, weights, measured=None, standin=False, repo_id=None, like=like)

    alone, pair = derive(one), derive(one, two)
    assert "rexnet_130" in pair
    assert "rexnet_150" in derive(one, two, third)
    assert derive(one, two, like=alone) == alone
    assert derive(one, two, third, like=pair) == pair
    assert derive(one, two.replace("130\n", "131\n"), like=pair) != pair


def test_a_sibling_that_was_withdrawn_is_none(read):
    """It stands on no other model's card."""
    models = [f"- Name: rexnet_{size}\n  In Collection: C\n" for size in (100, 130, 150)]
    (entry, *_) = read(
        "Collections:\n- Name: C\nModels:\n" + "".join(models) + "  Withdrawn: broken\n"
    ).models
    assert "rexnet_130" in (card := render_card(entry))
    assert "rexnet_150" not in card
