"""Open model-index files: inside one root only, regular files only, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from rexnet_hub.errors import FileProblem, file_problems
from rexnet_hub.index.entry import find_draft
from rexnet_hub.index.problems import Flaw
from rexnet_hub.index.reading.source import YamlSource
from rexnet_hub.layout import real_path
from rexnet_hub.whole_files import open_regular

SUFFIXES = (".yml", ".yaml", ".json", ".md", ".mdx", ".txt")
MARKDOWN_SUFFIXES = (".md", ".mdx", ".txt")
MAX_FILE_BYTES = 64 * 2**20
# Folders and files that one import may look at before it is refused.
MAX_LOOKS = 100_000
_MAGIC = "*?["


def holds_index(folder: Path) -> bool:
    """Return whether a file in a folder may be one of an index."""
    with file_problems(folder, "cannot be listed"):
        return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())


class Files:
    """The files under one root.

    Attributes:
        root: The folder that no path may leave, resolved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._looks = 0

    def read(self, file: Path) -> YamlSource:
        """Read one file whole.

        Raises:
            Flaw: It lies outside the root, cannot be read, is too large, or is not UTF-8;
                the first three have no offset, since the place is whoever named the file.
        """
        self.require_inside(file)
        draft = find_draft(file)
        return YamlSource(file, read_bytes(file) if draft is None else draft)

    def require_inside(self, file: Path) -> None:
        """Refuse a path that, links followed, leaves the root."""
        try:
            inside = real_path(file).is_relative_to(self.root)
        except (OSError, ValueError) as error:
            raise Flaw("unreadable-file", f"{str(file)!r} is no path that can be followed: {error}") from None
        if not inside:
            problem = f"{file} lies outside {self.root}; name a wider root, or move the file"
            raise Flaw("outside-root", problem)

    def find(self, folder: Path, pattern: str) -> tuple[Path, ...]:
        """List the files that a path or pattern (`**` crosses folders) means from a folder, else the root.

        Raises:
            Flaw: The pattern leaves the root or means too many files.
        """
        if "\0" in pattern or len(pattern) > 4096:
            raise Flaw("unreadable-file", "this cannot be a path")
        parts = Path(pattern).parts
        fixed = next((i for i, part in enumerate(parts) if any(c in part for c in _MAGIC)), len(parts))
        if ".." in parts[fixed:]:
            raise Flaw("outside-root", f"{pattern!r} climbs after a wildcard")
        for place in (folder, self.root):
            start, self._looks = place.joinpath(*parts[:fixed]), 0
            self.require_inside(start)
            if found := set(self._expand(start, parts[fixed:])):
                return tuple(sorted(found))
        return ()

    def exists(self, folder: Path, path: str) -> bool:
        """Return whether a path names a file: from the folder that wrote it, from the root, or from above.

        Above is the folder whose `configs` the file is in, where the path begins with `configs`.
        """
        own, first = folder.absolute(), Path(path).parts[:1]
        above = [place.parent / path for place in (own, *own.parents) if (place.name,) == first]
        try:
            return any(file.is_file() for file in above) or bool(self.find(folder, path))
        except (Flaw, OSError, ValueError):
            return False

    def _expand(self, place: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        if not parts:
            if place.is_file() or place.is_fifo() or place.is_socket():
                yield place
            return
        head, rest = parts[0], parts[1:]
        if head == "**":
            yield from self._expand(place, rest or ("*",))
            for name in self._names(place):
                if not (place / name).is_symlink() and (place / name).is_dir():
                    yield from self._expand(place / name, parts)
        elif any(c in head for c in _MAGIC):
            for name in self._names(place):
                if fnmatchcase(name, head):
                    yield from self._expand(place / name, rest)
        else:
            yield from self._expand(place / head, rest)

    def _names(self, folder: Path) -> list[str]:
        try:
            names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        except OSError as error:
            raise Flaw("unreadable-file", f"{folder}: {error.strerror}") from None
        self._looks += len(names)
        if self._looks > MAX_LOOKS:
            raise Flaw("too-large", f"the pattern looks at more than {MAX_LOOKS} names; make it narrower")
        return sorted(name for name in names if not name.startswith("."))


def read_bytes(file: Path) -> bytes:
    """Read a regular file that stays the same while it is read.

    Raises:
        Flaw: It is not one, is too large, or changed.
    """
    try:
        with open_regular(file) as stream:
            before = os.fstat(stream.fileno())
            if before.st_size > MAX_FILE_BYTES:
                problem = f"{file} has {before.st_size} bytes; at most {MAX_FILE_BYTES} are read"
                raise Flaw("too-large", problem)
            data = stream.read(MAX_FILE_BYTES + 1)
            after = os.fstat(stream.fileno())
    except FileProblem as error:
        raise Flaw("unreadable-file", f"{file} {error.problem}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Flaw("unreadable-file", f"{file} cannot be read: {why}") from None
    is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not is_same or len(data) != before.st_size:
        raise Flaw("unreadable-file", f"{file} changed while it was read; run again")
    return data
