"""The classes are ImageNet's, in order."""

from timm.data import ImageNetInfo

from rexnet_hub.imagenet.data.classes import read_classes


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
