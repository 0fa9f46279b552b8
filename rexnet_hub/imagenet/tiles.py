"""Decode images a tile at a time, each once for every network, here or in worker processes, or from a cache.

A tile is a fixed run of images in the manifest's order; `network` says why. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from PIL import features

from rexnet_hub.errors import EvaluationError, FileProblem, NotAnImageError
from rexnet_hub.imagenet.dataset import LabelledImage
from rexnet_hub.imagenet.pixels import decode_image, pixels_uint8
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


def cache_key(manifest_sha256: str, spec: Preprocessing) -> str:
    """Name the decoded pixels of a data set: they depend on its bytes, the geometry and the decoders."""
    jpeg = features.version("jpg")
    parts = [manifest_sha256, asdict(spec), PIL.__version__, jpeg]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def fill_cache(
    cache_dir: Path,
    manifest_sha256: str,
    images: Sequence[LabelledImage],
    geometries: Sequence[Preprocessing],
    *,
    workers: int,
    skip_unreadable: bool,
    on_tile: Callable[[int], None] = lambda done: None,
) -> None:
    """Decode all images into the cache, for those geometries that are not there yet.

    A folder of pixels is there whole or not at all: it gets its name when it is complete. Beside the
    pixels it has the SHA-256 of each image's.
    """
    absent = [s for s in geometries if not (cache_dir / cache_key(manifest_sha256, s)).exists()]
    if not absent:
        return
    cache_dir.mkdir(parents=True, exist_ok=True)
    partial_dir = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache_dir))
    try:
        _decode_into(partial_dir, images, absent, workers, skip_unreadable, on_tile)
        for number, spec in enumerate(absent):
            final = cache_dir / cache_key(manifest_sha256, spec)
            if not final.exists():
                (partial_dir / str(number)).rename(final)
    except OSError as error:
        raise FileProblem(cache_dir, f"the cache cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)


def _decode_into(
    folder: Path,
    images: Sequence[LabelledImage],
    geometries: Sequence[Preprocessing],
    workers: int,
    skip_unreadable: bool,
    on_tile: Callable[[int], None],
) -> None:
    """Decode all images into one numbered folder for each geometry."""
    tile_images, arrays = 64, []
    for number, spec in enumerate(geometries):
        (folder / str(number)).mkdir()
        shape = (len(images), spec.input_px, spec.input_px, 3)
        file = folder / str(number) / "pixels.npy"
        arrays.append(np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape))
    digests = np.zeros((len(geometries), len(images), hashlib.sha256().digest_size), np.uint8)
    unreadable: list[int] = []
    settings = {"tile_images": tile_images, "workers": workers, "skip_unreadable": skip_unreadable}
    with open_decoder(images, geometries, **settings) as decode:  # type: ignore[arg-type]
        ahead = max(2 * workers, 1)
        tiles = range(count_tiles(len(images), tile_images))
        waiting = [decode(tile) for tile in tiles[:ahead]]
        for tile in tiles:
            decoded = waiting.pop(0)()
            if tile + ahead < len(tiles):
                waiting.append(decode(tile + ahead))
            start, count = tile * tile_images, len(slice_tile(images, tile, tile_images))
            for array, column, pixels in zip(arrays, digests, decoded.pixels, strict=True):
                array[start : start + count] = pixels[:count]
                column[start : start + count] = _digest_rows(pixels[:count])
            unreadable += [start + row for row in decoded.unreadable]
            on_tile(tile)
    for number, array in enumerate(arrays):
        array.flush()
        np.save(folder / str(number) / "unreadable.npy", np.array(unreadable, np.int64))
        np.save(folder / str(number) / "sha256.npy", digests[number])


def _digest_rows(pixels: np.ndarray) -> np.ndarray:
    """Digest the pixels of each image: uint8, (images, 32)."""
    return np.stack([np.frombuffer(hashlib.sha256(row).digest(), np.uint8) for row in pixels])


def open_cache(
    cache_dir: Path, manifest_sha256: str, images: int, geometries: Sequence[Preprocessing], tile_images: int
) -> Decoder:
    """Take tiles from the cache instead of decoding; the pixels that are handed out are those digested.

    Raises:
        FileProblem: The cache is not what `fill_cache` wrote, now or when a tile is taken.
    """
    folders = [cache_dir / cache_key(manifest_sha256, spec) for spec in geometries]
    arrays, digests, lost = [], [], set()
    for folder, spec in zip(folders, geometries, strict=True):
        try:
            digests.append(np.load(folder / "sha256.npy"))
            arrays.append(np.load(folder / "pixels.npy", mmap_mode="r"))
            lost |= set(np.load(folder / "unreadable.npy").tolist())
        except (OSError, ValueError) as error:
            raise FileProblem(folder, f"is no whole cache, delete it ({error})") from error
        shapes = {(images, spec.input_px, spec.input_px, 3), (images, hashlib.sha256().digest_size)}
        if {arrays[-1].shape, digests[-1].shape} != shapes or arrays[-1].dtype != np.uint8:
            raise FileProblem(folder, "is the cache of another data set, delete it")

    def take(tile: int) -> DecodedTile:
        start = tile * tile_images
        count = min(tile_images, images - start)
        pixels = tuple(np.zeros((tile_images, *array.shape[1:]), np.uint8) for array in arrays)
        for out, array, stated, folder in zip(pixels, arrays, digests, folders, strict=True):
            out[:count] = array[start : start + count]
            if not np.array_equal(_digest_rows(out[:count]), stated[start : start + count]):
                raise FileProblem(folder, "its pixels were changed since they were decoded, delete it")
        unreadable = tuple(row for row in range(count) if start + row in lost)
        return DecodedTile(pixels=pixels, unreadable=unreadable)

    return lambda tile: partial(take, tile)
