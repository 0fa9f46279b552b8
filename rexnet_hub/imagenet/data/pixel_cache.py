"""Write and read decoded pixels for further runs: whole or absent, and checked as they are read.

Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from PIL import features

from rexnet_hub.errors import FileProblem, NotAnImageError
from rexnet_hub.imagenet.data.tiles import DecodedTile, Decoder, ImageTiles, open_decoder, run_ahead
from rexnet_hub.index import Preprocessing
from rexnet_hub.whole_files import locked, whole_folder

UNDECODED = "could not be decoded"
_DIGEST_BYTES = hashlib.sha256().digest_size
#: How long another run that fills it is waited for: decoding everything again would take no less.
_FILL_SECONDS = 86_400.0


def cache_key(manifest_sha256: str, spec: Preprocessing) -> str:
    """Make the key of decoded pixels, from the data set's bytes, the geometry and the decoders."""
    parts = [manifest_sha256, asdict(spec), PIL.__version__, features.version("jpg")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def fill_cache(cache_dir: Path, manifest_sha256: str, tiles: ImageTiles, workers: int) -> None:
    """Decode all images into the cache, for those geometries that are not there yet.

    A folder of pixels is there whole or not at all: it gets its name when it is complete. Beside the
    pixels it has the SHA-256 of each image's.

    Raises:
        FileProblem: It cannot be written.
        NotAnImageError: One cannot be decoded, and is not to be skipped.
    """
    places = {cache_dir / cache_key(manifest_sha256, spec): spec for spec in tiles.geometries}
    with ExitStack() as stack:
        for place in sorted(place for place in places if not place.exists()):  # all runs in one order
            stack.enter_context(locked(place, seconds=_FILL_SECONDS))
        absent = {place: spec for place, spec in places.items() if not place.exists()}
        if absent:
            folders = [stack.enter_context(whole_folder(place)) for place in absent]
            _decode_into(folders, replace(tiles, geometries=list(absent.values())), workers)


def _decode_into(folders: Sequence[Path], tiles: ImageTiles, workers: int) -> None:
    """Decode all images into one folder for each geometry; an unreadable image has a digest of zeros."""
    count = len(tiles.images)
    digests = np.zeros((len(folders), count, _DIGEST_BYTES), np.uint8)
    with ExitStack() as stack:
        decode = stack.enter_context(open_decoder(tiles, workers))
        # Written, not mapped: a full disk is an error to a write, and the end of the process to a map.
        streams = [stack.enter_context((folder / "pixels.npy").open("xb")) for folder in folders]
        for stream, spec in zip(streams, tiles.geometries, strict=True):
            shape = (count, spec.input_px, spec.input_px, 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
        jobs = (decode(tile) for tile in range(len(tiles)))
        for tile, decoded in enumerate(run_ahead(jobs, threads=1, ahead=tiles.ahead(workers))):
            rows = tiles.rows(tile)
            for stream, digested, pixels in zip(streams, digests, decoded.pixels, strict=True):
                stream.write(pixels[: rows.stop - rows.start].tobytes())
                digested[rows] = _digest_rows(pixels[: rows.stop - rows.start])
                digested[[rows.start + row for row in decoded.unreadable]] = 0
    for folder, digested in zip(folders, digests, strict=True):
        np.save(folder / "sha256.npy", digested)


def _digest_rows(pixels: np.ndarray) -> np.ndarray:
    """Digest the pixels of each image: uint8, (images, 32)."""
    return np.stack([np.frombuffer(hashlib.sha256(row).digest(), np.uint8) for row in pixels])


def open_cache(cache_dir: Path, manifest_sha256: str, tiles: ImageTiles) -> Decoder:
    """Read tiles from the cache instead of decoding; the pixels that are handed out are those digested.

    Raises:
        FileProblem: The cache is not what `fill_cache` wrote, now or when a tile is taken.
        NotAnImageError: An image was unreadable when the cache was filled, and is not to be skipped.
    """
    folders = {cache_dir / cache_key(manifest_sha256, spec): spec for spec in tiles.geometries}
    arrays = {folder: _open_folder(folder, len(tiles.images), spec) for folder, spec in folders.items()}
    unreadable = np.any([~digests.any(axis=1) for _, digests in arrays.values()], axis=0)
    if unreadable.any() and not tiles.skip_unreadable:
        name = tiles.images[int(unreadable.argmax())].name
        raise NotAnImageError(name, f"{UNDECODED} when {cache_dir} was filled")

    def take(tile: int) -> DecodedTile:
        rows, taken = tiles.rows(tile), []
        lost = np.flatnonzero(unreadable[rows])
        for folder, (array, stated) in arrays.items():
            pixels = tiles.black(folders[folder])
            pixels[: rows.stop - rows.start] = array[rows]
            digests = _digest_rows(pixels[: rows.stop - rows.start]) * stated[rows].any(axis=1, keepdims=True)
            if not np.array_equal(digests, stated[rows]):
                raise FileProblem(folder, "its pixels were changed since they were decoded, delete it")
            pixels[lost] = 0
            taken.append(pixels)
        return DecodedTile(pixels=tuple(taken), unreadable=dict.fromkeys(lost.tolist(), UNDECODED))

    return lambda tile: partial(take, tile)


def _open_folder(folder: Path, images: int, spec: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Map the pixels of one geometry and read their digests."""
    try:
        pixels, digests = np.load(folder / "pixels.npy", mmap_mode="r"), np.load(folder / "sha256.npy")
    except (OSError, ValueError) as error:
        raise FileProblem(folder, f"is no whole cache, delete it ({error})") from error
    wanted = {(images, spec.input_px, spec.input_px, 3), (images, _DIGEST_BYTES)}
    if {pixels.shape, digests.shape} != wanted or {pixels.dtype, digests.dtype} != {np.dtype(np.uint8)}:
        raise FileProblem(folder, "is the cache of another data set, delete it")
    return pixels, digests
