"""Copy decoded tiles to the device: to a GPU from pinned memory, on a stream of their own, ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from rexnet_hub.imagenet.data.tiles import DecodedTile, run_ahead

_Stream: Any = torch.cuda.Stream  # torch does not annotate it

#: Device types to which tiles are brought ahead; on a CPU whoever computes a tile takes it.
COPIED_AHEAD = {"cuda"}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Upload:
    """A tile that is on the device, or on its way there.

    Attributes:
        pixels: For each geometry, uint8 of shape (tile, px, px, 3).
        unreadable: The rows whose image could not be decoded, each with the reason.
        copied: What happens on the GPU when the pixels are there.
    """

    pixels: tuple[torch.Tensor, ...]
    unreadable: Mapping[int, str]
    copied: torch.cuda.Event | None

    def await_copy(self) -> Upload:
        """Make the stream of this thread wait for the pixels, and keep them until it has used them."""
        if self.copied is not None:
            stream = torch.cuda.current_stream(self.pixels[0].device)
            stream.wait_event(self.copied)
            for tensor in self.pixels:
                tensor.record_stream(stream)
        return self


def upload_tiles(
    tiles: Iterable[Callable[[], DecodedTile]], device: torch.device, *, ahead: int
) -> Iterator[Callable[[], Upload]]:
    """Yield for each tile, in order, what brings it to the device, or awaits a copy that was begun ahead.

    Args:
        ahead: Tiles whose copies are begun and not given, on a GPU.
    """
    stream: torch.cuda.Stream | None = _Stream(device) if device.type == "cuda" else None
    jobs = (partial(_upload, wait, stream) for wait in tiles)
    if device.type in COPIED_AHEAD:
        yield from (upload.await_copy for upload in run_ahead(jobs, threads=1, ahead=ahead))
    else:
        yield from jobs


def _upload(wait: Callable[[], DecodedTile], stream: torch.cuda.Stream | None) -> Upload:
    decoded = wait()
    pixels = tuple(map(torch.from_numpy, decoded.pixels))
    copied = None
    if stream is not None:
        with torch.cuda.stream(stream):
            pixels = tuple(t.pin_memory().to(stream.device, non_blocking=True) for t in pixels)
            copied = stream.record_event()
    return Upload(pixels=pixels, unreadable=decoded.unreadable, copied=copied)
