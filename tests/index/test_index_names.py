"""A model has other names, and what stands under them is said of it."""

import pytest

from rexnet_hub.cli import main
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Measured, MeasuredEvaluation
from rexnet_hub.index.query import find_number, select
from rexnet_hub.index.scores import list_scores

TWO = """\
Models:
- Name: a
  Results:
  - {Task: Image Classification, Dataset: ImageNet, Split: validation, Metrics: {Top 1 Accuracy: 80.1}}
- Name: b
- Name: a.tag
  Same As: a
  Results:
  - {Task: Image Classification, Dataset: ImageNet-V2, Metrics: {Top 1 Accuracy: 70.2}}
  - Task: Image Classification
    Dataset: ImageNet
    Split: validation
    Dataset Args: {Image Size: 288, Crop Pct: 1.0}
    Metrics: {Top 1 Accuracy: 81.3}
    Source URL: https://example.org/table.csv
  - Task: Throughput
    Split: RTX 4090 224 px, amp
    Metrics: {Images per Second: 4000.5}
  - Task: Throughput
    Split: i9-10940X 224 px, float32
    Metrics: {Images per Second: 99.5}
"""


def test_another_name_finds_the_model_and_adds_to_it(read):
    """A model is found by either name, is there once, and has the results of both entries, its own first."""
    index = read(TWO)

    assert index.problems == ()
    assert [(entry.name, entry.other_names) for entry in index.models] == [("a", ("a.tag",)), ("b", ())]
    assert index.find("a.tag") is index.find("a")
    assert [score.name for score in list_scores(index.find("a"))] == [
        "top1", "top1@ImageNet-V2", "top1@ImageNet/validation, 288 px", "Images per Second",
        "Images per Second@i9-10940X 224 px",
    ]  # fmt: skip
    assert find_number(index.find("a"), "top1") == index.find("a").results[0].metrics["top1"].value


@pytest.mark.parametrize(
    ("query", "picked"),
    [
        ("name:a.tag", ["a"]),
        ("name:*.tag", ["a"]),
        ("top1@imagenet-v2>=70", ["a"]),
        ("top1@imagenet-v2>=71", []),
        ("top1>=81", []),
        ("top1>=81 split:*288*", ["a"]),
        ("top1>=80 split:validation", ["a"]),
        ("top1>=81 split:validation", []),
        ("images_per_second>4000 task:throughput split:*4090*", ["a"]),
        ("images_per_second>4001", []),
        ("images_per_second<100 split:i9*", ["a"]),
    ],
)
def test_queries_ask_by_other_names_and_keep_places_apart(read, query, picked):
    """Another name picks the model; a number at another picture size is no number of the validation set."""
    assert [entry.name for entry in select(read(TWO).models, query)] == picked


def test_a_run_decides_nothing_of_another_picture_size(read):
    """What was measured on the validation set stands beside the claim of that, not of the one at 288 px."""
    run = MeasuredEvaluation(
        record_sha256="0" * 64, dataset="ImageNet", split="validation", images=10, top1_count=8, top5_count=9
    )
    entry = read(TWO).find("a")
    found = {score.name: score.run for score in list_scores(entry, Measured(evaluations=(run,)))}
    assert [name for name, own in found.items() if own] == ["top1", "top5"]


OWN = """\
Models:
- Name: a
  Metadata: {ID: rexnet_100, Image Size: 224, Crop Pct: 0.875}
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Split: validation
    Dataset Args: ARGS
    Metrics: {Top 1 Accuracy: 80.1}
"""


@pytest.mark.parametrize(
    ("args", "place"),
    [
        ("{Image Size: 224, Crop Pct: 0.875}", "ImageNet/validation"),
        ("{Image Size: 288, crop_pct: 0.875}", "ImageNet/validation, 288 px"),
        ("{Crop Pct: 1}", "ImageNet/validation, crop 1"),
        ("{Image Size: null}", "ImageNet/validation"),
        ("cola", "ImageNet/validation"),
        ("[a, b]", "ImageNet/validation"),
    ],
)
def test_only_an_input_that_is_not_the_models_is_a_place_of_its_own(read, args, place):
    """Numbers at the model's own picture are of the data set alone; a word among args is no input."""
    index = read(OWN.replace("ARGS", args))
    assert index.problems == ()
    assert [result.place for result in index.find("a").results] == [place]


