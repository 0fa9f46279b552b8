"""List the classes that a network tells apart, in the order of its outputs: ImageNet-1k's, or an entry's."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.errors import IndexReadError

if TYPE_CHECKING:
    from rexnet_hub.index import Entry

CLASSES_FILE = Path(__file__).with_name("classes.tsv")
IMAGENET = "imagenet"
#: How entries write it, in lower case and without what is no letter or digit.
SPELLINGS = {IMAGENET, "imagenet1k", "imagenet2012", "ilsvrc2012", "imagenetilsvrc2012"}
MAX_LABEL_BYTES = 16 << 20


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
    num_classes, claim = entry.value("num_classes"), entry.metadata.get("labels")
    training_data = {_fold(str(name)) for name in entry.value("training_data") or ()}
    stated = _fold(claim.text) if claim else IMAGENET if training_data and training_data <= SPELLINGS else ""
    if stated in SPELLINGS:
        labels = [row.label for row in read_classes()]
    elif claim is None:
        return ()
    else:
        folder = claim.location.file.parent
        file = folder / claim.text
        try:
            if not file.resolve().is_relative_to(folder.resolve()):
                raise IndexReadError(f"{claim.location}: Labels {claim.text!r} leaves the index's folder")
            with file.open("rb") as stream:
                labels = stream.read(MAX_LABEL_BYTES).decode().splitlines()
        except (OSError, ValueError) as error:
            raise IndexReadError(f"{claim.location}: Labels {claim.text!r} cannot be read: {error}") from None
    if claim is None and len(labels) != num_classes:
        return ()
    if len(labels) != num_classes or not all(label.strip() and label.isprintable() for label in labels):
        problem = f"has {len(labels)} lines; it needs a name for each of {num_classes} classes, one a line"
        raise IndexReadError(
            f"{claim.location if claim else entry.location}: Labels {claim and claim.text!r} {problem}"
        )
    return tuple(labels)


def _fold(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
