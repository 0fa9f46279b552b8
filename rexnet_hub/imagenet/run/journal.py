"""Write and read the finished tiles of a run, so that a killed run goes on where it was."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from rexnet_hub.errors import file_problems
from rexnet_hub.imagenet.data.tiles import ImageTiles
from rexnet_hub.imagenet.evidence.predictions import TOP, UNREADABLE

#: The folder of a run, beside its record; the rest of the name is the key of the run.
UNFINISHED = ".unfinished-"
_ENTRY = struct.Struct("<II")  # the tile, the CRC-32 of its classes


@contextmanager
def open_journal(file: Path) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Open one process's own file in the folder of a run, and yield what adds a finished tile to it.

    Raises:
        FileProblem: It cannot be written, now or when a tile is added.
    """
    with file_problems(file, "cannot be written"):
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("ab")

    def add(tile: int, classes: np.ndarray) -> None:
        payload = classes.astype("<u2").tobytes()
        with file_problems(file, "cannot be written"):
            stream.write(_ENTRY.pack(tile, zlib.crc32(payload, tile)) + payload)
            stream.flush()

    try:
        yield add
    finally:
        with suppress(OSError):  # it was told of when a tile was added
            stream.close()


def list_unfinished(out_dir: Path) -> dict[str, int]:
    """List the runs beside a record that did not end, or did not yet, with their bytes."""
    left = dict[str, int]()
    for folder in sorted(out_dir.glob(f"{UNFINISHED}*")):
        with suppress(OSError):  # it ended just now
            left[str(folder)] = sum(file.stat().st_size for file in folder.iterdir())
    return left


def read_journals(
    folder: Path, tiles: ImageTiles, models: int, *, with_unreadable: bool
) -> dict[int, np.ndarray]:
    """Read the tiles that are finished, by number; what a kill cut short is not.

    Args:
        with_unreadable: Whether a tile may have images that could not be read.

    Returns:
        Of each the classes: uint16, shape (models, rows, 5).
    """
    finished: dict[int, np.ndarray] = {}
    for file in sorted(folder.glob("*.journal")):
        data, place = file.read_bytes(), 0
        while place + _ENTRY.size <= len(data):
            tile, crc = _ENTRY.unpack_from(data, place)
            if tile >= len(tiles):
                break
            rows = tiles.rows(tile)
            shape = (models, rows.stop - rows.start, TOP)
            payload = data[place + _ENTRY.size :][: 2 * math.prod(shape)]
            if zlib.crc32(payload, tile) != crc:
                break
            classes = np.frombuffer(payload, "<u2").reshape(shape)
            if with_unreadable or (classes[:, :, 0] != UNREADABLE).all():
                finished[tile] = classes
            place += _ENTRY.size + len(payload)
    return finished
