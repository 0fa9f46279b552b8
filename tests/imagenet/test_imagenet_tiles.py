"""What workers decode is what is decoded without them, and none outlives who started it."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import drawn
import numpy as np
import pytest
import torch

from rexnet_hub.errors import NotAnImageError
from rexnet_hub.imagenet.data.dataset import StoredImage
from rexnet_hub.imagenet.data.pixels import AS_SEEN
from rexnet_hub.imagenet.data.tiles import PART_IMAGES, ImageTiles, decode_tile, open_decoder, run_ahead
from rexnet_hub.imagenet.run import upload

COUNT = 75


@pytest.fixture(scope="module")
def tiles():
    """Draw images, some broken and some turned, for two geometries."""
    drawn_set = [(name, data) for name, (data, _) in drawn.draw_set(COUNT).items()]
    broken = {3: b"", 40: drawn_set[40][1][:300]}
    images = [
        StoredImage(name=name, read=partial(bytes, broken.get(number, data)))
        for number, (name, data) in enumerate(drawn_set)
    ]
    other = dataclasses.replace(drawn.SPEC, input_px=20, interpolation="bilinear")
    geometries = (drawn.SPEC, other)
    return ImageTiles(
        images=images, geometries=geometries, tile_images=4, skip_unreadable=True, reading=AS_SEEN
    )


def assert_same(found, expected):
    """Hold a tile against another."""
    assert all(map(np.array_equal, found.pixels, expected.pixels))
    assert (found.unreadable, found.turned) == (expected.unreadable, expected.turned)


@pytest.mark.parametrize("tile_images", [4, 2 * PART_IMAGES + 3])
def test_workers_decode_what_is_decoded_without_them(tiles, tile_images):
    """Each tile, in parts or whole; the last is padded with black."""
    tiles = dataclasses.replace(tiles, tile_images=tile_images)
    with open_decoder(tiles, workers=2) as decode:
        jobs = map(decode, range(len(tiles)))
        found = list(run_ahead(jobs, threads=2, ahead=2 * len(tiles)))

    assert len(found) == len(tiles)
    for tile, decoded in enumerate(found):
        assert_same(decoded, decode_tile(tiles, tile))
    assert sum(len(decoded.unreadable) for decoded in found) == 2
    assert sum(len(decoded.turned) for decoded in found) > 2


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_decoded_is_named(tiles, workers):
    """A picture that is none is said to be it, by a worker too: none died."""
    with open_decoder(dataclasses.replace(tiles, skip_unreadable=False), workers) as decode:
        with pytest.raises(NotAnImageError, match=re.escape(tiles.images[3].name)):
            decode(0)()
        assert_same(decode(1)(), decode_tile(tiles, 1))


def test_tiles_are_copied_in_order_and_no_further_ahead_than_said(tiles, monkeypatch):
    """Two at least are begun before the first is taken, and never more than said."""
    monkeypatch.setattr(upload, "COPIED_AHEAD", {"cpu"})
    begun: list[int] = []

    def decode(tile):
        begun.append(tile)
        return partial(decode_tile, tiles, tile)

    assert tiles.ahead(workers=0) > 2
    jobs = map(decode, range(len(tiles)))
    for tile, take in enumerate(upload.upload_tiles(jobs, torch.device("cpu"), ahead=3)):
        assert len(begun) == min(tile + 3, len(tiles))
        uploaded, decoded = take(), decode_tile(tiles, tile)
        assert all(map(np.array_equal, uploaded.pixels, decoded.pixels))
        assert uploaded.unreadable == decoded.unreadable
    assert begun == [*range(len(tiles))]


#: A process that decodes, says which its worker is, and waits for its end.
DECODING = """
import multiprocessing, time
import drawn
from rexnet_hub.imagenet.data.dataset import StoredImage
from rexnet_hub.imagenet.data.tiles import ImageTiles, open_decoder

if __name__ == "__main__":
    images = [StoredImage(name="a", read=drawn.read_one)]
    with open_decoder(ImageTiles(images=images, geometries=[drawn.SPEC], tile_images=4), 1) as decode:
        decode(0)()
        print(multiprocessing.active_children()[0].pid, flush=True)
        time.sleep(600)
"""


#: The worker of that process while it is started, which takes it a second.
STARTING = f"""
if __name__ != "__main__":
    import os, time
    print(os.getpid(), flush=True)
    time.sleep(1)
{DECODING}"""


#: It decodes a picture of which the worker is killed while it sends it, more than a pipe holds.
SENDING = DECODING.replace("read_one", "read_last").replace("drawn.SPEC", "replace(drawn.SPEC, input_px=512)")
SENDING = SENDING.replace("import drawn", "import drawn\nfrom dataclasses import replace")


def start(folder, script):
    """Start a script in a process group of its own, as a terminal does."""
    (folder / "decoding.py").write_text(script)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])}
    return subprocess.Popen(
        [sys.executable, str(folder / "decoding.py")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def decoding(tmp_path, request):
    """A process that decodes, and the number of its worker."""
    process = start(tmp_path, getattr(request, "param", DECODING))
    worker = int(process.stdout.readline())
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)


@pytest.mark.slow
def test_of_a_killed_run_no_worker_is_left(decoding):
    """Each ends with the process that started it, which could not say so."""
    decoding.send_signal(signal.SIGKILL)
    decoding.communicate(timeout=60)  # the worker holds its end of the pipe as long as it lives


@pytest.mark.slow
@pytest.mark.parametrize("decoding", [DECODING, STARTING], indirect=True, ids=["decoding", "starting"])
def test_ctrl_c_is_the_runs_alone(decoding):
    """A terminal sends it to workers too; none of them prints what it was at, and each ends with the run."""
    os.killpg(decoding.pid, signal.SIGINT)
    _, said = decoding.communicate(timeout=60)
    assert said.count("Traceback") == 1  # of the run, which catches nothing here
    assert "Process Spawn" not in said


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_sends_is_said(tmp_path):
    """What it sent is not waited for: the run ends, whatever its workers were at."""
    process = start(tmp_path, SENDING)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "a decoding process died" in said
