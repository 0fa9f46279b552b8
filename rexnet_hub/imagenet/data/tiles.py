"""Decode images a tile at a time, each once for every network, here or in worker processes.

A tile is a fixed run of images in the manifest's order; `network` says why. Nothing here imports torch.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from rexnet_hub.errors import EvaluationError, NotAnImageError
from rexnet_hub.imagenet.data.dataset import LabelledImage
from rexnet_hub.imagenet.data.pixels import decode_image, pixels_uint8
from rexnet_hub.index import Preprocessing


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DecodedTile:
    """The pixels of a tile.

    Attributes:
        pixels: For each geometry, uint8 of shape (tile, px, px, 3), RGB; rows that hold no image are black.
        unreadable: Rows whose image could not be decoded.
    """

    pixels: tuple[np.ndarray, ...]
    unreadable: tuple[int, ...]


Answer = TypeVar("Answer")

#: Begins to decode a tile, and gives what waits for it.
Decoder = Callable[[int], Callable[[], DecodedTile]]


def slice_tile(images: Sequence[LabelledImage], tile: int, tile_images: int) -> Sequence[LabelledImage]:
    """Take the images of one tile; the last may have fewer."""
    return images[tile * tile_images : (tile + 1) * tile_images]


def count_tiles(images: int, tile_images: int) -> int:
    """Count tiles, the last of which may not be full."""
    return -(-images // tile_images)


def decode_tile(
    images: Sequence[LabelledImage],
    geometries: Sequence[Preprocessing],
    tile_images: int,
    skip_unreadable: bool,
) -> DecodedTile:
    """Read and decode each image once, and resize it for each geometry.

    Raises:
        NotAnImageError: One cannot be decoded, and `skip_unreadable` is not set.
    """
    pixels = tuple(np.zeros((tile_images, spec.input_px, spec.input_px, 3), np.uint8) for spec in geometries)
    unreadable = []
    for row, image in enumerate(images):
        try:
            decoded = decode_image(image.place.read_bytes(), name=image.name)
            for array, spec in zip(pixels, geometries, strict=True):
                array[row] = pixels_uint8(decoded, spec)
        except NotAnImageError as error:
            if not skip_unreadable:
                raise NotAnImageError(image.name, error.problem) from error
            for array in pixels:
                array[row] = 0
            unreadable.append(row)
    return DecodedTile(pixels=pixels, unreadable=tuple(unreadable))


@contextmanager
def open_decoder(
    images: Sequence[LabelledImage],
    geometries: Sequence[Preprocessing],
    *,
    tile_images: int,
    workers: int,
    skip_unreadable: bool,
) -> Iterator[Decoder]:
    """Decode in `workers` processes, or with none in the thread that asks.

    Raises:
        EvaluationError: A worker died.
    """

    def task(tile: int) -> Callable[[], DecodedTile]:
        mine = slice_tile(images, tile, tile_images)
        return partial(decode_tile, mine, tuple(geometries), tile_images, skip_unreadable)

    if workers == 0:
        yield task
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    def start(tile: int) -> Callable[[], DecodedTile]:
        future = pool.submit(task(tile))

        def wait() -> DecodedTile:
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise EvaluationError(
                    "a decoding process died; is the memory full? Try fewer workers"
                ) from error

        return wait

    try:
        yield start
    finally:
        pool.shutdown(cancel_futures=True)


def run_ahead(
    jobs: Iterable[Callable[[], Answer]],
    *,
    threads: int,
    ahead: int,
    initializer: Callable[[], None] | None = None,
) -> Iterator[Answer]:
    """Run jobs in threads and give their answers in order, with at most `ahead` jobs begun and not given."""
    pool = ThreadPoolExecutor(threads, initializer=initializer)
    waiting: deque[Future[Answer]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
