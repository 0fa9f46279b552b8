"""Doubt what an entry may mean and seldom does: a small generator for each doubt, all in one table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from rexnet_hub.errors import suggest
from rexnet_hub.index.entry import CROP_MODES, INTERPOLATIONS, Claim, Entry, Location, split_released
from rexnet_hub.index.fields import FIELDS, is_slip, key_name
from rexnet_hub.index.spellings import WRITTEN, fold

#: A doubt: its code, its place, and what is said of it.
Doubt = tuple[str, Location, str]

#: Fields of few words that there are.
_WORDS = {"interpolation": INTERPOLATIONS, "crop_mode": CROP_MODES}
#: What files of weights end in, archives included.
_SUFFIXES = (
    "7z", "bin", "bz2", "caffemodel", "ckpt", "engine", "gguf", "gz", "h5", "hdf5", "keras", "mar", "model",
    "msgpack", "npy", "npz", "onnx", "orbax", "params", "pb", "pdmodel", "pdparams", "pickle", "pkl", "pt",
    "pth", "ptl", "pyth", "safetensors", "t7", "tar", "tflite", "tgz", "th", "torchscript", "weights",
    "xml", "xz", "zip", "zst",
)  # fmt: skip
_LIKELY = {row.name: row.likely for row in FIELDS if row.likely}
#: Below this an accuracy is a fraction, or has lost a digit, more often than it was reached.
_LOW_PERCENT = 5
#: More operations for a parameter than any network does: 5,420 in 792 public models.
_MOST_USES = 20_000
#: So many entries of an index that show a difference have it by custom, and not by a slip.
_CUSTOM = 6


class Neighbours(NamedTuple):
    """The rest of an index, as far as an entry is held against it.

    Attributes:
        collections: The names of the collections of each file.
        families: The first words of all names.
        mixed: How many entries have each difference of recipes.
        sharing: How many entries have each address of weights.
    """

    collections: Mapping[str, Sequence[str]]
    families: Set[str]
    mixed: Mapping[tuple[str, str], int]
    sharing: Mapping[str, int]


def find_doubts(entries: Sequence[Entry], collections: Sequence[Entry]) -> Iterator[Doubt]:
    """Find all that is doubtful in what entries and collections state themselves."""
    named = defaultdict(list)
    for collection in collections:
        named[str(collection.location.file)].append(collection.name)
    mixed = Counter(pair for entry in entries for pair in {pair for _, pair in _mixed(entry)})
    sharing = Counter(str(entry.weights.value) for entry in entries if entry.weights)
    neighbours = Neighbours(named, {_family(entry.name) for entry in entries}, mixed, sharing)
    for entry in (*entries, *collections):
        for doubt in DOUBTS:
            yield from doubt(entry, neighbours)


def _own(claim: Claim | None) -> Claim | None:
    return claim if claim is not None and not claim.inherited else None


# Numbers and words


def _doubt_accuracy(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    """Doubt an accuracy that guessing would reach, or whose second guess is better than its first."""
    classes = entry.value("num_classes") or 0
    least = max(_LOW_PERCENT, Decimal(100) / classes if classes > 1 else 0)
    for result in entry.results:
        for metrics in (result.metrics, *(snapshot.metrics for snapshot in result.snapshots)):
            top1, top5 = (c if c and not c.problem else None for c in map(metrics.get, ("top1", "top5")))
            if (first := _own(top1 or top5)) is None:
                continue
            if 0 < first.value <= 1 and "%" not in first.text:
                message = f"{first.text} is read as {first.text} %; is it a fraction?"
                yield "unit-suspect", first.location, message
            elif top1 and top5 and top5.value > 5 * top1.value:
                why = "a later guess would be right more often than the first"
                message = f"top 5, {top5.text}, is more than five times top 1, {top1.text}: {why}"
                yield "unlikely-number", first.location, message
            elif top1 and top5 and top1.value == top5.value < 100:
                message = f"top 5 is what top 1 is, {top1.text}: was one copied?"
                yield "unlikely-number", top5.location, message
            elif first.value < least:
                message = f"{first.label} is {first.text}: is it a fraction, or has it lost a digit?"
                yield "unlikely-number", first.location, message


def _doubt_range(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    for name, (low, high) in _LIKELY.items():
        if (claim := _own(entry.metadata.get(name))) and not low <= claim.value <= high:
            message = f"{claim.label} is {claim.text}, likely is {low} to {high}: is it in another unit?"
            yield "unlikely-number", claim.location, message


def _doubt_uses(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    stated, flops = (_own(entry.metadata.get(name)) for name in ("parameters", "flops"))
    if stated and flops and 0 < stated.value * _MOST_USES < flops.value:
        doubted, why = (flops if stated.value >= 1_000_000 else stated), "is one in thousands or millions?"
        yield "unlikely-number", doubted.location, f"{flops.text} FLOPs with {stated.text} parameters: {why}"


_SHARE = re.compile(r"\b(?:accuracy|[am]?acc|m?iou|m?ap)\b", re.I)


def _doubt_share(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    """Doubt a share of something that is more than all of it."""
    for result in entry.results:
        for claim in filter(_own, result.metrics.values()):
            if _SHARE.search(claim.label) and isinstance(claim.value, Decimal) and claim.value > 100:
                yield "unlikely-number", claim.location, f"{claim.label} is {claim.text}, more than all"


def _doubt_words(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    said = [
        (claim, claim.text, words)
        for name, words in _WORDS.items()
        if (claim := _own(entry.metadata.get(name)))
    ]
    if weights := _own(entry.weights):
        ending = re.search(r"\.([a-z][a-z0-9]{1,9})$", _file(weights).lower())
        said += [(weights, ending[1], _SUFFIXES)] if ending else []
    for claim, word, words in said:
        if word not in words:
            message = f"{claim.label} has {word[:60]!r}, which is not known. {suggest(word, list(words))}"
            yield "unknown-word", claim.location, message


#: Tasks and data sets as they are written, beside what is said of them.
_KNOWN = {
    "Task": ("Image Classification", "Object Detection", "Semantic Segmentation", "Instance Segmentation",
             "Panoptic Segmentation", "Action Recognition", "Pose Estimation", "Depth Estimation"),
    "Dataset": (*WRITTEN, "Cityscapes"),
}  # fmt: skip


@lru_cache(maxsize=4096)  # an index has few different ones, many times
def _find_meant(label: str, word: str) -> str | None:
    """Return the known task or data set that a word is one slip away from."""
    ours = key_name(word)
    near = (known for known in _KNOWN[label] if abs(len(known) - len(word)) < 2)  # most are told by it
    return next((k for k in near if fold(k) != fold(word) and is_slip(ours, key_name(k))), None)


def _doubt_spelling(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    said = [(each.location, "Task", each.task) for each in entry.results]
    said += [(each.location, "Dataset", each.dataset) for each in entry.results]
    if data := _own(entry.metadata.get("training_data")):
        words = data.value if isinstance(data.value, tuple) else (data.value,)
        said += [(data.location, "Dataset", word) for word in words]
    for place, label, word in said:
        if word and (meant := _find_meant(label, str(word))):
            yield "unknown-word", place, f"{str(word)[:60]!r} is not known. Did you mean {meant!r}?"


# Names that name other names


def _doubt_data(entry: Entry, _: Neighbours) -> Iterator[Doubt]:
    """Doubt a data set that the entry's name has another number of: Kinetics-400 of a `kinetics700` model."""
    data = _own(entry.metadata.get("training_data"))
    stated = [(each.location, each.dataset or "") for each in entry.results if each.metrics]
    if data and len(data.value) == 1:
        stated.append((data.location, data.value[0]))
    for place, name in stated:
        if not re.search(r"[a-z]{3}\d", word := fold(name)):
            continue
        named = _traits(entry.name).get(re.sub(r"\d+", "#", word), {word})
        if word not in named:
            what = f"{name!r} is not the {', '.join(named)} that {entry.name} is named after"
            yield "mixed-recipes", place, what


