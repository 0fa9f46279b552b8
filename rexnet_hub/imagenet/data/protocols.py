"""Know the published data sets of ImageNet's classes by name: their images, and how numbers are counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rexnet_hub.identity import StatedFile
from rexnet_hub.index.spellings import IMAGENET_CLASSES, canonical_dataset, split_key


class Protocol(NamedTuple):
    """A published data set, and the way in which its authors count a number on it.

    Attributes:
        images: Of the whole set.
        words: To be printed beside the number.
        per_class: Images of each class, where all have as many.
        classes: A network's answers are ranked among these alone.
        split: The only part that this is of; None: of any.
        of: The data set whose predictions are counted again, by other labels.
        rescored_by: The word of these labels for `evaluate --rescore`.
        archive: As published, a tar of the images and nothing else.
    """

    name: str
    images: int
    words: str
    per_class: int | None = None
    classes: tuple[int, ...] = tuple(range(IMAGENET_CLASSES))
    split: str | None = None
    of: str | None = None
    rescored_by: str | None = None
    archive: StatedFile | None = None

    @property
    def source(self) -> Protocol:
        """The protocol whose images these are: its own, or of the set that is counted again."""
        return PROTOCOLS[self.of] if self.of else self

    @property
    def command(self) -> str | None:
        """The command that counts it again; None where it has images of its own."""
        return f"rexnet-hub evaluate FILE.record.json --rescore {self.rescored_by}" if self.of else None

    @property
    def mask(self) -> tuple[int, ...] | None:
        """The classes among which answers are ranked; None where that is all."""
        return self.classes if len(self.classes) < IMAGENET_CLASSES else None

    def is_whole(self, labels: Iterable[int]) -> bool:
        """Check that there are as many images as published, of each class where that is known."""
        counts = Counter(labels)
        is_full = self.per_class is None or set(counts.values()) == {self.per_class}
        every = self.of is not None or counts.keys() == {*self.classes}
        return counts.total() == self.images and is_full and every


def _read_protocols() -> dict[str, Protocol]:
    table = json.loads(Path(__file__).with_name("protocols.json").read_text(encoding="utf-8"))
    for row in table.values():
        if "classes" in row:
            row["classes"] = tuple(row["classes"])
        if "archive" in row:
            row["archive"] = StatedFile(by="tensorflow-datasets 4.9.10", **row["archive"])
    return {name: Protocol(name=name, **row) for name, row in table.items()}


#: By our own name of the data set. Sources: Russakovsky et al., arXiv 1409.0575, table 2; Beyer et al.,
#: 2006.07159; Recht et al., 1902.10811; Wang et al., 1905.13549; Hendrycks et al., 1907.07174 and 2006.16241;
#: counts and archive as tensorflow-datasets 4.9.10 states them, classes of A and R as timm 1.0.31 does.
PROTOCOLS = _read_protocols()


def find_protocol(dataset: str | None, split: str | None) -> Protocol | None:
    """Find how a data set, or a part of it, is counted; None where no protocol is known."""
    known = PROTOCOLS.get(canonical_dataset(dataset))
    other_part = known and known.split and split and split_key(split) != known.split
    return None if other_part else known
