"""List the classes that a network tells apart, in the order of its outputs: ImageNet-1k's, or an entry's."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rexnet_hub.imagenet.data.protocols import Protocol, find_protocol
from rexnet_hub.index.spellings import IMAGENET_CLASSES, is_imagenet
from rexnet_hub.records import Rule, Sha256, Text

if TYPE_CHECKING:
    from rexnet_hub.index import Entry

#: In place of a class in a predictions file, whose classes are uint16.
NO_CLASS = 0xFFFF
_Classes = Annotated[int, Rule(range(1, NO_CLASS).__contains__, "a number of classes")]
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
def imagenet_labels() -> tuple[str, ...]:
    """Return the names of ImageNet's classes, in their order."""
    return tuple(row.label for row in read_classes())


@functools.cache
def read_classes() -> tuple[ImageNetClass, ...]:
    """Read the classes from the package's own file.

    Source:
        timm 1.0.31 and WordNet 3.0, as the file's head says.
    """
    lines = CLASSES_FILE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return tuple(ImageNetClass(index=i, synset=synset, label=label) for i, (synset, label) in enumerate(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The part of a data set that an accuracy is of, and its classes in the order of a network's outputs.

    Attributes:
        labels_sha256: Of the classes' names, one a line; None where the network has none, and in records and
            predictions of before, which were of ImageNet.
    """

    dataset: Text = "ImageNet"
    split: Text | None = "validation"
    num_classes: _Classes = IMAGENET_CLASSES
    labels_sha256: Sha256 | None = None

    @property
    def place(self) -> tuple[str, str | None]:
        """Data set and split, to be compared with others'."""
        return self.dataset, self.split

    @property
    def protocol(self) -> Protocol | None:
        """How it is counted, where that was published; None of one's own data set."""
        return find_protocol(self.dataset, self.split)

    @property
    def mask(self) -> tuple[int, ...] | None:
        """The classes among which answers are ranked; None where that is all."""
        return self.protocol.mask if self.protocol else None

    @property
    def is_imagenets(self) -> bool:
        """Whether it is ImageNet-1k's validation set, of which every image's class is known."""
        return self.protocol is not None and is_imagenet(self.dataset)

    @property
    def title(self) -> str:
        """The data set and its part, as they stand beside a number."""
        words = filter(None, self.place)
        return "ImageNet-1k validation" if self.is_imagenets else ", ".join(words)

    def is_whole(self, labels: Iterable[int]) -> bool:
        """Check that images of each class are there, of a published set as many as it has."""
        if self.protocol is not None:
            return self.protocol.is_whole(labels)
        return len(set(labels)) == self.num_classes


OF_BEFORE = Benchmark()


def digest_labels(labels: Sequence[str]) -> str | None:
    """Return the SHA-256 of a list of labels, one a line; None of no list."""
    text = "".join(f"{label}\n" for label in labels)
    return hashlib.sha256(text.encode()).hexdigest() if labels else None


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
    return imagenet_labels()
