"""Keep a text made from files, used only while each file still has the bytes that it was made from.

Its first line names every file with its SHA-256, every pattern with what it matched, and the digest of the
rest. It can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import rexnet_hub
from rexnet_hub.index.reading.files import Files, read_bytes
from rexnet_hub.index.reading.flaw import Flaw
from rexnet_hub.layout import find_cache_dir

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    Made = TypeVar("Made")

_KEPT_COPIES = 16


class Copy:
    """The place of one kind of copy of what some paths hold under a root, as this version reads it."""

    def __init__(self, kind: str, paths: Sequence[Path], root: Path) -> None:
        self.root = root
        own = (entry for entry in os.scandir(Path(__file__).parent) if entry.name.endswith(".py"))
        reader = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in own)
        told = [kind, rexnet_hub.__version__, reader, str(Path.cwd()), str(root), [str(p) for p in paths]]
        name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
        self.file = find_cache_dir() / "index" / f"{name}.{kind}"

    def read(self, parse: Callable[[str], Made]) -> tuple[Made, dict[str, Any]] | None:
        """Give what `parse` makes of the text, and its origin; None unless whole, and of the same bytes."""
        try:
            head, _, body = self.file.read_bytes().partition(b"\n")
            header = json.loads(head)
            if hashlib.sha256(body).hexdigest() != header.pop("body") or not _is_fresh(header, self.root):
                return None
            return parse(body.decode("ascii")), header
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, Flaw):
            return None

    def write(self, text: str, origin: dict[str, Any]) -> None:
        """Keep a text; where that cannot be done, do nothing."""
        body = text.encode("ascii")
        header = json.dumps(origin | {"body": hashlib.sha256(body).hexdigest()})
        temporary = self.file.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(header.encode() + b"\n" + body)
            temporary.replace(self.file)
            _sweep(self.file)
        except OSError:
            _remove(temporary)


def describe_origin(files: Files) -> dict[str, Any]:
    """Say which bytes were read and what patterns matched, as JSON."""
    globs = [[str(folder), told, [str(f) for f in found]] for (folder, told), found in files.globs.items()]
    return {"files": {str(file): digest for file, digest in files.digests.items()}, "globs": globs}


def _is_fresh(origin: dict[str, Any], root: Path) -> bool:
    files = Files(root)
    for name, digest in origin["files"].items():
        files.require_inside(Path(name))
        if hashlib.sha256(read_bytes(Path(name))).hexdigest() != digest:
            return False
    return all(
        [str(file) for file in files.find(Path(folder), pattern)] == found
        for folder, pattern, found in origin["globs"]
    )


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError:
        return  # Where it could not be written, there may be none.


def _sweep(newest: Path) -> None:
    copies = sorted(newest.parent.glob(f"*{newest.suffix}"), key=lambda file: file.stat().st_mtime_ns)
    for file in copies[:-_KEPT_COPIES]:
        file.unlink(missing_ok=True)
