"""Read a validation set as people have it: class folders, a flat folder, a tar, WebDataset, parquet."""

from __future__ import annotations

import functools
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rexnet_hub.errors import DatasetError, FileProblem, UsageError
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.dataset import Dataset, LabelledImage, Place, gather_dataset, list_problems
from rexnet_hub.imagenet.data.labels import NUMBERED, SYNSET, class_of, find_label_file, read_labels

IMAGE_SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))


@dataclass(frozen=True, slots=True)
class FilePlace:
    """An image that is a file of its own."""

    file: Path

    def read_bytes(self) -> bytes:
        """Read the file."""
        try:
            return self.file.read_bytes()
        except OSError as error:
            raise FileProblem(self.file, error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True)
class SpanPlace:
    """An image that is a span of bytes in an archive."""

    file: Path
    offset: int
    size_bytes: int

    def read_bytes(self) -> bytes:
        """Read the span."""
        try:
            with self.file.open("rb") as archive:
                archive.seek(self.offset)
                data = archive.read(self.size_bytes)
        except OSError as error:
            raise FileProblem(self.file, error.strerror or str(error)) from error
        if len(data) != self.size_bytes:
            raise DatasetError(self.file, f"ends before its image at byte {self.offset}")
        return data


@dataclass(frozen=True, slots=True)
class RowPlace:
    """An image that is a cell of a parquet file."""

    file: Path
    group: int
    row: int

    def read_bytes(self) -> bytes:
        """Read the row's group, or find it among those that were read last."""
        data = _read_group(self.file, self.group)[self.row].as_py()
        if not isinstance(data, bytes):
            raise DatasetError(self.file, f"row {self.row} of group {self.group} holds no image")
        return data


def read_dataset(
    path: Path | str, *, labels: Path | None = None, class_ids: Path | None = None, allow_subset: bool = False
) -> Dataset:
    """Read a validation set from a folder or an archive.

    Args:
        path: A folder with a folder for each synset, with images, with WebDataset or parquet shards, or
            with one of these as its `val`; or a tar.
        labels: The label file of images without class folders; else a known one is looked for beside them.
        class_ids: See `labels.read_labels`.
        allow_subset: Whether fewer images will do than the whole validation set.

    Raises:
        DatasetError: It is none of these, or not whole. All problems of one kind are listed.
        UsageError: Parquet needs a package that is not installed.
    """
    root = Path(path)
    if not root.exists():
        raise FileProblem(root, "does not exist")
    layout, images = _find_layout(root, labels, class_ids, allow_subset)
    return gather_dataset(root, layout, images, allow_subset=allow_subset)


def _find_layout(
    root: Path, labels: Path | None, class_ids: Path | None, allow_subset: bool
) -> tuple[str, list[LabelledImage]]:
    def from_label_file(places: dict[str, Place]) -> list[LabelledImage]:
        known = read_labels(
            labels or find_label_file(root), list(places), class_ids=class_ids, allow_subset=allow_subset
        )
        return [LabelledImage(name=name, label=known[name], place=place) for name, place in places.items()]

    if root.is_file():
        shards = [root]
    else:
        folders = sorted(
            entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
        )
        if any(SYNSET.fullmatch(folder.name) for folder in folders):
            return "folders", list(_read_folders(root, folders))
        if parquets := _find_parquets(root):
            return "parquet", [image for file in parquets for image in _read_parquet(file)]
        if flat := {file.name: FilePlace(file) for file in sorted(root.iterdir()) if _is_image(file.name)}:
            return "flat", from_label_file({_canonical(name): place for name, place in flat.items()})
        if "val" in (folder.name for folder in folders):
            return _find_layout(root / "val", labels, class_ids, allow_subset)
        shards = sorted(root.glob("*.tar"))
        if not shards:
            raise DatasetError(root, _nothing_known(folders))
    members = [(shard, member) for shard in shards for member in _read_tar(shard)]
    if any(member.name.endswith(".cls") for _, member in members):
        return "webdataset", _read_webdataset(root, members)
    spans = {
        member.name: SpanPlace(shard, member.offset_data, member.size)
        for shard, member in members
        if _is_image(member.name)
    }
    if any(SYNSET.fullmatch(PurePosixPath(name).parent.name) for name in spans):
        return "tar", _by_parent(root, spans)
    return "tar", from_label_file({_canonical(name): span for name, span in spans.items()})


def _nothing_known(folders: list[Path]) -> str:
    if folders:
        names = ", ".join(folder.name for folder in folders[:5])
        return f"its folders are not named by synset, such as n01440764: {names}"
    return "holds neither class folders, images, tar shards nor parquet files"


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _canonical(name: str) -> str:
    """Return the one name of an ILSVRC 2012 image, and leave any other's alone."""
    numbered = NUMBERED.search(PurePosixPath(name).name)
    return f"{numbered[0]}.JPEG" if numbered else name


