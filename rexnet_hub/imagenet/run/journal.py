"""Write and read the finished tiles of a run, so that a killed run goes on where it was."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from rexnet_hub.errors import FileProblem

_ENTRY = struct.Struct("<II")  # the tile, the CRC-32 of its classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an entry holds: classes of shape (models, rows, 5), fewer rows in the last tile.

    Attributes:
        models: Evaluated in the run.
        images: Of the data set.
        tile_images: Of a full tile.
    """

    models: int
    images: int
    tile_images: int

    def of(self, tile: int) -> tuple[int, int, int]:
        """Return the shape of one tile's classes."""
        return (self.models, min(self.tile_images, self.images - tile * self.tile_images), 5)


@dataclass(slots=True)
class Journal:
    """One process's own file in the folder of a run: entries are only ever added."""

    file: Path
    stream: BinaryIO | None = field(default=None)

    def __enter__(self) -> Journal:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.stream = self.file.open("ab")
        except OSError as error:
            raise FileProblem(self.file, f"cannot be written: {error.strerror or error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stream:
            self.stream.close()

    def add(self, tile: int, classes: np.ndarray) -> None:
        """Write one finished tile down."""
        assert self.stream is not None
        payload = classes.astype("<u2").tobytes()
        try:
            self.stream.write(_ENTRY.pack(tile, zlib.crc32(payload, tile)) + payload)
            self.stream.flush()
        except OSError as error:
            raise FileProblem(self.file, f"cannot be written: {error.strerror or error}") from error


def read_journals(folder: Path, shape: Shape) -> dict[int, np.ndarray]:
    """Read the tiles that are finished, by number; what a kill cut short is not."""
    finished: dict[int, np.ndarray] = {}
    for file in sorted(folder.glob("*.journal")):
        data, place = file.read_bytes(), 0
        while place + _ENTRY.size <= len(data):
            tile, crc = _ENTRY.unpack_from(data, place)
            if tile * shape.tile_images >= shape.images:
                break
            wanted = shape.of(tile)
            payload = data[place + _ENTRY.size :][: 2 * wanted[0] * wanted[1] * wanted[2]]
            if zlib.crc32(payload, tile) != crc:
                break
            finished[tile] = np.frombuffer(payload, "<u2").reshape(wanted)
            place += _ENTRY.size + len(payload)
    return finished
