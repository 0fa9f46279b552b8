"""Describe a labelled set of images: its images, its counts, its digest, a sample of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rexnet_hub.errors import DatasetError, UsageError, file_problems, list_some
from rexnet_hub.imagenet.data.classes import Benchmark, digest_labels, imagenet_labels, read_classes
from rexnet_hub.imagenet.data.validation import find_mislabelled, find_strangers
from rexnet_hub.whole_files import open_regular

IMAGENET_VALIDATION = Benchmark(labels_sha256=digest_labels(imagenet_labels()))


def read_file(file: Path, offset: int = 0, size_bytes: int = -1) -> bytes:
    """Read a file, whole or a span of it.

    Raises:
        FileProblem: It cannot be read, or is no regular file.
        DatasetError: It ends within the span.
    """
    with file_problems(file, "cannot be read"), open_regular(file) as stream:
        stream.seek(offset)
        data = stream.read(size_bytes)
    if len(data) < size_bytes:
        raise DatasetError(file, f"ends before its image at byte {offset}")
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One image as it is stored.

    Attributes:
        name: `ILSVRC2012_val_00000001.JPEG` however the set is stored, or else the path within the set.
        read: Reads its bytes; small, and can be handed to another process.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage(StoredImage):
    """One image, and the index of the class that it shows."""

    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The size and seed of a sample.

    Attributes:
        of_whole: Whether it was drawn from the whole set; None in a record of before.
    """

    size: int
    seed: int
    drawn_from: int
    of_whole: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A labelled set of images, in the order of their names.

    Attributes:
        root: The folder or file that it was read from.
        benchmark: Which set it is, or is a part of.
        layout: How it is stored: `folders`, `flat`, `tar`, `webdataset` or `parquet`.
        sample: Set where the images are a sample of what is at `root`.
        passed_over: Files that systems leave among images, such as `Thumbs.db`.
        tar_bytes: Of a sample, the size of a tar of all that it is of; None where only reading tells.
    """

    root: Path
    layout: str
    images: tuple[LabelledImage, ...]
    benchmark: Benchmark = IMAGENET_VALIDATION
    sample: Sample | None = None
    passed_over: int = 0
    tar_bytes: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it is the whole set: a published one by its counts, any other with images of each class."""
        is_all = self.sample is None or self.sample.size == self.sample.drawn_from
        return is_all and self.benchmark.is_whole(image.label for image in self.images)

    @property
    def description(self) -> str:
        """The images that a number measured on it is about; to be printed beside it."""
        title, count, known = self.benchmark.title, f"{len(self.images):,} images", self.benchmark.protocol
        if self.is_complete and known:
            return f"{title}, {count}, {known.words}"
        among = f", {known.words}" if known and known.mask else ""
        if self.sample:
            of = "" if self.sample.of_whole else " of a subset"
            drawn = f"{self.sample.size:,} of {self.sample.drawn_from:,} images, seed {self.sample.seed}"
            return f"a sample{of} of {title}, {drawn}{among}"
        part = "" if self.is_complete else "a subset of "
        return f"{part}{title}, {count} of {len({image.label for image in self.images}):,} classes{among}"


class DatasetManifest(NamedTuple):
    """Every image by name, content and label, as text that `sha256sum` can check.

    Attributes:
        text: A line for each image: the name, the SHA-256 of its bytes and the index of its class, by tabs.
        tar_bytes: The size of a tar of the images, or of all that they are a sample of.
        remarks: What is known of the images beside their number, in words; to be printed after it.
    """

    text: str
    sha256: str
    tar_bytes: int | None
    remarks: str


def read_manifest(data: Dataset) -> DatasetManifest:
    """Read every image once and write down what it is.

    The same images have the same manifest in whatever layout they are stored.
    """
    from concurrent.futures import ThreadPoolExecutor

    def read_facts(image: LabelledImage) -> tuple[str, int]:
        content = image.read()
        return hashlib.sha256(content).hexdigest(), len(content)

    with ThreadPoolExecutor(4) as pool:
        facts = list(pool.map(read_facts, data.images))
    lines = [f"{i.name}\t{digest}\t{i.label}\n" for i, (digest, _) in zip(data.images, facts, strict=True)]
    text = "".join(lines)
    tar_bytes = data.tar_bytes if data.sample else find_tar_size([size_bytes for _, size_bytes in facts])
    remarks = _list_remarks(data, tar_bytes, [digest for digest, _ in facts])
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return DatasetManifest(text=text, sha256=sha256, tar_bytes=tar_bytes, remarks="".join(remarks))