def _read_folders(root: Path, folders: list[Path]) -> Iterator[LabelledImage]:
    """Read a folder for each synset."""
    problems = [f"{f.name} is not a synset of ImageNet-1k" for f in folders if class_of(f.name) is None]
    found = []
    for folder in folders:
        label = class_of(folder.name)
        for file in sorted(folder.iterdir()):
            if file.name.startswith("."):
                continue
            if not _is_image(file.name) or not file.is_file():
                problems.append(f"{folder.name}/{file.name} is not an image by its name")
            elif label is not None:
                name = _canonical(f"{folder.name}/{file.name}")
                found.append(LabelledImage(name=name, label=label, place=FilePlace(file)))
    if problems:
        raise DatasetError(root, list_problems(problems))
    yield from found


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


def _by_parent(root: Path, spans: dict[str, SpanPlace]) -> list[LabelledImage]:
    """Label the images of a tar by their folders."""
    images, problems = [], []
    for name, span in spans.items():
        label = class_of(PurePosixPath(name).parent.name)
        if label is None:
            problems.append(f"{name} is not in the folder of a synset")
        else:
            images.append(LabelledImage(name=_canonical(name), label=label, place=span))
    if problems:
        raise DatasetError(root, list_problems(problems))
    return images


def _read_webdataset(root: Path, members: list[tuple[Path, tarfile.TarInfo]]) -> list[LabelledImage]:
    """Pair each image with the `.cls` of its key; a synset in the key must be that class's."""
    spans, labels = {}, {}
    for shard, member in members:
        span = SpanPlace(shard, member.offset_data, member.size)
        stem, _, extension = member.name.rpartition("/")[2].partition(".")
        key = f"{member.name.rpartition('/')[0]}/{stem}".removeprefix("/")
        if _is_image(f"{stem}.{extension}"):
            spans[key] = (f"{key}.{extension}", span)
        elif extension == "cls":
            labels[key] = span.read_bytes().decode("ascii", "replace").strip()
    images, problems = [], []
    for key in sorted(spans.keys() | labels.keys()):
        if key not in spans or key not in labels:
            problems.append(f"{key} has no {'.cls' if key in spans else 'image'}")
        elif problem := _wrong_label(key, labels[key]):
            problems.append(problem)
        else:
            name, span = spans[key]
            images.append(LabelledImage(name=_canonical(name), label=int(labels[key]), place=span))
    if problems:
        raise DatasetError(root, list_problems(problems))
    return images


def _wrong_label(key: str, label: str) -> str | None:
    """Return what is wrong with the class that a shard gives an image."""
    if not label.isdecimal() or int(label) >= len(read_classes()):
        return f"{key} has the class {label!r}, which is not 0 to 999"
    named, given = re.search(SYNSET, key), read_classes()[int(label)].synset
    if named and named[0] != given:
        return f"{key} has the class {label}, which is {given}: the classes are not in ImageNet's order"
    return None


def _find_parquets(root: Path) -> list[Path]:
    """Find the shards of the validation split."""
    files = sorted(root.glob("*.parquet")) or sorted((root / "data").glob("*.parquet"))
    return [file for file in files if file.name.startswith("val")] or files


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("parquet is read with pyarrow: pip install 'rexnet-hub[imagenet]'") from error
    return pyarrow.parquet


def _read_parquet(file: Path) -> Iterator[LabelledImage]:
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
                    yield _row_image(file, group, row, image["path"], label)
    except (OSError, KeyError, ValueError, TypeError) as error:  # pyarrow's own errors are ValueErrors
        raise DatasetError(file, f"is not a parquet file of images and labels ({error})") from error


def _row_image(file: Path, group: int, row: int, path: str | None, label: object) -> LabelledImage:
    where = path or f"row {row} of group {group}"
    if not isinstance(label, int) or not 0 <= label < len(read_classes()):
        raise DatasetError(file, f"{where} has the class {label!r}, which is not 0 to 999")
    named = re.search(SYNSET, path or "")
    if named and named[0] != read_classes()[label].synset:
        raise DatasetError(file, f"{where} has the class {label}: the classes are not in ImageNet's order")
    name = _canonical(path or f"{file.stem}-{group:05d}-{row:05d}")
    return LabelledImage(name=name, label=label, place=RowPlace(file, group, row))


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


@functools.lru_cache(maxsize=8)
def _read_group(file: Path, group: int) -> Any:
    """Read the images of one row group."""
    try:
        with _parquet().ParquetFile(file, memory_map=True) as shard:
            return (
                shard.read_row_group(group, columns=["image.bytes"])["image"].combine_chunks().field("bytes")
            )
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(file, f"row group {group} cannot be read ({error})") from error
