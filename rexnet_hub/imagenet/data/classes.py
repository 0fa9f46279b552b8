"""List the classes that a network tells apart, in the order of its outputs: ImageNet-1k's, or an entry's."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.index.entry import IMAGENET_CLASSES, is_imagenet

if TYPE_CHECKING:
    from rexnet_hub.index import Entry

CLASSES_FILE = Path(__file__).with_name("classes.tsv")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNetClass:
    """One class.

    Attributes:
        index: Place among a network's outputs, from 0; synsets rise with it.
        synset: WordNet id, such as `n01440764`; the name of the class's folder in the data set.
        label: The synset's words, such as `tench, Tinca tinca`. Not unique: two classes are `crane`.
    """

    index: int
    synset: str
    label: str


@functools.cache
def read_classes() -> tuple[ImageNetClass, ...]:
    """Read the classes from the package's own file.

    Source:
        timm 1.0.31 and WordNet 3.0, as the file's head says.
    """
    lines = CLASSES_FILE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return tuple(ImageNetClass(index=i, synset=synset, label=label) for i, (synset, label) in enumerate(rows))


def entry_labels(entry: Entry) -> tuple[str, ...]:
    """Read the names of an entry's classes; none where it does not say what they are.

    ImageNet's names, in the order of the synsets, are those of a model of its 1000 classes that was trained
    on nothing else. Any other model's are what its `Labels` say: a file beside the index, or ImageNet.

    Raises:
        IndexReadError: The file cannot be read, or has not one name for each class.
    """
    if (labels := entry.labels) is not None:
        return labels
    trained_on = [str(name) for name in entry.value("training_data") or ()]
    is_known = "labels" in entry.metadata or (trained_on and all(map(is_imagenet, trained_on)))
    if not is_known or entry.value("num_classes") != IMAGENET_CLASSES:
        return ()
    return tuple(row.label for row in read_classes())
