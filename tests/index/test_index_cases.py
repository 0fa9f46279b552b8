"""Small files that were once read without a word, or refused wrongly, get their right answer."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

from rexnet_hub.cli import main
from rexnet_hub.index import load_index

DATA = Path(__file__).resolve().parents[1] / "data/index_cases"
#: For each file its problems, each a line and a code, and how many models, collections and parts it has.
CASES = {
    "arrow.md": ("8 cut-comment", 1, 0, 0),
    "bare_model.yml": ("", 1, 0, 0),
    "card_metrics_mapping.md": ("7 hub-metadata, 7 unit-suspect", 1, 0, 0),
    "card_model_index_underscore.md": ("2 hub-metadata, 7 hub-metadata, 7 unit-suspect", 1, 0, 0),
    "chance.yml": (
        "5 classes-differ, 7 unlikely-number, 9 unlikely-number, 9 read-differently, 9 read-differently, "
        "9 unknown-word, 10 refused-by-hub, 11 page-as-weights, 12 missing-file, 16 unlikely-number, "
        "18 empty-value, 19 empty-value",
        3, 0, 0,
    ),
    "crossfile_main.yml": ("6 foreign-collection", 2, 2, 0),
    "meta.yml": ("", 0, 0, 1),
    "misplaced.yml": ("5 misplaced-key, 6 misplaced-key, 10 misplaced-key, 11 misplaced-key", 1, 0, 0),
    "nearkeys.yml": ("", 2, 0, 0),
    "only_collections.yml": ("", 0, 1, 0),
    "results.yml": ("", 0, 0, 1),
    "unclosed.yml": ("3 not-yaml", 0, 0, 0),
    "x.yml": ("", 1, 1, 0),
    "y.yml": ("6 missing-collection", 1, 1, 0),
}  # fmt: skip


def test_every_file_is_listed():
    """No file lies there without its answer."""
    assert sorted(CASES) == sorted(file.name for file in DATA.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_each_file_gets_its_answer(name):
    """The problems stand at their lines, and what can be read is read."""
    index = load_index(DATA / name)
    problems, *counts = CASES[name]

    assert ", ".join(f"{p.location.line} {p.code}" for p in index.problems) == problems
    assert [len(index.models), len(index.collections), len(index.parts)] == counts


def test_a_model_of_three_files_is_whole():
    """Metadata and results that a bare model names by path are its own."""
    (entry,) = load_index(DATA / "bare_model.yml").models

    assert entry.value("epochs") == 400
    assert str(entry.metric("top1").value) == "77.86"


@pytest.mark.parametrize("name", ["meta.yml", "results.yml", "only_collections.yml"])
def test_a_part_alone_is_checked(capsys, name):
    """A file that is a part of models is something to check: it ends well, and says what it was."""
    assert main(["validate", str(DATA / name)]) == 0
    assert capsys.readouterr().err == "0 models, 1 part of models, 0 errors, 0 warnings\n"


def test_what_is_wrong_in_a_part_is_said(read, codes):
    """Its values are checked as a model's are."""
    assert codes(read("Epochs: many\nParameters: 0\n")) == ["wrong-kind", "unlikely-number"]
    assert codes(read("- {Task: a, Dataset: b, Metrics: {Top 1 Accuracy: 0.95%}}\n")) == ["unlikely-number"]


def test_a_part_that_a_model_names_is_said_once(read, codes):
    """Read by itself and with its model, it has each problem once."""
    index = read("Name: a\nMetadata: m.yml\n", **{"m.yml": "Epochs: many\n"})

    assert codes(index) == ["wrong-kind"]


@pytest.mark.parametrize("said", ["Epochs: 4\nEpochs: 5\n", "Epochs: 4\nepochs: 4\n", "7: x\n7: y\n"])
def test_what_a_part_says_twice_is_said(read, codes, said):
    """A key that stands twice in a part is an error for the model that names the part, too."""
    files = {"m.yml": said}

    assert set(codes(read("Name: a\nMetadata: m.yml\n", **files))) <= {"duplicate-key", "key-not-text"}
    assert codes(read("Name: a\nMetadata: m.yml\n", **files)) != []


FRONT = "---\nown: x\n{}\nmodel-index: [{{name: a, results: []}}]\n---\n"


@pytest.mark.parametrize(
    "line",
    ["licence: mit", "pipeline-tag: x", "library-name: timm", "dataset: d", "metric: [accuracy]",
     "language: English", "datasets: [ImageNet 1k]"],
)  # fmt: skip
def test_what_the_hub_passes_over_in_a_card_is_said(read, codes, line):
    """A field of a card under a name that the Hub does not read, or as it refuses it, is an error there."""
    problems = read(FRONT.format(line), file="README.md").problems

    assert [(p.location.line, p.code) for p in problems] == [(3, "hub-metadata")]
    assert codes(read(FRONT.format("language: en\ndatasets: [me/x]\nother: 1"), file="README.md")) == []


