"""Describe a labelled set of images: its images, its counts, its digest, a sample of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rexnet_hub.errors import DatasetError, UsageError, file_problems, list_some
from rexnet_hub.imagenet.data.classes import (
    IMAGES_PER_CLASS,
    Benchmark,
    digest_labels,
    imagenet_labels,
    read_classes,
)

IMAGENET_VALIDATION = Benchmark(labels_sha256=digest_labels(imagenet_labels()))


def read_file(file: Path, offset: int = 0, size_bytes: int = -1) -> bytes:
    """Read a file, whole or a span of it.

    Raises:
        FileProblem: It cannot be read.
        DatasetError: It ends within the span.
    """
    with file_problems(file, "cannot be read"), file.open("rb") as stream:
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
    """

    root: Path
    layout: str
    images: tuple[LabelledImage, ...]
    benchmark: Benchmark = IMAGENET_VALIDATION
    sample: Sample | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it is the whole set: by its counts ImageNet's, of any other with images of each class."""
        is_all = self.sample is None or self.sample.size == self.sample.drawn_from
        return is_all and self.benchmark.is_whole(image.label for image in self.images)

    @property
    def description(self) -> str:
        """The images that a number measured on it is about; to be printed beside it."""
        title, count = self.benchmark.title, f"{len(self.images):,} images"
        if self.is_complete and self.benchmark.is_imagenets:
            return f"{title}, {count}, {IMAGES_PER_CLASS} of each class"
        if self.sample:
            of = "" if self.sample.of_whole else " of a subset"
            drawn = f"{self.sample.size:,} of {self.sample.drawn_from:,} images, seed {self.sample.seed}"
            return f"a sample{of} of {title}, {drawn}"
        part = "" if self.is_complete else "a subset of "
        return f"{part}{title}, {count} of {len({image.label for image in self.images}):,} classes"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetManifest:
    """Every image by name, content and label, as text that `sha256sum` can check.

    Attributes:
        text: A line for each image: the name, the SHA-256 of its bytes and the index of its class, by tabs.
    """

    text: str
    sha256: str


def read_manifest(data: Dataset) -> DatasetManifest:
    """Read every image once and write down what it is.

    The same images have the same manifest in whatever layout they are stored.
    """
    with ThreadPoolExecutor(4) as pool:
        digests = pool.map(lambda image: hashlib.sha256(image.read()).hexdigest(), data.images)
        lines = [f"{i.name}\t{digest}\t{i.label}\n" for i, digest in zip(data.images, digests, strict=True)]
    text = "".join(lines)
    return DatasetManifest(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def gather_dataset(
    root: Path,
    layout: str,
    images: Iterable[LabelledImage],
    *,
    allow_subset: bool,
    benchmark: Benchmark = IMAGENET_VALIDATION,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Sort images and check that they are what an accuracy may be measured on.

    Raises:
        DatasetError: There are none, two share a name, or a class has none, of ImageNet not 50 images; with
            `allow_subset` a class may have fewer.
    """
    ordered = tuple(sorted(images, key=lambda image: image.name))
    if not ordered:
        raise DatasetError(root, "holds no images")
    counts = Counter(image.name for image in ordered)
    shared = [f"{count} images are named {name}" for name, count in counts.items() if count > 1]
    by_class = Counter(image.label for image in ordered)
    if benchmark.is_imagenets:
        wrong = _wrong_counts(by_class, allow_subset=allow_subset)
    else:
        names = class_names or range(benchmark.num_classes)
        missing = (f"class {index} ({name})" for index, name in enumerate(names) if not by_class[index])
        wrong = [] if allow_subset else [f"{words} has no images" for words in missing]
    if problems := [*shared, *wrong]:
        raise DatasetError(root, list_problems(problems))
    return Dataset(root=root, layout=layout, images=ordered, benchmark=benchmark)


def _wrong_counts(counts: Mapping[int, int], *, allow_subset: bool) -> list[str]:
    problems = []
    for class_ in read_classes():
        count = counts.get(class_.index, 0)
        if count > IMAGES_PER_CLASS:
            whole = f"the validation set has {IMAGES_PER_CLASS} (is this the training set?)"
            problems.append(f"{class_.synset} has {count} images, {whole}")
        elif count < IMAGES_PER_CLASS and not allow_subset:
            lack = f"has {count} of {IMAGES_PER_CLASS} images" if count else "is missing"
            problems.append(f"{class_.synset} ({class_.label}) {lack}")
    return problems


def list_problems(problems: Sequence[str]) -> str:
    """Join problems in one line; of very many, the first and how many more."""
    return list_some(problems, 8, between="; ")


def sample_dataset(data: Dataset, size: int, *, seed: int = 0) -> Dataset:
    """Draw a sample with as many images of each class as can be.

    Only names decide, so it is the same on every machine and in every layout; a larger sample with
    the same seed contains the smaller.

    Raises:
        UsageError: The size is not one that the set has.
    """
    if not 1 <= size <= len(data.images):
        raise UsageError(f"a sample of {size:,} images cannot be drawn from {len(data.images):,}")

    def draw_order(text: str) -> str:
        return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()

    by_class: dict[int, list[LabelledImage]] = {}
    for image in sorted(data.images, key=lambda image: draw_order(image.name)):
        by_class.setdefault(image.label, []).append(image)
    # Round by round, each class gives its next image; within a round the classes are in drawn order.
    rounds = [
        (turn, draw_order(str(label)), image) for label, c in by_class.items() for turn, image in enumerate(c)
    ]
    chosen = sorted(rounds, key=lambda r: (r[0], r[1]))[:size]
    images = tuple(sorted((image for _, _, image in chosen), key=lambda image: image.name))
    sample = Sample(size=size, seed=seed, drawn_from=len(data.images), of_whole=data.is_complete)
    return replace(data, images=images, sample=sample)
