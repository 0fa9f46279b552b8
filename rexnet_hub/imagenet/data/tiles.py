"""Decode images a tile at a time, each once for every network, here or in worker processes.

A tile is a fixed run of images in the manifest's order; see `run/runner.py`. Nothing here imports torch.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from rexnet_hub.errors import EvaluationError, NotAnImageError
from rexnet_hub.imagenet.data.dataset import StoredImage
from rexnet_hub.imagenet.data.pixels import AS_EVALUATED, TURNED, Reading, decode_image, pixels_uint8
from rexnet_hub.index import Preprocessing

#: Images that a worker decodes at a time: several workers share a large tile.
PART_IMAGES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTiles:
    """Images a tile at a time, and how they are decoded.

    Attributes:
        geometries: What each image is resized by.
        tile_images: Images of a tile; the last may have fewer.
        skip_unreadable: Whether an image that cannot be decoded is a black row, or an error.
    """

    images: Sequence[StoredImage]
    geometries: Sequence[Preprocessing]
    tile_images: int
    skip_unreadable: bool = False
    reading: Reading = AS_EVALUATED

    def __len__(self) -> int:
        return -(-len(self.images) // self.tile_images)

    def rows(self, tile: int) -> slice:
        """Return where the images of one tile are."""
        return slice(tile * self.tile_images, min((tile + 1) * self.tile_images, len(self.images)))

    def black(self, spec: Preprocessing) -> np.ndarray:
        """Return a tile of no images: uint8, shape (tile_images, px, px, 3)."""
        return np.zeros((self.tile_images, spec.input_px, spec.input_px, 3), np.uint8)

    def ahead(self, workers: int) -> int:
        """Count the tiles to begin ahead: two parts of one for each worker, and two tiles at least."""
        return 1 + max(2, -(-2 * workers // -(-self.tile_images // PART_IMAGES)))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DecodedTile:
    """The pixels of a tile.

    Attributes:
        pixels: For each geometry, uint8 of shape (tile, px, px, 3), RGB; rows that hold no image are black.
        unreadable: The rows whose image could not be decoded, each with the reason.
        turned: The rows whose image was turned as its EXIF orientation says.
    """

    pixels: tuple[np.ndarray, ...]
    unreadable: Mapping[int, str]
    turned: frozenset[int] = frozenset()


Answer = TypeVar("Answer")

#: Begins to decode a tile, and gives what waits for it.
Decoder = Callable[[int], Callable[[], DecodedTile]]


#: Rows that could not be decoded, each with the reason, and rows that were turned.
Odd = tuple[dict[int, str], set[int]]


def decode_tile(tiles: ImageTiles, tile: int) -> DecodedTile:
    """Read and decode each image of a tile once, and resize it for each geometry.

    Raises:
        NotAnImageError: One cannot be decoded, and is not to be skipped.
    """
    pixels = tuple(map(tiles.black, tiles.geometries))
    unreadable, turned = _decode_rows(replace(tiles, images=tiles.images[tiles.rows(tile)]), pixels)
    return DecodedTile(pixels=pixels, unreadable=unreadable, turned=frozenset(turned))


def _decode_rows(tiles: ImageTiles, pixels: Sequence[np.ndarray], first: int = 0) -> Odd:
    """Decode images into the rows, from the first on, of one array for each geometry."""
    unreadable, turned = {}, set()
    for row, image in enumerate(tiles.images, first):
        try:
            decoded = decode_image(image.read(), name=image.name, reading=tiles.reading)
            for array, spec in zip(pixels, tiles.geometries, strict=True):
                array[row] = pixels_uint8(decoded, spec)
        except NotAnImageError as error:
            if not tiles.skip_unreadable:
                raise NotAnImageError(image.name, error.problem) from error
            for array in pixels:
                array[row] = 0
            unreadable[row] = error.problem
        else:
            turned |= {row} if TURNED in decoded.info else set()
    return unreadable, turned


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _SharedTiles:
    """Memory for a few tiles that workers decode into; without a name, it goes with its last process."""

    memory: Any
    shapes: Sequence[tuple[int, ...]]

    def views(self, slot: int) -> tuple[np.ndarray, ...]:
        """Return the arrays of one tile, one for each geometry."""
        sizes = [math.prod(shape) for shape in self.shapes]
        tile = np.frombuffer(self.memory, np.uint8, sum(sizes), slot * sum(sizes))
        parts = np.split(tile, np.cumsum(sizes)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True))


_shared: _SharedTiles  # in a worker, what it decodes into


def _start_worker(shared: _SharedTiles) -> None:
    """Set the shared memory, and end with the process that started this one: killed, it cannot say so."""
    global _shared
    _shared = shared
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _decode_part(tiles: ImageTiles, slot: int, first: int) -> Odd:
    """Decode some images of a tile, in a worker."""
    return _decode_rows(tiles, _shared.views(slot), first)


@contextmanager
def open_decoder(tiles: ImageTiles, workers: int) -> Iterator[Decoder]:
    """Decode in `workers` processes, or with none in the thread that asks.

    Workers write into a few tiles of shared memory, and whoever waits for a tile copies it from there. To
    begin one more than there is room for waits until another thread has taken one.

    Raises:
        EvaluationError: A worker died, or they can share no memory.
    """
    if workers == 0:
        yield lambda tile: partial(decode_tile, tiles, tile)
        return
    context = multiprocessing.get_context("spawn")
    shapes = [tiles.black(spec).shape for spec in tiles.geometries]
    size = tiles.ahead(workers) * sum(map(math.prod, shapes))
    try:
        memory = context.RawArray("B", size)
    except OSError as error:
        problem = f"no {size:,} bytes of shared memory can be had for decoding processes ({error.strerror})"
        raise EvaluationError(f"{problem}: try fewer workers") from error
    shared = _SharedTiles(memory=memory, shapes=shapes)
    free: SimpleQueue[int] = SimpleQueue()
    for slot in range(tiles.ahead(workers)):
        free.put(slot)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(shared,))

    def start(tile: int) -> Callable[[], DecodedTile]:
        images, slot, parts = tiles.images[tiles.rows(tile)], free.get(), []
        for first in range(0, len(images), PART_IMAGES):
            part = replace(tiles, images=images[first : first + PART_IMAGES])
            with _worker_problems():
                parts.append(pool.submit(_decode_part, part, slot, first))
        return partial(take, slot, parts, len(images))

    def take(slot: int, parts: Sequence[Future[Odd]], images: int) -> DecodedTile:
        unreadable: dict[int, str] = {}
        turned: set[int] = set()
        try:
            with _worker_problems():
                for part in parts:
                    unreadable.update(part.result()[0])
                    turned.update(part.result()[1])
            pixels = tuple(map(tiles.black, tiles.geometries))
            for array, view in zip(pixels, shared.views(slot), strict=True):
                array[:images] = view[:images]  # behind them is what an earlier tile left
        finally:
            free.put(slot)
        return DecodedTile(pixels=pixels, unreadable=unreadable, turned=frozenset(turned))

    try:
        yield start
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _worker_problems() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        problem = "a decoding process died; is the memory full? Try fewer workers"
        raise EvaluationError(problem) from error


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
