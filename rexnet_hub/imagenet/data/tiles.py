"""Decode images a tile at a time, each once for every network, here or in worker processes.

A tile is a fixed run of images in the manifest's order; see `run/runner.py`. Nothing here imports torch.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

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


def decode_tile(tiles: ImageTiles, tile: int) -> DecodedTile:
    """Read and decode each image of a tile once, and resize it for each geometry.

    Raises:
        NotAnImageError: One cannot be decoded, and is not to be skipped.
    """
    pixels = tuple(map(tiles.black, tiles.geometries))
    unreadable, turned = {}, set()
    for row, image in enumerate(tiles.images[tiles.rows(tile)]):
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
    return DecodedTile(pixels=pixels, unreadable=unreadable, turned=frozenset(turned))


@contextmanager
def open_decoder(tiles: ImageTiles, workers: int) -> Iterator[Decoder]:
    """Decode in `workers` processes, or with none in the thread that asks.

    Each worker has a thread here, and a pipe of its own: whatever it is killed at, what it sends ends there.

    Raises:
        EvaluationError: A worker died.
    """
    if workers == 0:
        yield lambda tile: partial(decode_tile, tiles, tile)
        return
    own, started = threading.local(), list[tuple[Any, BaseProcess]]()

    def decode(part: ImageTiles) -> DecodedTile:
        """Have a part decoded by the worker of this thread, which is started for its first."""
        try:
            if not hasattr(own, "pipe"):
                own.pipe, worker = _start_worker()
                started.append((own.pipe, worker))
            own.pipe.send(part)
            answer = own.pipe.recv()
        except (EOFError, OSError) as error:
            problem = "a decoding process died; is the memory full? Try fewer workers"
            raise EvaluationError(problem) from error
        if isinstance(answer, Exception):
            raise answer
        return cast("DecodedTile", answer)

    def start(tile: int) -> Callable[[], DecodedTile]:
        """Begin to decode a tile, in parts."""
        images = tiles.images[tiles.rows(tile)]
        some = [images[first : first + PART_IMAGES] for first in range(0, len(images), PART_IMAGES)]
        parts = [replace(tiles, images=each, tile_images=len(each)) for each in some]
        return partial(_join, tiles, [pool.submit(decode, part) for part in parts])

    pool = ThreadPoolExecutor(workers)
    try:
        yield start
    finally:
        pool.shutdown(cancel_futures=True)
        for pipe, worker in started:
            pipe.close()
            worker.join()


def _start_worker() -> tuple[Any, BaseProcess]:
    """Start a worker, in a thread of its own; Ctrl-C is for the process that starts it alone."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    if sys.platform != "win32":
        from multiprocessing.resource_tracker import ensure_running

        ensure_running()  # which unblocks it when it starts something itself
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the worker inherits that
    worker = context.Process(target=_decode_parts, args=(theirs,), daemon=True)
    worker.start()
    theirs.close()
    return ours, worker


def _decode_parts(pipe: Any) -> None:
    """Decode parts of tiles, in a worker, until the other end of its pipe is closed, if only by a kill."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            part = pipe.recv()
            try:
                answer: DecodedTile | Exception = decode_tile(part, 0)
            except Exception as error:
                answer = error
            pipe.send(answer)


def _join(tiles: ImageTiles, parts: Sequence[Future[DecodedTile]]) -> DecodedTile:
    """Join the parts of a tile, as soon as workers have decoded them."""
    pixels = tuple(map(tiles.black, tiles.geometries))
    unreadable, turned = dict[int, str](), set[int]()
    for number, part in enumerate(parts):
        decoded, first = part.result(), number * PART_IMAGES
        for array, rows in zip(pixels, decoded.pixels, strict=True):
            array[first : first + len(rows)] = rows
        unreadable |= {first + row: problem for row, problem in decoded.unreadable.items()}
        turned |= {first + row for row in decoded.turned}
    return DecodedTile(pixels=pixels, unreadable=unreadable, turned=frozenset(turned))


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
