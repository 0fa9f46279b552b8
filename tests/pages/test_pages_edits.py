"""Cards are merged: all lines of ours stand, people's stay where they put them, and a conflict says so."""

import random
import subprocess

import pytest
import yaml
from huggingface_hub import ModelCard

from rexnet_hub.pages.edits import MAX_LINES, mark_added, merge_cards, remove_added

OURS = """\
---
license: mit
library_name: timm
tags:
- image-classification
- timm
model-index:
- name: small
  results:
  - task:
      type: image-classification
    dataset:
      name: ImageNet-1k
      type: imagenet-1k
    metrics:
    - type: accuracy
      value: 77.86
      name: Top 1 Accuracy
---

# small

Our first words.

| Top-1 | 77.86 % |

## Licence

MIT.
"""
NEW = OURS.replace("77.86", "78.5")
FLOWERS = {
    "task": {"type": "image-classification"},
    "dataset": {"name": "Flowers", "type": "flowers"},
    "metrics": [{"type": "accuracy", "value": 0.9}],
}


def people(card, **fields):
    """Write a card's metadata as the Hub's client does, in its own layout, after people changed fields."""
    made = ModelCard(card)
    for name, value in fields.items():
        made.data[name] = value
    return str(made)


def stands_in(part, whole):
    """Whether all lines of a text stand in another, in their order: the definition, and no diff."""
    lines = iter(whole.split("\n"))
    return all(line in lines for line in part.split("\n"))


def test_what_people_wrote_stays_where_it_stands():
    """A paragraph, a line between two of ours that change, and one at the end; our new number is there."""
    there = (
        OURS.replace("Our first words.\n", "Our first words.\n\nTheir words.\n")
        .replace("| Top-1 | 77.86 % |\n", "| Top-1 | 77.86 % |\n| Flowers | 90 % |\n")
        .replace("MIT.\n", "MIT.\n\n## Who uses it\n\nWe do.\n")
    )
    merge = merge_cards(OURS, there, NEW)
    assert merge.text == there.replace("77.86", "78.5")
    assert merge.conflicts == ()
    assert merge.added == ("Their words.", "| Flowers | 90 % |", "## Who uses it", "We do.")
    again = merge_cards(NEW, merge.text, NEW)
    assert (again.text, again.conflicts) == (merge.text, ())


def test_fields_and_items_of_people_stay_in_a_card_that_the_hub_takes():
    """A tag, a language and a result more, in the client's layout; what is merged loads with the client."""
    index = yaml.safe_load(OURS.split("---")[1])["model-index"]
    card = OURS.replace("license: mit\n", "license: mit\n# See the form.\nlanguage:\n    - en # and more\n")
    there = people(card.replace("# See the form.\n", ""), tags=["image-classification", "timm", "flowers"])
    index[0]["results"].append(FLOWERS)
    front = yaml.safe_load(there.split("---")[1]) | {"model-index": index}
    there = f"---\n{yaml.safe_dump(front, indent=4)}---{there.split('---', 2)[2]}"
    merge = merge_cards(OURS, there, NEW)
    assert merge.conflicts == ()
    assert stands_in(NEW, merge.text)
    assert [row.partition(":")[0] for row in merge.added] == ["tags", "Flowers", "language"]
    data = yaml.safe_load(merge.text.split("---")[1])
    assert (data["tags"], data["language"]) == (["image-classification", "timm", "flowers"], ["en"])
    assert [each["metrics"][0]["value"] for each in data["model-index"][0]["results"]] == [78.5, 0.9]
    assert ModelCard(merge.text).data.to_dict()["model-index"] == data["model-index"]
    assert merge_cards(OURS, card, NEW).text.count("# See the form.\nlanguage:\n    - en # and more\n") == 1


#: What people wrote into the metadata, before `library_name`, and how it stands there afterwards.
WRITTEN = {
    "a comment": ("# Theirs.\n", "# Theirs.\n"),
    "a comment in a list": ("language:\n- en # and more\n", "language:\n- en # and more\n"),
    "nothing": ("language:\n", "language:\n"),
    "Norwegian": ("language: [no, 012]\n", "language: [no, 012]\n"),
    "a block": ("prompt: |\n  # Say yes\n\n  agree: yes\n", "prompt: |\n  # Say yes\n\n  agree: yes\n"),
    "text of two lines": ('prompt: "one\ntwo"\n# of\n', 'prompt: "one\ntwo"\n'),
    "brackets": ("widget: [\n{a: 1},\n]\n", "widget: [\n{a: 1},\n]\n"),
    "a date": ("day: 2024-01-02\n", "day: 2024-01-02\n"),
}


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("case", WRITTEN)
def test_metadata_of_people_stays_as_written(case, bom):
    """Comments, empty fields and every layout stay line by line, also in a file with a byte order mark."""
    put, stands = WRITTEN[case]
    there = bom + OURS.replace("library_name", f"{put}library_name", 1)
    merge = merge_cards(OURS, there, NEW)
    assert merge.conflicts == ()
    assert f"\n{stands}" in merge.text
    assert merge.added
    assert remove_added(merge.text, mark_added(NEW, merge.text)) == NEW
    assert merge_cards(NEW, merge.text, NEW).text == merge.text