@pytest.mark.parametrize("size", ["'288'", "[288]", "-288", "0", "true", "{a: 1}"])
def test_an_input_that_is_no_number_is_said(read, size):
    """A picture's size in whatever else would make a place that nobody can ask for."""
    (problem,) = read(OWN.replace("ARGS", f"{{Image Size: {size}}}")).problems
    assert problem.code == "wrong-kind"
    assert "Dataset Args: expected Image Size as a number" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        OWN.replace("Dataset Args: ARGS", "Metric Types: accuracy"),
        OWN.replace("Dataset Args: ARGS", "Metric Types: 3"),
        "Models:\n- Name: a\n  Metadata: {Training Arguments: mixup}\n",
        "Models:\n- Name: a\n  Metadata: {ID: rexnet_100, Model Args: true}\n",
        "Models:\n- Name: a\n  Widget: https://example.org/a.jpg\n",
    ],
)
def test_what_is_a_mapping_is_nothing_else(read, text):
    """A word where names and values belong is said; before, one was dropped, another ended a card."""
    (problem,) = read(text).problems
    assert (problem.code, problem.severity) == ("wrong-kind", "error")
    assert "expected a mapping of names to values" in problem.message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("- {Name: x, Same As: c}", "no model is named 'c'"),
        ("- {Name: x, Same As: a.tag}", "'a.tag'. That is another name itself: write the model's"),
        ("- {Name: x, Same As: a, License: MIT}", "x is another name of a: Results and Witnesses alone"),
        ("- {Name: x, Same As: a, Metadata: {Epochs: 4}}", "x is another name of a"),
    ],
)
def test_a_name_of_nothing_or_with_more_is_an_error(read, more, message):
    """A name of no model, of another name, or with what would be read nowhere, is an error."""
    (problem,) = read(TWO + more).problems
    assert (problem.code, problem.severity) == ("unfit-name", "error")
    assert message in problem.message


def test_each_thing_that_a_name_states_too_much_is_said(read):
    """All that is read nowhere is listed, each at its place, and what to do."""
    found = read(f"{TWO}- {{Name: x, Same As: a, Title: X, License: MIT, Metadata: {{Epochs: 4}}}}").problems
    assert len({problem.location for problem in found}) == 3
    assert all(problem.message.endswith("are read of it; state the rest of a") for problem in found)


@pytest.mark.parametrize("field", ["Base Model", "Superseded By"])
def test_a_model_is_meant_by_its_own_name(read, field):
    """Where another model is named, its first name is asked for, and said."""
    (problem,) = read(TWO.replace("- Name: b\n", f"- Name: b\n  {field}: a.tag\n")).problems
    assert problem.message == f"{field}: 'a.tag' is another name of a: write that"


def test_two_models_of_one_name_are_said(read):
    """Another name is no name of a model, nor of a third."""
    for taken in ("b", "A.tag"):
        (problem,) = read(f"{TWO}- {{Name: {taken}, Same As: a}}").problems
        assert problem.code == "duplicate-model"


def test_commands_take_either_name(read, tmp_path, monkeypatch, capsys):
    """`show` and `edit` know a model by its other name, and say the first."""
    read(TWO)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["show", "a.tag"]) == 0
    said = capsys.readouterr().out
    assert "also called a.tag" in said
    assert "81.3 on ImageNet/validation, 288 px, crop 1.0" in said
    assert "example.org/table.csv" in said
    assert main(["edit", "a.tag", "Epochs=7"]) == 0
    assert load_index(tmp_path).find("a").value("epochs") == 7


def test_a_result_is_edited_where_it_stands(read, tmp_path, monkeypatch):
    """A number under another name is changed there, several at once; a new data set is the model's own."""
    read(TWO)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    edits = ("top1@imagenet-v2=71", "top1@imagenet/validation=80.5", "top1@imagenet-real=85", "Epochs=7")
    assert main(["edit", "a.tag", *edits]) == 0
    index = load_index(tmp_path)
    scores = [(score.name, str(score.value)) for score in list_scores(index.find("a"))]
    assert index.problems == ()
    assert scores[:3] == [("top1", "80.5"), ("top1@ImageNet-ReaL", "85"), ("top1@ImageNet-V2", "71")]
    assert [result.dataset for result in index.find("a").others[0].results].count("ImageNet-V2") == 1


def test_a_name_goes_alone_and_a_model_after_its_names(read, tmp_path, monkeypatch, capsys):
    """A model whose other names are left is kept, which is said; they go by `remove`, without the model."""
    read(TWO)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    assert main(["remove", "a"]) == 2
    assert "a is also called a.tag: remove those names first" in capsys.readouterr().err
    assert main(["remove", "a.tag"]) == 0
    assert "a.tag removed" in "".join(capsys.readouterr())
    assert [(entry.name, entry.other_names) for entry in load_index(tmp_path).models] == [
        ("a", ()),
        ("b", ()),
    ]
    assert main(["remove", "a"]) == 0
    assert [entry.name for entry in load_index(tmp_path).models] == ["b"]


def test_a_page_for_people_is_named_where_nothing_can_be_fetched(read, tmp_path, monkeypatch, capsys):
    """Without Weights `fetch` and the card say from which page a person downloads the file."""
    read("Models:\n- Name: rexnet_100\n  Weights Page: https://example.org/drive\n")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    for more in ([], ["--all"]):
        assert main(["fetch", "rexnet_100", *more]) == 1
        said = capsys.readouterr().err
        assert "a person downloads the file from https://example.org/drive, and rexnet-hub stage" in said
    assert main(["card", "rexnet_100"]) == 0
    assert "[example.org/drive](https://example.org/drive)" in capsys.readouterr().out
