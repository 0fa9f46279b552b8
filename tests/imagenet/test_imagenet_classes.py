"""The classes are ImageNet's, in order."""

import json

import pytest
from timm.data import ImageNetInfo
from transformers import TimmWrapperConfig

from rexnet_hub.errors import IndexReadError
from rexnet_hub.imagenet.data.classes import entry_labels, read_classes
from rexnet_hub.repo.config import render_config


def test_the_classes_are_timms():
    """Every synset and label is the one that timm has at that place."""
    info = ImageNetInfo("imagenet-1k")

    assert [c.index for c in read_classes()] == list(range(1000))
    assert [c.synset for c in read_classes()] == info.label_names()
    assert [c.label for c in read_classes()] == [info.index_to_description(i) for i in range(1000)]


def test_synsets_rise_with_the_index():
    """A sorted listing of the data set's folders is in class order."""
    synsets = [c.synset for c in read_classes()]

    assert synsets == sorted(set(synsets))


def test_labels_are_not_unique():
    """The record's warning is true: the bird and the machine share a label."""
    assert [c.synset for c in read_classes() if c.label == "crane"] == ["n02012849", "n03126707"]


def entry_of(read, fields, problems=(), **files):
    index = read("Models:\n- Name: rexnet_100\n  Metadata:\n    Num Classes: 1000\n" + fields, **files)
    assert [problem.code for problem in index.problems] == list(problems)
    return index.find("rexnet_100")


@pytest.mark.parametrize("data", ["ImageNet", "[ImageNet]", "ImageNet-1k", "[imagenet, ILSVRC 2012]"])
def test_a_model_of_imagenet_alone_has_imagenets_names(read, data):
    """Training data that are ImageNet's, however they are written, give the 1000 names in their order."""
    names = entry_labels(entry_of(read, f"    Training Data: {data}\n"))
    assert names == tuple(c.label for c in read_classes())


@pytest.mark.parametrize("data", ["", "Training Data: Places", "Training Data: [ImageNet, Places]"])
def test_a_thousand_classes_are_not_imagenets_by_their_number(read, data):
    """1000 classes of other data, or of nobody knows which, have no names, here and in transformers."""
    settings = (
        "    Image Size: 224\n    Crop Pct: 0.875\n    Interpolation: bicubic\n"
        "    Image Mean: [0.5, 0.5, 0.5]\n    Image Std: [0.5, 0.5, 0.5]\n"
    )
    entry = entry_of(read, f"    {data}\n{settings}")
    assert entry_labels(entry) == ()
    config = json.loads(render_config(entry))
    assert TimmWrapperConfig.from_dict(config).id2label[0] == "LABEL_0"


def test_labels_say_the_names_of_the_classes(read):
    """`Labels` names ImageNet's classes for a model of more data, or a file beside the index."""
    more = entry_of(read, "    Training Data: [ImageNet-12k, ImageNet-1k]\n    Labels: ImageNet-1k\n")
    assert entry_labels(more)[999] == "toilet tissue, toilet paper, bathroom tissue"
    text = "".join(f"kind {number}\n" for number in range(1000))
    own = entry_of(read, "    Labels: names.txt\n", **{"names.txt": text})
    assert entry_labels(own)[::999] == ("kind 0", "kind 999")


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("names.txt", "one\ntwo\n", "has 2 lines; it needs a name for each of 1000 classes"),
        ("names.txt", "a\n" * 999 + "\n", "line 1000"),
        ("names.txt", "a\n" * 999 + "\x1b[2J\n", "line 1000"),
        ("names.txt", b"\xff" * 9, "cannot be read"),
        ("gone.txt", "", "cannot be read"),
        ("../names.txt", "", "leaves the index's folder"),
    ],
)
def test_labels_that_are_none_are_refused_at_their_place(read, path, text, told):
    """Another length, an empty name, no text, no file, a file elsewhere: one error each, of the index too."""
    entry = entry_of(read, f"    Labels: {path}\n", ["wrong-labels"], **{"names.txt": text})
    with pytest.raises(IndexReadError, match=told) as caught:
        entry_labels(entry)
    assert "index.yml:5:" in str(caught.value)


def test_imagenets_names_are_of_a_thousand_classes(read):
    """`Labels: ImageNet-1k` of a model of other classes is an error when the index is read."""
    index = read("Models:\n- Name: rexnet_100\n  Metadata: {Num Classes: 10, Labels: ImageNet-1k}\n")
    (problem,) = index.problems
    assert problem.code == "wrong-labels"
    assert "has 1000 lines; it needs a name for each of 10 classes" in problem.message
