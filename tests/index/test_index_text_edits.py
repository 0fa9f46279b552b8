"""An edit changes what it is asked to, and every other byte of the file stays."""

import json
from typing import Any

import pytest

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index import load_index
from rexnet_hub.index.text_edits import read_index_file, remove_model, set_value
from rexnet_hub.index.text_plans import Verbatim

TEXT = """\
# The zoo.
Models:
- Name: a   # the first
  In Collection: Pets
  Metadata: {LR: 0.50, Epochs: 4}   # short
  # of a

- Name: "b"
  Title: 'It''s b'  # quoted
  Metadata:
    Training Data:
    - ImageNet  # first
    # and
    - JFT
    Epochs: 4
  Description: |
    Two
    lines.
  Results:
  - Task: t
    Dataset: d
    Metrics: {Top 1 Accuracy: 79.50%}
  # of b
- Name: c
  Code:
# the end
Library: {Name: x}
"""

#: The model, the way to the value, the new value; what stands in the file for what stood there.
EDITS: dict[str, tuple[str, list[str | int], Any, str, str]] = {
    "a number keeps its digits": ("a", ["Metadata", "LR"], Verbatim("0.10"), "LR: 0.50", "LR: 0.10"),
    "quotes stay": ("b", ["Title"], "It's two", "'It''s b'  # q", "'It''s two'  # q"),
    "quotes where there must be": ("b", ["Results", 0, "Task"], "a: b", "Task: t", "Task: 'a: b'"),
    "a flow has commas": ("b", ["Results", 0, "Metrics", "Top 1 Accuracy"], "8, 1", "79.50%", "'8, 1'"),
    "another spelling": ("b", ["Metadata", "epochs"], 5, "    Epochs: 4", "    Epochs: 5"),
    "a new key of a model": ("a", ["License"], "mit", "# the first\n", "# the first\n  License: mit\n"),
    "a new key in a flow": ("a", ["Metadata", "ID"], "x", "Epochs: 4}", "Epochs: 4, ID: x}"),
    "a new key in a block": ("b", ["Metadata", "ID"], "x", "s: 4\n  D", "s: 4\n    ID: x\n  D"),
    "a new section": ("c", ["Metadata", "ID"], "x", "e: c\n", "e: c\n  Metadata:\n    ID: x\n"),
    "no value yet": ("c", ["Code"], "https://a.example/b", "Code:", "Code: https://a.example/b"),
    "a list for a list": (
        "b", ["Metadata", "Training Data"], ["A"], "    - ImageNet  # first\n    # and\n    - JFT\n",
        "    - A\n",
    ),
    "lines for lines": ("b", ["Description"], "One", "n: |\n    Two\n    lines.", "n: One"),
    "two lines": ("a", ["In Collection"], "A\nB", "In Collection: Pets", 'In Collection: "A\\nB"'),
    "a key goes": ("b", ["Title"], None, "  Title: 'It''s b'  # quoted\n", ""),
    "a list goes": (
        "b", ["Metadata", "Training Data"], None,
        "    Training Data:\n    - ImageNet  # first\n    # and\n    - JFT\n", "",
    ),
    "the first of a flow goes": ("a", ["Metadata", "LR"], None, "LR: 0.50, ", ""),
    "the last of a flow goes": ("a", ["Metadata", "Epochs"], None, ", Epochs: 4", ""),
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """Write a file and return it with the places of its models."""

    def write(text, name="index.yml"):
        file = tmp_path / name
        file.write_bytes(text.encode())
        return file, {entry.name: entry.location for entry in load_index(file).models}

    return write


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_value_changes_and_the_rest_stays(written, edit, bom, end):
    """The new text is the old one but for the value, with comments, order and quotes."""
    name, steps, value, old, new = EDITS[edit]
    assert TEXT.count(old) == 1
    file, places = written(bom + TEXT.replace("\n", end))

    after = set_value(read_index_file(file), places[name], steps, value).data.decode()

    assert after == bom + TEXT.replace(old, new).replace("\n", end)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_model_goes_with_its_own_comments(written, name, end):
    """Its lines are gone, with the comments inside and below it; those of others stay."""
    file, places = written(TEXT.replace("\n", end))
    starts = {"a": "- Name: a", "b": '- Name: "b"', "c": "- Name: c"}
    ends = {"a": '\n- Name: "b"', "b": "- Name: c", "c": "# the end"}
    expected = TEXT[: TEXT.index(starts[name])] + TEXT[TEXT.index(ends[name]) :]

    assert remove_model(read_index_file(file), places[name]).data.decode() == expected.replace("\n", end)


def test_models_in_json_and_in_one_line(written):
    """In JSON and in a flow the commas stay right; without a model the list is empty, and is added to."""
    file, places = written('{"Models": [{"Name": "a", "Metadata": {"LR": 1}}, {"Name": "b"}]}\n', "a.json")
    changed = set_value(read_index_file(file), places["a"], ["Metadata", "LR"], Verbatim("0.50"))
    changed = set_value(changed, places["a"], ["License"], 'a "b"')
    assert json.loads(changed.text)["Models"][0] == {"Name": "a", "Metadata": {"LR": 0.5}, "License": 'a "b"'}
    assert "0.50" in changed.text
    assert json.loads(remove_model(changed, places["a"]).text) == {"Models": [{"Name": "b"}]}

    file, places = written("Models:\n- Name: a\n")
    assert remove_model(read_index_file(file), places["a"]).text == "Models:\n"


@pytest.mark.parametrize(
    ("text", "steps", "value"),
    [
        ("Models:\n- Name: a\n  Metadata: &m {LR: 1}\n- Name: b\n  Metadata: *m\n", ["Metadata", "LR"], "2"),
        ("Models:\n- Name: a\n  Metadata: &m\n    LR: 1\n- {Name: b, Metadata: *m}\n", ["Metadata"], None),
        ("Models:\n- Name: a\n  LR: &lr 1\n- {Name: b, LR: *lr}\n", ["LR"], "2"),
        ("Models:\n- Name: a\n  Metadata: m.yml\n", ["Metadata", "LR"], "2"),
        ("Models:\n- Name: a\n", ["Title"], None),
        ("Models:\n- LR: 1\n  Name: a\n", ["LR"], None),
    ],
    ids=["shared", "anchor", "anchored value", "another file", "nothing there", "first line"],
)
def test_what_would_touch_something_else_is_refused(written, text, steps, value):
    """What others share or another file holds is left to a person, by its place."""
    file, places = written(text)
    with pytest.raises(IndexReadError, match=r"index\.yml:\d+:\d+: "):
        set_value(read_index_file(file), places["a"], steps, value)
