"""Keep a copy of a read index, used only while each file still has the bytes it was read from.

The file is lines of JSON: a header that names every file read with its SHA-256, every pattern with
what it matched, and the digest of the rest; what the entries share; then one line an entry, decoded
when somebody asks for it. It can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import rexnet_hub
from rexnet_hub.index.entry import Index
from rexnet_hub.index.files import Files, read_bytes
from rexnet_hub.index.problems import Flaw
from rexnet_hub.index.unpacking import unpack_index
from rexnet_hub.layout import find_cache_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Problems that a file outside the digests caused: such a reading is not kept.
_UNKEPT = {"unreadable-file", "outside-root", "too-large"}
_KEPT_COPIES = 16


class Key:
    """What is to be read, and where its copy is kept."""

    def __init__(self, paths: list[Path], root: Path) -> None:
        self.root = root
        reader = sorted(
            (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in _own_files()
        )
        told = json.dumps(
            [rexnet_hub.__version__, reader, str(Path.cwd()), str(root), [str(p) for p in paths]]
        )
        self.file = find_cache_dir() / "index" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.jsonl"


def _own_files() -> list[os.DirEntry[str]]:
    return [entry for entry in os.scandir(Path(__file__).parent) if entry.name.endswith(".py")]


def make_key(paths: list[Path], root: Path) -> Key:
    """Name the copy of what these paths hold under this root, as this version reads it."""
    return Key(paths, root)


def read_cached(key: Key) -> Index | None:
    """Give the copy, if there is one, it is whole, and every file is what it was."""
    try:
        head, _, body = key.file.read_bytes().partition(b"\n")
        header = json.loads(head)
        if hashlib.sha256(body).hexdigest() != header["body"] or not _is_fresh(header, key.root):
            return None
        return unpack_index(body.decode("ascii"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, Flaw):
        return None


def write_cached(
    key: Key, index: Index, digests: Mapping[Path, str], globs: Mapping[tuple[Path, str], tuple[Path, ...]]
) -> None:
    """Keep a copy; where that cannot be done, do nothing."""
    if any(problem.code in _UNKEPT for problem in index.problems):
        return
    from rexnet_hub.index.packing import pack_index

    body = pack_index(index).encode()
    header = {
        "files": {str(file): digest for file, digest in digests.items()},
        "globs": [
            [str(folder), pattern, [str(f) for f in found]] for (folder, pattern), found in globs.items()
        ],
        "body": hashlib.sha256(body).hexdigest(),
    }
    temporary = key.file.with_suffix(f".{os.getpid()}.tmp")
    try:
        key.file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(json.dumps(header).encode() + b"\n" + body)
        temporary.replace(key.file)
        _sweep(key.file.parent)
    except OSError:
        _remove(temporary)


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError:
        return  # Where it could not be written, there may be none.


def _sweep(folder: Path) -> None:
    copies = sorted(folder.glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    for file in copies[:-_KEPT_COPIES]:
        file.unlink(missing_ok=True)


def _is_fresh(header: dict[str, Any], root: Path) -> bool:
    files = Files(root)
    for name, digest in header["files"].items():
        files.require_inside(Path(name))
        if hashlib.sha256(read_bytes(Path(name))).hexdigest() != digest:
            return False
    return all(
        [str(file) for file in files.find(Path(folder), pattern)] == found
        for folder, pattern, found in header["globs"]
    )
