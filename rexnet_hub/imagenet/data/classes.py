"""List the 1000 classes of ImageNet-1k, in the order of a network's outputs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

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
