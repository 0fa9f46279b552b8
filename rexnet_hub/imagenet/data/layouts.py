"""Read a validation set as people have it: class folders, a flat folder, a tar, WebDataset, parquet."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from rexnet_hub.errors import DatasetError, FileProblem, UsageError, file_problems, refuse_unused
from rexnet_hub.identity import Identity
from rexnet_hub.imagenet.data.classes import Benchmark, imagenet_labels, read_classes
from rexnet_hub.imagenet.data.dataset import (
    IMAGENET_VALIDATION,
    Dataset,
    LabelledImage,
    gather_dataset,
    list_problems,
    read_file,
)
from rexnet_hub.imagenet.data.labels import CLASSES, SYNSET, find_class, find_classes, read_labels
from rexnet_hub.imagenet.data.validation import NUMBERED, find_strangers, official_class

IMAGE_SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"))
#: What systems leave in folders; so is every name that begins with a dot.
_OF_SYSTEMS = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
_OF_VALIDATION = re.compile(r"(?<![a-z])val")


#: Reads one image.
_Read = Callable[[], bytes]
#: The name of an image, what reads it, and its class; or in the class's place what is wrong.
_Row = tuple[str, _Read, int | str]


def read_dataset(
    path: Path | str,
    *,
    labels: Path | None = None,
    class_ids: Path | None = None,
    allow_subset: bool = False,
    benchmark: Benchmark = IMAGENET_VALIDATION,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Read ImageNet's validation set from a folder or an archive, or another data set from class folders.

    Args:
        path: A folder with a folder for each synset, with images, with WebDataset or parquet shards, or
            with one of these as its `val`; or a tar.
        labels: A label file to be held to the official labels, of images without class folders.
        class_ids: See `labels.read_labels`.
        allow_subset: Whether fewer images will do than the whole set.
        benchmark: Which data set it is; of any but ImageNet's validation set folders are named by label or
            by index.
        class_names: The labels of the classes, in the order of a network's outputs.

    Raises:
        DatasetError: It is none of these, not whole, or not what it is called. All problems of one kind are
            listed.
        MismatchError: It has the size of the official archive, and is another.
        UsageError: Parquet needs a package that is not installed, or the images need no labels file.
    """
    root = Path(path)
    if not root.exists():
        raise FileProblem(root, "does not exist")
    given = {"labels": labels, "class_ids": class_ids}
    passed_over: list[str] = []

    def label_flat(root: Path, reads: dict[str, _Read]) -> list[LabelledImage]:
        if labels is not None:
            given.clear()
            known = read_labels(labels, list(reads), class_ids=class_ids, allow_subset=allow_subset)
        elif foreign := find_strangers([*reads]):
            raise DatasetError(root, list_problems(foreign))
        else:
            known = {name: official_class(name) or 0 for name in reads}
        return [LabelledImage(name=name, label=known[name], read=read) for name, read in reads.items()]

    archive = benchmark.protocol.archive if benchmark.protocol else None
    if archive and root.is_file() and root.stat().st_size == archive.size_bytes:
        with file_problems(root, "cannot be read"), root.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        Identity((archive,)).require(root, replace(archive, sha256=sha256))
    if benchmark.is_imagenets:
        layout, images = _find_layout(root, label_flat, passed_over)
    else:
        names = imagenet_labels() if benchmark.protocol else class_names
        layout, images = "folders", _label_images(root, _read_named(root, benchmark, names, passed_over))
    refuse_unused(f"{root}, whose images say their classes,", **given)
    return gather_dataset(
        root,
        layout,
        images,
        allow_subset=allow_subset,
        benchmark=benchmark,
        class_names=class_names,
        passed_over=len(passed_over),
    )


def _read_named(
    root: Path, benchmark: Benchmark, class_names: Sequence[str], passed_over: list[str]
) -> Iterator[_Row]:
    """Read a folder for each class of a model; what it is named decides, never the order of the folders."""
    folders = _list_folders(root)
    if benchmark.split in {folder.name for folder in folders} - {*class_names}:
        folders = _list_folders(root / str(benchmark.split))
    if not folders:
        raise DatasetError(root, "has no folders: name one by label or by index for each class")
    classes = find_classes(root, [folder.name for folder in folders], class_names, benchmark.num_classes)
    return _read_folders(folders, classes, passed_over)


def _list_folders(root: Path) -> list[Path]:
    with file_problems(root, "cannot be read"):
        return sorted(each for each in root.iterdir() if each.is_dir() and not _is_of_systems(each.name))


def _is_of_systems(name: str) -> bool:
    """Return whether a system leaves a file of that name, or a folder with it, among images."""
    return any(part.startswith(".") or part.lower() in _OF_SYSTEMS for part in PurePosixPath(name).parts)


