"""Write the table of ImageNet's validation labels from the public packages that carry them.

`python -m benchmarks.labels WHEEL`, where WHEEL is of `tensorflow-datasets` (`pip download --no-deps`); timm
is installed. The two sources were made by different people: unless they agree, nothing is written.
"""

from __future__ import annotations

import bz2
import hashlib
import importlib.metadata
import json
import sys
import zipfile
from pathlib import Path

from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.validation import TABLE_FILE
from rexnet_hub.whole_files import write_whole

OFFICIAL = "tensorflow_datasets/datasets/imagenet2012/validation_labels.txt"
REAL = "timm/data/_info/imagenet_real_labels.json"
#: In percent: of the images with ReaL labels, those that have their class among them; of a shifted list 0.13.
LEAST_AGREEMENT = 90.0
HEAD = """\
# ImageNet-1k's validation set (ILSVRC 2012): the class of each of its 50,000 images, and its ReaL labels.
# After the empty line, compressed by bzip2: a line for each image in the order of its number. Its class, 000
# to 999; then, where they are not that class alone, the ReaL labels, or - where it has none.
# Classes: {wheel}, {official},
#   SHA-256 {official_sha256}; Copyright The TensorFlow
#   Datasets Authors, Apache License 2.0.
# ReaL labels (Beyer et al., arXiv 2006.07159): timm {timm}, {real},
#   SHA-256 {real_sha256}; Copyright Ross Wightman,
#   Apache License 2.0; they are google-research/reassessed-imagenet's.
# {agreement}
"""


def write_table(wheel: Path) -> str:
    """Write the table, and return how far the two sources agree.

    Raises:
        SystemExit: They do not.
    """
    places = {row.synset: row.index for row in read_classes()}
    with zipfile.ZipFile(wheel) as archive:
        official = archive.read(OFFICIAL)
    real = Path(str(importlib.metadata.distribution("timm").locate_file(REAL))).read_bytes()
    classes = [places[synset] for synset in official.decode().split()]
    several: list[list[int]] = json.loads(real)
    judged = [(own, labels) for own, labels in zip(classes, several, strict=True) if labels]
    right = sum(own in labels for own, labels in judged)
    agreement = (
        f"The class is among the ReaL labels of {right:,} of the {len(judged):,} images that have any."
    )
    if 100 * right < LEAST_AGREEMENT * len(judged):
        raise SystemExit(f"not written: {agreement}")
    rows = (
        f"{own:03d}{'' if labels == [own] else ' ' + (' '.join(map(str, sorted(labels))) or '-')}"
        for own, labels in zip(classes, several, strict=True)
    )
    head = HEAD.format(
        wheel=wheel.name,
        official=OFFICIAL,
        official_sha256=hashlib.sha256(official).hexdigest(),
        timm=importlib.metadata.version("timm"),
        real=REAL,
        real_sha256=hashlib.sha256(real).hexdigest(),
        agreement=agreement,
    )
    write_whole(TABLE_FILE, head.encode() + b"\n" + bz2.compress("\n".join(rows).encode()))
    return agreement


if __name__ == "__main__":
    print(write_table(Path(sys.argv[1])))