def _doubt_collection(entry: Entry, neighbours: Neighbours) -> Iterator[Doubt]:
    """Doubt a collection that is another file's, or stands beside another that has the entry's name."""
    stated, collection = entry.extra.get("in_collection"), entry.collection
    if stated is None or collection is None:
        return
    here, own, named = neighbours.collections[str(entry.location.file)], collection.name, fold(entry.name)
    if here and own not in here:
        what = f"{own!r} is a collection of {collection.location.file}; here there is {', '.join(here[:3])}"
        yield "foreign-collection", stated.location, what
    near = [name for name in here if len(fold(name)) > 2 and named.startswith(fold(name))]
    best, ours = fold(max(near, key=len, default=own)), fold(own)
    if best not in ours and (ours not in named or best.startswith(ours)):
        what = f"{entry.name} is named after the collection {max(near, key=len)!r}, and in {own!r}"
        yield "foreign-collection", stated.location, what


def _doubt_recipe(entry: Entry, neighbours: Neighbours) -> Iterator[Doubt]:
    """Doubt an entry whose name, config and weights tell of different recipes, or of different families."""
    weights, said = _own(entry.weights), set()
    for claim, pair in _mixed(entry):
        is_shared = claim is weights and neighbours.sharing[str(claim.value)] > 1
        if neighbours.mixed[pair] < _CUSTOM and claim.label not in said and not is_shared:
            said.add(claim.label)
            message = f"{claim.label} is of {pair[1]}, the model {entry.name} of {pair[0]}"
            yield "mixed-recipes", claim.location, message
    family = _family(_file(weights)) if weights else ""
    if weights is None or said or len(family) < 3 or family not in neighbours.families:
        return
    collection = entry.collection.name if entry.collection else ""
    config = entry.config.value if entry.config else ""
    own = (entry.name, f"{_family(entry.name)}v1", collection, config, *(entry.value("architecture") or ()))
    if family not in fold(" ".join(map(str, own))):
        message = f"{_file(weights)[:80]} is named as models of {family!r} are, not as {entry.name}"
        yield "mixed-recipes", weights.location, message