def _find_layout(
    root: Path, label_flat: Callable[[Path, dict[str, _Read]], list[LabelledImage]], passed_over: list[str]
) -> tuple[str, list[LabelledImage]]:
    if root.is_file():
        shards = [root]
    else:
        folders = _list_folders(root)
        files = sorted(file.name for file in root.iterdir() if not file.is_dir())
        passed_over += filter(_is_of_systems, files)
        if any(SYNSET.fullmatch(folder.name) for folder in folders):
            return "folders", _label_images(root, _read_folders(folders, CLASSES, passed_over))
        parquets = _of_validation(root.glob("*.parquet"))
        if parquets := parquets or _of_validation((root / "data").glob("*.parquet")):
            return "parquet", [i for file in parquets for i in _label_images(file, _read_parquet(file))]
        if flat := [root / name for name in files if is_image_name(name)]:
            if broken := [f"{file.name} is a link to nothing" for file in flat if not file.exists()]:
                raise DatasetError(root, list_problems(broken))
            return "flat", label_flat(root, _by_name(root, [(f.name, partial(read_file, f)) for f in flat]))
        if "val" in (folder.name for folder in folders):
            return _find_layout(root / "val", label_flat, passed_over)
        shards = _of_validation(root.glob("*.tar"))
        if not shards:
            raise DatasetError(root, _nothing_known(folders))
    members = [(shard, member) for shard in shards for member in _read_tar(shard)]
    passed_over += (member.name for _, member in members if _is_of_systems(member.name.removeprefix("./")))
    if any(member.name.endswith((".cls", ".json")) for _, member in members):
        return "webdataset", _label_images(root, _read_webdataset(members))
    spans: dict[str, _Read] = {m.name: _span(shard, m) for shard, m in members if is_image_name(m.name)}
    if any(SYNSET.fullmatch(PurePosixPath(name).parent.name) for name in spans):
        return "tar", _label_images(root, _by_parent(spans))
    return "tar", label_flat(root, _by_name(root, spans.items()))


def _of_validation(shards: Iterable[Path]) -> list[Path]:
    """Choose the shards that are named as the validation set's; all where none is."""
    files = sorted(shards)
    return [file for file in files if _OF_VALIDATION.search(file.name)] or files


def _nothing_known(folders: list[Path]) -> str:
    if folders:
        names = ", ".join(folder.name for folder in folders[:5])
        other = "of another data set, name it: --dataset NAME"
        return f"its folders are not named by synset, such as n01440764: {names}; {other}"
    return "holds neither class folders, images, tar shards nor parquet files"


def is_image_name(name: str) -> bool:
    """Return whether a file's name is one of an image, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not _is_of_systems(path.name)


def _canonical(name: str) -> str:
    """Return the one name of an ILSVRC 2012 image, and leave any other's alone."""
    numbered = NUMBERED.search(PurePosixPath(name).name)
    return f"{numbered[0]}.JPEG" if numbered else name


def _by_name(root: Path, reads: Iterable[tuple[str, _Read]]) -> dict[str, _Read]:
    """Name the images of a flat set."""
    named = [(_canonical(name), read) for name, read in reads]
    counts = Counter(name for name, _ in named)
    if twice := [f"{count} images are named {name}" for name, count in counts.items() if count > 1]:
        raise DatasetError(root, list_problems(twice))
    return dict(named)


def _label_images(root: Path, rows: Iterable[_Row]) -> list[LabelledImage]:
    """Label images, or refuse the set with all that is wrong."""
    images, problems = [], []
    for name, read, label in rows:
        if isinstance(label, str):
            problems.append(label)
        else:
            images.append(LabelledImage(name=_canonical(name), label=label, read=read))
    if problems:
        raise DatasetError(root, list_problems(problems))
    return images


def _read_folders(folders: list[Path], classes: Mapping[str, int], passed_over: list[str]) -> Iterator[_Row]:
    """Read a folder for each class."""
    for folder in folders:
        label = classes.get(folder.name)
        if label is None:
            yield "", folder.read_bytes, f"{folder.name} is not a synset of ImageNet-1k"
        for file in sorted(folder.iterdir()):
            name, read = f"{folder.name}/{file.name}", partial(read_file, file)
            if _is_of_systems(file.name):
                passed_over.append(name)
            elif not file.exists():
                yield name, read, f"{name} is a link to nothing"
            elif not is_image_name(file.name) or not file.is_file():
                yield name, read, f"{name} is not an image by its name"
            elif label is not None:
                yield name, read, label


