"""Read the names of classes that an entry's `Labels` states: ImageNet, or a file beside the index."""

from __future__ import annotations

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Claim, Entry

#: How entries write ImageNet-1k, in lower case and without what is no letter or digit; and its classes.
SPELLINGS = {"imagenet", "imagenet1k", "imagenet2012", "ilsvrc2012", "imagenetilsvrc2012"}
IMAGENET_CLASSES = 1000
MAX_LABEL_BYTES = 16 << 20


def is_imagenet(name: str) -> bool:
    """Return whether a data set's name is a spelling of ImageNet-1k."""
    return "".join(letter for letter in name.lower() if letter.isalnum()) in SPELLINGS


def read_stated_labels(entry: Entry) -> tuple[str, ...] | None:
    """Read the names in the file that `Labels` states; None where it states none, or ImageNet.

    Raises:
        IndexReadError: The file cannot be read, or has not one name for each class.
    """
    claim, num_classes = entry.metadata.get("labels"), entry.value("num_classes")
    if claim is None:
        return None
    if is_imagenet(claim.text):
        _require_each(claim, IMAGENET_CLASSES, num_classes)
        return None
    folder = claim.location.file.parent
    file = folder / claim.text
    try:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise IndexReadError(f"{claim.location}: Labels {claim.text!r} leaves the index's folder")
        with file.open("rb") as stream:
            labels = tuple(stream.read(MAX_LABEL_BYTES).decode().splitlines())
    except (OSError, ValueError) as error:
        raise IndexReadError(f"{claim.location}: Labels {claim.text!r} cannot be read: {error}") from None
    is_named = all(label.strip() and label.isprintable() for label in labels)
    _require_each(claim, len(labels), num_classes if is_named else None)
    return labels


def _require_each(claim: Claim, found: int, num_classes: int | None) -> None:
    if found != num_classes:
        problem = f"has {found} lines; it needs a name for each of {num_classes} classes, one a line"
        raise IndexReadError(f"{claim.location}: Labels {claim.text!r} {problem}")