def test_comments_on_fields_of_ours_stay():
    """They stand before the field, which keeps our layout, or at the end; a `#` in a value is none."""
    there = OURS.replace("- timm\n", "- timm # theirs\n# more\n- 'C #'\n").replace("mit\n", "mit # MIT\n", 1)
    there = there.replace("Accuracy\n---", "Accuracy\n# The end.\n---").replace(
        "library", "# Whose?\nlibrary", 1
    )
    merge = merge_cards(OURS, there, NEW)
    assert (
        "---\n# MIT\nlicense: mit\n# Whose?\nlibrary_name: timm\n# theirs\n# more\ntags:\n- image-c"
        in merge.text
    )
    assert "- timm\n- 'C #'\nmodel-index:" in merge.text
    dropped = merge_cards(OURS, there, NEW.replace("library_name: timm\n", ""))
    assert dropped.text.count("\n# Whose?\n") == dropped.text.count("\n# The end.\n---") == 1
    assert merge_cards(NEW, merge.text, NEW).text == merge.text


def test_an_item_of_people_is_written_as_it_was():
    """In a list of ours an address keeps its token, and a word that YAML 1.1 takes for false stays a word."""
    ours = OURS.replace("license", "language:\n- en\nlicense", 1)
    url = "https://example.org/a.jpg?token=abc&expires=1"
    there = ours.replace("- en\n", "- en\n- no\n").replace("- timm\n", f"- timm\n- {url}\n")
    data = yaml.safe_load(merge_cards(ours, there, ours.replace("77.86", "78.5")).text.split("---")[1])
    assert (data["language"], data["tags"]) == (["en", "no"], ["image-classification", "timm", url])


def test_a_value_is_as_good_as_a_list_of_it():
    """The Hub takes either, so neither is a change; of two where we write one, it is."""
    for before, there in (("language:\n- en\n", "language: en\n"), ("language: en\n", "language: [en]\n")):
        ours, theirs = (OURS.replace("license", f"{text}license", 1) for text in (before, there))
        for base in (OURS, ours):
            assert merge_cards(base, theirs, ours) == merge_cards(ours, ours, ours)
    two = OURS.replace("license: mit", "license: [mit, bsd]")
    assert merge_cards(OURS, two, NEW).conflicts
    assert not merge_cards(OURS, OURS.replace("license", "language: en\nlicense", 1), NEW).conflicts


@pytest.mark.parametrize(
    "field", ["language: en\nlanguage: ko\n", "? [a, b]\n: c\n", "license: bsd\n", "? a\n: b\n"]
)
def test_metadata_that_cannot_be_taken_apart_is_a_stop(field):
    """A key that stands twice, is none, or not at the start of a line: which lines are ours nobody knows."""
    assert merge_cards(OURS, OURS.replace("library_name", f"{field}library_name", 1), NEW).conflicts


def test_a_copy_of_our_lines_is_a_paragraph():
    """People copied our table before ours: theirs keeps the old number, ours has the new one."""
    table = "| Top-1 | 77.86 % |\n"
    merge = merge_cards(OURS, OURS.replace(table, f"{table}| More | 1 % |\n\n{table}"), NEW)
    assert f"{table}| More | 1 % |\n\n| Top-1 | 78.5 % |\n\n## Licence" in merge.text


def test_one_line_for_two_who_changed_it_and_more_of_theirs():
    """They wrote our new number too, we changed another line, and they added one, which stays."""
    there = OURS.replace("77.86 %", "78.5 %").replace("MIT.\n", "MIT.\n\nTheirs.\n")
    merge = merge_cards(OURS, there, NEW.replace("Our first words.", "Our second words."))
    assert merge.conflicts == ()
    assert merge.text == NEW.replace("first", "second").replace("MIT.\n", "MIT.\n\nTheirs.\n")


def test_a_conflict_shows_where_the_texts_part():
    """In a long line it is the difference that is shown, and a space at a line's end is one."""
    long = OURS.replace("Our first words.", "word " * 200 + "end.")
    for old, new in ((long, long.replace("end.", "END.")), (OURS, OURS.replace("MIT.\n", "MIT. \n"))):
        (conflict,) = merge_cards(old, new, old).conflicts
        before, there = str(conflict).split(" there stands ")
        assert before.removeprefix("where we wrote ") != there.split(", and we write ")[0]


def test_another_layout_is_nobodys_change():
    """What the client writes anew without a change is no line of people."""
    front = yaml.safe_dump(yaml.safe_load(OURS.split("---")[1]), indent=4)
    there = f"---\n{front}---{OURS.split('---', 2)[2]}"
    assert front not in OURS
    assert merge_cards(OURS, there, NEW) == merge_cards(OURS, OURS, NEW)
    assert merge_cards(OURS, OURS, NEW).text == NEW
    assert merge_cards(OURS, f"\ufeff{OURS}", NEW) == merge_cards(OURS, OURS, NEW)