def _read_tar(file: Path) -> list[tarfile.TarInfo]:
    """List the files of a tar, each with the place of its bytes."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            members = [member for member in archive if member.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(file, f"is not a whole, uncompressed tar ({error})") from error
    size_bytes = file.stat().st_size
    if cut := [m.name for m in members if m.offset_data + m.size > size_bytes]:
        raise DatasetError(file, f"is cut short: it ends within {cut[0]}")
    return members


def _span(shard: Path, member: tarfile.TarInfo) -> _Read:
    """Return what reads a member of a tar."""
    return partial(read_file, shard, member.offset_data, member.size)


def _by_parent(reads: dict[str, _Read]) -> Iterator[_Row]:
    """Label the images of a tar by their folders."""
    for name, read in reads.items():
        label = CLASSES.get(PurePosixPath(name).parent.name)
        yield name, read, f"{name} is not in the folder of a synset" if label is None else label


def _read_webdataset(members: list[tuple[Path, tarfile.TarInfo]]) -> Iterator[_Row]:
    """Pair each image with the class of its key: in a `.cls`, or else a `.json`, which may have its name."""
    images: dict[str, tuple[str, _Read]] = {}
    labels: dict[str, object] = {}
    names: dict[str, str] = {}
    for shard, member in members:
        read = _span(shard, member)
        stem, _, extension = member.name.rpartition("/")[2].partition(".")
        key = f"{member.name.rpartition('/')[0]}/{stem}".removeprefix("/")
        if is_image_name(f"{stem}.{extension}"):
            images[key] = (f"{key}.{extension}", read)
        elif extension == "cls":
            labels[key] = read().decode("ascii", "replace").strip()
        elif extension == "json":
            text = read().decode("utf-8", "replace")
            labels.setdefault(key, _label_in_json(text))
            if not NUMBERED.search(key) and (numbered := NUMBERED.search(text)):
                names[key] = numbered[0]
    for key in sorted(images.keys() | labels.keys()):
        name, read = images.get(key, (key, bytes))
        name = names.get(key, name)
        both, missing = key in images and key in labels, "image" if key in labels else ".cls or .json"
        yield name, read, _stated_class(key, labels[key]) if both else f"{key} has no {missing}"


def _label_in_json(text: str) -> object:
    """Find the class that a WebDataset's JSON states, under the usual keys."""
    try:
        stated = json.loads(text)
        return next(stated[key] for key in ("label", "cls", "class_id", "synset", "wnid") if key in stated)
    except (ValueError, TypeError, StopIteration):
        return "none"


def _stated_class(name: str, label: object) -> int | str:
    """Return the class that a shard states, or what is wrong; a synset in the name must be that class's."""
    index = find_class(label)
    if index is None:
        return f"{name} has the class {label!r}, which is neither 0 to 999 nor a synset"
    named, given = re.search(SYNSET, name), read_classes()[index].synset
    if named and named[0] != given:
        return f"{name} has the class {index}, which is {given}: the classes are not in ImageNet's order"
    return index


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("parquet is read with pyarrow: pip install 'rexnet-hub[imagenet]'") from error
    return pyarrow.parquet


def _read_parquet(file: Path) -> Iterator[_Row]:
    """Read the names and labels of a shard in the Hugging Face layout: `image` (bytes, path) and `label`."""
    parquet = _parquet()
    try:
        with parquet.ParquetFile(file) as shard:
            if problems := _wrong_order(shard.schema_arrow.metadata):
                raise DatasetError(file, list_problems(problems))
            for group in range(shard.num_row_groups):
                table = shard.read_row_group(group, columns=["image.path", "label"])
                rows = zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True)
                for row, (image, label) in enumerate(rows):
                    label = _stated_class(image["path"] or f"row {row} of group {group}", label)
                    name = image["path"] or f"{file.stem}-{group:05d}-{row:05d}"
                    yield name, partial(_read_cell, file, group, row), label
    except (OSError, KeyError, ValueError, TypeError) as error:  # pyarrow's own errors are ValueErrors
        raise DatasetError(file, f"is not a parquet file of images and labels ({error})") from error


def _wrong_order(metadata: dict[bytes, bytes] | None) -> list[str]:
    """Find the class names in a shard's head that are ImageNet's, in another place."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        names = features["label"]["names"]
    except (KeyError, TypeError, ValueError):
        return []  # the shard does not say
    places: dict[str, list[int]] = {}
    for class_ in read_classes():
        for name in (class_.label, class_.synset):
            places.setdefault(name, []).append(class_.index)
    return [
        f"class {index} is named {name!r}, which is class {places[name][0]}"
        for index, name in enumerate(names)
        if name in places and index not in places[name]
    ]


def _read_cell(file: Path, group: int, row: int) -> bytes:
    """Read a row's group, or find it among those that were read last."""
    data = _read_group(file, group)[row].as_py()
    if not isinstance(data, bytes):
        raise DatasetError(file, f"row {row} of group {group} holds no image")
    return data


@functools.lru_cache(maxsize=8)
def _read_group(file: Path, group: int) -> Any:
    """Read the images of one row group."""
    try:
        with _parquet().ParquetFile(file, memory_map=True) as shard:
            table = shard.read_row_group(group, columns=["image.bytes"])
            return table["image"].combine_chunks().field("bytes")
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(file, f"row group {group} cannot be read ({error})") from error