def find_tar_size(sizes_bytes: Sequence[int]) -> int:
    """Compute the size of a tar: a block of 512 bytes before each file, whole blocks, whole records of 20."""
    blocks = sum(1 + -(-size_bytes // 512) for size_bytes in sizes_bytes)
    return -(-(blocks + 2) // 20) * 20 * 512


def _find_size(image: LabelledImage) -> int | None:
    """Return an image's size if that is known without reading it."""
    if not isinstance(image.read, partial) or image.read.func is not read_file:
        return None
    file, *span = image.read.args
    with file_problems(file, "cannot be read"):
        size_bytes: int = span[1] if span else file.stat().st_size
    return size_bytes


def _list_remarks(data: Dataset, tar_bytes: int | None, digests: Sequence[str]) -> Iterator[str]:
    known = data.benchmark.protocol
    if known is not None:
        words = "labels official, images" if data.benchmark.is_imagenets else "images"
        is_whole = data.is_complete or (data.sample is not None and data.sample.of_whole)
        official = known.archive.size_bytes if known.archive and is_whole else None
        sizes = f"of {tar_bytes or 0:,} bytes in a tar, officially {official or 0:,}"
        yield f"; {words} {sizes if tar_bytes and official else 'not compared'}"
    if copies := [digest for digest, count in Counter(digests).items() if count > 1]:
        first, more = data.images[digests.index(copies[0])].name, len(digests) - len({*digests})
        yield f"; {more:,} images are copies of another to the byte, such as of {first}"
    if data.passed_over:
        yield f"; {data.passed_over:,} files of a system passed over"


def gather_dataset(
    root: Path,
    layout: str,
    images: Iterable[LabelledImage],
    *,
    allow_subset: bool,
    benchmark: Benchmark = IMAGENET_VALIDATION,
    class_names: Sequence[str] = (),
    passed_over: int = 0,
) -> Dataset:
    """Sort images and check that they are what an accuracy may be measured on.

    Raises:
        DatasetError: There are none, two share a name, or a class has none or not as many as were published;
            with `allow_subset` a class may have fewer. Or one is no image of ImageNet's, or of another class.
    """
    ordered = tuple(sorted(images, key=lambda image: image.name))
    if not ordered:
        raise DatasetError(root, "holds no images")
    counts = Counter(image.name for image in ordered)
    problems = [f"{count} images are named {name}" for name, count in counts.items() if count > 1]
    by_class = Counter(image.label for image in ordered)
    if benchmark.is_imagenets:
        problems += find_strangers([*counts], by_class)
        problems += find_mislabelled([(image.name, image.label) for image in ordered])
    problems = problems or list(_wrong_counts(benchmark, by_class, class_names, allow_subset=allow_subset))
    if problems:
        raise DatasetError(root, list_problems(problems))
    return Dataset(root=root, layout=layout, images=ordered, benchmark=benchmark, passed_over=passed_over)


def _wrong_counts(
    benchmark: Benchmark, counts: Counter[int], class_names: Sequence[str], *, allow_subset: bool
) -> Iterator[str]:
    known, title, total = benchmark.protocol, benchmark.title, counts.total()
    if known is None:
        missing = (index for index in range(benchmark.num_classes) if not counts[index])
        for index in () if allow_subset else missing:
            yield f"class {index} ({class_names[index] if class_names else index}) has no images"
        return
    most = known.per_class or known.images
    for class_ in read_classes():
        count = counts[class_.index]
        if class_.index not in known.classes and count:
            yield f"{class_.synset} ({class_.label}) is none of the {len(known.classes)} classes of {title}"
        elif count > most:
            yield f"{class_.synset} has {count} images, {title} has {most} (is this the training set?)"
        elif class_.index in known.classes and not allow_subset and count < (known.per_class or 1):
            lack = f"has {count} of {known.per_class} images" if count else "is missing"
            yield f"{class_.synset} ({class_.label}) {lack}"
    if total > known.images or (total < known.images and not allow_subset):
        yield f"it holds {total:,} images, {title} has {known.images:,}"


def list_problems(problems: Sequence[str]) -> str:
    """Join problems in one line; of very many, the first and how many more."""
    return list_some(problems, 8, between="; ")


def sample_dataset(data: Dataset, size: int, *, seed: int = 0) -> Dataset:
    """Draw a sample in which each class has its share, so that it is as right as the whole set is.

    Only names decide, so it is the same on every machine and in every layout; a larger sample with
    the same seed contains the smaller.

    Raises:
        UsageError: The size is not one that the set has.
    """
    if not 1 <= size <= len(data.images):
        raise UsageError(f"a sample of {size:,} images cannot be drawn from {len(data.images):,}")

    def draw(text: str) -> float:
        return int(hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()[:13], 16) / 16**13

    by_class: dict[int, list[LabelledImage]] = {}
    for image in sorted(data.images, key=lambda image: draw(image.name)):
        by_class.setdefault(image.label, []).append(image)
    # Each class gives its images at even steps, of which it has as many as images, from a drawn start.
    places = [
        ((turn + draw(str(label))) / len(own), image)
        for label, own in by_class.items()
        for turn, image in enumerate(own)
    ]
    chosen = sorted(places, key=lambda place: place[0])[:size]
    images = tuple(sorted((image for _, image in chosen), key=lambda image: image.name))
    sample = Sample(size=size, seed=seed, drawn_from=len(data.images), of_whole=data.is_complete)
    sizes = [known for image in data.images if (known := _find_size(image)) is not None]
    tar_bytes = find_tar_size(sizes) if len(sizes) == len(data.images) else None
    return replace(data, images=images, sample=sample, tar_bytes=tar_bytes)