@pytest.mark.parametrize("paper", ["'1404.5997'", "arXiv:1404.5997", "'1404.5997v2'"])
def test_a_number_at_arxiv_is_a_paper(read, codes, paper):
    """A paper may be given by its number alone, as in the format's own examples."""
    index = read(f"Models:\n- Name: a\n  Paper: {paper}\n")

    assert codes(index) == []
    assert index.models[0].paper.url.startswith("https://arxiv.org/abs/1404.5997")


#: Texts whose parser stops lines after the mistake, and the line of the mistake.
BROKEN = {
    "a quote never closed": ("A: 1\nB: 'x\nC: 2\nD: 3\n", 2),
    "a quote that a later one closes": ("A: 1\nB: 'x\nC: 2\nD: 'y'\nE: 3\n", 2),
    "a double quote that a later one closes": ('A: 1\nB: "x\nC: 2\nD: "y"\nE: 3\n', 2),
    "a quote in a list": ("A:\n- 'x\n- y\n- 'z'\n", 2),
    "a bracket": ("A: 1\nB: [x, y\nC: 2\nD: 3\n", 2),
    "a brace": ("A: 1\nB: {x: y\nC: 2\nD: 3\n", 2),
    "a key without its colon": ("A: 1\nB 2\n\n\nC: 3\n", 2),
    "an alias without a name": ("A: 1\nB: *\nC: 3\n", 2),
    "a line too far left": ("A:\n    B: 1\n  C: 2\n", 3),
    "a tab": ("A:\n\tB: 1\n", 2),
    "two colons": ("A: 1\nB: c: d\n", 2),
    "a long text that is closed, before": ("A: 'x\n  y'\nB: [z\nC: 2\n", 3),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_syntax_error_is_placed_at_its_cause(read, case):
    """The line is that of the mistake, not the one where the parser could not go on."""
    text, line = BROKEN[case]
    (problem,) = read(text).problems

    assert (problem.code, problem.location.line) == ("not-yaml", line)


CARD = """\
---
model-index:
- name: net
  results:
  - task: {type: image-classification}
    dataset: {type: imagenet-1k, name: ImageNet-1k}
    metrics:
    - {type: accuracy, value: 77.86}
---
"""
#: A card's text, another in its place, and the line of what is said of it.
CARDS = {
    "no list of metrics": ("    - {type: accuracy, value: 77.86}", "      {type: accuracy, value: 77.86}", 8),
    "a metric without a value": (", value: 77.86", "", 8),
    "a metric without a type": ("type: accuracy, ", "name: Accuracy, ", 8),
    "a value in another case": ("value:", "Value:", 8),
    "a metric that is a number": ("{type: accuracy, value: 77.86}", "77.86", 8),
    "no data set": ("    dataset: {type: imagenet-1k, name: ImageNet-1k}\n", "", 5),
    "a data set without a name": (", name: ImageNet-1k", "", 6),
    "a data set that is a text": ("{type: imagenet-1k, name: ImageNet-1k}", "ImageNet-1k", 6),
    "no task": ("task: {type: image-classification}\n    ", "", 5),
    "a task without a type": ("{type: image-classification}", "{name: Image Classification}", 5),
    "no metrics": ("    metrics:\n    - {type: accuracy, value: 77.86}\n", "", 5),
    "no results": ("  results:\n", "  result:\n", 3),
}


@pytest.mark.parametrize("case", CARDS)
def test_what_the_hubs_client_refuses_is_an_error_at_its_place(read, case):
    """Each card that the client cannot read is refused before a push; the sound one is not."""
    old, new, line = CARDS[case]
    text = CARD.replace(old, new)
    model_index_to_eval_results(yaml.safe_load(CARD.strip("-\n"))["model-index"])
    with pytest.raises((KeyError, TypeError, AttributeError)):
        model_index_to_eval_results(yaml.safe_load(text.strip("-\n"))["model-index"])

    assert read(CARD, file="README.md").problems == ()
    errors = read(text, file="README.md").errors
    assert (errors[0].code, errors[0].location.line) == ("hub-metadata", line)


@pytest.mark.parametrize(("tag", "code"), [("no", "read-differently"), ("2021-01-01", "read-differently"), ("3", "hub-metadata"), ("x", "")])  # fmt: skip # noqa: E501
def test_a_tag_is_a_text_to_all(read, codes, tag, code):
    """A bare word that some reader of YAML takes for no text is said."""
    index = read(CARD.replace("---\nmodel", f"---\ntags: [{tag}]\nmodel"), file="README.md")

    assert codes(index) == ([code] if code else [])
