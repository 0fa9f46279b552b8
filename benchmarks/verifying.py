"""Verifying staged repos, beside hashing their files and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.making import NAMES, make_repo
from benchmarks.timing import Job, Peer, Program

OURS = """
import sys
from pathlib import Path
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.verify import require_truth, verify_model
index, lock = load_index(), read_lock()
for folder in map(Path, sys.argv[1:]):
    require_truth(verify_model(index.find(folder.name), repo=folder, measured=lock.of(folder.name)))
"""


def jobs(work: Path, *, quick: bool) -> Iterator[Job]:
    """Yield the rows."""
    folders = [make_repo(work, name).folder for name in NAMES]
    for count in (4,) if quick else (1, 4):
        chosen = folders[:count]
        files = [str(file) for folder in chosen for file in sorted(folder.iterdir())]
        hashing = Program(name="openssl sha256", command="openssl", argv=("dgst", "-sha256", *files))
        yield Job(
            title="verify staged repos",
            size=f"{count} repos, {sum(Path(file).stat().st_size for file in files) / 1e6:.0f} MB",
            ours=Program(name="ours", argv=("-c", OURS, *map(str, chosen))),
            peers=(Peer(task=hashing, at_least=1 / 3),),
            floor=None,
            rounds=7,
        )
