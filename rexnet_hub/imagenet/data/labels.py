"""Read the label files that people have for a validation set stored without class folders."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rexnet_hub.errors import DatasetError, refuse_unused, suggest
from rexnet_hub.imagenet.data.classes import imagenet_labels, read_classes
from rexnet_hub.imagenet.data.dataset import list_problems, read_file
from rexnet_hub.imagenet.data.validation import NUMBERED

SYNSET = re.compile(r"n\d{8}")

_HOW = (
    "labels are read from lines with the name of an image and its synset or index (LOC_val_solution.csv, "
    "val.txt, a CSV with a header), from one synset a line in the order of the images, or from "
    "ILSVRC2012_validation_ground_truth.txt with a file that gives the synset of each of its ids (such as "
    "the devkit's map_clsloc.txt). The official labels are known: --labels can be left out"
)


def read_labels(
    file: Path, names: Sequence[str], *, class_ids: Path | None, allow_subset: bool
) -> Mapping[str, int]:
    """Assign each image its class.

    Args:
        file: In any of the forms of the message of one that has none of them.
        names: Of the images, such as `ILSVRC2012_val_00000001.JPEG`.
        class_ids: Lines with an ILSVRC id and a synset, for a file of ids.
        allow_subset: Whether the file may label images that are not there.

    Raises:
        DatasetError: The file is of another form or length, or an image has no label.
        UsageError: There are `class_ids`, and no ids.
    """
    lines = _read_lines(file, f": {_HOW}")
    rows = [re.findall(r"[^\s,;\"']+", line) for line in lines]
    if len(lines) > 1 and NUMBERED.search(lines[1]) and not NUMBERED.search(lines[0]):
        del rows[0]  # a header
    if not rows:
        raise DatasetError(file, "holds no labels")
    if not all(len(row) == 1 and row[0].isdigit() for row in rows):
        refuse_unused(f"{file}, which gives no ids,", class_ids=class_ids)
    if all(len(row) == 1 for row in rows):
        labels = _by_number(file, [row[0] for row in rows], class_ids)
    else:
        labels = dict(_read_named(file, row) for row in rows)
    if len(labels) != len(rows):
        raise DatasetError(file, f"{len(rows) - len(labels)} images are labelled twice")
    if len(labels) != len(names) and not (allow_subset and len(labels) > len(names)):
        raise DatasetError(file, f"has {len(labels):,} labels for {len(names):,} images")
    if unlabelled := [f"{name} has no label" for name in names if Path(name).stem not in labels]:
        raise DatasetError(file, list_problems(unlabelled))
    return {name: labels[Path(name).stem] for name in names}


def _read_named(file: Path, row: Sequence[str]) -> tuple[str, int]:
    """Read the name of an image, and of the other words the first that is a synset, else an index."""
    name = next((found[0] for word in row if (found := NUMBERED.search(word))), None)
    others = [word for word in row if not NUMBERED.search(word)]
    stated = [*filter(SYNSET.fullmatch, others)] or [word for word in others if word.isdigit()]
    if name is None or not stated:
        raise DatasetError(file, f"is not a label file, by its line {' '.join(row)!r}: {_HOW}")
    return name, _index(file, stated[0])


def _read_lines(file: Path, how: str) -> list[str]:
    """Read the lines of a text that are not empty."""
    try:
        text = read_file(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(file, f"is not text{how}") from error
    return [line for line in text.splitlines() if line.strip()]


def _by_number(file: Path, words: Sequence[str], class_ids: Path | None) -> dict[str, int]:
    """Label the images in the order of their numbers."""
    if all(word.isdigit() for word in words):
        if class_ids is None:
            problem = "gives ILSVRC ids, which are not in the order of the classes: name a file that gives"
            needed = (
                "their synsets, such as the devkit's map_clsloc.txt (--class-ids FILE), or leave --labels out"
            )
            raise DatasetError(file, f"{problem} {needed}")
        by_id = read_class_ids(class_ids)
        if unknown := sorted({word for word in words if int(word) not in by_id}):
            raise DatasetError(file, f"gives ids outside 1 to 1000: {', '.join(unknown[:8])}")
        indices = [by_id[int(word)] for word in words]
    else:
        indices = [_index(file, word) for word in words]
    return {f"ILSVRC2012_val_{number:08d}": index for number, index in enumerate(indices, start=1)}


def read_class_ids(file: Path) -> Mapping[int, int]:
    """Read which class each ILSVRC id is.

    Raises:
        DatasetError: It is not one line with an id and a synset for each of the 1000 classes.
    """
    lines = _read_lines(file, "; write meta.mat's ILSVRC2012_ID and WNID as lines 'ID SYNSET'")
    by_id: dict[int, int] = {}
    for words in map(str.split, lines):
        id_ = next((int(word) for word in words[:2] if word.isdigit()), None)
        synset = next((word for word in words[:2] if SYNSET.fullmatch(word)), None)
        if id_ is None or synset is None:
            raise DatasetError(file, f"this line gives no id and synset: {' '.join(words)}")
        by_id[id_] = _index(file, synset)
    everything = range(1, len(read_classes()) + 1)
    if sorted(by_id) != list(everything) or len(set(by_id.values())) != len(by_id):
        raise DatasetError(file, "does not give each of the ids 1 to 1000 a class of its own")
    return by_id


#: The index of each synset.
CLASSES = {class_.synset: class_.index for class_ in read_classes()}


def _index(file: Path, word: str) -> int:
    index = find_class(word)
    if index is None:
        raise DatasetError(file, f"{word!r} is not a synset of ImageNet-1k, nor an index from 0 to 999")
    return index


def find_class(word: object) -> int | None:
    """Find the class that a synset or an index means; None of neither."""
    index = int(word) if isinstance(word, str | int) and str(word).isdecimal() else -1
    return index if 0 <= index < len(CLASSES) else CLASSES.get(str(word))


def find_classes(
    root: Path, folders: Sequence[str], labels: Sequence[str], num_classes: int
) -> dict[str, int]:
    """Find the class of each folder: all are named by label, by index, or of ImageNet's classes by synset.

    Raises:
        DatasetError: They are not, or two ways of reading them differ; all folders that are wrong are named.
    """
    names = {unicodedata.normalize("NFC", folder): folder for folder in folders}
    known = [unicodedata.normalize("NFC", label) for label in labels]
    readings: dict[str, Mapping[str, int]] = {
        "label": {label: known.index(label) for label in known},
        "index": {name: int(name) for name in names if name.isdecimal() and int(name) < num_classes},
    }
    if num_classes == len(CLASSES) and tuple(labels) in ((), imagenet_labels()):
        readings["synset"] = CLASSES
    whole = [how for how, classes in readings.items() if classes.keys() >= names.keys()]
    how = max(readings, key=lambda how: len(readings[how].keys() & names.keys()))
    classes = {name: readings[how].get(name) for name in names}
    kind = f"no label of the model, nor an index from 0 to {num_classes - 1}"
    problems = []
    for name in (name for name in names if classes[name] is None):
        other = next((other for other in readings if name in readings[other]), None)
        mixed = f"{name!r} is named by {other}, others by {how}: name all in one way"
        problems.append(mixed if other else f"{name!r} is {kind}. {suggest(name, known)}")
    counts, taken = Counter(known), Counter(classes.values())
    if how == "label":
        twice = (name for name in names if counts[name] > 1)
        problems += [f"two classes are named {name!r}: name their folders by index" for name in twice]
    problems += [f"{name!r} is a second folder of its class" for name in names if taken[classes[name]] > 1]
    if any(readings[other][name] != classes[name] for other in whole for name in names):
        problems = [f"its folders can be read as {' and as '.join(whole)}: write indices as 000, 001, …"]
    if problems:
        raise DatasetError(root, list_problems(problems))
    return {names[name]: index for name, index in classes.items() if index is not None}