_SIZES = re.compile("(?:x*(?:tiny|small|large)|nano|micro|mini|medium|base|huge|giant)")
_WORD = re.compile(r"[^-_.\s+()/]+")
#: How many machines a network was trained on, which its weights need not tell, and versions of a program.
_MACHINES = re.compile(r"#xb#|#x#(?:bs?)?|b#x#|#?b#|v#|rc#")
_ENDINGS = "|".join(("py", *_SUFFIXES))
_TAIL = re.compile(rf"(?:[-_](?:20\d{{6}}|\d{{6}}))*(?:[-_][0-9a-f]{{8}})?(?:\.(?:{_ENDINGS}))*$")


def _family(name: str) -> str:
    return fold(re.split("[-_.]", name, maxsplit=1)[0])


def _file(claim: Claim) -> str:
    return split_released(str(claim.value))[0]


def _mixed(entry: Entry) -> Iterator[tuple[Claim, tuple[str, str]]]:
    """List what config and weights tell otherwise than the name does, or the config where that is silent."""
    known = _traits(entry.name)
    for claim in filter(None, map(_own, (entry.config, entry.weights))):
        theirs = _traits(_file(claim))
        for kind in known.keys() & theirs.keys():
            if len(known[kind]) == len(theirs[kind]) and known[kind] != theirs[kind]:
                ours, other = known[kind] - theirs[kind], theirs[kind] - known[kind]
                yield claim, (" ".join(sorted(ours)), " ".join(sorted(other)))
        known = {**theirs, **known}


def _traits(name: str) -> dict[str, set[str]]:
    """Return the words of a file's name that tell a recipe, by kind: `r50` is of the kind `r#`."""
    traits = defaultdict(set)
    for word in _WORD.findall(_TAIL.sub("", name.lower())):
        kind = "size" if _SIZES.fullmatch(word) else re.sub(r"\d+", "#", word)
        is_area = re.fullmatch(r"\d{3,4}x\d{3,4}", word)
        if kind == "size" or is_area or (kind not in ("#", word) and not _MACHINES.fullmatch(kind)):
            traits[kind].add(word)
    return traits


#: Every doubt: a function of an entry, and of what is around it.
DOUBTS: tuple[Callable[[Entry, Neighbours], Iterator[Doubt]], ...] = (
    _doubt_accuracy, _doubt_range, _doubt_uses, _doubt_share, _doubt_words, _doubt_spelling,
    _doubt_data, _doubt_collection, _doubt_recipe,
)  # fmt: skip
