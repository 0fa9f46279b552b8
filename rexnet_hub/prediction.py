"""Classify pictures one after another, from wherever they are."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rexnet_hub.addresses import redact_url
from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.errors import (
    FetchError,
    FileProblem,
    NotAnImageError,
    RepoError,
    UsageError,
    network_problems,
)
from rexnet_hub.imagenet.data.dataset import StoredImage, read_file
from rexnet_hub.imagenet.data.layouts import is_image_name
from rexnet_hub.imagenet.data.pixels import AS_SEEN, Reading, normalise
from rexnet_hub.imagenet.data.tiles import DecodedTile, ImageTiles, open_decoder, run_ahead
from rexnet_hub.imagenet.run.runner import (
    count_cores,
    exact_arithmetic,
    find_device,
    geometry,
    use_one_thread,
)
from rexnet_hub.nets import find_network
from rexnet_hub.pictures import fetch_picture, is_address

#: Pictures that go through the network together, by device type: results come as soon as they are there.
BATCH = {"cpu": 4, "cuda": 32}


@dataclass(frozen=True, kw_only=True)
class Guess:
    """One class that a picture may show; `probability` is the softmax of its logit."""

    class_index: int
    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The classes that one picture may show.

    Attributes:
        file: As it was named; an address without what may be secret.
        turned: Whether it was turned as its EXIF orientation says.
        problem: Why it could not be read; then there are no guesses.
        guesses: The likeliest first.
    """

    file: str
    turned: bool
    problem: str | None
    guesses: tuple[Guess, ...]


def find_pictures(words: Sequence[str]) -> list[StoredImage]:
    """List the pictures that words name, in order; what is not there is found out when it is read.

    A word is a file, a folder (with all below it that has a picture's name), a glob, an https address, or
    `-`, a picture on standard input.

    Raises:
        FileProblem: A folder holds no picture.
        UsageError: A word is empty.
    """
    return [picture for word in words for picture in _find(word)]


def _find(word: str) -> Iterator[StoredImage]:
    if not word:
        raise UsageError("a picture has an empty name; write . for those of this folder")
    if word == "-":
        yield _stored("standard input", sys.stdin.buffer.read)
    elif is_address(word):
        yield _stored(redact_url(word), partial(fetch_picture, word))
    elif (path := Path(word)).is_dir():
        unlisted: list[OSError] = []
        walked = os.walk(path, onerror=unlisted.append)
        files = [Path(folder, name) for folder, _, names in walked for name in names if is_image_name(name)]
        files += [Path(error.filename) for error in unlisted]  # who reads them is told why
        if not files:
            raise FileProblem(word, "holds no file that is named as a picture")
        yield from (_stored(str(file), partial(read_file, file)) for file in sorted(files))
    else:
        found = [] if path.exists() else sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - takes any word
        yield from (_stored(name, partial(read_file, Path(name))) for name in found or [word])


def _stored(name: str, read: Callable[[], bytes]) -> StoredImage:
    return StoredImage(name=name, read=partial(_read, name, read))


def _read(name: str, read: Callable[[], bytes]) -> bytes:
    """Read one picture; what prevents it is a problem of that picture alone."""
    try:
        return read()
    except (FileProblem, FetchError) as error:
        raise NotAnImageError(name, str(error).removeprefix(f"{name}: ")) from error


def classify(
    source: str | Path,
    pictures: Sequence[StoredImage],
    *,
    top: int = 5,
    device: str = "cpu",
    batch: int | None = None,
    reading: Reading = AS_SEEN,
    **access: Any,
) -> Iterator[Prediction]:
    """Find the likeliest classes of each picture, in order, each as soon as it and those before it are done.

    A picture that cannot be read has its problem in the place of guesses. Each is read and decoded once.

    Args:
        batch: Pictures that go through the network together; by default as `BATCH` says.
        access: More arguments of `from_pretrained`.

    Raises:
        UsageError: There is no such device.
        RepoError: The model is not one for RGB pictures.
        RexnetHubError: As of `AutoModel.from_pretrained`.
    """
    where = find_device(device)
    processor = AutoImageProcessor.from_pretrained(source, **access)
    model: Any = AutoModel.from_pretrained(source, device=where, **access)
    if model.in_chans != 3:
        raise RepoError(f"{source}: takes {model.in_chans} channels, pictures have 3")
    if not model.num_classes:
        raise RepoError(f"{source}: has no classes; AutoModel gives its features")
    channels_last = find_network(model.pretrained_cfg["architecture"]).family.channels_last
    spec, labels = processor.preprocessing, processor.labels or tuple(map(str, range(model.num_classes)))
    tiles = ImageTiles(
        images=pictures,
        geometries=[geometry(spec)],
        tile_images=min(batch or BATCH[where.type], len(pictures) or 1),
        skip_unreadable=True,
        reading=reading,
    )

    def rank(tile: int, wait: Callable[[], DecodedTile]) -> list[Prediction]:
        """Classify the pictures of a tile, when it is decoded."""
        decoded, images = wait(), pictures[tiles.rows(tile)]
        pixels = torch.from_numpy(decoded.pixels[0][: len(images)]).to(where)
        with torch.inference_mode(), network_problems(f"the network of {source}"):
            batch = normalise(pixels, spec)
            logits = model(batch if channels_last else batch.contiguous())
            best = logits.softmax(dim=1).topk(min(top, model.num_classes), dim=1)
        answers = enumerate(zip(images, best.indices.tolist(), best.values.tolist(), strict=True))
        return [_predict(image.name, row, decoded, labels, *best) for row, (image, *best) in answers]

    threads, start = count_cores(), use_one_thread if where.type == "cpu" else None
    with exact_arithmetic(), open_decoder(tiles, workers=0) as decode:
        jobs = (partial(rank, tile, decode(tile)) for tile in range(len(tiles)))
        for predictions in run_ahead(jobs, threads=threads, ahead=2 * threads, initializer=start):
            yield from predictions


def _predict(
    name: str,
    row: int,
    decoded: DecodedTile,
    labels: Sequence[str],
    classes: Sequence[int],
    shares: Sequence[float],
) -> Prediction:
    """Make the prediction of a row of a decoded tile."""
    problem = decoded.unreadable.get(row)
    best = () if problem else zip(classes, shares, strict=True)
    guesses = tuple(Guess(class_index=number, label=labels[number], probability=p) for number, p in best)
    return Prediction(file=name, turned=row in decoded.turned, problem=problem, guesses=guesses)
