"""Converting a checkpoint: digests, receipt and comparison, beside a bare load and save."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.making import make_checkpoint, make_zip_checkpoint
from benchmarks.timing import Call, Job, Peer, Program, Task, by_the_clock

OURS = """
import sys
from pathlib import Path
from rexnet_hub.weights.convert import convert_checkpoint
convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))
"""
PEER = """
import sys, torch
from safetensors.torch import save_file
save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2], metadata={"format": "pt"})
"""
FLOOR = """
import hashlib, os, sys
source, out = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
one, other = hashlib.sha256(), hashlib.sha256()
while chunk := os.read(source, 1 << 18):
    one.update(chunk); other.update(chunk); os.write(out, chunk)
os.fsync(out)
"""


def _job(
    source: Path,
    out: Path,
    size: str,
    wanted: tuple[float, float | None],
    rounds: int,
    *,
    clock: bool = False,
) -> Job:
    def program(name: str, text: str) -> Task:
        """Make a task of a script, with an output of its own."""
        target = out / f"{name[:4].strip()}.safetensors"
        task = Program(name=name, argv=("-c", text, str(source), str(target)))
        return Call(name=name, call=partial(by_the_clock, task.run)) if clock else task

    peer = Peer(task=program("torch.load + save_file", PEER), at_least=wanted[0], memory_at_least=wanted[1])
    return Job(
        title="convert, by the clock" if clock else "convert",
        size=size,
        ours=program("ours", OURS),
        peers=(peer,),
        floor=program("read, two digests, write, fsync", FLOOR),
        rounds=rounds,
    )


def jobs(work: Path, *, quick: bool) -> Iterator[Job]:
    """Yield the rows, small to large; each large file goes before the next is made."""
    (work / "out").mkdir()
    for name in ("rexnet_200",) if quick else ("rexnet_100", "rexnet_200"):
        source = make_checkpoint(work, name)
        size = f"legacy, {source.stat().st_size / 1e6:.0f} MB"
        yield _job(source, work / "out", size, (8, 10), 7)
        source.unlink()
    for size_mb in (1300,) if quick else (512, 1300, 2000):
        source = make_zip_checkpoint(work / "large.pth", size_mb)
        size = f"zip, {size_mb / 1000:.1f} GB"
        yield _job(source, work / "out", size, (1.3, 20), 3)
        yield _job(source, work / "out", size, (2, None), 3, clock=True)
        source.unlink()