#: What people did to a line of ours, and what of it a conflict must show.
CONFLICTS = {
    "a number": (("| Top-1 | 77.86 % |", "| Top-1 | 79 % |"), "| Top-1 | 79 % |"),
    "a line less": (("Our first words.\n", ""), "no such line"),
    "a licence": (("license: mit", "license: apache-2.0"), "license: apache-2.0"),
    "a field less": (("library_name: timm\n", ""), "library_name: none"),
    "a tag less": (("- timm\n", ""), "tags: image-classification"),
    "a metric": (("value: 77.86", "value: 80"), "ImageNet-1k: Top 1 Accuracy: 80"),
    "verified": (("value: 77.86", "value: 77.86\n      verified: true"), "verified"),
    "no metadata": (("license: mit", "license: [mit"), "license: [mit"),
    "a broken field": (("license: mit", "license: mit\nlanguage: [en"), "metadata that cannot be read"),
    "a book": (("MIT.", "GPL.\n" * MAX_LINES), "GPL.\nGPL."),
}


@pytest.mark.parametrize("new", [OURS, NEW])
@pytest.mark.parametrize("case", CONFLICTS)
def test_what_people_changed_of_ours_is_a_conflict(case, new):
    """Whether ours changed too or not: what we wrote, what stands there and what we write now are shown."""
    (old, written), shown = CONFLICTS[case]
    there = OURS.replace(old, written, 1)
    assert there != OURS
    conflicts = merge_cards(OURS, there, new).conflicts
    assert conflicts
    assert shown in conflicts[0].there
    assert all(text in str(conflicts[0]) for text in (repr(conflicts[0].before), repr(conflicts[0].now)))


def test_what_both_sides_wrote_is_no_conflict():
    """People put the new number in first: nothing is lost, nothing stands twice."""
    there = OURS.replace("77.86 %", "78.5 %")
    merge = merge_cards(OURS, there, NEW)
    assert (merge.text, merge.conflicts, merge.added) == (NEW, (), ())
    both = merge_cards(OURS, people(OURS, language="en"), OURS.replace("license", "language: ko\nlicense", 1))
    assert [each.there for each in both.conflicts] == ["language: en"]
    dropped = OURS.replace("library_name: timm\n", "")
    assert merge_cards(OURS, OURS.replace("library_name: timm", "library_name: me"), dropped).conflicts
    assert merge_cards(OURS, OURS, dropped).text == dropped


def test_without_a_base_nothing_is_merged_and_all_is_named():
    """What may be ours is unknown: the card is ours, and what it lacks of the other is listed."""
    there = "---\nlicense: apache-2.0\ndatasets: [a/b]\n---\n# Theirs\n\nMIT.\nMIT.\n"
    merge = merge_cards(None, there, OURS)
    assert (merge.text, merge.conflicts) == (OURS, ())
    assert merge.added == ("datasets: a/b", "# Theirs", "MIT.", "license: apache-2.0")


def random_texts(seed):
    """Write a text of ours, one with lines of people in it, and a new one of ours; some lines stand twice."""
    draw = random.Random(seed)
    base = [draw.choice(["", "```", f"line {number}"]) for number in range(draw.randint(3, 30))]
    there, new = [], []
    for number, line in enumerate(base):
        there += [line] + [f"theirs {number}", ""] * (draw.random() < 0.2)
        new += [f"new {number}" if line and draw.random() < 0.2 else line] * (draw.random() < 0.95)
    return tuple("\n".join(["# card", *lines, "end", ""]) for lines in (base, there, new))


@pytest.mark.parametrize("seed", range(60))
def test_a_merge_loses_nothing_and_is_what_git_makes(seed, tmp_path):
    """All lines of ours stand and all of theirs, again is the same; where git merges too, to the same lines.

    Oracle: `git merge-file`, of which equal lines count where they stand.
    """
    base, there, new = random_texts(seed)
    merge = merge_cards(base, there, new)
    assert merge.conflicts == ()
    assert stands_in(new, merge.text)
    written = [line for line in there.split("\n") if line.startswith("theirs")]
    assert [line for line in merge.text.split("\n") if line.startswith("theirs")] == written
    assert list(merge.added) == written
    assert merge_cards(base, there, base).text == there
    again = merge_cards(new, merge.text, new)
    assert (again.text, again.conflicts) == (merge.text, ())
    assert remove_added(merge.text, mark_added(new, merge.text)) == new
    files = [tmp_path / name for name in ("new", "base", "there")]
    for file, text in zip(files, (new, base, there), strict=True):
        file.write_text(text)
    git = subprocess.run(["git", "merge-file", "-p", *files], capture_output=True, text=True, check=False)
    if git.returncode == 0:
        assert sorted(git.stdout.split("\n")) == sorted(merge.text.split("\n"))


def test_marks_are_of_a_card_in_which_ours_stands():
    """Where not all lines of ours stand nothing is marked, and nothing is taken out."""
    assert mark_added(OURS, OURS) == mark_added(OURS, OURS.replace("MIT.", "GPL.")) == ""
    assert remove_added(OURS, "") == OURS
    assert mark_added("a\nb\n", "x\na\ny\nz\nb\n") == "1-1 3-4"
